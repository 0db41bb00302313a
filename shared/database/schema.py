"""The schema in which everything lies: `stripe`, or another one that STRIPE_SCHEMA names.

All SQL of the product is written with the name `stripe`, so that it can be read, and pasted into
psql, as it stands. Another name is put in at one place, as a statement is sent. A search_path would
not do: a pooler that lends a server's connection to another client for each transaction loses it,
and the statement would find the tables of somebody else.
"""

from __future__ import annotations

import re
from typing import Any

import psycopg

DEFAULT = "stripe"

_NAME = re.compile(
    r"(?P<bare>(?<=SCHEMA = ')stripe(?='))"
    r"|(?<!\.)\bstripe(?=\.[a-z_]|'::regnamespace\b)"
    r"|(?<=regnamespace\(')stripe(?=')"
    r"|(?<=SCHEMA )stripe\b"
)


def schema_of(connection: psycopg.Connection[Any]) -> str:
    """Return the schema that is meant on this connection."""
    return getattr(connection, "schema", DEFAULT)


def in_schema(text: str, schema: str) -> str:
    """Return a SQL text of the product with the schema's name in it."""
    if schema == DEFAULT:
        return text
    quoted = '"{}"'.format(schema.replace('"', '""'))
    return _NAME.sub(lambda found: schema if found["bare"] else quoted, text)


class Cursor(psycopg.Cursor[Any]):
    """psycopg's cursor, in the connection's schema."""

    def execute(self, query: Any, params: Any = None, **how: Any) -> Any:
        """Execute it, as psycopg does."""
        schema = schema_of(self.connection)
        if schema != DEFAULT:
            text = query.decode() if isinstance(query, bytes) else query
            named = in_schema(text, schema)
            query = named.encode() if isinstance(query, bytes) else named
        return super().execute(query, params, **how)
