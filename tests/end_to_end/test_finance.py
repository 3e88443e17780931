"""The statements of docs/finance.md over the shop's rows answer what is true of the shop."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from tests.end_to_end.books import Books
from tests.end_to_end.tap import Tap
from tests.fake_stripe import FakeStripe
from tests.fake_stripe.shop import stock
from tools.quickstart import report

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.end_to_end.books import Answer
    from tests.end_to_end.tap import Output
    from tools.quickstart.postgres import Postgres

DOCS = Path(__file__).parents[2] / "docs"
UNTIL = 1_766_620_800
"""2025-12-25T00:00:00Z, in the middle of a month."""

DAYS = 450
"""The shop's life: long enough for some to pay a second year."""

STREAMS = (
    "balance_transactions",
    "charges",
    "disputes",
    "invoice_line_items",
    "invoices",
    "payment_intents",
    "payout_balance_transactions",
    "payouts",
    "prices",
    "products",
    "refunds",
    "subscription_items",
    "subscriptions",
)
QUESTIONS = (
    "failed_payments_by_month",
    "mrr_by_month",
    "mrr_by_plan",
    "payout_reconciliation",
    "refunds_and_disputes_by_month",
    "revenue_by_month",
    "subscriptions_by_month",
)
SCHEMA = "finance"


@dataclass(frozen=True, slots=True)
class Warehouse:
    """The shop's rows in both databases, and its books."""

    books: Books
    postgres: Postgres
    duckdb: duckdb.DuckDBPyConnection


def statement(name: str) -> str:
    """A statement of the page, asked on the last day of the shop's story."""
    text = (DOCS / "sql" / f"{name}.sql").read_text(encoding="utf-8")
    return text.replace("now()", f"to_timestamp({UNTIL})")


@pytest.fixture(scope="module")
def warehouse(
    database: Postgres, target_postgres: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Warehouse]:
    directory = tmp_path_factory.mktemp("finance")
    stripe = FakeStripe()
    stock(stripe, until=UNTIL, since=UNTIL - DAYS * 86_400)
    with stripe:
        output = Tap.of(stripe, directory).run(STREAMS)
    assert output.code == 0, output.errors[-2000:]
    settings = {
        "sqlalchemy_url": database.url,
        "default_target_schema": SCHEMA,
        "load_method": "upsert",
        "use_copy": True,
    }
    (directory / "loader.json").write_text(json.dumps(settings), encoding="utf-8")
    loading = subprocess.run(
        [str(target_postgres), "--config", str(directory / "loader.json")],
        input=b"".join(output.lines),
        capture_output=True,
        check=False,
    )
    assert loading.returncode == 0, loading.stderr[-2000:].decode()
    with duckdb.connect() as connection:
        load(connection, output, directory)
        connection.execute(statement("duckdb"))
        yield Warehouse(Books(stripe, UNTIL), database, connection)


def load(connection: duckdb.DuckDBPyConnection, output: Output, directory: Path) -> None:
    """Have DuckDB read the rows as JSON Lines, with the columns' types by their schemas."""
    for stream, schema in output.schemas.items():
        path = directory / f"{stream}.jsonl"
        lines = [json.dumps(row) for row in output.rows[stream]]
        path.write_text("\n".join(lines), encoding="utf-8")
        columns = {name: kind(of) for name, of in schema["properties"].items()}
        connection.read_json(str(path), format="newline_delimited", columns=columns).to_table(
            stream
        )


def kind(schema: Mapping[str, Any]) -> str:
    """The type of a column in DuckDB."""
    if schema.get("format") == "date-time":
        return "TIMESTAMP"
    kinds = {"boolean": "BOOLEAN", "integer": "BIGINT", "number": "DOUBLE", "string": "VARCHAR"}
    return next((kinds[name] for name in schema["type"] if name in kinds), "JSON")


def asked(database: Postgres, sql: str, schema: str = SCHEMA) -> Answer:
    """PostgreSQL's answer, of which psql gives text."""
    rows = database.query(f"set search_path to {schema}; {sql}")
    return [tuple(value(text) for text in row) for row in rows]


def value(text: str) -> object:
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    if re.fullmatch(r"\d+\.\d+", text):
        return Decimal(text)
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return date.fromisoformat(text)
    return text or None


@pytest.mark.parametrize("question", QUESTIONS)
def test_postgresql_answers_what_is_true(warehouse: Warehouse, question: str) -> None:
    expected = getattr(warehouse.books, question)()
    assert len(expected) > 12
    assert asked(warehouse.postgres, statement(question)) == expected


