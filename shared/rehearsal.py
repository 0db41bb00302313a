"""An event's whole way through the database, in a transaction that is rolled back.

Whether a role, a trigger, a policy, a standby or a full disk lets an event in cannot be told from
the catalogue as surely as by doing it. The statements are those of a real event, the values such as
Stripe's, so that a rule of somebody's own on our tables says of them what it says of an event.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.errors import error_from_result
from psycopg.generators import execute
from psycopg.pq import ExecStatus

from shared.database.fault import describe
from shared.errors import DatabaseUnavailable
from shared.objects.catalogue import BY_NAME, MIRRORED
from shared.objects.column import Column, Row, Type, Value
from shared.objects.declaration import Content, Held, MirroredObject
from shared.repository import ledger
from shared.repository.account import Account, claim_account
from shared.repository.apply_event import look, write_for_event
from shared.repository.ledger import Entry
from shared.repository.write import Write
from shared.truth import Interval

_AHEAD: Final = 86_400
"""Seconds by which the snapshots lie in the future, so that no comparison has overtaken them."""

_BY_TYPE: Final[dict[Type, Value]] = {
    Type.BOOLEAN: False,
    Type.INTEGER: 1,
    Type.DECIMAL: "1",
    Type.REFERENCES: "[]",
    Type.METADATA: "{}",
    Type.JSON: "{}",
}


def rehearse(connection: psycopg.Connection[Any], *, livemode: bool) -> Account:
    """Apply events of every mirrored object, leave no trace, and return whose the database is.

    Takes a connection in autocommit mode. Raises psycopg.Error or DatabaseUnavailable where an
    event could not be applied now.
    """
    try:
        _command(connection, b"BEGIN")
        try:
            account = claim_account(connection, Account(None, livemode))
            tag = uuid.uuid4().hex
            for mirrored in MIRRORED:
                _Part(connection, mirrored, tag, int(time.time()) + _AHEAD).play()
            # What somebody has put off to the end of each transaction.
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        finally:
            if not connection.closed:
                _command(connection, b"ROLLBACK")
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        raise DatabaseUnavailable(
            f"a rule of the database refuses an event as Stripe sends it: {describe(error)}: look"
            " at what was added to our tables"
        ) from None
    return account


def _command(connection: psycopg.Connection[Any], command: bytes) -> None:
    """Send it past psycopg, which after a ROLLBACK of its own forgets every prepared statement."""
    connection.pgconn.send_query(command)
    (answer,) = connection.wait(execute(connection.pgconn))
    if answer.status != ExecStatus.COMMAND_OK:
        raise error_from_result(answer)


@dataclass(frozen=True)
class _Part:
    """The events of one object."""

    connection: psycopg.Connection[Any]
    mirrored: MirroredObject
    tag: str
    now: int

    def play(self) -> None:
        """Insert it, change it twice, and fail an event."""
        self._apply(1, None)
        self._apply(2, self._held(1))
        held = self._held(2)
        # The second event took the item away.
        self._require(not held.items)
        self._apply(3, held)
        for _ in range(2):
            ledger.enter(self.connection, self._entry(4, "failed"))

    def _apply(self, number: int, held: Held | None) -> None:
        """Write the event of that number over what is held."""
        content, entry = self._content(number), self._entry(number, "applied")
        fields = {} if held is None else self.mirrored.differences(held, content)
        revision = None if held is None else held.revision
        write = Write(content, self._interval(number), revision, fields)
        self._require(write_for_event(self.connection, self.mirrored, write, entry))

    def _held(self, number: int) -> Held:
        """Return the row after the event of that number, which must be in the ledger too."""
        event_id = self._entry(number, "applied").event_id
        found = look(self.connection, self.mirrored, self._id(), event_id)
        self._require(found.done is not None and found.held is not None)
        assert found.held is not None
        return found.held

    def _require(self, kept: bool) -> None:
        if not kept:
            raise DatabaseUnavailable(
                f"the database takes an event of a {self.mirrored.name} and does not keep it: a"
                " trigger or a rule on our tables undoes it; look at what was added to them"
            )

    def _interval(self, number: int) -> Interval:
        return Interval(self.now + number, self.now + number + 1)

    def _id(self) -> str:
        return f"{self.mirrored.prefix}_{self.tag}"

    def _content(self, number: int) -> Content:
        """Return the object as the event of that number has it; the second one has no items."""
        items: tuple[Row, ...] = ()
        if self.mirrored.items is not None and number != 2:  # noqa: PLR2004
            own = f"{self.mirrored.items.prefix}_{self.tag}"
            items = (self._row(self.mirrored.items.columns, own, number),)
        return Content(self._id(), self._row(self.mirrored.columns, self._id(), number), items)

    def _row(self, columns: tuple[Column, ...], own: str, number: int) -> Row:
        return tuple(
            own if column.name == "id" else self._value(column, number) for column in columns
        )

    def _value(self, column: Column, number: int) -> Value:
        if column.example is not None:
            return column.example
        if column.type is Type.TIMESTAMP:
            return self.now - _AHEAD
        if column.type is Type.METADATA:
            return f'{{"rehearsal":"{number}"}}'
        if column.type is Type.TEXT:
            return f"rehearsal-{self.tag}"
        if column.type is Type.REFERENCE:
            return f"{BY_NAME[column.refers_to].prefix}_{self.tag}" if column.refers_to else None
        return _BY_TYPE[column.type]

    def _entry(self, number: int, outcome: str) -> Entry:
        return Entry(
            event_id=f"evt_{self.tag}{self.mirrored.name}{number}",
            type=f"{self.mirrored.name}.updated",
            object_id=self._id(),
            created=self.now + number,
            api_version=None,
            source="webhook",
            outcome=outcome,
            error="rehearsal" if outcome == "failed" else None,
            payload=b"{}",
        )
