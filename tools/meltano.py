"""Tell Meltano of the tap what the tap says of itself: `python -m tools.meltano`.

It writes a part of the extractor in meltano.yml, and plugin.yaml, which `meltano add --from-ref`
takes and which has the form of the definitions in Meltano Hub's repository.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import yaml
from typing_extensions import override

from tap_stripe_conn.config import REQUIRED_BY_SCHEME
from tap_stripe_conn.setup.form import CHOICES
from tap_stripe_conn.tap import TapStripeConn

CHECKOUT: Final = Path(__file__).resolve().parents[1]
PROJECT: Final = CHECKOUT / "meltano.yml"
PLUGIN: Final = CHECKOUT / "plugin.yaml"

BEGIN: Final = "      # Written by python -m tools.meltano, from here\n"
END: Final = "      # to here.\n"

_DATES: Final = frozenset({"start_date", "end_date"})
"""Settings that are text to the tap, which takes a date with or without a time."""

_KINDS: Final = {
    # Meltano 4.4 fails to hand over what is of its kind decimal; the tap reads numbers from text.
    "number": "string",
}
"""Meltano's kinds of settings where they are called otherwise than JSON Schema's types."""


def main() -> int:
    """Write both files, or with `--check` only say whether that would change them."""
    wanted = {PROJECT: project(PROJECT.read_text(encoding="utf-8")), PLUGIN: plugin()}
    if "--check" in sys.argv[1:]:
        return int(any(path.read_text(encoding="utf-8") != text for path, text in wanted.items()))
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
    return 0


def project(text: str) -> str:
    """meltano.yml with the tap's definition as it is."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    lines = _yaml(definition()).splitlines(keepends=True)
    return before + BEGIN + "".join(f"      {line}" for line in lines) + END + after


def plugin() -> str:
    """plugin.yaml: everything in the order of its name, as the Hub's formatter leaves it."""
    told = definition()
    listed = {
        "capabilities": sorted(told["capabilities"]),
        "settings": sorted(told["settings"], key=lambda setting: str(setting["name"])),
        "settings_group_validation": [sorted(group) for group in told["settings_group_validation"]],
    }
    return _yaml({**told, **listed, **_hub()}, sort_keys=True)


def definition() -> dict[str, Any]:
    """What Meltano has to know of the tap, whatever project it is in."""
    about = TapStripeConn._get_about_info()  # noqa: SLF001 - what `--about` prints
    return {
        "capabilities": [capability.value for capability in about.capabilities],
        "commands": {
            "setup": {
                "executable": "tap-stripe-conn-setup",
                "description": "Create a connection, with --meltano for this project.",
            },
            "test": {
                # Meltano gives a command the settings as environment variables only.
                "args": "--config=ENV --test",
                "description": "Test the connection, and what it can read of each stream.",
            },
        },
        "settings_group_validation": [
            ["auth_scheme", *required] for required in REQUIRED_BY_SCHEME.values()
        ],
        "settings": [_setting(*each) for each in about.settings["properties"].items()],
    }


def _setting(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    setting = {
        "name": name,
        "label": schema["title"],
        "description": " ".join(schema["description"].split()),
        "kind": _kind(name, schema),
    }
    if name in CHOICES:
        setting["options"] = [
            {"label": label, "value": value} for value, label in CHOICES[name].items()
        ]
    if schema.get("default") is not None:
        setting["value"] = schema["default"]
    if schema.get("secret"):
        setting["sensitive"] = True
    return setting


def _kind(name: str, schema: dict[str, Any]) -> str:
    if name in CHOICES:
        return "options"
    if name in _DATES:
        return "date_iso8601"
    kinds = [kind for kind in schema["type"] if kind != "null"]
    return _KINDS.get(kinds[0], str(kinds[0]))


def _hub() -> dict[str, Any]:
    """What the Hub shows besides."""
    about = TapStripeConn._get_about_info()  # noqa: SLF001 - what `--about` prints
    return {
        "name": about.name,
        "variant": "tap-stripe-conn",
        "namespace": about.name.replace("-", "_"),
        "label": "Stripe",
        "description": "Online payment processing for internet businesses",
        "pip_url": about.name,
        "executable": about.name,
        "supported_python_versions": list(about.supported_python_versions or ()),
        "domain_url": "https://docs.stripe.com/api",
        "logo_url": "/assets/logos/extractors/stripe.png",
        "keywords": ["api", "meltano_sdk"],
        "maintenance_status": "active",
        # What the Hub gives to a tap of the SDK's before it knows of users.
        "quality": "silver",
        "settings_preamble": _PREAMBLE,
        "next_steps": _NEXT_STEPS,
    }


_PREAMBLE: Final = """\
A connection is by API Key (`auth_scheme: api_key`), with a secret, restricted or organization key,
or by OAuth2 (`auth_scheme: oauth2`), for accounts that are connected to your platform or have
installed your app.
A restricted key with read permission on what you select, and on events, is all the tap needs.
"""

_NEXT_STEPS: Final = """\
Test the connection, and see which streams it can read and which permissions are missing:

```sh
meltano invoke tap-stripe-conn:test --test=all
```
"""


class _Dumper(yaml.SafeDumper):
    """Indents lists, as meltano.yml has it, and shows long texts line by line."""

    @override
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)


def _represented(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represented)


def _yaml(document: dict[str, Any], *, sort_keys: bool = False) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=sort_keys, allow_unicode=True, width=94)


if __name__ == "__main__":
    sys.exit(main())
