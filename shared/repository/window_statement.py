"""The statement that reads a window's rows in the shape of Stripe's own JSON.

So one decoder reads both sides, and whether they are equal is one comparison without any Python
object beyond theirs. All rows come as one text: a row of its own for each costs twice as much.
"""

from __future__ import annotations

from shared.columns import Column, Type
from shared.mirrored import MirroredObject

_READ = {
    # What Stripe cannot have said (infinity) cannot be decoded: the row is then read singly.
    Type.TIMESTAMP: "CASE WHEN isfinite({0}) THEN date_part('epoch', {0})::bigint"
    " WHEN {0} IS NOT NULL THEN 9223372036854775807 END",
    Type.DECIMAL: "{0}::text",
}

_Tree = dict[str, "str | _Tree"]


def window_text(mirrored: MirroredObject) -> str:
    """Return `[[lower, upper, revision, missing since, object], ...]`, newest first."""
    tree = _tree(mirrored.columns, "o")
    if mirrored.items is not None:
        item = _object(_tree(mirrored.items.columns, "i"))
        tree["items"] = {
            "data": f"""(
        SELECT coalesce(json_agg({item} ORDER BY i.id COLLATE "C"), '[]')
        FROM stripe.{mirrored.items.table} AS i
        WHERE i.{mirrored.items.parent} = o.id
    )"""
        }
    return f"""
SELECT json_agg(
    json_build_array(
        date_part('epoch', lower(o.as_of))::bigint,
        date_part('epoch', upper(o.as_of))::bigint,
        o.revision,
        date_part('epoch', o.missing_in_stripe_since)::bigint,
        {_object(tree)}
    )
    ORDER BY o.created DESC
)::text
FROM stripe.{mirrored.table} AS o
WHERE o.created >= to_timestamp(%(gte)s::bigint)
    AND o.created < to_timestamp(%(lt)s::bigint)
"""


def _tree(columns: tuple[Column, ...], table: str) -> _Tree:
    """Return each column's expression at its place in Stripe's JSON."""
    tree: _Tree = {}
    for column in columns:
        *path, name = column.source.split(".")
        inner = tree
        for step in path:
            deeper = inner.setdefault(step, {})
            assert isinstance(deeper, dict)
            inner = deeper
        inner[name] = _READ.get(column.type, "{0}").format(f'{table}."{column.name}"')
    return tree


def _object(tree: _Tree) -> str:
    members = ", ".join(
        f'{_object(inner) if isinstance(inner, dict) else inner} AS "{name}"'
        for name, inner in tree.items()
    )
    return f"(SELECT row_to_json(r) FROM (SELECT {members}) AS r)"
