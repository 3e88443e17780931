"""Builds `tap_stripe_conn/catalogue/` from the source of the `stripe` package."""
