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


@pytest.mark.parametrize("question", QUESTIONS)
def test_duckdb_answers_what_is_true(warehouse: Warehouse, question: str) -> None:
    expected = getattr(warehouse.books, question)()
    answer = warehouse.duckdb.execute(statement(question)).fetchall()
    # churn_percent is DuckDB's DOUBLE and PostgreSQL's numeric
    assert [tuple(map(plain, row)) for row in answer] == [tuple(map(plain, row)) for row in expected]


def plain(cell: object) -> object:
    return float(cell) if isinstance(cell, Decimal) else cell


def test_a_transaction_that_is_missing_from_a_payout_shows_as_a_difference(
    warehouse: Warehouse,
) -> None:
    where = "select t.ctid, t.payout, t.net from payout_balance_transactions t"
    [(row, payout, net)] = asked(
        warehouse.postgres, f"{where} where t.source like 'ch_%' order by t.id limit 1"
    )
    question = statement("payout_reconciliation")
    answer = asked(
        warehouse.postgres,
        f"begin; delete from payout_balance_transactions where ctid = '{row}'; {question}; rollback",  # noqa: S608 - a row's address
    )
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
    gone = f"begin; update {table} set _sdc_deleted_at = now();"
    answer = asked(warehouse.postgres, f"{gone} {statement(question)}; rollback")
    assert sum(int(str(row[column])) for row in answer) == 0


