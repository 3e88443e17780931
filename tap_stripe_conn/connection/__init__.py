"""Who we are to Stripe: credentials and the connection test."""
