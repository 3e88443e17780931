"""The scheme OAuth2: the account's owner consents, and the connection is created."""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.setup.dialogue import Dialogue, browse, ended, led_to, link_in, run, start

if TYPE_CHECKING:
    from tests.fake_stripe import FakeStripe
    from tests.setup.dialogue import Room

PAGES = {"connect": "/oauth/authorize", "apps": "/oauth/v2/authorize"}
TITLES = {"connect": "Stripe Connect", "apps": "Stripe Apps"}


def form_of(
    stripe: FakeStripe,
    room: Room,
    to: tuple[str, ...],
    redirect_uri: str,
    *options: str,
    provider: str = "connect",
    **variables: str,
) -> Dialogue:
    """A form that is filled in up to the refresh token."""
    form = Dialogue(
        room,
        *to,
        *("--redirect-uri", redirect_uri, "--authorize-url", stripe.url + PAGES[provider]),
        *("--output", "config.json", *options),
        **variables,
    )
    form.answer("Connection name", "")
    form.answer("Auth scheme", "OAuth2")
    form.answer("OAuth provider", TITLES[provider])
    form.answer("Client ID", stripe.oauth.client_id)
    form.answer("Client secret", stripe.secret_key)
    return form


@pytest.mark.parametrize(
    ("provider", "way"),
    [
        ("connect", "receive"),
        ("apps", "receive"),
        ("connect", "paste the address"),
        ("apps", "paste the code"),
    ],
)
def test_an_account_is_connected(  # noqa: PLR0913, PLR0917 - fixtures
    stripe: FakeStripe,
    room: Room,
    to: tuple[str, ...],
    redirect_uri: str,
    owner: str,
    provider: str,
    way: str,
) -> None:
    form = form_of(stripe, room, to, redirect_uri, provider=provider)
    form.answer("Refresh token [1]", "")
    form.answer("Stripe's answer [1]", "" if way == "receive" else "paste")
    link = form.link()
    if way == "receive":
        assert "You can close this tab" in browse(link).text
    else:
        address = led_to(link)
        code = address.partition("code=")[2].partition("&")[0]
        form.answer("Address or code (input is hidden)", address if "address" in way else code)
    form.see(f"Authorized by {owner}; the tokens are kept in ")
    form.answer(f"Account ID [{owner}; - for none]", "")
    form.see("connection available")
    assert form.ended() == 0
    assert len(stripe.token_requests) == 1
    assert room.config == {
        "connection_name": "stripe",
        "auth_scheme": "oauth2",
        "oauth_provider": provider,
        "client_id": stripe.oauth.client_id,
        "client_secret": stripe.secret_key,
        "refresh_token": room.kept["refresh_token"],
        "account_id": owner,
        "api_base": stripe.url,
        "connect_base": stripe.url,
    }
    for secret in (stripe.secret_key, room.kept["refresh_token"], room.kept["access_token"]):
        assert secret not in form.screen
    if "code" in way:
        assert code not in form.screen


def test_stripe_is_asked_for_what_its_documentation_asks_for(
    stripe: FakeStripe, room: Room, to: tuple[str, ...], redirect_uri: str
) -> None:
    for provider in PAGES:
        form = form_of(stripe, room, to, redirect_uri, provider=provider)
        form.answer("Refresh token", "")
        form.answer("Stripe's answer", "paste")
        led_to(form.link())
        form.press("Address or code", "c")
        assert form.ended() == 130
    connect, apps = ({**request.params, "state": "…"} for request in stripe.requests)
    both = {
        "client_id": stripe.oauth.client_id,
        "redirect_uri": redirect_uri,
        "state": "…",
    }
    assert connect == {"response_type": "code", "scope": "read_write", **both}
    assert apps == both


def test_each_authorization_has_a_state_of_its_own_and_answers_with_another_are_not_accepted(
    stripe: FakeStripe, room: Room, to: tuple[str, ...], redirect_uri: str, owner: str
) -> None:
    form = form_of(stripe, room, to, redirect_uri, "--no-test")
    form.answer("Refresh token", "")
    form.answer("Stripe's answer", "receive")
    link = form.link()
    state = link.partition("state=")[2]
    assert len(state) >= 40
    forged = browse(link.replace(state, "forged"))
    assert forged.status_code == 400
    assert "belongs to another authorization" in forged.text
    form.see("Not accepted: this answer belongs to another authorization (its `state` differs)")
    assert stripe.token_requests == []
    browse(link)
    form.answer("Account ID", "")
    assert form.ended() == 0
    assert len(stripe.token_requests) == 1
    assert room.config["account_id"] == owner


