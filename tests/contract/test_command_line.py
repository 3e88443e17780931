"""`python -m tests.fake_stripe`: one line when it is ready, and a clean end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import requests

from tests.fake_stripe.ids import token

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def running(
    *arguments: str, end: signal.Signals = signal.SIGTERM, **environment: str
) -> Iterator[dict[str, str]]:
    """What the server says when it is ready; ends it, and sees that it ends well."""
    process = subprocess.Popen(  # noqa: S603 - this repository's own module
        [sys.executable, "-m", "tests.fake_stripe", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    try:
        line: dict[str, str] = json.loads(process.stdout.readline())
        yield line
    finally:
        process.send_signal(end)
        out, errors = process.communicate(timeout=10)
    assert (process.returncode, out, errors) == (0, "", "")


def get(server: dict[str, str], path: str, *, follow: bool = True) -> requests.Response:
    return requests.get(
        server["url"] + path, auth=(server["key"], ""), timeout=10, allow_redirects=follow
    )


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_and_ends_when_told(end: signal.Signals) -> None:
    with running("--seed", "charges=12", "--seed", "customers=1", end=end) as server:
        page = get(server, "/v1/charges?limit=100").json()
        assert (len(page["data"]), page["has_more"]) == (12, False)
        assert len(get(server, "/v1/customers").json()["data"]) == 1


def test_the_shop_lives_until_a_given_day() -> None:
    with running("--shop", "--until", "2026-03-10T09:00:00Z") as server:
        newest = get(server, "/v1/customers?limit=1").json()["data"][0]
    assert newest["created"] < 1_773_100_800


@pytest.mark.parametrize(
    ("provider", "path"), [("connect", "/oauth/token"), ("apps", "/v1/oauth/token")]
)
def test_it_offers_a_grant_of_its_account(provider: str, path: str) -> None:
    back = "http://127.0.0.1:1/back"
    options = ("--oauth", provider, "--redirect-uri", back, "--seed", "charges=1")
    with running(*options) as server:
        assert server["oauth_provider"] == provider
        answer = requests.post(
            server["url"] + path,
            data={"grant_type": "refresh_token", "refresh_token": server["refresh_token"]},
            auth=(server["client_secret"], ""),
            timeout=10,
        )
        key = answer.json()["access_token"]
        assert len(get({**server, "key": key}, "/v1/charges").json()["data"]) == 1
        page = get(server, f"/oauth/v2/authorize?client_id={server['client_id']}", follow=False)
        assert page.headers["Location"].startswith(f"{back}?scope=stripe_apps&code=ac_")


def test_the_key_can_be_chosen() -> None:
    key = "sk_" + "test_" + token(24)
    with running("--key", key) as server:
        assert server["key"] == key
        assert get(server, "/v1/charges").status_code == 200
    with running(FAKE_STRIPE_KEY=key) as server:
        assert server["key"] == key