def test_amounts_divided_by_the_units_are_what_people_call_them(warehouse: Warehouse) -> None:
    page = (DOCS / "finance.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sql\n(.*?)```\n", page, re.DOTALL)
    chosen, divided = [block for block in blocks if statement_name(block) is None]
    assert chosen == "set search_path to shop;\n"
    setup = [
        chosen.replace("shop", SCHEMA),
        statement("currency_units"),
        f"create view revenue_by_month as {statement('revenue_by_month')}",
    ]
    expected = [
        (month, currency, float(net) / 100)
        for month, currency, *_, net in warehouse.books.revenue_by_month()
    ]
    answer = asked(warehouse.postgres, f"begin; {' '.join(setup)} {divided} rollback")
    assert [(*row[:2], float(row[2])) for row in answer] == expected
    yen = "select units from currency_units where currency = 'jpy';"
    assert asked(warehouse.postgres, f"begin; {setup[1]} {yen} rollback") == [(1,)]
    cursor = warehouse.duckdb.cursor()
    for each in ("begin", chosen.replace("shop", "main"), *setup[1:]):
        cursor.execute(each)
    assert cursor.execute(divided).fetchall() == expected
    cursor.execute("rollback")


def statement_name(block: str) -> str | None:
    """The file that a block of the page is."""
    files = {path.read_text(encoding="utf-8"): path.stem for path in (DOCS / "sql").iterdir()}
    return files.get(block)


