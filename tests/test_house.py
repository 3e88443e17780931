"""Who may import whom: a room calls only what lies below it."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "tap_stripe_conn"
HOUSE = Path(__file__).parents[1] / PACKAGE
LONGEST = 600
"""Lines of a module."""

BELOW: dict[str, set[str]] = {
    "about": set(),
    "catalogue": set(),
    "redaction": set(),
    "api": {"redaction"},
    "interrupts": set(),
    "messages": set(),
    "config": {"api", "redaction"},
    "private_file": set(),
    "connection": {"api", "config", "interrupts", "private_file", "redaction"},
    "streams": {"api", "catalogue", "config"},
    "display": set(),
    "progress": {"api", "display"},
    "sync": {"api", "interrupts", "messages", "progress", "streams"},
    "doctor": {"api", "streams"},
    "exit_codes": set(),
    "report": {"config", "connection", "exit_codes", "streams"},
    "run_report": {
        "api",
        "config",
        "connection",
        "exit_codes",
        "private_file",
        "redaction",
        "report",
        "streams",
    },
    "ledger": {"api", "config", "streams"},
    "findings": {"exit_codes", "report"},
    "verify": {"api", "config", "findings", "ledger", "streams"},
    "tap": {
        "api",
        "catalogue",
        "cli",
        "config",
        "connection",
        "doctor",
        "exit_codes",
        "findings",
        "interrupts",
        "ledger",
        "messages",
        "redaction",
        "report",
        "run_report",
        "streams",
        "sync",
        "verify",
    },
    "cli": {
        "about",
        "api",
        "config",
        "connection",
        "exit_codes",
        "interrupts",
        "messages",
        "redaction",
        "report",
        "run_report",
    },
    "setup": {
        "api",
        "cli",
        "config",
        "connection",
        "exit_codes",
        "interrupts",
        "messages",
        "private_file",
        "redaction",
        "tap",
    },
    "__main__": {"exit_codes", "tap"},
    "__init__": set(),
}
"""The rooms that each room may import when it runs; itself is understood."""

BELOW_FOR_TYPES: dict[str, set[str]] = {
    **{room: set() for room in BELOW},
    "streams": {"tap"},
    "sync": {"tap"},
    "doctor": {"catalogue"},
    "run_report": {"catalogue"},
    "ledger": {"catalogue"},
    "findings": {"streams"},
    "verify": {"catalogue"},
    "cli": {"tap"},
}
"""What else it may name in annotations."""

THIRD_PARTIES: dict[str, set[str]] = {
    "about": {"click", "singer_sdk"},
    "catalogue": set(),
    "redaction": set(),
    "api": {"backoff", "msgspec", "requests", "typing_extensions"},
    "interrupts": set(),
    "private_file": set(),
    "messages": {"msgspec", "singer_sdk", "typing_extensions"},
    "config": {"jsonschema", "singer_sdk"},
    "connection": {
        "backoff",
        "filelock",
        "msgspec",
        "platformdirs",
        "requests",
        "typing_extensions",
    },
    "streams": {"msgspec", "singer_sdk", "typing_extensions"},
    "display": {"rich", "singer_sdk", "typing_extensions"},
    "progress": {"typing_extensions"},
    "sync": {"singer_sdk"},
    "doctor": set(),
    "exit_codes": set(),
    "report": set(),
    "run_report": set(),
    "ledger": {"msgspec", "singer_sdk"},
    "findings": set(),
    "verify": set(),
    "tap": {"click", "singer_sdk", "typing_extensions"},
    "cli": {"click", "singer_sdk", "typing_extensions"},
    "setup": {"click"},
    "__main__": set(),
    "__init__": set(),
}

DISTRIBUTIONS = {
    # The distribution called `backoff` is another one, which overwrites the files of this.
    "backoff": "python-backoff",
    "filelock": "filelock",
    "platformdirs": "platformdirs",
    "requests": "requests",
    "rich": "rich",
    "singer_sdk": "singer-sdk",
    "typing_extensions": "typing-extensions",
}
"""Names to import -> the distribution that is declared for them."""

OF_THE_SDK = {"click", "jsonschema", "msgspec"}
"""Names to import that come with the SDK, `msgspec` by its extra."""


@dataclass(frozen=True)
class Import:
    """One import in a module of the package."""

    room: str
    module: str
    """The module that is imported, `tap_stripe_conn.api.errors`."""

    for_types: bool
    file: Path
    line: int

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]

    @property
    def room_of_target(self) -> str:
        return self.module.split(".")[1] if "." in self.module else "__init__"

    @override
    def __str__(self) -> str:
        return f"{self.file.relative_to(HOUSE.parent)}:{self.line} imports {self.module}"


def modules() -> list[Path]:
    return sorted(HOUSE.rglob("*.py"))


def room(file: Path) -> str:
    return file.relative_to(HOUSE).parts[0].removesuffix(".py")


def imports() -> list[Import]:
    return [
        Import(room(file), module, for_types, file, node.lineno)
        for file in modules()
        for node, for_types in statements(ast.parse(file.read_text(encoding="utf-8")))
        for module in imported(node)
    ]


def statements(tree: ast.AST, *, for_types: bool = False) -> Iterator[tuple[ast.stmt, bool]]:
    """Every import below `tree`, and whether it is only made by a type checker."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node, for_types
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from statements(ast.Module(node.body, []), for_types=True)
            yield from statements(ast.Module(node.orelse, []), for_types=for_types)
        else:
            yield from statements(node, for_types=for_types)


