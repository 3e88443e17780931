"""The account owner's consent: how it is asked for, and the tokens that come of it."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import webbrowser
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from tap_stripe_conn.api.errors import CredentialsError
from tap_stripe_conn.config import CONNECT
from tap_stripe_conn.connection.authorize import (
    APPS_AUTHORIZE,
    CONNECT_AUTHORIZE,
    Authorization,
    NotAnAnswerError,
    on_loopback,
    receiver,
)
from tap_stripe_conn.connection.token_store import TokenStore, token_path
from tap_stripe_conn.connection.tokens import token_endpoint
from tap_stripe_conn.interrupts import to_its_end
from tap_stripe_conn.setup.terminal import ask, choose, explain, say, show_link
from tap_stripe_conn.tap import TapStripeConn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tap_stripe_conn.config import Settings
    from tap_stripe_conn.connection.authorize import Scope
    from tap_stripe_conn.connection.tokens import Token

USER_AGENT: Final = f"{TapStripeConn.name}/{TapStripeConn.plugin_version}"


@dataclass(slots=True, kw_only=True)
class Consent:
    """How the account's owner is asked, and whether it was given."""

    page: str | None
    """Stripe's page, where it is another than that of the provider."""

    redirect_uri: str
    scope: Scope
    browser: bool
    """Whether to open one."""

    time_limit: float
    """Seconds that the owner has."""

    kept_in: Path | None = field(default=None, init=False)
    """The file with the tokens that came of it; None as long as there are none."""

    def authorized(self, settings: Settings, code: Callable[[Settings], str]) -> Token:
        """The tokens for a code, kept before anything else can happen to them.

        Args:
            settings: Of the connection; its refresh token is still to be had.
            code: Gets it. It is sent once, whatever comes of it.

        Raises:
            AuthorizationError: There is no code.
            CredentialsError: The tokens could not be kept, and no code was asked for; or Stripe
                refuses the code.
        """
        _check_place(settings)
        text = code(settings)
        return to_its_end(partial(self._exchanged, settings, text))

    def _exchanged(self, settings: Settings, code: str) -> Token:
        token = token_endpoint(settings, user_agent=USER_AGENT).redeem(code)
        path = token_path(replace(settings, refresh_token=token.refresh_token))
        TokenStore(path, token.refresh_token).save(token)
        self.kept_in = path
        by = f" by {token.account}" if token.account else ""
        say(f"Authorized{by}; the tokens are kept in {path}")
        return token

    def asked_for(self, settings: Settings) -> str:
        """The code, by whichever way the user chooses.

        Raises:
            AuthorizationError: The owner did not consent, or no answer came.
        """
        way = "paste"
        if on_loopback(self.redirect_uri):
            explain(
                f"Stripe sends the browser to {self.redirect_uri}, which must be registered with "
                "Stripe as a redirect URI. If the browser runs on this machine, the answer is "
                "received there; otherwise copy the address that the browser ends at."
            )
            ways = {"receive": "The browser runs on this machine", "paste": "I paste the address"}
            way = choose("Stripe's answer", ways, "receive")
        return self.received(settings) if way == "receive" else self._pasted(settings)

    def received(self, settings: Settings) -> str:
        """The code, from the redirect to this machine.

        Raises:
            AuthorizationError: The owner did not consent, or no answer came.
        """
        authorization = self._authorization(settings)
        with receiver(authorization, lambda error: say(f"Not accepted: {error}")) as awaited:
            self._show(authorization)
            say(f"Waiting for Stripe's answer at {self.redirect_uri}, Ctrl-C to give up …")
            return awaited.code(self.time_limit)

    def _pasted(self, settings: Settings) -> str:
        authorization = self._authorization(settings)
        self._show(authorization)
        explain(
            "When you have consented, Stripe leads the browser to an address with `code=` in it, "
            "whether or not there is a page. Copy that address, or the code (ac_…). It is good for "
            "five minutes."
        )
        while True:
            try:
                return authorization.pasted(ask("Address or code", hidden=True))
            except NotAnAnswerError as error:
                say(f"Not accepted: {error}")

    def _authorization(self, settings: Settings) -> Authorization:
        if settings.oauth_provider == CONNECT:
            return Authorization.connect(
                self.page or settings.connect_base + CONNECT_AUTHORIZE,
                client_id=settings.client_id,
                redirect_uri=self.redirect_uri,
                scope=self.scope,
            )
        return Authorization.apps(
            self.page or APPS_AUTHORIZE,
            client_id=settings.client_id,
            redirect_uri=self.redirect_uri,
        )

    def _show(self, authorization: Authorization) -> None:
        say()
        say("Log in to Stripe as the account's owner and consent:")
        show_link(authorization.url)
        say()
        if self.browser:
            # Some browsers return only when they are closed.
            threading.Thread(target=_open, args=(authorization.url,), daemon=True).start()


def _check_place(settings: Settings) -> None:
    path = token_path(settings)
    TokenStore(path, settings.refresh_token).read()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        msg = f"tokens can't be kept in {path.parent}: {error.strerror}; let token_file name a file"
        raise CredentialsError(msg) from None


def newest(settings: Settings) -> str:
    """The refresh token that is good now, for the test may have used up the one before.

    It is kept once more as what follows itself, so that it does in place of the one before.

    Raises:
        CredentialsError: The tokens can't be kept.
    """
    kept = TokenStore(token_path(settings), settings.refresh_token).read()
    if kept is None or kept.refresh_token == settings.refresh_token:
        return settings.refresh_token
    path = token_path(replace(settings, refresh_token=kept.refresh_token))
    TokenStore(path, kept.refresh_token).save(kept)
    return kept.refresh_token


def _open(url: str) -> None:
    """Show a page to whoever sits here; that there is no browser is no error."""
    desktop = sys.platform in {"darwin", "win32"} or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    if desktop:  # a browser in the terminal would take the questions' place
        with suppress(webbrowser.Error, OSError):
            webbrowser.open(url)
