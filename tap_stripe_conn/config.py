"""The settings: their JSON Schema, a branch per auth scheme, and the typed object they become."""

from __future__ import annotations

import difflib
import math
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast
from urllib.parse import urlsplit

from singer_sdk import typing as th
from singer_sdk.typing import DEFAULT_JSONSCHEMA_VALIDATOR, extend_validator_with_defaults

from tap_stripe_conn.api.network import on_loopback
from tap_stripe_conn.redaction import redacted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jsonschema import ValidationError

AuthScheme: TypeAlias = Literal["api_key", "oauth2"]
OAuthProvider: TypeAlias = Literal["connect", "apps"]

API_KEY: Final = "api_key"
OAUTH2: Final = "oauth2"
CONNECT: Final = "connect"
APPS: Final = "apps"
API_BASE: Final = "https://api.stripe.com"
CONNECT_BASE: Final = "https://connect.stripe.com"
SCHEME_TITLES: Final[Mapping[str, str]] = {API_KEY: "API Key", OAUTH2: "OAuth2"}

REQUIRED_BY_SCHEME: Final[Mapping[str, tuple[str, ...]]] = {
    API_KEY: ("live_api_key",),
    OAUTH2: ("client_id", "client_secret", "refresh_token"),
}
NUMBERS: Final = frozenset(
    {"requests_per_second", "endpoint_requests_per_second", "mutable_window_days"}
)
SECRETS: Final = frozenset(
    {"live_api_key", "client_id", "client_secret", "refresh_token", "oauth_access_token"}
)

_PROPERTIES: Final = th.PropertiesList(
    th.Property(
        "connection_name",
        th.StringType,
        default="stripe",
        title="Connection name",
        description="The name that logs and reports give this connection.",
    ),
    th.Property(
        "auth_scheme",
        th.StringType,
        allowed_values=[API_KEY, OAUTH2],
        default=API_KEY,
        title="Auth scheme",
        description=(
            "How the tap proves who it is: `api_key` (API Key) needs `live_api_key`; `oauth2` "
            "(OAuth2) needs `client_id`, `client_secret` and `refresh_token`."
        ),
    ),
    th.Property(
        "live_api_key",
        th.StringType,
        secret=True,
        title="Live API key",
        description=(
            "Secret key (`sk_live_…`) or restricted key (`rk_live_…`); `_test_` and organization "
            "(`sk_org_…`) keys work too. Required by the scheme API Key."
        ),
    ),
    th.Property(
        "client_id",
        th.StringType,
        secret=True,
        title="Client ID",
        description="`ca_…` of the platform or app. Required by the scheme OAuth2.",
    ),
    th.Property(
        "client_secret",
        th.StringType,
        secret=True,
        title="Client secret",
        description=(
            "Secret key (`sk_…`) of the platform's account, or of the app's developer, in the mode "
            "of the connection. Required by the scheme OAuth2."
        ),
    ),
    th.Property(
        "refresh_token",
        th.StringType,
        secret=True,
        title="Refresh token",
        description=(
            "What the account's owner granted. Required by the scheme OAuth2. Those of Stripe Apps "
            "change with every use: see `token_file`."
        ),
    ),
    th.Property(
        "oauth_access_token",
        th.StringType,
        secret=True,
        title="OAuth access token",
        description=(
            "Used until it expires or is refused; unset, the first is asked for. Scheme OAuth2."
        ),
    ),
    th.Property(
        "oauth_provider",
        th.StringType,
        allowed_values=[CONNECT, APPS],
        default=CONNECT,
        title="OAuth provider",
        description=(
            "Whose tokens they are: `connect` (Stripe Connect) or `apps` (Stripe Apps). Scheme "
            "OAuth2."
        ),
    ),
    th.Property(
        "token_file",
        th.StringType,
        title="Token file",
        description=(
            "Where the tokens that follow the configured one are kept, on a disk that lasts from "
            "run to run. Unset: a file in the user's state directory. Scheme OAuth2."
        ),
    ),
    th.Property(
        "account_id",
        th.StringType,
        title="Account ID",
        description=(
            "The account to read, `acct_…`; unset, the one that the key or token belongs to. "
            "Required with an organization key."
        ),
    ),
    th.Property(
        "start_date",
        th.StringType,
        title="Start date",
        description=(
            "Date or date-time; without an offset it is UTC. Objects created before are not read."
        ),
    ),
    th.Property(
        "end_date",
        th.StringType,
        title="End date",
        description=(
            "Date or date-time; without an offset it is UTC. Objects created then or later are "
            "not read."
        ),
    ),
    th.Property(
        "api_base",
        th.StringType,
        default=API_BASE,
        title="API base URL",
        description="Another address of Stripe's API: https, or http on loopback.",
    ),
    th.Property(
        "connect_base",
        th.StringType,
        default=CONNECT_BASE,
        title="Connect base URL",
        description="Another address of Stripe Connect: https, or http on loopback. Scheme OAuth2.",
    ),
    th.Property(
        "requests_per_second",
        th.DecimalType(exclusive_minimum=0),
        title="Requests per second",
        description=(
            "The rate to keep to over the whole account. Unset: 80 for live keys, 20 for test keys."
        ),
    ),
    th.Property(
        "endpoint_requests_per_second",
        th.DecimalType(exclusive_minimum=0),
        title="Requests per second and endpoint",
        description="The rate to keep to for each endpoint. Unset: 25.",
    ),
    th.Property(
        "report_file",
        th.StringType,
        title="Report file",
        description=(
            "Where each run leaves a report of what it read and what is missing, as a JSON "
            "document that replaces the one before."
        ),
    ),
    th.Property(
        "mutable_window_days",
        th.IntegerType(minimum=0, maximum=36_500),
        default=30,
        title="Mutable window in days",
        description=(
            "Rows whose changes no event tells of are read again for so many days after they were "
            "made."
        ),
    ),
    th.Property(
        "ledger_file",
        th.StringType,
        title="Ledger file",
        description=(
            "Where to write down what was told of each row, for `--verify`: on a disk of this "
            "machine that lasts from run to run, and a file for each connection. Unset: nowhere."
        ),
    ),
    th.Property(
        "discover_all",
        th.BooleanType,
        default=False,
        title="Discover all",
        description=(
            "Whether `--discover` lists every stream; by default it leaves out those that these "
            "credentials can't read."
        ),
    ),
)


