"""SQL statements: each belongs to the function that executes it, and is known by its name."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from psycopg import Connection, RawCursor

from shared.database.schema import in_schema, schema_of
from shared.objects.declaration import MirroredObject

_PLACEHOLDER = re.compile(r"%\((\w+)\)s")


class Statement:
    """A SQL text with named placeholders, translated to PostgreSQL's own (`sent`) once and for all.

    psycopg parses a text longer than 4,096 characters anew at each execution, which took a third
    of the time of an event.
    """

    def __init__(self, name: str, purpose: str, text: str) -> None:
        """`purpose`: in one sentence, what it is for."""
        self.name = name
        self.purpose = purpose
        self.text = text.strip() + "\n"
        self._names = tuple(dict.fromkeys(_PLACEHOLDER.findall(self.text)))
        numbers = {name: f"${number}" for number, name in enumerate(self._names, 1)}
        self.sent = _PLACEHOLDER.sub(lambda match: numbers[match[1]], self.text)
        self._in_schema: dict[str, bytes] = {}

    def execute(
        self,
        connection: Connection[Any],
        parameters: dict[str, Any] | None = None,
    ) -> RawCursor[Any]:
        """Execute it and return the cursor; a parameter that is not given is NULL."""
        schema = schema_of(connection)
        text = self._in_schema.get(schema)
        if text is None:
            text = self._in_schema[schema] = in_schema(self.sent, schema).encode()
        cursor = RawCursor(connection)
        given = parameters or {}
        cursor.execute(text, [given.get(name) for name in self._names])
        return cursor


class ObjectStatement:
    """A statement on the tables of a mirrored object: one for each, made of its declaration."""

    def __init__(self, name: str, purpose: str, text: Callable[[MirroredObject], str]) -> None:
        """`of` returns the statement for one object."""
        self.of = cache(lambda one: Statement(f"{name}.{one.name}", purpose, text(one)))


KNOWN: list[Statement | ObjectStatement] = []
"""Every statement of the rooms that are imported."""


def statement(function: Callable[..., Any], text: str) -> Statement:
    """Return the statement that a function executes, by whose name and docstring it is known."""
    made = Statement(*_name_and_purpose(function), text)
    KNOWN.append(made)
    return made


def object_statement(
    function: Callable[..., Any], text: Callable[[MirroredObject], str]
) -> ObjectStatement:
    """Return the same for each mirrored object."""
    made = ObjectStatement(*_name_and_purpose(function), text)
    KNOWN.append(made)
    return made


def _name_and_purpose(function: Callable[..., Any]) -> tuple[str, str]:
    """Return a function's name, its room's before it, and the first line of its docstring."""
    room = function.__module__.rpartition(".")[2]
    first, _, _ = (function.__doc__ or "").partition("\n")
    return f"{room}.{function.__name__.lstrip('_')}", first
