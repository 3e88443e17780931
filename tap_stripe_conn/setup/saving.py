"""What is left of a connection that was created: a config file, or commands for Meltano."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tap_stripe_conn.config import SECRETS, ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

PLUGIN: Final = "tap-stripe-conn"
"""The name of the extractor in Meltano's project."""

_OWNER_ONLY: Final = 0o600


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
    target = path.resolve()
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    text = json.dumps(config, indent=2, ensure_ascii=False) + "\n"
    try:
        _write(unfinished, text)
        check_place(path, overwrite=overwrite)
        unfinished.replace(target)
    except OSError as error:
        msg = f"{path} can't be written: {error.strerror}"
        raise ConfigError(msg) from None
    finally:
        unfinished.unlink(missing_ok=True)


def meltano_commands(config: Mapping[str, object]) -> list[str]:
    """Shell commands that give Meltano the settings, and leave nothing behind.

    The secrets are in files of a new directory, for no command line may hold one: other users see
    those. The last command removes the directory.

    Raises:
        ConfigError: The files can't be written.
    """
    directory = Path(tempfile.gettempdir(), f"{PLUGIN}-{secrets.token_hex(8)}")
    try:
        directory.mkdir(mode=0o700)
        commands = []
        for name, value in config.items():
            setting = ["meltano", "config", "set", PLUGIN, name]
            if name in SECRETS:
                _write(directory / name, str(value))
                setting += ["--from-file", str(directory / name)]
            else:
                text = value if isinstance(value, str) else json.dumps(value)
                # What follows `--` is no option, whatever it begins with.
                setting += ["--", text] if text.startswith("-") else [text]
            commands.append(shlex.join(setting))
    except BaseException as error:
        shutil.rmtree(directory, ignore_errors=True)
        if isinstance(error, OSError):
            msg = f"The secrets can't be written to {directory}: {error.strerror}"
            raise ConfigError(msg) from None
        raise
    return [*commands, shlex.join(["rm", "-r", str(directory)])]


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
