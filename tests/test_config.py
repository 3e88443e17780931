from __future__ import annotations

import json
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from singer_sdk.exceptions import ConfigValidationError

from tap_stripe_conn.config import (
    SECRETS,
    ConfigError,
    Settings,
    config_schema,
    parse_settings,
    secrets_of,
    unknown_settings,
)
from tap_stripe_conn.redaction import redacted
from tap_stripe_conn.tap import TapStripeConn

SCHEMA = config_schema()
KEY = "sk_" + "live_" + "51Hb2kLkdIwH"
TEST_KEY = "rk_" + "test_" + "51Hb2kLkdIwH"
ORGANIZATION_KEY = "sk_" + "org_live_" + "51Hb2kLkdIwH"
OAUTH = {"auth_scheme": "oauth2", "client_id": "a", "client_secret": "b", "refresh_token": "c"}
PLANTED = "planted" * 3
"""What no message may hold."""


def parsed(**config: Any) -> Settings:  # noqa: ANN401 - as wrong as users write it
    return parse_settings({"live_api_key": KEY, **config}, SCHEMA)


def problems(**config: Any) -> list[str]:  # noqa: ANN401 - likewise
    with pytest.raises(ConfigError) as raised:
        parsed(**config)
    return list(raised.value.problems)


# --- Good settings -----------------------------------------------------------------------------


def test_oauth2_takes_its_own_secrets_and_no_key() -> None:
    settings = parsed(**{**OAUTH, "oauth_provider": "apps", "token_file": "~/tokens.json"})
    assert settings.live_api_key == ""
    assert (settings.client_id, settings.client_secret) == (
        OAUTH["client_id"],
        OAUTH["client_secret"],
    )
    assert (settings.refresh_token, settings.oauth_access_token) == (OAUTH["refresh_token"], None)
    assert (settings.oauth_provider, settings.token_file) == ("apps", Path.home() / "tokens.json")


@pytest.mark.parametrize(
    ("config", "elsewhere"),
    [
        ({}, []),
        ({"api_base": "https://api.stripe.com/"}, []),
        ({"api_base": "https://stripe.example"}, ["https://stripe.example"]),
        ({"connect_base": "https://connect.example"}, []),
        ({**OAUTH, "connect_base": "https://connect.example"}, ["https://connect.example"]),
        (
            {**OAUTH, "oauth_provider": "apps", "connect_base": "https://connect.example"},
            [],
        ),
    ],
)
def test_an_address_that_credentials_go_to_and_that_is_not_stripes_is_known(
    config: dict[str, Any], elsewhere: list[str]
) -> None:
    assert parsed(**config).elsewhere == elsewhere


def test_the_mode_of_a_token_is_that_of_the_client_secret() -> None:
    assert parsed(**{**OAUTH, "client_secret": "sk_" + "test_" + "1"}).test_mode
    assert not parsed(**{**OAUTH, "client_secret": "sk_" + "live_" + "1"}).test_mode


def test_a_key_is_enough() -> None:
    assert parsed() == Settings(
        connection_name="stripe",
        auth_scheme="api_key",
        live_api_key=KEY,
        client_id="",
        client_secret="",
        refresh_token="",
        oauth_access_token=None,
        oauth_provider="connect",
        token_file=None,
        ledger_file=None,
        account_id=None,
        since=0,
        until=None,
        api_base="https://api.stripe.com",
        connect_base="https://connect.stripe.com",
        requests_per_second=None,
        endpoint_requests_per_second=None,
        report_file=None,
        mutable_window_days=30,
        discover_all=False,
    )


@pytest.mark.parametrize("unset", [None, "", "  ", "\n"])
def test_an_empty_setting_counts_as_unset(unset: str | None) -> None:
    assert (
        parsed(**dict.fromkeys(SCHEMA["properties"].keys() - {"live_api_key"}, unset)) == parsed()
    )
    assert problems(live_api_key=unset) == [
        "Setting 'live_api_key' is required by the auth scheme API Key"
    ]


def test_defaults_are_filled_into_the_config_itself() -> None:
    config = {"live_api_key": KEY, "account_id": ""}
    parse_settings(config, SCHEMA)
    assert config["api_base"] == "https://api.stripe.com"
    assert "account_id" not in config


