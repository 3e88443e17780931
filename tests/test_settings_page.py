"""docs/settings.md says what is."""

from __future__ import annotations

import re

from tests.sentences import can_say
from tools.settings import PAGE, with_settings

TEXT = PAGE.read_text(encoding="utf-8")


def test_its_table_is_what_about_says() -> None:
    assert with_settings(TEXT) == TEXT


def test_the_message_that_it_quotes_is_one_of_the_programs() -> None:
    (message,) = re.findall(r"is an error: `([^`]+)`", TEXT)
    assert can_say(message)
