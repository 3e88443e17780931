"""What `--about` says of the tap to people: its settings as `--help` shows options."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from singer_sdk.about import AboutInfo


def text(info: AboutInfo) -> str:
    """The tap and its settings, with what each is for, its default, and whether it is a secret."""
    formatter = click.HelpFormatter(max_width=100)
    formatter.write(f"{info.name} {info.version}\n{info.description}\n")
    formatter.write_paragraph()
    formatter.write_dl(
        [
            ("Meltano Singer SDK", info.sdk_version),
            ("Python", ", ".join(info.supported_python_versions or ())),
            ("Capabilities", ", ".join(each.value for each in info.capabilities)),
        ]
    )
    formatter.write_paragraph()
    formatter.write_text(
        f"Settings, in a config file, or in the environment as {info.env_var_prefix} and the name "
        "in capitals:"
    )
    formatter.write_paragraph()
    settings: dict[str, dict[str, Any]] = info.settings["properties"]
    with formatter.indentation():
        formatter.write_dl([(name, _described(setting)) for name, setting in settings.items()])
    return formatter.getvalue()


def _described(setting: dict[str, Any]) -> str:
    """A setting's description, and what else holds for it, as `--help` has it."""
    description = " ".join(setting.get("description", "").split())
    default = setting.get("default")
    if setting.get("secret"):
        return f"{description}  [secret]"
    return description if default is None else f"{description}  [default: {_shown(default)}]"


def _shown(default: object) -> str:
    return default if isinstance(default, str) else json.dumps(default)
