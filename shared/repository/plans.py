"""What subscriptions are for, by the names of their products. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import Connection

from shared.repository.statement import statement


def read_plans(connection: Connection[Any], ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the names of the products of these subscriptions, as far as the database knows."""
    rows = _READ_PLANS.execute(connection, {"ids": list(ids)})
    return {row[0]: row[1] for row in rows}


_READ_PLANS = statement(
    read_plans,
    """
SELECT i.subscription_id, array_agg(DISTINCT p.name ORDER BY p.name)
FROM stripe.subscription_items AS i
JOIN stripe.products AS p ON p.id = i.product_id
WHERE i.subscription_id = ANY(%(ids)s::text[])
    AND p.name IS NOT NULL
GROUP BY i.subscription_id
""",
)