def test_space_around_a_setting_is_left_out() -> None:
    settings = parsed(live_api_key=f" {KEY}\n", account_id=" acct_1 ", start_date=" 2024-01-31 ")
    assert (settings.live_api_key, settings.account_id) == (KEY, "acct_1")
    assert settings.since == 1_706_659_200


MOMENTS = {
    "2024-01-31": 1_706_659_200,
    "2024-01-31T09:00:00": 1_706_691_600,
    "2024-01-31 09:00": 1_706_691_600,
    "2024-01-31T09:00:00Z": 1_706_691_600,
    "2024-01-31T09:00:00z": 1_706_691_600,
    "2024-01-31T10:00:00+01:00": 1_706_691_600,
    "2024-01-31T04:00:00-05:00": 1_706_691_600,
    "2024-01-31T09:00:00.000Z": 1_706_691_600,
    "2024-01-31T09:00:00.001Z": 1_706_691_601,
    "2024-01-31T08:59:59.999999": 1_706_691_600,
}


@pytest.mark.parametrize(("text", "moment"), MOMENTS.items())
def test_a_date_without_an_offset_is_utc_and_a_fraction_is_the_next_second(
    text: str, moment: int
) -> None:
    assert parsed(start_date=text).since == moment
    assert parsed(end_date=text).until == moment


def test_a_date_before_stripe_means_everything() -> None:
    assert parsed(start_date="1960-01-01").since == 0


@pytest.mark.parametrize(
    ("key", "account_id"),
    [
        (KEY, "acct_1032D82eZvKYlo2C"),
        (TEST_KEY, "acct_1"),
        (ORGANIZATION_KEY, "acct_1"),
        (ORGANIZATION_KEY, "acct_1/acct_2"),
    ],
)
def test_an_account_is_taken_by_its_id(key: str, account_id: str) -> None:
    assert parsed(live_api_key=key, account_id=account_id).account_id == account_id


@pytest.mark.parametrize(
    "base",
    [
        "https://api.stripe.com",
        "https://stripe.example:8443",
        "HTTPS://stripe.example",
        "http://localhost:12111",
        "http://127.0.0.1:12111",
        "http://127.8.9.1",
        "http://[::1]:12111",
    ],
)
@pytest.mark.parametrize("name", ["api_base", "connect_base"])
def test_a_base_is_https_or_http_on_loopback(name: str, base: str) -> None:
    assert getattr(parsed(**{name: base}), name) == base
    assert getattr(parsed(**{name: f"{base}/"}), name) == base


@pytest.mark.parametrize(
    ("key", "test_mode"), [(KEY, False), (TEST_KEY, True), (ORGANIZATION_KEY, False)]
)
def test_a_key_shows_its_mode(key: str, test_mode: bool) -> None:  # noqa: FBT001
    settings = parsed(live_api_key=key, account_id="acct_1")
    assert settings.test_mode is test_mode


# --- Bad settings ------------------------------------------------------------------------------

KIND_HINT = "; use a secret (sk_…) or restricted (rk_…) key"
ACCOUNT_HINT = "Setting 'account_id' must be an account's id, acct_…, not "
DATE_HINT = "must be a date (2024-01-31) or a date-time (2024-01-31T09:00:00Z), not "
BASE_HINT = (
    "Setting 'api_base' must be an https URL (http only on loopback), such as "
    "https://api.stripe.com, not "
)

