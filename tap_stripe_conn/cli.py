"""The command line: options, exit codes, and every error as one line for people.

Exit codes are those of `exit_codes`; an interrupted command ends with 130 or 143.
"""

from __future__ import annotations

import gc
import io
import json
import logging
import os
import sys
from functools import partial
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn

import click
from click.shell_completion import CompletionItem
from singer_sdk.exceptions import ConfigValidationError, MappingError
from singer_sdk.plugin_base import SingerCommand, _ConfigInput
from singer_sdk.singerlib import Catalog
from typing_extensions import override

from tap_stripe_conn.about import text as about_text
from tap_stripe_conn.api.errors import ConnectionFailedError, CredentialsError, StripeError
from tap_stripe_conn.config import SECRETS, ConfigError, secrets_of
from tap_stripe_conn.connection.check import ConnectionUnavailableError, reason
from tap_stripe_conn.exit_codes import BAD_CONFIG, COMPLETE, FAILED, INTERRUPTED
from tap_stripe_conn.interrupts import Interrupted, ignored, to_its_end
from tap_stripe_conn.messages import OutputError, output
from tap_stripe_conn.redaction import conceal, protect_logs, protect_stderr, redacted
from tap_stripe_conn.report import Report
from tap_stripe_conn.run_report import Ending

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tap_stripe_conn.tap import TapStripeConn

_NO_TEST: Final = "disabled"
_TESTS: Final = ("all", "connection", "schema")

_SAMPLE: Final = 1_000
"""Ids of each stream that --verify compares."""

_SEED: Final = 0

_INTRODUCTION: Final = """Extract Stripe: one connection, every list.

Messages go to stdout, for a target; the log goes to stderr.

\b
  tap-stripe-conn-setup                                create config.json
  tap-stripe-conn --config config.json --test          prove it
  tap-stripe-conn --config config.json --discover > catalog.json
  tap-stripe-conn --config config.json --catalog catalog.json | your-target"""

_CODES: Final = """Exit codes: 0 complete; 1 connection unavailable, or the run failed; 2 bad
settings, catalog, state or usage; 3 ran, but a stream could not be read whole; 130 and 143
interrupted."""

_HELP: Final[Mapping[str, str]] = {
    "config": (
        "A JSON file of settings, or ENV for the variables TAP_STRIPE_CONN_…; of several files, "
        "the later wins."
    ),
    "catalog": "What to read: what --discover wrote, with streams selected. Without: all.",
    "state": "Go on from where a run ended: the last line that the target printed.",
    "about": "Tell of the tap and of its settings.",
    "version": "Tell the version.",
    "about_format": (
        "Form of --about; with --test or --verify, json for a document instead of a table."
    ),
    "discover": (
        "Write a catalog: of what the connection can read, or without --config of all streams."
    ),
    "test": (
        "Test the connection, and whether each selected stream can be read. --test=connection "
        "tests the credentials alone; --test=schema writes the SCHEMA messages of all streams "
        "without a request."
    ),
}


_METAVARS: Final = {"config": "FILE", "test": "[TEST]", "catalog": "FILE", "state": "FILE"}

_ORDER: Final = ("config", "discover", "test", "catalog", "state", "verify", "verify_seed")
"""The options that come first; then those that tell of the tap."""

_OWN: Final = (
    click.Option(
        ["--verify"],
        is_flag=False,
        flag_value=str(_SAMPLE),
        type=click.IntRange(min=1),
        metavar="[IDS]",
        help=(
            f"Read a sample of each stream again, {_SAMPLE:,} ids or so many, and compare it with "
            "what was told, as ledger_file has it."
        ),
    ),
    click.Option(
        ["--verify-seed"],
        type=int,
        default=_SEED,
        show_default=True,
        help="Another number for another sample.",
    ),
)
"""Options that the SDK's command lacks."""


def command(tap_class: type[TapStripeConn], base: click.Command) -> SingerCommand:
    """The tap's command: the SDK's options with the tap's own behaviour.

    Args:
        tap_class: The tap to run.
        base: The SDK's command for it.
    """
    # It tells of every variable that it reads.
    logging.getLogger("singer_sdk.configuration").setLevel(logging.WARNING)
    options = {param.name: param for param in base.params}
    # The SDK discovers and tests while it parses, before it knows the options that follow.
    for name, callback in (("config", None), ("discover", None), ("test", _check_test)):
        options[name].callback = callback
        options[name].expose_value = True
    for name, text in _HELP.items():
        option = options[name]
        if isinstance(option, click.Option):
            option.help = text
            option.metavar = _METAVARS.get(name, option.metavar)
    for name, complete in (("config", _complete_config), ("test", _complete_test)):
        options[name]._custom_shell_complete = complete  # noqa: SLF001 - what `shell_complete=` sets
    params = [*base.params, *_OWN]
    rank = {name: number for number, name in enumerate(_ORDER)}
    return StripeCommand(
        name=base.name,
        callback=partial(_invoke, tap_class),
        params=sorted(params, key=lambda param: rank.get(str(param.name), len(rank))),
        help=_INTRODUCTION,
        epilog=_CODES,
        context_settings={"help_option_names": ["-h", "--help"]},
        logger=tap_class.logger,
    )


