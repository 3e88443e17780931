"""What Stripe offers: generated data and a short file of hand-written facts."""
