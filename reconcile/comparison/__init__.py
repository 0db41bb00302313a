"""Both sides of a window: what differs, and what a difference means for a customer."""
