"""How the changes of each stream are caught: from its event types, and what `overrides` adds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tap_stripe_conn.catalogue import overrides

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tap_stripe_conn.catalogue.resources import Changes, Resource


def with_changes(resources: Iterable[Resource], event_types: Iterable[str]) -> list[Resource]:
    """The same streams, each with how its changes are caught and what Stripe does not tell.

    Args:
        resources: The streams.
        event_types: All types of events.
    """
    kinds = sorted(event_types)
    found: dict[str, Resource] = {}
    for resource in sorted(resources, key=lambda resource: resource.parent is not None):
        changes = _changes(resource, found)
        found[resource.name] = replace(
            resource,
            changes=changes,
            told_of_creation=changes.startswith("feed") and _told_of_creation(resource),
            removals=tuple(kind for kind in _feed(resource) if _is_removal(kind)),
            mentioned_by={
                kind: field
                for prefix, field in overrides.MENTIONED.get(resource.name, {}).items()
                for kind in kinds
                if kind.startswith(prefix)
            },
            told_though_hidden=resource.name in overrides.TOLD_THOUGH_HIDDEN,
            on_test_clocks=resource.name in overrides.ON_TEST_CLOCKS,
            chosen_ids=resource.name in overrides.CHOSEN_IDS,
            untold=overrides.UNTOLD.get(resource.name, overrides.UNTOLD_OF.get(changes, "")),
        )
    return list(found.values())


def _changes(resource: Resource, found: Mapping[str, Resource]) -> Changes:
    if resource.name in overrides.CHANGES:
        return overrides.CHANGES[resource.name]
    told = bool(_feed(resource))
    if resource.parent and not (told and resource.retrieve):
        return "snapshot" if found[resource.parent.stream].changes == "snapshot" else "parent"
    if resource.singleton or not (told or resource.listed_by_time):
        return "snapshot"
    if not told:
        return "window"
    comes_in = _told_of_creation(resource) or resource.listed_by_time
    if comes_in and any(kind.endswith(".updated") for kind in resource.event_types):
        return "feed"
    return "feed_and_all" if resource.parent or not resource.listed_by_time else "feed_and_window"


def _feed(resource: Resource) -> tuple[str, ...]:
    """The types that come with `/v1/events`: events of API v2 are not read."""
    return resource.event_types if resource.api_mode == "v1" else ()


def _told_of_creation(resource: Resource) -> bool:
    if resource.name in overrides.CREATION_EVENTS:
        return bool(overrides.CREATION_EVENTS[resource.name])
    return any(kind.endswith(".created") for kind in _feed(resource))


def _is_removal(kind: str) -> bool:
    if kind == overrides.CANCELED:
        return False
    return kind.endswith(".deleted") or kind == overrides.DETACHED
