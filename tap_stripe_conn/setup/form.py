"""The form: asks for a connection's settings, only those that its scheme needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from tap_stripe_conn.api.errors import CredentialsError
from tap_stripe_conn.config import (
    API_KEY,
    OAUTH2,
    REQUIRED_BY_SCHEME,
    SCHEME_TITLES,
    SECRETS,
    ConfigError,
    config_schema,
    parse_settings,
)
from tap_stripe_conn.connection.authorize import AuthorizationError
from tap_stripe_conn.setup.terminal import ask, choose, explain, say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tap_stripe_conn.config import Settings
    from tap_stripe_conn.setup.consent import Consent

PROPERTIES: Final[Mapping[str, Mapping[str, Any]]] = config_schema()["properties"]
"""The settings, as the tap describes them."""

CHOICES: Final[Mapping[str, Mapping[str, str]]] = {
    "auth_scheme": SCHEME_TITLES,
    "oauth_provider": {"connect": "Stripe Connect", "apps": "Stripe Apps"},
}
ASKED: Final[Mapping[str, tuple[str, ...]]] = {
    scheme: (
        "connection_name",
        "auth_scheme",
        *(["oauth_provider"] if scheme == OAUTH2 else []),
        *required,
        "account_id",
    )
    for scheme, required in REQUIRED_BY_SCHEME.items()
}
"""What the form asks for, in its order, by scheme."""

NOTHING: Final = "-"
"""Answers an optional question that has a suggestion."""

_STAND_INS: Final[Mapping[str, str]] = {
    **dict.fromkeys((name for names in REQUIRED_BY_SCHEME.values() for name in names), "later"),
    "account_id": "acct_later",
}
"""Nothing is wrong with these; they take the place of what is not answered yet."""


def settings_of(answers: Mapping[str, Any]) -> Settings:
    """The settings as far as they are known.

    Raises:
        ConfigError: Something is wrong with them; that they are incomplete is not.
    """
    return parse_settings({**_STAND_INS, **answers}, config_schema())


def config_of(answers: Mapping[str, Any]) -> dict[str, Any]:
    """What a config file says of the answers: nothing that goes without saying, or is not needed.

    Raises:
        ConfigError: Something is missing or wrong.
    """
    complete = dict(answers)
    parse_settings(complete, config_schema())
    scheme = complete["auth_scheme"]
    needed = {*REQUIRED_BY_SCHEME[scheme], *(["oauth_access_token"] if scheme == OAUTH2 else [])}
    said = {*ASKED[scheme], *needed}
    return {
        name: complete[name]
        for name in (*ASKED[scheme], *PROPERTIES)
        if name in complete
        and (name not in SECRETS or name in needed)
        and (name in said or complete[name] != PROPERTIES[name].get("default"))
    }


def given_by(name: str) -> str:
    """The option of a setting."""
    return f"--{name.replace('_', '-')}"


class Form:
    """Asks, checks each answer when it is given, and asks again."""

    def __init__(
        self,
        given: Mapping[str, Any],
        suggested: Mapping[str, Any],
        *,
        consent: Consent,
        code: str | None,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            given: Settings that need not be asked for.
            suggested: Settings that Enter takes.
            consent: How the account's owner is asked.
            code: An authorization code that need not be asked for.
        """
        self._given = dict(given)
        self._suggested = {
            **{name: PROPERTIES[name]["default"] for name in ("connection_name", *CHOICES)},
            **suggested,
        }
        self._consent = consent
        self._code = code
        self._answers: dict[str, Any] = {}
        self._account: str | None = None
        """Who authorized the connection, if somebody did."""

    def filled(self) -> dict[str, Any]:
        """The settings of the connection; the next time, what was answered is suggested.

        Raises:
            ConfigError: Something is wrong with a setting that the form doesn't ask for.
            click.Abort: The user wants no more of this.
        """
        suggested = {**self._suggested, **self._given}
        self._answers = {
            name: value
            for name, value in suggested.items()
            if name not in {*ASKED[API_KEY], *ASKED[OAUTH2]}
        }
        settings_of(self._answers)
        self._settle("connection_name")
        self._settle("auth_scheme")
        for name in ASKED[self._answers["auth_scheme"]]:
            if name == "refresh_token":
                self._settle_refresh_token()
            elif name not in self._answers:
                self._settle(name)
        self._suggested |= self._answers
        return config_of(self._answers)

    def _settle(self, name: str) -> None:
        """Ask until nothing is wrong with the answer."""
        if name in self._given:
            self._answers[name] = self._given.pop(name)
            say(f"{PROPERTIES[name]['title']}: given by {given_by(name)}")
            if not self._problems():
                return
        else:
            explain(PROPERTIES[name]["description"])
        while True:
            self._answers[name] = self._asked(name)
            if not self._problems():
                self._suggested[name] = self._answers[name]
                return
            self._suggested.pop(name, None)

    def _problems(self) -> Sequence[str]:
        """What is wrong with the last answer; it is told."""
        try:
            settings_of(self._answers)
        except ConfigError as error:
            for problem in error.problems:
                say(problem)
            return error.problems
        return ()

    def _asked(self, name: str) -> str:
        title: str = PROPERTIES[name]["title"]
        suggested = str(self._suggested.get(name) or "")
        if name in CHOICES:
            choices = CHOICES[name]
            return choose(
                title, choices, suggested if suggested in choices else next(iter(choices))
            )
        if name in SECRETS:
            known = " [Enter keeps the known one]" if suggested else ""
            return ask(f"{title}{known}", hidden=True) or suggested
        if name != "account_id":
            return ask(f"{title} [{suggested}]" if suggested else title) or suggested
        suggested = suggested or self._account or ""
        if suggested:
            answer = ask(f"{title} [{suggested}; {NOTHING} for none]") or suggested
            return "" if answer == NOTHING else answer
        return ask(f"{title} (optional)")

    def _settle_refresh_token(self) -> None:
        if "refresh_token" in self._given:
            self._settle("refresh_token")
            return
        explain(PROPERTIES["refresh_token"]["description"])
        ways = {"authorize": "Authorize the connection now", "paste": "Paste one"}
        if self._suggested.get("refresh_token"):
            ways = {"known": "Keep the known one", **ways}
        while True:
            way = "authorize" if self._code else choose("Refresh token", ways, next(iter(ways)))
            if way == "quit":
                raise click.Abort
            if way == "correct":
                self._settle("client_id")
                self._settle("client_secret")
            elif way == "paste":
                self._settle("refresh_token")
                return
            elif way == "known":
                self._answers["refresh_token"] = self._suggested["refresh_token"]
                return
            elif self._authorized():
                return
            ways |= {"correct": "Correct client ID and secret", "quit": "Quit"}

    def _authorized(self) -> bool:
        """Whether the account's owner did authorize the connection; if not, it is told why."""
        code, self._code = self._code, None
        try:
            token = self._consent.authorized(
                settings_of(self._answers),
                self._consent.asked_for if code is None else lambda _: code,
            )
        except (AuthorizationError, CredentialsError) as error:
            say(f"Not authorized: {error}")
            return False
        self._answers["refresh_token"], self._account = token.refresh_token, token.account
        for known in (self._answers, self._suggested, self._given):
            known.pop("oauth_access_token", None)  # of whatever was authorized before
        return True
