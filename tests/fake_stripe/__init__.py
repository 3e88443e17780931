"""The project's own Stripe: a server on loopback that behaves as Stripe's API does.

    with FakeStripe() as stripe:  # or livemode=True, secret_key=…, now=lambda: 1_700_000_000
        stripe.url, stripe.secret_key
        stripe.add("charges", {"amount": 500})  # the rest is made up, shaped by the catalogue
        stripe.seed("charges", 1000, since=1_700_000_000, until=1_710_000_000)
        stripe.add("invoice_line_items", {"amount": 500}, parent="in_…")
        stripe.objects("charges"), stripe.ids("charges")  # as served, newest first
        stripe.update("charges", "ch_…", {"paid": False})
        stripe.delete("customers", "cus_…")

Keys: `restricted_key({stripe.permission_for("charges")})`, `expired_key()`, `org_key()`,
`publishable_key()`, `allowlisted_key()`, `oauth_token(account)`, `refresh_token(account)`;
`add_account()` connects an account, whose own objects are added with `account=`.

Trouble: `fault("/v1/charges", "reset", times=2, after=3)`, `random_faults(seed=1, rate=0.05)`,
`disable("issuing_cards", "issuing")`, `latency`, `rates.per_second` and its siblings, and
`before_request`, a function that is called with each request before it is answered.

Afterwards: `requests` is the log, `list_pages("charges")` the pages that were served.

On the command line, `python -m tests.fake_stripe --help`.
"""

from __future__ import annotations

from tests.fake_stripe.request import Request
from tests.fake_stripe.server import FakeStripe

__all__ = ["FakeStripe", "Request"]
