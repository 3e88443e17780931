"""Stripe's product areas: a page of the documentation each, and the streams that it describes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.catalogue.sdk import UnresolvedNameError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tap_stripe_conn.catalogue.resources import Resource


@dataclass(frozen=True)
class Area:
    """A page on the streams of one product area."""

    name: str
    """The page's file is `docs/streams/<name>.md`."""

    title: str

    streams: tuple[str, ...]
    """Names of streams, or the beginning of several followed by `*`."""


AREAS = (
    Area(
        "payments",
        "Payments",
        (
            "apple_pay_domains",
            "charges",
            "disputes",
            "forwarding_requests",
            "payment_attempt_records",
            "payment_intent*",
            "payment_method*",
            "payment_records",
            "refunds",
            "setup_*",
            "three_d_secure_authentications",
        ),
    ),
    Area("checkout", "Checkout", ("checkout_*", "payment_link*", "shipping_rates")),
    Area("customers", "Customers", ("customer*",)),
    Area(
        "products",
        "Products and prices",
        (
            "coupons",
            "entitlements_*",
            "plans",
            "prices",
            "product*",
            "promotion_codes",
            "v2_commerce_product_catalog_imports",
        ),
    ),
    Area(
        "billing",
        "Billing",
        ("billing_*", "credit_note*", "invoice*", "quote*", "subscription*", "test_clocks"),
    ),
    Area(
        "balance",
        "Balance and payouts",
        ("balance*", "exchange_rates", "payout*", "topups"),
    ),
    Area(
        "connect",
        "Connect",
        (
            "account*",
            "application_fee*",
            "apps_installs",
            "country_specs",
            "transfer*",
            "v2_core_account*",
        ),
    ),
    Area("tax", "Tax", ("tax_*",)),
    Area("issuing", "Issuing", ("issuing_*",)),
    Area(
        "treasury",
        "Treasury and money management",
        ("treasury_*", "v2_core_vault_*", "v2_money_management_*"),
    ),
    Area("terminal", "Terminal", ("terminal_*",)),
    Area(
        "risk",
        "Radar, Identity and Financial Connections",
        ("financial_connections_*", "identity_*", "radar_*", "reviews"),
    ),
    Area(
        "platform",
        "Events, files, reports and Climate",
        (
            "climate_*",
            "events",
            "file*",
            "reporting_*",
            "sigma_*",
            "v2_core_event*",
            "webhook_endpoints",
        ),
    ),
)


def by_area(resources: Iterable[Resource]) -> Mapping[Area, list[Resource]]:
    """The streams of each area, in order of name.

    Raises:
        UnresolvedNameError: A stream is in no area or in several, or an area names none.
    """
    found: dict[Area, list[Resource]] = {area: [] for area in AREAS}
    unused = {(area.name, name) for area in AREAS for name in area.streams}
    for resource in resources:
        places = [
            (area, name) for area in AREAS for name in area.streams if _means(name, resource.name)
        ]
        if len({area for area, _ in places}) != 1:
            msg = f"{resource.name} must be in one area, not {[area.name for area, _ in places]}."
            raise UnresolvedNameError(msg)
        found[places[0][0]].append(resource)
        unused -= {(area.name, name) for area, name in places}
    if unused:
        msg = f"Areas name {sorted(unused)}, which are no streams."
        raise UnresolvedNameError(msg)
    return found


def _means(name: str, stream: str) -> bool:
    return stream.startswith(name[:-1]) if name.endswith("*") else stream == name
