"""The differences that a run found. The caller owns the transaction; nothing here commits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from psycopg import Connection

from shared.differences import Fields

BATCH = 500

LAST_WORD: Final = """
ON CONFLICT (run_id, object, object_id) DO UPDATE SET
    kind = EXCLUDED.kind,
    consequence = EXCLUDED.consequence,
    fields = EXCLUDED.fields,
    monthly_amount = EXCLUDED.monthly_amount,
    ends_access = EXCLUDED.ends_access,
    action = EXCLUDED.action,
    spooled = EXCLUDED.spooled,
    found_at = EXCLUDED.found_at
"""
"""How an INSERT of differences replaces what was said of the same object before."""


class DriftRow(msgspec.Struct, kw_only=True, frozen=True):
    """One difference as it is kept. `spooled` is opaque here; `found_at` in epoch seconds."""

    object: str
    object_id: str
    kind: str
    consequence: str
    fields: Fields
    monthly_amount: dict[str, int]
    ends_access: bool
    action: str
    spooled: bytes | None
    found_at: int


_decoder = msgspec.json.Decoder(list[DriftRow])


class Tally(NamedTuple):
    """So many differences with one action and one consequence; `monthly_amount` by currency."""

    object: str
    action: str
    consequence: str
    differences: int
    monthly_amount: dict[str, int]


def record(connection: Connection[Any], run_id: str, rows: Sequence[DriftRow]) -> None:
    """Keep differences of a run; one that is looked at again replaces what was said of it."""
    if not rows:
        return
    connection.execute(
        """
        INSERT INTO stripe.drifts (
            run_id, object, object_id, kind, consequence, fields, monthly_amount, ends_access,
            action, spooled, found_at
        )
        SELECT
            %(run_id)s, r.object, r.object_id, r.kind, r.consequence, r.fields, r.monthly_amount,
            r.ends_access, r.action, decode(r.spooled, 'base64'), to_timestamp(r.found_at)
        FROM json_to_recordset(%(rows)s::json) AS r(
            object text, object_id text, kind text, consequence text, fields jsonb,
            monthly_amount jsonb, ends_access boolean, action text, spooled text, found_at bigint
        )
        """
        + LAST_WORD,
        {"run_id": run_id, "rows": msgspec.json.encode(rows).decode()},
    )


def read(
    connection: Connection[Any],
    run_id: str,
    after: DriftRow | None = None,
    *,
    pending_only: bool = False,
    consequence: str | None = None,
) -> list[DriftRow]:
    """Return the next of a run's differences after this one, in stable order; none at the end.

    `consequence`: those of this one only.
    """
    found = connection.execute(
        """
        SELECT json_agg(d ORDER BY object, object_id)::text
        FROM (
            SELECT object, object_id, kind, consequence, fields, monthly_amount, ends_access,
                action, translate(encode(spooled, 'base64'), E'\\n', '') AS spooled,
                extract(epoch FROM found_at)::bigint AS found_at
            FROM stripe.drifts
            WHERE run_id = %(run_id)s
                AND (object, object_id) > (%(object)s, %(object_id)s)
                AND (action = 'pending' OR NOT %(pending_only)s)
                AND (consequence = %(consequence)s OR %(consequence)s::text IS NULL)
            ORDER BY object, object_id
            LIMIT %(batch)s
        ) AS d
        """,
        {
            "run_id": run_id,
            "object": after.object if after else "",
            "object_id": after.object_id if after else "",
            "pending_only": pending_only,
            "consequence": consequence,
            "batch": BATCH,
        },
    ).fetchone()
    assert found is not None
    # One text for all: a row of columns each, through psycopg, takes four times as long.
    return _decoder.decode(found[0] or "[]")


def count(connection: Connection[Any], run_id: str) -> list[Tally]:
    """Count a run's differences by object, action and consequence."""
    amounts: dict[tuple[str, str, str], dict[str, int]] = {}
    for *group, currency, amount in connection.execute(
        """
        SELECT object, action, consequence, currency, sum(amount::numeric)::text
        FROM stripe.drifts
        CROSS JOIN jsonb_each_text(monthly_amount) AS monthly(currency, amount)
        WHERE run_id = %(run_id)s
        GROUP BY object, action, consequence, currency
        """,
        {"run_id": run_id},
    ):
        amounts.setdefault((group[0], group[1], group[2]), {})[currency] = int(amount)
    rows = connection.execute(
        """
        SELECT object, action, consequence, count(*)
        FROM stripe.drifts
        WHERE run_id = %(run_id)s
        GROUP BY object, action, consequence
        ORDER BY object, action, consequence
        """,
        {"run_id": run_id},
    )
    return [
        Tally(object_, action, consequence, number, amounts.get((object_, action, consequence), {}))
        for object_, action, consequence, number in rows
    ]


def waiting(
    connection: Connection[Any], run_id: str, objects: Sequence[str], ids: Sequence[str]
) -> set[tuple[str, str]]:
    """Return the objects and ids of these of which a difference waits for its repair."""
    rows = connection.execute(
        """
        SELECT object, object_id
        FROM stripe.drifts
        WHERE run_id = %(run_id)s
            AND object = ANY(%(objects)s)
            AND object_id = ANY(%(ids)s)
            AND action = 'pending'
        """,
        {"run_id": run_id, "objects": list(objects), "ids": list(ids)},
    )
    return {(row[0], row[1]) for row in rows}


def settle(connection: Connection[Any], run_id: str, object_: str, object_id: str) -> None:
    """Note that a difference that waits is none: Stripe says by now what the row says."""
    connection.execute(
        """
        UPDATE stripe.drifts SET action = 'in_flight', spooled = NULL
        WHERE run_id = %(run_id)s AND object = %(object)s AND object_id = %(object_id)s
            AND action = 'pending'
        """,
        {"run_id": run_id, "object": object_, "object_id": object_id},
    )


def refuse_pending(connection: Connection[Any], run_id: str) -> None:
    """Note that nothing that waited for repair is written."""
    connection.execute(
        """
        UPDATE stripe.drifts SET action = 'refused', spooled = NULL
        WHERE run_id = %(run_id)s AND action = 'pending'
        """,
        {"run_id": run_id},
    )
