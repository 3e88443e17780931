"""Rows that are decoded by a type are those that come of taking each object apart."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_stripe_conn.api.client import Answer
from tap_stripe_conn.api.errors import UnreadableAnswerError
from tap_stripe_conn.api.typed import TypedPage
from tap_stripe_conn.catalogue.resources import load_catalogue
from tap_stripe_conn.streams.rows import RowShaper
from tap_stripe_conn.streams.secrets import Secrets
from tap_stripe_conn.streams.stream import stream_schema
from tap_stripe_conn.streams.typed_rows import TypedRows
from tests.fake_stripe import FakeStripe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tap_stripe_conn.catalogue.resources import Resource

CATALOGUE: Final = load_catalogue()
LISTED: Final = {name: each for name, each in CATALOGUE.resources.items() if not each.singleton}
SECRETS: Final = Secrets(CATALOGUE.secret_keys, CATALOGUE.object_secrets)

THINGS: Final = replace(
    CATALOGUE.resources["charges"],
    name="things",
    objects=("thing",),
    primary_key=("id",),
    created_field="created",
    secrets=("own_secret",),
)
SCHEMA: Final[dict[str, Any]] = {
    "properties": {
        "id": {"type": ["string"]},
        "object": {"type": ["string", "null"]},
        "amount": {"type": ["integer", "null"]},
        "created": {"type": ["string", "null"], "format": "date-time"},
        "customer": {"type": ["string", "null"]},
        "discounts": {"type": ["array", "null"], "items": {"type": ["string", "null"]}},
        "from": {"type": ["string", "null"]},
        "items": {"type": ["array", "null"], "items": {"type": ["object", "null"]}},
        "livemode": {"type": ["boolean", "null"]},
        "metadata": {"type": ["object", "null"]},
        "own_secret": {"type": ["string", "null"]},
        "rate": {"type": ["number", "null"]},
        "shipping": {"type": ["object", "null"]},
        "_updated_at": {"type": ["string", "null"], "format": "date-time"},
    },
}

Objects = list[dict[str, Any]]


class Reading:
    """One run's way with pages, and the plain way that it is compared with."""

    def __init__(
        self,
        resource: Resource = THINGS,
        schema: dict[str, Any] = SCHEMA,
        *,
        decoded: Sequence[str] = (),
        deselected: Sequence[str] = (),
    ) -> None:
        self.shaper, self.plain = (
            RowShaper(
                schema,
                deselected=deselected,
                dropped=resource.secrets,
                secrets=SECRETS,
                updated_from=resource.created_field,
            )
            for _ in range(2)
        )
        self.typed = TypedRows(self.shaper, resource, decoded=decoded)

    def is_typed(self, objects: Objects) -> bool:
        """Whether a page of these objects is decoded by the type."""
        return isinstance(answer(objects).page(self.typed.pages), TypedPage)

    def rows(self, objects: Objects, text: Callable[[object], str] = json.dumps) -> Objects:
        """The rows of a page of these objects, whichever way they come."""
        page = answer(objects, text).page(self.typed.pages)
        if isinstance(page, TypedPage):
            return list(self.typed.leave(page.data))
        return [self.shaper(each) for each in page["data"]]

    def plain_rows(self, objects: Objects) -> Objects:
        return [self.plain(each) for each in objects]


def answer(objects: Objects, text: Callable[[object], str] = json.dumps) -> Answer:
    return Answer(text({"object": "list", "data": objects, "has_more": False}).encode(), None)


def thing(**properties: object) -> dict[str, Any]:
    return {"id": "th_1", "object": "thing", "created": 1_700_000_000, **properties}


@cache
def fake_stripe() -> FakeStripe:
    """Never started: only its shapes are wanted."""
    return FakeStripe()


@pytest.mark.parametrize("resource", LISTED.values(), ids=LISTED)
def test_rows_of_every_stream_are_the_same(resource: Resource) -> None:
    reading = Reading(resource, stream_schema(resource))
    objects = [
        fake_stripe().shapes.make(resource.name, number, 1_700_000_000 + number)
        for number in range(1, 9)
    ]
    assert reading.rows(objects) == reading.plain_rows(objects)
    simple = [
        {name: value for name, value in each.items() if not holds_secrets(value)}
        for each in objects
    ]
    assert reading.is_typed(simple)
    assert reading.rows(simple) == reading.plain_rows(simple)


def holds_secrets(value: object) -> bool:
    return "nested_secret_" in json.dumps(value)


# --- Whatever an object holds --------------------------------------------------------------------

NAMES: Final = sorted(
    {*SCHEMA["properties"], *CATALOGUE.secret_keys, "new", "number", "url", "x y", "get", "é"}
)
TEXTS: Final = st.sampled_from(
    ["", "a", "client_secret", 'a"b', "issuing.card", "identity.verification_session", "é\n\u2028"]
)
JSON: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    ),
    max_leaves=6,
)
EXPECTED: Final = st.fixed_dictionaries(
    {},
    optional={
        "amount": st.none() | st.integers(),
        "created": st.none() | st.integers(0, 1 << 33) | st.just("2024-01-31T00:00:00.000Z"),
        "customer": st.none() | TEXTS,
        "discounts": st.none() | st.lists(TEXTS, max_size=2),
        "from": TEXTS,
        "items": st.lists(JSON, max_size=2),
        "livemode": st.booleans(),
        "metadata": st.dictionaries(st.sampled_from(NAMES), TEXTS, max_size=2),
        "own_secret": TEXTS,
        "rate": st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
        "shipping": JSON,
    },
)
STRANGE: Final = st.dictionaries(st.sampled_from(NAMES), JSON, max_size=3)


