"""Every stream in PostgreSQL and in DuckDB, as docs/warehouses.md says to load it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from tests.end_to_end.environments import TARGET_DUCKDB, TARGET_JSONL, environment
from tests.end_to_end.every_stream import GONE_UNTOLD, in_column, read_twice
from tests.end_to_end.strange import AMOUNTS, DECIMALS, METADATA, RATES, TEXTS
from tests.end_to_end.tap import catalog

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.end_to_end.every_stream import Key, Reading, Table
    from tools.quickstart.postgres import Postgres

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "warehouses.md").read_text(encoding="utf-8")

POSTGRES_TYPES = {
    "date-time": "timestamp without time zone",
    "array": "ARRAY",
    "boolean": "boolean",
    "integer": "bigint",
    "number": "numeric",
    "object": "jsonb",
    "string": "text",
}
DUCKDB_TYPES = {
    "date-time": "TIMESTAMP",
    "array": "JSON",
    "boolean": "BOOLEAN",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "object": "JSON",
    "string": "VARCHAR",
}

WITH_A_VERSION = ("invoice_rendering_templates", "reporting_report_types")
"""Streams with a column that target-postgres can't mark the rows of a version for."""

UNMARKED = tuple(
    f'{{"type":"ACTIVATE_VERSION","stream":"{stream}"'.encode() for stream in WITH_A_VERSION
)


@dataclass(frozen=True, slots=True)
class Warehouse:
    """What a database has after the second load."""

    types: Mapping[str, Mapping[str, str]]
    """By stream and column, as the database calls them."""

    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    """By stream."""

    named: Mapping[str, str]
    """What the database calls the types of JSON Schema."""

    def living(self, reading: Reading, stream: str) -> Table:
        """The rows without those that are marked as gone, by key, without the loader's columns."""
        key = reading.key(stream)
        living = [row for row in self.rows[stream] if row.get("_sdc_deleted_at") is None]
        return {
            tuple(str(row[name]) for name in key): {
                name: value for name, value in row.items() if not name.startswith("_")
            }
            for row in living
        }

    def gone(self, reading: Reading, stream: str) -> set[Key]:
        """Keys of the rows that are marked as gone."""
        key = reading.key(stream)
        marked = [row for row in self.rows[stream] if row.get("_sdc_deleted_at") is not None]
        return {tuple(str(row[name]) for name in key) for row in marked}


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reading]:
    with read_twice(tmp_path_factory.mktemp("tap")) as reading:
        yield reading


@dataclass(frozen=True, slots=True)
class Loader:
    """target-postgres with the settings of the page, in a session that is not in UTC."""

    command: Path
    directory: Path
    database: Postgres

    def load(
        self, lines: Sequence[bytes], **settings: object
    ) -> subprocess.CompletedProcess[bytes]:
        """Load messages, with other settings over those of the page."""
        config = self.directory / "loader.json"
        (of_the_page,) = blocks(PAGE, "json")
        address = {"sqlalchemy_url": self.database.url}
        config.write_text(json.dumps({**address, **json.loads(of_the_page), **settings}))
        return run(self.command, config, lines, PGTZ="America/New_York")


@pytest.fixture(scope="module")
def loader(
    database: Postgres, target_postgres: Path, tmp_path_factory: pytest.TempPathFactory
) -> Loader:
    return Loader(target_postgres, tmp_path_factory.mktemp("loader"), database)


@pytest.fixture(scope="module")
def in_postgres(reading: Reading, loader: Loader) -> Warehouse:
    """Both runs, loaded one after the other into a schema that nothing else is in."""
    loader.database.query("drop schema if exists stripe cascade")
    first, second = (
        [line for line in output.lines if not line.startswith(UNMARKED)]
        for output in (reading.first, reading.second)
    )
    succeeding(loader.load(first))
    succeeding(loader.load(second, validate_records=False))  # they are alike
    types: dict[str, dict[str, str]] = {}
    for table, column, kind in loader.database.query(
        "select table_name, column_name, data_type from information_schema.columns"
        " where table_schema = 'stripe'"
    ):
        types.setdefault(table, {})[column] = kind
    tables = [
        f"select '{name}' as table, to_jsonb(t) as row from stripe.\"{name}\" t"  # noqa: S608 - our streams
        for name in types
    ]
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in types}
    for each in loader.database.objects(" union all ".join(tables)):
        rows[each["table"]].append(
            {
                column: datetime.fromisoformat(value)
                if types[each["table"]][column].startswith("timestamp") and value is not None
                else value
                for column, value in each["row"].items()
            }
        )
    return Warehouse(types, rows, POSTGRES_TYPES)


