"""The pages of the documentation that tell of streams, in Markdown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap_stripe_conn.catalogue import overrides
from tools.catalogue.areas import by_area
from tools.catalogue.entities import MAIN, entities
from tools.catalogue.permissions import EVENTS, SETS, Permissions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tap_stripe_conn.catalogue.resources import Changes, Resource
    from tools.catalogue.areas import Area
    from tools.catalogue.schemas import Schema

DOCS = Path("docs")
AREA_PAGES = DOCS / "streams"


@dataclass(frozen=True)
class Described:
    """All that there is to say of the streams."""

    api_version: str
    resources: Sequence[Resource]
    schemas: Mapping[str, Schema]
    """By the stem of the schema's file."""

    references: Mapping[str, Mapping[str, str]]
    """Stream -> dotted column -> stream that has the row."""


def pages(described: Described) -> dict[Path, str]:
    """The pages and their pictures: path from the root of the repository -> content.

    Raises:
        UnresolvedNameError: An area or a permission is given for what is no stream.
    """
    areas = by_area(described.resources)
    homes = {resource.name: area for area, found in areas.items() for resource in found}
    permissions = Permissions(described.resources)
    found = {
        DOCS / "streams.md": _overview(described, homes),
        DOCS / "permissions.md": _permissions(areas, permissions),
        DOCS / "entities.md": _entities(described, homes),
        DOCS / "entities.svg": entities(described.references),
    }
    for area, resources in areas.items():
        found[AREA_PAGES / f"{area.name}.md"] = _area(
            area, resources, described, homes, permissions
        )
    return found


WRITTEN = "This page is written by `python -m tools.catalogue`."


def _overview(described: Described, homes: Mapping[str, Area]) -> str:
    rows = [
        f"| {_link(each.name, homes, 'streams/')} | {homes[each.name].title} "
        f"| {_code(each.primary_key)} | {CHANGES[each.changes][0]} "
        f"| {_code([each.parent.stream] if each.parent else [])} |"
        for each in described.resources
    ]
    areas = dict.fromkeys(homes.values())
    return "\n".join(
        [
            "# Streams",
            "",
            f"{len(rows)} streams, as in Stripe's API version `{described.api_version}`.",
            WRITTEN,
            "",
            "| product area | |",
            "|---|---|",
            *[
                f"| [{area.title}](streams/{area.name}.md) "
                f"| {_code(n for n, home in homes.items() if home is area)} |"
                for area in sorted(areas, key=list(areas).index)
            ],
            "",
            "The page of an area says of each stream where it comes from, what reading it costs,",
            "which permission it takes, and all its columns in Stripe's words.",
            "[How they hang together](entities.md) is a picture.",
            "",
            "A stream with a parent is read with the rows of its parent, and its rows carry the",
            "parent's id.",
            "How the changes of rows are caught after a stream's first run, of which",
            "[Updates and deletions](changes.md) says more:",
            "",
            "| changes | how |",
            "|---|---|",
            *[f"| {short} | {meaning} |" for short, meaning in CHANGES.values()],
            "",
            "Events are those of `/v1/events`, which Stripe keeps for 30 days.",
            "The last days are those of the setting `mutable_window_days`, by rows' creation.",
            "Where events tell of no new rows, or not of all, each run also lists what is new.",
            "",
            "## Columns",
            "",
            "- Columns are Stripe's own.",
            "  Times at the top level become date-times in UTC; nested values stay as Stripe sends",
            "  them.",
            "- Amounts are whole numbers in the currency's smallest unit: cents for `usd`, yen for",
            "  `jpy`.",
            "- References to other objects are their ids.",
            "- Rows of a child stream carry their parent's id: an invoice's line has `invoice`.",
            "- Other columns that the tap adds begin with an underscore.",
            "  On all streams but the whole ones, `_updated_at` is the time of the last known",
            "  change, and `_sdc_deleted_at` of the end of a row that is gone.",
            "- Everything but the key may be null.",
            "- Schemas are three levels deep; what is deeper arrives as it is.",
            "- A new top-level field that Stripe adds before the tap knows it is left out and",
            "  named in the log.",
            "- Secrets are left out, however deep they are nested: card numbers, client secrets,",
            "  signing secrets.",
            "",
            "## All streams",
            "",
            "| stream | area | key | changes | parent |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "## What Stripe does not tell",
            "",
            "Changes that no event tells of, or none for sure.",
            "What is read again once a day, or whole, has them nevertheless:",
            "",
            "| stream | not told |",
            "|---|---|",
            *[f"| `{each.name}` | {each.untold} |" for each in described.resources if each.untold],
            "",
            "## What Stripe does not list",
            "",
            "Rows that these lists leave out:",
            "",
            "| stream | left out |",
            "|---|---|",
            *[f"| `{name}` | {what} |" for name, what in overrides.HIDDEN.items()],
            "",
            "Lists that are no streams:",
            "",
            "| Stripe's path | why |",
            "|---|---|",
            *[f"| `{path}` | {why} |" for path, why in overrides.LEFT_OUT.items()],
            "",
        ]
    )