def things(*, strange: bool) -> st.SearchStrategy[Objects]:
    """Pages of objects that are as the schema says; or not."""
    one = st.builds(
        lambda known, odd: (
            {"id": "th_1", "object": "thing"}
            | known
            | {name: value for name, value in odd.items() if name not in {"id", "object"}}
        ),
        EXPECTED,
        STRANGE if strange else st.just({}),
    )
    return st.lists(one, max_size=3)


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def indented(value: object) -> str:
    return json.dumps(value, indent=2)


def with_crlf(value: object) -> str:
    return json.dumps(value, indent=1).replace("\n", "\r\n") + "\r\n"


def escaped(value: object) -> str:
    """With letters of names written as escapes, as nobody does."""
    return (
        json.dumps(value)
        .replace("client_secret", "client\\u005fsecret")
        .replace("issuing.card", "issuing\\u002ecard")
    )


@pytest.mark.parametrize("text", [compact, indented, with_crlf, escaped])
@given(pages=st.lists(things(strange=True), min_size=1, max_size=3))
def test_whatever_an_object_holds_its_row_is_the_same(
    text: Callable[[object], str], pages: list[Objects]
) -> None:
    reading = Reading()
    for page in pages:
        assert reading.rows(page, text) == reading.plain_rows(page)
        assert +reading.shaper.drift == +reading.plain.drift


@given(
    page=things(strange=False),
    decoded=st.sets(st.sampled_from(["customer", "items", "shipping", "amount", "other"])),
    deselected=st.sets(st.sampled_from(["amount", "created", "items", "_updated_at", "object"])),
)
def test_what_others_look_into_or_nobody_wants_changes_no_row(
    page: Objects, decoded: set[str], deselected: set[str]
) -> None:
    reading = Reading(decoded=sorted(decoded), deselected=sorted(deselected))
    assert reading.rows(page) == reading.plain_rows(page)


# --- Which way it goes ---------------------------------------------------------------------------


def test_an_object_that_is_as_its_schema_says_is_decoded_by_its_type() -> None:
    assert Reading().is_typed([thing(amount=1, customer="cus_1", shipping={"city": "Rome"})])


def test_a_field_that_the_schema_lacks_costs_one_page_and_is_counted_in_all() -> None:
    reading = Reading()
    page = [thing(new=1), thing()]
    assert not reading.is_typed(page)
    assert reading.rows(page) == reading.plain_rows(page)
    assert reading.is_typed(page)
    for _ in range(2):
        assert reading.rows(page) == reading.plain_rows(page)
    assert reading.shaper.drift == reading.plain.drift == {"new": 3}


def test_an_expanded_object_becomes_its_id() -> None:
    page = [thing(customer={"id": "cus_1", "object": "customer"}, discounts=[{"id": "di_1"}])]
    rows = Reading().rows(page)
    assert [(row["customer"], row["discounts"]) for row in rows] == [("cus_1", ["di_1"])]


def test_only_the_row_that_holds_a_secret_is_taken_apart() -> None:
    reading = Reading()
    secret = {"intent": {"client_secret": "hush", "id": "pi_1"}}
    page = [thing(shipping=secret), thing(shipping={"rate": [0.10]}, metadata=secret)]
    assert reading.is_typed(page)
    assert reading.rows(page) == [
        {**reading.plain(thing()), "shipping": {"intent": {"id": "pi_1"}}},
        {**reading.plain(thing()), "shipping": {"rate": [0.1]}, "metadata": secret},
    ]


def test_an_object_of_another_kind_is_left_to_who_can_say_so() -> None:
    assert not Reading().is_typed([thing(object="other")])


def test_an_id_that_is_no_string_is_left_to_who_can_say_so() -> None:
    assert not Reading().is_typed([thing(id=1)])


def test_the_time_of_a_later_change_is_the_row_s() -> None:
    reading = Reading()
    page = answer([thing(), thing(id="th_2")]).page(reading.typed.pages)
    assert isinstance(page, TypedPage)
    rows = reading.typed.leave(page.data, {"th_2": "2026-01-01T00:00:00Z"})
    assert [row["_updated_at"] for row in rows] == ["2023-11-14T22:13:20Z", "2026-01-01T00:00:00Z"]
    assert [row["created"] for row in rows] == ["2023-11-14T22:13:20Z"] * 2
    assert [row["created"] for row in page.data] == [1_700_000_000] * 2


@pytest.mark.parametrize(
    "text",
    [
        b'{"data":[{"id":"th_1","object":"thing","shipping":{"city":"\xff"}}],"has_more":false}',
        b'{"data":[{"id":"th_1","object":"thing","shipping":{"city":"R',
        b'{"data":[{"id":"th_1","object":"thing","shipping":{"city":"\n"}}],"has_more":false}',
        b"[]",
        b"",
    ],
    ids=["not UTF-8", "cut short", "not JSON", "no object", "nothing"],
)
def test_an_answer_that_is_no_page_is_unreadable(text: bytes) -> None:
    with pytest.raises(UnreadableAnswerError):
        Answer(text, None).page(Reading().typed.pages)
