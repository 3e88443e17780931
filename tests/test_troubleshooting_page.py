"""docs/troubleshooting.md says what is."""

from __future__ import annotations

from pathlib import Path

from tests.sentences import unsaid

TEXT = (Path(__file__).parents[1] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


def test_every_message_that_it_explains_is_one_of_the_programs() -> None:
    assert unsaid(TEXT) == []


def test_a_message_that_the_program_cannot_say_is_found() -> None:
    wrong = TEXT.replace("`Stripe is failing`", "`Stripe is on holiday`")
    assert unsaid(wrong) == ["Stripe is on holiday"]
