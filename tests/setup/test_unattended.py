"""The command without a terminal: options, environment, exit codes; and what it leaves."""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tap_stripe_conn.config import ConfigError, config_schema
from tap_stripe_conn.interrupts import Interrupted
from tap_stripe_conn.setup import saving
from tap_stripe_conn.setup.saving import meltano_commands, write_config
from tests.setup.dialogue import COMMAND, ended, run, start

if TYPE_CHECKING:
    from tests.fake_stripe import FakeStripe
    from tests.setup.dialogue import Room

WRONG_KEY = "sk_" + "test_" + "wrong"


def settings(stripe: FakeStripe, key: str | None = None) -> dict[str, str]:
    return {
        "TAP_STRIPE_CONN_LIVE_API_KEY": key or stripe.secret_key,
        "TAP_STRIPE_CONN_API_BASE": stripe.url,
    }


def test_a_key_in_the_environment_is_enough(stripe: FakeStripe, room: Room) -> None:
    done = ended(start(room, **settings(stripe)))
    assert (done.code, done.stdout) == (0, "")
    assert "connection available" in done.stderr
    assert room.files == {"project/config.json"}
    assert stat.S_IMODE((room.project / "config.json").stat().st_mode) == 0o600
    assert stripe.secret_key not in done.stderr


def test_options_win_over_the_environment(stripe: FakeStripe, room: Room) -> None:
    done = run(
        room,
        *("--connection-name", "by option", "--output", "a b.json", "--no-test"),
        **settings(stripe),
        TAP_STRIPE_CONN_CONNECTION_NAME="by environment",
    )
    assert done.code == 0
    config = json.loads((room.project / "a b.json").read_text())
    assert config["connection_name"] == "by option"
    assert "tap-stripe-conn --config 'a b.json' --discover" in done.stderr


def test_every_setting_of_the_tap_is_an_option_and_none_shows_its_value(room: Room) -> None:
    done = run(room, "--help", TAP_STRIPE_CONN_LIVE_API_KEY="planted1planted1")
    for name in config_schema()["properties"]:
        assert f"--{name.replace('_', '-')} " in done.stdout
    assert "planted1planted1" not in done.stdout
    assert "--show" not in done.stdout


MISSING_OR_WRONG = {
    "no key": ({}, (), "Setting 'live_api_key' is required by the auth scheme API Key"),
    "publishable key": (
        {"TAP_STRIPE_CONN_LIVE_API_KEY": "pk_" + "live_" + "1"},
        (),
        "Setting 'live_api_key' is a publishable key",
    ),
    "no such scheme": (
        {},
        ("--auth-scheme", "basic"),
        "Setting 'auth_scheme' must be one of api_key, oauth2, not 'basic'",
    ),
    "organization without account": (
        {"TAP_STRIPE_CONN_LIVE_API_KEY": "sk_" + "org_live_" + "1"},
        (),
        "Setting 'account_id' is required with an organization key",
    ),
    "no such directory": (
        {"TAP_STRIPE_CONN_LIVE_API_KEY": WRONG_KEY},
        ("--output", "nowhere/config.json"),
        "nowhere/config.json can't be written: there is no directory ",
    ),
    "two places": (
        {"TAP_STRIPE_CONN_LIVE_API_KEY": WRONG_KEY},
        ("--output", "config.json", "--meltano"),
        "--output and --meltano exclude each other",
    ),
}


@pytest.mark.parametrize("case", MISSING_OR_WRONG)
def test_what_is_missing_or_wrong_is_one_line(room: Room, case: str) -> None:
    environment, options, line = MISSING_OR_WRONG[case]
    done = run(room, *options, **environment)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith(line)
    assert len(done.stderr.splitlines()) == 1
    assert room.files == set()


def test_a_failed_test_saves_nothing(stripe: FakeStripe, room: Room) -> None:
    done = run(room, **settings(stripe, WRONG_KEY))
    assert (done.code, done.stdout) == (1, "")
    assert done.last_line.startswith("Connection unavailable: Stripe rejected the API key")
    assert room.files == set()


