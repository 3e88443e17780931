"""Proxies, certificates, and in what words it is said that there is no answer."""

from __future__ import annotations

import ssl
from socket import create_server
from typing import TYPE_CHECKING

import pytest
import trustme

from tap_stripe_conn.api import client as client_module
from tap_stripe_conn.api.client import MAX_TRIES, ClosedError
from tap_stripe_conn.api.errors import (
    ConnectionFailedError,
)
from tests.api.servers import accepting_nobody, answering_with, client_of, recording

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fake_stripe import FakeStripe


PATH = "/v1/account"

pytestmark = pytest.mark.usefixtures("waits", "no_proxy")


# --- The environment ---------------------------------------------------------------------------


def test_a_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with recording() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert client_of(base="http://stripe.invalid").get(PATH) == {"recorded": True}
    assert proxy.lines == ["GET http://stripe.invalid/v1/account HTTP/1.1"]


def test_what_is_sent_to_this_machine_passes_no_proxy(
    stripe: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        client_of(stripe).get(PATH)
    assert proxy.lines == []
    assert len(stripe.requests) == 1


def test_a_proxy_is_not_used_for_hosts_that_the_environment_excepts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with recording() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "stripe.invalid")
        with pytest.raises(ConnectionFailedError, match="the host name can't be resolved"):
            client_of(base="http://stripe.invalid").get(PATH, max_tries=1)
    assert proxy.lines == []


def test_a_proxy_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with recording() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(ConnectionFailedError, match="the proxy does not let"):
            client_of(base="https://stripe.invalid").get(PATH, max_tries=1)
    assert [line.rsplit(" ", 1)[0] for line in proxy.lines] == ["CONNECT stripe.invalid:443"]


def test_certificates_of_the_environment_are_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with recording(tls(authority)) as server:
        assert client_of(base=server.url).get(PATH) == {"recorded": True}


def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


# --- Why there is no answer --------------------------------------------------------------------


def why(base: str, *, max_tries: int = 1) -> str:
    with pytest.raises(ConnectionFailedError) as raised:
        client_of(base=base).get(PATH, max_tries=max_tries)
    return str(raised.value)


def test_a_name_that_is_none_is_called_dns() -> None:
    assert why("http://stripe.invalid") == "the host name can't be resolved (DNS)"


def test_a_closed_port_is_called_refused() -> None:
    with create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert why(f"http://127.0.0.1:{port}") == "the connection is refused"


def test_a_certificate_that_nobody_trusts_is_called_tls() -> None:
    with recording(tls(trustme.CA())) as server:
        assert why(server.url) == "the TLS certificate or handshake failed"
    assert server.lines == []


def test_a_server_that_speaks_no_tls_is_called_tls() -> None:
    with answering_with(b"HTTP/1.1 400 Bad Request\r\n\r\n") as base:
        reason = why(base.replace("http:", "https:"))
    assert reason == "the TLS certificate or handshake failed"


def test_an_answer_that_can_not_be_unpacked_is_named_as_it_is() -> None:
    garbage = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"
    with answering_with(garbage) as base:
        assert why(base) == "ContentDecodingError"


def test_a_server_that_does_not_take_the_connection_is_called_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "CONNECT_TIMEOUT", 0.2)
    with accepting_nobody() as base:
        assert why(base) == "no connection within the time allowed"


def test_a_server_that_does_not_answer_is_called_slow(
    stripe: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "READ_TIMEOUT", 0.2)
    stripe.fault("*", "stall", seconds=30)
    with pytest.raises(ConnectionFailedError, match=r"^no answer within the time allowed$"):
        client_of(stripe).get(PATH, max_tries=1)


def test_a_server_that_stops_in_the_middle_of_an_answer_is_called_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "READ_TIMEOUT", 0.2)
    with answering_with(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"id"') as base:
        assert why(base) == "no answer within the time allowed"


def test_a_reset_in_the_middle_of_an_answer_is_called_broken_off(stripe: FakeStripe) -> None:
    stripe.fault(PATH, "reset")
    with pytest.raises(ConnectionFailedError, match=r"^the connection broke off in the middle"):
        client_of(stripe).get(PATH, max_tries=1)


def test_a_connection_closed_before_the_answer_is_called_so(stripe: FakeStripe) -> None:
    stripe.fault(PATH, "drop")
    with pytest.raises(ConnectionFailedError, match=r"^the connection is (reset|closed without)"):
        client_of(stripe).get(PATH, max_tries=1)


def test_no_answer_however_often_it_was_asked_is_an_error(waits: list[float]) -> None:
    assert why("http://stripe.invalid", max_tries=MAX_TRIES).endswith("(DNS)")
    assert len(waits) == 9


def test_a_closed_client_tries_nothing_again(stripe: FakeStripe) -> None:
    client = client_of(stripe)
    stripe.before_request = lambda _: client.close()
    stripe.fault(PATH, status=500, times=9)
    with pytest.raises(ClosedError):
        client.get(PATH)
    assert len(stripe.requests) == 1
