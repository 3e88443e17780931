"""`python -m tap_stripe_conn`."""

from __future__ import annotations

from tap_stripe_conn.tap import TapStripeConn

TapStripeConn.cli()
