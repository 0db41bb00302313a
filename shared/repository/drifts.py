"""The differences that a run found. The caller owns the transaction; nothing here commits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from psycopg import Connection, Cursor

from shared.objects.difference import Fields
from shared.repository.statement import statement

BATCH = 500

CONSEQUENCES: Final = ("leak", "lockout", "money", "cosmetic")
"""What a difference may do to a customer, the gravest first."""

LARGEST: Final = 2**63 - 1
"""No amount is larger."""

_MOST_OF_A_CURRENCY = 40


class Customer(msgspec.Struct, kw_only=True, frozen=True):
    """Whose object it is; e-mail and name None where nobody has them."""

    id: str
    email: str | None = None
    name: str | None = None


class DriftRow(msgspec.Struct, kw_only=True, frozen=True):
    """One difference as it is kept. `spooled` is opaque here; `found_at` in epoch seconds.

    `plans`: names of what it is for, where somebody has looked them up.

    Amounts a month in minor units by currency: `monthly_amount` is what is at stake, `before` what
    the database says of what differs, `after` what Stripe says; `not_computed`: what is not in
    them.
    """

    object: str
    object_id: str
    kind: str
    consequence: str
    fields: Fields
    customer: Customer | None = None
    plans: list[str] = []
    monthly_amount: dict[str, int]
    monthly_before: dict[str, int] = {}
    monthly_after: dict[str, int] = {}
    not_computed: list[str] = []
    ends_access: bool
    action: str
    spooled: bytes | None
    found_at: int

    @property
    def place(self) -> tuple[str, str, str]:
        """Where it stands in a report: before all whose place is larger. No two have the same.

        The gravest come first, then currency by currency (of several the first by name counts:
        there are no exchange rates here) the largest amount, then what has none; at last by id.
        """
        return f"{CONSEQUENCES.index(self.consequence)} {self._amount}", self.object, self.object_id

    @property
    def _amount(self) -> str:
        if not self.monthly_amount:
            return "~"
        currency = min(self.monthly_amount)
        # An index entry cannot be long, and only somebody else writes such a currency.
        most = LARGEST - self.monthly_amount[currency]
        return f"{currency[:_MOST_OF_A_CURRENCY]} {most:019d}"


_decoder = msgspec.json.Decoder(list[DriftRow])


def encode(rows: Sequence[DriftRow]) -> bytes:
    """Return differences as JSON."""
    return msgspec.json.encode(rows)


def decode(text: bytes | bytearray | str) -> list[DriftRow]:
    """Return the differences that JSON tells."""
    return _decoder.decode(text)


class Tally(NamedTuple):
    """So many differences of one kind, action and consequence; `monthly_amount` by currency.

    `partial`: of how many the amount is not the whole truth.
    """

    object: str
    kind: str
    action: str
    consequence: str
    differences: int
    monthly_amount: dict[str, int]
    partial: int = 0


def record(connection: Connection[Any], run_id: str, rows: Sequence[DriftRow]) -> None:
    """Keep differences of a run; one that is looked at again replaces what was said of it."""
    if not rows:
        return
    _RECORD.execute(
        connection,
        {
            "run_id": run_id,
            "rows": encode(rows).decode(),
            "places": msgspec.json.encode([row.place[0] for row in rows]).decode(),
        },
    )


_RECORD = statement(
    record,
    """
INSERT INTO stripe.drifts (
    run_id, object, object_id, kind, consequence, fields, customer_id, monthly_amount,
    monthly_before, monthly_after, not_computed, place, ends_access, action, spooled,
    found_at
)
SELECT
    %(run_id)s, r.object, r.object_id, r.kind, r.consequence, r.fields, r.customer ->> 'id',
    r.monthly_amount, r.monthly_before, r.monthly_after, r.not_computed, r.place,
    r.ends_access, r.action, decode(r.spooled, 'base64'), to_timestamp(r.found_at)
