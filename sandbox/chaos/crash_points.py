"""kill -9 at a named point of a transaction, staged from outside through the gates.

The process that comes first to a shut gate is found by its TCP port and killed there. A server does
not notice at once that its client is gone, so the two ways in which that can end are both staged:
what was sent is lost with the client (its server process is ended), or it is committed all the
same, and nobody is left to say so (the client is halted, the gate opened, the client killed after
the commit).
"""

import os
import signal
import threading
from dataclasses import dataclass
from typing import Literal

import psutil

from sandbox.chaos.database import (
    BEFORE_COMMIT,
    BEFORE_CURSOR,
    BEFORE_LEDGER,
    BEFORE_OBJECT,
    IN_REPAIR,
    Gate,
    WatchedDatabase,
)


@dataclass(frozen=True)
class CrashPoint:
    """Where a process dies, and whether what it had sent is committed. `seconds`: how long to wait.

    A webhook comes by all the time, a run of reconcile only now and then.
    """

    process: Literal["webhook", "reconcile"]
    where: str
    gate: int
    committed: bool
    seconds: float

    @property
    def name(self) -> str:
        return f"{self.process} killed {self.where}"


CRASH_POINTS = (
    CrashPoint("webhook", "before insert", BEFORE_OBJECT, False, 5),
    CrashPoint("webhook", "between object and ledger row", BEFORE_LEDGER, False, 5),
    CrashPoint("webhook", "before commit", BEFORE_COMMIT, False, 5),
    CrashPoint("webhook", "after commit, before the answer", BEFORE_COMMIT, True, 5),
    CrashPoint("reconcile", "before its cursor is committed", BEFORE_CURSOR, False, 30),
    CrashPoint("reconcile", "between windows", BEFORE_CURSOR, True, 30),
    CrashPoint("reconcile", "in the middle of a repair", IN_REPAIR, False, 300),
)


def stage(database: WatchedDatabase, point: CrashPoint, stop: threading.Event) -> bool:
    """Kill the first process that comes to this point; False when none came in time."""
    with Gate(database, point.gate) as gate:
        found = gate.wait_for_one(point.seconds, stop)
        if found is None:
            return False
        server_process, port = found
        victim = _process_behind(port)
        if victim is None:
            return False
        if point.committed:
            os.kill(victim, signal.SIGSTOP)
            try:
                gate.open()
                gate.wait_for_commit(server_process)
            finally:
                os.kill(victim, signal.SIGKILL)
        else:
            os.kill(victim, signal.SIGKILL)
            gate.end_backend(server_process)
    return True


def _process_behind(port: int) -> int | None:
    for connection in psutil.net_connections("tcp"):
        if connection.laddr and connection.laddr.port == port and connection.pid:
            return connection.pid
    return None