CHANGES: Mapping[Changes, tuple[str, str]] = {
    "feed": ("events", "events tell of new, changed and deleted rows"),
    "feed_and_window": (
        "events, last days",
        "events tell of some changes; once a day the rows of the last days are read again",
    ),
    "feed_and_all": (
        "events, all",
        "events tell of some changes; once a day all rows are read again",
    ),
    "append_only": ("new rows", "rows never change: each run reads the new ones"),
    "window": (
        "new rows, last days",
        "no events: each run reads the new rows; once a day those of the last days again",
    ),
    "snapshot": ("whole", "each run reads all rows; what is gone comes no more"),
    "parent": (
        "with parent",
        "read with each row of the parent that is new, changed, read again, or named by events",
    ),
    "parent_and_all": ("with parent, all", "the same, and once a day all rows are read again"),
}
"""Class -> in short, and what it means."""


def _area(
    area: Area,
    resources: Sequence[Resource],
    described: Described,
    homes: Mapping[str, Area],
    permissions: Permissions,
) -> str:
    lines = [
        f"# {area.title}",
        "",
        f"{len(resources)} of the [streams](../streams.md), which says what the words here mean.",
        WRITTEN,
        "The descriptions are Stripe's.",
        "",
    ]
    for each in resources:
        references = described.references[each.name]
        lines += [f"## {each.name}", "", _prose(each.description), "", "| | |", "|---|---|"]
        lines += [f"| {name} | {value} |" for name, value in _facts(each, homes, permissions)]
        lines += ["", "| column | type | |", "|---|---|---|"]
        schema = described.schemas[each.schema]["properties"]
        if each.parent and each.parent.column not in schema:
            parent = f"The row of {_link(each.parent.stream, homes)} that it belongs to."
            lines.append(f"| `{each.parent.column}` | text | {parent} |")
        lines += [
            f"| `{name}` | {_type(definition)} | {_meaning(name, definition, references, homes)} |"
            for name, definition in schema.items()
        ]
        lines.append("")
    return "\n".join(lines)


def _facts(
    resource: Resource, homes: Mapping[str, Area], permissions: Permissions
) -> Iterable[tuple[str, str]]:
    yield "Stripe's path", f"`{resource.path}`"
    if resource.parent:
        yield "parent", f"{_link(resource.parent.stream, homes)}, by `{resource.parent.column}`"
    yield "key", _code(resource.primary_key)
    yield "changes", CHANGES[resource.changes][0]
    if resource.untold:
        yield "not told", resource.untold
    permission = permissions.of(resource.name)
    yield "permission", f"`{permission}`" if permission else "`--test` names it"
    yield "requests", _requests(resource)


def _requests(resource: Resource) -> str:
    """What reading the stream whole costs."""
    parent, rows = resource.parent, f"{resource.page_size} rows"
    if parent and parent.embedded:
        return f"none where the parent's row holds all; else one for {rows} of that parent"
    if parent:
        which = " that is automatic" if parent.where else ""
        more = f", and another for every {rows} more" if resource.cursor else ""
        return f"one for each row of the parent{which}{more}"
    if resource.cursor is None:
        return "one"
    return f"one for {rows}, " + (
        "several at once" if resource.listed_by_time else "one after the other"
    )


