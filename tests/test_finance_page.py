"""docs/finance.md shows the statements that are tested, and names streams that exist."""

from __future__ import annotations

import re
from pathlib import Path

from tap_stripe_conn.catalogue.resources import load_catalogue

DOCS = Path(__file__).parents[1] / "docs"
TEXT = (DOCS / "finance.md").read_text(encoding="utf-8")


def test_it_shows_every_statement_as_it_is_in_its_file() -> None:
    shown = dict(re.findall(r"\]\((sql/\w+\.sql)\)\n\n```sql\n(.*?)```\n", TEXT, re.DOTALL))
    files = {
        str(path.relative_to(DOCS)): path.read_text(encoding="utf-8")
        for path in (DOCS / "sql").iterdir()
    }
    assert shown == files
    assert len(files) == 9


def test_each_question_names_the_streams_that_its_statement_reads() -> None:
    streams = load_catalogue().resources
    rows = re.findall(r"^\| \[[^]]+\]\(#([\w-]+)\) \| (.+) \|$", TEXT, re.MULTILINE)
    assert len(rows) == 7
    for anchor, named in rows:
        heading = anchor.replace("-", " ").capitalize()
        section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        tables = set(re.findall(r"\b(?:from|join) (\w+)", section)) & streams.keys()
        assert tables == set(re.findall(r"`(\w+)`", named)), heading


def test_every_link_leads_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", TEXT):
        path, _, anchor = link.partition("#")
        assert (DOCS / path).exists() if path else anchor in anchors, link
