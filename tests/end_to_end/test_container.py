"""The image's Dockerfile, step by step on this machine: no container engine is needed, or tested.

Its absolute paths stand for folders of a scratch directory, its base image for this machine and
this Python.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from uv import find_uv_bin

from tests.end_to_end.environments import HADOLINT, environment
from tests.end_to_end.tap import settings_for
from tests.fake_stripe import FakeStripe
from tools.environments import UV_VERSION
from tools.quickstart.pipeline import select

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"
PAGE = ROOT / "docs" / "containers.md"
INSTALLS_UV = re.compile(r"pip install .*uv==([\d.]+)")


def instructions() -> list[tuple[str, str]]:
    """Each instruction with its arguments, on one line."""
    text = DOCKERFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


@dataclass(slots=True)
class Machine:
    """A scratch directory that is taken for the image's root."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    ran: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)

    def do(self, name: str, arguments: str) -> None:
        """Follow an instruction."""
        if name == "WORKDIR":
            self.folder = arguments
            self.at(arguments).mkdir(parents=True, exist_ok=True)
        elif name == "ENV":
            for pair in shlex.split(arguments):
                variable, _, value = pair.partition("=")
                self.environ[variable] = self.here(value)
        elif name == "COPY" and "--from=" not in arguments:
            self._copy(*shlex.split(arguments))
        elif name == "RUN":
            self._run(arguments)
        elif name == "ENTRYPOINT":
            self.entrypoint = json.loads(arguments)

    def at(self, path: str) -> Path:
        """A path of the image, on this machine."""
        return self.root / str(Path(self.folder) / path).lstrip("/")

    def here(self, text: str) -> str:
        """A text with the image's paths as they are on this machine."""
        return re.sub(r"(?<![\w.])/(opt|state)\b", rf"{self.root}/\1", text)

    def variables(self) -> dict[str, str]:
        """The environment of a command."""
        inherited = {name: os.environ[name] for name in os.environ if name != "VIRTUAL_ENV"}
        variables = {**inherited, **self.environ, "UV_PYTHON": sys.executable}
        path = self.environ.get("PATH", "$PATH").replace("$PATH", inherited["PATH"])
        return {**variables, "PATH": f"{path}{os.pathsep}{Path(find_uv_bin()).parent}"}

    def _copy(self, *paths: str) -> None:
        *sources, target = paths
        for each in sources:
            source = ROOT / each
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, self.at(target), ignore=ignored)
            else:
                shutil.copy(source, self.at(target))

    def _run(self, command: str) -> None:
        self.ran.append(command)
        if INSTALLS_UV.search(command):
            return  # it is here
        mine = self.here(command).replace("10001", str(os.getuid()))
        # Compiling costs seconds, and what is cached needs no download.
        spared = {"UV_COMPILE_BYTECODE": "0", "UV_NO_CACHE": "0"}
        subprocess.run(
            ["/bin/sh", "-euc", mine],
            cwd=self.at("."),
            env={**self.variables(), **spared, "VERSION": "1.2.3"},
            capture_output=True,
            check=True,
        )


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    machine = Machine(tmp_path_factory.mktemp("image"))
    for name, arguments in instructions():
        machine.do(name, arguments)
    return machine


@pytest.fixture(scope="module")
def stripe() -> Iterator[FakeStripe]:
    with FakeStripe() as stripe:
        stripe.seed("charges", 3)
        yield stripe


