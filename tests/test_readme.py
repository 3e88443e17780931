"""The README says what is."""

from __future__ import annotations

import re
from pathlib import Path

from tap_stripe_conn.catalogue.resources import load_catalogue

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")


def test_it_is_short_enough_to_be_read() -> None:
    assert len(TEXT.splitlines()) < 200


def test_every_link_within_the_repository_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", TEXT)
    assert len(links) > 10
    assert [link for link in links if not (README.parent / link).exists()] == []


def test_it_counts_the_streams_right() -> None:
    assert re.findall(r"\*\* (\d+) streams", TEXT) == [str(len(load_catalogue().resources))]
