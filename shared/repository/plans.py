"""What subscriptions are for, by the names of their products. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg import Connection

from shared.repository.statement import statement

_decoder = msgspec.json.Decoder(dict[str, list[str]])


def read_plans(connection: Connection[Any], ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the names of the products of these subscriptions, as far as the database knows."""
    row = _READ_PLANS.execute(connection, {"ids": msgspec.json.encode(ids).decode()}).fetchone()
    assert row is not None
    return _decoder.decode(row[0] or "{}")


_READ_PLANS = statement(
    read_plans,
    """
SELECT json_object_agg(subscription_id, names)::text
FROM (
    SELECT i.subscription_id, array_agg(DISTINCT p.name ORDER BY p.name) AS names
    FROM stripe.subscription_items AS i
    JOIN stripe.products AS p ON p.id = i.product_id
    WHERE i.subscription_id = ANY(ARRAY(SELECT json_array_elements_text(%(ids)s::json)))
        AND p.name IS NOT NULL
    GROUP BY i.subscription_id
) AS plans
""",
)
