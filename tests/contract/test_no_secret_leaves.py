"""Secrets are planted wherever Stripe or a user can put them; nothing that leaves the tap has one.

Each case is a row of `CASES`: what is planted where, and the command that is run, at DEBUG level.
"""

from __future__ import annotations

import json
import math
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pytest

from tests.api.servers import answering_with
from tests.contract.conftest import FAST, TapCommand, catalog_of
from tests.fake_stripe import FakeStripe
from tests.fake_stripe.keys import presented
from tests.planted import forms, key, odd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.contract.conftest import Run

TOKENS = "tokens.json"
GIVEN = {"config.json", "catalog.json", "state.json", "given.txt", "logging.yaml", TOKENS}
"""Files that the tests write, and the one for tokens; in all others no secret may be."""

DEBUG = {"TAP_STRIPE_CONN_LOGLEVEL": "DEBUG"}

TWO = ("charges", "refunds")
"""Streams; at DEBUG level the SDK has megabytes to say of all."""

STRUCTURED = """
version: 1
disable_existing_loggers: false
formatters: {json: {"()": singer_sdk.logging.StructuredFormatter}}
handlers:
  console: {class: logging.StreamHandler, formatter: json, stream: "ext://sys.stderr"}
  late: {class: logging.handlers.MemoryHandler, capacity: 1, target: console}
root: {level: DEBUG, handlers: [console, late]}
"""


@dataclass(frozen=True)
class Planted:
    """A server with an account, the tap, and secrets to plant."""

    tap: TapCommand
    stripe: FakeStripe
    mine: str
    """The configured key: the right one, if the server takes it."""

    other: str
    """A key that nobody told the tap of."""

    def run(self, *options: str, env: dict[str, str] | None = None, **given: Any) -> Run:  # noqa: ANN401 - JSON
        """Run the command as configured."""
        return self.tap(*options, env={**DEBUG, **(env or {})}, **given)

    def bare(self, *arguments: str, **env: str) -> Run:
        """Run it with these arguments alone."""
        return self.tap.run(*arguments, env={**DEBUG, **env})

    def refuse(self, path: str, status: int, **said: str) -> Planted:
        """Let Stripe say both secrets, as a refusal, in its body and its headers."""
        both = f"{self.mine} and {self.other}"
        error = {"type": both, "message": f"No {both}.", "param": both, "doc_url": both, **said}
        headers = {
            "Request-Id": self.mine,
            "Stripe-Rate-Limited-Reason": self.other,
            "Location": f"{self.stripe.url}/?key={self.mine}#{self.other}",
            "WWW-Authenticate": both,
            self.other: self.mine,
        }
        body = json.dumps({"error": error}).encode()
        self.stripe.fault(path, status=status, body=body, headers=headers, times=math.inf)
        return self

    def answer(self, path: str, body: object) -> None:
        """Let Stripe answer the next request to a path so."""
        text = body if isinstance(body, str) else json.dumps(body)
        self.stripe.fault(path, status=200, body=text.encode())

    def oauth(self, provider: Literal["apps", "connect"], **given: Any) -> Run:  # noqa: ANN401 - JSON
        """Run the command with a grant."""
        path = {"apps": "/v1/oauth/token", "connect": "/oauth/token"}[provider]
        settings = {
            "auth_scheme": "oauth2",
            "oauth_provider": provider,
            "client_id": self.stripe.oauth.client_id,
            "client_secret": self.mine,
            "refresh_token": self.stripe.refresh_token(self.stripe.account_id, path=path),
            "token_file": str(self.tap.folder / TOKENS),
            "connect_base": self.stripe.url,
            "live_api_key": self.other,
        }
        return self.run(select=TWO, **{**settings, **given})

    @property
    def secrets(self) -> set[str]:
        """Those planted, what the server was sent of them, and what is kept of its answers."""
        found = {self.mine, self.other}
        for request in self.stripe.requests:
            found.add(presented(request.headers["authorization"]))
            found |= {
                request.form[name] for name in ("refresh_token", "code") & request.form.keys()
            }
        if (kept := self.tap.folder / TOKENS).exists():
            for grant in json.loads(kept.read_text())["grants"]:
                found |= {grant["token"]["access_token"], grant["token"]["refresh_token"]}
        return {secret for secret in found if secret}


