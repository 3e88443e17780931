"""docs/connections.md says what is."""

from __future__ import annotations

import re
from pathlib import Path

from tap_stripe_conn.connection.authorize import REDIRECT_URI, TIME_LIMIT
from tap_stripe_conn.setup.command import options

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "connections.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_every_option_that_it_names_exists() -> None:
    named = set(re.findall(r"`[^`]*?(--[a-z][a-z-]+)", TEXT)) - {"--test", "--config"}
    assert named
    assert named <= {name for option in options() for name in option.opts}


def test_it_names_the_redirect_uri_and_the_time_limit_that_are_the_defaults() -> None:
    assert f"`{REDIRECT_URI}`" in TEXT
    assert f"{TIME_LIMIT / 60:.0f} minutes" == "10 minutes"
    assert "ten minutes or `--time-limit` seconds" in TEXT


def test_every_link_within_the_repository_leads_somewhere() -> None:
    anchors = {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    }
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", TEXT):
        path, _, anchor = link.partition("#")
        assert (PAGE.parent / path).exists() if path else anchor in anchors, link
