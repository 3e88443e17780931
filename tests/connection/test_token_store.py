from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_stripe_conn.api.errors import CredentialsError
from tap_stripe_conn.config import config_schema, parse_settings
from tap_stripe_conn.connection import token_store
from tap_stripe_conn.connection.token_store import TokenStore, token_path
from tap_stripe_conn.connection.tokens import Token

if TYPE_CHECKING:
    from pathlib import Path

FIRST = Token(
    access_token="access-1",  # noqa: S106 - of no account
    refresh_token="refresh-1",  # noqa: S106 - likewise
    use_until=1_700_000_000.5,
    account="acct_1",
)
SECOND = replace(FIRST, access_token="access-2", refresh_token="refresh-2")  # noqa: S106 - likewise


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "tokens.json"


def store(path: Path, configured: str = "refresh-0") -> TokenStore:
    return TokenStore(path, configured)


# --- What is kept ------------------------------------------------------------------------------


def test_where_nothing_was_kept_there_is_no_token(path: Path) -> None:
    assert store(path).read() is None


def test_the_next_run_finds_what_was_kept_last(path: Path) -> None:
    store(path).save(FIRST)
    store(path).save(SECOND)
    assert store(path).read() == SECOND


def test_only_its_user_can_read_what_is_kept(path: Path) -> None:
    before = os.umask(0)
    try:
        store(path).save(FIRST)
    finally:
        os.umask(before)
    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert modes == {"tokens.json": 0o600, "tokens.json.lock": 0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_file_that_others_can_read_is_closed_to_them(path: Path) -> None:
    path.parent.mkdir()
    path.touch(mode=0o644)
    store(path).save(FIRST)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_newly_configured_token_is_not_taken_for_the_one_before(path: Path) -> None:
    store(path, "refresh-0").save(FIRST)
    assert store(path, "another").read() is None
    store(path, "another").save(SECOND)
    assert store(path, "another").read() == SECOND
    assert store(path, "refresh-0").read() == FIRST


def test_a_kept_token_that_was_copied_into_the_settings_is_the_same_grant(path: Path) -> None:
    store(path, "refresh-0").save(FIRST)
    assert store(path, "refresh-1").read() == FIRST
    store(path, "refresh-1").save(SECOND)
    assert store(path, "refresh-0").read() == SECOND
    assert store(path, "refresh-1").read() == SECOND


def test_the_configured_token_itself_is_not_in_the_file(path: Path) -> None:
    store(path, "the-configured-one").save(FIRST)
    assert "the-configured-one" not in path.read_text()


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 99)), min_size=1, max_size=12
    )
)
def test_connections_that_share_a_file_never_see_each_others_tokens(
    tmp_path_factory: pytest.TempPathFactory, saves: list[tuple[str, int]]
) -> None:
    path = tmp_path_factory.mktemp("shared") / "tokens.json"
    last: dict[str, Token] = {}
    for configured, number in saves:
        last[configured] = replace(FIRST, refresh_token=f"{configured}-{number}")
        store(path, configured).save(last[configured])
    assert {configured: store(path, configured).read() for configured in last} == last


def test_what_a_link_points_to_is_replaced_and_not_the_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    link.symlink_to(real)
    store(link).save(FIRST)
    assert link.is_symlink()
    assert store(real).read() == FIRST


# --- What goes wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arrange",
    [
        lambda path: path.mkdir(parents=True),
        lambda path: path.parent.touch(),
    ],
    ids=["a folder", "below a file"],
)
def test_a_place_that_cannot_be_written_is_told_with_what_to_do(path: Path, arrange: Any) -> None:  # noqa: ANN401 - a table's
    arrange(path)
    with pytest.raises(CredentialsError) as raised:
        store(path).save(FIRST)
    assert str(raised.value).startswith(f"tokens can't be kept in {path}: ")
    assert "let token_file name a file" in str(raised.value)


def test_a_failed_write_leaves_what_was_kept_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(path).save(FIRST)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CredentialsError, match="No space left on device"):
        store(path).save(SECOND)
    assert store(path).read() == FIRST
    assert {file.name for file in path.parent.iterdir()} == {"tokens.json", "tokens.json.lock"}


def test_a_check_takes_as_much_room_as_a_token(path: Path) -> None:
    with store(path).locked():
        store(path).check()
        checked = path.stat().st_size
        store(path).write(FIRST)
    assert path.stat().st_size < checked
    assert store(path).read() == FIRST


def test_a_user_without_a_home_is_told_to_name_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(*_: object, **__: object) -> None:
        msg = "could not determine the home directory"
        raise RuntimeError(msg)

    monkeypatch.setattr(platformdirs, "user_state_path", homeless)
    with pytest.raises(CredentialsError, match="let token_file name a file"):
        where()


def test_what_a_killed_run_left_half_written_is_in_nobodys_way(path: Path) -> None:
    store(path).save(FIRST)
    path.with_name(".tokens.json.new").write_text('{"version": 1, "gra')
    assert store(path).read() == FIRST
    store(path).save(SECOND)
    assert store(path).read() == SECOND
    assert {file.name for file in path.parent.iterdir()} == {"tokens.json", "tokens.json.lock"}


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '"text"', '{"version": 2, "grants": []}', '{"live_api_key": "a"}', "\udcff"],
)
def test_a_file_of_another_kind_is_left_alone(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content, errors="surrogateescape")
    for use in (store(path).read, lambda: store(path).save(FIRST)):
        with pytest.raises(CredentialsError, match="does not hold tokens as this version keeps"):
            use()
    assert path.read_text(errors="surrogateescape") == content


@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_file_is_one_to_be_filled(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    store(path).save(FIRST)
    assert store(path).read() == FIRST


def test_two_runs_wait_for_each_other(path: Path) -> None:
    order = []
    one_has_it = threading.Event()

    def one() -> None:
        with store(path).locked():
            one_has_it.set()
            store(path).write(FIRST)
            order.append("one")

    thread = threading.Thread(target=one)
    with store(path).locked():
        thread.start()
        assert not one_has_it.wait(0.2)
        order.append("two")
    thread.join()
    assert order == ["two", "one"]


def test_a_run_that_waits_in_vain_says_for_what(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_store, "PATIENCE", 0.1)
    with (
        store(path).locked(),
        pytest.raises(CredentialsError, match=r"another run has held .*tokens\.json\.lock"),
        store(path).locked(),
    ):
        pass


# --- Where the file is -------------------------------------------------------------------------

OAUTH = {
    "auth_scheme": "oauth2",
    "client_id": "ca",
    "client_secret": "secret",
    "refresh_token": "refresh-0",
}


def where(**config: str) -> Path:
    return token_path(parse_settings({**OAUTH, **config}, config_schema()))


def test_the_file_is_the_configured_one(tmp_path: Path) -> None:
    assert where(token_file=str(tmp_path / "mine.json")) == tmp_path / "mine.json"


def test_by_default_each_grant_has_a_file_in_the_users_state_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    grants: list[dict[str, str]] = [
        {},
        {"refresh_token": "another"},
        {"client_id": "another"},
        {"oauth_provider": "apps"},
        {"api_base": "https://stripe.example"},
    ]
    files = {where(**grant) for grant in grants}
    assert len(files) == len(grants)
    assert {file.parent for file in files} == {tmp_path / "tap-stripe-conn"}
    assert where(connection_name="renamed", client_secret="rolled") == where()  # noqa: S106 - a test's


def test_the_name_of_the_file_tells_nothing_of_the_token() -> None:
    assert "refresh-0" not in json.dumps(str(where()))