def _short_lived(planted: Planted) -> Run:
    """Tokens that are renewed while the run goes on."""
    planted.stripe.oauth.lifetime = 1
    planted.stripe.latency = 0.6
    return planted.oauth("apps")


def _granted(answer: Callable[[Planted], object], status: int = 400) -> Callable[[Planted], Run]:
    """Runs with a token endpoint that answers so."""

    def run(planted: Planted) -> Run:
        body = json.dumps(answer(planted)).encode()
        for path in ("/oauth/token", "/v1/oauth/token"):
            planted.stripe.fault(path, status=status, body=body, times=math.inf)
        return planted.oauth("connect" if status == 400 else "apps")

    return run


def _proxied(planted: Planted) -> Run:
    with answering_with(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n") as proxy:
        address = f"{planted.other}:{planted.mine}@{proxy.removeprefix('http://')}"
        env = {"NO_PROXY": "", "no_proxy": "", "HTTPS_PROXY": f"http://{address}"}
        return planted.run("--test", select=TWO, env=env, api_base="https://stripe.example")


def _unreachable(planted: Planted) -> Run:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{closed.getsockname()[1]}"
        return planted.run("--test", select=TWO, api_base=base)


def _of_the_environment(planted: Planted) -> Run:
    catalog = planted.tap.folder / "catalog.json"
    catalog.write_text(json.dumps(catalog_of(TWO)))
    return planted.bare(
        *("--config=ENV", "--catalog", str(catalog), "--test"),
        TAP_STRIPE_CONN_LIVE_API_KEY=planted.mine,
        TAP_STRIPE_CONN_API_BASE=planted.stripe.url,
    )


def _structured(planted: Planted) -> Run:
    path = planted.tap.folder / "logging.yaml"
    path.write_text(STRUCTURED)
    planted.refuse("/v1/refunds", 403)
    planted.stripe.fault("/v1/charges", status=500, body=planted.other.encode())
    env = {"SINGER_SDK_LOG_CONFIG": str(path)}
    run = planted.run(select=TWO, env=env, connection_name=planted.other)
    assert '"logger_name":"urllib3.connectionpool"' in run.stderr
    return run


def _refused(status: int, **said: str) -> Callable[[Planted], Run]:
    def run(planted: Planted) -> Run:
        planted.refuse("*", status, **said)
        return planted.run("--test", select=TWO)

    return run


def _answered(body: Callable[[Planted], object]) -> Callable[[Planted], Run]:
    def run(planted: Planted) -> Run:
        planted.answer("/v1/charges", body(planted))
        return planted.run(select=TWO)

    return run


def _configured(**settings: Callable[[Planted], object]) -> Callable[[Planted], Run]:
    def run(planted: Planted) -> Run:
        given: dict[str, Any] = {name: value(planted) for name, value in settings.items()}
        return planted.run(select=["charges"], **given)

    return run


def _written(name: str, content: Callable[[Planted], str]) -> Callable[[Planted], Run]:
    """Runs with a file as it is written here, for `--name`."""

    def run(planted: Planted) -> Run:
        path = planted.tap.folder / "given.txt"
        path.write_text(content(planted))
        arguments = [f"--{name}", str(path)]
        return planted.bare(*arguments) if name == "config" else planted.run(*arguments)

    return run


CASES: dict[str, tuple[int, Callable[[Planted], Run]]] = {
    # Every command, where all is well.
    "about": (0, lambda it: it.run("--about", "--format=json")),
    "discover": (0, lambda it: it.run("--discover")),
    "test": (0, lambda it: it.run("--test")),
    "test of the schemas": (0, lambda it: it.run("--test=schema", select=["charges"])),
    "sync": (0, lambda it: it.run(select=TWO, connection_name=it.other)),
    "settings of the environment": (0, _of_the_environment),
    # What Stripe, or something on the way to it, says.
    "rejected key": (1, lambda it: it.run("--test", select=TWO, live_api_key=it.other)),
    "expired key": (1, _refused(401, code="api_key_expired")),
    "refusal": (1, _refused(400)),
    "missing permission": (1, _refused(403, code="more_permissions_required")),
    "address not allowed": (
        1,
        _refused(403, message="does not allow requests from your IP address"),
    ),
    "failure": (1, _refused(500)),
    "redirect": (1, _refused(302)),
    "refusal of a stream": (
        3,
        lambda it: it.refuse("/v1/refunds", 400).run(select=TWO),
    ),
    "test as a document": (
        3,
        lambda it: it.refuse("/v1/refunds", 400).run("--test", "--format=json", select=TWO),
    ),
    "discovery that leaves out": (
        0,
        lambda it: it.refuse("/v1/refunds", 403, code="more_permissions_required").run(
            "--discover"
        ),
    ),
    "page of a proxy": (0, _answered(lambda it: f"<html>{it.mine} {it.other}</html>")),
    "object of another kind": (
        3,
        _answered(lambda it: {"object": "list", "data": [{"object": it.other, "id": it.mine}]}),
    ),
    "list that is none": (
        3,
        _answered(lambda it: {"object": it.mine, "data": it.other, "has_more": it.mine}),
    ),
    "field that nobody knows": (
        0,
        _answered(
            lambda it: {
                "object": "list",
                "has_more": False,
                "data": [{"object": "charge", "id": "ch_1", "created": 1, it.other: it.mine}],
            }
        ),
    ),
    "structured logs": (3, _structured),
    "nobody listens": (1, _unreachable),
    "proxy with a password": (1, _proxied),
    # The scheme OAuth2.
    "grant of Connect": (0, lambda it: it.oauth("connect")),
    "grant of Apps": (0, _short_lived),
    "access token that is refused": (0, lambda it: it.oauth("apps", oauth_access_token=it.other)),
    "refused grant": (
        1,
        _granted(
            lambda it: {"error": "invalid_grant", "error_description": f"{it.mine}{it.other}"}
        ),
    ),
    "wrong client secret": (1, lambda it: it.oauth("apps", client_secret=it.other)),
    "refused in other words": (
        1,
        _granted(lambda it: {"error": {"message": it.mine, "code": it.other, "type": it.mine}}),
    ),
    "tokens in the wrong place": (
        2,
        lambda it: it.oauth("apps", client_id=it.other, refresh_token=it.mine, start_date=it.mine),
    ),
    "token file that can't be": (
        1,
        lambda it: it.oauth("apps", token_file=f"/dev/null/{it.other}/x"),
    ),
    # What users put in the wrong place, or in the wrong form.
    "keys in a list": (2, _configured(live_api_key=lambda it: [it.mine, {it.other: it.mine}])),
    "key with a space": (2, _configured(live_api_key=lambda it: f"{it.mine} {it.other}")),
    "key elsewhere": (
        2,
        _configured(
            account_id=lambda it: it.other,
            start_date=lambda it: it.mine,
            end_date=lambda it: it.other,
            api_base=lambda it: f"https://{it.other}:{it.mine}@stripe.example",
            connect_base=lambda it: f"http://stripe.example/?key={it.other}",
        ),
    ),
    "key as another type": (
        2,
        _configured(
            auth_scheme=lambda it: it.other,
            requests_per_second=lambda it: it.mine,
            flattening_enabled=lambda it: it.other,
            stream_maps=lambda it: {it.other: [it.mine]},
        ),
    ),
    "key as a host": (1, _configured(api_base=lambda it: f"https://{it.other}.invalid")),
    "misspelt setting": (2, _configured(live_api_keys=lambda it: it.mine)),
    "setting named by a key": (
        0,
        lambda it: it.run(select=["charges"], **dict[str, Any]({it.other: it.mine})),
    ),
    "stream map": (
        2,
        _configured(stream_maps=lambda it: {"charges": {"x": f"{it.other} + '{it.mine}"}}),
    ),
    "error of the tap's own": (
        1,
        _configured(stream_maps=lambda it: {"charges": {"x": f"int({it.other!r})"}}),
    ),
    "variable that can't be read": (
        2,
        lambda it: it.bare(
            "--config=ENV",
            "--test",
            TAP_STRIPE_CONN_LIVE_API_KEY=it.mine,
            TAP_STRIPE_CONN_FLATTENING_MAX_DEPTH=f"{it.mine}{it.other}",
        ),
    ),
    "config that is no JSON": (2, _written("config", lambda it: f"live_api_key: {it.mine}")),
    "config on the command line": (
        2,
        lambda it: it.bare("--config", json.dumps({"live_api_key": it.mine}), "--test"),
    ),
    "catalog that is no JSON": (2, _written("catalog", lambda it: f"{it.mine} {it.other}")),
    "catalog with a stream of that name": (
        3,
        lambda it: it.run(select=["charges", it.other, it.mine]),
    ),
    "catalog with keys in it": (
        0,
        lambda it: it.run(
            catalog=catalog_of(["charges"], **{"table-name": it.mine, "x": it.other})
        ),
    ),
    "state that is no JSON": (2, _written("state", lambda it: f"[{it.mine} {it.other}")),
    "state with keys for dates": (
        2,
        lambda it: it.run(
            select=["charges"],
            state={"bookmarks": {"charges": {"replication_key_value": it.mine + it.other}}},
        ),
    ),
    "state with keys in it": (
        2,
        lambda it: it.run(
            select=["charges"],
            state={
                "bookmarks": {
                    "refunds": {"key": it.mine, "partitions": [{"context": {it.other: 1}}]},
                },
                "key": [it.mine, it.other],
            },
        ),
    ),
    "option that is none": (2, lambda it: it.run(f"--{it.other}")),
    "argument": (2, lambda it: it.run(it.mine, it.other)),
    "value that is none": (2, lambda it: it.run(f"--test={it.other}{it.mine}")),
    "file that is none": (2, lambda it: it.run("--catalog", it.other)),
    "option in ASCII": (
        2,
        lambda it: it.run(f"--{it.other}", env={"PYTHONIOENCODING": "ascii"}),
    ),
}


ODD: tuple[str, ...] = (
    "sync",
    "refusal",
    "structured logs",
    "keys in a list",
    "key elsewhere",
    "variable that can't be read",
    "config on the command line",
    "catalog with keys in it",
    "state with keys in it",
)
"""Those that are run once more with a configured key that does not look like one."""


@pytest.mark.parametrize(
    ("case", "mine"),
    [*((case, key("rk_" + "live_")) for case in CASES), *((case, odd()) for case in ODD)],
    ids=[*CASES, *(f"{case}, odd" for case in ODD)],
)
def test_nothing_that_leaves_the_tap_has_a_secret(tmp_path: Path, case: str, mine: str) -> None:
    code, run_planted = CASES[case]
    with FakeStripe(secret_key=mine) as stripe:
        stripe.seed("charges", 3)
        stripe.seed("refunds", 1)
        settings = {"live_api_key": mine, "api_base": stripe.url, **FAST}
        planted = Planted(TapCommand(tmp_path, settings), stripe, mine, other=key())
        run = run_planted(planted)
        secrets = planted.secrets
    assert run.code == code
    left = [path.read_text() for path in tmp_path.rglob("*") if path.name not in GIVEN]
    for secret in secrets:
        searched_for = {*forms(secret), f"*{secret[-4:]}"}
        for text in (run.stdout, run.stderr, *left):
            assert [form for form in searched_for if form in text] == []


def test_urls_are_logged_without_their_values(tap: TapCommand, stripe: FakeStripe) -> None:
    stripe.seed("charges", 101)
    run = tap(select=["charges"], env=DEBUG)
    assert run.code == 0
    [first, *_] = [line for line in run.stderr.splitlines() if "GET /v1/charges?" in line]
    assert "urllib3.connectionpool" in first
    assert "limit=…" in first
    assert "limit=100" not in run.stderr
    assert stripe.ids("charges")[99] not in run.stderr
