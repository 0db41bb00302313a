"""Events on their way to an endpoint."""
