"""Which version of the product this is."""

from importlib import metadata


def version() -> str:
    """Return the installed version; "unknown" where the product runs without being installed."""
    try:
        return metadata.version("subscription-sync")
    except metadata.PackageNotFoundError:
        return "unknown"