def config_schema() -> dict[str, Any]:
    """JSON Schema of the settings (Draft 2020-12): flat, with a branch for each auth scheme."""
    schema = _PROPERTIES.to_dict()
    scheme = schema["properties"]["auth_scheme"]
    scheme["oneOf"] = [{"const": value, "title": title} for value, title in SCHEME_TITLES.items()]
    schema["allOf"] = [
        {
            "if": {
                "properties": {"auth_scheme": {"const": value}},
                # A validator that fills in no defaults takes the first scheme where none is named.
                "required": [] if value == API_KEY else ["auth_scheme"],
            },
            "then": {"required": list(required)},
        }
        for value, required in REQUIRED_BY_SCHEME.items()
    ]
    return schema


class ConfigError(Exception):
    """The settings, the catalog or the state can't be used; each of `problems` is one line."""

    def __init__(self, *problems: str) -> None:
        """Keep every problem, so that all can be mended at once, without the secrets in it."""
        self.problems = tuple(map(redacted, problems))
        super().__init__("; ".join(self.problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the user configured, checked."""

    connection_name: str
    auth_scheme: AuthScheme
    live_api_key: str = field(repr=False)
    """Empty with the scheme OAuth2, as the next three are with the scheme API Key."""
    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)
    oauth_access_token: str | None = field(repr=False)
    oauth_provider: OAuthProvider
    token_file: Path | None
    ledger_file: Path | None
    account_id: str | None
    since: int
    """Unix seconds: objects created before are not read; 0 for everything."""
    until: int | None
    """Unix seconds: objects created then or later are not read; None for up to now."""
    api_base: str
    connect_base: str
    requests_per_second: float | None
    endpoint_requests_per_second: float | None
    report_file: Path | None
    mutable_window_days: int
    discover_all: bool

    @property
    def test_mode(self) -> bool:
        """Whether the key is of test mode or of a sandbox; a token is of its client secret's."""
        return "_test_" in (self.live_api_key or self.client_secret)

    @property
    def elsewhere(self) -> list[str]:
        """Addresses that credentials are sent to and that are not Stripe's own."""
        sent = {self.api_base: API_BASE}
        if self.auth_scheme == OAUTH2 and self.oauth_provider == CONNECT:
            sent[self.connect_base] = CONNECT_BASE
        return [base for base, stripes in sent.items() if base != stripes]


def parse_settings(config: dict[str, Any], schema: Mapping[str, Any]) -> Settings:
    """The settings of `config`, in which defaults are filled in.

    Args:
        config: As the user gave it; None and empty strings count as not set and are removed.
        schema: `config_schema()`, with the SDK's own settings merged in.

    Raises:
        ConfigError: Something is missing or wrong. No message holds the value of a secret.
    """
    for name in [name for name, value in config.items() if _unset(value)]:
        del config[name]
    for name in NUMBERS & config.keys():
        if isinstance(config[name], str):  # as environment variables are
            with suppress(ValueError):
                config[name] = float(config[name])
    problems = [*_misspelt(config, schema), *_against_schema(config, schema)]
    if problems:
        raise ConfigError(*problems)
    checked = _Checked(config)
    key = checked.secret("live_api_key")
    settings = Settings(
        connection_name=str(config["connection_name"]),
        auth_scheme=cast("AuthScheme", config["auth_scheme"]),
        live_api_key=key,
        client_id=checked.secret("client_id"),
        client_secret=checked.secret("client_secret"),
        refresh_token=checked.secret("refresh_token"),
        oauth_access_token=checked.secret("oauth_access_token") or None,
        oauth_provider=cast("OAuthProvider", config["oauth_provider"]),
        token_file=checked.path("token_file"),
        ledger_file=checked.path("ledger_file"),
        account_id=checked.account_id(of_organization=key.startswith(ORGANIZATION_KEY)),
        since=max(checked.instant("start_date") or 0, 0),
        until=checked.instant("end_date"),
        api_base=checked.base("api_base"),
        connect_base=checked.base("connect_base"),
        requests_per_second=checked.rate("requests_per_second"),
        endpoint_requests_per_second=checked.rate("endpoint_requests_per_second"),
        report_file=checked.path("report_file"),
        mutable_window_days=int(config["mutable_window_days"]),
        discover_all=config["discover_all"],
    )
    checked.order()
    if checked.problems:
        raise ConfigError(*checked.problems)
    return settings


def secrets_of(config: Mapping[str, Any]) -> Iterator[str]:
    """Whatever may be secret in `config`, which nobody has checked yet.

    That is what secret settings hold, of whatever type, and settings that are nearly called so.
    """
    for name, value in config.items():
        near = name not in _PROPERTIES.wrapped and _near(name, SECRETS)
        if name in SECRETS or near:
            yield from _texts(value)


def _near(name: str, names: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(name, names, n=1, cutoff=0.7)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from (*_texts(name), *_texts(item))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif not (value is None or isinstance(value, bool)):
        yield str(value)


def unknown_settings(config: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Names in `config` that mean nothing to the tap."""
    return [name for name in config if name not in schema["properties"]]


def _unset(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _misspelt(config: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    for name in unknown_settings(config, schema):
        near = _near(name, schema["properties"])
        if near:
            yield f"There is no setting {name!r}; did you mean {near[0]!r}?"


_Validator: Final = extend_validator_with_defaults(DEFAULT_JSONSCHEMA_VALIDATOR)


def _against_schema(config: dict[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    for error in _Validator(schema).iter_errors(config):
        if error.validator != "oneOf":  # the titles beside an enum, which fails as well
            yield _described(error, config)


def _described(error: ValidationError, config: Mapping[str, Any]) -> str:
    """The library's messages hold the value, which may be a secret; these don't, for one."""
    name = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "required":
        missing = error.message.split("'")[1]
        scheme = str(config.get("auth_scheme", API_KEY))
        if not name and scheme in SCHEME_TITLES:
            return f"Setting {missing!r} is required by the auth scheme {SCHEME_TITLES[scheme]}"
        return f"Setting {f'{name}.{missing}' if name else missing!r} is required"
    shown = "" if name in SECRETS else f", not {error.instance!r}"
    expected: Any = error.validator_value
    if error.validator == "enum":
        return f"Setting {name!r} must be one of {', '.join(map(str, expected))}{shown}"
    if error.validator == "type":
        kinds = [expected] if isinstance(expected, str) else expected
        kinds = [kind for kind in kinds if kind != "null"]
        return f"Setting {name!r} must be of type {' or '.join(kinds)}{shown}"
    if error.validator == "exclusiveMinimum":
        return f"Setting {name!r} must be greater than {expected}{shown}"
    return f"Setting {name!r} has a value that it can't have"


_KINDS: Final[Mapping[str, str]] = {
    "sk_": "a secret key",
    "rk_": "a restricted key",
    "pk_": "a publishable key, which can't read",
    "whsec_": "a webhook's signing secret",
    "ca_": "an OAuth client id",
    "ac_": "an authorization code",
    "rt_": "a refresh token",
    "acct_": "an account's id",
}
"""What Stripe's things begin with."""

_WRONG_KINDS: Final[Mapping[str, tuple[frozenset[str], str]]] = {
    "live_api_key": (
        frozenset({"pk_", "whsec_", "ca_", "ac_", "rt_", "acct_"}),
        "use a secret (sk_…) or restricted (rk_…) key",
    ),
    "client_id": (
        frozenset({"sk_", "rk_", "pk_", "whsec_", "ac_", "rt_", "acct_"}),
        "use the client id (ca_…) of the platform or app",
    ),
    "client_secret": (
        frozenset({"pk_", "whsec_", "ca_", "ac_", "rt_", "acct_"}),
        "use the secret key (sk_…) of the platform or app",
    ),
    "refresh_token": (
        frozenset({"sk_", "rk_", "pk_", "whsec_", "ca_", "ac_", "acct_"}),
        "authorize the connection to get a refresh token",
    ),
    "oauth_access_token": (
        frozenset({"whsec_", "ca_", "ac_", "rt_", "acct_"}),
        "use an access token, or leave it out",
    ),
}
"""What people enter by mistake, and what to enter instead."""

SECRET_KEYS: Final = ("sk_live_", "sk_test_")
"""Beginnings of keys that may read everything."""

ORGANIZATION_KEY: Final = "sk_org_"
_DATE_HINT: Final = "a date (2024-01-31) or a date-time (2024-01-31T09:00:00Z)"


class _Checked:
    """What JSON Schema can't check; collects one line for each problem."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self.problems: list[str] = []

    def secret(self, name: str) -> str:
        """A secret of the configured scheme; empty if it isn't set, or of the other scheme."""
        if (name == "live_api_key") != (self._config["auth_scheme"] == API_KEY):
            return ""
        secret = str(self._config.get(name, "")).strip()
        wrong, instead = _WRONG_KINDS[name]
        for prefix in wrong:
            if secret.startswith(prefix):
                self.problems.append(f"Setting {name!r} is {_KINDS[prefix]}; {instead}")
        if secret and not re.fullmatch(r"[!-~]+", secret):
            self.problems.append(
                f"Setting {name!r} has a space or a character that no Stripe key or token has"
            )
        return secret

    def path(self, name: str) -> Path | None:
        text: str | None = self._config.get(name)
        if text is None:
            return None
        try:
            path = Path(text.strip()).expanduser()
        except RuntimeError:  # of a home that can't be found
            self.problems.append(f"Setting {name!r} begins with a user that has no home: {text}")
            return None
        if "\0" in text:
            self.problems.append(f"Setting {name!r} must be the path of a file, not {text!r}")
        return path

    def account_id(self, *, of_organization: bool) -> str | None:
        account: str | None = self._config.get("account_id")
        if account is None:
            if of_organization:
                self.problems.append(
                    "Setting 'account_id' is required with an organization key (sk_org_…)"
                )
            return None
        account = account.strip()
        form = r"acct_\w+(/acct_\w+)*" if of_organization else r"acct_\w+"
        if not re.fullmatch(form, account, re.ASCII):
            self.problems.append(
                f"Setting 'account_id' must be an account's id, acct_…, not {account!r}"
            )
        return account

    def rate(self, name: str) -> float | None:
        rate: float | None = self._config.get(name)
        if rate is not None and not math.isfinite(rate):  # JSON as Python reads it has them
            self.problems.append(f"Setting {name!r} must be a number of requests, not {rate}")
        return rate

    def instant(self, name: str) -> int | None:
        """Unix seconds, rounded up: `created` is in whole seconds."""
        text: str | None = self._config.get(name)
        if text is None:
            return None
        try:
            moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text.strip()))
        except ValueError:
            self.problems.append(f"Setting {name!r} must be {_DATE_HINT}, not {text!r}")
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return math.ceil(moment.timestamp())

    def order(self) -> None:
        since, until = self._config.get("start_date"), self._config.get("end_date")
        if self.problems or since is None or until is None:
            return
        if cast("int", self.instant("start_date")) >= cast("int", self.instant("end_date")):
            self.problems.append(
                f"Setting 'start_date' ({since}) must be before 'end_date' ({until})"
            )

    def base(self, name: str) -> str:
        base = str(self._config[name]).strip().rstrip("/")
        if not sound_address(base) or {"?", "#"} & set(base):
            shown = re.sub(r"(?s)(?<=//).*(?=@)", "…", base)  # a password may hold anything
            self.problems.append(
                f"Setting {name!r} must be an https URL (http only on loopback), such as "
                f"{config_schema()['properties'][name]['default']}, not {shown!r}"
            )
        return base


def sound_address(url: str) -> bool:
    """Whether secrets may go to a URL: https, or http on loopback."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # also of a port that is none
        return False
    if not parts.hostname or port == 0 or parts.username or parts.password:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and on_loopback(url))
