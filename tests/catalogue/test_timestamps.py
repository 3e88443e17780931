from __future__ import annotations

import json
from dataclasses import replace

import pytest

from tools.catalogue.attributes import STRING, Attribute, Scalar
from tools.catalogue.timestamps import DECISIONS, Timestamps, UnreviewedTimestampError

CREATED = Attribute("created", Scalar("integer"), "Time at which the object was created.")
NOTHING = Timestamps(*[frozenset[str]()] * 5)


def test_a_new_integer_stops_the_generator_until_somebody_has_decided() -> None:
    with pytest.raises(UnreviewedTimestampError, match=r"charge\.created \(Time at which"):
        NOTHING.review({"charge": {"created": CREATED}})
    replace(NOTHING, unix=frozenset({"charge.created"})).review({"charge": {"created": CREATED}})


def test_a_new_string_of_api_v2_that_looks_like_a_time_stops_the_generator() -> None:
    paid_at = Attribute("paid_at", STRING, "")
    with pytest.raises(UnreviewedTimestampError, match=r"v2\.core\.bill\.paid_at"):
        NOTHING.review({"v2.core.bill": {"paid_at": paid_at}})
    NOTHING.review({"v2.core.bill": {"name": Attribute("name", STRING, "Its name.")}})


def test_a_decision_on_a_property_that_is_gone_stops_the_generator() -> None:
    with pytest.raises(UnreviewedTimestampError, match=r"No such property any more: charge\.paid"):
        replace(NOTHING, integer=frozenset({"charge.paid"})).review({})


def test_a_property_that_is_decided_both_ways_stops_the_generator() -> None:
    both = replace(
        NOTHING, unix=frozenset({"charge.created"}), integer=frozenset({"charge.created"})
    )
    with pytest.raises(UnreviewedTimestampError, match="Decided more than once"):
        both.review({"charge": {"created": CREATED}})


def test_decisions_are_sorted() -> None:
    document = json.loads(DECISIONS.read_bytes())
    for objects in document.values():
        assert list(objects) == sorted(objects)
        for properties in objects.values():
            assert properties == sorted(properties)


def test_milliseconds_are_not_taken_for_seconds() -> None:
    last_seen = Attribute("last_seen_at", Scalar("integer"), "")
    assert not Timestamps.load().is_time("terminal.reader", last_seen)
