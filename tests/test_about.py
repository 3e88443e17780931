"""`--about` and `--help` tell people all that they have to know."""

from __future__ import annotations

from click.testing import CliRunner

from tap_stripe_conn.config import SECRETS
from tap_stripe_conn.tap import TapStripeConn

SETTINGS = TapStripeConn._get_about_info().settings["properties"]  # noqa: SLF001 - what --about tells


def told(*arguments: str) -> str:
    result = CliRunner().invoke(TapStripeConn.cli, arguments)
    assert result.exit_code == 0
    return result.output


def test_about_tells_of_each_setting_what_it_is_for() -> None:
    letters = "".join(told("--about").split())
    for name, setting in SETTINGS.items():
        secret = "[secret]" if name in SECRETS else ""
        assert "".join(f"{name}{setting['description']}{secret}".split()) in letters, name
    assert letters.count("[secret]") == len(SECRETS) == 5


def test_about_tells_defaults() -> None:
    words = " ".join(told("--about").split())
    assert "[default: https://api.stripe.com]" in words
    assert "Unset: 25." in words
    assert words.count("[default: ") == sum("default" in each for each in SETTINGS.values())


def test_help_begins_with_what_is_needed_first_and_ends_with_the_exit_codes() -> None:
    text = told("--help")
    assert text == told("-h")
    options = [line.split()[0] for line in text.splitlines() if line.startswith("  -")]
    assert options[:5] == ["--config", "--discover", "--test", "--catalog", "--state"]
    assert " ".join(text.split()).endswith("130 and 143 interrupted.")
