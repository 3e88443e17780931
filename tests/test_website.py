"""The site is what the repository's pages are; `tools/check.py` builds it."""

from __future__ import annotations

import pytest
import yaml

from tools.website import PAGES, ROOT, fetches, with_links_of_the_site


@pytest.mark.parametrize(
    ("place", "text", "on_the_site"),
    [
        ("index.md", "[a](docs/start.md)", "[a](start.md)"),
        ("index.md", "[a](docs/connections.md#api-key)", "[a](connections.md#api-key)"),
        ("index.md", "[a](benchmarks/README.md)", "[a](benchmarks.md)"),
        ("index.md", "[Apache-2.0](LICENSE)", "Apache-2.0"),
        ("speed.md", "[a](../README.md#try-it)", "[a](index.md#try-it)"),
        ("streams/tax.md", "[a](../streams.md)", "[a](../streams.md)"),
        ("benchmarks.md", "[`x`](scenarios.py)", "`x`"),
        ("contributing.md", "[a](../docs/architecture.md)", "[a](architecture.md)"),
        ("speed.md", "[a](https://docs.stripe.com/x)", "[a](https://docs.stripe.com/x)"),
        ("speed.md", "[a](gone.md)", "[a](gone.md)"),
        ("speed.md", "![a](house.svg)", "![a](house.svg)"),
        ("speed.md", "```\n[a](../README.md)\n```", "```\n[a](../README.md)\n```"),
    ],
)
def test_a_link_leads_to_the_page_that_is_on_the_site(
    place: str, text: str, on_the_site: str
) -> None:
    assert with_links_of_the_site(text, place) == on_the_site


@pytest.mark.parametrize(
    "page",
    [
        '<script src="https://example.com/mermaid.js"></script>',
        '<link href="//example.com/a.css" rel="stylesheet">',
        '<link rel="preconnect" href="https://example.com">',
        '<img alt="" src="http://example.com/a.png">',
        '<pre class="mermaid"><code>graph</code></pre>',
    ],
)
def test_a_page_that_fetches_something_from_elsewhere_is_found(page: str) -> None:
    assert fetches(page)


@pytest.mark.parametrize(
    "page",
    [
        '<a href="https://docs.stripe.com">Stripe</a>',
        '<script src="../assets/a.js"></script>',
        '<link rel="stylesheet" href="assets/a.css">',
        '<link rel="canonical" href="https://example.com/a">',
    ],
)
def test_a_page_that_only_links_elsewhere_is_not(page: str) -> None:
    assert not fetches(page)


def test_every_page_of_the_repository_is_in_the_navigation() -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = {
        page
        for entry in settings["nav"]
        for page in ([entry] if isinstance(entry, str) else next(iter(entry.values())))
    }
    here = {str(file.relative_to(ROOT / "docs")) for file in (ROOT / "docs").rglob("*.md")}
    assert listed == here | set(PAGES.values())