def _complete_config(
    _: click.Context, __: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    if incomplete and "ENV".startswith(incomplete):
        return [CompletionItem("ENV")]
    return [CompletionItem(incomplete, type="file")]


def _complete_test(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in _TESTS if name.startswith(incomplete)]


class StripeCommand(SingerCommand):
    """Ends in an exit code and, where it fails, in one line on stderr."""

    @override
    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run and exit."""
        protect_logs()
        protect_stderr()
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False})
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except click.Abort:
            _fail("Interrupted", code=INTERRUPTED)
        except Interrupted as interrupted:
            ignored()
            _fail("Interrupted", code=interrupted.exit_code)
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


class RunFailedError(Exception):
    """Stripe can no longer be read; `str()` says why, as one clause for people."""


EXPECTED: Final = (
    ConfigError,
    ConfigValidationError,
    ConnectionUnavailableError,
    MappingError,
    OutputError,
    RunFailedError,
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
    if isinstance(error, (OutputError, RunFailedError)):
        why = str(error)
    else:
        why = f"by an error of the tap's own, {error!r}"
    return [f"The run failed: {why}"], FAILED


def _fail(*lines: str, code: int) -> NoReturn:
    for line in dict.fromkeys(lines):
        click.echo(line, err=True)
    sys.exit(code)


def _check_test(context: click.Context, param: click.Parameter, value: str) -> str:
    if value not in {_NO_TEST, *_TESTS}:
        msg = f"{value!r} is none of {', '.join(_TESTS)}."
        raise click.BadParameter(msg, context, param)
    return value


def _invoke(  # noqa: PLR0913 - the options that the SDK's command has
    tap_class: type[TapStripeConn],
    *,
    about: bool,
    about_format: str | None,
    config: tuple[str, ...],
    discover: bool,
    test: str,
    state: IO[str] | None,
    catalog: IO[str] | None,
    verify: int | None,
    verify_seed: int,
) -> int:
    if about:
        if about_format is None:
            click.echo(about_text(tap_class._get_about_info()), nl=False)  # noqa: SLF001 - what the SDK prints
        else:
            tap_class.print_about(about_format)
        return COMPLETE
    _check_modes(
        about_format,
        {"--discover": discover, "--test": test != _NO_TEST, "--verify": verify is not None},
    )
    if discover:
        return _discover(tap_class, config)
    configured = partial(_configured, tap_class, config, state, catalog)
    if test == "schema":
        # Of all streams: the SDK knows of no selection here.
        _configured(tap_class, config, state=None, catalog=None).write_schemas()
        return COMPLETE
    if test != _NO_TEST:
        return _test(configured, streams=test == "all", as_json=about_format == "json")
    tap = configured()
    if verify is not None:
        return _verify(tap, sample=verify, seed=verify_seed, as_json=about_format == "json")
    _spare_the_collector()
    try:
        ending = run(tap)
    except Interrupted as interrupted:
        ignored()
        ending = _interrupted(tap, interrupted)
    except _LOST as error:
        raise _explained(error, tap) from error
    if ending.complaint is not None:
        click.echo(ending.complaint, err=True)
    return ending.exit_code


def _check_modes(about_format: str | None, modes: Mapping[str, bool]) -> None:
    asked = [name for name, is_asked in modes.items() if is_asked]
    if len(asked) > 1:
        msg = f"{' and '.join(asked)} exclude each other."
        raise click.UsageError(msg)
    if asked and asked != ["--discover"] and about_format == "markdown":
        msg = "--format=markdown goes with --about."
        raise click.UsageError(msg)


def run(tap: TapStripeConn) -> Ending:
    """Prove the connection, read the selected streams, and report what came of it.

    Returns:
        How it ended, where each stream was read as far as it could be.

    Raises:
        Interrupted: And so does whatever else ends a run; that is reported, too.
    """
    tap.record.announce()
    ending = Ending(FAILED)
    try:
        tap.check_connection()
        ending = Ending.of(tap.sync())
    except Interrupted as interrupted:
        ending = _interrupted(tap, interrupted)
        raise
    except Exception as error:
        lines, code = _verdict(_explained(error, tap))
        ending = Ending(code, "; ".join(lines))
        raise
    finally:
        to_its_end(lambda: tap.tell(ending))
    return ending


def _interrupted(tap: TapStripeConn, interrupted: Interrupted) -> Ending:
    begun = "; the last STATE covers what was written" if tap.record.has_begun else ""
    return Ending(interrupted.exit_code, f"Interrupted{begun}")


_LOST: Final = (StripeError, ConnectionFailedError, CredentialsError)
"""What can end a run in the middle: of errors of single streams it goes on."""


def _explained(error: Exception, tap: TapStripeConn) -> Exception:
    """The error, in words for people."""
    if not isinstance(error, _LOST):
        return error
    return RunFailedError(reason(error, tap.settings.account_id, tap.settings.auth_scheme))


def _configured(
    tap_class: type[TapStripeConn],
    config: tuple[str, ...],
    state: IO[str] | None,
    catalog: IO[str] | None,
) -> TapStripeConn:
    given = _read_config(tap_class, config)
    return tap_class(
        config=given.config,
        parse_env_config=given.parse_env,
        catalog=None if catalog is None else _catalog(catalog),
        state=None if state is None else _state(state),
    )


def _discover(tap_class: type[TapStripeConn], config: tuple[str, ...]) -> int:
    given = _read_config(tap_class, config)
    tap = tap_class(
        config=given.config,
        parse_env_config=given.parse_env,
        validate_config=bool(config),
        setup_mapper=False,
    )
    if config:
        tap.check_connection()
        tap.leave_out_closed()
    with output():
        tap.run_discovery()
    return COMPLETE


def _spare_the_collector() -> None:
    """Let the garbage collector pass over what is there to stay, and look at the rest seldom.

    Rows hold no cycles, so that nothing of them is garbage that only it would find.
    """
    gc.freeze()
    gc.set_threshold(50_000)


def _test(configured: Callable[[], TapStripeConn], *, streams: bool, as_json: bool) -> int:
    show = partial(_show, as_json=as_json, whole=streams)
    try:
        tap = configured()
    except (ConfigError, ConfigValidationError, MappingError) as error:
        problems, _ = _verdict(error)
        show(Report(connection=None, refusal="; ".join(problems)))
        raise
    try:
        report = tap.examine() if streams else tap.report(tap.check_connection())
    except ConnectionUnavailableError as error:
        show(tap.report(refusal=error.reason))
        raise
    except ConfigError as error:
        show(Report(connection=None, refusal=str(error)))
        raise
    show(report)
    if report.complaint is not None:
        click.echo(report.complaint, err=True)
    return report.exit_code


def _verify(tap: TapStripeConn, *, sample: int, seed: int, as_json: bool) -> int:
    try:
        findings = tap.verify(sample=sample, seed=seed)
    except _LOST as error:
        raise _explained(error, tap) from error
    _print([json.dumps(findings.document(), indent=2)] if as_json else findings.lines())
    if findings.exit_code != COMPLETE:
        click.echo(redacted(findings.verdict), err=True)
    return findings.exit_code


def _show(report: Report, *, as_json: bool, whole: bool) -> None:
    if as_json:
        _print([json.dumps(report.document(), indent=2)])
    elif report.connection is not None:
        _print(report.lines() if whole else [report.verdict])


def _print(lines: Sequence[str]) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        # An account's name may have letters that the terminal's encoding lacks.
        sys.stdout.reconfigure(errors="backslashreplace")
    with output():
        click.echo(redacted("\n".join(lines)))


def _read_config(tap_class: type[TapStripeConn], config: tuple[str, ...]) -> _ConfigInput:
    given = _ConfigInput()
    for path in config:
        if path == "ENV":
            given.parse_env = True
            prefix = tap_class._env_var_prefix  # noqa: SLF001 - how the SDK names variables
            try:
                _ = tap_class._env_var_config  # noqa: SLF001 - what the SDK reads a moment later
            except ValueError as error:
                conceal(*(os.environ.get(prefix + name.upper()) for name in SECRETS))
                msg = f"A variable {prefix}… can't be read: {error}"
                raise ConfigError(msg) from None
        else:
            given.config |= _read_json("Config file", path)
            conceal(*secrets_of(given.config))
    return given


def _read_json(what: str, path: str) -> dict[str, Any]:
    if path.lstrip().startswith("{"):
        msg = f"{what}: its path is wanted, not what is in it"
        raise ConfigError(msg)
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
