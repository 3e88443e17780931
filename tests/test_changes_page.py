"""The page on updates and deletions says what is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from tap_stripe_conn.catalogue.resources import Changes, load_catalogue
from tests.sentences import sentences
from tools.catalogue.pages import CHANGES

PAGE = Path(__file__).parents[1] / "docs" / "changes.md"


def section(title: str) -> str:
    """What stands below a heading."""
    return PAGE.read_text(encoding="utf-8").partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_it_explains_every_way_in_the_words_of_the_streams_page() -> None:
    explained = re.findall(
        r"^\| ([\w, ]+) \| `(\w+)` \|", section("How changes are caught"), re.MULTILINE
    )
    assert explained == [(CHANGES[each][0], each) for each in get_args(Changes)]


def test_it_names_every_stream_whose_removals_events_tell_of() -> None:
    named = set(re.findall(r"`(\w+)`", section("The two columns")))
    resources = load_catalogue().resources.values()
    removed = {each.name for each in resources if each.removals}
    assert len(removed) > 10
    assert removed <= named


def test_every_message_that_it_quotes_is_one_of_the_programs() -> None:
    messages = re.findall(r"^\| `([^`]+)` \|", section("Gaps and repairs"), re.MULTILINE)
    assert len(messages) == 8
    assert [each for each in messages if each not in sentences()] == []
    assert "Stripe's events, which tell of changes, can't be read" in sentences()


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", PAGE.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []
