"""The quickstart: a Stripe, the tap, a loader and a PostgreSQL in one command."""
