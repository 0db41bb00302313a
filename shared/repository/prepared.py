"""A prepared statement, executed with as little as psycopg needs for it."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from hashlib import sha256
from typing import Any
from weakref import WeakSet

from psycopg import Connection, OperationalError
from psycopg.errors import (
    DuplicatePreparedStatement,
    InvalidSqlStatementName,
    error_from_result,
)
from psycopg.generators import execute
from psycopg.pq import ExecStatus, Format

from shared.database.schema import in_schema, schema_of
from shared.repository.statement import numbered


class Prepared:
    """A SQL text with named placeholders that is prepared at its first use of a connection.

    psycopg's cursors look up how to convert every parameter and every result, and take longer over
    it than an event takes in all else: here both are bytes. Each placeholder must be cast to its
    type in the text. Only for connections in autocommit mode: no transaction is begun.
    """

    def __init__(self, text: str, *, binary: str) -> None:
        """`binary`: the parameter that is sent as it is; all others are text."""
        translated, self._names = numbered(text)
        self._text = translated
        self._formats = [Format.BINARY if n == binary else Format.TEXT for n in self._names]
        self._known: WeakSet[Connection[Any]] = WeakSet()

    def fetch(
        self, connection: Connection[Any], parameters: dict[str, bytes | None]
    ) -> list[bytes | None]:
        """Execute it and return the one row that it always answers, as text.

        Raises psycopg.Error as psycopg does.
        """
        values = [parameters[name] for name in self._names]
        if connection.prepare_threshold is None:  # behind a pooler that would lose it
            _, text = _named(self._text, schema_of(connection))
            connection.pgconn.send_query_params(text, values, param_formats=self._formats)
            return _row(connection)
        try:
            return self._execute(connection, values)
        except InvalidSqlStatementName:
            # A pooler has moved us to another connection of the server's.
            self._known.discard(connection)
            return self._execute(connection, values)

    def _execute(
        self, connection: Connection[Any], values: list[bytes | None]
    ) -> list[bytes | None]:
        name, text = _named(self._text, schema_of(connection))
        if connection not in self._known:
            connection.pgconn.send_prepare(name, text)
            with suppress(DuplicatePreparedStatement):
                _answer(connection, ExecStatus.COMMAND_OK)
            self._known.add(connection)
        connection.pgconn.send_query_prepared(name, values, self._formats)
        return _row(connection)


def _row(connection: Connection[Any]) -> list[bytes | None]:
    answer = _answer(connection, ExecStatus.TUPLES_OK)
    return [answer.get_value(0, column) for column in range(answer.nfields)]


@cache
def _named(text: str, schema: str) -> tuple[bytes, bytes]:
    """Return the statement's name and text, in that schema."""
    sent = in_schema(text, schema).encode()
    # By its text, for others may share the server's connection through a pooler.
    return b"subscription_sync_" + sha256(sent).hexdigest()[:16].encode(), sent


def _answer(connection: Connection[Any], wanted: ExecStatus) -> Any:
    answers = connection.wait(execute(connection.pgconn))
    for answer in answers:
        if answer.status != wanted:
            raise error_from_result(answer)
    if len(answers) != 1:
        # A server that ends the connection says so in a result of its own, or in none.
        connection.close()
        raise OperationalError("the connection ended")
    return answers[0]
