"""What is shown of secrets: nothing, wherever they stand and however they are written."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
import time
import traceback
from base64 import b64encode, urlsafe_b64encode
from contextlib import contextmanager, redirect_stderr
from itertools import pairwise
from pathlib import Path
from string import ascii_letters, digits
from typing import TYPE_CHECKING
from unittest import mock

import click
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from singer_sdk.logging import ConsoleFormatter, StructuredFormatter
from singer_sdk.metrics import Metric, Point

from tap_stripe_conn import redaction
from tap_stripe_conn.catalogue.resources import load_catalogue
from tap_stripe_conn.config import config_schema
from tap_stripe_conn.redaction import (
    SHORTEST,
    RedactedStream,
    conceal,
    protect_logs,
    protect_stderr,
    redacted,
)
from tests.fake_stripe.errors import REFUSALS
from tests.fake_stripe.keys import permission_for
from tests.planted import ENCODINGS, forms, in_base64, key, odd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

QUOTED = "51Hb2kLkdIwHu7cB"
README = Path(__file__).parents[1] / "README.md"


@contextmanager
def concealed(*secrets: str) -> Iterator[None]:
    """While only these are known."""
    with mock.patch.object(redaction, "_concealed", redaction._Concealed()):  # noqa: SLF001
        conceal(*secrets)
        yield


# --- Shapes ------------------------------------------------------------------------------------

KINDS = [
    f"{name}_{mode}"
    for name in ("sk", "rk", "pk")
    for mode in ("live_", "test_", "org_live_", "org_test_", "org_", "")
]
OTHER_KINDS = ["ek_live_", "ek_test_", "ek_", "whsec_", "ac_", "rt_", "ca_"]
IDS = ["pi_3MtwBw_", "seti_1NG8D_", "cs_test_a1b2_", "src_client_", "accs_"]


@pytest.mark.parametrize("kind", KINDS + OTHER_KINDS + [f"{name}secret_" for name in IDS])
@pytest.mark.parametrize("around", ["{}", "'{}'.", "({})", "a\\n{}\\n", "=%20{}%20", "{},", "{}:"])
def test_of_a_secret_that_nobody_told_of_only_the_kind_is_left(kind: str, around: str) -> None:
    assert redacted(around.format(kind + QUOTED)) == around.format(kind + "…")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "rest", ["****1234", "***", "*********bLkd", "%2A%2A%2A1234", "51H***bLkd", "••••1234"]
)
def test_of_a_key_that_is_quoted_in_part_only_the_kind_is_left(kind: str, rest: str) -> None:
    text = f"The provided key '{kind}{rest}' does not have access to account 'acct_1'"
    assert redacted(text) == f"The provided key '{kind}…' does not have access to account 'acct_1'"


def test_a_key_that_the_dashboard_shortened_goes_too() -> None:
    assert redacted("It is sk_" + "live_...4242, or rk_" + "live_…4242.") == (
        "It is sk_live_…, or rk_live_…."
    )


OTHERS = [
    (f"POST Authorization: Basic {QUOTED}==", "POST Authorization: Basic …"),
    (f"{{'Authorization': 'Bearer {QUOTED}'}}", "{'Authorization': 'Bearer …'}"),
    (f"(b'authorization', b'Basic {QUOTED}+/=')", "(b'authorization', b'Basic …')"),
    ("sent Basic c2tfdGVzdF8x and", "sent Basic … and"),
    (f"sent Bearer {QUOTED} and", "sent Bearer … and"),
    (
        'GET /v1/charges?limit=100&starting_after=ch_1&created%5Bgte%5D=5 HTTP/1.1" 200',
        'GET /v1/charges?limit=…&starting_after=…&created%5Bgte%5D=… HTTP/1.1" 200',
    ),
    ("url: /v1/x?a=1&amp;b=2 (Caused by", "url: /v1/x?a=…&amp;b=… (Caused by"),
    ("at https://me:secret@proxy:8080/", "at https://…@proxy:8080/"),
    ("at https://me:se/cr@et@proxy:8080/", "at https://…@proxy:8080/"),
    ("at 'https://secret@proxy'", "at 'https://…@proxy'"),
    ("at //proxy, socks5h://me:x@proxy", "at //proxy, socks5h://…@proxy"),
]


@pytest.mark.parametrize(("text", "shown"), OTHERS)
def test_headers_that_authorize_and_values_in_urls_are_not_shown(text: str, shown: str) -> None:
    assert redacted(text) == shown


# --- What is no secret -------------------------------------------------------------------------

ORDINARY = [
    "use a secret (sk_…) or restricted (rk_…) key",
    "`sk_live_…`, `rk_test_…`, sk_org_…: or pk_, whsec_… and rt_….",
    "the key's permissions rak_charge_read, rak_secret_write and rak_invoice_read",
    "of acct_1032D82eZvKYlo2C, request req_8QmJr0AEGGVCf4, ch_3MtwBwLkdIwHu7ix28a3tqPa, ca_",
    "client_secret_expires_at, secret_key_required, pk_constraint_of_customers, task_live_1",
    "Basic authentication and Bearer authentication, Basic authorization",
    "Stream test_clocks: 123 rows (1 of 2 streams); 5 < 6 && 7 = 7, is x = y? z = 1",
    "at http://127.0.0.1:8000/v1/charges, https://api.stripe.com and me@example.com",
    '2026-01-31T09:00:00+00:00 | INFO | tap_stripe_conn.sync | METRIC: {"type":"counter"}',
    "C:\\new\\task_test_1\\rk",
]


@pytest.mark.parametrize("text", [*ORDINARY, *(message for _, message in REFUSALS.values())])
def test_what_is_no_secret_is_left_as_it_is(text: str) -> None:
    assert redacted(text) == text


def test_nothing_that_the_tap_names_or_says_of_itself_is_taken_for_a_secret() -> None:
    resources = load_catalogue().resources
    names = [*resources, *(resource.path for resource in resources.values())]
    names += [permission_for(resource, resources) for resource in resources.values()]
    names += json.dumps(config_schema(), indent=1).splitlines()
    names += README.read_text(encoding="utf-8").splitlines()
    assert [name for name in names if redacted(name) != name] == []


@given(st.text(st.characters(exclude_characters="_=@")))
def test_text_without_the_marks_of_a_secret_is_left_as_it_is(text: str) -> None:
    assume("Basic" not in text and "Bearer" not in text)
    assert redacted(text) == text


@given(st.text("skrpe_livtog*…5A.=&?@:/\\ %2"))
def test_what_was_redacted_once_stays_as_it_is(text: str) -> None:
    once = redacted(text)
    assert redacted(once) == once


def test_what_is_too_short_for_a_secret_is_not_concealed() -> None:
    conceal(None, "", "x", "stripe", "1234567")
    assert redacted("x of stripe 1234567") == "x of stripe 1234567"
    conceal("12345678")
    assert redacted("x of stripe 12345678") == "x of stripe [secret]"


def test_a_kind_alone_is_no_secret() -> None:
    conceal("sk_" + "live_", "sk_" + "live_…")
    assert redacted("use sk_live_… for live_") == "use sk_live_… for live_"


# --- Secrets that we know ----------------------------------------------------------------------

# Hypothesis tries words that it finds in the code, also those that stand around a secret here.
SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=SHORTEST).filter(
    lambda text: not any(word in text for word in ("secret", "The key", "is wrong"))
)
WORDS = st.sampled_from(["", "a ", "(", ": '", 'it is "', "é\n", "x", "=", "\\\\"])


@given(SECRETS, WORDS, WORDS, *[st.sampled_from(sorted(ENCODINGS))] * 2)
def test_a_known_secret_is_found_however_it_is_written(
    secret: str, before: str, after: str, first: str, second: str
) -> None:
    planted = ENCODINGS[second](ENCODINGS[first](secret))
    with concealed(secret):
        assert planted not in redacted(before + planted + after)


@given(SECRETS, st.binary(), st.binary(), st.sampled_from([b64encode, urlsafe_b64encode]))
def test_a_known_secret_is_found_in_base64_wherever_it_begins(
    secret: str, before: bytes, after: bytes, encode: Callable[[bytes], bytes]
) -> None:
    encoded = encode(before + secret.encode() + after).decode()
    bits = len(before) * 8, (len(before) + len(secret.encode())) * 8
    within = encoded[bits[0] // 6 : -(-bits[1] // 6)]
    with concealed(secret):
        for written in (encoded, ENCODINGS["URL"](encoded), ENCODINGS["JSON"](encoded)):
            shown = redacted(f"Proxy: {written}")
            assert within not in shown
            assert not any(part in shown for part in in_base64(secret))


@given(st.text("abc", min_size=SHORTEST), st.text("abc", min_size=SHORTEST), st.integers(0, 9))
def test_secrets_that_overlap_leave_nothing_of_each_other(
    first: str, rest: str, shared: int
) -> None:
    second = first[len(first) - shared :] + rest
    with concealed(first, second):
        assert redacted(f"<{first}{rest}>") == "<[secret]>"


@pytest.mark.parametrize(
    "secret",
    [odd(), key(), key("rt_"), "  " + key() + "\n"],
    ids=["odd", "key", "token", "key with space around"],
)
@pytest.mark.parametrize("around", ["{}", "a{}b", "id:{}", "{}:", "xy{}"])
def test_a_secret_is_searched_for_in_every_form_that_tests_know(secret: str, around: str) -> None:
    conceal(secret)
    text = around.format(secret.strip())
    for planted in [*forms(text), b64encode(text.encode()).decode()]:
        shown = redacted(f"<{planted}>")
        assert [form for form in forms(secret.strip()) if form in shown] == []


def test_a_known_key_keeps_its_kind_and_what_stands_around_it() -> None:
    mine, other = key("rk_" + "live_"), odd()
    conceal(mine, other)
    assert redacted(f"of {mine}, {other} and {mine}{other}.") == (
        "of rk_live_…, [secret] and rk_live_…."
    )
    assert redacted(f"of {mine}_{mine}") == "of rk_live_…"


def test_a_secret_is_found_without_its_white_space_and_line_by_line() -> None:
    conceal(" first line\n\tsecond  line \n")
    assert redacted("first line second line") == "[secret]"
    assert redacted("a second  line of it") == "a [secret] of it"


def test_half_a_character_of_the_environment_is_no_trouble() -> None:
    conceal("secret-\udce9-secret")
    assert redacted("a secret-\udce9-secret b") == "a [secret] b"


ESCAPES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "percent": lambda letter: f"%{ord(letter):02X}",
    "percent, lower case": lambda letter: f"%{ord(letter):02x}",
    "JSON": lambda letter: f"\\u{ord(letter):04x}",
    "Python": lambda letter: f"\\x{ord(letter):02x}",
}


@given(st.text(ascii_letters + digits, min_size=SHORTEST), st.data())
def test_a_secret_is_found_however_its_characters_are_parted_and_escaped(
    secret: str, data: st.DataObject
) -> None:
    parted = "".join(
        data.draw(st.sampled_from(["", "", "", " ", "\n", "\n  "]))
        + ESCAPES[data.draw(st.sampled_from(sorted(ESCAPES)))](letter)
        for letter in secret
    )
    with concealed(secret):
        shown = redacted(f"<{parted}>")
    assert "".join(shown.split()) == "<[secret]>"


def test_secrets_can_be_concealed_by_many_threads_at_once() -> None:
    secrets = [key("") for _ in range(200)]
    threads = [threading.Thread(target=conceal, args=secrets[i::8]) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert redacted("|".join(secrets)) == "|".join(["[secret]"] * 200)


HARD = [
    "sk_", "sk_" + "live_", "sk_" + "test_...", "rk_a*", "_secret_", "a_secret_a", "ac_", "whsec_",
    "://", "://a:", "@://a:b", "?a=", "&a=", "Basic A", "Bearer a", "Authorization: ",
    "authorization", "\\", "aaaaaaaa", "%2A", "sk_%2A", "=&a", " ",
]  # fmt: skip


@pytest.mark.parametrize("part", HARD)
def test_a_long_text_takes_no_longer_for_its_length_than_a_short_one(part: str) -> None:
    conceal("aaaaaaaa", odd())
    long, short = (
        min(seconds_of(f"{part * (length // len(part))}@ sk_ _secret_ = Basic ") for _ in range(3))
        for length in (100_000, 10_000)
    )
    # Ten times as long is a hundred times the work where each place is looked at from each other.
    assert long < 40 * max(short, 0.001)


def seconds_of(text: str) -> float:
    started = time.process_time()
    redacted(text)
    return time.process_time() - started


# --- Logs --------------------------------------------------------------------------------------

FORMATTERS: list[logging.Formatter | None] = [None, ConsoleFormatter(), StructuredFormatter()]


def _chained(secret: str) -> Exception:
    """An exception that holds a secret in all its parts."""
    error = RuntimeError({"key": [secret]})
    error.__cause__ = OSError(5, secret)
    error.__cause__.__context__ = KeyError(secret)
    error.__notes__ = [f"Noted: {secret}"]  # type: ignore[attr-defined] # since Python 3.11
    return error


LOGGED: dict[str, Callable[[logging.Logger, str], None]] = {
    "message": lambda log, secret: log.debug(secret),
    "argument": lambda log, secret: log.debug("It is %s", secret),
    "shown argument": lambda log, secret: log.debug("It is %r", [secret]),
    "named argument": lambda log, secret: log.debug("It is %(key)s", {"key": secret}),
    "halves": lambda log, secret: log.debug("It is %s%s", secret[:9], secret[9:]),
    "exception": lambda log, secret: log.error("Failed", exc_info=_chained(secret)),
    "stack": lambda log, secret: log.error(secret, stack_info=True),
    "extra": lambda log, secret: log.info("Said", extra={"body": {"key": secret}}),
    "metric": lambda log, secret: log.info(
        "METRIC: %s", Point("counter", Metric.RECORD_COUNT, 1, {"context": {"id": secret}})
    ),
    "wrong arguments": lambda log, secret: log.info("%d", secret),
}


def _logged(
    formatter: logging.Formatter | None, emit: Callable[[logging.Logger, str], None], secret: str
) -> str:
    """What a handler that is made now writes, and Python says where it can't."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger = logging.Logger("planted", logging.DEBUG)  # noqa: LOG001 - not for others
    logger.addHandler(handler)
    with redirect_stderr(stream):
        protect_stderr()
        emit(logger, secret)
    return stream.getvalue()