def imported(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    assert isinstance(node, ast.ImportFrom)
    assert node.level == 0, "a relative import"
    if node.module == PACKAGE:
        return [f"{PACKAGE}.{alias.name}" for alias in node.names]
    return [str(node.module)]


IMPORTS = imports()


def test_every_room_is_known_to_this_test() -> None:
    assert {room(file) for file in modules()} == BELOW.keys() == THIRD_PARTIES.keys()
    assert {each.room for each in IMPORTS} >= {"api", "connection", "streams", "sync", "tap", "cli"}


@pytest.mark.parametrize("name", BELOW)
def test_a_room_imports_only_what_lies_below_it(name: str) -> None:
    allowed = BELOW[name] | {name}
    assert [
        str(each)
        for each in IMPORTS
        if each.room == name
        and each.top == PACKAGE
        and each.room_of_target
        not in (allowed | BELOW_FOR_TYPES[name] if each.for_types else allowed)
    ] == []


@pytest.mark.parametrize("name", THIRD_PARTIES)
def test_a_room_imports_only_the_third_parties_that_are_its_business(name: str) -> None:
    assert [
        str(each)
        for each in IMPORTS
        if each.room == name
        and each.top not in THIRD_PARTIES[name] | {PACKAGE} | sys.stdlib_module_names
    ] == []


@pytest.mark.parametrize("name", ["stripe", "tests", "tools", "benchmarks"])
def test_nothing_that_is_shipped_needs_what_is_only_there_for_development(name: str) -> None:
    assert [str(each) for each in IMPORTS if each.top == name] == []


def test_every_third_party_is_declared_or_comes_with_the_sdk() -> None:
    declared = [
        requirement
        for requirement in map(Requirement, requires("tap-stripe-conn") or [])
        if requirement.marker is None
    ]
    assert {requirement.name for requirement in declared} == set(DISTRIBUTIONS.values())
    assert [each.extras for each in declared if each.name == "singer-sdk"] == [{"msgspec"}]
    third_parties = {each.top for each in IMPORTS} - {PACKAGE} - sys.stdlib_module_names
    assert third_parties == DISTRIBUTIONS.keys() | OF_THE_SDK


def test_no_module_is_longer_than_a_sitting() -> None:
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in modules()}
    assert {file.name: length for file, length in lengths.items() if length >= LONGEST} == {}
