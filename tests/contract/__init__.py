"""The project's own Stripe, judged by Stripe's official client."""
