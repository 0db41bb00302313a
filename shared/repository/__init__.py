"""Every SQL statement of the product but the migrations; each stands beside its function."""
