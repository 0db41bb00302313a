"""What was compared field by field and found equal. The caller owns the transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection

from shared.repository.statement import statement


class Fingerprint(NamedTuple):
    """A row and a body that are equal, as hashes; `body_length` in bytes."""

    object_id: str
    row_hash: int
    body_length: int
    body_hash: int


def read_salt(connection: Connection[Any]) -> int:
    """Return the database's own salt; 0 where nobody has claimed it, and so nothing is known."""
    row = _READ_SALT.execute(connection).fetchone()
    return 0 if row is None else int(row[0])


_READ_SALT = statement(
    read_salt,
    """
SELECT fingerprint_salt FROM stripe.account WHERE singleton
""",
)


def remember(connection: Connection[Any], found: Sequence[Fingerprint]) -> None:
    """Keep what was found equal, in place of what was known of the same objects.

    An object that stands in it twice is kept once.
    """
    if found:
        _REMEMBER.execute(connection, {"found": msgspec.json.encode(found).decode()})


_REMEMBER = statement(
    remember,
    """
INSERT INTO stripe.fingerprints (object_id, row_hash, body_length, body_hash)
SELECT DISTINCT ON (f ->> 0)
    f ->> 0, (f ->> 1)::bigint, (f ->> 2)::integer, (f ->> 3)::bigint
FROM json_array_elements(%(found)s::json) AS f
ON CONFLICT (object_id) DO UPDATE SET
    row_hash = EXCLUDED.row_hash,
    body_length = EXCLUDED.body_length,
    body_hash = EXCLUDED.body_hash
WHERE (fingerprints.row_hash, fingerprints.body_length, fingerprints.body_hash)
    IS DISTINCT FROM (EXCLUDED.row_hash, EXCLUDED.body_length, EXCLUDED.body_hash)
""",
)
