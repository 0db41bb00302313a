"""One SQL statement, ready to be executed."""

from __future__ import annotations

import re
from typing import Any

from psycopg import Connection, RawCursor

from shared.database.schema import in_schema, schema_of

_PLACEHOLDER = re.compile(r"%\((\w+)\)s")


def numbered(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the text with PostgreSQL's own placeholders, and their names in that order."""
    names = tuple(dict.fromkeys(_PLACEHOLDER.findall(text)))
    numbers = {name: f"${number}" for number, name in enumerate(names, 1)}
    return _PLACEHOLDER.sub(lambda match: numbers[match[1]], text), names


class Statement:
    """A SQL text with named placeholders, translated to PostgreSQL's own once and for all (`text`).

    psycopg parses a text longer than 4,096 characters anew at each execution, which took a third
    of the time of an event.
    """

    def __init__(self, text: str) -> None:
        self.text, self._names = numbered(text)
        self._sent: dict[str, bytes] = {}

    def execute(
        self,
        connection: Connection[Any],
        parameters: dict[str, Any],
        *,
        prepare: bool | None = None,
    ) -> RawCursor[Any]:
        """Execute it and return the cursor; a parameter that is not given is NULL.

        `prepare`: at its first use of the connection, or never; psycopg prepares what is used often
        by itself. Behind a pooler that loses what is prepared nothing ever is.
        """
        schema = schema_of(connection)
        text = self._sent.get(schema)
        if text is None:
            text = self._sent[schema] = in_schema(self.text, schema).encode()
        cursor = RawCursor(connection)
        values = [parameters.get(name) for name in self._names]
        cursor.execute(text, values, prepare=prepare)
        return cursor