@pytest.mark.usefixtures("owner")
def test_a_pasted_address_with_another_state_is_asked_for_again(
    stripe: FakeStripe, room: Room, to: tuple[str, ...], redirect_uri: str
) -> None:
    form = form_of(stripe, room, to, redirect_uri, "--no-test")
    form.answer("Refresh token", "")
    form.answer("Stripe's answer", "paste")
    address = led_to(form.link())
    form.answer("Address or code", address.replace("state=", "state=x"))
    form.see("Not accepted: this answer belongs to another authorization")
    form.answer("Address or code", "rt_nonsense")
    form.see("Not accepted: that is neither a code (ac_…) nor the address")
    assert stripe.token_requests == []
    form.answer("Address or code", address)
    form.answer("Account ID", "")
    assert form.ended() == 0


def test_a_denial_is_told_in_stripes_words_and_leaves_nothing(
    stripe: FakeStripe, room: Room, to: tuple[str, ...], redirect_uri: str
) -> None:
    stripe.oauth.denies = True
    form = form_of(stripe, room, to, redirect_uri)
    form.answer("Refresh token", "")
    form.answer("Stripe's answer", "")
    page = browse(form.link()).text
    denied = "Stripe did not authorize: The user denied your request (access_denied)"
    assert denied in page
    form.see(f"Not authorized: {denied}")
    form.answer("Refresh token", "Quit")
    assert (form.ended(), form.last_line) == (130, "Interrupted: no connection was created")
    assert stripe.token_requests == []
    assert room.files == set()


@pytest.mark.usefixtures("owner")
def test_a_wrong_client_secret_is_corrected_and_the_owner_asked_again(
    stripe: FakeStripe, room: Room, to: tuple[str, ...], redirect_uri: str
) -> None:
    form = Dialogue(
        room, *to, "--redirect-uri", redirect_uri, "--no-test", "--output", "config.json"
    )
    form.answer("Connection name", "")
    form.answer("Auth scheme", "oauth2")
    form.answer("OAuth provider", "connect")
    form.answer("Client ID", stripe.oauth.client_id)
    form.answer("Client secret", "sk_" + "test_" + "wrong")
    form.answer("Refresh token", "")
    form.answer("Stripe's answer", "")
    browse(form.link())
    form.see("Not authorized: Stripe rejected the client secret; check client_secret")
    assert len(stripe.token_requests) == 1
    form.answer("Refresh token", "Correct client ID and secret")
    form.answer("Client ID", "")
    form.answer("Client secret", stripe.secret_key)
    form.answer("Refresh token", "")
    form.answer("Stripe's answer", "")
    browse(form.link())
    form.answer("Account ID", "")
    assert form.ended() == 0
    assert len(stripe.token_requests) == 2


def test_a_refresh_token_at_hand_is_pasted_and_what_the_test_made_of_it_is_saved(
    stripe: FakeStripe, room: Room, to: tuple[str, ...], redirect_uri: str, owner: str
) -> None:
    pasted = stripe.refresh_token(owner, path="/v1/oauth/token")
    form = form_of(stripe, room, to, redirect_uri, provider="apps")
    form.answer("Refresh token [1]", "Paste one")
    form.answer("Refresh token (input is hidden)", pasted)
    form.answer("Account ID (optional)", "")
    form.see("connection available")
    assert form.ended() == 0
    assert pasted not in form.screen
    # Stripe Apps' refresh tokens die of being used, and the config may go to another machine.
    assert room.config["refresh_token"] != pasted
    assert room.config["refresh_token"] in {
        grant.refresh_token
        for grant in stripe.oauth._grants  # noqa: SLF001 - the one alive
    }
    again = run(room, "--no-input", "--output", "again.json", *config_options(room))
    assert (again.code, "connection available" in again.stderr) == (0, True)


def config_options(room: Room) -> list[str]:
    return [
        part
        for name, value in room.config.items()
        for part in (f"--{name.replace('_', '-')}", value)
    ]


@pytest.mark.usefixtures("owner")
def test_the_page_is_opened_in_the_users_browser(
    stripe: FakeStripe, room: Room, to: tuple[str, ...], redirect_uri: str
) -> None:
    browser = room.path / "browser.py"
    browser.write_text("import requests, sys; requests.get(sys.argv[1], timeout=10)")
    command = f"{sys.executable} {browser} %s"
    form = form_of(stripe, room, to, redirect_uri, "--no-test", BROWSER=command)
    form.answer("Refresh token", "")
    form.answer("Stripe's answer", "")
    form.answer("Account ID", "")
    assert form.ended() == 0


