"""What the official client doesn't show of the fake server: headers, the log, limits, hooks."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import requests

from tests.fake_stripe import FakeStripe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fake_stripe import Request

NOON = 1_700_000_000


@pytest.fixture
def get(stripe: FakeStripe) -> Iterator[Callable[..., requests.Response]]:
    """GET a path, with the account's key and any headers."""
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {stripe.secret_key}"

        def get(path: str, **headers: str) -> requests.Response:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            return session.get(stripe.url + path, headers=sent, timeout=10)

        yield get


def test_every_answer_names_its_request_version_and_date(
    stripe: FakeStripe, get: Callable[..., requests.Response]
) -> None:
    stripe.now = lambda: NOON
    listed = get("/v1/charges")
    refused = get("/v1/nonsense", Stripe_Version="2020-08-27")
    for answer in (listed, refused):
        assert answer.headers["Request-Id"].startswith("req_")
        assert answer.headers["Date"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert listed.headers["Request-Id"] != refused.headers["Request-Id"]
    assert listed.headers["Stripe-Version"] == stripe.catalogue.api_version
    assert refused.headers["Stripe-Version"] == "2020-08-27"


def test_errors_have_all_that_stripes_have(get: Callable[..., requests.Response]) -> None:
    answer = get("/v1/charges?foo=1")
    assert answer.json()["error"] == {
        "code": "parameter_unknown",
        "doc_url": "https://docs.stripe.com/error-codes/parameter-unknown",
        "message": "Received unknown parameter: foo",
        "param": "foo",
        "request_log_url": f"https://dashboard.stripe.com/logs/{answer.headers['Request-Id']}",
        "type": "invalid_request_error",
    }


def test_an_unknown_url_is_not_recognized(get: Callable[..., requests.Response]) -> None:
    answer = get("/v1/charges/ch_1/nonsense")
    assert answer.status_code == 404
    message = answer.json()["error"]["message"]
    assert message.startswith("Unrecognized request URL (GET: /v1/charges/ch_1/nonsense).")


def test_a_key_is_taken_as_user_name_too(stripe: FakeStripe) -> None:
    url = f"{stripe.url}/v1/charges"
    assert requests.get(url, auth=(stripe.secret_key, ""), timeout=9).status_code == 200
    missing = requests.get(url, timeout=9)
    assert missing.status_code == 401
    assert missing.json()["error"]["message"].startswith("You did not provide an API key.")


def test_an_empty_stripe_account_is_refused(get: Callable[..., requests.Response]) -> None:
    answer = get("/v1/charges", Stripe_Account="")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "account_invalid")


def test_a_version_that_is_none_is_refused(get: Callable[..., requests.Response]) -> None:
    answer = get("/v1/charges", Stripe_Version="latest")
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "Invalid Stripe API version: latest"


def test_api_v2_needs_a_version(get: Callable[..., requests.Response]) -> None:
    assert get("/v2/core/events").status_code == 400
    answer = get("/v2/core/events", Stripe_Version="2026-10-28.endive")
    assert answer.json() == {"data": [], "next_page_url": None, "previous_page_url": None}


def test_v2_pages_lead_back(stripe: FakeStripe, get: Callable[..., requests.Response]) -> None:
    stripe.seed("v2_core_events", 5)
    version = "2026-10-28.endive"
    first = get("/v2/core/events?limit=2", Stripe_Version=version).json()
    second = get(first["next_page_url"], Stripe_Version=version).json()
    third = get(second["next_page_url"], Stripe_Version=version).json()
    assert (len(third["data"]), third["next_page_url"]) == (1, None)
    back = get(second["previous_page_url"], Stripe_Version=version).json()
    assert (back["data"], back["previous_page_url"]) == (first["data"], None)


def test_the_log_tells_what_was_asked_and_answered(
    stripe: FakeStripe, get: Callable[..., requests.Response]
) -> None:
    stripe.now = lambda: NOON
    stripe.seed("charges", 3)
    get("/v1/charges?limit=2&created[gte]=5&expand[]=data.customer", User_Agent="tap")
    get("/v1/charges/ch_gone")
    listed, missed = stripe.requests
    assert (listed.method, listed.path, listed.status, listed.time) == (
        "GET",
        "/v1/charges",
        200,
        NOON,
    )
    assert listed.params == {"limit": "2", "created[gte]": "5"}
    assert listed.arrays == {"expand": ["data.customer"]}
    assert listed.headers["user-agent"] == "tap"
    assert missed.status == 404
    assert stripe.list_pages("charges") == stripe.list_pages() == [listed]