BAD: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"live_api_key": "pk_" + "live_" + "1"},
        [f"Setting 'live_api_key' is a publishable key, which can't read{KIND_HINT}"],
    ),
    (
        {"live_api_key": "whsec" + "_1"},
        [f"Setting 'live_api_key' is a webhook's signing secret{KIND_HINT}"],
    ),
    (
        {"live_api_key": "ca" + "_1"},
        [f"Setting 'live_api_key' is an OAuth client id{KIND_HINT}"],
    ),
    (
        {"live_api_key": f"{KEY} {KEY}"},
        ["Setting 'live_api_key' has a space or a character that no Stripe key or token has"],
    ),
    (
        {"live_api_key": f"{KEY}…"},
        ["Setting 'live_api_key' has a space or a character that no Stripe key or token has"],
    ),
    ({"live_api_key": 5}, ["Setting 'live_api_key' must be of type string"]),
    (
        {"live_api_key": ORGANIZATION_KEY},
        ["Setting 'account_id' is required with an organization key (sk_org_…)"],
    ),
    ({"account_id": "stripe"}, [f"{ACCOUNT_HINT}'stripe'"]),
    ({"account_id": "acct_"}, [f"{ACCOUNT_HINT}'acct_'"]),
    ({"account_id": "acct_1/acct_2"}, [f"{ACCOUNT_HINT}'acct_1/acct_2'"]),
    ({"account_id": "acct_1\r\nX: y"}, [f"{ACCOUNT_HINT}'acct_1\\r\\nX: y'"]),
    ({"account_id": "acct_é"}, [f"{ACCOUNT_HINT}'acct_é'"]),
    ({"start_date": "yesterday"}, [f"Setting 'start_date' {DATE_HINT}'yesterday'"]),
    ({"end_date": "2024-02-30"}, [f"Setting 'end_date' {DATE_HINT}'2024-02-30'"]),
    ({"end_date": "31.01.2024"}, [f"Setting 'end_date' {DATE_HINT}'31.01.2024'"]),
    ({"end_date": "2024-01-31T25:00"}, [f"Setting 'end_date' {DATE_HINT}'2024-01-31T25:00'"]),
    ({"start_date": 20240131}, ["Setting 'start_date' must be of type string, not 20240131"]),
    (
        {"start_date": "2024-02-01", "end_date": "2024-01-31"},
        ["Setting 'start_date' (2024-02-01) must be before 'end_date' (2024-01-31)"],
    ),
    (
        {"start_date": "2024-01-31T01:00:00+01:00", "end_date": "2024-01-31"},
        ["Setting 'start_date' (2024-01-31T01:00:00+01:00) must be before 'end_date' (2024-01-31)"],
    ),
    ({"api_base": "http://api.stripe.com"}, [f"{BASE_HINT}'http://api.stripe.com'"]),
    ({"api_base": "http://127.0.0.1.example"}, [f"{BASE_HINT}'http://127.0.0.1.example'"]),
    ({"api_base": "http://localhost.example"}, [f"{BASE_HINT}'http://localhost.example'"]),
    ({"api_base": "http://[::2]"}, [f"{BASE_HINT}'http://[::2]'"]),
    ({"api_base": "https://[::1"}, [f"{BASE_HINT}'https://[::1'"]),
    ({"api_base": "https://stripe.example:port"}, [f"{BASE_HINT}'https://stripe.example:port'"]),
    ({"api_base": "https://stripe.example:99999"}, [f"{BASE_HINT}'https://stripe.example:99999'"]),
    ({"api_base": "ftp://127.0.0.1"}, [f"{BASE_HINT}'ftp://127.0.0.1'"]),
    ({"api_base": "api.stripe.com"}, [f"{BASE_HINT}'api.stripe.com'"]),
    ({"api_base": "https://"}, [f"{BASE_HINT}'https:'"]),
    ({"api_base": "https://stripe.example?a=b"}, [f"{BASE_HINT}'https://stripe.example?a=…'"]),
    ({"api_base": "https://stripe.example#a"}, [f"{BASE_HINT}'https://stripe.example#a'"]),
    (
        {"auth_scheme": "basic"},
        ["Setting 'auth_scheme' must be one of api_key, oauth2, not 'basic'"],
    ),
    (
        {"oauth_provider": "github"},
        ["Setting 'oauth_provider' must be one of connect, apps, not 'github'"],
    ),
    (
        {"requests_per_second": 0},
        ["Setting 'requests_per_second' must be greater than 0, not 0"],
    ),
    (
        {"endpoint_requests_per_second": -1.5},
        ["Setting 'endpoint_requests_per_second' must be greater than 0, not -1.5"],
    ),
    (
        {"requests_per_second": "fast"},
        ["Setting 'requests_per_second' must be of type number, not 'fast'"],
    ),
    (
        {"requests_per_second": True},
        ["Setting 'requests_per_second' must be of type number, not True"],
    ),
    (
        {"strat_date": "2024-01-31"},
        ["There is no setting 'strat_date'; did you mean 'start_date'?"],
    ),
    ({"endate": "2024-01-31"}, ["There is no setting 'endate'; did you mean 'end_date'?"]),
    (
        {"auth_scheme": "oauth2"},
        [
            "Setting 'client_id' is required by the auth scheme OAuth2",
            "Setting 'client_secret' is required by the auth scheme OAuth2",
            "Setting 'refresh_token' is required by the auth scheme OAuth2",
        ],
    ),
    (
        {**OAUTH, "client_id": KEY},
        [
            "Setting 'client_id' is a secret key; use the client id (ca_…) of the platform or app",
        ],
    ),
    (
        {**OAUTH, "client_secret": "ca" + "_1"},
        [
            (
                "Setting 'client_secret' is an OAuth client id; use the secret key (sk_…) of the "
                "platform or app"
            ),
        ],
    ),
    (
        {**OAUTH, "refresh_token": "ac" + "_1", "oauth_access_token": "rt" + "_1"},
        [
            (
                "Setting 'refresh_token' is an authorization code; authorize the connection to get "
                "a refresh token"
            ),
            (
                "Setting 'oauth_access_token' is a refresh token; use an access token, or leave it "
                "out"
            ),
        ],
    ),
    (
        {**OAUTH, "oauth_provider": "google", "token_file": 5},
        [
            "Setting 'oauth_provider' must be one of connect, apps, not 'google'",
            "Setting 'token_file' must be of type string, not 5",
        ],
    ),
    (
        {**OAUTH, "token_file": "~nobody-of-this-name/tokens.json"},
        [
            (
                "Setting 'token_file' begins with a user that has no home: "
                "~nobody-of-this-name/tokens.json"
            ),
        ],
    ),
    (
        {"account_id": "me", "start_date": "soon", "end_date": "later"},
        [
            f"{ACCOUNT_HINT}'me'",
            f"Setting 'start_date' {DATE_HINT}'soon'",
            f"Setting 'end_date' {DATE_HINT}'later'",
        ],
    ),
]


