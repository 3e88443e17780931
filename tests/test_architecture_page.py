"""docs/architecture.md shows the house as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_house import BELOW
from tools import house

TEXT = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
CALLS = house.calls()


def test_the_picture_is_drawn_from_the_imports_as_they_are() -> None:
    assert house.picture(CALLS) == house.PICTURE.read_text(encoding="utf-8")


@pytest.mark.parametrize("room", CALLS)
def test_a_room_calls_none_that_the_tests_of_the_house_forbid(room: str) -> None:
    assert CALLS[room] <= BELOW[room]


def test_the_table_of_rooms_names_them_all() -> None:
    table = TEXT.partition("## The house")[2].partition("\n## ")[0]
    named = {name.removesuffix(".py").strip("/") for name in re.findall(r"`([\w.]+/?)`", table)}
    assert named - {"tap_stripe_conn"} == CALLS.keys()


def test_a_line_that_follows_from_others_is_left_out() -> None:
    drawn = house.picture({"top": {"middle", "bottom"}, "middle": {"bottom"}, "bottom": set()})
    assert drawn.count('fill="none"') == 2


def test_a_room_stands_above_what_it_calls() -> None:
    drawn = house.picture({"top": {"middle"}, "middle": {"bottom"}, "bottom": set()})
    texts = re.findall(r'<text x="[\d.]+" y="([\d.]+)"[^>]*>(\w+)<', drawn)
    heights = {name: float(y) for y, name in texts}
    assert heights["top"] < heights["middle"] < heights["bottom"]