def test_latency_is_kept_for_requests_side_by_side(
    stripe: FakeStripe, get: Callable[..., requests.Response]
) -> None:
    stripe.latency = {"/v1/charges": 0.2}
    started = time.monotonic()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(get, ["/v1/charges"] * 20))
    assert all(answer.ok for answer in answers)
    assert 0.2 <= time.monotonic() - started < 20 * 0.2 / 2
    stripe.latency = {"/v1/charges": 60}
    get("/v1/customers")


def test_too_many_requests_at_once_are_refused(
    stripe: FakeStripe, get: Callable[..., requests.Response]
) -> None:
    stripe.latency = 0.3
    stripe.rates.concurrency = 1
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(get, ["/v1/charges"] * 2))
    refused = max(answers, key=lambda answer: answer.status_code)
    assert sorted(answer.status_code for answer in answers) == [200, 429]
    assert refused.headers["Stripe-Rate-Limited-Reason"] == "global-concurrency"


def test_the_rate_of_an_account_is_limited_over_all_endpoints(
    stripe: FakeStripe, get: Callable[..., requests.Response]
) -> None:
    stripe.rates.per_second = 2
    statuses = [get(f"/v1/{name}").status_code for name in ("charges", "customers", "invoices")]
    assert statuses == [200, 200, 429]


def test_a_hook_sees_each_request_before_its_answer(
    stripe: FakeStripe, get: Callable[..., requests.Response]
) -> None:
    stripe.seed("charges", 3)
    newest = stripe.ids("charges")[0]

    def delete_the_cursor(request: Request) -> None:
        if request.params.get("starting_after") == newest:
            stripe.before_request = None
            stripe.delete("charges", newest)

    stripe.before_request = delete_the_cursor
    assert get("/v1/charges?limit=1").json()["data"][0]["id"] == newest
    assert get(f"/v1/charges?limit=1&starting_after={newest}").status_code == 400


def test_faults_hit_as_planned(stripe: FakeStripe, get: Callable[..., requests.Response]) -> None:
    stripe.fault("/v1/charges", status=503, after=1, times=2, body=b"busy")
    assert [get("/v1/charges").status_code for _ in range(4)] == [200, 503, 503, 200]
    stripe.fault("/v1/*", "stall", seconds=0.2, times=math.inf)
    started = time.monotonic()
    assert get("/v1/customers").status_code == 200
    assert time.monotonic() - started >= 0.2
    stripe.clear_faults()
    stripe.fault("/v1/charges", "lock_timeout", status=409, should_retry=True)
    locked = get("/v1/charges")
    assert (locked.status_code, locked.headers["Stripe-Should-Retry"]) == (409, "true")
    assert locked.json()["error"]["code"] == "lock_timeout"


def test_random_faults_are_the_same_for_the_same_seed() -> None:
    def statuses(seed: int) -> list[int]:
        with FakeStripe() as stripe, requests.Session() as session:
            stripe.random_faults(seed=seed, rate=0.5, kinds=("status", "lock_timeout"))
            session.auth = (stripe.secret_key, "")
            urls = [f"{stripe.url}/v1/charges"] * 20
            return [session.get(url, timeout=9).status_code for url in urls]

    assert statuses(1) == statuses(1) != statuses(2)
    assert len(set(statuses(1))) > 1


def test_random_stalls_last_as_long_as_they_are_asked_to(
    stripe: FakeStripe, get: Callable[..., requests.Response]
) -> None:
    stripe.random_faults(seed=1, rate=1.0, kinds=("stall",), seconds=0.2)
    started = time.monotonic()
    assert get("/v1/charges").status_code == 200
    assert time.monotonic() - started >= 0.2


def test_a_changed_child_shows_in_its_parent(stripe: FakeStripe) -> None:
    invoice = stripe.add("invoices")["id"]
    line = stripe.add("invoice_line_items", {"amount": 1}, parent=invoice)["id"]
    assert stripe.objects("invoices")[0]["lines"]["data"][0]["amount"] == 1
    stripe.update("invoice_line_items", line, {"amount": 2})
    assert stripe.objects("invoices")[0]["lines"]["data"][0]["amount"] == 2
    stripe.delete("invoice_line_items", line)
    assert stripe.objects("invoices")[0]["lines"]["data"] == []


def test_seeds_are_the_same_each_time() -> None:
    one, other = FakeStripe(), FakeStripe()
    for stripe in (one, other):
        stripe.seed("charges", 20, since=NOON, until=NOON + 3600)
    assert one.objects("charges") == other.objects("charges")
    assert all(NOON <= row["created"] < NOON + 3600 for row in one.objects("charges"))


def test_live_mode_has_live_keys_and_objects() -> None:
    stripe = FakeStripe(livemode=True)
    assert stripe.secret_key.startswith("sk_" + "live_")
    assert stripe.add("charges")["livemode"] is True
