"""Stripe's endpoint: applies each subscription event once, whatever the order of arrival."""
