from __future__ import annotations

import copy
import json
import re
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tap_stripe_conn.catalogue.resources import load_catalogue
from tap_stripe_conn.streams.rows import RowShaper
from tap_stripe_conn.streams.secrets import Secrets
from tap_stripe_conn.streams.stream import stream_schema
from tests.fake_stripe import FakeStripe

if TYPE_CHECKING:
    from tap_stripe_conn.catalogue.resources import Resource

STRING = {"type": ["string", "null"]}
TIME = {"type": ["string", "null"], "format": "date-time"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": ["string"]},
        "_updated_at": TIME,
        "amount": {"type": ["integer", "null"]},
        "charges": {"type": ["array", "null"], "items": STRING},
        "created": TIME,
        "customer": STRING,
        "last_error": {"type": ["object", "null"]},
        "lines": {"type": ["array", "null"], "items": {"type": ["object", "null"]}},
        "metadata": {"type": ["object", "null"]},
        "paid": {"type": ["boolean", "null"]},
        "secret": STRING,
    },
}

CLIENT_SECRET = Secrets(["client_secret"], {})

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 1 << 32) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def row(source: dict[str, Any], **options: Any) -> dict[str, Any]:  # noqa: ANN401 - the shaper's own
    return RowShaper(SCHEMA, **options)(source)


# --- Values ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stripe", "ours"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:01Z"),
        (86_399, "1970-01-01T23:59:59Z"),
        (1_709_164_800, "2024-02-29T00:00:00Z"),
        (1_700_000_000, "2023-11-14T22:13:20Z"),
        (-1, "1969-12-31T23:59:59Z"),
        (None, None),
        ("2023-11-14T22:13:20.000Z", "2023-11-14T22:13:20.000Z"),
    ],
)
def test_a_time_becomes_rfc_3339(stripe: int | str | None, ours: str | None) -> None:
    assert row({"created": stripe}) == {"created": ours}


@pytest.mark.parametrize("milliseconds", [1_700_000_000_000, -1_700_000_000_000])
def test_a_number_that_is_no_time_of_this_calendar_stays_as_it_is(milliseconds: int) -> None:
    assert row({"created": milliseconds}) == {"created": milliseconds}


@given(st.integers(-62_135_596_800, 253_402_300_799))
def test_every_second_becomes_the_same_moment(moment: int) -> None:
    text = row({"created": moment})["created"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text)
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    assert datetime.fromisoformat(text.replace("Z", "+00:00")) == epoch + timedelta(seconds=moment)


def test_an_expanded_object_collapses_to_the_id_that_the_schema_promises() -> None:
    assert row({"customer": {"id": "cus_1", "name": "Ada"}}) == {"customer": "cus_1"}
    assert row({"customer": "cus_1"}) == {"customer": "cus_1"}


def test_a_list_of_expanded_objects_collapses_to_ids() -> None:
    assert row({"charges": [{"id": "ch_1"}, "ch_2"]}) == {"charges": ["ch_1", "ch_2"]}
    assert row({"charges": None}) == {"charges": None}


@given(JSON)
def test_nested_values_stay_as_stripe_sent_them(value: Any) -> None:  # noqa: ANN401 - JSON
    assert row({"lines": value, "metadata": value}) == {"lines": value, "metadata": value}


def test_nested_times_and_ids_stay_as_stripe_sent_them() -> None:
    source = {"lines": [{"created": 1_700_000_000, "customer": {"id": "cus_1"}}]}
    assert row(source) == source


@given(JSON)
def test_the_source_is_left_as_it_was(value: Any) -> None:  # noqa: ANN401 - JSON
    source = dict.fromkeys([*SCHEMA["properties"], "new"], value)
    before = copy.deepcopy(source)
    shaper = RowShaper(SCHEMA, dropped=["secret"], secrets=CLIENT_SECRET)
    shaped = shaper(source)
    assert source == before
    assert shaped is not source


@pytest.mark.parametrize("column", [{}, {"anyOf": [STRING, {"type": ["object"]}]}])
def test_a_column_without_a_type_takes_what_stripe_sends(column: dict[str, Any]) -> None:
    shaper = RowShaper({"properties": {"source": column}})
    assert shaper({"source": {"id": "card_1"}}) == {"source": {"id": "card_1"}}


# --- Columns -----------------------------------------------------------------------------------


def test_a_column_that_nobody_asked_for_is_left_out() -> None:
    assert row({"id": "ch_1", "amount": 5}, deselected=["amount"]) == {"id": "ch_1"}


def test_a_field_that_stripe_did_not_send_is_not_made_up() -> None:
    assert row({"id": "ch_1"}) == {"id": "ch_1"}


def test_fields_that_the_schema_lacks_are_left_out_and_counted() -> None:
    shaper = RowShaper(SCHEMA, deselected=["amount"], dropped=["secret"])
    for _ in range(3):
        assert shaper({"id": "ch_1", "new": 1, "amount": 1, "secret": "x"}) == {"id": "ch_1"}
    shaper({"id": "ch_1", "newer": 1})
    assert shaper.drift == {"new": 3, "newer": 1}


def test_the_replication_key_is_the_time_of_creation() -> None:
    source = {"id": "ch_1", "created": 1_700_000_000}
    assert row(source, updated_from="created") == {
        "id": "ch_1",
        "created": "2023-11-14T22:13:20Z",
        "_updated_at": "2023-11-14T22:13:20Z",
    }