@pytest.mark.parametrize("what", LOGGED)
@pytest.mark.parametrize("formatter", FORMATTERS)
@pytest.mark.parametrize("secret", [odd(), key()], ids=["odd", "key"])
def test_no_log_shows_a_secret(what: str, formatter: logging.Formatter | None, secret: str) -> None:
    conceal(secret)
    protect_logs()
    said = _logged(formatter, LOGGED[what], secret)
    assert said
    assert [form for form in forms(secret) if form in said] == []


@pytest.mark.parametrize("secret", [odd(), key()], ids=["odd", "key"])
def test_structured_logs_stay_json(secret: str) -> None:
    conceal(secret)
    protect_logs()
    for emit in LOGGED.values():
        said = _logged(StructuredFormatter(), emit, secret)
        assert json.loads(said)["pid"]


@given(SECRETS, st.lists(st.integers(0, 60), max_size=3), st.sampled_from(FORMATTERS))
def test_no_log_shows_a_secret_that_comes_in_several_arguments(
    secret: str, cuts: list[int], formatter: logging.Formatter | None
) -> None:
    pieces = _pieces(secret, cuts)
    message = "%s" * len(pieces)
    with concealed(secret), mock.patch.object(logging.Handler, "format", logging.Handler.format):
        protect_logs()
        said = _logged(formatter, lambda log, _: log.info(message, *pieces), secret)
    assert secret not in said
    assert json.dumps(secret)[1:-1] not in said