@pytest.mark.parametrize(("config", "lines"), BAD)
def test_a_bad_setting_is_named_with_what_is_expected(
    config: dict[str, Any], lines: list[str]
) -> None:
    assert problems(**config) == lines


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ({"flattening_enabled": "yes"}, "Setting 'flattening_enabled' must be of type boolean"),
        ({"stream_maps": {"charges": 5}}, "Setting 'stream_maps.charges' has a value that"),
    ],
)
def test_the_sdks_own_settings_are_checked_too(config: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigValidationError) as raised:
        TapStripeConn(config={"live_api_key": KEY, **config})
    [problem] = raised.value.errors
    assert problem.startswith(line)
    assert "\n" not in problem


def test_a_setting_that_means_nothing_is_ignored_with_a_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TapStripeConn.logger, "propagate", True)
    caplog.set_level(logging.WARNING)
    TapStripeConn(config={"live_api_key": KEY, "colour": PLANTED})
    assert "There is no setting 'colour': it is ignored" in caplog.messages
    assert PLANTED not in caplog.text
    assert unknown_settings({"live_api_key": KEY, "colour": "blue"}, SCHEMA) == ["colour"]


# --- Secrets -----------------------------------------------------------------------------------

WRONG_SECRETS: list[Any] = [
    PLANTED,
    [PLANTED],
    {PLANTED: PLANTED},
    {"key": [PLANTED]},
    f"{PLANTED} {PLANTED}",
    f"é{PLANTED}",
    f"{PLANTED}\n{PLANTED}",
    f"pk_{PLANTED}",
    f"whsec_{PLANTED}",
    f"ca_{PLANTED}",
    f"sk_org_{PLANTED}",
]
OTHER_SETTINGS: dict[str, list[Any]] = {
    "auth_scheme": ["api_key", "oauth2", "basic", 5],
    "account_id": ["acct_1", "me", 5],
    "start_date": ["2024-01-31", "soon", 5],
    "api_base": ["https://stripe.example", "ftp://x", 5],
    "requests_per_second": [5, 0, "fast"],
    "live_api_keys": [PLANTED],
    "refreshtoken": [PLANTED],
}


