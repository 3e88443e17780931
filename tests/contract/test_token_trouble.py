"""Token exchanges that go wrong: faults before, during and after, and `Idempotency-Key`."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fake_stripe import FakeStripe
    from tests.fake_stripe.faults import FaultKind, Moment

    Refresh = Callable[..., requests.Response]

NOON = 1_700_000_000
APPS = "/v1/oauth/token"
CONNECT = "/oauth/token"


@pytest.fixture
def refresh(stripe: FakeStripe) -> Refresh:
    """Exchange a refresh token, with an idempotency key if one is given."""

    def refresh(
        refresh_token: str,
        idempotency_key: str | None = None,
        *,
        path: str = APPS,
        secret: str | None = None,
    ) -> requests.Response:
        return requests.post(
            stripe.url + path,
            data={"grant_type": "refresh_token", "refresh_token": refresh_token},
            headers={"Idempotency-Key": idempotency_key} if idempotency_key else {},
            auth=(secret or stripe.secret_key, ""),
            timeout=10,
        )

    return refresh


@pytest.fixture
def grant(stripe: FakeStripe) -> str:
    """A refresh token of Apps."""
    return stripe.refresh_token(stripe.account_id, path=APPS)


# --- Faults ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["status", "lock_timeout", "rate_limit"])
def test_an_error_comes_before_anything_is_done(
    stripe: FakeStripe, refresh: Refresh, grant: str, kind: FaultKind
) -> None:
    stripe.fault(APPS, kind)
    assert refresh(grant).status_code in {429, 500}
    assert refresh(grant).ok
    assert len(stripe.token_requests) == 2


@pytest.mark.parametrize("kind", ["reset", "drop"])
def test_a_connection_is_cut_when_the_exchange_is_done(
    stripe: FakeStripe, refresh: Refresh, grant: str, kind: FaultKind
) -> None:
    stripe.fault(APPS, kind)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        refresh(grant)
    assert refresh(grant).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("kind", ["truncated", "not_json"])
def test_a_body_is_broken_when_the_exchange_is_done(
    stripe: FakeStripe, refresh: Refresh, grant: str, kind: FaultKind
) -> None:
    stripe.fault(APPS, kind)
    with pytest.raises(requests.JSONDecodeError):
        refresh(grant).json()
    assert refresh(grant).json()["error"] == "invalid_grant"


def test_whether_the_exchange_is_done_can_be_chosen(
    stripe: FakeStripe, refresh: Refresh, grant: str
) -> None:
    stripe.fault(APPS, "drop", when="before")
    with pytest.raises(requests.ConnectionError):
        refresh(grant)
    stripe.fault(APPS, "not_json", when="before")
    assert b"Bad Gateway" in refresh(grant).content
    stripe.fault(APPS, status=500, when="during")
    assert refresh(grant).status_code == 500
    stripe.fault(APPS, status=500, when="after")
    assert refresh(grant).status_code == 500
    assert refresh(grant).json()["error"] == "invalid_grant", "only the last was done"


def test_a_broken_answer_is_never_broken_midway(stripe: FakeStripe) -> None:
    with pytest.raises(ValueError, match="reset breaks the answer"):
        stripe.fault(APPS, "reset", when="during")


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_stalled_exchange_is_done_late_or_answered_late(
    stripe: FakeStripe, refresh: Refresh, grant: str, when: Moment
) -> None:
    stripe.fault(APPS, "stall", seconds=0.6, when=when)
    with ThreadPoolExecutor(1) as pool:
        stalled = pool.submit(refresh, grant)
        assert stripe.stalling.wait(10)
        overtaking = refresh(grant)
        assert not stalled.done()
    assert overtaking.ok is (when == "before")
    assert stalled.result().ok is (when == "after")


def test_latency_is_kept_for_token_requests_too(
    stripe: FakeStripe, refresh: Refresh, grant: str
) -> None:
    stripe.latency = 0.2
    started = time.monotonic()
    assert refresh(grant).ok
    assert time.monotonic() - started >= 0.2


def test_of_many_exchanges_at_once_one_rolls_the_token(refresh: Refresh, grant: str) -> None:
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(refresh, [grant] * 20))
    assert sorted(answer.status_code for answer in answers) == [200, *[400] * 19]


# --- Idempotency -------------------------------------------------------------------------------


def test_the_same_idempotency_key_gets_the_same_tokens(
    stripe: FakeStripe, refresh: Refresh, grant: str
) -> None:
    first, again = refresh(grant, "key-1"), refresh(grant, "key-1")
    assert first.json() == again.json()
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"]
    assert again.headers["Request-Id"] != first.headers["Request-Id"]
    assert refresh(grant, "key-2").json()["error"] == "invalid_grant"
    assert refresh(first.json()["refresh_token"]).ok
    assert len(stripe.token_requests) == 4


@pytest.mark.parametrize("kind", ["reset", "drop"])
def test_a_lost_answer_is_had_again_by_its_idempotency_key(
    stripe: FakeStripe, refresh: Refresh, grant: str, kind: FaultKind
) -> None:
    stripe.fault(APPS, kind)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        refresh(grant, "key-1")
    again = refresh(grant, "key-1")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert refresh(again.json()["refresh_token"]).ok


def test_an_answer_is_kept_for_a_day(stripe: FakeStripe, refresh: Refresh) -> None:
    stripe.now = lambda: NOON
    grant = stripe.refresh_token(stripe.account_id, path=APPS)
    refresh(grant, "key-1")
    stripe.now = lambda: NOON + 86_399
    assert refresh(grant, "key-1").ok
    stripe.now = lambda: NOON + 86_400
    assert refresh(grant, "key-1").json()["error"] == "invalid_grant"


def test_an_idempotency_key_is_for_one_request(
    stripe: FakeStripe, refresh: Refresh, grant: str
) -> None:
    refresh(grant, "key-1")
    other = refresh(stripe.refresh_token(stripe.account_id, path=APPS), "key-1")
    assert other.status_code == 400
    assert other.json()["error"]["type"] == "idempotency_error"
    assert "'key-1'" in other.json()["error"]["message"]


def test_what_execution_answered_is_kept_errors_too(
    stripe: FakeStripe, refresh: Refresh, grant: str
) -> None:
    assert refresh("rt_gone", "key-1").status_code == 400
    assert refresh("rt_gone", "key-1").headers["Idempotent-Replayed"] == "true"
    stripe.fault(APPS, when="during")
    assert refresh(grant, "key-2").status_code == 500
    again = refresh(grant, "key-2")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (500, "true")
    assert refresh(grant, "key-3").ok


def test_what_came_before_execution_is_not_kept(
    stripe: FakeStripe, refresh: Refresh, grant: str
) -> None:
    stripe.fault(APPS, status=503)
    assert refresh(grant, "key-1").status_code == 503
    restricted = stripe.restricted_key(set())
    assert refresh(grant, "key-1", secret="sk_" + "test_" + "gone").status_code == 401
    assert refresh(grant, "key-1", secret=restricted).status_code == 403
    assert refresh(grant, "key-1").ok


def test_an_idempotency_key_in_use_is_a_conflict(
    stripe: FakeStripe, refresh: Refresh, grant: str
) -> None:
    stripe.fault(APPS, "stall", seconds=0.6, when="during")
    with ThreadPoolExecutor(1) as pool:
        stalled = pool.submit(refresh, grant, "key-1")
        assert stripe.stalling.wait(10)
        conflict = refresh(grant, "key-1")
    assert (conflict.status_code, conflict.json()["error"]["code"]) == (
        409,
        "idempotency_key_in_use",
    )
    assert stalled.result().json() == refresh(grant, "key-1").json()


def test_idempotency_keys_can_be_nothing_to_apps(
    stripe: FakeStripe, refresh: Refresh, grant: str
) -> None:
    stripe.oauth.idempotent = False
    assert refresh(grant, "key-1").ok
    assert refresh(grant, "key-1").json()["error"] == "invalid_grant"


def test_idempotency_keys_are_nothing_to_connect(stripe: FakeStripe, refresh: Refresh) -> None:
    grant = stripe.refresh_token(stripe.account_id)
    tokens = [refresh(grant, "key-1", path=CONNECT).json()["access_token"] for _ in range(2)]
    assert tokens[0] != tokens[1]
