"""Which properties of Stripe's objects are secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_stripe_conn.catalogue.overrides import OBJECT_SECRETS, SECRET_KEYS

if TYPE_CHECKING:
    from tools.catalogue.sdk import SdkClass


def is_secret(cls: SdkClass, name: str) -> bool:
    """Whether a property of a class is a secret."""
    return name in SECRET_KEYS or name in OBJECT_SECRETS.get(cls.object_name or "", ())
