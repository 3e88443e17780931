"""A stream: one resource as the SDK sees it, with its schema, state and rows."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from singer_sdk import Stream
from singer_sdk.helpers._catalog import pop_deselected_record_properties
from singer_sdk.helpers._util import utc_now
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.schema.source import SchemaDirectory
from singer_sdk.singerlib import Catalog, RecordMessage, Schema
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL
from typing_extensions import override

from tap_stripe_conn.api.lists import Listing
from tap_stripe_conn.catalogue import schemas
from tap_stripe_conn.streams.alone import read
from tap_stripe_conn.streams.bookmarks import Bookmark
from tap_stripe_conn.streams.plans import NO_PLAN, plan
from tap_stripe_conn.streams.rows import (
    DELETED_AT,
    UPDATED_AT,
    JsonRows,
    RowShaper,
    UnexpectedObjectError,
    rfc3339_of,
)
from tap_stripe_conn.streams.secrets import Secrets
from tap_stripe_conn.streams.tally import Tally
from tap_stripe_conn.streams.typed_rows import TypedRows

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence

    from singer_sdk.helpers.types import Context, Record
    from singer_sdk.mapper import StreamMap

    from tap_stripe_conn.api.client import Object
    from tap_stripe_conn.api.lists import Range
    from tap_stripe_conn.api.typed import Shown, TypedObject
    from tap_stripe_conn.catalogue.resources import Resource
    from tap_stripe_conn.streams.bookmarks import Position
    from tap_stripe_conn.streams.events import Change
    from tap_stripe_conn.streams.rows import Row
    from tap_stripe_conn.streams.source import Source
    from tap_stripe_conn.tap import TapStripeConn

SCHEMAS: Final = SchemaDirectory(schemas)

VERSION: Final = "version"
"""In the state of a whole read that is not finished: Singer's version of its rows."""