def run(
    machine: Machine, *arguments: str, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the image with some arguments."""
    command, *options = machine.entrypoint
    # subprocess would look for it where pytest's own commands are
    found = shutil.which(command, path=machine.variables()["PATH"])
    assert found == str(machine.root / "opt/tap/bin" / command)
    proxies = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    return subprocess.run(
        [found, *options, *arguments],
        cwd=machine.at("."),
        env={**machine.variables(), **proxies, **(environ or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def test_its_steps_make_an_environment_with_the_version_that_was_given(machine: Machine) -> None:
    assert len(machine.ran) == 4
    assert run(machine, "--version").stdout.startswith("tap-stripe-conn v1.2.3,")
    assert (machine.root / "opt/tap/bin/tap-stripe-conn-setup").exists()


def test_it_has_what_the_lock_says_and_nothing_for_development(machine: Machine) -> None:
    listed = subprocess.run(
        [find_uv_bin(), "pip", "freeze", "--python", str(machine.root / "opt/tap/bin/python")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    export = [find_uv_bin(), "export", "--frozen", "--no-default-groups", "--no-emit-project"]
    locked = subprocess.run(
        [*export, "--no-hashes", "--no-annotate", "--no-header"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    others = [line for line in listed if not line.startswith("tap-stripe-conn")]
    assert len(others) > 20
    assert set(others) <= {line.partition(" ;")[0] for line in locked.splitlines()}


def test_every_run_of_the_page_does_what_it_says(
    machine: Machine, stripe: FakeStripe, tmp_path: Path
) -> None:
    variables = {
        f"TAP_STRIPE_CONN_{name.upper()}": str(value)
        for name, value in settings_for(stripe).items()
    }
    config = machine.root / "state" / "config.json"
    config.write_text(json.dumps(settings_for(stripe)), encoding="utf-8")  # as the form saves it
    tested, tested_by_file, discovered, first, second = commands_of_the_page()
    for command in (tested, tested_by_file):
        ran = follow(machine, command, variables, tmp_path)
        assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, "connection available")
    found = follow(machine, discovered, variables, tmp_path)
    catalog = json.loads(found.stdout)
    select(catalog, ["charges"])
    (tmp_path / "catalog.json").write_text(json.dumps(catalog), encoding="utf-8")
    read = follow(machine, first, variables, tmp_path)
    messages = [json.loads(line) for line in read.stdout.splitlines()]
    assert [each["type"] for each in messages].count("RECORD") == 3
    (tmp_path / "state.json").write_text(json.dumps(messages[-1]["value"]), encoding="utf-8")
    again = follow(machine, second, variables, tmp_path)
    assert again.returncode == 0
    assert '"RECORD"' not in again.stdout


@dataclass(frozen=True, slots=True)
class Command:
    """A `docker run`."""

    options: Sequence[str]
    arguments: Sequence[str]


def commands_of_the_page() -> list[Command]:
    """Those that run the tap, in their order; what they are piped into is yours."""
    commands = []
    for line in re.findall(r"^docker run (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        words = shlex.split(re.split(r" [|>] ", line)[0])
        image = words.index("tap-stripe-conn")
        commands.append(Command(words[:image], words[image + 1 :]))
    return [command for command in commands if "--entrypoint" not in command.options]


def follow(
    machine: Machine, command: Command, variables: Mapping[str, str], work: Path
) -> subprocess.CompletedProcess[str]:
    """Run a command of the page, without an engine."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    for flag in ("--rm", "--init"):
        parser.add_argument(flag, action="store_true", required=True)
    parser.add_argument("--env-file")
    parser.add_argument("--volume", action="append", default=[])
    given = parser.parse_args(command.options)
    assert set(given.volume) <= {"stripe:/state", "$PWD:/work:ro"}
    arguments = [each.replace("/work/", f"{work}/") for each in command.arguments]
    return run(machine, *arguments, environ=variables if given.env_file else None)


def test_tokens_are_kept_on_the_volume(machine: Machine) -> None:
    code = "import platformdirs; print(platformdirs.user_state_path('tap-stripe-conn'))"
    told = subprocess.run(
        [str(machine.root / "opt/tap/bin/python"), "-c", code],
        env=machine.variables(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == str(machine.root / "state/tap-stripe-conn")
    assert ("VOLUME", "/state") in instructions()


def test_it_runs_as_a_user_that_is_not_root(machine: Machine) -> None:
    users = [arguments for name, arguments in instructions() if name == "USER"]
    assert users == ["10001:10001"]
    assert "--owner=10001 --group=10001 /state" in machine.ran[-1]


def test_it_takes_the_same_uv_as_this_checkout() -> None:
    [version] = INSTALLS_UV.findall(DOCKERFILE.read_text(encoding="utf-8"))
    assert version == UV_VERSION


def test_only_what_it_copies_goes_to_the_engine() -> None:
    copied = {
        path
        for name, arguments in instructions()
        if name == "COPY" and "--from=" not in arguments
        for path in shlex.split(arguments)[:-1]
    }
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == copied


def test_a_linter_of_dockerfiles_has_nothing_to_say() -> None:
    linter = environment(HADOLINT) / "hadolint"
    verdict = subprocess.run([str(linter), DOCKERFILE], capture_output=True, text=True, check=False)
    assert (verdict.returncode, verdict.stdout) == (0, "")
