"""Which Stripe account and mode the database mirrors."""

from __future__ import annotations

from typing import Any, NamedTuple

from psycopg import Connection


class Account(NamedTuple):
    """`id` is None until a key that may read the account has been seen."""

    id: str | None
    livemode: bool


def read_account(connection: Connection[Any]) -> Account | None:
    """Return the account that was claimed, None in a database nobody has written to."""
    row = connection.execute("SELECT id, livemode FROM stripe.account WHERE singleton").fetchone()
    return None if row is None else Account(row[0], row[1])


def claim_account(connection: Connection[Any], account: Account) -> Account:
    """Claim the database for an account unless somebody has, and return whose it is.

    An id that was unknown so far is filled in; nothing that is known is overwritten.
    """
    row = connection.execute(
        """
        INSERT INTO stripe.account AS a (id, livemode)
        VALUES (%(id)s, %(livemode)s)
        ON CONFLICT (singleton) DO UPDATE SET id = coalesce(a.id, EXCLUDED.id)
            WHERE a.livemode = EXCLUDED.livemode
        RETURNING id, livemode
        """,
        {"id": account.id, "livemode": account.livemode},
    ).fetchone()
    if row is None:
        held = read_account(connection)
        assert held is not None
        return held
    return Account(row[0], row[1])
