"""Where secrets are in Stripe's objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_stripe_conn.catalogue.overrides import SECRET_KEYS, SECRETS
from tools.catalogue.attributes import (
    Anything,
    Array,
    Expandable,
    Map,
    Objects,
    Page,
    Scalar,
    attributes,
)

if TYPE_CHECKING:
    from tools.catalogue.attributes import Form
    from tools.catalogue.sdk import Sdk, SdkClass


class SecretFinder:
    """Knows which properties are secret, and which lead to one."""

    def __init__(self, sdk: Sdk) -> None:
        """Nothing is read before it is asked for."""
        self._sdk = sdk
        self._leads: dict[SdkClass, bool] = {}

    def is_secret(self, cls: SdkClass, name: str) -> bool:
        """Whether a property of a class is a secret itself."""
        return name in SECRET_KEYS or name in SECRETS.get(cls.object_name or "", ())

    def leads_to_secret(self, form: Form) -> bool:
        """Whether a secret may occur below a value, at any depth.

        Expandable fields count as the objects that they may become, and values whose content the
        SDK does not know (`event.data.object`) as objects of every kind.
        """
        match form:
            case Scalar():
                return False
            case Anything():
                return True
            case Array(items=inner) | Page(items=inner) | Map(values=inner):
                return self.leads_to_secret(inner)
            case Objects(classes=classes) | Expandable(classes=classes):
                return any(self._class_leads(cls) for cls in classes)

    def reachable(self, start: SdkClass) -> set[SdkClass]:
        """A class with all classes that its objects may hold, at any depth."""
        reached, waiting = {start}, [start]
        while waiting:
            for attribute in attributes(self._sdk, waiting.pop()).values():
                new = set(_classes(attribute.form)) - reached
                reached |= new
                waiting.extend(new)
        return reached

    def _class_leads(self, cls: SdkClass) -> bool:
        if cls not in self._leads:
            reached = self.reachable(cls)
            self._leads[cls] = any(self._has_secret(found) for found in reached)
        return self._leads[cls]

    def _has_secret(self, cls: SdkClass) -> bool:
        found = attributes(self._sdk, cls)
        return bool(SECRET_KEYS & found.keys()) or any(
            _holds_anything(attribute.form) for attribute in found.values()
        )


def _classes(form: Form) -> tuple[SdkClass, ...]:
    match form:
        case Array(items=inner) | Page(items=inner) | Map(values=inner):
            return _classes(inner)
        case Objects(classes=classes) | Expandable(classes=classes):
            return classes
    return ()


def _holds_anything(form: Form) -> bool:
    match form:
        case Anything():
            return True
        case Array(items=inner) | Page(items=inner) | Map(values=inner):
            return _holds_anything(inner)
    return False
