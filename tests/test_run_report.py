"""What people and machines read of a run."""

from __future__ import annotations

import json
import os
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from jsonschema import Draft202012Validator

from tap_stripe_conn.api.lists import Range
from tap_stripe_conn.api.traffic import Traffic
from tap_stripe_conn.config import ConfigError, config_schema, parse_settings
from tap_stripe_conn.connection.check import Account
from tap_stripe_conn.redaction import conceal
from tap_stripe_conn.report import Connection
from tap_stripe_conn.run_report import Ending, RunRecord, RunReport, StreamRun
from tap_stripe_conn.streams.outcome import Outcome, Status
from tap_stripe_conn.streams.tally import Tally, Way

if TYPE_CHECKING:
    from tap_stripe_conn.config import Settings

SCHEMA = Draft202012Validator(
    json.loads((Path(__file__).parents[1] / "docs" / "run-report.schema.json").read_text("utf-8"))
)
KEY: Final = "sk_" + "live_" + "1"
BEGAN: Final = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
ENDED: Final = datetime(2026, 3, 1, 12, 2, 3, 500_000, tzinfo=timezone.utc)
CHARGES: Final = Traffic(requests=40, limited=2, retries=3, bytes=9_000_000, seconds=8.12345)
LEFT_OUT: Final = "Fields that this version does not know were left out"
PROBE: Final = Traffic(requests=1, bytes=400, seconds=0.1)


def settings(**given: object) -> Settings:
    return parse_settings({"live_api_key": KEY, **given}, config_schema())


def tally(**given: Any) -> Tally:  # noqa: ANN401 - its fields
    counted = Tally(**given)
    counted.begin([Range(1_000, 2_000)])
    return counted


def charges(**given: Any) -> StreamRun:  # noqa: ANN401 - its fields
    counted = tally(rows=Counter({Way.LISTED: 3_000, Way.HYDRATED: 20, Way.DELETED: 1}), changed=25)
    counted.unread([Range(1_000, 1_200)])
    return StreamRun(
        **{
            "stream": "charges",
            "outcome": Outcome("charges", Status.COMPLETE),
            "tally": counted,
            "traffic": CHARGES,
            "before": None,
            "after": {"replication_key_value": "2026-03-01T12:00:00Z"},
            **given,
        }
    )


def report(*streams: StreamRun, **given: Any) -> RunReport:  # noqa: ANN401 - its fields
    connection = Connection.of(settings(), Account("acct_1", "Rocket Rides"), "2026-10-28.endive")
    return RunReport(
        **{
            "tap_version": "1.2.3",
            "connection": connection,
            "started": BEGAN,
            "ended": ENDED,
            "seconds": 123.5,
            "ending": Ending(0),
            "streams": streams,
            "endpoints": {"/v1/account": PROBE, "/v1/charges": CHARGES},
            **given,
        }
    )


def test_the_whole_document() -> None:
    document = report(charges(drift={"brand_new": 7})).document()
    SCHEMA.validate(document)
    assert document == {
        "tap_version": "1.2.3",
        "connection_name": "stripe",
        "auth_scheme": "api_key",
        "credentials": "secret",
        "mode": "live",
        "account": {"id": "acct_1", "name": "Rocket Rides"},
        "api_version": "2026-10-28.endive",
        "started_at": "2026-03-01T12:00:00.000Z",
        "ended_at": "2026-03-01T12:02:03.500Z",
        "seconds": 123.5,
        "status": "complete",
        "exit_code": 0,
        "reason": None,
        "rows": 3_021,
        "traffic": {
            "requests": 41,
            "limited": 2,
            "retries": 3,
            "bytes": 9_000_400,
            "seconds": 8.223,
        },
        "endpoints": {
            "/v1/account": {
                "requests": 1,
                "limited": 0,
                "retries": 0,
                "bytes": 400,
                "seconds": 0.1,
            },
            "/v1/charges": {
                "requests": 40,
                "limited": 2,
                "retries": 3,
                "bytes": 9_000_000,
                "seconds": 8.123,
            },
        },
        "streams": [
            {
                "stream": "charges",
                "status": "complete",
                "permission": None,
                "parent": None,
                "reason": None,
                "rows": {
                    "listed": 3_000,
                    "hydrated": 20,
                    "deleted": 1,
                    "embedded": 0,
                    "requested": 0,
                },
                "changed": 25,
                "repaired": None,
                "ranges": {
                    "finished": [["1970-01-01T00:20:00Z", "1970-01-01T00:33:20Z"]],
                    "pending": [["1970-01-01T00:16:40Z", "1970-01-01T00:20:00Z"]],
                },
                "bookmark": {
                    "before": None,
                    "after": {"replication_key_value": "2026-03-01T12:00:00Z"},
                },
                "drift": {"brand_new": 7},
                "traffic": {
                    "requests": 40,
                    "limited": 2,
                    "retries": 3,
                    "bytes": 9_000_000,
                    "seconds": 8.123,
                },
            }
        ],
    }


def test_the_schema_is_one_and_refuses_what_it_does_not_describe() -> None:
    Draft202012Validator.check_schema(SCHEMA.schema)
    assert not SCHEMA.is_valid({**report().document(), "surprise": 1})
    assert not SCHEMA.is_valid({**report().document(), "status": "done"})


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.OK, Status.EMPTY}, key=str))
def test_every_way_a_stream_can_end_has_a_place_in_the_schema(status: Status) -> None:
    said = "" if status is Status.COMPLETE else "something"
    outcome = Outcome("charges", status, said, through="invoices")
    SCHEMA.validate(report(charges(outcome=outcome)).document())


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (0, "complete"),
        (1, "failed"),
        (2, "failed"),
        (3, "not_whole"),
        (130, "interrupted"),
        (143, "interrupted"),
    ],
)
def test_the_status_of_a_run_goes_with_its_exit_code(code: int, status: str) -> None:
    document = report(ending=Ending(code, "Said last")).document()
    SCHEMA.validate(document)
    assert (document["status"], document["reason"]) == (status, "Said last")


