"""Which Stripe account and mode the database mirrors."""

from __future__ import annotations

from typing import Any, NamedTuple

from psycopg import Connection

from shared.repository.statement import statement


class Account(NamedTuple):
    """`id` is None until a key that may read the account has been seen."""

    id: str | None
    livemode: bool


def read_account(connection: Connection[Any]) -> Account | None:
    """Return the account that was claimed, None in a database nobody has written to."""
    row = _READ_ACCOUNT.execute(connection).fetchone()
    return None if row is None else Account(row[0], row[1])


_READ_ACCOUNT = statement(
    read_account,
    """
SELECT id, livemode FROM stripe.account WHERE singleton
""",
)


def claim_account(connection: Connection[Any], account: Account) -> Account:
    """Claim the database for an account unless somebody has, and return whose it is.

    An id that was unknown so far is filled in; nothing that is known is overwritten.
    """
    row = _CLAIM_ACCOUNT.execute(connection, account._asdict()).fetchone()
    assert row is not None
    return Account(row[0], row[1])


_CLAIM_ACCOUNT = statement(
    claim_account,
    """
INSERT INTO stripe.account AS a (id, livemode)
VALUES (%(id)s, %(livemode)s)
ON CONFLICT (singleton) DO UPDATE SET
    id = CASE WHEN a.livemode = EXCLUDED.livemode THEN coalesce(a.id, EXCLUDED.id) ELSE a.id END
RETURNING id, livemode
""",
)