class StripeStream(Stream):
    """One resource of the catalogue.

    `begin` a run, hand what was read to `rows`, say with `unread` how far it is, and `finish`.
    """

    # Stripe's JSON is JSON already, and RowShaper gives it the schema's form.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE

    def __init__(self, tap: TapStripeConn, resource: Resource) -> None:
        """Set the stream up from its resource.

        Args:
            tap: The tap.
            resource: What of Stripe's the stream is.
        """
        self.resource = resource
        self._created_field = resource.created_field or ""
        schema = stream_schema(resource)
        if tap.config.get("flattening_enabled"):
            schema = flattenable(schema)
        super().__init__(tap, schema=schema, name=resource.name)
        self._stripe_tap = tap
        self.primary_keys = resource.primary_key
        self.replication_key = UPDATED_AT if resource.incremental else None
        self.plan = NO_PLAN
        """What this run reads, once it has begun."""

        self.tally = Tally()
        """What this run has done so far."""

        self.position: Position | None = None
        """What changes the rows that are written tell of."""

        self._unread: Sequence[Range] | None = None

    # A run

    def begin(self, source: Source, *, has_feed: bool = True) -> None:
        """Find out what is still to read.

        Args:
            source: What to read from.
            has_feed: Whether Stripe's events can be read.
        """
        self.plan = plan(
            self.resource,
            self.root.resource,
            source,
            self.tap_state.get("bookmarks", {}).get(self.name, {}),
            incremental=self.is_incremental,
            has_feed=has_feed,
        )
        self.tally.begin([*self.plan.walked, *self.plan.fresh])
        self.position = self.plan.position
        if not self.is_incremental and self._stream_version is None:
            self._stream_version = self._version(source)
        # Of a list that is read whole, state tells nothing until it is.
        self._unread = None if self.plan.whole else self.plan.pending
        if self.plan.repair:
            self.tally.repaired = self.plan.repair
            self.logger.warning("%s is read whole again: %s", self.name, self.plan.repair)

    def _version(self, source: Source) -> int | None:
        """What the rows of a whole read have in common; an interrupted one goes on with its own."""
        if not self.emit_activate_version_messages:
            return None
        begun = self.tap_state.get("bookmarks", {}).get(self.name, {}).get(VERSION)
        return begun if isinstance(begun, int) else source.settled

    def activate(self) -> None:
        """Tell the loader, if it is to know, that rows without this read's version are gone."""
        if self._stream_version is not None:
            self._write_activate_version_message(self._stream_version)
            if self._stripe_tap.ledger is not None:
                self._stripe_tap.ledger.replaced(self.name)

    def rows(
        self,
        objects: Iterable[Object],
        parent_id: str | None = None,
        *,
        at: int | None = None,
        changes: Mapping[str, Change] | None = None,
    ) -> list[Row]:
        """The rows of those objects that the settings ask for.

        Args:
            objects: As Stripe sent them.
            parent_id: For a child: whose children they are; None where their own field says so.
            at: For children: Unix seconds of their parent's last known change.
            changes: What is known of changes, by the object's id.

        Raises:
            UnexpectedObjectError: An object is of another kind.
        """
        parent = self.resource.parent
        column = None if parent is None or parent_id is None else parent.column
        if column not in self.shaper.columns:
            column = None
        rows: list[Row] = []
        for source in objects:
            self.recognize(source)
            if not self._is_wanted(source):
                continue
            row = self.shaper(source)
            if column is not None:
                row[column] = parent_id
            change = None if changes is None else changes.get(source.get("id", ""))
            updated = self._updated(source, at if change is None else change.at)
            if updated is not None and UPDATED_AT in self.shaper.columns:
                row[UPDATED_AT] = updated
            rows.append(row)
        return rows

    def typed_rows(self, decoded: Collection[str]) -> TypedRows | None:
        """What makes rows of pages with hardly a look at them.

        Args:
            decoded: Fields that somebody else looks into.

        Returns:
            None where somebody looks into the rows themselves: a stream map, a ledger, or a catalog
            that selects nested properties.
        """
        if not self._plain or self._deselects_nested or self._stripe_tap.ledger is not None:
            return None
        return TypedRows(self.shaper, self.resource, decoded=decoded)

    def json_rows(
        self, objects: Iterable[TypedObject], typed: TypedRows, changes: Mapping[str, Change]
    ) -> JsonRows:
        """As `rows`, of objects that were decoded by a type.

        Args:
            objects: As they were decoded.
            typed: What has decoded them.
            changes: What is known of changes, by the object's id.
        """
        wanted = [source for source in objects if self._is_wanted(source)]
        updated = {
            source["id"]: moment
            for source in (wanted if changes else ())
            if (change := changes.get(source["id"])) is not None
            and (moment := self._updated(source, change.at)) is not None
        }
        return typed.leave(wanted, updated)

    def removed_row(
        self, source: Object, at: int, api_version: str, parent_id: str | None = None
    ) -> Row | None:
        """The last known row of an object that is gone.

        Args:
            source: As it was last.
            at: Unix seconds of its end.
            api_version: Which `source` is rendered in.
            parent_id: For a child: whose it was.

        Returns:
            None for a row that was never to be written, or can't be told from a living one.
        """
        if DELETED_AT not in self.shaper.columns or not self._is_wanted(source):
            return None
        catalogue = self._stripe_tap.catalogue
        row = self.shaper.last(source, in_schema=api_version == catalogue.api_version)
        if self.resource.parent is not None and parent_id is not None:
            row[self.resource.parent.column] = parent_id
        if any(row.get(key) is None for key in self.resource.primary_key):
            return None
        if not self._plain:
            # A stream map may name any column, and what is gone may lack some.
            row = dict.fromkeys(sorted(self.shaper.columns)) | row
        row[DELETED_AT] = rfc3339_of(at)
        if UPDATED_AT in self.shaper.columns:
            row[UPDATED_AT] = row[DELETED_AT]
        return row

    def _updated(self, source: Shown, at: int | None) -> str | int | None:
        """The time of a change, if it is later than when the object was made."""
        created = None if at is None else self.created(source)
        return None if at is None or not (created is None or created < at) else rfc3339_of(at)

    def recognize(self, source: Object) -> None:
        """See that an object may be a row of the stream.

        Raises:
            UnexpectedObjectError: It is of another kind.
        """
        own_key = self.resource.primary_key[-1]
        if source.get("object") not in self.resource.objects or source.get(own_key) is None:
            raise UnexpectedObjectError(self._unexpected(source))

    def feed_ends(self, *, vouches: bool) -> None:
        """Learn whether events tell of all that was made since the run before."""
        if vouches:
            self.tally.spare(self.plan.fresh)
        elif self.plan.held_back:
            self.tally.begin([self.plan.wanted])
        self.plan = self.plan.vouched() if vouches else self.plan.unvouched()
        if self.plan.whole:
            self._unread = None

    def unread(self, spans: Sequence[Range]) -> None:
        """Move the bookmark: of the top-level list, all but `spans` has been written."""
        self.tally.unread(spans)
        self._unread = spans
        self._save()

    def changed_until(self, until: int, applied: Collection[str]) -> None:
        """Move the position: what events before `until` tell, and `applied`, has been written.

        Args:
            until: Unix seconds.
            applied: Ids of later events.
        """
        if self.position is not None:
            self.position = self.position.moved(until, applied)
            self._save()

    def finish(self) -> None:
        """Move the bookmark: all rows have been written."""
        self.unread([])

    def _save(self) -> None:
        if self._unread is None or (state := self.plan.state(self._unread)) is None:
            return
        if self.position is not None:
            state |= self.position.state()
        if self._stream_version is not None:
            state[VERSION] = self._stream_version
        # In one step: a signal between two would leave a state that says something else.
        self.tap_state.setdefault("bookmarks", {})[self.name] = state
        self.state_manager.is_flushed = False

    def conclude(self) -> None:
        """The run is over: of a whole read, state keeps where an incremental one can go on."""
        bookmarks = self.tap_state.get("bookmarks", {})
        state = bookmarks.get(self.name, {})
        if not state or "replication_key" in state:
            return
        bookmark = Bookmark.of(self.name, state)
        if bookmark is not None and self.resource.incremental and self.position is not None:
            bookmarks[self.name] = bookmark.state() | self.position.state()
        else:
            del bookmarks[self.name]
        self.state_manager.is_flushed = False

    @property
    def is_incremental(self) -> bool:
        """Whether a run after the first reads only what is new or may have changed."""
        return self.replication_method == REPLICATION_INCREMENTAL

    @property
    def shown_by(self) -> StripeStream:
        """The stream whose rows are read again when events tell of changes: this, or its parent."""
        return self if self.resource.changes.startswith("feed") else self.root

    @cached_property
    def shaper(self) -> RowShaper:
        """Makes rows with the columns that are selected."""
        catalogue = self._stripe_tap.catalogue
        deselected = {
            breadcrumb[1]
            for breadcrumb, selected in self.mask.items()
            if len(breadcrumb) == len(("properties", "name")) and not selected
        }
        not_in_catalog = self.schema["properties"].keys() - self.effective_schema["properties"]
        return RowShaper(
            self.schema,
            deselected=deselected | not_in_catalog,
            dropped=self.resource.secrets,
            secrets=Secrets(catalogue.secret_keys, catalogue.object_secrets),
            updated_from=self.resource.created_field,
        )

    @property
    def root(self) -> StripeStream:
        """The stream whose list leads to this one: its parent's, or itself."""
        parent = self.resource.parent
        return self if parent is None else self._stripe_tap.stripe_streams[parent.stream]

    def listing(
        self,
        path: str | None = None,
        params: Mapping[str, str] | None = None,
        *,
        expand: Iterable[str] = (),
    ) -> Listing:
        """The list that the stream reads.

        Args:
            path: A child's, with its parent's id in it.
            params: A child's, that name its parent.
            expand: Further fields to ask for, on behalf of the stream's children.
        """
        resource = self.resource
        return Listing(
            path=path or resource.path,
            endpoint=resource.path,
            cursor=resource.cursor,
            singleton=resource.singleton,
            page_size=resource.page_size,
            params={**resource.params, **(params or {})},
            expand=(*resource.expand, *expand),
            created_filter=resource.created_filter,
            created_field=resource.created_field,
        )

    def created(self, source: Shown) -> int | None:
        """When an object was made, in Unix seconds; None where it doesn't say."""
        created = source.get(self._created_field)
        if type(created) is str:  # API v2
            return _timestamp(created)
        return created if type(created) is int else None

    def _is_wanted(self, source: Shown) -> bool:
        created = None if self.resource.singleton else self.created(source)
        if created is None:
            return True
        for since, until in self.plan.spans:  # noqa: SIM110 - for each row, `any` takes twice as long
            if since <= created < until:
                return True
        return False

    def _unexpected(self, source: Object) -> str:
        return (
            f"Stripe sent an object of kind {source.get('object')!r} ({source.get('id')}) in the "
            f"list of {self.name}, where {' or '.join(self.resource.objects)} is expected"
        )

    def write_schema(self) -> None:
        """Write the SCHEMA message."""
        self._write_schema_message()

    def write_rows(self, rows: Sequence[Row] | JsonRows) -> int:
        """Write a RECORD message for each row, or as many as stream maps make of it.

        Returns:
            How many were written.
        """
        messages = self._stripe_tap.messages
        if isinstance(rows, JsonRows):
            messages.write_records(self._message({}, utc_now()), rows.encodable)
            return len(rows)
        with self._stripe_tap.telling(self.resource, rows):
            if self._plain:
                messages.write(self._plain_messages(rows))
                return len(rows)
            mapped = [each for row in rows for each in self._generate_record_messages(row)]
            messages.write(mapped)
            return len(mapped)

    def _plain_messages(self, rows: Iterable[Row]) -> Iterator[RecordMessage]:
        now = utc_now()
        for row in rows:
            if self._deselects_nested:
                pop_deselected_record_properties(row, self.schema, self.mask)
            yield self._message(row, now)

    def _message(self, row: Row, extracted: datetime) -> RecordMessage:
        return RecordMessage(self.name, row, self._stream_version, extracted)

    # What the SDK asks of a stream

    @override
    def get_records(self, context: Context | None) -> Iterator[Record]:
        """Read this stream alone, its parent's list included if it has one."""
        for batch in read(self, self._stripe_tap.source):
            yield from batch.rows
        self.conclude()

    @override
    def apply_catalog(self, catalog: Catalog) -> None:
        """Take selection and columns from a catalog; keys stay what Stripe makes them."""
        if entry := catalog.get_stream(self.name):
            entry.key_properties = self.resource.primary_key
            entry.replication_key = self.replication_key
            entry.schema = Schema.from_dict(self._narrowed_to(entry.schema.properties or {}))
        super().apply_catalog(catalog)
        if self.replication_key is None:
            self.forced_replication_method = None

    def _narrowed_to(self, columns: Collection[str]) -> dict[str, Any]:
        """The stream's schema with these columns, or all if none are named, and always its keys."""
        properties = self.schema["properties"]
        keys = {*self.resource.primary_key, UPDATED_AT, DELETED_AT}
        wanted = [name for name in properties if not columns or name in columns or name in keys]
        return {**self.schema, "properties": {name: properties[name] for name in wanted}}

    @property
    @override
    def stream_maps(self) -> list[StreamMap]:
        """What becomes of the rows; set up when asked for, if it was not before."""
        mapper = self._stripe_tap.mapper
        if self.name not in mapper.stream_maps:
            mapper.register_raw_streams_from_catalog(
                Catalog({self.name: self._singer_catalog_entry})
            )
        return super().stream_maps

    @override
    def _generate_record_messages(self, record: Record) -> Generator[RecordMessage, None, None]:
        if self._plain:
            yield from self._plain_messages([record])
        else:
            yield from super()._generate_record_messages(record)

    @cached_property
    def _plain(self) -> bool:
        """Whether rows leave as they are: no stream map, no flattening."""
        maps = self.stream_maps
        return (
            len(maps) == 1
            and type(maps[0]) is SameRecordTransform
            and not self.config.get("flattening_enabled")
        )

    @cached_property
    def _deselects_nested(self) -> bool:
        return any(
            not selected and len(breadcrumb) > len(("properties", "name"))
            for breadcrumb, selected in self.mask.items()
        )

    # The SDK's own bookkeeping looks at single rows; ours follows what was read.

    @override
    def _increment_stream_state(
        self, latest_record: Record, *, context: Context | None = None
    ) -> None:
        pass

    @override
    def _write_starting_replication_value(self, context: Context | None) -> None:
        pass

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        return None


