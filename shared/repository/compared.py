"""When all objects of a kind were last compared with Stripe's. The caller owns the transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg import Connection

from shared.objects.declaration import MirroredObject
from shared.repository import column_sql as sql
from shared.repository.progress import Progress
from shared.repository.statement import statement

_decoder = msgspec.json.Decoder(Progress)


def is_history(mirrored: MirroredObject, ended: str) -> str:
    """Return the condition of `shared.truth.is_history`; `ended`: SQL of the event's end (epoch).

    NULL is no event's end: what is written then is an answer of Stripe's.
    """
    return f"""EXISTS (
            SELECT FROM stripe.compared AS c
            WHERE c.object = '{mirrored.name}' AND c.began >= to_timestamp({ended})
        )"""


def began(mirrored: MirroredObject) -> str:
    """Return the SQL of when the latest comparison of such objects began, in epoch seconds."""
    return f"""(
        SELECT {sql.seconds_after("c.began")}
        FROM stripe.compared AS c
        WHERE c.object = '{mirrored.name}'
    )"""


def remember(connection: Connection[Any], names: Sequence[str], began: int) -> None:
    """Keep that a comparison of these objects begins now (epoch, Stripe's clock)."""
    _REMEMBER.execute(connection, {"names": list(names), "began": began})


_REMEMBER = statement(
    remember,
    """
INSERT INTO stripe.compared (object, began)
SELECT name, to_timestamp(%(began)s::bigint) FROM unnest(%(names)s::text[]) AS name
ON CONFLICT (object) DO UPDATE SET began = EXCLUDED.began
""",
)


def names(connection: Connection[Any]) -> set[str]:
    """Return the names of the objects of which a comparison ever began."""
    return {row[0] for row in _NAMES.execute(connection)}


_NAMES = statement(
    names,
    """
SELECT object FROM stripe.compared
""",
)


def still_new(connection: Connection[Any], scope: str) -> Progress:
    """Return what is new after the last run of this scope: what no run has compared to its end.

    `planned` says of which of these objects the database held none before the first try.
    """
    row = _STILL_NEW.execute(connection, {"scope": scope}).fetchone()
    last = _decoder.decode(row[0]) if row else Progress()
    held_none = [name for name, planned in last.planned.items() if planned is None]
    return Progress(new=last.new, planned={name: None for name in held_none if name in last.new})


_STILL_NEW = statement(
    still_new,
    """
SELECT json_build_object('new', new_objects, 'planned', planned)::text
FROM stripe.runs
WHERE scope = %(scope)s AND outcome IS NOT NULL
ORDER BY started_at DESC
LIMIT 1
""",
)


def writers(connection: Connection[Any], tables: Sequence[str]) -> set[str]:
    """Return who is writing to these tables: the virtual ids of transactions.

    A statement takes this lock before it begins to read. So whoever does not hold it now has ended,
    or will read what is committed by now.
    """
    return {row[0] for row in _WRITERS.execute(connection, {"tables": list(tables)})}


_WRITERS = statement(
    writers,
    """
SELECT virtualtransaction
FROM pg_locks
WHERE locktype = 'relation'
    AND mode = 'RowExclusiveLock'
    AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND relation IN (
        SELECT oid
        FROM pg_class
        WHERE relnamespace = 'stripe'::regnamespace AND relname = ANY(%(tables)s::text[])
    )
    AND pid <> pg_backend_pid()
""",
)
