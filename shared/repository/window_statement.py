"""The statement that reads a window's rows, to be recognised or in the shape of Stripe's own JSON.

So one decoder reads both sides, and whether they are equal is one comparison without any Python
object beyond theirs. All rows come as one text: a row of its own for each costs twice as much.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.objects.column import Column, Type
from shared.objects.declaration import MirroredObject
from shared.repository import column_sql as sql

# JSON's null is not the column's, though the decoder would take the one for the other.
_JSON = """CASE WHEN {0} = 'null' THEN '"null"' ELSE {0} END"""

_READ = {
    # What Stripe cannot have said (infinity, a fraction of a second) cannot be decoded: the row is
    # then read singly.
    Type.TIMESTAMP: f"CASE WHEN {sql.is_whole('{0}')} THEN date_part('epoch', {{0}})::bigint"
    " WHEN {0} IS NOT NULL THEN 9223372036854775807 END",
    Type.DECIMAL: "{0}::text",
    Type.METADATA: _JSON,
    Type.JSON: _JSON,
    # A list may name whole objects, a row never does.
    Type.REFERENCES: """CASE WHEN {0} = '[]' THEN {0}
        WHEN {0} = 'null' OR {0} @? '$[*] ? (@.type() != "string")' THEN '"null"' ELSE {0} END""",
}

_Tree = dict[str, "str | _Tree"]


IN_WINDOW = """o.created >= to_timestamp(%(gte)s::bigint)
    AND o.created < to_timestamp(%(lt)s::bigint)"""
BY_ID = "o.id = ANY(%(ids)s::text[])"


def window_text(mirrored: MirroredObject, which: str) -> str:
    """Return two texts of JSON arrays, the second newest first; NULL for none.

    What is known to be equal to a body: `[id, created, revision, status, length, hash]`, if
    `recall` is true. All others: `[lower, upper, revision, missing since, hash, object]`.

    A row's hash is made of every mirrored column, of the items' too, as the server would send them.
    Its own hashes of the values are too weak to tell of a change: that of a number leaves out the
    sign, those of times and whole numbers fold eight bytes to four, and in JSON two values that are
    exchanged or change together may cancel each other out, whatever the seed.

    A fingerprint is looked up for each row (LIMIT 1 makes the planner do so): where it knows
    nothing of a new table yet, it would read the whole of it for each window.
    """
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
    status = f'o."{mirrored.access}"' if mirrored.access else "NULL::text"
    return f"""
SELECT
    json_agg(
        json_build_array(
            o.id, date_part('epoch', o.created)::bigint, o.revision, {status},
            f.body_length, f.body_hash
        )
    ) FILTER (WHERE f.object_id IS NOT NULL)::text,
    json_agg(
        json_build_array(
            {sql.seconds_before("lower(o.as_of)")},
            {sql.seconds_after("upper(o.as_of)")},
            o.revision,
            {sql.shown(sql.MISSING, "o")},
            h.row_hash,
            {_object(tree)}
        )
        ORDER BY o.created DESC
    ) FILTER (WHERE f.object_id IS NULL)::text
FROM stripe.{mirrored.table} AS o
CROSS JOIN LATERAL (
    SELECT {_hash(mirrored)} AS row_hash
    OFFSET 0
) AS h
LEFT JOIN LATERAL (
    SELECT f.object_id, f.body_length, f.body_hash
    FROM stripe.fingerprints AS f
    WHERE f.object_id = o.id
        AND f.row_hash = h.row_hash
        AND o.missing_in_stripe_since IS NULL
        AND %(recall)s::boolean
    LIMIT 1
) AS f ON true
WHERE {which}
"""


def _hash(mirrored: MirroredObject) -> str:
    """Return the hash of a row's whole content."""
    columns = [f'o."{column.name}"' for column in mirrored.columns]
    if mirrored.items is not None:
        items = _hash_of([f'i."{column.name}"' for column in mirrored.items.columns])
        columns.append(f"""(
        SELECT bit_xor({items})
        FROM stripe.{mirrored.items.table} AS i
        WHERE i.{mirrored.items.parent} = o.id
    )""")
    return _hash_of(columns)


def _hash_of(values: Sequence[str]) -> str:
    """Return the hash of some values' bytes: 64 bits, begun with the seed."""
    return f"hash_record_extended(ROW(record_send(ROW({', '.join(values)}))), %(seed)s::bigint)"


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
