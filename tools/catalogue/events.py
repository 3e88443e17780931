"""Which API objects each event type tells of."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from tap_stripe_conn.catalogue.overrides import EVENT_OBJECTS
from tools.catalogue.attributes import Objects, parse
from tools.catalogue.sdk import UnresolvedNameError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tools.catalogue.sdk import Sdk, SdkClass


def v1_event_types(sdk: Sdk) -> tuple[str, ...]:
    """Every type of `/v1/events`, from the Literal of `Event.type`."""
    event = sdk.find("stripe._event", "Event")
    for statement in event.node.body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id="type"), annotation=annotation):
                return tuple(
                    node.value
                    for node in ast.walk(annotation)
                    if isinstance(node, ast.Constant) and isinstance(node.value, str)
                )
    msg = "stripe._event.Event has no `type`."
    raise UnresolvedNameError(msg)


def related_objects(sdk: Sdk) -> dict[str, tuple[str, ...]]:
    """Type of a thin event -> object names of what it relates to, none where there is nothing."""
    found = {}
    for module in sdk.modules("events/_v*_event.py"):
        for cls in module.classes.values():
            lookup = _lookup_type(cls)
            if lookup and any(isinstance(b, ast.Name) and b.id == "Event" for b in cls.node.bases):
                found[lookup] = _related(sdk, cls)
    return found


def event_objects(sdk: Sdk, object_names: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Event type -> names of the objects that it tells of.

    `overrides.EVENT_OBJECTS` goes first, by the longest prefix of the type; then what the class of
    the thin event says that it relates to; last the object whose name is the longest prefix.

    Args:
        sdk: The SDK's source.
        object_names: Names of the objects of all lists.

    Raises:
        UnresolvedNameError: A type is left without an object.
    """
    thin = related_objects(sdk)
    names = {name: (name,) for name in object_names}
    found: dict[str, tuple[str, ...]] = {}
    for event_type in v1_event_types(sdk):
        found[event_type] = (
            _by_prefix(event_type, EVENT_OBJECTS)
            or thin.get(f"v1.{event_type}")
            or _by_prefix(event_type, names)
        )
    for event_type, related in thin.items():
        if event_type.startswith("v2."):
            found[event_type] = related or _by_prefix(event_type, EVENT_OBJECTS)
    if lost := sorted(name for name, objects in found.items() if not objects):
        msg = f"No object is known for the events {lost}: add their prefix to EVENT_OBJECTS."
        raise UnresolvedNameError(msg)
    return found


def _by_prefix(event_type: str, prefixes: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    while "." in event_type:
        if event_type in prefixes:
            return prefixes[event_type]
        event_type = event_type.rpartition(".")[0]
    return prefixes.get(event_type, ())


def _lookup_type(cls: SdkClass) -> str | None:
    for statement in cls.node.body:
        match statement:
            case ast.Assign(
                targets=[ast.Name(id="LOOKUP_TYPE")], value=ast.Constant(value=str(lookup))
            ):
                return lookup
    return None


def _related(sdk: Sdk, cls: SdkClass) -> tuple[str, ...]:
    for method in cls.node.body:
        match method:
            case ast.FunctionDef(name="fetch_related_object", returns=ast.expr() as returns):
                form = parse(sdk, returns, cls)
                if isinstance(form, Objects):
                    return tuple(str(related.object_name) for related in form.classes)
    return ()
