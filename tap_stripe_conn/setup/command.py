"""`tap-stripe-conn-setup`: create a connection, at a terminal or by options alone.

Exit codes are those of `exit_codes`; an interrupted command ends with 130 or 143.
"""

from __future__ import annotations

import shlex
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click
from click.shell_completion import CompletionItem

from tap_stripe_conn.api.errors import CredentialsError
from tap_stripe_conn.cli import StripeCommand
from tap_stripe_conn.config import OAUTH2, ConfigError, secrets_of, sound_address
from tap_stripe_conn.connection.authorize import (
    REDIRECT_URI,
    TIME_LIMIT,
    AuthorizationError,
    NotAnAnswerError,
    code_in,
    on_loopback,
)
from tap_stripe_conn.connection.check import ConnectionUnavailableError
from tap_stripe_conn.exit_codes import COMPLETE, FAILED, INTERRUPTED
from tap_stripe_conn.interrupts import Interrupted
from tap_stripe_conn.messages import output
from tap_stripe_conn.redaction import conceal
from tap_stripe_conn.setup.consent import Consent, newest
from tap_stripe_conn.setup.form import PROPERTIES, Form, config_of, given_by, settings_of
from tap_stripe_conn.setup.saving import check_place, meltano_commands, write_config
from tap_stripe_conn.setup.terminal import appear, ask, choose, confirmed, explain, say
from tap_stripe_conn.tap import TapStripeConn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

    from tap_stripe_conn.connection.authorize import Scope

ENVIRONMENT: Final = "TAP_STRIPE_CONN_"
"""What the variables of the tap's settings begin with."""

CONFIG_FILE: Final = Path("config.json")

_HELP: Final = f"""Create a connection to Stripe: enter its settings, test it, save it.

At a terminal this is a form that asks for what no option gives; what the environment holds is
suggested. Without a terminal, options and environment are all there is.

Give secrets by the environment rather than by options, which other users of this machine can see.
Each setting is read from {ENVIRONMENT} and its name in capitals, as the tap does."""


def main() -> NoReturn:
    """Run the command and exit."""
    command().main()


def command() -> click.Command:
    """The command, with the tap's settings for options."""
    return StripeCommand(
        name="tap-stripe-conn-setup",
        callback=_setup,
        params=options(),
        help=_HELP,
        context_settings={"help_option_names": ["-h", "--help"]},
        logger=TapStripeConn.logger,
    )


def options() -> list[click.Parameter]:
    """The tap's settings, then what is this command's own."""
    return [*_setting_options(), *_own_options()]


def _setting_options() -> list[click.Option]:
    """One for each setting of the tap, as the tap describes it."""
    kinds = {"boolean": click.BOOL, "number": click.FLOAT}
    return [
        click.Option(
            [given_by(name)],
            help=setting["description"],
            type=next((kinds[kind] for kind in setting["type"] if kind in kinds), click.STRING),
            envvar=f"{ENVIRONMENT}{name.upper()}",
            shell_complete=_completing(name, setting),
        )
        for name, setting in PROPERTIES.items()
    ]