def test_handlers_of_before_and_after_are_protected_and_more_than_once_is_once() -> None:
    secret = key()
    before = logging.StreamHandler(io.StringIO())
    protect_logs()
    protect_logs()
    after = logging.StreamHandler(io.StringIO())
    record = logging.LogRecord("a", logging.INFO, __file__, 1, "the key %s", (secret,), None)
    for handler in (before, after):
        handler.handle(record)
        assert handler.stream.getvalue() == "the key sk_test_…\n"
    assert record.args == (secret,)


# --- stderr ------------------------------------------------------------------------------------


def _pieces(text: str, cuts: Sequence[int]) -> list[str]:
    bounds = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[a:b] for a, b in pairwise(bounds)]


@given(SECRETS, st.lists(st.integers(0, 80), max_size=6), st.sampled_from(["", "\n"]))
def test_a_secret_in_pieces_does_not_pass(secret: str, cuts: list[int], end: str) -> None:
    stream = io.StringIO()
    with concealed(secret):
        protected = RedactedStream(stream)
        protected.writelines(_pieces(f"The key {secret} is wrong{end}", cuts))
        protected.flush()
    shown = stream.getvalue()
    assert secret not in shown
    assert shown.startswith("The key ")
    assert shown.endswith(f" is wrong{end}")


