"""Write the table of settings in docs/settings.md from `--about`: `python -m tools.settings`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tap_stripe_conn.tap import TapStripeConn

PAGE = Path(__file__).resolve().parents[1] / "docs" / "settings.md"
BEGIN = "<!-- settings: written by python -m tools.settings -->\n"
END = "<!-- end of settings -->\n"


def main() -> int:
    """Write the page, or with `--check` only say whether that would change it."""
    text = PAGE.read_text(encoding="utf-8")
    current = with_settings(text)
    if "--check" in sys.argv[1:]:
        return int(text != current)
    PAGE.write_text(current, encoding="utf-8")
    return 0


def with_settings(text: str) -> str:
    """The page with a table of the settings as they are."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{settings_table()}\n{END}{after}"


def settings_table() -> str:
    """Markdown: a row for each setting, the SDK's own last."""
    schema = TapStripeConn._get_about_info().settings  # noqa: SLF001 - what `--about` prints
    rows = ["| setting | default | |", "|---|---|---|"]
    rows += [_row(name, definition) for name, definition in schema["properties"].items()]
    return "\n".join(rows) + "\n"


def _row(name: str, definition: dict[str, Any]) -> str:
    default = definition.get("default")
    shown = "" if default is None else f"`{json.dumps(default)}`".replace('"', "")
    notes = "Secret. " if definition.get("secret") else ""
    description = " ".join(definition.get("description", "").split())
    return f"| `{name}` | {shown} | {notes}{description} |"


if __name__ == "__main__":
    sys.exit(main())
