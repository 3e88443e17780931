"""HTTP to Stripe; knows nothing of Singer."""
