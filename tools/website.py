"""The documentation as a site: `python -m tools.website` builds it into `build/site`.

It is made of the Markdown that is read on its own as well. What lies outside of `docs/` gets a page
too, and links that lead out of the site are text there. MkDocs calls the functions `on_…`.
"""

from __future__ import annotations

import os
import posixpath
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mkdocs.__main__ import cli
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parents[1]
BUILT: Final = ROOT / "build" / "site"

PAGES: Final[Mapping[str, str]] = {
    "README.md": "index.md",
    "benchmarks/README.md": "benchmarks.md",
    "CHANGELOG.md": "changelog.md",
    ".github/CONTRIBUTING.md": "contributing.md",
    ".github/SECURITY.md": "security.md",
}
"""Pages from outside of `docs/`: the file in the repository -> its place on the site."""

_LINK = re.compile(
    r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)]*)?\)"
)
_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_TAG = re.compile(r"<(?:script|img|iframe|link)\b[^>]*>")
_ELSEWHERE = re.compile(r"\b(?:src|href)=\"(?:https?:)?//")
_NOT_FETCHED = re.compile(r"\brel=\"(?:canonical|next|prev|edit)\"")


def main() -> int:
    """Build the site; a warning fails it, and so does a page that fetches from elsewhere."""
    os.chdir(ROOT)
    cli(["build", "--strict", "--clean"], standalone_mode=False)
    fetching = [
        str(page.relative_to(BUILT))
        for page in sorted(BUILT.rglob("*.html"))
        if fetches(page.read_text(encoding="utf-8"))
    ]
    for page in fetching:
        print(f"website: {page} fetches something from elsewhere when it is read", file=sys.stderr)
    return 1 if fetching else 0


def fetches(page: str) -> bool:
    """Whether a page in HTML needs something from elsewhere to be read."""
    tags = [tag for tag in _TAG.findall(page) if not _NOT_FETCHED.search(tag)]
    # Material draws these diagrams with a library from elsewhere.
    return any(map(_ELSEWHERE.search, tags)) or 'class="mermaid"' in page


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside of `docs/`."""
    for source, place in PAGES.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn links between files of the repository into links between pages of the site."""
    return with_links_of_the_site(markdown, page.file.src_uri)


def with_links_of_the_site(markdown: str, place: str) -> str:
    """The text of a page with the links that it has on the site.

    Args:
        markdown: As it stands in the repository.
        place: The page's place on the site (`streams/billing.md`).
    """
    source = next((path for path, of in PAGES.items() if of == place), f"docs/{place}")

    def link(found: re.Match[str]) -> str:
        text, target, anchor = found[1], found[2], found[3] or ""
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if not (ROOT / file).exists():
            return found[0]  # MkDocs complains of it
        to = PAGES.get(file) or (file.removeprefix("docs/") if file.startswith("docs/") else None)
        if to is None:
            return text
        return f"[{text}]({posixpath.relpath(to, posixpath.dirname(place) or '.')}{anchor})"

    parts = _FENCE.split(markdown)
    return "".join(part if part.startswith("```") else _LINK.sub(link, part) for part in parts)


if __name__ == "__main__":
    sys.exit(main())