def _completing(
    name: str, setting: Mapping[str, Any]
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """How a shell completes a setting's value: to one of its choices, or to a file."""

    def complete(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
        if name.endswith("_file"):
            return [CompletionItem(begun, type="file")]
        choices = setting.get("enum", ())
        return [CompletionItem(choice) for choice in choices if str(choice).startswith(begun)]

    return complete


def _own_options() -> list[click.Option]:
    return [
        click.Option(
            ["--output"],
            type=click.Path(path_type=Path),
            metavar="FILE",
            help=f"Write the config file here. Without a terminal: {CONFIG_FILE}.",
        ),
        click.Option(
            ["--overwrite"], is_flag=True, help="Replace the config file if there is one."
        ),
        click.Option(
            ["--meltano"],
            is_flag=True,
            help="Print the commands that give the settings to Meltano instead.",
        ),
        click.Option(["--no-test"], is_flag=True, help="Save the connection without a test."),
        click.Option(["--no-input"], is_flag=True, help="Ask for nothing."),
        click.Option(
            ["--authorize"],
            is_flag=True,
            help="OAuth2, without a terminal: print Stripe's page on stderr, and wait for its "
            "redirect to this machine.",
        ),
        click.Option(
            ["--code"],
            envvar=f"{ENVIRONMENT}CODE",
            help="OAuth2: the authorization code (ac_…) to exchange for a refresh token.",
        ),
        click.Option(
            ["--redirect-uri"],
            default=REDIRECT_URI,
            show_default=True,
            help="OAuth2: where Stripe redirects to, as registered with Stripe.",
        ),
        click.Option(
            ["--authorize-url"],
            help="OAuth2: Stripe's page, where it is an app's own install or test link.",
        ),
        click.Option(
            ["--scope"],
            type=click.Choice(["read_write", "read_only"]),
            default="read_write",
            show_default=True,
            help="OAuth2 with Connect: what is asked for. Platforms must ask for read_write.",
        ),
        click.Option(
            ["--no-browser"], is_flag=True, help="OAuth2: print Stripe's page without opening it."
        ),
        click.Option(
            ["--time-limit"],
            type=click.FloatRange(min=0, min_open=True),
            default=TIME_LIMIT,
            show_default=True,
            help="OAuth2: seconds to wait for Stripe's redirect.",
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """Where the connection is saved, as far as options say it."""

    output: Path | None
    overwrite: bool
    meltano: bool


def _setup(  # noqa: PLR0913 - one for each option
    *,
    output: Path | None,
    overwrite: bool,
    meltano: bool,
    no_test: bool,
    no_input: bool,
    authorize: bool,
    code: str | None,
    redirect_uri: str,
    authorize_url: str | None,
    scope: Scope,
    no_browser: bool,
    time_limit: float,
    **settings: object,
) -> int:
    conceal(code, *secrets_of(settings))
    consent = Consent(
        page=authorize_url,
        redirect_uri=redirect_uri,
        scope=scope,
        browser=not no_browser,
        time_limit=time_limit,
    )
    target = _Target(output=output, overwrite=overwrite, meltano=meltano)
    _check_usage(consent, target)
    code = _checked(code)
    given, suggested = _by_source(settings)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        if no_input or not sys.stdin.isatty():
            if not meltano:
                check_place(output or CONFIG_FILE, overwrite=overwrite)
            config = _unattended({**suggested, **given}, consent, code, authorize=authorize)
            failure = None if no_test else _failure(config, consent)
            _save(config, target, meltano=meltano)
        else:
            appear()
            form = Form(given, suggested, consent=consent, code=code)
            config, failure = _attended(form, no_test=no_test), None
            _save_as_chosen(config, target)
    except KeyboardInterrupt:
        say()  # after the terminal's ^C
        return _interrupted(consent, INTERRUPTED)
    except click.Abort:
        return _interrupted(consent, INTERRUPTED)
    except Interrupted as interrupted:
        return _interrupted(consent, interrupted.exit_code)
    except CredentialsError as error:
        raise ConnectionUnavailableError(str(error)) from error
    if failure is not None:
        say(f"Saved, although the test failed: {failure}")
        return FAILED
    return COMPLETE


def _terminate(signum: int, _frame: FrameType | None) -> None:
    """Let SIGTERM be an exception, so that nothing half done is left."""
    raise Interrupted(signum)


def _interrupted(consent: Consent, code: int) -> int:
    if consent.kept_in is None:
        say("Interrupted: no connection was created")
    else:
        say(f"Interrupted: no config was written; the authorization is kept in {consent.kept_in}")
    return code


def _check_usage(consent: Consent, target: _Target) -> None:
    """Before anything is asked or spent.

    Raises:
        ConfigError: An option can't be used.
    """
    for option, address in (
        ("--redirect-uri", consent.redirect_uri),
        ("--authorize-url", consent.page),
    ):
        if address and not sound_address(address):
            msg = f"{option} must be an https URL (http only on loopback)"
            raise ConfigError(msg)
    if target.output and target.meltano:
        msg = "--output and --meltano exclude each other"
        raise ConfigError(msg)


def _checked(code: str | None) -> str | None:
    """The code that is given, or that of a whole address."""
    if code is None:
        return None
    try:
        code = code_in(code)
    except NotAnAnswerError as error:
        msg = f"--code: {error}"
        raise ConfigError(msg) from None
    conceal(code)
    return code


def _by_source(settings: Mapping[str, object]) -> tuple[dict[str, object], dict[str, object]]:
    """What options say, and what the environment does."""
    context = click.get_current_context()
    given: dict[str, object] = {}
    suggested: dict[str, object] = {}
    for name, value in settings.items():
        if value is not None:
            environment = (
                context.get_parameter_source(name) is click.core.ParameterSource.ENVIRONMENT
            )
            (suggested if environment else given)[name] = value
    return given, suggested


# Without a terminal


def _unattended(
    answers: dict[str, Any], consent: Consent, code: str | None, *, authorize: bool
) -> dict[str, Any]:
    """The config, for which nobody is asked but the account's owner.

    Raises:
        ConfigError: Something is missing or wrong; nothing was sent.
        ConnectionUnavailableError: There is no refresh token to be had.
    """
    if answers.get("auth_scheme") != OAUTH2 or answers.get("refresh_token"):
        return config_of(answers)
    if not code and not authorize:
        try:
            return config_of(answers)
        except ConfigError as error:
            hint = "instead of a refresh token, give --code or --authorize"
            raise ConfigError(*error.problems, hint) from None
    # All else must be right before the code is spent.
    config_of({**answers, "refresh_token": "later"})
    if not code and not on_loopback(consent.redirect_uri):
        msg = "--authorize needs a --redirect-uri on this machine; otherwise give --code"
        raise ConfigError(msg)
    try:
        token = consent.authorized(
            settings_of(answers), (lambda _: code) if code else consent.received
        )
    except AuthorizationError as error:
        raise ConnectionUnavailableError(str(error)) from None
    granted = {"refresh_token": token.refresh_token, "oauth_access_token": None}
    return config_of({**answers, **granted})


def _failure(config: Mapping[str, Any], consent: Consent) -> str | None:
    """Why the connection is unavailable that has to be saved all the same; None if it is fine.

    Raises:
        ConnectionUnavailableError: It is, and nothing is lost if it isn't saved.
    """
    try:
        _examine(config)
    except ConnectionUnavailableError as error:
        if consent.kept_in is None:
            raise
        # The code is spent: whoever has no config has to ask the owner again.
        return error.reason
    return None


# At a terminal


def _attended(form: Form, *, no_test: bool) -> dict[str, Any]:
    """The config, when the user is content with it."""
    explain(
        "A new connection to Stripe. Enter takes what stands in brackets; Ctrl-C ends this, and no "
        "connection is created."
    )
    while True:
        config = form.filled()
        if no_test:
            return config
        say()
        say("Testing the connection …")
        try:
            _examine(config)
        except ConnectionUnavailableError as error:
            say(str(error))
        else:
            return config
        ways = {"correct": "Correct the answers", "save": "Save it anyway", "quit": "Quit"}
        way = choose("What now", ways, "correct")
        if way == "quit":
            raise click.Abort
        if way == "save":
            return config


def _save_as_chosen(config: Mapping[str, Any], target: _Target) -> None:
    meltano = target.meltano
    if not meltano and target.output is None:
        say()
        ways = {"file": "A config file", "meltano": "Settings of a Meltano project"}
        meltano = choose("Save it as", ways, "file") == "meltano"
    if not meltano:
        target = _chosen(target)
    _save(config, target, meltano=meltano)


def _chosen(target: _Target) -> _Target:
    """A place that can be written to, and that the user lets be overwritten if need be."""
    path = target.output
    while True:
        path = path or Path(ask(f"Config file [{CONFIG_FILE}]") or CONFIG_FILE).expanduser()
        try:
            check_place(path, overwrite=True)
        except ConfigError as error:
            say(str(error))
        else:
            overwrite = path.exists()
            if not overwrite or target.overwrite or confirmed(f"{path} exists. Replace it?"):
                return replace(target, output=path, overwrite=overwrite)
        path = None


# Both


def _examine(config: Mapping[str, Any]) -> None:
    """Test the connection, and show what it can read.

    Raises:
        ConnectionUnavailableError: It can't read anything.
    """
    report = TapStripeConn(config=dict(config)).examine()
    *found, verdict = report.summary()
    for line in found:
        say(line)
    if report.reason is not None:
        raise ConnectionUnavailableError(report.reason)
    say(verdict)


def _save(config: Mapping[str, Any], target: _Target, *, meltano: bool) -> None:
    if config["auth_scheme"] == OAUTH2:
        config = {**config, "refresh_token": newest(settings_of(config))}
    if meltano:
        with meltano_commands(config) as commands, output():
            say()
            say(
                "Run this in your Meltano project; the secrets are in files that the last line "
                "removes:"
            )
            for command in commands:
                click.echo(command)
        say("Then: meltano config test tap-stripe-conn")
        return
    path = target.output or CONFIG_FILE
    write_config(path, config, overwrite=target.overwrite)
    say()
    say(f"Created: {path}, which only you can read. Next:")
    say(f"  tap-stripe-conn --config {shlex.quote(str(path))} --discover > catalog.json")
    say(f"  tap-stripe-conn --config {shlex.quote(str(path))} --catalog catalog.json | your-target")
