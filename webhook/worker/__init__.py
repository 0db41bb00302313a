"""gunicorn's worker: whole requests are read without waiting for any sender."""
