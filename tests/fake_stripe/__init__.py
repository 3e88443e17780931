"""The project's own Stripe: a server on loopback that behaves as Stripe's API does.

    with FakeStripe() as stripe:  # or livemode=True, secret_key=…, now=lambda: 1_700_000_000
        stripe.url, stripe.secret_key
        stripe.add("charges", {"amount": 500})  # the rest is made up, shaped by the catalogue
        stripe.seed("charges", 1000, since=1_700_000_000, until=1_710_000_000)
        stripe.seed_in_bulk("refunds", range(1_700_000_000, 1_702_000_000))  # millions, alike
    stripe.add("invoice_line_items", {"amount": 500}, parent="in_…")
        stripe.objects("charges"), stripe.ids("charges")  # as served, newest first
        stripe.update("charges", "ch_…", {"paid": False})
        stripe.delete("customers", "cus_…")
        stripe.add("prices", listed=False)  # no list shows it, but it can be retrieved
        stripe.retrieve("charges", "ch_…")
        stripe.truth("subscription_items")  # all there is: parent's id, object, whether listed

None of these is told by an event. What `stripe.life` does is, see tests/fake_stripe/life.py:

    life = stripe.life  # or stripe.life_of(account)
    life.create("customers", email="ada@example.com"), life.change("customers", "cus_…", name="Ada")
    life.delete("customers", "cus_…"), life.cancel("sub_…"), life.detach("pm_…")
    life.create("subscription_items", parent="sub_…")
    life.late = 20  # seconds until an event is listed
    chance = life.random(seed=1)  # an engine that has things happen
    chance.step(), chance.steps(1000)
    stripe.clock.advance(days=40), stripe.clock.stand_still()
    stripe.stubs.add("products")  # deleted ones can be retrieved, as `deleted: true`

Keys: `restricted_key({stripe.permission_for("charges")})`, whose refusals may lack parts
(`omits={"name", "code"}` or `{"body"}`), `expired_key()`, `org_key()`, `publishable_key()`,
`allowlisted_key()`, `other_mode_key()`; `add_account()` connects an account, whose own objects
are added with `account=`, and `disconnect(account)` ends that.

OAuth: by Connect, or by Stripe Apps with `path="/v1/oauth/token"`.

    stripe.refresh_token(account), stripe.oauth_token(account)  # granted, without a browser
    stripe.oauth.code(account, path)  # an authorization code, good for one exchange
    stripe.oauth.revoke(account)  # the user disconnects
    stripe.oauth.lifetime = 60  # seconds of Apps' access tokens, by `stripe.now`
    stripe.oauth.refresh_lifetime  # of Apps' refresh tokens: a year
    stripe.oauth.sends_expires_in = True  # Apps' answers don't have it, by default
    stripe.oauth.idempotent = False  # Apps' endpoint heeds Idempotency-Key, by default
    stripe.oauth.permissions = {…}  # of access tokens from now on; `omits` as for a key
    stripe.token_requests  # the requests to either token endpoint

The platform's `secret_key` is the client secret. The authorize pages, `/oauth/authorize` and
`/oauth/v2/authorize`, redirect at once: to one of `stripe.oauth.redirect_uris`, for
`stripe.oauth.client_id`, with a code of `stripe.oauth.consenting_account`, or an error when
`stripe.oauth.denies`.

Trouble: `fault("/v1/charges", "reset", times=2, after=3)`, `random_faults(seed=1, rate=0.05)`,
`disable("issuing_cards", "issuing")`, `latency`, `rates.per_second` and its siblings, and
`before_request`, a function that is called with each request before it is answered. Of a token
request, `reset`, `drop`, `truncated` and `not_json` lose the answer when the exchange is done, the
other faults come before it; `fault(…, when="before")`, `"during"` or `"after"` decides.

Afterwards: `requests` is the log, `list_pages("charges")` the pages that were served.

On the command line, `python -m tests.fake_stripe --help`.
"""

from __future__ import annotations

from tests.fake_stripe.request import Request
from tests.fake_stripe.server import FakeStripe

__all__ = ["FakeStripe", "Request"]
