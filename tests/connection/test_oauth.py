"""The scheme OAuth2 against the server: who renews, when, how often, and what is kept."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from tap_stripe_conn.api import client as client_module
from tap_stripe_conn.api.client import MAX_TRIES, StripeClient
from tap_stripe_conn.api.errors import AccountError, AuthenticationError, CredentialsError
from tap_stripe_conn.api.limits import Limiter
from tap_stripe_conn.connection.auth import OAuth2Authenticator
from tap_stripe_conn.connection.token_store import TokenStore
from tap_stripe_conn.connection.tokens import TokenEndpoint
from tests.api.servers import API_VERSION

if TYPE_CHECKING:
    from pathlib import Path

    from tap_stripe_conn.config import OAuthProvider
    from tests.fake_stripe import FakeStripe

TOKEN_URLS: dict[OAuthProvider, str] = {"connect": "/oauth/token", "apps": "/v1/oauth/token"}
PROVIDERS = list(TOKEN_URLS)
THREADS = 50


@dataclass(frozen=True)
class Connection:
    """A grant of a connected account, as runs of the tap use it one after another."""

    stripe: FakeStripe
    provider: OAuthProvider
    account: str
    refresh_token: str
    path: Path

    def run(
        self,
        *,
        access_token: str | None = None,
        account_id: str | None = None,
        rate: float = 10_000,
    ) -> StripeClient:
        """A client with an authenticator of its own, as each run has."""
        endpoint = TokenEndpoint(
            self.provider,
            api_base=self.stripe.url,
            connect_base=self.stripe.url,
            client_secret=self.stripe.secret_key,
            user_agent="tap-stripe-conn/1.2.3",
        )
        authenticator = OAuth2Authenticator(
            endpoint,
            TokenStore(self.path, self.refresh_token, access_token),
            refresh_token=self.refresh_token,
            access_token=access_token,
            account_id=account_id,
        )
        return StripeClient(
            base=self.stripe.url,
            auth=authenticator,
            limiter=Limiter(rate=rate, endpoint_rate=10_000),
            api_version=API_VERSION,
            user_agent="tap-stripe-conn/1.2.3",
        )

    def kept_refresh_token(self) -> str:
        token = TokenStore(self.path, self.refresh_token).read()
        assert token is not None
        return token.refresh_token


def connection(stripe: FakeStripe, tmp_path: Path, provider: OAuthProvider) -> Connection:
    account = stripe.add_account()
    token = stripe.refresh_token(account, path=TOKEN_URLS[provider])
    return Connection(stripe, provider, account, token, tmp_path / "tokens.json")


@pytest.fixture(params=PROVIDERS)
def granted(request: pytest.FixtureRequest, stripe: FakeStripe, tmp_path: Path) -> Connection:
    """A grant, of each provider."""
    return connection(stripe, tmp_path, request.param)


@pytest.fixture
def app(stripe: FakeStripe, tmp_path: Path) -> Connection:
    """A grant of Stripe Apps, whose refresh tokens are for one use."""
    return connection(stripe, tmp_path, "apps")


@pytest.fixture
def connect(stripe: FakeStripe, tmp_path: Path) -> Connection:
    """A grant of Stripe Connect, whose refresh tokens stay."""
    return connection(stripe, tmp_path, "connect")


@pytest.fixture
def clock(stripe: FakeStripe) -> list[float]:
    """How far Stripe's clock is ahead, in seconds: ours can't be asked when a token ends."""
    ahead = [0.0]
    stripe.now = lambda: time.time() + ahead[0]
    return ahead


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_WAIT", 0.05)


def statuses(stripe: FakeStripe, path: str) -> list[int | None]:
    return [request.status for request in stripe.requests if request.path == path]


# --- Renewing ----------------------------------------------------------------------------------


def test_the_first_request_asks_for_a_token_and_the_next_use_it(granted: Connection) -> None:
    client = granted.run()
    for _ in range(3):
        assert client.get("/v1/account")["id"] == granted.account
    assert len(granted.stripe.token_requests) == 1


def test_the_next_run_uses_the_token_of_the_run_before(granted: Connection) -> None:
    granted.run().get("/v1/account")
    granted.run().get("/v1/account")
    assert len(granted.stripe.token_requests) == 1


def test_a_configured_access_token_is_used_first(granted: Connection) -> None:
    access = granted.stripe.oauth_token(granted.account, path=TOKEN_URLS[granted.provider])
    granted.run(access_token=access).get("/v1/account")
    assert granted.stripe.token_requests == []


def test_a_refused_access_token_is_renewed_and_the_request_sent_again_once(
    granted: Connection,
) -> None:
    expired = granted.stripe.expired_key()
    answer = granted.run(access_token=expired).get("/v1/account")
    assert answer["id"] == granted.account
    assert statuses(granted.stripe, "/v1/account") == [401, 200]
    assert len(granted.stripe.token_requests) == 1


def test_a_new_token_that_is_refused_as_well_is_not_renewed_again(granted: Connection) -> None:
    granted.stripe.fault("/v1/account", status=401, times=9)
    with pytest.raises(AuthenticationError):
        granted.run().get("/v1/account")
    assert statuses(granted.stripe, "/v1/account") == [401, 401]
    assert len(granted.stripe.token_requests) == 2


def test_fifty_threads_that_meet_an_expired_token_make_one_token_request(
    app: Connection, clock: list[float]
) -> None:
    client = app.run()
    client.get("/v1/account")
    clock[0] = 3601.0
    together = Barrier(THREADS)

    def ask(_: int) -> str:
        together.wait()
        return str(client.get("/v1/account")["id"])

    with ThreadPoolExecutor(THREADS) as threads:
        assert set(threads.map(ask, range(THREADS))) == {app.account}
    assert len(app.stripe.token_requests) == 2
    assert statuses(app.stripe, "/v1/account").count(401) <= THREADS


def test_fifty_threads_that_start_at_once_make_one_token_request(granted: Connection) -> None:
    client = granted.run()
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(lambda _: client.get("/v1/account"), range(THREADS)))
    assert len(granted.stripe.token_requests) == 1


def test_fifty_threads_with_a_revoked_grant_make_one_token_request(granted: Connection) -> None:
    granted.stripe.oauth.revoke(granted.account)
    client = granted.run()

    def ask(_: int) -> str:
        with pytest.raises(CredentialsError) as raised:
            client.get("/v1/account")
        return str(raised.value)

    with ThreadPoolExecutor(THREADS) as threads:
        [message] = set(threads.map(ask, range(THREADS)))
    assert message.startswith("Stripe refused the refresh token: it is revoked, expired")
    assert len(granted.stripe.token_requests) == 1


def test_a_token_is_renewed_before_its_end(
    app: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = app.run()
    client.get("/v1/account")
    in_55_minutes = time.time() + 55 * 60 + 1
    monkeypatch.setattr("tap_stripe_conn.connection.tokens.time.time", lambda: in_55_minutes)
    client.get("/v1/account")
    assert len(app.stripe.token_requests) == 2
    assert statuses(app.stripe, "/v1/account") == [200, 200]


def test_a_refusal_that_is_not_about_the_token_costs_no_token(granted: Connection) -> None:
    body = b'{"error": {"message": "This key does not allow requests from your IP address."}}'
    granted.stripe.fault("/v1/account", status=401, body=body, times=9)
    with pytest.raises(AuthenticationError):
        granted.run().get("/v1/account")
    assert len(granted.stripe.token_requests) == 1


def test_a_newly_configured_access_token_is_used_though_another_is_kept(
    connect: Connection,
) -> None:
    connect.run().get("/v1/account")
    connect.stripe.oauth.revoke(connect.account)
    fresh = connect.stripe.oauth_token(connect.account)
    assert connect.run(access_token=fresh).get("/v1/account")["id"] == connect.account
    assert len(connect.stripe.token_requests) == 1


def test_an_access_token_that_was_configured_before_gives_way_to_what_is_kept(
    app: Connection,
) -> None:
    expired = app.stripe.expired_key()
    for _ in range(3):
        app.run(access_token=expired).get("/v1/account")
    assert len(app.stripe.token_requests) == 1
    assert statuses(app.stripe, "/v1/account") == [401, 200, 200, 200]


# --- What is kept ------------------------------------------------------------------------------


def test_a_rotated_refresh_token_outlives_the_run(app: Connection, clock: list[float]) -> None:
    for run in range(1, 5):
        app.run().get("/v1/account")
        assert len(app.stripe.token_requests) == run
        clock[0] += 3601.0


def test_a_rotated_refresh_token_is_kept_before_its_access_token_is_used(
    app: Connection,
) -> None:
    kept = []

    def note(request: object) -> None:
        if getattr(request, "path", "") == "/v1/account":
            kept.append(app.kept_refresh_token())

    app.stripe.before_request = note
    app.run().get("/v1/account")
    assert kept == [app.kept_refresh_token()]
    assert kept != [app.refresh_token]


def test_two_runs_that_meet_an_expired_token_make_one_token_request(
    app: Connection, clock: list[float]
) -> None:
    runs = [app.run(), app.run()]
    for run in runs:
        run.get("/v1/account")
    clock[0] = 3601.0
    with ThreadPoolExecutor(2) as threads:
        ids = list(threads.map(lambda run: run.get("/v1/account")["id"], runs))
    assert ids == [app.account] * 2
    assert len(app.stripe.token_requests) == 2


def test_where_nothing_can_be_kept_nothing_is_exchanged(app: Connection) -> None:
    app.path.mkdir()
    with pytest.raises(CredentialsError, match="tokens can't be kept in"):
        app.run().get("/v1/account")
    assert app.stripe.requests == []


def test_of_connect_the_configured_refresh_token_is_tried_where_the_kept_one_is_refused(
    connect: Connection,
) -> None:
    store = TokenStore(connect.path, connect.refresh_token)
    connect.run().get("/v1/account")
    token = store.read()
    assert token is not None
    stale = connect.stripe.refresh_token(connect.account, path="/v1/oauth/token")
    store.save(type(token)(access_token="", refresh_token=stale, use_until=0.0))
    connect.run().get("/v1/account")
    assert connect.kept_refresh_token() == connect.refresh_token


# --- Answers that are lost ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["reset", "drop", "truncated", "not_json"])
def test_a_lost_answer_does_not_lose_the_grant(app: Connection, kind: str) -> None:
    app.stripe.fault("/v1/oauth/token", kind, times=2)  # type: ignore[arg-type]
    app.run().get("/v1/account")
    keys = [request.headers["idempotency-key"] for request in app.stripe.token_requests]
    assert keys[0] == keys[1] == keys[2]
    assert app.kept_refresh_token() != app.refresh_token


def test_an_access_token_that_may_have_ended_since_is_not_used(
    app: Connection, clock: list[float]
) -> None:
    for _ in range(3):
        app.stripe.fault("/v1/oauth/token", "reset", after=len(app.stripe.token_requests) and 1)
        with pytest.raises(CredentialsError, match="token endpoint can't be reached"):
            app.run().get("/v1/account", max_tries=1)
        clock[0] += 3601.0
    assert app.run().get("/v1/account")["id"] == app.account
    assert statuses(app.stripe, "/v1/account") == [200]


def test_a_run_after_one_that_was_killed_before_the_answer_came_gets_that_answer(
    app: Connection,
) -> None:
    app.stripe.fault("/v1/oauth/token", "reset")
    with pytest.raises(CredentialsError, match="token endpoint can't be reached"):
        app.run().get("/v1/account", max_tries=1)
    assert app.run().get("/v1/account")["id"] == app.account


def test_after_an_error_on_the_way_the_same_answer_is_asked_for(app: Connection) -> None:
    app.stripe.fault("/v1/oauth/token", status=504, times=2)
    assert app.run().get("/v1/account")["id"] == app.account
    keys = {request.headers["idempotency-key"] for request in app.stripe.token_requests}
    assert (len(keys), len(app.stripe.token_requests)) == (1, 3)


def test_an_error_that_stripe_repeats_is_passed_over(app: Connection) -> None:
    app.stripe.fault("/v1/oauth/token", status=500, when="during")
    assert app.run().get("/v1/account")["id"] == app.account
    keys = [request.headers["idempotency-key"] for request in app.stripe.token_requests]
    assert keys[0] == keys[1] != keys[2]


def test_errors_that_stripe_only_repeats_do_not_keep_the_next_run_from_a_token(
    app: Connection,
) -> None:
    app.stripe.fault("/v1/oauth/token", status=500, times=99, when="during")
    with pytest.raises(CredentialsError, match="Stripe's token endpoint is failing"):
        app.run().get("/v1/account")
    app.stripe.clear_faults()
    assert app.run().get("/v1/account", max_tries=1)["id"] == app.account


def test_where_a_lost_answer_is_not_repeated_the_message_says_what_happened(
    app: Connection,
) -> None:
    app.stripe.oauth.idempotent = False
    app.stripe.fault("/v1/oauth/token", "reset")
    with pytest.raises(CredentialsError) as raised:
        app.run().get("/v1/account")
    assert str(raised.value).startswith("Stripe refused the refresh token: it is revoked, expired")
    assert str(raised.value).endswith("Stripe's answer to a request before was lost, and its token")


@pytest.mark.parametrize("kind", ["reset", "truncated", "rate_limit"])
def test_of_connect_a_lost_answer_is_simply_asked_for_again(connect: Connection, kind: str) -> None:
    connect.stripe.fault("/oauth/token", kind, times=2)  # type: ignore[arg-type]
    assert connect.run().get("/v1/account")["id"] == connect.account
    assert len(connect.stripe.token_requests) == 3


def test_a_token_endpoint_that_keeps_failing_is_given_up(granted: Connection) -> None:
    granted.stripe.fault("*/oauth/token", status=503, times=99)
    with pytest.raises(CredentialsError, match="Stripe's token endpoint is failing"):
        granted.run().get("/v1/account")
    assert len(granted.stripe.token_requests) == MAX_TRIES
    assert statuses(granted.stripe, "/v1/account") == []


def test_a_run_outlives_a_failing_token_endpoint(app: Connection, clock: list[float]) -> None:
    client = app.run()
    client.get("/v1/account")
    clock[0] = 3601.0
    app.stripe.fault("/v1/oauth/token", status=503, times=MAX_TRIES - 2)
    assert client.get("/v1/account")["id"] == app.account


def test_who_waited_while_the_token_endpoint_failed_does_not_ask_it_as_well(
    app: Connection,
) -> None:
    app.stripe.fault("/v1/oauth/token", status=503, times=99)
    app.stripe.before_request = lambda _: time.sleep(0.2)
    client = app.run()

    def ask(_: int) -> None:
        with pytest.raises(CredentialsError):
            client.get("/v1/account", max_tries=1)

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(ask, range(THREADS)))
    assert len(app.stripe.token_requests) < 5


def test_threads_that_wait_for_a_token_do_not_give_up_their_turns(app: Connection) -> None:
    client = app.run(rate=50.0)
    app.stripe.fault("/v1/oauth/token", "stall", seconds=0.5)
    with ThreadPoolExecutor(20) as threads:
        list(threads.map(lambda _: client.get("/v1/account"), range(20)))
    times = [request.time for request in app.stripe.requests if request.path == "/v1/account"]
    assert max(times) - min(times) >= 10 / 50


# --- The account -------------------------------------------------------------------------------


def test_the_tokens_own_account_needs_no_header(granted: Connection) -> None:
    granted.run(account_id=granted.account).get("/v1/account")
    assert "stripe-account" not in granted.stripe.requests[-1].headers


def test_another_account_is_asked_for_and_refused_by_stripe(granted: Connection) -> None:
    other = granted.stripe.add_account()
    with pytest.raises(AccountError, match="does not have access to account"):
        granted.run(account_id=other).get("/v1/account")
    assert granted.stripe.requests[-1].headers["stripe-account"] == other


def test_an_access_token_whose_account_is_not_known_is_not_used_for_a_certain_one(
    granted: Connection,
) -> None:
    access = granted.stripe.oauth_token(granted.account, path=TOKEN_URLS[granted.provider])
    client = granted.run(access_token=access, account_id=granted.account)
    assert client.get("/v1/account")["id"] == granted.account
    assert len(granted.stripe.token_requests) == 1
    assert "stripe-account" not in granted.stripe.requests[-1].headers