FROM ROWS FROM (
    json_to_recordset(%(rows)s::json) AS (
        object text, object_id text, kind text, consequence text, fields jsonb,
        customer json, monthly_amount jsonb, monthly_before jsonb, monthly_after jsonb,
        not_computed jsonb, ends_access boolean, action text, spooled text,
        found_at bigint
    ),
    json_array_elements_text(%(places)s::json)
) AS r(
    object, object_id, kind, consequence, fields, customer, monthly_amount, monthly_before,
    monthly_after, not_computed, ends_access, action, spooled, found_at, place
)
ON CONFLICT (run_id, object, object_id) DO UPDATE SET
    kind = EXCLUDED.kind,
    consequence = EXCLUDED.consequence,
    fields = EXCLUDED.fields,
    customer_id = EXCLUDED.customer_id,
    monthly_amount = EXCLUDED.monthly_amount,
    monthly_before = EXCLUDED.monthly_before,
    monthly_after = EXCLUDED.monthly_after,
    not_computed = EXCLUDED.not_computed,
    place = EXCLUDED.place,
    ends_access = EXCLUDED.ends_access,
    action = EXCLUDED.action,
    spooled = EXCLUDED.spooled,
    found_at = EXCLUDED.found_at
""",
)


_COLUMNS = """d.object,
        d.object_id,
        d.kind,
        d.consequence,
        d.fields,
        d.monthly_amount,
        d.monthly_before,
        d.monthly_after,
        d.not_computed,
        d.ends_access,
        d.action,
        translate(encode(d.spooled, 'base64'), E'\\n', '') AS spooled,
        extract(epoch FROM d.found_at)::bigint AS found_at"""
"""All but the customer."""


def pending(connection: Connection[Any], run_id: str, last: DriftRow | None) -> list[DriftRow]:
    """Return the next of what waits after this one, in stable order; none at the end."""
    return _read(
        _PENDING.execute(
            connection,
            {
                "run_id": run_id,
                "object": last.object if last else "",
                "object_id": last.object_id if last else "",
                "batch": BATCH,
            },
        )
    )


_PENDING = statement(
    pending,
    f"""
SELECT json_agg(r ORDER BY object, object_id)::text
FROM (
    SELECT
        {_COLUMNS},
        CASE WHEN d.customer_id IS NOT NULL THEN json_build_object('id', d.customer_id) END
            AS customer
    FROM stripe.drifts AS d
    WHERE d.run_id = %(run_id)s
        AND (d.object, d.object_id) > (%(object)s, %(object_id)s)
        AND d.action = 'pending'
    ORDER BY d.object, d.object_id
    LIMIT %(batch)s
) AS r
""",
)


def after(
    connection: Connection[Any],
    run_id: str,
    last: tuple[str, str, str] | None,
    consequence: str | None = None,
) -> list[DriftRow]:
    """Return a run's next differences after the place of one, as a report lists them.

    `consequence`: those of this one only. LIMIT 1 makes the planner look each customer up: else it
    may read the whole table for each batch. Each batch is a statement of its own, which may run
    twice: whoever reads a report may take a long time over it.
    """
    first, object_, object_id = last or ("", "", "")
    ranks = range(len(CONSEQUENCES)) if consequence is None else [CONSEQUENCES.index(consequence)]
    return _read(
        _AFTER.execute(
            connection,
            {
                "run_id": run_id,
                "place": first or str(ranks[0]),
                "object": object_,
                "object_id": object_id,
                "end": str(ranks[-1] + 1),
                "batch": BATCH,
            },
        )
    )


_AFTER = statement(
    after,
    f"""
SELECT json_agg(r ORDER BY place, object COLLATE "C", object_id COLLATE "C")::text
FROM (
    SELECT
        d.*,
        CASE WHEN d.customer_id IS NOT NULL
            THEN json_build_object('id', d.customer_id, 'email', c.email, 'name', c.name) END
            AS customer
    FROM (
        SELECT
        {_COLUMNS},
        d.customer_id,
        d.place
        FROM stripe.drifts AS d
        WHERE d.run_id = %(run_id)s
            AND (d.place, d.object COLLATE "C", d.object_id COLLATE "C")
                > (%(place)s::text, %(object)s::text, %(object_id)s::text)
            AND d.place < %(end)s::text
        ORDER BY d.place, d.object COLLATE "C", d.object_id COLLATE "C"
        LIMIT %(batch)s
    ) AS d
    LEFT JOIN LATERAL (
        SELECT c.email, c.name
        FROM stripe.customers AS c
        WHERE c.id = d.customer_id
        LIMIT 1
    ) AS c ON true
) AS r
""",
)


def _read(cursor: Cursor[Any]) -> list[DriftRow]:
    found = cursor.fetchone()
    assert found is not None
    # One text for all: a row of columns each, through psycopg, takes four times as long.
    return [] if found[0] is None else decode(found[0])


def count(connection: Connection[Any], run_id: str) -> list[Tally]:
    """Count a run's differences by object, kind, action and consequence."""
    amounts = _amounts(connection, run_id)
    rows = _COUNT.execute(connection, {"run_id": run_id})
    return [Tally._make((*row[:5], amounts.get(row[:4], {}), row[5])) for row in rows]


