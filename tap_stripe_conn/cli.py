"""The command line: options, exit codes, and every error as one line for people.

Exit codes: 0 complete, 1 connection unavailable or run failed, 2 bad configuration or usage, 3 ran,
but a selected stream could not be read whole, 130 and 143 interrupted.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from functools import partial
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn

import click
from singer_sdk.exceptions import ConfigValidationError, MappingError
from singer_sdk.plugin_base import SingerCommand, _ConfigInput
from singer_sdk.singerlib import Catalog
from typing_extensions import override

from tap_stripe_conn.api.errors import ConnectionFailedError, StripeError
from tap_stripe_conn.config import ConfigError
from tap_stripe_conn.connection.check import AVAILABLE, ConnectionUnavailableError, reason
from tap_stripe_conn.interrupts import Interrupted
from tap_stripe_conn.messages import OutputError, output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_stripe_conn.streams.outcome import Outcome
    from tap_stripe_conn.tap import TapStripeConn

COMPLETE: Final = 0
FAILED: Final = 1
BAD_CONFIG: Final = 2
NOT_WHOLE: Final = 3

_CONFIGURED: Final = "tap_stripe_conn.configured"
_TESTS: Final = ("all", "connection", "schema")


def command(tap_class: type[TapStripeConn], base: click.Command) -> SingerCommand:
    """The tap's command: the SDK's options with the tap's own behaviour.

    Args:
        tap_class: The tap to run.
        base: The SDK's command for it.
    """
    # It tells of every variable that it reads.
    logging.getLogger("singer_sdk.configuration").setLevel(logging.WARNING)
    options = {param.name: param for param in base.params}
    options["config"].callback = partial(_read_config, tap_class)
    options["discover"].callback = partial(_discover, tap_class)
    test = options["test"]
    test.callback = partial(_test, tap_class)
    if isinstance(test, click.Option):
        test.help = (
            "Test the connection and say whether it is available. --test=schema writes the SCHEMA "
            "messages of all streams without a request."
        )
    return StripeCommand(
        name=base.name,
        callback=partial(_invoke, tap_class),
        params=base.params,
        help="Extract Stripe: one connection, every list.",
        context_settings=base.context_settings,
        logger=tap_class.logger,
    )


class StripeCommand(SingerCommand):
    """Ends in an exit code and, where it fails, in one line on stderr."""

    @override
    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run and exit."""
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False})
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except click.Abort:
            _fail("Interrupted", code=130)
        except Interrupted as interrupted:
            _fail("Interrupted; the last STATE covers what was written", code=interrupted.exit_code)
        except Exception as error:
            if not isinstance(error, EXPECTED):
                self.logger.exception("Unexpected error")
            if isinstance(error, OutputError):
                # The interpreter flushes stdout on its way out, and would complain again.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            lines, code = _verdict(error)
            _fail(*lines, code=code)
        sys.exit(code if isinstance(code, int) else COMPLETE)

    @override
    def invoke(self, ctx: click.Context) -> Any:
        """Run the command itself, without the SDK's own way of reporting errors."""
        return click.Command.invoke(self, ctx)


EXPECTED: Final = (
    ConfigError,
    ConfigValidationError,
    ConnectionFailedError,
    ConnectionUnavailableError,
    MappingError,
    OutputError,
    StripeError,
)
"""Errors that are not the tap's own."""


def _verdict(error: Exception) -> tuple[Sequence[str], int]:
    """What people read of an error, a line each, and the exit code."""
    if isinstance(error, ConfigError):
        return error.problems, BAD_CONFIG
    if isinstance(error, ConfigValidationError):
        return error.errors, BAD_CONFIG
    if isinstance(error, MappingError):
        return [f"Setting 'stream_maps' can't be used: {error}"], BAD_CONFIG
    if isinstance(error, ConnectionUnavailableError):
        return [str(error)], FAILED
    if isinstance(error, (StripeError, ConnectionFailedError)):
        why = reason(error)
    elif isinstance(error, OutputError):
        why = str(error)
    else:
        why = f"by an error of the tap's own, {error!r}"
    return [f"The run failed: {why}"], FAILED


def _fail(*lines: str, code: int) -> NoReturn:
    for line in dict.fromkeys(lines):
        click.echo(line, err=True)
    sys.exit(code)


def _read_config(
    tap_class: type[TapStripeConn],
    context: click.Context,
    _param: click.Parameter,
    value: tuple[str, ...],
) -> _ConfigInput:
    context.meta[_CONFIGURED] = bool(value)
    given = _ConfigInput()
    for path in value:
        if path == "ENV":
            given.parse_env = True
            try:
                _ = tap_class._env_var_config  # noqa: SLF001 - what the SDK reads a moment later
            except ValueError as error:
                msg = f"A variable {tap_class._env_var_prefix}… can't be read: {error}"  # noqa: SLF001
                raise ConfigError(msg) from None
        else:
            given.config |= _read_json("Config file", path)
    return given