@pytest.mark.parametrize(("way", "code"), [("Ctrl-C", 130), ("SIGTERM", 143)])
def test_waiting_for_the_owner_can_be_given_up(  # noqa: PLR0913, PLR0917 - fixtures
    stripe: FakeStripe,
    room: Room,
    to: tuple[str, ...],
    redirect_uri: str,
    way: str,
    code: int,
) -> None:
    form = form_of(stripe, room, to, redirect_uri, "--no-test")
    form.answer("Refresh token", "")
    form.answer("Stripe's answer", "")
    form.see("Waiting for Stripe's answer")
    if way == "Ctrl-C":
        form.process.sendcontrol("c")
    else:
        form.process.kill(signal.SIGTERM)
    assert (form.ended(), form.last_line) == (code, "Interrupted: no connection was created")
    assert room.files == set()


@pytest.mark.parametrize(("way", "code"), [("Ctrl-C", 130), ("SIGTERM", 143)])
def test_who_ends_the_form_after_the_authorization_learns_where_it_is_kept(  # noqa: PLR0913, PLR0917 - fixtures
    stripe: FakeStripe,
    room: Room,
    to: tuple[str, ...],
    redirect_uri: str,
    owner: str,
    way: str,
    code: int,
) -> None:
    form = form_of(stripe, room, to, redirect_uri, "--no-test")
    form.answer("Refresh token", "")
    form.answer("Stripe's answer", "")
    browse(form.link())
    form.see(f"Account ID [{owner}; - for none]: ")
    if way == "Ctrl-C":
        form.process.sendcontrol("c")
    else:
        form.process.kill(signal.SIGTERM)
    assert form.ended() == code
    (kept,) = room.state.rglob("*.json")
    assert room.files == {str(kept.relative_to(room.path))}
    assert form.last_line == (
        f"Interrupted: no config was written; the authorization is kept in {kept}"
    )
    known = {"TAP_STRIPE_CONN_REFRESH_TOKEN": room.kept["refresh_token"]}
    assert run(room, "--no-input", **secrets_of(stripe), **known).code == 0
    assert len(stripe.token_requests) == 1


def test_a_port_that_is_taken_is_told_and_another_way_can_be_chosen(
    stripe: FakeStripe, room: Room, to: tuple[str, ...], owner: str
) -> None:
    taken = f"{stripe.url}/stripe"
    stripe.oauth.redirect_uris.append(taken)
    form = form_of(stripe, room, to, taken, "--no-test")
    form.answer("Refresh token", "")
    form.answer("Stripe's answer", "receive")
    form.see("can't be listened on: Address already in use")
    form.answer("Refresh token", "")
    form.answer("Stripe's answer", "paste")
    form.answer("Address or code", led_to(form.link()))
    form.answer("Account ID", "")
    assert form.ended() == 0
    assert room.config["account_id"] == owner


# --- Without a terminal ------------------------------------------------------------------------


def secrets_of(stripe: FakeStripe) -> dict[str, str]:
    return {
        "TAP_STRIPE_CONN_AUTH_SCHEME": "oauth2",
        "TAP_STRIPE_CONN_CLIENT_ID": stripe.oauth.client_id,
        "TAP_STRIPE_CONN_CLIENT_SECRET": stripe.secret_key,
        "TAP_STRIPE_CONN_API_BASE": stripe.url,
        "TAP_STRIPE_CONN_CONNECT_BASE": stripe.url,
    }


def test_without_a_terminal_the_link_is_on_stderr_and_its_answer_awaited(
    stripe: FakeStripe, room: Room, redirect_uri: str, owner: str
) -> None:
    process = start(room, "--authorize", "--redirect-uri", redirect_uri, **secrets_of(stripe))
    browse(link_in(process))
    done = ended(process)
    assert (done.code, done.stdout) == (0, "")
    assert f"Authorized by {owner}" in done.stderr
    assert room.config["refresh_token"] == room.kept["refresh_token"]
    assert len(stripe.token_requests) == 1


def test_without_an_answer_it_ends_when_the_time_is_up(
    stripe: FakeStripe, room: Room, redirect_uri: str
) -> None:
    options = ("--authorize", "--redirect-uri", redirect_uri, "--time-limit", "0.2")
    started = time.monotonic()
    done = run(room, *options, **secrets_of(stripe))
    assert 0.2 <= time.monotonic() - started < 5
    assert (done.code, done.last_line) == (
        1,
        "Connection unavailable: no answer came from Stripe within 0.2 seconds",
    )
    assert room.files == set()


def test_a_code_is_exchanged_once_also_when_that_fails(stripe: FakeStripe, room: Room) -> None:
    code = stripe.oauth.code(stripe.add_account(), "/oauth/token")
    stripe.fault("/oauth/token", "reset")
    done = run(room, TAP_STRIPE_CONN_CODE=code, **secrets_of(stripe))
    assert done.code == 1
    assert done.last_line.startswith("Connection unavailable: Stripe's token endpoint can't be")
    assert len(stripe.token_requests) == 1
    assert room.files == set()


