"""The scheme OAuth2 as users meet it: what they read, and that a grant is never lost."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.conftest import COMMAND, FAST, TapCommand, catalog_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.contract.conftest import Run
    from tests.fake_stripe import FakeStripe, Request

TOKEN_URLS = {"connect": "/oauth/token", "apps": "/v1/oauth/token"}
SINCE, UNTIL = 1_700_000_000, 1_710_000_000


@dataclass(frozen=True)
class Grant:
    """What an account granted, and the tap that is configured with it."""

    stripe: FakeStripe
    account: str
    tap: TapCommand

    @property
    def token_file(self) -> Path:
        return self.tap.folder / "tokens.json"

    def kept(self) -> dict[str, Any]:
        [entry] = json.loads(self.token_file.read_text())["grants"]
        token: dict[str, Any] = entry["token"]
        return token

    def start(self, *streams: str, options: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """A sync to be killed, whose messages nobody reads."""
        arguments = list(options)
        for name, content in (("config", self.tap.settings), ("catalog", catalog_of(streams))):
            path = self.tap.folder / f"{name}.json"
            path.write_text(json.dumps(content))
            arguments += [f"--{name}", str(path)]
        return subprocess.Popen(  # noqa: S603 - our own command
            [COMMAND, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )


def granted(stripe: FakeStripe, folder: Path, provider: str) -> Grant:
    account = stripe.add_account()
    settings = {
        "auth_scheme": "oauth2",
        "oauth_provider": provider,
        "client_id": stripe.oauth.client_id,
        "client_secret": stripe.secret_key,
        "refresh_token": stripe.refresh_token(account, path=TOKEN_URLS[provider]),
        "token_file": str(folder / "tokens.json"),
        "api_base": stripe.url,
        "connect_base": stripe.url,
        **FAST,
    }
    return Grant(stripe, account, TapCommand(folder, settings))


@pytest.fixture(params=TOKEN_URLS)
def grant(request: pytest.FixtureRequest, stripe: FakeStripe, tmp_path: Path) -> Grant:
    """A grant, of each provider."""
    return granted(stripe, tmp_path, request.param)


@pytest.fixture
def app(stripe: FakeStripe, tmp_path: Path) -> Grant:
    """A grant of Stripe Apps."""
    return granted(stripe, tmp_path, "apps")


# --- The connection test -----------------------------------------------------------------------


def test_a_good_grant_reads_connection_available(grant: Grant) -> None:
    run = grant.tap("--test=connection")
    assert (run.code, run.stdout) == (0, "connection available\n")
    assert [request.path for request in grant.stripe.requests] == [
        TOKEN_URLS[str(grant.tap.settings["oauth_provider"])],
        "/v1/account",
    ]


def test_by_default_tokens_are_kept_in_the_users_state_directory(
    grant: Grant, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    env = {"XDG_STATE_HOME": str(state)}
    assert grant.tap("--test=connection", token_file=None, env=env).code == 0
    [kept] = (state / "tap-stripe-conn").glob("*.json")
    assert "refresh_token" in kept.read_text()


Cause = tuple["Callable[[Grant], dict[str, Any]]", str, int]


def _after(grant: Grant, act: Callable[[Grant], object], **settings: object) -> dict[str, Any]:
    act(grant)
    return settings


UNAVAILABLE: dict[str, Cause] = {
    "revoked": (
        lambda grant: _after(grant, lambda _: grant.stripe.oauth.revoke(grant.account)),
        "Stripe refused the refresh token: it is revoked, expired or already used",
        1,
    ),
    "never existed": (
        lambda _: {"refresh_token": "rt" + "_unknown"},
        "Stripe refused the refresh token: it is revoked, expired or already used",
        1,
    ),
    "of the other provider": (
        lambda grant: {
            "oauth_provider": "apps"
            if grant.tap.settings["oauth_provider"] == "connect"
            else "connect"
        },
        (
            "Stripe refused the refresh token: it is revoked, expired or already used, or not of "
            "oauth_provider "
        ),
        1,
    ),
    "wrong client secret": (
        lambda _: {"client_secret": "sk_" + "test_" + "wrong"},
        "Stripe rejected the client secret; check client_secret (HTTP 401, request req_",
        1,
    ),
    "expired client secret": (
        lambda grant: {"client_secret": grant.stripe.expired_key()},
        "the client secret has expired or was rolled; enter the new one (HTTP 401, request req_",
        1,
    ),
    "client secret of the other mode": (
        lambda grant: {"client_secret": grant.stripe.other_mode_key()},
        "client_secret is of the other mode, live or test, than what the account's owner granted",
        1,
    ),
    "restricted key as client secret": (
        lambda grant: {"client_secret": grant.stripe.restricted_key(set())},
        "Stripe refused to exchange the token",
        1,
    ),
    "another account": (
        lambda grant: {"account_id": grant.stripe.add_account()},
        "account acct_",
        2,
    ),
    "nobody listens": (
        lambda _: {"connect_base": "http://127.0.0.1:1", "api_base": "http://127.0.0.1:1"},
        "Stripe's token endpoint can't be reached: the connection is refused",
        0,
    ),
    "nowhere to keep tokens": (
        lambda grant: _after(grant, lambda _: grant.token_file.mkdir()),
        "tokens can't be kept in ",
        0,
    ),
}


@pytest.mark.parametrize(
    ("provider", "cause"),
    [
        *(("apps", cause) for cause in UNAVAILABLE),
        ("connect", "revoked"),
        ("connect", "another account"),
    ],
)
def test_an_unavailable_connection_says_why(
    stripe: FakeStripe, tmp_path: Path, provider: str, cause: str
) -> None:
    grant = granted(stripe, tmp_path, provider)
    arrange, reason, requests = UNAVAILABLE[cause]
    run = grant.tap("--test=connection", **arrange(grant))
    assert run.code == 1
    assert run.last_line.startswith(f"Connection unavailable: {reason}")
    assert run.stdout == f"{run.last_line}\n"
    assert len(stripe.requests) == requests


@pytest.mark.parametrize("options", [[], ["--discover"]])
def test_nothing_leaves_before_the_grant_is_proven(grant: Grant, options: list[str]) -> None:
    grant.stripe.oauth.revoke(grant.account)
    run = grant.tap(*options)
    assert (run.code, run.stdout) == (1, "")
    [line] = run.stderr.splitlines()
    assert line.startswith("Connection unavailable: Stripe refused the refresh token: ")


# --- Extracting --------------------------------------------------------------------------------


def test_half_an_hour_with_tokens_of_a_minute_gives_every_row_once(app: Grant) -> None:
    stripe = app.stripe
    stripe.oauth.lifetime = 60
    stripe.seed("charges", 2500, since=SINCE, until=UNTIL, account=app.account)
    stripe.seed("customers", 900, since=SINCE, until=UNTIL, account=app.account)
    began = time.time()
    # As many requests as are under way at once must leave within a token's minute.
    pace = {"requests_per_second": 100, "endpoint_requests_per_second": 100}
    tap = replace(app.tap, settings={**app.tap.settings, **pace})
    stripe.now = lambda: began + 2.0 * len(stripe.requests)
    run = tap(select=["charges", "customers", "customer_balance_transactions"])
    minutes = (stripe.now() - began) / 60
    assert minutes >= 30
    assert run.code == 0
    for stream in ("charges", "customers"):
        assert Counter(run.ids(stream)) == Counter(stripe.ids(stream, account=app.account))
    refused = [request for request in stripe.requests if request.status == 401]
    assert 20 <= len(stripe.token_requests) <= len(refused) + 1


def test_a_grant_that_is_revoked_midway_ends_the_run_and_keeps_its_state(grant: Grant) -> None:
    stripe = grant.stripe
    stripe.seed("charges", 500, since=SINCE, until=UNTIL, account=grant.account)

    def revoke(_: Request) -> None:
        if len(stripe.list_pages("charges")) >= 3:
            stripe.oauth.revoke(grant.account)

    stripe.before_request = revoke
    run = grant.tap(select=["charges"])
    assert run.code == 1
    assert run.last_line.startswith("The run failed: ")
    assert 0 < len(run.rows("charges")) <= 300
    assert run.bookmark("charges")["pending"]


def test_two_runs_at_once_share_their_tokens(grant: Grant) -> None:
    grant.stripe.seed("charges", 300, since=SINCE, until=UNTIL, account=grant.account)
    grant.stripe.latency = 0.05
    runs: list[Run] = []
    arguments = ["--config", str(grant.tap.folder / "c.json"), "--catalog"]
    (grant.tap.folder / "c.json").write_text(json.dumps(grant.tap.settings))
    catalog = grant.tap.folder / "catalog.json"
    catalog.write_text(json.dumps(catalog_of(["charges"])))
    threads = [
        threading.Thread(target=lambda: runs.append(grant.tap.run(*arguments, str(catalog))))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(run.code, len(run.ids("charges"))) for run in runs] == [(0, 300)] * 2
    assert len(grant.stripe.token_requests) == 1


# --- A crash never costs the grant -------------------------------------------------------------


def _rotations(stripe: FakeStripe) -> Iterator[Request]:
    return (request for request in stripe.token_requests if request.status == 200)


MOMENTS: dict[str, Callable[[Request, FakeStripe], bool]] = {
    "when the exchange is asked for": lambda request, _: request.path.endswith("/oauth/token"),
    "when the new token is first used": lambda request, stripe: (
        request.path == "/v1/account" and any(_rotations(stripe))
    ),
    "in the middle of a list": lambda _, stripe: len(stripe.list_pages("charges")) >= 2,
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_is_killed_around_a_rotation_leaves_a_grant_that_works(
    app: Grant, moment: str
) -> None:
    stripe = app.stripe
    stripe.seed("charges", 500, since=SINCE, until=UNTIL, account=app.account)
    process: list[subprocess.Popen[bytes]] = []

    def kill(request: Request) -> None:
        if process[0].poll() is None and MOMENTS[moment](request, stripe):
            process[0].kill()
            process[0].wait()

    stripe.before_request = lambda request: kill(request) if process else None
    started = threading.Event()

    def wait_for_start(request: Request) -> None:
        started.wait()
        kill(request)

    stripe.before_request = wait_for_start
    process.append(app.start("charges"))
    started.set()
    assert process[0].wait(timeout=60) == -signal.SIGKILL
    stripe.before_request = None
    run = app.tap(select=["charges"])
    assert run.code == 0, run.stderr
    assert Counter(run.ids("charges")) == Counter(stripe.ids("charges", account=app.account))


@pytest.mark.parametrize("seed", [1])
def test_runs_that_are_killed_at_random_leave_a_grant_that_works(app: Grant, seed: int) -> None:
    random = Random(seed)  # noqa: S311 - no secret
    stripe = app.stripe
    stripe.oauth.lifetime = 0.05
    stripe.latency = 0.005
    stripe.seed("charges", 2000, since=SINCE, until=UNTIL, account=app.account)
    codes = []
    for _ in range(5):
        before = len(stripe.token_requests)
        process = app.start("charges")
        # From the first rotation on: to start Python takes the longest.
        while len(stripe.token_requests) == before and process.poll() is None:
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.3))
        process.kill()
        codes.append(process.wait())
    # Where the machine is slow a token may end before it is used, and the run with it.
    assert set(codes) <= {-signal.SIGKILL, 1}
    assert -signal.SIGKILL in codes
    stripe.oauth.lifetime = math.inf
    run = app.tap(select=["charges"])
    assert run.code == 0, run.stderr
    assert Counter(run.ids("charges")) == Counter(stripe.ids("charges", account=app.account))


def test_a_test_that_is_interrupted_while_a_probe_renews_the_token_leaves_a_grant_that_works(
    app: Grant,
) -> None:
    stripe = app.stripe
    stripe.oauth.idempotent = False
    process: list[subprocess.Popen[bytes]] = []
    started = threading.Event()
    began = time.time()
    stripe.now = lambda: began + (3601.0 if len(stripe.requests) > 2 else 0.0)

    def interrupt(request: Request) -> None:
        started.wait()
        if request.path.endswith("/oauth/token") and len(stripe.token_requests) == 2:
            os.kill(process[0].pid, signal.SIGINT)
            time.sleep(0.5)

    stripe.before_request = interrupt
    process.append(app.start("charges", "customers", options=["--test"]))
    started.set()
    assert process[0].wait(timeout=30) == 130
    stripe.before_request = None
    assert [request.status for request in stripe.token_requests] == [200, 200]
    assert app.tap("--test=connection").code == 0


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_an_exchange_waits_for_its_end(app: Grant, signum: signal.Signals) -> None:
    stripe = app.stripe
    stripe.oauth.idempotent = False
    process: list[subprocess.Popen[bytes]] = []
    started = threading.Event()

    def interrupt(request: Request) -> None:
        started.wait()
        if request.path.endswith("/oauth/token"):
            for _ in range(3):
                os.kill(process[0].pid, signum)
                time.sleep(0.1)

    stripe.before_request = interrupt
    process.append(app.start("charges"))
    started.set()
    assert process[0].wait(timeout=30) == 128 + signum
    stripe.before_request = None
    assert [request.status for request in stripe.token_requests] == [200]
    assert app.kept()["refresh_token"] != app.tap.settings["refresh_token"]
    assert app.tap("--test=connection").code == 0