@given(st.lists(st.text("ab \n")), st.integers(0, 9))
def test_what_holds_no_secret_passes_in_order_and_whole_lines_at_once(
    texts: list[str], flushed_after: int
) -> None:
    stream = io.StringIO()
    protected = RedactedStream(stream)
    written = ""
    for number, text in enumerate(texts):
        assert protected.write(text) == len(text)
        written += text
        if number == flushed_after:
            protected.flush()
            assert stream.getvalue() == written
        assert stream.getvalue().startswith(written[: written.rfind("\n") + 1])
    protected.flush()
    assert stream.getvalue() == written


def test_each_thread_writes_lines_of_its_own() -> None:
    secret = key("")
    conceal(secret)
    stream = io.StringIO()
    protected = RedactedStream(stream)
    protected.write(f"Key {secret[:8]}")
    other = threading.Thread(target=lambda: protected.write("Other line\nunfinished"))
    other.start()
    other.join()
    assert stream.getvalue() == "Other line\n"
    protected.write(f"{secret[8:]}\n")
    assert stream.getvalue() == "Other line\nKey [secret]\n"
    protected.flush()
    assert stream.getvalue() == "Other line\nKey [secret]\nunfinished"


def test_the_stream_is_else_as_the_one_behind_it() -> None:
    with open("/dev/null", "w", encoding="latin-1", errors="replace") as behind:  # noqa: PTH123
        protected = RedactedStream(behind)
        assert protected.fileno() == behind.fileno()
        assert (protected.encoding, protected.errors) == ("latin-1", "replace")
        assert not protected.isatty()
        assert not hasattr(protected, "buffer"), "leads past the redaction"
        with pytest.raises(TypeError):
            protected.write(b"bytes")  # type: ignore[arg-type] # how click tells text from bytes


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_click_writes_through_it_whatever_the_encoding(encoding: str) -> None:
    behind = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
    with redirect_stderr(behind):
        protect_stderr()
        protect_stderr()
        assert isinstance(sys.stderr, RedactedStream)
        click.echo(f"No such option: --{key()}", err=True)
        click.UsageError(f"Got unexpected extra argument ({key()})").show()
    behind.seek(0)
    shown = behind.read().replace("\\u2026", "…")
    assert shown == (
        "No such option: --sk_test_…\nError: Got unexpected extra argument (sk_test_…)\n"
    )


