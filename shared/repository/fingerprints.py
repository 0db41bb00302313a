"""What was compared field by field and found equal. The caller owns the transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection

from shared.objects.declaration import MirroredObject
from shared.repository import column_sql as sql
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


def row_hash(mirrored: MirroredObject) -> str:
    """Return the SQL of a hash of the row `o`: every mirrored column, of the items too, as sent.

    The server's own hashes of the values are too weak to tell of a change: that of a number leaves
    out the sign, those of times and whole numbers fold eight bytes to four, and in JSON two values
    that are exchanged or change together may cancel each other out, whatever the seed.
    """
    columns = [f'o."{column.name}"' for column in mirrored.columns]
    if (of := mirrored.items) is not None:
        items = _hash_of([f'i."{column.name}"' for column in of.columns], 20)
        columns.append(f"""(
                SELECT bit_xor({items})
                FROM stripe.{of.table} AS i
                WHERE i.{of.parent} = o.id
            )""")
    return _hash_of(columns, 12)


def _hash_of(values: Sequence[str], indent: int) -> str:
    """Return the hash of some values' bytes: 64 bits, begun with the seed."""
    inner, outer = " " * indent, " " * (indent - 4)
    return f"""hash_record_extended(
{inner}ROW(record_send(ROW({sql.listed(values, indent)}))),
{inner}%(seed)s::bigint
{outer})"""


def lookup() -> str:
    """Return the join that finds the fingerprint `f` of the row `o`, whose hash is `h.row_hash`.

    One for each row (LIMIT 1 makes the planner do so): where it knows nothing of a new table yet,
    it would read the whole of it for each window.
    """
    return """LEFT JOIN LATERAL (
    SELECT f.object_id, f.body_length, f.body_hash
    FROM stripe.fingerprints AS f
    WHERE f.object_id = o.id
        AND f.row_hash = h.row_hash
        AND o.missing_in_stripe_since IS NULL
        AND %(recall)s::boolean
    LIMIT 1
) AS f ON true"""