def test_the_quickstart_charts_recurring_revenue_in_major_units(
    warehouse: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    report.show_recurring_revenue(warehouse.postgres, SCHEMA)
    _, _, _, header, *months = capsys.readouterr().out.splitlines()
    assert header.split() == ["month", "USD", "EUR", "JPY"]
    mrr = {row[:2]: row[2] for row in warehouse.books.mrr_by_month()}
    newest = date(2025, 12, 1)
    shown = [f"{mrr[newest, currency] / 100:,.2f}" for currency in ("usd", "eur")]
    month, bar, *amounts = months[-1].split()
    assert (month, amounts) == ("2025-12", [*shown, f"{mrr[newest, 'jpy']:,}"])
    most = max(amount for (_, currency), amount in mrr.items() if currency == "usd")
    assert bar.count("█") == 24 * mrr[newest, "usd"] // most
    assert max(line.count("█") for line in months) == 24
    assert len(months) == 15


def test_the_quickstart_shows_revenue_and_fees(
    warehouse: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    report.show_revenue(warehouse.postgres, SCHEMA)
    *_, last = capsys.readouterr().out.splitlines()
    [expected] = [
        row for row in warehouse.books.revenue_by_month() if row[:2] == (date(2025, 12, 1), "usd")
    ]
    assert last.split() == ["2025-12", "USD", *(f"{cents / 100:,.2f}" for cents in expected[2:])]


@pytest.mark.parametrize("question", QUESTIONS)
def test_duckdb_answers_what_is_true(warehouse: Warehouse, question: str) -> None:
    expected = getattr(warehouse.books, question)()
    answer = warehouse.duckdb.execute(statement(question)).fetchall()
    # churn_percent is DuckDB's DOUBLE and PostgreSQL's numeric
    assert [tuple(map(plain, row)) for row in answer] == [
        tuple(map(plain, row)) for row in expected
    ]


def plain(cell: object) -> object:
    return float(cell) if isinstance(cell, Decimal) else cell


def test_a_transaction_that_is_missing_from_a_payout_shows_as_a_difference(
    warehouse: Warehouse,
) -> None:
    where = "select t.ctid, t.payout, t.net from payout_balance_transactions t"
    [(row, payout, net)] = asked(
        warehouse.postgres, f"{where} where t.source like 'ch_%' order by t.id limit 1"
    )
    loss = f"delete from payout_balance_transactions where ctid = '{row}'"  # noqa: S608 - its address
    question = statement("payout_reconciliation")
    answer = asked(warehouse.postgres, f"begin; {loss}; {question} rollback")
    assert {line[0]: line[-1] for line in answer if line[-1]} == {payout: net}


@pytest.mark.parametrize(
    ("table", "question", "column"),
    [
        ("invoice_line_items", "mrr_by_month", 2),
        ("invoices", "mrr_by_month", 2),
        ("payout_balance_transactions", "payout_reconciliation", 4),
        ("subscription_items", "mrr_by_plan", 5),
        ("subscriptions", "mrr_by_plan", 5),
        ("subscriptions", "subscriptions_by_month", 3),
    ],
)
def test_rows_that_are_gone_do_not_count(
    warehouse: Warehouse, table: str, question: str, column: int
) -> None:
    gone = f"update {table} set _sdc_deleted_at = now()"  # noqa: S608 - a table of ours
    answer = asked(warehouse.postgres, f"begin; {gone}; {statement(question)} rollback")
    assert sum(row[column] for row in answer) == 0


def fill(database: Postgres, schema: str, tables: Mapping[str, list[dict[str, Any]]]) -> None:
    """Make a schema with some rows and the columns that the loader made."""
    database.query(f"create schema {schema}")
    for table, rows in tables.items():
        database.query(f"create table {schema}.{table} (like {SCHEMA}.{table})")
        database.query(
            f"insert into {schema}.{table} select * from"  # noqa: S608 - names of ours
            f" jsonb_populate_recordset(null::{schema}.{table}, '{json.dumps(rows)}')"
        )


def price(name: str, interval: str, *, usage: str = "licensed") -> dict[str, Any]:
    recurring = {"interval": interval, "interval_count": 1, "usage_type": usage}
    return {"id": name, "recurring": recurring}


def line(of: str, amount: int, first: str, last: str, *, proration: bool = False) -> dict[str, Any]:
    period = {
        name: datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp()
        for name, day in (("start", first), ("end", last))
    }
    return {
        "id": f"il_{of}_{amount}",
        "invoice": "in_1",
        "subscription": "sub_1",
        "currency": "usd",
        "amount": amount,
        "parent": {"subscription_item_details": {"proration": proration}},
        "period": {name: int(moment) for name, moment in period.items()},
        "pricing": {"price_details": {"price": of}},
    }


def test_a_plan_that_changes_within_a_month_counts_as_the_new_one_from_then_on(
    warehouse: Warehouse,
) -> None:
    tables = {
        "prices": [price("small", "month"), price("large", "month")],
        "subscriptions": [{"id": "sub_1"}],
        "invoices": [{"id": "in_1", "status": "open", "created": "2025-03-20"}],
        "invoice_line_items": [
            line("small", 3100, "2025-03-10", "2025-04-10"),
            line("small", -2100, "2025-03-20", "2025-04-10", proration=True),
            line("large", 4200, "2025-03-20", "2025-04-10", proration=True),
        ],
    }
    fill(warehouse.postgres, "changed", tables)
    answer = asked(warehouse.postgres, statement("mrr_by_month"), "changed")
    assert answer == [(date(2025, 3, 1), "usd", 6200, 1)]


def test_what_does_not_recur_is_no_recurring_revenue(warehouse: Warehouse) -> None:
    usage = price("usage", "month", usage="metered")
    tables = {
        "prices": [price("weekly", "week"), usage, {"id": "once"}],
        "subscriptions": [{"id": "sub_1"}],
        "invoices": [{"id": "in_1", "status": "paid", "created": "2025-03-28"}],
        "invoice_line_items": [
            line("weekly", 700, "2025-03-28", "2025-04-04"),
            line("usage", 5000, "2025-03-28", "2025-04-28"),
            line("once", 9000, "2025-03-28", "2025-04-28"),
        ],
    }
    fill(warehouse.postgres, "sundry", tables)
    answer = asked(warehouse.postgres, statement("mrr_by_month"), "sundry")
    assert answer == [(date(2025, 3, 1), "usd", 3044, 1)]  # 7 a week, 365.25 / 12 / 7 weeks


def test_a_customer_with_two_subscriptions_is_one_customer(warehouse: Warehouse) -> None:
    both = {"customer": "cus_1", "start_date": "2025-12-05", "status": "active"}
    begun = [{"id": "sub_1", **both}, {"id": "sub_2", **both}]
    never = {"id": "sub_3", **both, "customer": "cus_2", "status": "incomplete_expired"}
    trial = {"id": "sub_4", **both, "customer": "cus_3", "trial_end": "2026-01-05"}
    fill(warehouse.postgres, "two", {"subscriptions": [*begun, never, trial]})
    answer = asked(warehouse.postgres, statement("subscriptions_by_month"), "two")
    assert answer == [(date(2025, 12, 1), 2, 0, 2, 1, None)]