def _read_json(what: str, path: str) -> dict[str, Any]:
    try:
        with click.open_file(path, encoding="utf-8") as file:
            return _object(f"{what} {path}", file)
    except OSError as error:
        msg = f"{what} {path} can't be read: {error.strerror}"
        raise ConfigError(msg) from None


def _object(what: str, file: IO[str]) -> dict[str, Any]:
    try:
        document = json.load(file)
    except UnicodeDecodeError:
        msg = f"{what} is not text in UTF-8"
        raise ConfigError(msg) from None
    except json.JSONDecodeError as error:
        msg = f"{what} is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise ConfigError(msg) from None
    if not isinstance(document, dict):
        msg = f"{what} must hold a JSON object"
        raise ConfigError(msg)
    return document


def _catalog(file: IO[str]) -> Catalog:
    what = f"Catalog {file.name}"
    document = _object(what, file)
    try:
        catalog = Catalog.from_dict(document)
    except (AttributeError, KeyError, TypeError, ValueError):
        catalog = Catalog()
    if not catalog:
        msg = f'{what} must be an object like {{"streams": [{{"tap_stream_id": …}}]}}'
        raise ConfigError(msg)
    return catalog


def _state(file: IO[str]) -> dict[str, Any]:
    document = _object(f"State {file.name}", file)
    value = document.get("value")
    # A whole STATE message does as well as what is in it.
    return value if document.get("type") == "STATE" and isinstance(value, dict) else document


def _invoke(  # noqa: PLR0913 - the options that the SDK's command has
    tap_class: type[TapStripeConn],
    *,
    about: bool = False,
    about_format: str | None = None,
    config: _ConfigInput | None = None,
    state: IO[str] | None = None,
    catalog: IO[str] | None = None,
) -> int:
    if about:
        tap_class.print_about(about_format)
        return COMPLETE
    given = config or _ConfigInput()
    tap = tap_class(
        config=given.config,
        parse_env_config=given.parse_env,
        catalog=None if catalog is None else _catalog(catalog),
        state=None if state is None else _state(state),
    )
    tap.check_connection()
    return _summarize(tap.sync())


def _summarize(outcomes: Sequence[Outcome]) -> int:
    """Say in the last line what could not be read; the exit code says it to machines."""
    left_out = [outcome for outcome in outcomes if not outcome.whole]
    if outcomes and not any(outcome.readable for outcome in outcomes):
        click.echo(
            f"The run failed: none of the {len(outcomes)} selected streams can be read; the first: "
            f"{outcomes[0].stream}, {outcomes[0].reason}",
            err=True,
        )
        return FAILED
    if left_out:
        named = "; ".join(f"{outcome.stream}, {outcome.reason}" for outcome in left_out)
        click.echo(
            f"{len(left_out)} of {len(outcomes)} selected streams could not be read whole: {named}",
            err=True,
        )
        return NOT_WHOLE
    return COMPLETE


def _discover(
    tap_class: type[TapStripeConn],
    context: click.Context,
    _param: click.Parameter,
    value: bool,  # noqa: FBT001 - click passes it so
) -> None:
    if not value:
        return
    given: _ConfigInput = context.params.get("config") or _ConfigInput()
    configured = context.meta.get(_CONFIGURED, False)
    tap = tap_class(
        config=given.config,
        parse_env_config=given.parse_env,
        validate_config=configured,
        setup_mapper=False,
    )
    if configured:
        tap.check_connection()
    with output():
        tap.run_discovery()
    context.exit()


def _test(
    tap_class: type[TapStripeConn],
    context: click.Context,
    param: click.Parameter,
    value: str,
) -> None:
    if value == "disabled":
        return
    if value not in _TESTS:
        msg = f"{value!r} is none of {', '.join(_TESTS)}."
        raise click.BadParameter(msg, context, param)
    given: _ConfigInput = context.params.get("config") or _ConfigInput()
    tap = tap_class(config=given.config, parse_env_config=given.parse_env)
    if value == "schema":
        tap.write_schemas()
    else:
        _test_connection(tap)
    context.exit()


def _test_connection(tap: TapStripeConn) -> None:
    try:
        tap.check_connection()
    except ConnectionUnavailableError as error:
        with output():
            click.echo(str(error))
        raise
    with output():
        click.echo(AVAILABLE)
