"""A run that waits for its database: what it does between two tries."""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from reconcile import patient
from reconcile.patient import PatientDatabase
from reconcile.time_left import TimeLeft, interruptible, unless_stopped
from shared.database import Connection, Database
from shared.errors import DatabaseUnavailable, Interrupted


class Pruned:
    """A database of which somebody ends every connection that lies idle, and some in use."""

    def __init__(self, in_use: int) -> None:
        self.in_use = in_use
        self.idle = 0

    @contextmanager
    def connection(self, deadline: float | None = None) -> Iterator[Connection]:
        assert deadline is not None
        if self.idle:
            self.idle -= 1
            raise DatabaseUnavailable(
                "ended while it lay in the pool", broken=True, patience=math.inf
            )
        if self.in_use:
            self.in_use -= 1
            raise DatabaseUnavailable("ended in use", broken=True, patience=math.inf)
        yield cast(Connection, type("Lent", (), {"deadline": None})())


@pytest.mark.parametrize("in_use", [0, 4, 5, 6, 7, 13, 40])
def test_connections_that_die_in_every_pause_are_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch, in_use: int
) -> None:
    database = Pruned(in_use)
    pauses: list[float] = []

    def wait(_: Any, seconds: float) -> None:
        pauses.append(seconds)
        assert len(pauses) < 100, "it never goes on"
        database.idle = 4

    monkeypatch.setattr(TimeLeft, "wait", wait)
    work = PatientDatabase(cast(Database, database), TimeLeft(threading.Event(), None))
    assert work.read(lambda _: "done") == "done"
    assert len(pauses) >= in_use // (2 * patient._AT_ONCE), "and yet it does not spin"


@pytest.mark.parametrize("how", ["before a question", "in a pause"])
def test_what_a_signal_stops_promises_nothing_of_the_next_run(how: str) -> None:
    """A report, a replay and one subscription have none that goes on; who knows, says it."""
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted, match="stopped by a signal") as ended:
        unless_stopped(stop)() if how == "before a question" else interruptible(stop)(30.0)
    assert "next" not in str(ended.value)