def stream_schema(resource: Resource) -> dict[str, Any]:
    """JSON Schema of a stream's rows: Stripe's columns and the tap's own."""
    schema: dict[str, Any] = SCHEMAS.get_schema(resource.schema)
    properties = dict(schema["properties"])
    if resource.parent is not None:
        column = resource.parent.column
        properties[column] = {
            "description": f"Id of the row's parent in the stream {resource.parent.stream}.",
            **properties.get(column, {}),
            "type": ["string", "null"],
        }
    if resource.incremental:
        properties[UPDATED_AT] = _moment("Time of the last known change.")
        properties[DELETED_AT] = _moment("Time of its end, where the row is gone.")
    for key in resource.primary_key:
        properties[key] = {**properties[key], "type": ["string"]}
    return {**schema, "properties": properties}


def _moment(description: str) -> dict[str, Any]:
    return {"description": description, "format": "date-time", "type": ["string", "null"]}


def flattenable(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with which the SDK's flattening makes a column of JSON of each open object.

    It takes an object with an empty list of properties for one that has none, and gives it no
    column at all.
    """
    flat = {name: value for name, value in schema.items() if name != "properties" or value}
    if properties := flat.get("properties"):
        flat["properties"] = {name: flattenable(value) for name, value in properties.items()}
    return flat


def _timestamp(text: str) -> int | None:
    try:
        return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())
    except ValueError:
        return None
