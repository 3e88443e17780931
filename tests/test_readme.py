"""The README says what is."""

from __future__ import annotations

import re

from tests.sentences import unsaid
from tools.readme import README, with_settings


def test_the_table_of_settings_is_what_about_says() -> None:
    text = README.read_text(encoding="utf-8")
    assert with_settings(text) == text


def test_every_message_that_it_explains_is_one_of_the_programs() -> None:
    assert unsaid(README.read_text(encoding="utf-8")) == []


def test_every_link_within_the_repository_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (README.parent / link).exists()] == []
