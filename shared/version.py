"""The product's version, as it was installed."""

from __future__ import annotations


def version() -> str:
    """Return it, "unknown" where the product runs from a folder."""
    # Here, since few commands ask and reading it is a tenth of a start.
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("subscription-sync")
    except PackageNotFoundError:
        return "unknown"
