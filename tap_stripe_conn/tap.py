"""The Singer face: settings, discovery, sync."""

from __future__ import annotations

import json
import logging
import time
import warnings
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, cast

from singer_sdk import Tap
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.helpers.capabilities import (
    EMIT_ACTIVATE_VERSION_CONFIG,
    PluginCapabilities,
    TapCapabilities,
)
from singer_sdk.singerlib import Catalog
from typing_extensions import override

from tap_stripe_conn import cli
from tap_stripe_conn.api.client import StripeClient
from tap_stripe_conn.api.errors import (
    AuthenticationError,
    ConnectionFailedError,
    CredentialsError,
)
from tap_stripe_conn.api.limits import CAUTION, ENDPOINT_RATE, LIVE_RATE, TEST_RATE, Limiter
from tap_stripe_conn.api.lists import Range
from tap_stripe_conn.catalogue.resources import load_catalogue
from tap_stripe_conn.config import (
    SECRET_KEYS,
    ConfigError,
    config_schema,
    parse_settings,
    secrets_of,
    unknown_settings,
)
from tap_stripe_conn.connection.auth import authenticator_for
from tap_stripe_conn.connection.check import (
    NO_ACCOUNT,
    Account,
    ConnectionUnavailableError,
    check_connection,
    reason,
)
from tap_stripe_conn.doctor import examine
from tap_stripe_conn.exit_codes import COMPLETE
from tap_stripe_conn.findings import Finding, Findings
from tap_stripe_conn.interrupts import Interrupts
from tap_stripe_conn.messages import Messages, WholeMessageWriter
from tap_stripe_conn.redaction import conceal, holds_secret
from tap_stripe_conn.report import Connection, Report, by_cause, joined
from tap_stripe_conn.run_report import Ending, RunRecord
from tap_stripe_conn.streams.bookmarks import Bookmark, Owner, Position
from tap_stripe_conn.streams.outcome import Outcome, Status
from tap_stripe_conn.streams.plans import DAY, is_fed
from tap_stripe_conn.streams.source import Source
from tap_stripe_conn.streams.stream import StripeStream
from tap_stripe_conn.sync import Sync

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import FrameType

    import click
    from singer_sdk.helpers.capabilities import CapabilitiesEnum

    from tap_stripe_conn.api.client import Authenticator
    from tap_stripe_conn.catalogue.resources import Catalogue, Resource
    from tap_stripe_conn.config import Settings
    from tap_stripe_conn.ledger.ledger import Ledger
    from tap_stripe_conn.streams.rows import Row


