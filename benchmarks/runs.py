"""Whole runs of the command against the project's own Stripe."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.fake_stripe import FakeStripe

COMMAND = Path(sys.executable).with_name("tap-stripe-conn")
PAGE = 100


@dataclass(frozen=True)
class Measured:
    """One run."""

    rows: int
    pages: int
    """The fewest requests that hold those rows."""

    requests: int
    seconds: float
    """From the first request to the last, by the server's log."""

    missing: int
    twice: int


def run(streams: dict[str, int], *, latency: float = 0.0, **settings: float) -> Measured:
    """Sync these streams, with so many rows each."""
    with FakeStripe() as stripe, tempfile.TemporaryDirectory() as folder:
        for name, count in streams.items():
            stripe.seed(name, count)
        stripe.latency = latency
        config = Path(folder, "config.json")
        config.write_text(
            json.dumps({"live_api_key": stripe.secret_key, "api_base": stripe.url, **settings})
        )
        catalog = Path(folder, "catalog.json")
        catalog.write_text(json.dumps(_catalog(list(streams))))
        done = subprocess.run(  # noqa: S603 - our own command
            [COMMAND, "--config", config, "--catalog", catalog],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        ids = [
            (message["stream"], message["record"]["id"])
            for message in map(json.loads, done.stdout.splitlines())
            if message["type"] == "RECORD"
        ]
        truth = {(name, one) for name in streams for one in stripe.ids(name)}
        asked = [request for request in stripe.requests if request.is_list]
        return Measured(
            rows=len(truth),
            pages=sum(-(-count // PAGE) for count in streams.values()),
            requests=len(asked),
            seconds=asked[-1].time - asked[0].time,
            missing=len(truth - set(ids)),
            twice=len(ids) - len(set(ids)),
        )


def _catalog(names: list[str]) -> dict[str, object]:
    metadata = [{"breadcrumb": [], "metadata": {"selected": True}}]
    return {
        "streams": [
            {"tap_stream_id": name, "stream": name, "schema": {}, "metadata": metadata}
            for name in names
        ]
    }
