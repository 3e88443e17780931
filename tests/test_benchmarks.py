"""The benchmarks' arithmetic: what is counted, what it is held against, and what is called met."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import requests

from benchmarks.figures import KNOWN, Process, figures, unmet, unmet_under_faults, written
from benchmarks.hour import let_pass, tap_streams
from benchmarks.others import PATHS, USER_AGENT
from benchmarks.report import Report
from benchmarks.run import TIMED_OUT
from benchmarks.scenarios import SCENARIOS, Hour, Load, Scenario
from benchmarks.server import account, report
from benchmarks.target import contents, keys, write
from tap_stripe_conn.api.network import connection_failed
from tap_stripe_conn.catalogue.resources import load_catalogue
from tests.fake_stripe import FakeStripe

if TYPE_CHECKING:
    from pathlib import Path

SEEN = Report(
    rows=10_000,
    pages=100,
    requests=110,
    first=1_000.0,
    last=1_005.0,
    limited=3,
    limited_late=1,
    others=200,
    others_limited=4,
    missing=0,
    twice=0,
)
TAP = Process(started=998.5, seconds=8.0, cpu_seconds=2.0, peak_rss=81.0, timeouts=0, code=0)
PACED = Scenario(title="", bound_rate=25.0)


def test_wall_is_the_whole_process_or_from_the_first_request_to_the_last_answer() -> None:
    whole = figures(PACED, SEEN, TAP)
    assert (whole["wall s"], whole["wall/bound"], whole["rows/s"]) == (8.0, 2.0, 1250.0)
    without_start = figures(replace(PACED, clock="requests"), SEEN, TAP)
    assert without_start["wall s"] == 5.0
    assert without_start["wall/bound"] == 1.25
    assert without_start["start-up s"] == 1.5


def test_the_bound_is_by_pages_or_by_the_requests_that_were_made() -> None:
    assert figures(PACED, SEEN, TAP)["bound s"] == 4.0
    assert figures(replace(PACED, bound_by="requests"), SEEN, TAP)["bound s"] == 4.4
    assert "bound s" not in figures(Scenario(title=""), SEEN, TAP)


def test_shares_are_of_one_core_and_of_somebody_elses_requests() -> None:
    found = figures(PACED, SEEN, TAP)
    assert (written("CPU", found), written("others' 429s", found)) == ("25%", "2.0%")
    alone = figures(PACED, replace(SEEN, others=0, others_limited=0), TAP)
    assert written("others' 429s", alone) == "-"


def test_all_is_met_where_no_figure_is_beyond_what_is_required() -> None:
    scenario = replace(PACED, most={"wall/bound": 2.0, "CPU": 0.25}, least={"rows/s": 1_250})
    assert unmet(scenario, figures(scenario, SEEN, TAP), code=0) == []


@pytest.mark.parametrize(
    ("scenario", "seen", "code", "said"),
    [
        (replace(PACED, most={"wall/bound": 1.35}), SEEN, 0, "wall/bound is 2.00, more than 1.35"),
        (replace(PACED, least={"rows/s": 8_700}), SEEN, 0, "rows/s is 1,250, less than 8,700"),
        (PACED, replace(SEEN, missing=2), 0, "missing is 2, more than 0"),
        (PACED, replace(SEEN, twice=1), 0, "twice is 1, more than 0"),
        (PACED, SEEN, 3, "the tap ended with exit code 3"),
        (
            replace(PACED, most={"others' 429s": 0.01}),
            replace(SEEN, others=0),
            0,
            "others' 429s is -, more than 1.0%",
        ),
    ],
)
def test_what_is_not_met_is_said_in_words(
    scenario: Scenario, seen: Report, code: int, said: str
) -> None:
    assert unmet(scenario, figures(scenario, seen, TAP), code=code) == [said]


def test_under_faults_a_row_may_come_twice_but_none_may_be_missing() -> None:
    twice = figures(PACED, replace(SEEN, twice=5), TAP)
    assert unmet_under_faults(twice, code=0) == []
    missing = figures(PACED, replace(SEEN, missing=5), TAP)
    assert unmet_under_faults(missing, code=1) == [
        "the tap ended with exit code 1",
        "missing is 5",
    ]


def test_a_second_run_is_measured_by_what_had_changed() -> None:
    scenario = replace(PACED, bound_rate=None, hour=Hour(), most={"requests/changed": 0.5})
    found = figures(scenario, replace(SEEN, changed=200, pages=0), TAP)
    assert found["requests/changed"] == 0.55
    assert not found.keys() & {"pages", "requests/pages", "rows/s", "twice"}
    stale = figures(scenario, replace(SEEN, changed=220, stale=1), TAP)
    assert unmet(scenario, stale, code=0) == ["stale is 1, more than 0"]
    assert unmet_under_faults(stale, code=0) == ["stale is 1"]


def test_timeouts_are_counted_by_what_the_tap_says_of_them() -> None:
    for error in (requests.ConnectTimeout(), requests.ReadTimeout()):
        assert TIMED_OUT.decode() in str(connection_failed(error))


def test_every_requirement_is_a_figure_and_every_list_a_stream() -> None:
    resources = load_catalogue().resources
    for scenario in SCENARIOS.values():
        assert {*scenario.most, *scenario.least} <= KNOWN.keys()
        assert scenario.lists.keys() <= resources.keys()
        read = {resources[name].path for name in scenario.lists}
        assert not (scenario.others_rate and read & set(PATHS))


def test_rows_are_spread_by_chance_the_same_each_time_or_crowd_in_one_day() -> None:
    crowded = Load(rows=1_000, years=5, in_one_day=0.9)
    times = sorted(crowded.times())
    assert times == sorted(crowded.times())
    middle = times[500]
    assert 900 <= sum(abs(each - middle) < 86_400 for each in times) < 1_000
    assert times[-1] - times[0] > 4 * 365 * 86_400


def test_a_target_notes_the_keys_of_rows_as_their_schema_names_them() -> None:
    messages = [
        _schema("charges", ["id"]),
        _schema("invoice_line_items", ["invoice", "id"]),
        {"type": "RECORD", "stream": "charges", "record": {"amount": 1, "id": "ch_1"}},
        {"type": "STATE", "value": {"bookmarks": {}}},
        {
            "type": "RECORD",
            "stream": "invoice_line_items",
            "record": {"id": "il_1", "invoice": "in_1"},
        },
    ]
    file = io.BytesIO()
    write(keys(json.dumps(each).encode() for each in messages), file)
    assert file.getvalue() == b'["charges","ch_1"]\n["invoice_line_items","in_1","il_1"]\n'


def test_the_server_tells_what_is_missing_and_what_came_twice(tmp_path: Path) -> None:
    scenario = replace(PACED, lists={"charges": Load(rows=250)}, latency=0.0)
    with account(scenario) as stripe:
        _get(stripe, "/v1/charges", "the tap")
        _get(stripe, "/v1/customers", USER_AGENT)
        newest, *others = stripe.ids("charges")
        noted = [*others, others[0], others[0]]
        found = report(stripe, scenario, _noted(tmp_path, noted))
        with pytest.raises(RuntimeError, match="rows that the server doesn't have"):
            report(stripe, scenario, _noted(tmp_path, [newest, "ch_unknown"]))
    assert (found.rows, found.pages, found.missing, found.twice) == (250, 3, 1, 2)
    assert (found.requests, found.limited) == (1, 0)


def test_rows_of_two_runs_are_compared_in_what_they_hold(tmp_path: Path) -> None:
    hour = Hour(edits={"charges": 2})
    scenario = replace(PACED, lists={"charges": Load(rows=5, days=7)}, hour=hour, latency=0.0)
    with account(scenario) as stripe:
        first = [dict(row) for row in stripe.objects("charges")]
        assert let_pass(stripe, hour, ["charges"]) == 2
        assert len(stripe.life.events()) == 1 + 2
        _get(stripe, "/v1/charges", "the tap")
        shape = tap_streams()["charges"].shaper
        before = [_record("charges", shape(row)) for row in first]
        now = [_record("charges", shape(dict(row))) for row in stripe.objects("charges")]
        gone = [_record("charges", {"id": "ch_gone", "_sdc_deleted_at": "2026-01-01T00:00:00Z"})]
        unknown = [_record("charges", {"id": "ch_unknown"})]
        schema = [_schema("charges", ["id"])]
        found = [
            report(stripe, scenario, _contents(tmp_path, [*schema, *messages]), changed=2)
            for messages in (before, before + now, now[1:] + gone, now + unknown)
        ]
    assert [(each.missing, each.stale) for each in found] == [(0, 2), (0, 0), (1, 0), (0, 1)]


def test_429s_are_counted_apart_for_the_tap_and_for_somebody_else(tmp_path: Path) -> None:
    scenario = replace(PACED, lists={"charges": Load(rows=1)}, latency=0.0)
    with account(scenario) as stripe:
        stripe.rates.per_second = 1
        for moment, user_agent in [
            (100.0, "the tap"),
            (100.5, "the tap"),
            (101.5, "the tap"),
            (102.0, USER_AGENT),
            (103.0, "the tap"),
            (104.0, USER_AGENT),
        ]:
            stripe.now = partial(float, moment)
            _get(stripe, "/v1/charges", user_agent)
        found = report(stripe, scenario, _noted(tmp_path, []))
    assert (found.requests, found.limited, found.limited_late) == (4, 3, 2)
    assert (found.others, found.others_limited) == (1, 1)
    assert (found.first, round(found.last)) == (100.0, 103)


def test_the_fewest_requests_take_embedded_lists_as_they_come(tmp_path: Path) -> None:
    with FakeStripe() as stripe:
        long, short = (stripe.add("invoices")["id"] for _ in range(2))
        stripe.seed("invoice_line_items", 111, parent=long)
        stripe.seed("invoice_line_items", 10, parent=short)
        stripe.add("customers")
        _get(stripe, "/v1/invoices", "the tap")
        names = ("invoices", "invoice_line_items", "customers", "customer_balance_transactions")
        scenario = replace(PACED, lists={name: Load(rows=0) for name in names})
        pages = report(stripe, scenario, _noted(tmp_path, [])).pages
    # A page of invoices, two of the long one's lines beyond the first ten, none of the short
    # one's; a page of customers and one, of nothing, below the only customer.
    assert pages == 1 + 2 + 0 + 1 + 1


def _schema(stream: str, key: list[str]) -> dict[str, Any]:
    return {"type": "SCHEMA", "stream": stream, "schema": {}, "key_properties": key}


def _record(stream: str, row: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RECORD", "stream": stream, "record": row}


def _contents(folder: Path, messages: list[dict[str, Any]]) -> Path:
    path = folder / "contents"
    with path.open("wb") as file:
        write(contents(json.dumps(each).encode() for each in messages), file)
    return path


def _get(stripe: FakeStripe, path: str, user_agent: str) -> None:
    headers = {"User-Agent": user_agent, "Authorization": f"Bearer {stripe.secret_key}"}
    requests.get(stripe.url + path, headers=headers, timeout=9)


def _noted(folder: Path, ids: list[str]) -> Path:
    path = folder / "keys"
    path.write_text("".join(f'["charges","{each}"]\n' for each in ids), encoding="utf-8")
    return path
