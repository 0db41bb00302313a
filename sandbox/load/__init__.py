"""The product under load: whether everything is right."""
