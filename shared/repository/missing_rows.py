"""Rows that the database lacks, and how they come in.

The caller owns the transaction; nothing here commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg import Connection

from shared.objects.declaration import MirroredObject
from shared.repository.drifts import place
from shared.repository.statements import statements


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """One row to insert, and what the report says of it.

    `one`: the object in Stripe's own shape, as `shape.prepare` leaves it. `as_of`: the interval in
    which it was true. Amounts in minor units by currency: what is at stake, and what Stripe says;
    `not_computed`: what is not in them.
    """

    one: Any
    as_of: tuple[int, int]
    consequence: str
    monthly_amount: dict[str, int]
    monthly_after: dict[str, int]
    not_computed: list[str]


class _Beside(msgspec.Struct):
    as_of_lower: int
    as_of_upper: int
    drift_consequence: str
    drift_monthly_amount: dict[str, int]
    drift_monthly_after: dict[str, int]
    drift_not_computed: list[str]
    drift_place: str


def insert(
    connection: Connection[Any],
    mirrored: MirroredObject,
    missing: Sequence[Missing],
    *,
    run_id: str,
    found_at: int,
) -> set[str]:
    """Insert rows with their items and changes, and keep each as a difference that is repaired.

    `run_id` is the story's, under which changes and differences are kept; `found_at` in epoch
    seconds. Returns the ids that somebody else has inserted since: of these nothing is written or
    kept. Raises psycopg.DataError or IntegrityError where one breaks a rule of the database.
    """
    beside = [
        _Beside(
            *one.as_of,
            one.consequence,
            one.monthly_amount,
            one.monthly_after,
            one.not_computed,
            place(one.consequence, one.monthly_amount),
        )
        for one in missing
    ]
    parameters = {
        "rows": msgspec.json.encode([one.one for one in missing]).decode(),
        "beside": msgspec.json.encode(beside).decode(),
        "run_id": run_id,
        "found_at": found_at,
    }
    return {row[0] for row in statements(mirrored).insert.execute(connection, parameters)}
