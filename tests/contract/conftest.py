"""The tap as its users meet it: a command with settings in, and messages and an exit code out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from tests import forked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.fake_stripe import FakeStripe

ELSEWHERE = "not to Stripe's own address"

COMMAND = Path(sys.executable).with_name("tap-stripe-conn")
FAST = {"requests_per_second": 100_000, "endpoint_requests_per_second": 100_000}


@dataclass(frozen=True)
class Run:
    """What one run of the command left."""

    code: int
    stdout: str
    stderr: str

    @cached_property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def remarks(self) -> list[str]:
        """What it says beside its messages, but that the server is not Stripe's own."""
        return [line for line in self.stderr.splitlines() if ELSEWHERE not in line]

    @property
    def last_line(self) -> str:
        """The line that Meltano shows of a failure."""
        return self.stderr.splitlines()[-1]

    @property
    def state(self) -> dict[str, Any]:
        states = [message["value"] for message in self.messages if message["type"] == "STATE"]
        return states[-1] if states else {}

    def bookmark(self, stream: str) -> dict[str, Any]:
        found: dict[str, Any] = self.state.get("bookmarks", {}).get(stream, {})
        return found

    def rows(self, stream: str) -> list[dict[str, Any]]:
        return [
            message["record"]
            for message in self.messages
            if message["type"] == "RECORD" and message["stream"] == stream
        ]

    def ids(self, stream: str) -> list[str]:
        return [row["id"] for row in self.rows(stream)]

    @property
    def schemas(self) -> list[str]:
        return [message["stream"] for message in self.messages if message["type"] == "SCHEMA"]


@dataclass(frozen=True)
class TapCommand:
    """`tap-stripe-conn` with the settings that reach the fake server."""

    folder: Path
    settings: Mapping[str, Any]

    def __call__(
        self,
        *options: str,
        select: Iterable[str] | None = None,
        catalog: Mapping[str, Any] | None = None,
        state: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        **settings: object,
    ) -> Run:
        """Run it; a setting of None is left out.

        Args:
            options: Further ones of the command line.
            select: Streams; all when left out.
            catalog: Says more than `select`.
            state: Of the run before.
            env: Further environment variables.
            settings: Over those that reach the server.
        """
        return self.run(
            *self._arguments(*options, select=select, catalog=catalog, state=state, **settings),
            env=env,
        )

    def start(
        self,
        *options: str,
        select: Iterable[str] | None = None,
        stdout: IO[bytes] | int = subprocess.PIPE,
        **settings: object,
    ) -> subprocess.Popen[str]:
        """Start it, to be interrupted."""
        return subprocess.Popen(  # noqa: S603 - our own command
            [
                COMMAND,
                *self._arguments(*options, select=select, catalog=None, state=None, **settings),
            ],
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> Run:
        """Run it with these arguments alone."""
        command = [str(COMMAND), *arguments]
        return Run(*forked.run(command, self.folder, {**os.environ, **(env or {})}))

    def _arguments(
        self,
        *options: str,
        select: Iterable[str] | None = None,
        catalog: Mapping[str, Any] | None = None,
        state: Mapping[str, Any] | None = None,
        **settings: object,
    ) -> list[str]:
        arguments = ["--config", self._file("config.json", {**self.settings, **settings}), *options]
        if select is not None:
            catalog = catalog_of(select)
        if catalog is not None:
            arguments += ["--catalog", self._file("catalog.json", catalog)]
        if state is not None:
            arguments += ["--state", self._file("state.json", state)]
        return arguments

    def _file(self, name: str, content: Mapping[str, Any]) -> str:
        path = self.folder / name
        path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
        return str(path)


def catalog_of(
    select: Iterable[str], *, deselect: Iterable[str] = (), **metadata: object
) -> dict[str, Any]:
    """A catalog as people write it by hand: names and `selected`, without schemas.

    Args:
        select: Streams.
        deselect: Columns of them, `address` or `address.city`.
        metadata: Further metadata of each stream.
    """
    columns = [
        {
            "breadcrumb": [part for name in column.split(".") for part in ("properties", name)],
            "metadata": {"selected": False},
        }
        for column in deselect
    ]
    return {
        "streams": [
            {
                "tap_stream_id": name,
                "stream": name,
                "schema": {},
                "metadata": [
                    {"breadcrumb": [], "metadata": {"selected": True, **metadata}},
                    *columns,
                ],
            }
            for name in select
        ]
    }


@pytest.fixture
def tap(stripe: FakeStripe, tmp_path: Path) -> TapCommand:
    """The command, configured for the fake server's account."""
    settings = {"live_api_key": stripe.secret_key, "api_base": stripe.url, **FAST}
    return TapCommand(tmp_path, settings)


@pytest.fixture
def bare_tap(tmp_path: Path) -> TapCommand:
    """The command without any setting."""
    return TapCommand(tmp_path, {})