def test_the_replication_key_stays_when_its_source_is_deselected() -> None:
    shaped = row({"created": 0}, updated_from="created", deselected=["created"])
    assert shaped == {"_updated_at": "1970-01-01T00:00:00Z"}


def test_a_replication_key_that_nobody_asked_for_is_left_out() -> None:
    shaped = row({"id": "ch_1", "created": 0}, updated_from="created", deselected=["_updated_at"])
    assert "_updated_at" not in shaped


# --- Secrets -----------------------------------------------------------------------------------


def test_a_secret_is_dropped() -> None:
    assert row({"id": "we_1", "secret": "hush"}, dropped=["secret"]) == {"id": "we_1"}


def test_a_secret_is_dropped_at_any_depth() -> None:
    source = {
        "last_error": {
            "code": "declined",
            "intent": {"client_secret": "hush", "id": "pi_1"},
            "tried": [{"client_secret": "hush"}, [{"client_secret": {"deep": "hush"}}], 5],
        }
    }
    assert row(source, secrets=CLIENT_SECRET) == {
        "last_error": {"code": "declined", "intent": {"id": "pi_1"}, "tried": [{}, [{}], 5]}
    }


@given(
    st.recursive(
        st.none() | st.integers(0, 9),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["client_secret", "code", "id"]), inner)
        ),
        max_leaves=10,
    )
)
def test_wherever_a_secret_is_it_goes_and_the_rest_stays(value: Any) -> None:  # noqa: ANN401 - JSON
    shaped = row({"last_error": value}, secrets=CLIENT_SECRET)
    assert shaped == {"last_error": pruned(value)}


def pruned(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {name: pruned(item) for name, item in value.items() if name != "client_secret"}
    if isinstance(value, list):
        return [pruned(item) for item in value]
    return value


def test_what_is_secret_in_one_kind_of_object_is_dropped_from_it_wherever_it_stands() -> None:
    card = {"object": "issuing.card", "number": "4000", "last4": "0009"}
    source = {"last_error": {"object": {"object": "list", "data": [card]}, "number": "F-1"}}
    assert row(source, secrets=Secrets((), {"issuing.card": ["number"]})) == {
        "last_error": {
            "object": {"object": "list", "data": [{"object": "issuing.card", "last4": "0009"}]},
            "number": "F-1",
        }
    }


def test_users_own_fields_may_be_named_like_secrets() -> None:
    own = {"metadata": {"client_secret": "the user's own"}}
    source = {**own, "last_error": own}
    assert row(source, secrets=CLIENT_SECRET) == source


# --- The catalogue -----------------------------------------------------------------------------

CATALOGUE = load_catalogue()
OBJECTS = 12
"""Objects of each stream; the server has four variants of their nested parts."""


@cache
def fake_stripe() -> FakeStripe:
    """Never started: only its shapes are wanted."""
    return FakeStripe()


def shaped(resource: Resource, schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of a stream, from objects that have everything that its schema knows."""
    shaper = RowShaper(
        schema,
        dropped=resource.secrets,
        secrets=Secrets(CATALOGUE.secret_keys, CATALOGUE.object_secrets),
        updated_from=resource.created_field,
    )
    rows = [
        shaper(fake_stripe().shapes.make(resource.name, number, 1_700_000_000 + number))
        for number in range(1, OBJECTS + 1)
    ]
    # A column that Stripe hasn't got is StripeStream's to fill.
    assert not shaper.drift
    return [{resource.parent.column: "parent"} | row for row in rows] if resource.parent else rows


@pytest.mark.parametrize("resource", CATALOGUE.resources.values(), ids=CATALOGUE.resources)
def test_rows_of_every_stream_are_valid_against_its_schema(resource: Resource) -> None:
    schema = stream_schema(resource)
    times = {name for name, column in schema["properties"].items() if "format" in column}
    validator = Draft202012Validator({**schema, "additionalProperties": False})
    for row in shaped(resource, schema):
        assert [error.message for error in validator.iter_errors(row)] == []
        assert all(row.get(key) for key in resource.primary_key)
        for name in times & row.keys():
            assert row[name] is None or re.fullmatch(r"[-\d]{10}T[:.\d]{8,12}Z", row[name])
        if resource.incremental and resource.listed_by_time:
            assert row["_updated_at"] == row[resource.created_field or ""]


@pytest.mark.parametrize("resource", CATALOGUE.resources.values(), ids=CATALOGUE.resources)
def test_rows_of_every_stream_have_no_secret_in_them(resource: Resource) -> None:
    objects = [
        fake_stripe().shapes.make(resource.name, number, 1_700_000_000)
        for number in range(1, OBJECTS + 1)
    ]
    rows = shaped(resource, stream_schema(resource))
    assert all(secret not in row for row in rows for secret in resource.secrets)
    assert not names_within(rows) & CATALOGUE.secret_keys
    planted = [str(each[name]) for each in objects for name in resource.secrets if each.get(name)]
    text = json.dumps(rows)
    assert [secret for secret in planted if f'"{secret}"' in text] == []
    assert "nested_secret_" not in text


def names_within(value: Any) -> set[str]:  # noqa: ANN401 - JSON
    """Names of properties at any depth."""
    if isinstance(value, dict):
        return value.keys() | names_within(list(value.values()))
    if isinstance(value, list):
        return {name for item in value for name in names_within(item)}
    return set()
