"""localstripe, a Stripe that others wrote, and what it lacks of Stripe's lists."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from operator import ge, gt, le, lt
from threading import Thread
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# Its own command listens on every interface, and writes all it has to a file that all users of
# the machine share.
_LAUNCH = """
import socket
from aiohttp import web
from localstripe.server import app, store
type(store).dump_to_disk = lambda store: None
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
web.run_app(app, sock=listening, print=None, access_log=None)
"""

_EVERYTHING: Final = 100_000

_BOUNDS: Final = {"created[gt]": gt, "created[gte]": ge, "created[lt]": lt, "created[lte]": le}

# It refuses to expand fields that came to Stripe after it, and shows all that it has anyway.
_OURS: Final = {"limit", "starting_after", "expand[]", *_BOUNDS}


@contextmanager
def localstripe(python: Path) -> Iterator[str]:
    """Run it, empty, and give its URL.

    Args:
        python: Python of the environment that it is installed in.
    """
    with subprocess.Popen([str(python), "-c", _LAUNCH], stdout=subprocess.PIPE) as server:
        try:
            port = int(server.stdout.readline() if server.stdout else "")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


@contextmanager
def adapted(url: str) -> Iterator[str]:
    """Put Stripe's `created` filters, order and paging before localstripe; give the new URL."""
    server = _Adapter(url)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Adapter(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, url: str) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.url = url


class _Request(BaseHTTPRequestHandler):
    server: _Adapter
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        params = parse_qsl(asked.query, keep_blank_values=True)
        ours = {name: value for name, value in params if name in _OURS}
        theirs = [(name, value) for name, value in params if name not in _OURS]
        if "limit" in ours:
            theirs.append(("limit", str(_EVERYTHING)))
        answer = requests.get(
            f"{self.server.url}{asked.path}?{urlencode(theirs)}",
            headers={"Authorization": self.headers["Authorization"]},
            timeout=10,
        )
        body = answer.content
        if answer.ok and "limit" in ours:
            body = json.dumps(_page(answer.json(), ours)).encode()
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


def _page(everything: dict[str, Any], asked: Mapping[str, str]) -> dict[str, Any]:
    """What Stripe would answer: newest first, within the bounds, after the cursor, cut off."""
    rows = sorted(everything["data"], key=lambda row: row.get("created", 0), reverse=True)
    for name, compare in _BOUNDS.items():
        if name in asked:
            rows = [row for row in rows if compare(row["created"], int(asked[name]))]
    if "starting_after" in asked:
        ids = [row["id"] for row in rows]
        rows = rows[ids.index(asked["starting_after"]) + 1 :]
    limit = int(asked["limit"])
    return {**everything, "data": rows[:limit], "has_more": len(rows) > limit}
