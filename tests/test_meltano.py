"""What Meltano and its Hub are told of the tap is what the tap says of itself."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tap_stripe_conn.config import REQUIRED_BY_SCHEME, SCHEME_TITLES
from tap_stripe_conn.tap import TapStripeConn
from tools import meltano
from tools.environments import CHECKOUT
from tools.quickstart.parts import LOADER

OF_THE_HUB = {
    "capabilities",
    "commands",
    "definition",
    "description",
    "docs",
    "domain_url",
    "executable",
    "ext_repo",
    "hidden",
    "keywords",
    "label",
    "log_parser",
    "logo_url",
    "maintenance_status",
    "metadata",
    "name",
    "namespace",
    "next_steps",
    "pip_url",
    "prereq",
    "python",
    "quality",
    "repo",
    "requires",
    "schema",
    "select",
    "settings",
    "settings_group_validation",
    "settings_preamble",
    "supported_python_versions",
    "usage",
    "variant",
}
"""What a definition in the Hub's repository may have."""

KINDS = {"array", "boolean", "date_iso8601", "integer", "object", "options", "string"}
"""Kinds of settings that Meltano and its Hub know, and that Meltano can hand over."""


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
        for name, setting in TapStripeConn._get_about_info().settings["properties"].items()  # noqa: SLF001 - what `--about` prints
    }


def test_both_files_are_as_the_command_writes_them() -> None:
    project = meltano.PROJECT.read_text(encoding="utf-8")
    assert meltano.project(project) == project
    assert meltano.plugin() == meltano.PLUGIN.read_text(encoding="utf-8")


def test_meltano_shows_each_setting_as_the_tap_describes_it() -> None:
    assert described_by_meltano() == described_by_the_tap()
    assert {setting["kind"] for setting in the_extractor()["settings"]} <= KINDS


def test_meltano_offers_each_scheme_by_its_title_and_knows_what_it_requires() -> None:
    extractor = the_extractor()
    scheme = next(each for each in extractor["settings"] if each["name"] == "auth_scheme")
    assert {option["value"]: option["label"] for option in scheme["options"]} == SCHEME_TITLES
    required = [["auth_scheme", *settings] for settings in REQUIRED_BY_SCHEME.values()]
    assert extractor["settings_group_validation"] == required


def test_the_hub_is_told_the_same_in_its_own_order() -> None:
    extractor, plugin = the_extractor(), the_plugin()
    assert list(plugin) == sorted(plugin)
    assert plugin.keys() <= OF_THE_HUB
    assert plugin["name"] == extractor["name"] == plugin["executable"]
    for name in ("namespace", "label", "commands"):
        assert plugin[name] == extractor[name]
    assert plugin["capabilities"] == sorted(extractor["capabilities"])
    by_name = {setting["name"]: setting for setting in extractor["settings"]}
    assert plugin["settings"] == [by_name[name] for name in sorted(by_name)]
    assert plugin["settings_group_validation"] == [
        sorted(group) for group in extractor["settings_group_validation"]
    ]


def test_the_project_selects_streams_that_there_are_and_jobs_that_have_their_plugins() -> None:
    project = the_project()
    streams = {rule.removesuffix(".*") for rule in the_extractor()["select"]}
    assert streams
    assert streams <= TapStripeConn(validate_config=False).streams.keys()
    loaders = {loader["name"]: loader for loader in project["plugins"]["loaders"]}
    assert [job["tasks"] for job in project["jobs"]] == [
        [f"tap-stripe-conn {loader}"] for loader in loaders
    ]
    assert loaders["target-postgres"]["pip_url"] == LOADER


def test_every_link_of_the_page_leads_somewhere() -> None:
    page = CHECKOUT / "docs" / "meltano.md"
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (page.parent / link).exists()] == []


def the_extractor() -> dict[str, Any]:
    extractor: dict[str, Any] = the_project()["plugins"]["extractors"][0]
    return extractor


def the_project() -> dict[str, Any]:
    project: dict[str, Any] = yaml.safe_load(meltano.PROJECT.read_text(encoding="utf-8"))
    return project


def the_plugin() -> dict[str, Any]:
    plugin: dict[str, Any] = yaml.safe_load(meltano.PLUGIN.read_text(encoding="utf-8"))
    return plugin
