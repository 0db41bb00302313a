"""Stripe's API: from a socket to an answer, with everything that can go wrong between."""
