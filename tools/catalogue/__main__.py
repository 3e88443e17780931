"""`python -m tools.catalogue` writes the catalogue; `--check` only tells what it would change."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.catalogue.documents import SCHEMAS, documents
from tools.catalogue.pages import AREA_PAGES

ROOT = Path(__file__).parents[2]


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Write or check the generated files below `root`.

    Returns:
        0, or 1 if `--check` found a file that is not what would be written.
    """
    parser = argparse.ArgumentParser(prog="python -m tools.catalogue", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if files differ")
    check = parser.parse_args(arguments).check

    wanted = documents()
    kept = [*(root / SCHEMAS).glob("*.json"), *(root / AREA_PAGES).glob("*.md")]
    stale = {path.relative_to(root) for path in kept} - wanted.keys()
    changed = sorted(path for path in wanted if _read(root / path) != wanted[path])
    for path in changed:
        print(f"{'differs' if check else 'wrote'}: {path}")
        if not check:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(wanted[path], encoding="utf-8")
    for path in sorted(stale):
        print(f"{'no longer generated' if check else 'deleted'}: {path}")
        if not check:
            (root / path).unlink()
    return 1 if check and (changed or stale) else 0


def _read(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.exists() else None


if __name__ == "__main__":
    sys.exit(main())
