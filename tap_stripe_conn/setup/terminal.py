"""Questions at the terminal, on stderr: stdout is for what a command is run for."""

from __future__ import annotations

import getpass
import os
import sys
import textwrap
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import click

from tap_stripe_conn.interrupts import Interrupted
from tap_stripe_conn.redaction import conceal

if TYPE_CHECKING:
    from collections.abc import Mapping

WIDTH: Final = 80

_TERMINAL: Final = "/dev/tty"


def appear() -> None:
    """Let stderr be the terminal that the answers come from, where it leads elsewhere.

    `meltano invoke` takes it for a log: it shows whole lines, and no question is one.
    """
    if sys.__stderr__ is None or sys.__stderr__.isatty():
        return
    with suppress(OSError):
        terminal = os.open(_TERMINAL, os.O_WRONLY)
        os.dup2(terminal, sys.__stderr__.fileno())
        os.close(terminal)


def say(text: str = "") -> None:
    """Print a line."""
    click.echo(text, err=True)


def show_link(url: str) -> None:
    """Print an address on a line of its own, with its whole query.

    What stands in front of stderr would leave out the query's values, for they may be secrets.
    """
    click.echo(f"  {url}", file=sys.__stderr__)


def explain(text: str) -> None:
    """Print a paragraph, wrapped."""
    say()
    say(textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False))


def ask(question: str, *, hidden: bool = False) -> str:
    """The answer, without the space around it.

    Args:
        question: Without the colon.
        hidden: Whether nobody may see what is typed.

    Raises:
        click.Abort: The user wants no more of this, by Ctrl-C or Ctrl-D.
    """
    while True:
        try:
            answer = _typed(question, hidden=hidden).strip()
            answer.encode()  # what is no text may be read as if it were
        except UnicodeError:
            # The error holds what was typed.
            say("That is not text in UTF-8.")
        except (KeyboardInterrupt, EOFError):
            say()
            raise click.Abort from None
        except Interrupted:
            say()
            raise
        else:
            return answer


def _typed(question: str, *, hidden: bool) -> str:
    if hidden:
        answer = getpass.getpass(f"{question} (input is hidden): ")
        conceal(answer)
        return answer
    click.echo(f"{question}: ", nl=False, err=True)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line


def choose(question: str, choices: Mapping[str, str], default: str) -> str:
    """One of `choices`, by its number, its name or its title.

    Args:
        question: Without the colon.
        choices: Names and titles.
        default: The name that Enter takes.
    """
    names = list(choices)
    for number, title in enumerate(choices.values(), 1):
        say(f"  {number}. {title}")
    known = {title.casefold(): name for name, title in choices.items()}
    known |= {name.casefold(): name for name in names}
    known |= {str(number): name for number, name in enumerate(names, 1)}
    while True:
        answer = ask(f"{question} [{names.index(default) + 1}]").casefold()
        if not answer:
            return default
        if answer in known:
            return known[answer]
        say(f"Enter a number from 1 to {len(names)}.")


def confirmed(question: str) -> bool:
    """Whether the user says yes; Enter says no."""
    while True:
        answer = ask(f"{question} [y/N]").casefold()
        if answer in {"y", "yes"}:
            return True
        if answer in {"", "n", "no"}:
            return False
        say("Enter y or n.")