@given(
    st.dictionaries(st.sampled_from(sorted(SECRETS)), st.sampled_from(WRONG_SECRETS)),
    st.fixed_dictionaries(
        {}, optional={name: st.sampled_from(values) for name, values in OTHER_SETTINGS.items()}
    ),
)
def test_no_message_holds_the_value_of_a_secret(
    secrets: dict[str, Any], others: dict[str, Any]
) -> None:
    try:
        shown = repr(parse_settings({**secrets, **others}, SCHEMA))
    except ConfigError as error:
        shown = repr(error) + str(error) + "".join(traceback.format_exception(error))
    assert PLANTED not in shown


@pytest.mark.parametrize(
    "config",
    [
        {"api_base": f"https://user:{PLANTED}@stripe.example"},
        {"api_base": f"https://{PLANTED}@stripe.example"},
        {"connect_base": f"ftp://:{PLANTED}@stripe.example"},
        {"account_id": "sk_" + f"live_{PLANTED}"},
        {"start_date": "rk_" + f"test_{PLANTED}"},
        {"requests_per_second": "sk_" + f"live_{PLANTED}"},
        {"auth_scheme": "whsec" + f"_{PLANTED}"},
    ],
)
def test_a_key_or_password_in_the_wrong_place_is_not_shown_either(config: dict[str, Any]) -> None:
    [problem] = problems(**config)
    assert next(iter(config)) in problem
    assert PLANTED not in problem


def test_what_may_be_secret_is_known_before_the_settings_are_checked() -> None:
    config: dict[str, Any] = {
        "live_api_key": ["a", {"b": 5}],
        "client_secret": None,
        "refreshtoken": "c",
        "api_key": "d",
        "sort_key": "e",
        "colour": "f",
        "account_id": "g",
        "token_file": "h",
        "auth_scheme": "i",
        "oauth_provider": "j",
    }
    assert list(secrets_of(config)) == ["a", "b", "5", "c", "d"]


@pytest.mark.parametrize("secret", [f"odd {PLANTED}", [f"odd{PLANTED}"], {"odd-key": PLANTED}])
def test_a_tap_conceals_its_secrets_whatever_is_wrong_with_its_settings(secret: object) -> None:
    with pytest.raises(ConfigValidationError):
        TapStripeConn(config={"live_api_key": secret, "start_date": "soon"})
    assert PLANTED not in redacted(f"It is {secret}")


# --- What the settings say of themselves -------------------------------------------------------


def test_about_lists_every_setting_with_its_description() -> None:
    result = CliRunner().invoke(TapStripeConn.cli, ["--about", "--format=json"])
    assert result.exit_code == 0
    shown = json.loads(result.stdout)["settings"]["properties"]
    assert SCHEMA["properties"].items() <= shown.items()


def test_every_setting_has_a_title_and_a_description_and_secrets_are_marked() -> None:
    properties = SCHEMA["properties"]
    assert all(setting["title"] and setting["description"] for setting in properties.values())
    assert {name for name, setting in properties.items() if setting.get("secret")} == SECRETS


def test_the_schema_is_a_valid_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(
    ("config", "valid"),
    [
        ({"live_api_key": "k"}, True),
        ({"auth_scheme": "api_key", "live_api_key": "k"}, True),
        ({}, False),
        ({"auth_scheme": "api_key"}, False),
        ({"auth_scheme": "api_key", "client_id": "a", "client_secret": "b"}, False),
        (OAUTH, True),
        ({**OAUTH, "live_api_key": "k"}, True),
        ({"auth_scheme": "oauth2", "live_api_key": "k"}, False),
        ({"auth_scheme": "oauth2", "client_id": "a", "client_secret": "b"}, False),
        ({"auth_scheme": "basic", "live_api_key": "k"}, False),
        ({"live_api_key": "k", "requests_per_second": 0}, False),
    ],
)
def test_any_validator_finds_what_each_scheme_requires(
    config: dict[str, Any],
    valid: bool,  # noqa: FBT001
) -> None:
    assert Draft202012Validator(SCHEMA).is_valid(config) is valid


def test_the_schemes_have_the_titles_that_forms_show() -> None:
    assert SCHEMA["properties"]["auth_scheme"]["oneOf"] == [
        {"const": "api_key", "title": "API Key"},
        {"const": "oauth2", "title": "OAuth2"},
    ]