def _type(definition: Mapping[str, Any]) -> str:
    if definition.get("format") == "date-time":
        return "date-time"
    kinds = definition.get("type", [])
    named = [kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null"]
    return _TYPES[named[0]] if named else "anything"


_TYPES = {
    "array": "list",
    "boolean": "boolean",
    "integer": "integer",
    "number": "number",
    "object": "object",
    "string": "text",
}


def _meaning(
    name: str,
    definition: Mapping[str, Any],
    references: Mapping[str, str],
    homes: Mapping[str, Area],
) -> str:
    target = references.get(name) or references.get(f"{name}[]")
    link = f"→ {_link(target, homes)}" if target else ""
    return " ".join(filter(None, [_prose(definition.get("description", "")), link]))


def _permissions(areas: Mapping[Area, Sequence[Resource]], permissions: Permissions) -> str:
    sets = [_least(each.title, each.streams, permissions) for each in SETS]
    whole = [
        _least(
            f"[{area.title}](streams/{area.name}.md)", [each.name for each in found], permissions
        )
        for area, found in areas.items()
    ]
    head = ["| streams | permissions | and what `--test` names, for |", "|---|---|---|"]
    return "\n".join(
        [
            "# Permissions of a restricted key",
            "",
            WRITTEN,
            "",
            "A [restricted key](connections.md#api-key) needs **Read** for each kind of object",
            "that it is to extract, and nothing else.",
            f"`{EVENTS}` is always among them: [without it](changes.md#the-permission), each run",
            "reads whole what events would tell of, and deletions are not seen.",
            "",
            "These are the names of Stripe's",
            "[permissions reference](https://docs.stripe.com/keys/permissions-reference); its",
            "dashboard shows them as rows, such as *Charges and refunds*, and its refusals put",
            "`rak_` before them: `rak_charge_read`.",
            "For other streams no published name is known here; `tap-stripe-conn --test` shows the",
            "one that Stripe itself gives in its refusal.",
            "What a refusal names is right, also where it differs from this page: for accounts it",
            "may be `rak_accounts_kyc_basic_read`.",
            "",
            "## Sets of streams",
            "",
            *head,
            *sets,
            "",
            *[f"- {each.title}: {_code(each.streams)}" for each in SETS],
            "",
            "## Whole product areas",
            "",
            *head,
            *whole,
            "",
        ]
    )


def _least(title: str, streams: Sequence[str], permissions: Permissions) -> str:
    known, unknown = permissions.least(streams)
    return f"| {title} | {_code(known)} | {_code(unknown)} |"


def _entities(described: Described, homes: Mapping[str, Area]) -> str:
    rows = [
        f"| {_link(name, homes, 'streams/')} | `{column}` | {_link(target, homes, 'streams/')} |"
        for name in sorted(MAIN)
        for column, target in described.references[name].items()
    ]
    return "\n".join(
        [
            "# How streams hang together",
            "",
            WRITTEN,
            "",
            "The main streams, and the columns by which their rows name each other.",
            "A line goes from a column to the stream whose `id` it holds.",
            "",
            "![The main streams and their references](entities.svg)",
            "",
            "`balance_transactions` has one more, `source`: the id of what moved the money, a",
            "charge, refund, payout, transfer, dispute and so on.",
            "From each of those, `balance_transaction` leads back.",
            "",
            "All references of these streams, also those within objects (with a dot) and lists",
            "(`[]`):",
            "",
            "| stream | column | stream that has the row |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def _link(stream: str, homes: Mapping[str, Area], folder: str = "") -> str:
    return f"[`{stream}`]({folder}{homes[stream].name}.md#{stream})"


def _prose(text: str) -> str:
    """Stripe's words, so that Markdown takes none of them for its own."""
    parts = re.split(r"(`[^`]*`)", text.replace("|", "\\|"))
    return "".join(
        part if part.startswith("`") else re.sub(r"([*_<\[\]])", r"\\\1", part) for part in parts
    )


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
