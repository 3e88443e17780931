"""The form at a terminal, for the scheme API Key, and how it ends."""

from __future__ import annotations

import signal
import stat
from threading import Event
from typing import TYPE_CHECKING

import pytest

from tests.setup.dialogue import Dialogue

if TYPE_CHECKING:
    from tests.fake_stripe import FakeStripe
    from tests.setup.dialogue import Room

WRONG_KEY = "sk_" + "test_" + "51wrongwrongwrong"


def fill(dialogue: Dialogue, key: str, *, account: str = "") -> None:
    """Answer what the scheme API Key asks for."""
    dialogue.answer("Connection name", "our shop")
    dialogue.answer("Auth scheme [1]", "1")
    dialogue.answer("Live API key", key)
    dialogue.answer("Account ID", account)


def test_a_connection_is_entered_tested_and_saved_for_its_owners_eyes(
    stripe: FakeStripe, room: Room, to: tuple[str, ...]
) -> None:
    form = Dialogue(room, *to)
    fill(form, stripe.secret_key)
    form.see(" streams: ")
    form.see("connection available")
    assert "charges" not in form.screen, "streams without trouble are counted, not listed"
    form.answer("Save it as [1]", "")
    form.answer("Config file [config.json]", "")
    form.see("Created: config.json, which only you can read. Next:")
    form.see("tap-stripe-conn --config config.json --discover > catalog.json")
    assert form.ended() == 0
    assert room.config == {
        "connection_name": "our shop",
        "auth_scheme": "api_key",
        "live_api_key": stripe.secret_key,
        "api_base": stripe.url,
        "connect_base": stripe.url,
    }
    assert stat.S_IMODE((room.project / "config.json").stat().st_mode) == 0o600
    assert room.files == {"project/config.json"}


def test_what_is_no_text_is_asked_for_again_and_not_shown(
    stripe: FakeStripe, room: Room, to: tuple[str, ...]
) -> None:
    form = Dialogue(room, *to, "--no-test")
    form.type_bytes("Connection name", b"n\xe4me")
    form.see("That is not text in UTF-8.")
    form.answer("Connection name", "")
    form.answer("Auth scheme", "api_key")
    form.type_bytes("Live API key", b"planted1\xe4planted2")
    form.see("That is not text in UTF-8.")
    form.answer("Live API key", stripe.secret_key)
    form.answer("Account ID", "")
    form.answer("Save it as [1]", "")
    form.answer("Config file [config.json]", "")
    assert form.ended() == 0
    assert "planted" not in form.screen


def test_a_secret_is_never_on_the_screen(
    stripe: FakeStripe, room: Room, to: tuple[str, ...]
) -> None:
    form = Dialogue(room, *to)
    form.answer("Connection name", "")
    form.answer("Auth scheme", "api_key")
    form.answer("Live API key (input is hidden)", "pk_" + "test_" + "planted1planted1")
    form.see("Setting 'live_api_key' is a publishable key")
    form.answer("Live API key (input is hidden)", WRONG_KEY)
    form.answer("Account ID", "")
    form.see("Connection unavailable: ")
    form.answer("What now", "Correct the answers")
    form.answer("Connection name", "")
    form.answer("Auth scheme", "")
    form.answer("Live API key [Enter keeps the known one]", stripe.secret_key)
    form.answer("Account ID", "")
    form.answer("Save it as", "")
    form.answer("Config file", "")
    assert form.ended() == 0
    for secret in ("planted1planted1", "51wrongwrongwrong", stripe.secret_key):
        assert secret not in form.screen


def test_a_wrong_answer_is_asked_for_again_and_the_others_are_kept(
    stripe: FakeStripe, room: Room, to: tuple[str, ...]
) -> None:
    form = Dialogue(room, *to, "--no-test")
    form.answer("Connection name [stripe]", "our shop")
    form.answer("Auth scheme", "3")
    form.see("Enter a number from 1 to 2.")
    form.answer("Auth scheme", "API Key")
    form.answer("Live API key", "")
    form.see("Setting 'live_api_key' is required by the auth scheme API Key")
    form.answer("Live API key", "ca_" + "1")
    form.see("Setting 'live_api_key' is an OAuth client id")
    form.answer("Live API key", stripe.secret_key)
    form.answer("Account ID (optional)", "cus_1")
    form.see("Setting 'account_id' must be an account's id, acct_…, not 'cus_1'")
    form.answer("Account ID (optional)", stripe.account_id)
    form.answer("Save it as", "")
    form.answer("Config file", "")
    assert form.ended() == 0
    assert room.config["connection_name"] == "our shop"
    assert room.config["account_id"] == stripe.account_id


