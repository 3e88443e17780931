"""The shop through target-postgres into PostgreSQL: what Stripe has is what the tables have."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.tap import Tap
from tests.end_to_end.truth import rows_of, without_secrets
from tests.fake_stripe import FakeStripe
from tests.fake_stripe.shop import stock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.end_to_end.tap import Output, Row
    from tools.quickstart.postgres import Postgres

UNTIL = 1_795_000_000
DAYS = 45

Table = dict[tuple[str, ...], dict[str, Any]]
"""Rows by primary key."""


@dataclass(slots=True)
class Pipeline:
    """Stripe -> tap -> target-postgres -> PostgreSQL, with the state that the loader gave back."""

    stripe: FakeStripe
    streams: list[str]
    tap: Tap
    loader: list[str]
    database: Postgres
    state: dict[str, Any] | None = None

    def run(self) -> Output:
        """Run once, and keep the loader's last STATE for the next time."""
        output = self.tap.run(self.streams, state=self.state)
        assert output.code == 0, output.errors[-2000:]
        loading = subprocess.run(
            self.loader, input=b"".join(output.lines), capture_output=True, check=False
        )
        assert loading.returncode == 0, loading.stderr[-2000:].decode()
        self.state = json.loads(loading.stdout.splitlines()[-1])
        return output

    def columns(self, stream: str) -> dict[str, str]:
        """Name and type of a table's columns, without the loader's own."""
        listed = self.database.query(
            "select table_name, column_name, data_type from information_schema.columns"
            " where table_schema = 'shop'"
        )
        return {
            name: kind
            for table, name, kind in listed
            if table == stream and not name.startswith("_sdc_")
        }

    def table(self, stream: str) -> Table:
        """A table's rows, each asserted to have a key of its own."""
        listed = self.database.query(f'select to_jsonb(t) from shop."{stream}" t')  # noqa: S608 - a stream of ours
        rows = [
            {name: value for name, value in json.loads(text).items() if not name.startswith("_sdc")}
            for (text,) in listed
        ]
        return keyed(self.stripe, stream, rows)

    def tables(self) -> dict[str, Table]:
        """All tables."""
        return {stream: self.table(stream) for stream in self.streams}

    def expected(self, stream: str) -> Table:
        """What the table has to have, by what the server has and by the columns' types."""
        columns = self.columns(stream)
        resource = self.stripe.catalogue.resources[stream]
        rows = []
        for row in rows_of(self.stripe, stream):
            assert row.keys() <= {*columns, *resource.secrets}, "a field has no column"
            if resource.incremental:
                row["_updated_at"] = self.created(stream, row)
            kept = without_secrets(row, self.stripe.catalogue)
            rows.append({name: stored(kept.get(name), kind) for name, kind in columns.items()})
        return keyed(self.stripe, stream, rows)

    def created(self, stream: str, row: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
        """When a row was made; if it has no date of its own, when its parent was."""
        resource = self.stripe.catalogue.resources[stream]
        if resource.created_field is not None or resource.parent is None:
            return row.get(str(resource.created_field))
        parents = self.stripe.objects(resource.parent.stream)
        identifier = row[resource.parent.column]
        (parent,) = (each for each in parents if each["id"] == identifier)
        return self.created(resource.parent.stream, parent)


def keyed(stripe: FakeStripe, stream: str, rows: list[Row]) -> Table:
    """Rows by their key, of which none may have two."""
    key = stripe.catalogue.resources[stream].primary_key
    table = {tuple(str(row[name]) for name in key): row for row in rows}
    assert len(table) == len(rows), f"keys of {stream} are not unique"
    return table


def stored(value: Any, kind: str) -> Any:  # noqa: ANN401 - JSON
    """A value of Stripe's in a column of a type, as PostgreSQL renders it in JSON."""
    if kind.startswith("timestamp") and isinstance(value, int):
        return datetime.fromtimestamp(value, timezone.utc).replace(tzinfo=None).isoformat()
    return value


@pytest.fixture(scope="module")
def pipeline(
    database: Postgres, target_postgres: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pipeline]:
    """The shop, read once."""
    directory = tmp_path_factory.mktemp("postgres")
    settings = {
        "sqlalchemy_url": database.url,
        "default_target_schema": "shop",
        "load_method": "upsert",
        "use_copy": True,
    }
    (directory / "loader.json").write_text(json.dumps(settings), encoding="utf-8")
    stripe = FakeStripe()
    stock(stripe, until=UNTIL, since=UNTIL - DAYS * 86_400)
    streams = [name for name in stripe.catalogue.resources if stripe.ids(name)]
    with stripe:
        loader = [str(target_postgres), "--config", str(directory / "loader.json")]
        pipeline = Pipeline(stripe, streams, Tap.of(stripe, directory), loader, database)
        pipeline.run()
        yield pipeline


def test_every_table_has_the_rows_of_the_shop_field_by_field(pipeline: Pipeline) -> None:
    assert len(pipeline.streams) >= 25
    for stream in pipeline.streams:
        table, expected = pipeline.table(stream), pipeline.expected(stream)
        assert table.keys() == expected.keys(), stream
        for key, row in expected.items():
            assert table[key] == row, (stream, key)


@pytest.mark.parametrize(
    ("stream", "column", "kind"),
    [
        ("charges", "amount", "bigint"),
        ("charges", "created", "timestamp without time zone"),
        ("charges", "paid", "boolean"),
        ("charges", "billing_details", "jsonb"),
        ("invoices", "_updated_at", "timestamp without time zone"),
        ("invoice_line_items", "invoice", "text"),
    ],
)
def test_a_column_has_the_type_that_its_values_call_for(
    pipeline: Pipeline, stream: str, column: str, kind: str
) -> None:
    assert pipeline.columns(stream)[column] == kind


def test_every_primary_key_is_the_one_of_the_catalogue(pipeline: Pipeline) -> None:
    listed = pipeline.database.query(
        "select table_name, column_name from information_schema.key_column_usage"
        " where table_schema = 'shop'"
    )
    expected = {
        (name, column)
        for name in pipeline.streams
        for column in pipeline.stripe.catalogue.resources[name].primary_key
    }
    assert {(table, column) for table, column in listed} == expected


def test_the_next_runs_change_nothing_and_then_add_what_is_new(pipeline: Pipeline) -> None:
    before = pipeline.tables()
    again = pipeline.run()
    assert pipeline.tables() == before
    resources = pipeline.stripe.catalogue.resources
    told = {name for name in again.rows if resources[name].changes in {"feed", "append_only"}}
    assert not told, "rows that were there are not read again"

    added = add_a_sale(pipeline.stripe)
    pipeline.run()
    after = pipeline.tables()
    new = {
        (stream, key[-1])
        for stream in after
        for key in after[stream].keys() - before[stream].keys()
    }
    assert {(stream, key) for stream, key in new if stream != "events"} == added
    for stream, table in before.items():
        assert after[stream] == {**after[stream], **table}, f"{stream} changed"
        assert after[stream] == pipeline.expected(stream)


def identifiers(tables: Mapping[str, Table]) -> set[tuple[str, str]]:
    """Stream and `id` of every row."""
    return {(name, row.get("id", "")) for name, table in tables.items() for row in table.values()}


def add_a_sale(stripe: FakeStripe) -> set[tuple[str, str]]:
    """A new customer with a paid invoice of twelve lines, more than Stripe embeds."""
    unexpanded = {"invoice_credit_balance": None, "tax": None}  # the server's lists don't show them
    customer = stripe.life.create("customers", {**unexpanded, "balance": -300})["id"]
    lines: list[Row] = [{}] * 12
    invoice = stripe.life.create("invoices", customer=customer, lines={"data": lines})["id"]
    charge = stripe.life.create("charges", customer=customer, amount=1250)["id"]
    children = stripe.ids("invoice_line_items", parent=invoice)
    tops = {("customers", customer), ("invoices", invoice), ("charges", charge)}
    return tops | {("invoice_line_items", line) for line in children}
