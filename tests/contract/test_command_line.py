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


def get(server: dict[str, str], path: str) -> requests.Response:
    return requests.get(server["url"] + path, auth=(server["key"], ""), timeout=10)


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


def test_the_key_can_be_chosen() -> None:
    key = "sk_" + "test_" + token(24)
    with running("--key", key) as server:
        assert server["key"] == key
        assert get(server, "/v1/charges").status_code == 200
    with running(FAKE_STRIPE_KEY=key) as server:
        assert server["key"] == key