def test_an_organization_key_needs_an_account(
    stripe: FakeStripe, room: Room, to: tuple[str, ...]
) -> None:
    form = Dialogue(room, *to, "--no-test", "--output", "config.json")
    fill(form, stripe.org_key())
    form.see("Setting 'account_id' is required with an organization key (sk_org_…)")
    form.answer("Account ID", stripe.account_id)
    assert form.ended() == 0


def test_a_failed_test_lets_the_answers_be_corrected(
    stripe: FakeStripe, room: Room, to: tuple[str, ...]
) -> None:
    form = Dialogue(room, *to, "--output", "config.json")
    fill(form, WRONG_KEY)
    form.see("Connection unavailable: Stripe rejected the API key; check live_api_key")
    form.answer("What now [1]", "")
    form.answer("Connection name [our shop]", "")
    form.answer("Auth scheme [1]", "")
    form.answer("Live API key", stripe.secret_key)
    form.answer("Account ID", "")
    assert form.ended() == 0
    assert room.config["live_api_key"] == stripe.secret_key
    assert room.config["connection_name"] == "our shop"


def test_a_connection_that_is_unavailable_can_be_saved_anyway(
    room: Room, to: tuple[str, ...]
) -> None:
    form = Dialogue(room, *to, "--output", "config.json")
    fill(form, WRONG_KEY)
    form.answer("What now", "Save it anyway")
    assert form.ended() == 0
    assert room.config["live_api_key"] == WRONG_KEY


def test_quitting_after_a_failed_test_leaves_nothing(room: Room, to: tuple[str, ...]) -> None:
    form = Dialogue(room, *to, "--output", "config.json")
    fill(form, WRONG_KEY)
    form.answer("What now", "3")
    assert (form.ended(), form.last_line) == (130, "Interrupted: no connection was created")
    assert room.files == set()


def test_without_a_test_nothing_is_sent(
    stripe: FakeStripe, room: Room, to: tuple[str, ...]
) -> None:
    form = Dialogue(room, *to, "--no-test", "--output", "config.json")
    fill(form, WRONG_KEY)
    assert form.ended() == 0
    assert stripe.requests == []


def test_what_an_option_gives_is_not_asked_for_and_what_the_environment_holds_is_suggested(
    stripe: FakeStripe, room: Room, to: tuple[str, ...]
) -> None:
    form = Dialogue(
        room,
        *to,
        *("--auth-scheme", "api_key", "--output", "config.json", "--no-test"),
        TAP_STRIPE_CONN_CONNECTION_NAME="from outside",
        TAP_STRIPE_CONN_LIVE_API_KEY=stripe.secret_key,
        TAP_STRIPE_CONN_ACCOUNT_ID=stripe.account_id,
    )
    form.answer("Connection name [from outside]", "")
    form.see("Auth scheme: given by --auth-scheme")
    form.answer("Live API key [Enter keeps the known one]", "")
    form.answer(f"Account ID [{stripe.account_id}; - for none]", "-")
    assert form.ended() == 0
    assert room.config["connection_name"] == "from outside"
    assert room.config["live_api_key"] == stripe.secret_key
    assert "account_id" not in room.config


def test_a_wrong_option_is_asked_for(stripe: FakeStripe, room: Room, to: tuple[str, ...]) -> None:
    form = Dialogue(room, *to, "--no-test", "--account-id", "cus_1", "--output", "config.json")
    form.answer("Connection name", "")
    form.answer("Auth scheme", "")
    form.answer("Live API key", stripe.secret_key)
    form.see("Account ID: given by --account-id")
    form.see("must be an account's id")
    form.answer("Account ID", "")
    assert form.ended() == 0


def test_a_wrong_setting_that_the_form_does_not_ask_for_ends_it_at_once(room: Room) -> None:
    form = Dialogue(room, "--start-date", "yesterday")
    assert form.ended() == 2
    assert form.last_line.startswith("Setting 'start_date' must be a date")


# --- Where it is saved -------------------------------------------------------------------------


