"""What is left of a connection that was created: a config file, or commands for Meltano."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import tempfile
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tap_stripe_conn.config import SECRETS, ConfigError, config_schema
from tap_stripe_conn.private_file import write_private

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PLUGIN: Final = "tap-stripe-conn"
"""The name of the extractor in Meltano's project."""


def check_place(path: Path, *, overwrite: bool) -> None:
    """See that a config file can be written there.

    Raises:
        ConfigError: It can't, or there is one that may not be overwritten.
    """
    target = path.resolve()
    problem = ""
    if str(path) == "-":
        problem = "A config file holds secrets and is not printed; name a file"
    elif target.exists() and not target.is_file():
        problem = f"{path} is not a file"
    elif not target.parent.is_dir():
        problem = f"{path} can't be written: there is no directory {target.parent}"
    elif not os.access(target.parent, os.W_OK | os.X_OK):
        problem = f"{path} can't be written: no permission to write in {target.parent}"
    elif target.exists() and not overwrite:
        problem = f"{path} exists; --overwrite replaces it"
    if problem:
        raise ConfigError(problem)


def write_config(path: Path, config: Mapping[str, object], *, overwrite: bool) -> None:
    """Write the config file, all of it or nothing, for its owner's eyes only.

    Raises:
        ConfigError: There is one that may not be overwritten, or it can't be written.
    """
    check_place(path, overwrite=overwrite)
    target = path.resolve()
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    try:
        with nullcontext() if overwrite else _claimed(target):
            write_private(target, text)
    except OSError as error:
        msg = f"{path} can't be written: {error.strerror}"
        raise ConfigError(msg) from None


@contextmanager
def _claimed(path: Path) -> Iterator[None]:
    """With an empty file there, so that nobody else's is replaced."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o600))
    try:
        yield
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


@contextmanager
def meltano_commands(config: Mapping[str, object]) -> Iterator[list[str]]:
    """Shell commands that give Meltano these settings and no others, and leave nothing behind.

    Each is run only if the one before succeeded, so that a secret is not removed unread.
    The secrets are in files of a new directory, for no command line may hold one: other users see
    those. The last command removes the directory; so does an error on the way to whoever runs them.

    Raises:
        ConfigError: The files can't be written.
    """
    directory = Path(tempfile.gettempdir(), f"{PLUGIN}-{secrets.token_hex(8)}")
    try:
        commands = [*_settings(config, directory), shlex.join(["rm", "-r", str(directory)])]
        yield [f"{command} &&" for command in commands[:-1]] + commands[-1:]
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def _settings(config: Mapping[str, object], directory: Path) -> list[str]:
    others = [name for name in config_schema()["properties"] if name not in config]
    # Meltano takes several names for parts of one.
    commands = [
        f"for name in {' '.join(others)}; do meltano config unset {PLUGIN} $name; done",
    ]
    try:
        directory.mkdir(mode=0o700)
        for name, value in config.items():
            setting = ["meltano", "config", "set", PLUGIN, name]
            if name in SECRETS:
                write_private(directory / name, str(value))
                setting += ["--from-file", str(directory / name)]
            else:
                text = value if isinstance(value, str) else json.dumps(value)
                text = text.replace("$", "\\$")  # Meltano would put a variable there
                # What follows `--` is no option, whatever it begins with.
                setting += ["--", text] if text.startswith("-") else [text]
            commands.append(shlex.join(setting))
    except OSError as error:
        msg = f"The secrets can't be written to {directory}: {error.strerror}"
        raise ConfigError(msg) from None
    return commands
