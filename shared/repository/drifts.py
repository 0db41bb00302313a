"""The differences that a run found. The caller owns the transaction; nothing here commits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from psycopg import Connection

from shared.differences import Fields

BATCH = 500


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


def record(connection: Connection[Any], run_id: str, rows: Sequence[DriftRow]) -> None:
    """Keep differences of a run; one that is looked at again replaces what was said of it."""
    connection.cursor().executemany(
        """
        INSERT INTO stripe.drifts (
            run_id, object, object_id, kind, consequence, fields, monthly_amount, ends_access,
            action, spooled, found_at
        )
        VALUES (
            %(run_id)s, %(object)s, %(object_id)s, %(kind)s, %(consequence)s, %(fields)s::jsonb,
            %(monthly_amount)s::jsonb, %(ends_access)s, %(action)s, %(spooled)s,
            to_timestamp(%(found_at)s)
        )
        ON CONFLICT (run_id, object, object_id) DO UPDATE SET
            kind = EXCLUDED.kind,
            consequence = EXCLUDED.consequence,
            fields = EXCLUDED.fields,
            monthly_amount = EXCLUDED.monthly_amount,
            ends_access = EXCLUDED.ends_access,
            action = EXCLUDED.action,
            spooled = EXCLUDED.spooled,
            found_at = EXCLUDED.found_at
        """,
        [
            {
                **msgspec.structs.asdict(row),
                "run_id": run_id,
                "fields": msgspec.json.encode(row.fields).decode(),
                "monthly_amount": msgspec.json.encode(row.monthly_amount).decode(),
            }
            for row in rows
        ],
    )


def read(
    connection: Connection[Any], run_id: str, *, pending_only: bool = False
) -> Iterator[list[DriftRow]]:
    """Yield a run's differences in batches, each in a statement of its own, in stable order."""
    after = ("", "")
    while True:
        rows = connection.execute(
            """
            SELECT object, object_id, kind, consequence, fields::text, monthly_amount::text,
                ends_access, action, spooled, extract(epoch FROM found_at)::bigint
            FROM stripe.drifts
            WHERE run_id = %(run_id)s
                AND (object, object_id) > (%(object)s, %(object_id)s)
                AND (action = 'pending' OR NOT %(pending_only)s)
            ORDER BY object, object_id
            LIMIT %(batch)s
            """,
            {
                "run_id": run_id,
                "object": after[0],
                "object_id": after[1],
                "pending_only": pending_only,
                "batch": BATCH,
            },
        ).fetchall()
        if not rows:
            return
        after = (rows[-1][0], rows[-1][1])
        yield [_row(*row) for row in rows]


def refuse_pending(connection: Connection[Any], run_id: str) -> None:
    """Note that nothing that waited for repair is written."""
    connection.execute(
        """
        UPDATE stripe.drifts SET action = 'refused', spooled = NULL
        WHERE run_id = %(run_id)s AND action = 'pending'
        """,
        {"run_id": run_id},
    )


def _row(  # noqa: PLR0913, PLR0917 (one parameter a column)
    object_: str,
    object_id: str,
    kind: str,
    consequence: str,
    fields: str,
    monthly_amount: str,
    ends_access: bool,
    action: str,
    spooled: bytes | None,
    found_at: int,
) -> DriftRow:
    return DriftRow(
        object=object_,
        object_id=object_id,
        kind=kind,
        consequence=consequence,
        fields=msgspec.json.decode(fields, type=dict[str, tuple[Any, Any]]),
        monthly_amount=msgspec.json.decode(monthly_amount, type=dict[str, int]),
        ends_access=ends_access,
        action=action,
        spooled=spooled,
        found_at=found_at,
    )