def test_a_config_file_is_replaced_only_if_the_user_says_so(
    stripe: FakeStripe, room: Room, to: tuple[str, ...]
) -> None:
    (room.project / "config.json").write_text("kept")
    form = Dialogue(room, *to, "--no-test")
    fill(form, stripe.secret_key)
    form.answer("Save it as", "")
    form.answer("Config file", "")
    form.answer("config.json exists. Replace it? [y/N]", "")
    form.answer("Config file", "other.json")
    form.see("Created: other.json")
    assert form.ended() == 0
    assert (room.project / "config.json").read_text() == "kept"
    assert room.files == {"project/config.json", "project/other.json"}


def test_a_config_file_that_is_replaced_is_its_owners_alone(
    stripe: FakeStripe, room: Room, to: tuple[str, ...]
) -> None:
    (room.project / "config.json").write_text("old")
    (room.project / "config.json").chmod(0o644)
    form = Dialogue(room, *to, "--no-test", "--output", "config.json")
    fill(form, stripe.secret_key)
    form.answer("config.json exists. Replace it? [y/N]", "y")
    assert form.ended() == 0
    assert room.config["live_api_key"] == stripe.secret_key
    assert stat.S_IMODE((room.project / "config.json").stat().st_mode) == 0o600


def test_a_place_that_can_not_be_written_to_is_asked_for_again(
    stripe: FakeStripe, room: Room, to: tuple[str, ...]
) -> None:
    form = Dialogue(room, *to, "--no-test")
    fill(form, stripe.secret_key)
    form.answer("Save it as", "A config file")
    form.answer("Config file", "nowhere/config.json")
    form.see("nowhere/config.json can't be written: there is no directory")
    form.answer("Config file", ".")
    form.see(". is not a file")
    form.answer("Config file", "-")
    form.see("A config file holds secrets and is not printed; name a file")
    form.answer("Config file", "config.json")
    assert form.ended() == 0


# --- Interruptions -----------------------------------------------------------------------------

PROMPTS = {
    "Connection name": "",
    "Auth scheme": "",
    "Live API key": "{key}",
    "Account ID": "",
    "Save it as": "",
    "Config file": "",
    "Replace it?": "",
}
"""What is asked, and what leads to the next question."""


def reach(prompt: str, form: Dialogue, key: str) -> None:
    """Answer all that comes before a prompt."""
    for question, answer in PROMPTS.items():
        if question == prompt:
            return
        form.answer(question, answer.format(key=key))


@pytest.mark.parametrize(
    ("prompt", "key"),
    [
        ("Connection name", "c"),
        ("Live API key", "c"),
        ("Replace it?", "c"),
        ("Connection name", "d"),
        ("Live API key", "d"),
    ],
)
def test_ctrl_c_and_ctrl_d_end_the_form_at_any_question_and_leave_nothing(
    stripe: FakeStripe, room: Room, to: tuple[str, ...], prompt: str, key: str
) -> None:
    (room.project / "config.json").write_text("kept")
    form = Dialogue(room, *to, "--no-test")
    reach(prompt, form, stripe.secret_key)
    form.press(prompt, key)
    assert (form.ended(), form.last_line) == (130, "Interrupted: no connection was created")
    assert "Traceback" not in form.screen
    assert room.files == {"project/config.json"}
    assert (room.project / "config.json").read_text() == "kept"


@pytest.mark.parametrize("prompt", ["Live API key", "Config file"])
def test_sigterm_ends_the_form_and_leaves_nothing(
    stripe: FakeStripe, room: Room, to: tuple[str, ...], prompt: str
) -> None:
    form = Dialogue(room, *to, "--no-test")
    reach(prompt, form, stripe.secret_key)
    form.see(prompt)
    form.see(": ")
    form.process.kill(signal.SIGTERM)
    assert (form.ended(), form.last_line) == (143, "Interrupted: no connection was created")
    assert room.files == set()


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_during_the_test_of_the_connection_leaves_nothing(
    stripe: FakeStripe,
    room: Room,
    to: tuple[str, ...],
    signum: signal.Signals,
    code: int,
) -> None:
    arrived = Event()
    stripe.before_request = lambda _: arrived.set()
    stripe.latency = 30
    form = Dialogue(room, *to, "--output", "config.json")
    fill(form, stripe.secret_key)
    assert arrived.wait(20)
    form.process.kill(signum)
    assert (form.ended(), form.last_line) == (code, "Interrupted: no connection was created")
    assert room.files == set()
