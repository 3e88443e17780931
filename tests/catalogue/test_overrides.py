from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stripe import params as stripe_params

from tap_stripe_conn.catalogue import overrides
from tools.catalogue.endpoints import endpoints
from tools.catalogue.events import event_objects

if TYPE_CHECKING:
    from tap_stripe_conn.catalogue.resources import Catalogue
    from tools.catalogue.sdk import Sdk


def test_every_path_that_is_named_is_an_endpoint(sdk: Sdk) -> None:
    paths = endpoints(sdk).keys()
    named = {*overrides.LEFT_OUT, *overrides.SINGLETONS.values(), *overrides.NAMES}
    assert named <= paths


def test_every_stream_that_is_named_exists(catalogue: Catalogue) -> None:
    named = {
        *overrides.SINGLETONS,
        *overrides.NAMES.values(),
        *overrides.COMPOSITE_KEYS,
        *overrides.QUERY_PARENTS,
        *overrides.QUERY_PARENTS.values(),
        *overrides.PARENT_COLUMNS,
        *overrides.PARENT_PARAMS,
        *overrides.EMBEDDED,
        *overrides.EMBEDDED_BY_EXPAND,
        *overrides.CREATED_FIELDS,
        *overrides.DESCRIPTIONS,
        *overrides.PARAMS,
        *overrides.HIDDEN,
        *overrides.CHOSEN_IDS,
        *overrides.EXPAND,
        *overrides.EVENT_PREFIXES,
        *overrides.CHANGES,
        *overrides.CREATION_EVENTS,
        *overrides.UNTOLD,
    }
    assert named <= catalogue.resources.keys()


def test_what_events_tell_of_besides_the_list_is_said_to_be_left_out_by_it() -> None:
    assert overrides.HIDDEN.keys() >= overrides.TOLD_THOUGH_HIDDEN | overrides.ON_TEST_CLOCKS


def test_ids_are_the_users_choice_where_stripe_takes_one_to_create_an_object(
    catalogue: Catalogue,
) -> None:
    taken = set()
    for module in Path(str(stripe_params.__file__)).parent.glob("_*_create_params.py"):
        _, _, own = module.read_text("utf-8").partition("CreateParams(RequestOptions):\n")
        if "\n    id: " in f"\n{own}".partition("\nclass ")[0]:
            taken.add(module.stem.removeprefix("_").removesuffix("_create_params"))
    chosen = {name for name, each in catalogue.resources.items() if each.chosen_ids}
    assert {catalogue.resources[name].schema for name in chosen} == taken


def test_every_schema_that_is_named_is_used(catalogue: Catalogue) -> None:
    used = {resource.objects: resource.schema for resource in catalogue.resources.values()}
    for kinds, name in overrides.SCHEMA_NAMES.items():
        assert used[kinds] == name


def test_every_parameter_that_is_named_is_one_of_its_list(sdk: Sdk, catalogue: Catalogue) -> None:
    for stream, params in overrides.PARAMS.items():
        known = endpoints(sdk)[catalogue.resources[stream].path].parameters
        assert {name.partition("[")[0] for name in params} <= known.keys()


def test_only_lists_that_take_expand_are_asked_to(sdk: Sdk, catalogue: Catalogue) -> None:
    parents = {
        resource.parent.stream
        for resource in catalogue.resources.values()
        if resource.parent and resource.parent.embedded_by_expand
    }
    for stream in {*overrides.EXPAND, *parents}:
        assert "expand" in endpoints(sdk)[catalogue.resources[stream].path].parameters


def test_every_event_that_is_named_exists(sdk: Sdk, catalogue: Catalogue) -> None:
    listed = {name for resource in catalogue.resources.values() for name in resource.objects}
    objects = event_objects(sdk, listed)
    for prefix in overrides.EVENT_OBJECTS:
        assert any(f"{kind}.".startswith(f"{prefix}.") for kind in objects), prefix
    for prefixes in overrides.EVENT_PREFIXES.values():
        for prefix in prefixes:
            assert any(kind.startswith(prefix) for kind in objects), prefix
    assert {overrides.CANCELED, overrides.DETACHED} <= objects.keys()
    for stream, kinds in overrides.CREATION_EVENTS.items():
        assert set(kinds) <= set(catalogue.resources[stream].event_types)
    told = {name for names in objects.values() for name in names}
    assert told - listed == overrides.EVENTS_WITHOUT_STREAM.keys()
