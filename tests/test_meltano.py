"""What meltano.yml says of the tap is what the tap says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tap_stripe_conn.config import REQUIRED_BY_SCHEME, SCHEME_TITLES, config_schema

PROJECT = Path(__file__).parents[1] / "meltano.yml"


def described_by_meltano() -> dict[str, dict[str, Any]]:
    """Settings of the tap in meltano.yml, as far as a JSON Schema can say the same."""
    return {
        setting["name"]: {
            "title": setting["label"],
            "description": setting["description"],
            "default": setting.get("value"),
            "secret": setting.get("sensitive", False),
            "enum": [option["value"] for option in setting.get("options", [])],
        }
        for setting in the_extractor()["settings"]
    }


def described_by_the_tap() -> dict[str, dict[str, Any]]:
    return {
        name: {
            "title": setting["title"],
            "description": setting["description"],
            "default": setting.get("default"),
            "secret": setting.get("secret", False),
            "enum": [value for value in setting.get("enum", []) if value],
        }
        for name, setting in config_schema()["properties"].items()
    }


def test_meltano_shows_each_setting_as_the_tap_describes_it() -> None:
    assert described_by_meltano() == described_by_the_tap()


def test_meltano_offers_each_scheme_by_its_title_and_knows_what_it_requires() -> None:
    extractor = the_extractor()
    scheme = next(each for each in extractor["settings"] if each["name"] == "auth_scheme")
    assert {option["value"]: option["label"] for option in scheme["options"]} == SCHEME_TITLES
    required = [["auth_scheme", *settings] for settings in REQUIRED_BY_SCHEME.values()]
    assert extractor["settings_group_validation"] == required


def the_extractor() -> dict[str, Any]:
    project = yaml.safe_load(PROJECT.read_text(encoding="utf-8"))
    extractor: dict[str, Any] = project["plugins"]["extractors"][0]
    return extractor