def test_without_a_stderr_there_is_nothing_to_protect() -> None:
    with mock.patch.object(sys, "stderr", None):
        protect_stderr()
        assert sys.stderr is None


UNCAUGHT = {
    "in the main thread": "raise RuntimeError('no', secret) from KeyError(secret)",
    "in a thread": "t = threading.Thread(target=fail); t.start(); t.join()",
    "where it can't be raised": "Falling()",
    "of a warning": "warnings.warn(secret)",
    "unfinished": "sys.stderr.write(secret)",
    "at the end": "atexit.register(fail)",
    "of a debug print": "print(secret, [secret], file=sys.stderr, flush=True)",
}


@pytest.mark.parametrize("what", UNCAUGHT)
def test_nothing_that_the_interpreter_says_shows_a_secret(what: str) -> None:
    secret = odd()
    program = f"""
import atexit, faulthandler, sys, threading, warnings
from tap_stripe_conn.redaction import conceal, protect_stderr
secret = sys.stdin.read()
def fail():
    raise RuntimeError(secret)
class Falling:
    def __del__(self):
        fail()
conceal(secret)
protect_stderr()
faulthandler.enable()
{UNCAUGHT[what]}
"""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program],
        input=secret, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "[secret]" in done.stderr
    assert [form for form in forms(secret) if form in done.stderr] == []


def test_a_traceback_shows_no_secret() -> None:
    secret = odd()
    conceal(secret)
    error = _chained(secret)
    stream = io.StringIO()
    with redirect_stderr(stream):
        protect_stderr()
        traceback.print_exception(type(error), error, error.__traceback__)
    assert "RuntimeError" in stream.getvalue()
    assert [form for form in forms(secret) if form in stream.getvalue()] == []
