"""docs/moving.md names streams and columns that there are, and none that are gone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tap_stripe_conn.catalogue.resources import load_catalogue

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "moving.md").read_text(encoding="utf-8")
RESOURCES = load_catalogue().resources

STILL_EXPANDABLE = {("customers", column) for column in ("sources", "subscriptions", "tax_ids")}
"""Columns that Stripe only sends on demand now, so that the schema still has them."""


def rows(title: str) -> list[list[str]]:
    """The cells of the first table below a heading."""
    section = TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    (table, *_) = re.findall(r"^\|[-|]+\|\n((?:\|.*\n)+)", section, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def columns(stream: str) -> dict[str, Any]:
    schema = ROOT / "tap_stripe_conn/catalogue/schemas" / f"{RESOURCES[stream].schema}.json"
    found: dict[str, Any] = json.loads(schema.read_bytes())
    return found


MOVED = rows("Columns that Stripe moved")


def test_every_stream_of_ours_is_one() -> None:
    named = [name for row in rows("Streams") for name in quoted(row[0])]
    assert len(named) == len(set(named)) == 48
    assert set(named) <= RESOURCES.keys()


@pytest.mark.parametrize(
    "row", rows("Columns that Stripe moved"), ids=lambda row: " ".join(row[:2])
)
def test_a_column_that_moved_is_gone_from_its_stream(row: list[str]) -> None:
    gone = {(stream, column) for stream in quoted(row[0]) for column in quoted(row[1])}
    assert gone
    for stream, column in gone - STILL_EXPANDABLE:
        assert column not in columns(stream)["properties"]


@pytest.mark.parametrize(
    "row", rows("Columns that Stripe moved"), ids=lambda row: " ".join(row[:2])
)
def test_where_a_column_moved_to_there_is_one(row: list[str]) -> None:
    names = quoted(row[2])
    if ": " in row[2]:  # another stream, and columns of it
        (stream, *paths) = names
        assert all(has(columns(stream), path) for path in paths)
    elif not set(names) <= RESOURCES.keys():
        paths = [name for name in names if name not in {"amount", "paid"}]
        assert paths
        assert all(has(columns(stream), path) for stream in quoted(row[0]) for path in paths)


def has(schema: dict[str, Any], path: str) -> bool:
    """Whether a schema has a column, dotted where it is within objects."""
    for name in path.split("."):
        if name not in schema.get("properties", {}):
            return False
        schema = schema["properties"][name]
    return True
