"""The Tab key in bash, once a command's completion is loaded."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPTS = Path(sys.executable).parent
PAGE = Path(__file__).parents[1] / "docs" / "shell-completion.md"
PROMPT = "ready> "


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pexpect.spawn[str]]:
    """A shell with the completion of both commands, in a folder with a config file."""
    folder = tmp_path_factory.mktemp("shell")
    (folder / "config.json").touch()
    found = shutil.which("bash")
    assert found
    shell = pexpect.spawn(
        found,
        ["--norc", "--noprofile", "-i"],
        cwd=str(folder),
        env={
            "PATH": f"{SCRIPTS}:/usr/bin:/bin",
            "PS1": PROMPT,
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
        },
        encoding="utf-8",
        timeout=30,
        dimensions=(24, 200),
    )
    shell.expect_exact(PROMPT)
    for command in documented():
        shell.sendline(command)
        shell.expect_exact(PROMPT)
    yield shell
    shell.close(force=True)


def documented() -> list[str]:
    """The lines that the page has people put into their shell's start-up file."""
    return re.findall(r"^eval .*=bash_source .*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("tap-stripe-conn --disc", "over "),
        ("tap-stripe-conn --config con", "fig.json "),
        ("tap-stripe-conn --config E", "NV "),
        ("tap-stripe-conn --test con", "nection "),
        ("tap-stripe-conn-setup --auth-scheme o", "auth2 "),
        ("tap-stripe-conn-setup --token-file con", "fig.json "),
    ],
)
def test_tab_completes_what_is_typed(bash: pexpect.spawn[str], typed: str, completed: str) -> None:
    bash.send(f"{typed}\t")
    bash.expect_exact(typed + completed)
    bash.sendcontrol("u")
    bash.sendline()
    bash.expect_exact(PROMPT)
