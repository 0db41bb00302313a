"""Stripe as it answers: requests and their limits, objects, lists, events."""