def test_a_stream_that_the_run_did_not_come_to_is_unfinished() -> None:
    document = report(charges(outcome=None), ending=Ending(130, "Interrupted")).document()
    SCHEMA.validate(document)
    assert document["streams"][0]["status"] == "unfinished"


# --- For people --------------------------------------------------------------------------------


def test_a_run_without_trouble_is_one_line() -> None:
    lines = StreamRun(
        stream="invoice_line_items",
        outcome=Outcome("invoice_line_items", Status.COMPLETE),
        tally=tally(rows=Counter({Way.EMBEDDED: 50, Way.REQUESTED: 9})),
    )
    found = report(charges(), lines)
    assert found.summary() == (
        "Connection stripe: 3,080 rows of 2 streams by 41 requests (2 answered 429, 3 retries) in "
        "2 min 4 s: 3,000 listed, 20 hydrated, 1 deleted, 50 embedded, 9 requested"
    )
    assert list(found.remarks()) == []


def test_a_run_with_nothing_to_read_says_so() -> None:
    found = report(endpoints={"/v1/account": PROBE}, seconds=0.61)
    assert found.summary() == "Connection stripe: 0 rows of 0 streams by 1 requests in 0.6 s"


def test_what_is_missing_repaired_or_unknown_is_a_line_each() -> None:
    bare = [StreamRun(stream=f"s{number}", outcome=None) for number in range(10)]
    repaired = charges(tally=tally(repaired="its bookmark was 31 days old"), drift={"b": 2, "a": 1})
    assert list(report(*bare, repaired).remarks()) == [
        "Not read to the end: s0, s1, s2, s3, s4, s5, s6, s7, and 2 more",
        "Repaired by reading more again: charges (its bookmark was 31 days old)",
        f"{LEFT_OUT}: charges.a (1 rows), charges.b (2 rows)",
    ]


@pytest.mark.parametrize(
    ("outcomes", "ending"),
    [
        ([Outcome("charges", Status.COMPLETE)], Ending(0)),
        (
            [Outcome("charges", Status.COMPLETE), Outcome("x", Status.NOT_ENABLED, "No Issuing")],
            Ending(0),
        ),
        (
            [Outcome("charges", Status.COMPLETE), Outcome("x", Status.FAILED, "No answer")],
            Ending(3, "1 of 2 selected streams could not be read whole: x, failed: No answer"),
        ),
        (
            [Outcome("x", Status.FAILED, "No answer")],
            Ending(
                1,
                "The run failed: none of the 1 selected streams can be read; the first: x, failed: "
                "No answer",
            ),
        ),
    ],
)
def test_how_streams_ended_says_how_the_run_ends(outcomes: list[Outcome], ending: Ending) -> None:
    assert Ending.of(outcomes) == ending


# --- The file ----------------------------------------------------------------------------------


def record(path: Path) -> RunRecord:
    return RunRecord(settings(report_file=str(path)), tap_version="1", api_version="2")


def test_a_run_that_goes_on_says_so_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text('{"status": "complete"}')
    run = record(path)
    run.announce()
    begun = json.loads(path.read_text())
    SCHEMA.validate(begun)
    assert (begun["status"], begun["ended_at"], begun["exit_code"]) == ("running", None, None)
    run.end(Ending(1, "The run failed"), {}, {"/v1/account": PROBE})
    ended = json.loads(path.read_text())
    SCHEMA.validate(ended)
    assert (ended["status"], ended["reason"]) == ("failed", "The run failed")
    assert ended["started_at"] == begun["started_at"]
    assert os.listdir(tmp_path) == ["report.json"]  # noqa: PTH208 - names


def test_the_report_is_for_whoever_may_read_new_files(tmp_path: Path) -> None:
    path, other = tmp_path / "report.json", tmp_path / "other"
    record(path).announce()
    other.touch()
    assert path.stat().st_mode == other.stat().st_mode


@pytest.mark.parametrize(
    ("name", "why"),
    [("nowhere/report.json", "No such file or directory"), (".", "Is a directory")],
)
def test_a_place_that_can_not_be_written_is_a_wrong_setting(
    tmp_path: Path, name: str, why: str
) -> None:
    path = tmp_path / name
    with pytest.raises(ConfigError) as raised:
        record(path).announce()
    assert str(raised.value).startswith(f"Setting 'report_file': {path} can't be written: ")
    if name != ".":
        assert str(raised.value).endswith(why)


def test_a_report_that_can_not_be_written_at_the_end_does_not_cost_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    run = record(folder / "report.json")
    run.announce()
    (folder / "report.json").unlink()
    folder.rmdir()
    run.end(Ending(0), {}, {})
    assert caplog.messages == [
        f"The report can't be written to {folder}/report.json: No such file or directory"
    ]


def test_no_secret_is_in_the_file(tmp_path: Path) -> None:
    secret = "planted-" + "in-the-middle"
    conceal(secret)
    path = tmp_path / "report.json"
    record(path).end(Ending(1, f'Stripe said "{secret}" and {KEY}234567890abcdef'), {}, {})
    text = path.read_text()
    SCHEMA.validate(json.loads(text))
    assert secret not in text
    assert KEY + "2" not in text
    assert "Stripe said" in text
