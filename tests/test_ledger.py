"""What the ledger knows after runs that end well, crash or begin anew, and what files it takes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_stripe_conn.api.lists import Range, rfc3339
from tap_stripe_conn.catalogue.resources import load_catalogue
from tap_stripe_conn.config import ConfigError
from tap_stripe_conn.ledger.entries import hash_of
from tap_stripe_conn.ledger.file import open_file
from tap_stripe_conn.ledger.ledger import Ledger
from tap_stripe_conn.verify import windows

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_stripe_conn.catalogue.resources import Resource
    from tap_stripe_conn.streams.stream import StripeStream

RESOURCES = load_catalogue().resources
ROWS = 20


@dataclass(frozen=True)
class Stream:
    """As much of a stream as a ledger looks at."""

    resource: Resource
    replication_method: str = "INCREMENTAL"

    @property
    def name(self) -> str:
        return self.resource.name


CHARGES = Stream(RESOURCES["charges"])
COUPONS = Stream(replace(RESOURCES["coupons"], created_filter=None), "FULL_TABLE")


def opened(path: Path, *, account: str | None = "acct_1", mode: str | None = "test") -> Ledger:
    return Ledger(path, open_file(path, account=account, mode=mode))


def begun(path: Path, state: dict[str, Any], *streams: Stream) -> Ledger:
    ledger = opened(path)
    ledger.begin(cast("list[StripeStream]", streams or (CHARGES,)), state)
    return ledger


def read_until(moment: int, **further: object) -> dict[str, Any]:
    bookmark = {"replication_key": "_updated_at", "replication_key_value": rfc3339(moment)}
    return {"bookmarks": {"charges": {**bookmark, **further}}}


def tell(ledger: Ledger, stream: Stream, *rows: dict[str, Any]) -> None:
    ledger.told(ledger.entries(stream.resource, rows))


@dataclass(frozen=True)
class Told:
    """A row that leaves, with this content; without, it leaves as deleted."""

    number: int
    amount: int | None


steps = st.lists(
    st.one_of(
        st.builds(Told, st.integers(0, ROWS - 1), st.none() | st.integers(0, 3)),
        st.sampled_from(["keep", "finish", "crash", "begin anew"]),
    ),
    max_size=25,
)


@settings(max_examples=25)
@given(steps)
def test_whatever_is_told_and_wherever_it_crashes_the_ledger_has_what_was_kept(
    taken: list[Told | str],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "ledger")
        ledger = begun(path, {})
        kept: dict[str, int | None] = {}
        unkept: dict[str, int | None] = {}
        for step in taken:
            if isinstance(step, Told):
                row: dict[str, Any] = {"id": f"ch_{step.number}", "amount": step.amount}
                unkept[row["id"]] = None if step.amount is None else hash_of(row)
                gone = {"_sdc_deleted_at": "2026-01-01T00:00:00Z"} if step.amount is None else {}
                tell(ledger, CHARGES, {**row, "_updated_at": "whenever", **gone})
                continue
            if step in {"keep", "finish"}:
                ledger.keep({})
                kept |= unkept
            if step == "finish":
                ledger.finish([], Range(0, 1))
            else:
                ledger.close()
                ledger = begun(path, {} if step == "begin anew" else read_until(500))
                kept = {} if step == "begin anew" else kept
            unkept = {}
        ledger.settle()
        keys = [f"ch_{number}" for number in range(ROWS)]
        assert ledger.hashes("charges", keys) == kept
        assert ledger.keys("charges") == {key for key, value in kept.items() if value is not None}
        ledger.close()


def test_what_a_crash_took_from_the_ledger_is_not_said_to_be_told(tmp_path: Path) -> None:
    ledger = begun(tmp_path / "ledger", {})
    tell(ledger, CHARGES, {"id": "ch_1", "created": rfc3339(100)})
    ledger.keep(read_until(200))
    tell(ledger, CHARGES, {"id": "ch_2", "created": rfc3339(300)})
    ledger.close()
    # The STATE of this run got out all the same.
    ledger = begun(tmp_path / "ledger", read_until(400))
    tell(ledger, CHARGES, {"id": "ch_3", "created": rfc3339(500)})
    ledger.keep(read_until(600))
    ledger.finish(["charges"], Range(0, 600))
    assert ledger.coverage("charges").spans == [Range(400, 600), Range(0, 200)]
    assert ledger.created_within("charges", [Range(0, 600)]) == {"ch_1", "ch_3"}
    assert list(ledger.places("charges")) == [100, 500]
    ledger.close()


def test_changes_that_runs_without_the_ledger_told_are_known_to_be_unknown(tmp_path: Path) -> None:
    for begins, ends in ((0, 200), (200, 300), (450, 500)):
        before = read_until(begins, changes_since=rfc3339(begins)) if begins else {}
        ledger = begun(tmp_path / "ledger", before)
        ledger.keep(read_until(ends, changes_since=rfc3339(ends)))
        coverage = ledger.coverage("charges")
        ledger.close()
    assert coverage.unknown == [Range(300, 450)]
    assert coverage.known_until == 500
    ledger = begun(tmp_path / "ledger", {})
    assert ledger.coverage("charges").unknown == []
    ledger.close()


def test_what_is_pending_is_not_told_until_it_is(tmp_path: Path) -> None:
    pending = {"until": rfc3339(600), "pending": [[rfc3339(0), rfc3339(250)]]}
    ledger = begun(tmp_path / "ledger", {})
    ledger.keep(read_until(0, **pending))
    assert ledger.coverage("charges").spans == [Range(250, 600)]
    ledger.keep(read_until(600))
    assert ledger.coverage("charges").spans == [Range(0, 600)]
    ledger.close()


def test_a_list_without_times_is_told_when_it_was_read_to_its_end(tmp_path: Path) -> None:
    ledger = begun(tmp_path / "ledger", read_until(1), CHARGES, COUPONS)
    tell(ledger, COUPONS, {"id": "gone"}, {"id": "there"})
    ledger.finish([], Range(0, 600))
    assert not ledger.coverage("coupons").is_whole
    ledger.finish(["charges", "coupons"], Range(0, 600))
    assert ledger.coverage("coupons").is_whole
    assert not ledger.coverage("charges").is_whole
    ledger.close()
    ledger = begun(tmp_path / "ledger", read_until(1), CHARGES, COUPONS)
    tell(ledger, COUPONS, {"id": "there"})
    ledger.replaced("coupons")
    ledger.finish(["coupons"], Range(0, 700))
    assert ledger.keys("coupons") == {"there"}
    ledger.close()


def test_what_an_interrupted_whole_read_has_told_stays_when_the_next_run_ends_it(
    tmp_path: Path,
) -> None:
    whole = replace(CHARGES, replication_method="FULL_TABLE")
    begins: list[dict[str, Any]] = [
        {},
        read_until(100),
        {"bookmarks": {"charges": {"until": rfc3339(200), "pending": []}}},
    ]
    for number, state in enumerate(begins):
        ledger = begun(tmp_path / "ledger", state, whole)
        tell(ledger, whole, {"id": f"ch_{number}"})
        ledger.keep({})
        if number == 2:
            ledger.replaced("charges")
        ledger.settle()
        known = ledger.keys("charges")
        ledger.close()
    assert known == {"ch_1", "ch_2"}


def test_children_are_found_by_their_parents(tmp_path: Path) -> None:
    lines = Stream(RESOURCES["invoice_line_items"], "FULL_TABLE")
    ledger = begun(tmp_path / "ledger", {}, lines)
    tell(ledger, lines, *({"id": f"il_{n}", "invoice": f"in_{n // 2}"} for n in range(6)))
    ledger.keep({})
    ledger.finish([], Range(0, 1))
    found = ledger.children_of("invoice_line_items", ["in_0", "in_2"])
    assert found == {"in_0/il_0": "in_0", "in_0/il_1": "in_0"} | {
        "in_2/il_4": "in_2",
        "in_2/il_5": "in_2",
    }
    ledger.close()


def test_content_is_the_same_in_any_order_and_without_what_the_tap_adds() -> None:
    row = {"id": "ch_1", "card": {"brand": "visa", "last4": "4242"}, "receipt_url": "…/1"}
    same = {
        "receipt_url": "…/2",
        "card": {"last4": "4242", "brand": "visa"},
        "_updated_at": "2026-01-01T00:00:00Z",
        "_sdc_deleted_at": None,
        "id": "ch_1",
    }
    assert hash_of(same) == hash_of(row)
    assert hash_of({**row, "card": {"brand": "visa", "last4": "4243"}}) != hash_of(row)


def test_a_row_takes_less_than_60_bytes(tmp_path: Path) -> None:
    chance = Random(1)  # noqa: S311 - ids
    ledger = begun(tmp_path / "ledger", {})
    for _ in range(20):
        ids = (f"ch_{chance.getrandbits(119):024x}"[:27] for _ in range(500))
        tell(ledger, CHARGES, *({"id": each, "created": 1_767_225_600} for each in ids))
        ledger.keep({})
    ledger.finish([], Range(0, 1))
    ledger.close()
    assert (tmp_path / "ledger").stat().st_size < 60 * 10_000
    assert (tmp_path / "ledger").stat().st_mode & 0o777 == 0o600


def test_a_ledger_that_can_not_be_written_any_more_does_not_stop_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = begun(tmp_path / "ledger", {})
    with sqlite3.connect(tmp_path / "ledger") as other:
        other.execute("DROP TABLE recent")
    for moment in (200, 300):
        tell(ledger, CHARGES, {"id": "ch_1", "created": rfc3339(100)})
        ledger.keep(read_until(moment))
    ledger.finish([], Range(0, 300))
    ledger.close()
    (said,) = caplog.messages
    assert said.endswith("What the run tells from now on is not verifiable")
    ledger = opened(tmp_path / "ledger")
    assert ledger.coverage("charges").spans == []
    ledger.close()


def text(path: Path) -> None:
    path.write_text("dear diary, " * 1000)


def folder(path: Path) -> None:
    path.mkdir()


def database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE diary (day TEXT)")
    connection.close()


def newer(path: Path) -> None:
    opened(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()


def elsewhere(path: Path) -> None:
    opened(path, account="acct_2").close()


def live(path: Path) -> None:
    opened(path, account=None, mode="live").close()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (text, "is not a ledger, or a damaged one"),
        (folder, "can't be opened: Is a directory"),
        (database, "is not a ledger but something else"),
        (newer, "was begun by a newer version of the tap"),
        (elsewhere, "is of acct_2 in test mode, not of acct_1 in test mode"),
        (live, "is of live mode, not of acct_1 in test mode"),
    ],
)
def test_a_file_that_is_no_ledger_of_this_connection_is_refused(
    tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    make(tmp_path / "ledger")
    with pytest.raises(ConfigError) as refusal:
        opened(tmp_path / "ledger")
    assert said in str(refusal.value)


def test_to_compare_with_a_ledger_does_not_begin_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no ledger .* yet: a run with the setting"):
        open_file(tmp_path / "ledger", account="acct_1", mode="test", create=False)
    assert not list(tmp_path.iterdir())


def test_an_account_that_the_key_does_not_tell_is_learnt_later(tmp_path: Path) -> None:
    opened(tmp_path / "ledger", account=None).close()
    opened(tmp_path / "ledger").close()
    opened(tmp_path / "ledger", account=None).close()
    with pytest.raises(ConfigError):
        opened(tmp_path / "ledger", account="acct_2")


def test_a_run_without_a_ledger_loads_nothing_of_it() -> None:
    loaded = (
        "print([name for name in sys.modules if name.startswith(('{0}.ledger', '{0}.verify'))])"
    )
    done = subprocess.run(  # noqa: S603 - this interpreter
        [
            sys.executable,
            "-c",
            "import sys, tap_stripe_conn.tap;" + loaded.format("tap_stripe_conn"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


@settings(max_examples=25)
@given(st.integers(0, 50), st.integers(0, 999), st.randoms(use_true_random=False))
def test_a_sample_is_of_closed_windows_and_may_be_of_any_time(
    of_hundreds: int, gap: int, chance: Random
) -> None:
    closed = [Range(5_000, 9_000), Range(1_000, 4_000)]
    created = sorted(
        moment for moment in range(1_000, 9_000) if not gap <= moment % 1_000 < gap + 300
    )[: of_hundreds * 100]
    chosen = windows(closed, created, 500, chance)
    known = sum(any(span.since <= each < span.until for span in chosen) for each in created)
    assert known <= 600
    assert all(any(a.since <= b.since and b.until <= a.until for a in closed) for b in chosen)
    again, once_more = (windows(closed, created, 500, Random(7)) for _ in range(2))  # noqa: S311
    assert again == once_more
    all_of_them = windows(closed, created, len(created) + 100, chance)
    assert all_of_them == closed
