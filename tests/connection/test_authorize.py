from __future__ import annotations

import errno
import http.client
import os
import socket
import socketserver
import threading
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from tap_stripe_conn.config import sound_address
from tap_stripe_conn.connection.authorize import (
    Authorization,
    AuthorizationError,
    NotAnAnswerError,
    on_loopback,
    receiver,
)
from tests.ports import reserved_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REDIRECT = "https://example.com/back"


def connect(redirect_uri: str = REDIRECT) -> Authorization:
    return Authorization.connect(
        "https://connect.stripe.com/oauth/authorize",
        client_id="ca_1",
        redirect_uri=redirect_uri,
        scope="read_write",
    )


def asked(authorization: Authorization) -> dict[str, str]:
    query = parse_qs(urlsplit(authorization.url).query)
    return {name: value for name, (value,) in query.items()}


def test_connect_is_asked_by_its_parameters() -> None:
    authorization = connect()
    assert authorization.url.startswith("https://connect.stripe.com/oauth/authorize?")
    assert asked(authorization) == {
        "response_type": "code",
        "client_id": "ca_1",
        "scope": "read_write",
        "redirect_uri": REDIRECT,
        "state": authorization.state,
    }


def test_an_apps_own_link_keeps_its_path_and_loses_another_runs_state() -> None:
    page = "https://marketplace.stripe.com/oauth/v2/chnlink_1/authorize?client_id=ca_0&state=old"
    authorization = Authorization.apps(page, client_id="ca_1", redirect_uri=REDIRECT)
    assert authorization.url.startswith(
        "https://marketplace.stripe.com/oauth/v2/chnlink_1/authorize?"
    )
    assert asked(authorization) == {
        "client_id": "ca_1",
        "redirect_uri": REDIRECT,
        "state": authorization.state,
    }


def test_nobody_guesses_the_state_and_no_repr_shows_it() -> None:
    one, other = connect(), connect()
    assert one.state != other.state
    assert len(one.state) == 43
    assert one.state not in repr(one)


def test_a_code_is_found_in_whatever_is_pasted() -> None:
    authorization = connect()
    state = authorization.state
    assert authorization.pasted(" ac_123\n") == "ac_123"
    assert (
        authorization.pasted(f"{REDIRECT}?scope=read_write&code=ac_123&state={state}") == "ac_123"
    )
    assert authorization.pasted(f"?code=ac_123&state={state}") == "ac_123"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "neither a code"),
        ("rt_123", "neither a code"),
        ("ac_1 ac_2", "neither a code"),
        ("https://[", "neither a code"),
        (f"{REDIRECT}?code=ac_123", "belongs to another authorization"),
        (f"{REDIRECT}?code=ac_123&state=", "belongs to another authorization"),
        (f"{REDIRECT}?code=ac_123&state=é", "belongs to another authorization"),
        (f"{REDIRECT}?error=access_denied&state=x", "belongs to another authorization"),
        (f"{REDIRECT}?state={{state}}", "holds no code"),
        (f"{REDIRECT}?code=x&state={{state}}", "holds no code"),
    ],
)
def test_what_is_no_answer_to_this_authorization_is_told(text: str, problem: str) -> None:
    authorization = connect()
    with pytest.raises(NotAnAnswerError, match=problem):
        authorization.pasted(text.replace("{state}", authorization.state))


@pytest.mark.parametrize("state", ["", "&state={state}"])
def test_a_denial_is_one_with_and_without_state_and_can_not_draw_on_the_terminal(
    state: str,
) -> None:
    authorization = connect()
    answer = "error=access_denied&error_description=The+user%0Adenied%1b[2J" + state
    with pytest.raises(AuthorizationError) as raised:
        authorization.answered(answer.replace("{state}", authorization.state))
    assert str(raised.value) == ("Stripe did not authorize: The user denied [2J (access_denied)")


@pytest.mark.parametrize(
    "address",
    [
        "http://localhost:8721/stripe",
        "http://127.0.0.1:8721",
        "http://127.0.0.2:8721/",
        "http://[::1]:8721/",
        "http://localhost/",
    ],
)
def test_a_redirect_to_this_machine_can_be_received(address: str) -> None:
    assert on_loopback(address)


@pytest.mark.parametrize(
    "address", ["https://example.com/back", "https://localhost:8721/", "http://example.com/back"]
)
def test_a_redirect_elsewhere_or_by_https_can_only_be_pasted(address: str) -> None:
    assert not on_loopback(address)


@pytest.mark.parametrize(
    ("address", "sound"),
    [
        ("https://example.com/back?of=ours#here", True),
        ("http://127.0.0.2:8721/", True),
        ("http://example.com/back", False),
        ("http://localhost.example.com/", False),
        ("https://", False),
        ("https://x:y/", False),
        ("https://x:0/", False),
        ("https://user@example.com/", False),
        ("https://[", False),
        ("javascript:x", False),
        ("", False),
    ],
)
def test_a_code_is_not_sent_over_the_network_unencrypted(address: str, *, sound: bool) -> None:
    assert sound_address(address) is sound