_COUNT = statement(
    count,
    """
SELECT
    object, kind, action, consequence,
    count(*),
    count(*) FILTER (WHERE not_computed <> '[]')
FROM stripe.drifts
WHERE run_id = %(run_id)s
GROUP BY object, kind, action, consequence
ORDER BY object, kind, action, consequence
""",
)


def _amounts(connection: Connection[Any], run_id: str) -> dict[tuple[str, ...], dict[str, int]]:
    """Add up a run's amounts by object, kind, action and consequence, and by currency."""
    amounts: dict[tuple[str, ...], dict[str, int]] = {}
    for *group, currency, amount in _AMOUNTS.execute(connection, {"run_id": run_id}):
        amounts.setdefault(tuple(group), {})[currency] = int(amount)
    return amounts


_AMOUNTS = statement(
    _amounts,
    """
SELECT object, kind, action, consequence, currency, sum(amount::numeric)::text
FROM stripe.drifts
CROSS JOIN jsonb_each_text(monthly_amount) AS monthly (currency, amount)
WHERE run_id = %(run_id)s
GROUP BY object, kind, action, consequence, currency
""",
)


def customers(connection: Connection[Any], ids: Sequence[str]) -> dict[str, Customer]:
    """Return the customers of these that the database knows, by id."""
    rows = _CUSTOMERS.execute(connection, {"ids": list(ids)})
    return {row[0]: Customer(id=row[0], email=row[1], name=row[2]) for row in rows}


_CUSTOMERS = statement(
    customers,
    """
SELECT id, email, name FROM stripe.customers WHERE id = ANY(%(ids)s)
""",
)


def waiting(
    connection: Connection[Any], run_id: str, objects: Sequence[str], ids: Sequence[str]
) -> set[tuple[str, str]]:
    """Return the objects and ids of these of which a difference waits for its repair."""
    rows = _WAITING.execute(
        connection, {"run_id": run_id, "objects": list(objects), "ids": list(ids)}
    )
    return {(row[0], row[1]) for row in rows}


_WAITING = statement(
    waiting,
    """
SELECT object, object_id
FROM stripe.drifts
WHERE run_id = %(run_id)s
    AND object = ANY(%(objects)s)
    AND object_id = ANY(%(ids)s)
    AND action = 'pending'
""",
)


def withdraw(connection: Connection[Any], run_id: str, object_: str, object_id: str) -> None:
    """Note that a difference that waits is none: Stripe says by now what the row says."""
    _WITHDRAW.execute(connection, {"run_id": run_id, "object": object_, "object_id": object_id})


_WITHDRAW = statement(
    withdraw,
    """
UPDATE stripe.drifts SET action = 'in_flight', spooled = NULL
WHERE run_id = %(run_id)s AND object = %(object)s AND object_id = %(object_id)s
    AND action = 'pending'
""",
)


def refuse_pending(connection: Connection[Any], run_id: str, objects: list[str]) -> None:
    """Note that nothing of these objects that waited for repair is written."""
    _REFUSE_PENDING.execute(connection, {"run_id": run_id, "objects": objects})


_REFUSE_PENDING = statement(
    refuse_pending,
    """
UPDATE stripe.drifts SET action = 'refused', spooled = NULL
WHERE run_id = %(run_id)s AND action = 'pending' AND object = ANY(%(objects)s)
""",
)