class TapStripeConn(Tap):
    """Every list that Stripe has, from one connection."""

    name = "tap-stripe-conn"
    package_name = "tap-stripe-conn"
    config_jsonschema: ClassVar[dict[str, Any]] = config_schema()
    message_writer_class = WholeMessageWriter
    # BATCH is not among them: the SDK's batches bypass the deselection of columns.
    capabilities: ClassVar[list[CapabilitiesEnum]] = [
        TapCapabilities.ACTIVATE_VERSION,
        TapCapabilities.CATALOG,
        TapCapabilities.DISCOVER,
        TapCapabilities.STATE,
        PluginCapabilities.ABOUT,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]

    @override
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """As the SDK's tap; nothing is sent yet."""
        self.interrupts = Interrupts()
        self.ledger: Ledger | None = None
        """Where to write down what was told, if anywhere."""
        with _quiet(self.logger):
            super().__init__(*args, **kwargs)

    # The connection

    @cached_property
    def settings(self) -> Settings:
        """What the user configured.

        Raises:
            ConfigError: It can't be used.
        """
        return parse_settings(self._config, self.config_jsonschema)

    @cached_property
    def catalogue(self) -> Catalogue:
        """What Stripe offers."""
        return load_catalogue()

    @property
    def user_agent(self) -> str:
        """What the tap calls itself."""
        return f"{self.name}/{self.plugin_version}"

    @cached_property
    def authenticator(self) -> Authenticator:
        """The credentials."""
        return authenticator_for(self.settings, user_agent=self.user_agent)

    @cached_property
    def limiter(self) -> Limiter:
        """What paces the requests to Stripe."""
        settings = self.settings
        usual = TEST_RATE if settings.test_mode else LIVE_RATE
        rate = settings.requests_per_second or usual
        return Limiter(
            rate=rate,
            endpoint_rate=settings.endpoint_requests_per_second or ENDPOINT_RATE,
            first_rate=max(usual, CAUTION * rate),
        )

    @cached_property
    def client(self) -> StripeClient:
        """The one session with Stripe."""
        return StripeClient(
            base=self.settings.api_base,
            auth=self.authenticator,
            limiter=self.limiter,
            api_version=self.catalogue.api_version,
            user_agent=self.user_agent,
        )

    def check_connection(self) -> Account:
        """Prove the credentials.

        Returns:
            The account that they open, as far as they may read of it.

        Raises:
            ConnectionUnavailableError: They can't be used.
        """
        settings = self.settings
        elsewhere = " and ".join(settings.elsewhere)
        try:
            account = check_connection(
                self.client, account_id=settings.account_id, scheme=settings.auth_scheme
            )
        except CredentialsError as error:
            raise ConnectionUnavailableError(str(error)) from error
        except ConnectionUnavailableError as error:
            if not elsewhere:
                raise
            msg = f"{error.reason} (asked {elsewhere}, which is not Stripe's own address)"
            raise ConnectionUnavailableError(msg) from error
        if elsewhere:
            self.logger.warning("The credentials go to %s, not to Stripe's own address", elsewhere)
        if account.id is None and settings.account_id is None:
            account = replace(account, id=self.authenticator.account)
        self.record.account = account
        return account

    @property
    def connection(self) -> Connection:
        """What is known of it, of the account once the credentials are proven."""
        return Connection.of(self.settings, self.record.account, self.catalogue.api_version)

    def examine(self) -> Report:
        """Test the connection: the credentials, then what they can read of the selected streams.

        Raises:
            ConfigError: No stream is selected.
            ConnectionUnavailableError: The credentials can't be used, or no longer.
        """
        streams = self._selected()
        account = self.check_connection()
        outcomes = self._examined(streams + self._also_needed(streams))
        if len(outcomes) > len(streams):
            self._tell_of_events(outcomes.pop(), streams)
        outcomes += self._unknown()
        outcomes.sort(key=lambda outcome: outcome.stream)
        return self.report(account, outcomes=outcomes)

    def _also_needed(self, streams: Sequence[StripeStream]) -> list[StripeStream]:
        """Stripe's events, where they tell of changes of these streams and may be closed."""
        if self.settings.live_api_key.startswith(SECRET_KEYS):
            return []  # may read everything
        fed = any(is_fed(each.resource, each.root.resource) for each in streams)
        return [self._events] if fed and "events" not in {each.name for each in streams} else []

    def _tell_of_events(self, events: Outcome, streams: Sequence[StripeStream]) -> None:
        if not events.closed:
            return
        fed = [each.name for each in streams if is_fed(each.resource, each.root.resource)]
        self.logger.warning(
            "Stripe's events, which tell of changes, can't be read (%s): each run reads %s whole "
            "again, and deletions are not seen",
            events.permission or events.reason,
            joined(fed, ", "),
        )

    def report(
        self,
        account: Account = NO_ACCOUNT,
        *,
        outcomes: Sequence[Outcome] = (),
        refusal: str | None = None,
    ) -> Report:
        """What a test of this connection found.

        Args:
            account: Which the credentials open.
            outcomes: Of the streams that were examined.
            refusal: Why the connection can't be used at all.
        """
        connection = Connection.of(self.settings, account, self.catalogue.api_version)
        return Report(connection=connection, outcomes=outcomes, refusal=refusal)

    def _examined(self, streams: Sequence[StripeStream]) -> list[Outcome]:
        try:
            return examine(streams, self.client)
        except (AuthenticationError, ConnectionFailedError, CredentialsError) as error:
            self.client.close()
            why = reason(error, self.settings.account_id, self.settings.auth_scheme)
            raise ConnectionUnavailableError(why) from error

    @cached_property
    def source(self) -> Source:
        """What this run reads from; its upper bound is frozen when this is first asked for."""
        by_stripe = self.client.now() + 1
        end = self.settings.until
        until = by_stripe if end is None else min(by_stripe, end)
        settled = min(by_stripe, int(time.time()) + 1)
        account = self.connection.account
        return Source(
            self.client,
            self.catalogue,
            Range(self.settings.since, until),
            settled,
            now=by_stripe,
            events=self._events,
            mutable_window=self.settings.mutable_window_days * DAY,
            owner=Owner(account.id or "", self.connection.mode or ""),
            opened=account.created,
        )

    @cached_property
    def _events(self) -> StripeStream:
        """Stripe's events, also where they can't be selected."""
        return StripeStream(self, self.catalogue.resources["events"])

    # Streams

    @override
    def discover_streams(self) -> Sequence[StripeStream]:
        """One stream for each resource of the catalogue."""
        return [StripeStream(self, resource) for resource in self.catalogue.resources.values()]

    @property
    @override
    def catalog_dict(self) -> dict[str, Any]:
        """The catalog as discovery prints it, which says how each stream's changes are caught."""
        document = super().catalog_dict
        for entry in document["streams"]:
            resource = self.catalogue.resources[entry["tap_stream_id"]]
            of_stream = next(each for each in entry["metadata"] if not each["breadcrumb"])
            of_stream["metadata"][f"{self.name}.changes"] = resource.changes
            if resource.untold:
                of_stream["metadata"][f"{self.name}.untold"] = resource.untold
        return document

    @property
    def stripe_streams(self) -> dict[str, StripeStream]:
        """All streams, by name."""
        return cast("dict[str, StripeStream]", self.streams)

    def leave_out_closed(self) -> None:
        """Forget the streams that these credentials can never read, and say which and why.

        In doubt a stream is kept; with the setting `discover_all` each is, and none is asked for.

        Raises:
            ConnectionUnavailableError: They can't read any, or the connection is lost.
        """
        if self.settings.discover_all:
            return
        outcomes = self._examined(list(self.stripe_streams.values()))
        left_out = [outcome for outcome in outcomes if outcome.closed]
        if len(left_out) == len(outcomes):
            raise ConnectionUnavailableError(self.report(outcomes=outcomes).reason or "")
        for outcome in left_out:
            del self.streams[outcome.stream]
        for why, names in by_cause(left_out).items():
            self.logger.warning("Left out of the catalog, %s: %s", why, ", ".join(names))
        for outcome in outcomes:
            if outcome.status is Status.FAILED:
                self.logger.warning(
                    "Stream %s is kept in doubt: %s", outcome.stream, outcome.reason
                )

    def sync(self) -> list[Outcome]:
        """Read the selected streams and write what they say.

        Raises:
            ConfigError: No stream is selected, or the ledger is of no use.
            ConnectionFailedError: Stripe can't be reached any more.
            AuthenticationError: The credentials were withdrawn meanwhile.
            CredentialsError: No access token can be had any more.
            OutputError: The messages can't be written any more.
        """
        streams = self._selected()
        unknown = self._unknown()
        for outcome in unknown:
            self.logger.warning("Stream %s is skipped: %s", outcome.stream, outcome.reason)
        self._tell_of_absent()
        self.logger.info(
            "Connection %s: reading %d streams of Stripe's API %s",
            self.settings.connection_name,
            len(streams),
            self.catalogue.api_version,
        )
        self.record.begin(streams, self.state.get("bookmarks", {}))
        run = Sync(
            streams,
            self.source,
            limiter=self.limiter,
            write_state=self._write_state,
            interrupts=self.interrupts,
        )
        try:
            with self._ledger_of(streams) as ledger:
                outcomes = run.run()
                if ledger is not None:
                    whole = [each.stream for each in outcomes if each.status is Status.COMPLETE]
                    ledger.finish(whole, self.source.span)
            return outcomes + unknown
        finally:
            self.record.outcomes = {
                **run.outcomes,
                **{outcome.stream: outcome for outcome in unknown},
            }

    @cached_property
    def record(self) -> RunRecord:
        """What is told of this run when it is over."""
        return RunRecord(
            self.settings,
            tap_version=self.plugin_version,
            api_version=self.catalogue.api_version,
        )

    def tell(self, ending: Ending) -> None:
        """Report on the run, which is over."""
        bookmarks = self.state.get("bookmarks", {})
        self.record.end(ending, bookmarks, self.client.traffic.by_endpoint())

    @contextmanager
    def _ledger_of(self, streams: Sequence[StripeStream]) -> Iterator[Ledger | None]:
        """Keep the ledger of a run, if there is to be one."""
        path = self.settings.ledger_file
        if path is None:
            yield None
            return
        with self._open_ledger(path, create=True) as ledger:
            ledger.begin(streams, self.state)
            self.ledger = ledger
            try:
                yield ledger
            finally:
                self.ledger = None

    @contextmanager
    def _open_ledger(self, path: Path, *, create: bool) -> Iterator[Ledger]:
        # Most runs have none.
        from tap_stripe_conn.ledger.file import open_file  # noqa: PLC0415
        from tap_stripe_conn.ledger.ledger import Ledger  # noqa: PLC0415

        whose = self.connection
        file = open_file(path, account=whose.account.id, mode=whose.mode, create=create)
        with closing(Ledger(path, file)) as ledger:
            yield ledger

    @contextmanager
    def telling(self, resource: Resource, rows: Sequence[Row]) -> Iterator[None]:
        """While rows leave: the ledger gets to know of them when they have left."""
        ledger = self.ledger
        # The messages may leave out what the rows have.
        entries = ledger.entries(resource, rows) if ledger is not None else ()
        yield
        if ledger is not None:
            ledger.told(entries)

    def _write_state(self) -> None:
        """Write a STATE message, when what it covers is in the ledger."""
        if self.ledger is not None:
            self.ledger.keep(self.state)
        self.state_writer.write_state(self.state)

    def verify(self, *, sample: int, seed: int) -> Findings:
        """Read a sample of what was told again, and compare it with the ledger; write nothing.

        Args:
            sample: About how many ids of each stream.
            seed: Of the choice.

        Raises:
            ConfigError: No stream is selected, or there is no ledger.
            ConnectionFailedError: Stripe can't be reached any more.
            ConnectionUnavailableError: The credentials can't be used.
            AuthenticationError: The credentials were withdrawn meanwhile.
            CredentialsError: No access token can be had any more.
        """
        from tap_stripe_conn.verify import verify  # noqa: PLC0415 - runs need none of it

        path = self.settings.ledger_file
        if path is None:
            msg = (
                "There is nothing to compare with: let the setting 'ledger_file' name a file, in "
                "which runs write down what they tell"
            )
            raise ConfigError(msg)
        streams = self._selected()
        self.check_connection()
        with self._open_ledger(path, create=False) as ledger:
            ledger.settle()
            findings = verify(
                streams,
                self.source,
                ledger,
                self.state or None,
                events=self.stripe_streams["events"],
                limiter=self.limiter,
                sample=sample,
                seed=seed,
            )
        findings += [Finding(outcome) for outcome in self._unknown()]
        findings.sort(key=lambda finding: finding.stream)
        return Findings(path, sample, seed, findings)

    def _selected(self) -> list[StripeStream]:
        streams = [stream for stream in self.stripe_streams.values() if stream.selected]
        if not streams and not self._unknown():
            msg = "The catalog selects no stream"
            raise ConfigError(msg)
        return streams

    def _tell_of_absent(self) -> None:
        """Say what a run before has read and the catalog doesn't know: it may have been closed."""
        listed = self.input_catalog or self.streams
        known = self.state.get("bookmarks", {}).keys() & self.catalogue.resources
        if absent := ", ".join(sorted(known - listed.keys())):
            self.logger.warning("Read by a run before, but no longer in the catalog: %s", absent)

    def _unknown(self) -> list[Outcome]:
        """What becomes of selected streams that this version does not know."""
        return [
            Outcome(name, Status.FAILED, "this version has no such stream")
            for name, entry in (self.input_catalog or Catalog()).items()
            if name not in self.streams and entry.metadata.root.selected
        ]

    @property
    def messages(self) -> Messages:
        """What messages are written with."""
        return Messages(self.message_writer)

    # The SDK's hooks

    @override  # type: ignore[misc] # final for type checkers; the SDK's writes before it proves
    def sync_all(self) -> None:
        """As the command does, for programs that run the tap themselves.

        Raises:
            ConnectionUnavailableError: Before anything is written.
        """
        cli.run(self)

    @override  # type: ignore[misc] # final for type checkers; the SDK's writes before it proves
    def run_connection_test(self) -> bool:
        """Examine the connection as `--test` does, and write nothing.

        Returns:
            Whether all of it is well.

        Raises:
            ConnectionUnavailableError: The credentials can't be used.
        """
        return self.examine().exit_code == COMPLETE

    @override
    def setup_mapper(self) -> None:
        """Set up the stream maps of what is selected, where there are any.

        Else each stream does so when it first writes: for all of them it takes half a second.
        """
        streams = self.streams  # which completes the catalog
        super(Tap, self).setup_mapper()
        if not self.config.get("stream_maps"):
            return
        for name, entry in self.catalog.items():
            if name in streams and streams[name].selected:
                self.mapper.register_raw_streams_from_catalog(Catalog({name: entry}))

    @classmethod
    @override
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        """Add the SDK's settings, also that of ACTIVATE_VERSION, which it heeds but leaves out."""
        super().append_builtin_config(config_jsonschema)
        known = config_jsonschema["properties"]
        for name, setting in EMIT_ACTIVATE_VERSION_CONFIG["properties"].items():
            known.setdefault(name, setting)

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        conceal(*secrets_of(self._config))
        self.append_builtin_config(self.config_jsonschema)
        try:
            _ = self.settings
        except ConfigError as error:
            if raise_errors:
                msg = "Config validation failed"
                raise ConfigValidationError(
                    msg, errors=list(error.problems), schema=self.config_jsonschema
                ) from None
            return list(error.problems)
        for name in unknown_settings(self._config, self.config_jsonschema):
            self.logger.warning("There is no setting %r: it is ignored", name)
        return []

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        """Take over the state of the run before.

        Raises:
            ConfigError: It is not a Singer state, or holds a secret, which would go out again.
        """
        if holds_secret(json.dumps(state, default=str)):
            msg = "The state holds a secret, such as a key; remove it"
            raise ConfigError(msg)
        bookmarks: object = state.get("bookmarks", {})
        if not isinstance(bookmarks, dict) or not all(
            isinstance(bookmark, dict) for bookmark in bookmarks.values()
        ):
            msg = 'The state must be an object like {"bookmarks": {"<stream>": {…}}}'
            raise ConfigError(msg)
        for name in bookmarks.keys() & self.catalogue.resources:
            Bookmark.of(name, bookmarks[name])
            Position.of(name, bookmarks[name])
        super().load_state(state)

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        self.interrupts.arrive(signum)

    # The command

    @override
    @classmethod
    def get_singer_command(cls) -> click.Command:
        """The command line, as in `cli`."""
        return cli.command(cls, super().get_singer_command())


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Without the SDK's remarks on how it looks for settings, and on the age of Python."""
    level = logger.level
    logger.setLevel(max(level, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Python \S+ reached its end of life")
            yield
    finally:
        logger.setLevel(level)