@pytest.fixture(scope="module")
def files(reading: Reading, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with the catalog, and the files that target-jsonl wrote."""
    directory = tmp_path_factory.mktemp("files")
    config = directory / "loader.json"
    settings = {"destination_path": str(directory / "output"), "do_timestamp_file": False}
    config.write_text(json.dumps(settings))
    for output in (reading.first, reading.second):
        succeeding(run(environment(TARGET_JSONL) / "target-jsonl", config, output.lines))
    (directory / "catalog.json").write_text(json.dumps(catalog(list(reading.rows))))
    return directory


@pytest.fixture(scope="module")
def duck(files: Path) -> Iterator[Duck]:
    with duckdb.connect() as connection:
        yield Duck(connection, files)


@dataclass(frozen=True, slots=True)
class Duck:
    """DuckDB, and the statements of the page that make tables of the files."""

    connection: duckdb.DuckDBPyConnection
    files: Path

    def make(self, stream: str, key: Sequence[str]) -> None:
        """Make a stream's table."""
        for statement in blocks(section(PAGE, "DuckDB"), "sql")[2:3]:
            self.run(
                statement.replace("charges", stream).replace(
                    "partition by id", f"partition by {', '.join(key)}"
                )
            )

    def run(self, sql: str) -> list[dict[str, Any]]:
        """Run statements, with the page's paths. Returns the rows of the last."""
        for path in ("output/", "catalog.json"):
            sql = sql.replace(f"'{path}", f"'{self.files / path}{'/' if path[-1] == '/' else ''}")
        answer = self.connection.execute(sql)
        columns = answer.description or []
        return [
            {
                column[0]: json.loads(value) if column[1] == "JSON" and value is not None else value
                for column, value in zip(columns, row, strict=True)
            }
            for row in answer.fetchall()
        ]


@pytest.fixture(scope="module")
def in_duckdb(reading: Reading, duck: Duck) -> Warehouse:
    """The tables that the page's statements make of the files."""
    duck.run(blocks(section(PAGE, "DuckDB"), "sql")[1])
    types, rows = {}, {}
    for stream in reading.rows:
        duck.make(stream, reading.key(stream))
        described = duck.run(f'describe "{stream}"')
        types[stream] = {row["column_name"]: row["column_type"] for row in described}
        rows[stream] = duck.run(f'select * from "{stream}"')  # noqa: S608 - a stream of ours
    return Warehouse(types, rows, DUCKDB_TYPES)


@pytest.fixture(params=["PostgreSQL", "DuckDB"])
def warehouse(request: pytest.FixtureRequest) -> Warehouse:
    """Either of them."""
    found: Warehouse = request.getfixturevalue(
        {"PostgreSQL": "in_postgres", "DuckDB": "in_duckdb"}[request.param]
    )
    return found


def test_every_column_of_every_stream_has_the_type_that_its_values_call_for(
    reading: Reading, warehouse: Warehouse
) -> None:
    assert len(warehouse.types) == 136
    for stream, columns in reading.schemas.items():
        expected = {name: warehouse.named[kind_of(schema)] for name, schema in columns.items()}
        found = warehouse.types[stream]
        own = found.keys() - expected.keys()
        assert all(name.startswith("_sdc_") for name in own), stream
        assert {name: kind for name, kind in found.items() if name not in own} == expected


def test_amounts_are_integers_and_times_of_creation_are_times(warehouse: Warehouse) -> None:
    kinds: dict[str, set[str]] = {"amount": set(), "created": set(), "unit_amount_decimal": set()}
    for columns in warehouse.types.values():
        for name in kinds.keys() & columns.keys():
            kinds[name].add(columns[name])
    named = warehouse.named
    # API v2 has amounts with their currency, as objects.
    assert kinds["amount"] == {named["integer"], named["object"]}
    assert kinds["created"] == {named["date-time"]}
    assert kinds["unit_amount_decimal"] == {named["string"]}


def test_every_table_has_the_rows_that_stripe_has_field_by_field(
    reading: Reading, warehouse: Warehouse
) -> None:
    for stream, expected in reading.rows.items():
        found = warehouse.living(reading, stream)
        if stream in GONE_UNTOLD and warehouse.named is DUCKDB_TYPES:
            found = {key: row for key, row in found.items() if key not in reading.gone[stream]}
        assert found.keys() == expected.keys(), stream
        schema = reading.schemas[stream]
        for key, row in expected.items():
            for name in found[key]:
                assert found[key][name] == in_column(row.get(name), schema[name]), (key, name)


def test_the_second_load_changes_rows_that_are_there(
    reading: Reading, warehouse: Warehouse
) -> None:
    for stream, rows in warehouse.rows.items():
        key = reading.key(stream)
        assert len({tuple(row[name] for name in key) for row in rows}) == len(rows), stream
        assert all(row[name] is not None for row in rows for name in key), stream
        before = {tuple(row[name] for name in key): row for row in reading.first.rows[stream]}
        after = {tuple(row[name] for name in key): row for row in reading.second.rows[stream]}
        assert any(before[each] != after[each] for each in before.keys() & after.keys()), stream


def test_rows_that_are_gone_are_marked_and_no_others(
    reading: Reading, warehouse: Warehouse
) -> None:
    for stream in warehouse.rows:
        expected = reading.gone.get(stream, set())
        if stream in GONE_UNTOLD and warehouse.named is DUCKDB_TYPES:
            expected = set()  # nobody tells DuckDB
        assert warehouse.gone(reading, stream) == expected, stream


@pytest.mark.parametrize("what", TEXTS)
def test_a_strange_text_is_the_same_in_the_end(warehouse: Warehouse, what: str) -> None:
    text = TEXTS[what]
    (customer,) = (row for row in warehouse.rows["customers"] if row["description"] == text)
    parts = [text, None, {text: text}]
    assert customer["name"] == text
    assert customer["address"] == {"city": text, "country": None, "parts": parts}
    webhooks = [row for row in warehouse.rows["webhook_endpoints"] if row["description"] == text]
    assert [row["enabled_events"] for row in webhooks] == [[text, text]]


@pytest.mark.parametrize("what", METADATA)
def test_metadata_is_the_same_in_the_end(warehouse: Warehouse, what: str) -> None:
    assert METADATA[what] in [row["metadata"] for row in warehouse.rows["customers"]]


def test_numbers_are_the_same_in_the_end(warehouse: Warehouse) -> None:
    movements = warehouse.rows["balance_transactions"]
    assert {(row["currency"], row["net"]) for row in movements} >= set(AMOUNTS)
    levels = [row["level3"] for row in warehouse.rows["charges"]]
    for _, amount in AMOUNTS:
        assert {"amount": amount, "parts": [amount, {"of": amount}]} in levels
    assert {row["unit_amount_decimal"] for row in warehouse.rows["prices"]} >= set(DECIMALS)
    assert {row["exchange_rate"] for row in movements} >= set(RATES)
    nested = [part for row in movements for part in row["fee_details"]]
    assert {part.get("rate") for part in nested} >= set(RATES)
    assert {part.get("amount") for part in nested} >= {amount for _, amount in AMOUNTS}


def test_the_primary_keys_in_postgresql_are_those_of_the_catalogue(
    reading: Reading, in_postgres: Warehouse, database: Postgres
) -> None:
    listed = database.query(
        "select table_name, column_name from information_schema.key_column_usage"
        " where table_schema = 'stripe'"
    )
    expected = {(stream, name) for stream in in_postgres.types for name in reading.key(stream)}
    assert {(table, column) for table, column in listed} == expected


def test_hard_delete_of_target_postgres_is_about_what_did_not_come_again(
    reading: Reading, in_postgres: Warehouse, loader: Loader
) -> None:
    """And a row that comes back after its end is marked no more."""
    stripe, database = reading.stripe, loader.database
    ((coupon,),), ((customer,),) = reading.gone["coupons"], reading.gone["customers"]
    stripe.life.create("coupons", id=coupon)
    kept, *others = stripe.ids("tax_ids")
    for identifier in others:
        stripe.delete("tax_ids", identifier)
    streams = ["coupons", "customers", "tax_ids", *WITH_A_VERSION]
    output = reading.tap.run(streams, state=reading.second.states[-1])
    assert output.code == 0
    assert len([line for line in output.lines if line.startswith(UNMARKED)]) == 2
    refusal = "bindparam() name 'version' is reserved for automatic usage"
    assert refusal in PAGE
    assert refusal in loader.load(output.lines).stderr.decode()
    succeeding(loader.load(output.lines, hard_delete=True))

    gone = reading.gone["tax_ids"]
    assert gone <= {(row["id"],) for row in in_postgres.rows["tax_ids"]}
    assert database.query("select id from stripe.tax_ids") == [[kept]]
    marked = "select id from stripe.{} where _sdc_deleted_at is not null"
    assert database.query(marked.format("customers")) == [[customer]]
    assert database.query(marked.format("coupons")) == []
    assert database.query(f"select id from stripe.coupons where id = '{coupon}'") == [[coupon]]  # noqa: S608 - an id of ours


def test_without_copy_target_postgres_writes_local_times(loader: Loader) -> None:
    schema = {"id": {"type": "string"}, "at": {"type": "string", "format": "date-time"}}
    lines = messages("times", schema, {"id": "1", "at": "2026-01-31T23:59:59Z"})
    succeeding(loader.load(lines, use_copy=False))
    assert loader.database.query("select at from stripe.times") == [["2026-01-31 18:59:59"]]


def test_postgresql_takes_nul_characters_as_far_as_the_setting_goes(loader: Loader) -> None:
    schema = {"id": {"type": "string"}, "text": {"type": "string"}, "metadata": {"type": "object"}}
    shallow = messages("nul", schema, {"id": "1", "text": "a\0b", "metadata": {"a": "a\0b"}})
    deep = messages("nul", schema, {"id": "1", "text": "", "metadata": {"a": {"b": "a\0b"}}})
    for lines, setting, refusal in (
        (shallow, False, "PostgreSQL text fields cannot contain NUL (0x00) bytes"),
        (deep, True, "unsupported Unicode escape sequence"),
    ):
        assert refusal in PAGE
        failed = loader.load(lines, sanitize_null_text_characters=setting)
        assert failed.returncode
        assert refusal in failed.stderr.decode()
    succeeding(loader.load(shallow, sanitize_null_text_characters=True))
    assert loader.database.query("select text, metadata ->> 'a' from stripe.nul") == [
        ["a\ufffdb", "a\ufffdb"]
    ]


def test_target_duckdb_loses_the_first_row_of_a_batch_and_deletes_those_that_are_gone(
    reading: Reading, tmp_path: Path
) -> None:
    command = environment(TARGET_DUCKDB, f"duckdb=={duckdb.__version__}") / "target-duckdb"
    config, path = tmp_path / "loader.json", tmp_path / "shop.duckdb"
    settings = {"path": str(path), "default_target_schema": "main", "hard_delete": True}
    config.write_text(json.dumps(settings))
    first = sorted(reading.first.rows["coupons"], key=itemgetter("id"))
    second = sorted(reading.second.rows["coupons"], key=lambda row: row.get("_sdc_deleted_at", ""))
    ((gone,),) = reading.gone["coupons"]
    assert [row["id"] for row in second].index(gone) == len(second) - 1 == 2
    expected = {row["id"] for row in first[1:]}
    for rows in (first, second):
        lines = messages("coupons", reading.schemas["coupons"], *rows)
        succeeding(run(command, config, lines))
        with duckdb.connect(str(path)) as connection:
            ids = {row[0] for row in connection.execute("select id from coupons").fetchall()}
        assert ids == expected
        expected = (expected | {row["id"] for row in second[1:]}) - {gone}


def test_every_statement_for_postgresql_runs(
    reading: Reading, in_postgres: Warehouse, database: Postgres
) -> None:
    paid, without_shipping, words = (
        database.query(f"set search_path to stripe; set timezone to 'UTC'; {statement}")
        for statement in blocks(section(PAGE, "PostgreSQL"), "sql")
    )
    assert {(id_, datetime.fromisoformat(f"{at}:00").timestamp()) for id_, at in paid} == {
        (row["id"], row["status_transitions"]["paid_at"]) for row in in_postgres.rows["invoices"]
    }
    customers = in_postgres.rows["customers"]
    assert without_shipping == [[str(sum(row["shipping"] is None for row in customers))]]
    assert len(words) == len(reading.rows["v2_money_management_inbound_transfers"])

    views, delete = blocks(section((DOCS / "changes.md").read_text(), "Deleting"), "sql")
    database.query(f"set search_path to stripe; {views}")
    ids = {row[0] for row in database.query("select id from stripe.customers_now")}
    assert ids == {key[0] for key in reading.rows["customers"]}
    database.query(f"set search_path to stripe; {delete}")
    assert {row[0] for row in database.query("select id from stripe.customers")} == ids


def test_every_statement_for_duckdb_runs(
    reading: Reading, in_duckdb: Warehouse, duck: Duck
) -> None:
    look, types, table, view = blocks(section(PAGE, "DuckDB"), "sql")
    charges = reading.rows["charges"]
    assert sum(row["count(DISTINCT id)"] for row in duck.run(look)) >= len(charges)
    for statement in (types, table, view):
        duck.run(statement)
    assert {(row["id"],) for row in duck.run("select id from charges_now")} == charges.keys()
    duck.run(view.replace("charges", "customers"))
    customers = {(row["id"],) for row in duck.run("select id from customers_now")}
    assert customers == reading.rows["customers"].keys()
    assert len(in_duckdb.rows["customers"]) == len(customers) + len(reading.gone["customers"])


def kind_of(schema: Mapping[str, Any]) -> str:
    """What a column holds, in the words of JSON Schema."""
    if "format" in schema:
        return str(schema["format"])
    kinds = {schema["type"]} if isinstance(schema["type"], str) else set(schema["type"])
    (kind,) = kinds - {"null"}
    return str(kind)


def section(page: str, title: str) -> str:
    """What stands below a heading that begins so."""
    return page.partition(f"\n## {title}")[2].partition("\n## ")[0]


def blocks(text: str, language: str) -> list[str]:
    """Blocks of code."""
    return re.findall(rf"^```{language}\n(.+?)^```", text, re.DOTALL | re.MULTILINE)


def messages(stream: str, columns: Mapping[str, Any], *rows: Mapping[str, Any]) -> list[bytes]:
    """Singer messages of a stream whose key is `id`."""
    schema = {"type": "object", "properties": columns}
    head = {"type": "SCHEMA", "stream": stream, "schema": schema, "key_properties": ["id"]}
    records = [{"type": "RECORD", "stream": stream, "record": row} for row in rows]
    return [f"{json.dumps(each)}\n".encode() for each in (head, *records)]


def run(
    command: Path, config: Path, lines: Sequence[bytes], **environ: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a loader on messages."""
    return subprocess.run(
        [str(command), "--config", str(config)],
        input=b"".join(lines),
        capture_output=True,
        check=False,
        env={**os.environ, **environ},
    )


def succeeding(loading: subprocess.CompletedProcess[bytes]) -> None:
    assert loading.returncode == 0, loading.stderr[-2000:].decode()
