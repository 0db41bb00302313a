"""Stripe's events: those that failed, those that never arrived, and how long payloads are kept."""
