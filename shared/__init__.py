"""The repository layer under both containers."""
