"""The source of the installed `stripe` package: an index of classes, read by AST, never imported.

Importing would not do: annotations name classes that are only imported under TYPE_CHECKING, and the
docstrings of attributes do not exist at run time.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterator


class UnresolvedNameError(LookupError):
    """A name in the SDK's source leads nowhere: its layout has changed."""


@dataclass(frozen=True)
class SdkClass:
    """A class of the SDK: its module, the classes around it and its syntax tree."""

    module: str
    outer: SdkClass | None
    node: ast.ClassDef

    @property
    def name(self) -> str:
        """The class's own name (`LastSetupError`)."""
        return self.node.name

    @cached_property
    def qualname(self) -> str:
        """The name with those of the classes around it (`SetupIntent.LastSetupError`)."""
        return f"{self.outer.qualname}.{self.name}" if self.outer else self.name

    @cached_property
    def inner(self) -> dict[str, SdkClass]:
        """The classes defined in its body."""
        nodes = (node for node in self.node.body if isinstance(node, ast.ClassDef))
        return {node.name: SdkClass(self.module, self, node) for node in nodes}

    @cached_property
    def object_name(self) -> str | None:
        """The value of `object` in the API (`setup_intent`); None if this is no resource."""
        for statement in self.node.body:
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and statement.target.id == "OBJECT_NAME"
                and isinstance(statement.value, ast.Constant)
            ):
                return str(statement.value.value)
        return None

    @property
    def docstring(self) -> str:
        """The class's docstring, empty where there is none."""
        return ast.get_docstring(self.node) or ""

    def constants(self, name: str) -> dict[str, str]:
        """A dict of string constants assigned in the body (`_field_remappings`)."""
        for statement in self.node.body:
            if (
                isinstance(statement, ast.Assign)
                and isinstance(statement.targets[0], ast.Name)
                and statement.targets[0].id == name
            ):
                value: dict[str, str] = ast.literal_eval(statement.value)
                return value
        return {}

    @override
    def __hash__(self) -> int:
        """By place, as the syntax tree does not count."""
        return hash((self.module, self.qualname))

    @override
    def __eq__(self, other: object) -> bool:
        """Two are the same if they stand in the same place."""
        return isinstance(other, SdkClass) and (self.module, self.qualname) == (
            other.module,
            other.qualname,
        )


@dataclass(frozen=True)
class SdkModule:
    """A module of the SDK: what it defines and what it imports."""

    name: str
    classes: dict[str, SdkClass]
    imports: dict[str, tuple[str, str]]


class Sdk:
    """The installed `stripe` package."""

    def __init__(self) -> None:
        """Find the package; modules are parsed when they are asked for.

        Raises:
            ModuleNotFoundError: The package is not installed.
        """
        spec = find_spec("stripe")
        if spec is None or spec.origin is None:
            msg = "The package 'stripe' is not installed: run `uv sync`."
            raise ModuleNotFoundError(msg)
        self._root = Path(spec.origin).parent
        self.version = version("stripe")
        self._modules: dict[str, SdkModule] = {}

    @cached_property
    def api_version(self) -> str:
        """The `Stripe-Version` that this release is generated for (`2026-10-28.endive`)."""
        for statement in self.find("stripe._api_version", "_ApiVersion").node.body:
            if (
                isinstance(statement, ast.Assign)
                and isinstance(statement.targets[0], ast.Name)
                and statement.targets[0].id == "CURRENT"
                and isinstance(statement.value, ast.Constant)
            ):
                return str(statement.value.value)
        msg = "stripe/_api_version.py has no CURRENT."
        raise UnresolvedNameError(msg)

    @cached_property
    def licence(self) -> str:
        """The text of the package's licence."""
        for file in sorted(self._root.parent.glob(f"stripe-{self.version}.dist-info/**/LICENSE")):
            return file.read_text(encoding="utf-8")
        msg = "The package 'stripe' comes without its LICENSE."
        raise UnresolvedNameError(msg)

    def modules(self, pattern: str) -> Iterator[SdkModule]:
        """The modules whose file matches, in order of name."""
        for file in sorted(self._root.rglob(pattern)):
            parts = file.relative_to(self._root.parent).with_suffix("").parts
            yield self._module(".".join(parts))

    def find(self, module: str, name: str) -> SdkClass:
        """The class of that name in a module, followed through imports.

        Raises:
            UnresolvedNameError: There is none.
        """
        found = self._module(module)
        if name in found.classes:
            return found.classes[name]
        if name in found.imports:
            return self.find(*found.imports[name])
        msg = f"{module} neither defines nor imports {name!r}."
        raise UnresolvedNameError(msg)

    def resolve(self, dotted: str, scope: SdkClass) -> SdkClass:
        """The class that a name in the body of `scope` means.

        Raises:
            UnresolvedNameError: It means none.
        """
        first, *rest = dotted.split(".")
        found = self._first(first, scope)
        for name in rest:
            if name not in found.inner:
                msg = f"{found.module}.{found.qualname} has no class {name!r}."
                raise UnresolvedNameError(msg)
            found = found.inner[name]
        return found

    def _first(self, name: str, scope: SdkClass) -> SdkClass:
        around: SdkClass | None = scope
        while around is not None:
            if name in around.inner:
                return around.inner[name]
            around = around.outer
        return self.find(scope.module, name)

    def _module(self, name: str) -> SdkModule:
        if name not in self._modules:
            self._modules[name] = _parse(name, self._file(name))
        return self._modules[name]

    def _file(self, module: str) -> Path:
        path = self._root.parent.joinpath(*module.split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
        msg = f"The package 'stripe' has no module {module!r}."
        raise UnresolvedNameError(msg)


def _parse(name: str, file: Path) -> SdkModule:
    tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    classes = {
        node.name: SdkClass(name, None, node)
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }
    imports: dict[str, tuple[str, str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                imports.setdefault(alias.asname or alias.name, (node.module, alias.name))
    return SdkModule(name, classes, imports)
