"""The demo against a real database and a real Stripe account: the same commands, no tampering."""

import sys
from collections.abc import Mapping

from sandbox import product
from sandbox.telling import heading, say, shell, show

CONSENT = "DEMO_REAL"
USAGE = 2


def is_wanted(environ: Mapping[str, str]) -> bool:
    """Both are named, here or in files. With one alone the demo stays in its private world."""
    return all(
        environ.get(name) or environ.get(f"{name}_FILE")
        for name in ("DATABASE_URL", "STRIPE_SECRET_KEY")
    )


def run(environ: Mapping[str, str]) -> int:
    """0 only if the last report shows no drift; 2 without consent."""
    say(
        """DATABASE_URL and STRIPE_SECRET_KEY are set, so this runs against your own database and
        your own Stripe account: `migrate` (makes or updates the schema `stripe`),
        `reconcile --report` (reads both), `reconcile` (writes what drifted, in the schema
        `stripe` only, within --max-repairs) and `reconcile --report` again. Stripe is only
        read."""
    )
    if environ.get(CONSENT) != "yes":
        print(
            f"\nNothing was done. To go on: {CONSENT}=yes make demo\n"
            "For the private demo instead: env -u DATABASE_URL -u STRIPE_SECRET_KEY make demo",
            file=sys.stderr,
        )
        return USAGE
    heading(1, "The tables")
    if _run(environ, "migrate", "--check") != 0 and (status := _run(environ, "migrate")) != 0:
        return status
    if environ.get("STRIPE_WEBHOOK_SECRET") or environ.get("STRIPE_WEBHOOK_SECRET_FILE"):
        heading(2, "Could the webhook serve?")
        if (status := _run(environ, "webhook", "--check")) != 0:
            return status
    heading(3, "What drifted? The report writes nothing")
    if (status := _run(environ, "reconcile", "--report")) != 0:
        return status
    heading(4, "The nightly run repairs it")
    if (status := _run(environ, "reconcile")) != 0:
        return status
    heading(5, "And again: no drift")
    return _run(environ, "reconcile", "--report", "--exit-code")


def _run(environ: Mapping[str, str], name: str, *arguments: str) -> int:
    shell(" ".join((name, *arguments)))
    done = product.run(name, *arguments, environ=environ, timeout=900.0)
    show(done.stdout)
    if done.returncode != 0:
        show(done.stderr)
    return done.returncode