def test_a_code_makes_a_connection(stripe: FakeStripe, room: Room) -> None:
    code = stripe.oauth.code(stripe.add_account(), "/oauth/token")
    before = {"TAP_STRIPE_CONN_OAUTH_ACCESS_TOKEN": stripe.oauth_token(stripe.account_id)}
    done = run(room, TAP_STRIPE_CONN_CODE=code, **before, **secrets_of(stripe))
    assert (done.code, done.stdout) == (0, "")
    assert room.config["refresh_token"] == room.kept["refresh_token"]
    assert "oauth_access_token" not in room.config, "it is of another authorization"
    assert code not in done.stderr


@pytest.mark.parametrize("options", [(), ("--meltano",)])
def test_what_a_spent_code_has_granted_is_saved_although_the_test_fails(
    stripe: FakeStripe, room: Room, options: tuple[str, ...]
) -> None:
    stripe.oauth.permissions = set()
    code = stripe.oauth.code(stripe.add_account(), "/oauth/token")
    done = ended(start(room, *options, TAP_STRIPE_CONN_CODE=code, **secrets_of(stripe)))
    assert done.code == 1
    assert done.last_line.startswith(
        "Saved, although the test failed: none of the 136 selected streams can be read; "
    )
    if options:
        (file,) = (room.path / "tmp").rglob("refresh_token")
        assert file.read_text() == room.kept["refresh_token"]
        assert str(file) in done.stdout
    else:
        assert room.config["refresh_token"] == room.kept["refresh_token"]


def test_a_refused_refresh_token_is_not_saved(stripe: FakeStripe, room: Room) -> None:
    known = {"TAP_STRIPE_CONN_REFRESH_TOKEN": "rt_" + "nobodys"}
    done = run(room, **secrets_of(stripe), **known)
    assert done.code == 1
    assert done.last_line.startswith("Connection unavailable: Stripe refused the refresh token")
    assert "project/config.json" not in room.files


def test_what_stripe_repeats_of_a_code_is_not_shown(stripe: FakeStripe, room: Room) -> None:
    unknown = "ac_" + "planted1planted1"
    done = run(room, TAP_STRIPE_CONN_CODE=unknown, **secrets_of(stripe))
    assert done.code == 1
    assert done.last_line.startswith(
        "Connection unavailable: Stripe refused the authorization code: it is revoked, expired or"
    )
    assert "Authorization code does not exist: ac_…" in done.last_line


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ((), "instead of a refresh token, give --code or --authorize"),
        (
            ("--authorize", "--redirect-uri", "https://example.com/stripe"),
            "--authorize needs a --redirect-uri on this machine; otherwise give --code",
        ),
        (("--code", "ac_1", "--account-id", "x"), "Setting 'account_id' must be an account's id"),
        (("--redirect-uri", "http://example.com"), "--redirect-uri must be an https URL"),
        (("--authorize-url", "ftp://x"), "--authorize-url must be an https URL"),
    ],
)
def test_what_is_missing_or_wrong_is_told_before_anything_is_sent(
    stripe: FakeStripe, room: Room, options: tuple[str, ...], line: str
) -> None:
    done = run(room, *options, **secrets_of(stripe))
    assert done.code == 2
    assert done.last_line.startswith(line)
    assert stripe.requests == []
    assert room.files == set()


def test_a_code_is_not_spent_when_the_config_file_can_not_be_written(
    stripe: FakeStripe, room: Room
) -> None:
    (room.project / "config.json").write_text("kept")
    code = stripe.oauth.code(stripe.add_account(), "/oauth/token")
    done = run(room, "--code", code, **secrets_of(stripe))
    assert (done.code, done.last_line) == (2, "config.json exists; --overwrite replaces it")
    assert stripe.requests == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "tokens can't be kept in "),
        ("something else", "state.json does not hold tokens as this version keeps them"),
    ],
)
def test_a_code_is_not_spent_when_its_tokens_can_not_be_kept(
    stripe: FakeStripe, room: Room, content: str | None, problem: str
) -> None:
    (room.project / "state.json").write_text(content or "")
    path = "state.json" if content else "state.json/tokens.json"
    code = stripe.oauth.code(stripe.add_account(), "/oauth/token")
    done = run(room, "--code", code, "--token-file", path, **secrets_of(stripe))
    assert done.code == 1
    assert done.last_line.startswith("Connection unavailable: ")
    assert problem in done.last_line
    assert stripe.requests == []
    assert room.files == {"project/state.json"}