# --- On loopback -------------------------------------------------------------------------------


def get(
    port: int, target: str, host: str | None = None, *, address: str = "127.0.0.1"
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(address, port, timeout=10)
    connection.request("GET", target, headers={"Host": host or f"localhost:{port}"})
    response = connection.getresponse()
    response.page = response.read().decode()  # type: ignore[attr-defined]
    connection.close()
    return response


@pytest.fixture
def waiting() -> Iterator[Authorization]:
    with reserved_port() as port:
        yield connect(f"http://localhost:{port}/stripe")


def port_of(authorization: Authorization) -> int:
    return urlsplit(authorization.redirect_uri).port or 0


def in_background(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_only_the_redirect_uri_is_served_and_everything_else_is_left_unanswered(
    waiting: Authorization,
) -> None:
    port = port_of(waiting)
    refused: list[AuthorizationError] = []
    query = f"?code=ac_123&state={waiting.state}"
    with receiver(waiting, refused.append) as awaited:
        assert get(port, "/favicon.ico").status == 404
        assert get(port, f"/{query}").status == 404
        assert get(port, f"/stripe{query}", host=f"evil.example:{port}").status == 404
        assert get(port, "/stripe?code=ac_123&state=forged").status == 400
        assert [str(error)[:49] for error in refused] == [
            "this answer belongs to another authorization (its"
        ]
        thread = in_background(lambda: get(port, f"/stripe{query}"))
        assert awaited.code(10) == "ac_123"
        thread.join()


def test_the_page_holds_no_secret_and_loads_nothing(waiting: Authorization) -> None:
    with receiver(waiting, print) as awaited:
        page = get(port_of(waiting), f"/stripe?code=ac_123&state={waiting.state}")
        assert awaited.code(10) == "ac_123"
    text: str = page.page  # type: ignore[attr-defined]
    assert "You can close this tab" in text
    assert "ac_123" not in text
    assert waiting.state not in text
    assert page.getheader("Content-Security-Policy") == "default-src 'none'"
    assert page.getheader("Referrer-Policy") == "no-referrer"
    assert page.getheader("Cache-Control") == "no-store"


def test_what_stripe_says_of_a_denial_is_no_markup_on_the_page(waiting: Authorization) -> None:
    with receiver(waiting, print) as awaited:
        page = get(port_of(waiting), "/stripe?error=%3Cscript%3E&error_description=no")
        with pytest.raises(AuthorizationError, match=r"did not authorize: no \(<script>\)"):
            awaited.code(10)
    assert "<script>" not in page.page  # type: ignore[attr-defined]


def test_a_connection_that_says_nothing_does_not_keep_others_waiting(
    waiting: Authorization,
) -> None:
    port = port_of(waiting)
    with receiver(waiting, print) as awaited, socket.create_connection(("127.0.0.1", port)):
        get(port, f"/stripe?code=ac_123&state={waiting.state}")
        assert awaited.code(10) == "ac_123"


def test_nobody_listens_but_on_loopback_and_nobody_afterwards(waiting: Authorization) -> None:
    port = port_of(waiting)
    with receiver(waiting, print), socket.socket() as other:
        # A listener on all addresses would be in the way of this one.
        other.bind(("127.0.0.2", port))
        other.listen()
    with pytest.raises(ConnectionRefusedError):
        get(port, "/")


def test_a_wait_ends_in_time(waiting: Authorization) -> None:
    with (
        receiver(waiting, print) as awaited,
        pytest.raises(AuthorizationError, match=r"^no answer came from Stripe within 0\.05 sec"),
    ):
        awaited.code(0.05)


def test_any_address_of_loopback_is_listened_on_as_it_is_registered() -> None:
    with reserved_port() as port:
        authorization = connect(f"http://127.0.0.2:{port}/")
        target = f"/?code=ac_123&state={authorization.state}"
        with receiver(authorization, print) as awaited:
            get(port, target, host=f"127.0.0.2:{port}", address="127.0.0.2")
            assert awaited.code(10) == "ac_123"


def test_a_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(AuthorizationError, match=rf"^port {port} of this machine can't be"),
            receiver(connect(f"http://127.0.0.1:{port}/"), print),
        ):
            pass


def test_the_port_that_is_told_is_the_one_that_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socketserver.TCPServer, "server_bind", refuse)
    with (
        pytest.raises(AuthorizationError, match=r"^port 80 of this machine .+: Permission denied"),
        receiver(connect("http://localhost/stripe"), print),
    ):
        pass