def test_no_test_saves_what_it_is_given(stripe: FakeStripe, room: Room) -> None:
    done = run(room, "--no-test", **settings(stripe, WRONG_KEY))
    assert done.code == 0
    assert room.config["live_api_key"] == WRONG_KEY
    assert stripe.requests == []


def test_a_restricted_key_with_one_permission_makes_a_connection_and_the_others_are_named(
    stripe: FakeStripe, room: Room
) -> None:
    key = stripe.restricted_key({stripe.permission_for("charges")})
    done = run(room, **settings(stripe, key))
    assert done.code == 0
    assert room.config["live_api_key"] == key
    lines = done.stderr.splitlines()
    assert "Permissions to add, and what each opens:" in lines
    assert "  rak_coupon_read: coupons" in lines
    assert "connection available" in lines


def test_a_key_that_can_read_nothing_makes_no_connection(stripe: FakeStripe, room: Room) -> None:
    done = run(room, **settings(stripe, stripe.restricted_key(set())))
    assert done.code == 1
    assert done.last_line.startswith("Connection unavailable: none of the ")
    assert room.files == set()


def test_a_config_file_is_replaced_only_with_overwrite(stripe: FakeStripe, room: Room) -> None:
    file = room.project / "config.json"
    file.write_text("kept")
    file.chmod(0o644)
    done = run(room, **settings(stripe))
    assert (done.code, done.last_line) == (2, "config.json exists; --overwrite replaces it")
    assert file.read_text() == "kept"
    assert stripe.requests == []
    assert run(room, "--overwrite", **settings(stripe)).code == 0
    assert room.config["live_api_key"] == stripe.secret_key
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_config_file_that_appears_while_it_is_written_is_not_replaced(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = room.project / "config.json"

    def meanwhile(*_: object, **__: object) -> None:
        file.write_text("anothers")

    monkeypatch.setattr(saving, "check_place", meanwhile)
    with pytest.raises(ConfigError, match=r"config\.json can't be written: File exists"):
        write_config(file, {"live_api_key": WRONG_KEY}, overwrite=False)
    assert file.read_text() == "anothers"


@pytest.mark.parametrize("before", [None, "kept"])
def test_a_config_file_is_written_whole_or_not_at_all(
    room: Room, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    file = room.project / "config.json"
    if before is not None:
        file.write_text(before)

    def fill_the_disk(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fill_the_disk)
    with pytest.raises(ConfigError, match=r"can't be written: No space left on device"):
        write_config(file, {"live_api_key": WRONG_KEY}, overwrite=before is not None)
    assert room.files == (set() if before is None else {"project/config.json"})
    assert before is None or file.read_text() == before


def test_what_belongs_to_the_other_scheme_is_not_saved(stripe: FakeStripe, room: Room) -> None:
    other = "sk_" + "test_" + "other"
    run(room, "--no-test", **settings(stripe), TAP_STRIPE_CONN_CLIENT_SECRET=other)
    assert "client_secret" not in room.config


# --- Meltano -----------------------------------------------------------------------------------


def test_meltanos_commands_hold_no_secret_and_leave_none(stripe: FakeStripe, room: Room) -> None:
    name = "our (shop) 'here'"
    done = ended(start(room, "--meltano", "--connection-name", name, **settings(stripe)))
    assert done.code == 0
    lines = done.stdout.splitlines()
    assert all(line.endswith(" &&") for line in lines[:-1]), "one that fails ends it"
    _, *commands, removal = [shlex.split(line.removesuffix(" &&")) for line in lines]
    directory = Path(removal[-1])
    file = directory / "live_api_key"
    prefix = ["meltano", "config", "set", "tap-stripe-conn"]
    assert commands == [
        [*prefix, "connection_name", name],
        [*prefix, "auth_scheme", "api_key"],
        [*prefix, "live_api_key", "--from-file", str(file)],
        [*prefix, "api_base", stripe.url],
        [*prefix, "requests_per_second", "100000.0"],
        [*prefix, "endpoint_requests_per_second", "100000.0"],
    ]
    said = {command[4] for command in commands}
    others = " ".join(name for name in config_schema()["properties"] if name not in said)
    assert lines[0] == (
        f"for name in {others}; do meltano config unset tap-stripe-conn $name; done &&"
    )
    assert removal == ["rm", "-r", str(directory)]
    assert file.read_text() == stripe.secret_key
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stripe.secret_key not in done.stdout + done.stderr
    subprocess.run(["sh", "-c", done.stdout.splitlines()[-1]], check=True)  # noqa: S603, S607 - its own
    assert room.files == set()


def test_a_value_that_looks_like_an_option_is_none_to_meltano(
    stripe: FakeStripe, room: Room
) -> None:
    done = ended(start(room, "--meltano", "--no-test", "--connection-name=-x", **settings(stripe)))
    assert "meltano config set tap-stripe-conn connection_name -- -x &&\n" in done.stdout


def test_a_value_with_a_dollar_sign_is_no_variable_to_meltano(
    stripe: FakeStripe, room: Room
) -> None:
    named = ("--connection-name", "a $HOME")
    done = ended(start(room, "--meltano", "--no-test", *named, **settings(stripe)))
    assert "meltano config set tap-stripe-conn connection_name 'a \\$HOME' &&\n" in done.stdout


def test_a_code_is_taken_from_a_whole_address_and_checked(stripe: FakeStripe, room: Room) -> None:
    given = {
        "TAP_STRIPE_CONN_AUTH_SCHEME": "oauth2",
        "TAP_STRIPE_CONN_CLIENT_ID": stripe.oauth.client_id,
        "TAP_STRIPE_CONN_CLIENT_SECRET": stripe.secret_key,
        "TAP_STRIPE_CONN_CONNECT_BASE": stripe.url,
        "TAP_STRIPE_CONN_API_BASE": stripe.url,
    }
    wrong = ended(start(room, "--no-test", "--code", "https://example.com/none", **given))
    assert wrong.code == 2
    assert "--code: that is neither a code (ac_…) nor the address" in wrong.stderr
    assert stripe.token_requests == []
    code = stripe.oauth.code(stripe.account_id, "/oauth/token")
    address = f"https://example.com/?code={code}&state=unknown"
    assert ended(start(room, "--no-test", "--code", address, **given)).code == 0
    assert [request.form["code"] for request in stripe.token_requests] == [code]


def test_secrets_do_not_stay_behind_when_meltanos_commands_can_not_be_printed(
    stripe: FakeStripe, room: Room
) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(  # noqa: S603 - our own command
            [COMMAND, "--no-input", "--meltano", "--no-test"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=room.environment(**settings(stripe)),
        )
    assert done.returncode == 1
    assert done.stderr.endswith("the tap's output can't be written: No space left on device\n")
    assert list((room.path / "tmp").iterdir()) == []


@pytest.mark.parametrize("end", [KeyboardInterrupt, Interrupted(signal.SIGTERM)])
def test_secrets_do_not_stay_behind_when_printing_is_interrupted(
    room: Room, monkeypatch: pytest.MonkeyPatch, end: BaseException
) -> None:
    temporary = room.path / "tmp"
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))

    def be_interrupted() -> None:
        with meltano_commands({"live_api_key": WRONG_KEY}):
            assert [file.name for file in temporary.rglob("*") if file.is_file()]
            raise end

    with pytest.raises((KeyboardInterrupt, Interrupted)):
        be_interrupted()
    assert list(temporary.iterdir()) == []


def test_meltanos_commands_are_not_printed_when_the_test_fails(
    stripe: FakeStripe, room: Room
) -> None:
    done = run(room, "--meltano", **settings(stripe, WRONG_KEY))
    assert (done.code, done.stdout) == (1, "")
    assert room.files == set()
