"""A transaction pooler (PgBouncer and its like) between us and the server.

It gives each transaction to whichever of the server's connections is free. So nothing of a session
may be counted on: no statement prepared before, no setting, no lock, no cursor.
"""

from __future__ import annotations

import secrets
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.generators import execute
from psycopg.pq import ExecStatus

_REFUSED = "unsupported startup parameter"


def keeps_prepared(connection: psycopg.Connection[Any]) -> bool:
    """Return whether a statement that was prepared is there when it is used again.

    A server tells its own process id when it is connected to, a pooler something of its own. A
    pooler that looks after prepared statements names them anew on the server.
    """
    found = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    if found == (connection.pgconn.backend_pid,):
        return True
    name = f"subscription_sync_{secrets.token_hex(8)}"
    with connection.transaction():
        connection.pgconn.send_prepare(name.encode(), b"SELECT 1")
        (answer,) = connection.wait(execute(connection.pgconn))
        if answer.status != ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(answer)
        shown = connection.execute(
            "SELECT FROM pg_prepared_statements WHERE name = %s", (name,), prepare=False
        ).fetchone()
        if shown is not None:
            connection.execute(f"DEALLOCATE {name}", prepare=False)
    return shown is None


def without_options(conninfo: str, error: psycopg.Error) -> str | None:
    """Return the same without `options`, where a pooler has refused to connect for them.

    None: that is not what was wrong. PgBouncer asked to ignore them sets none of them either.
    """
    given = conninfo_to_dict(conninfo)
    if _REFUSED not in str(error).lower() or "options" not in given:
        return None
    del given["options"]
    return make_conninfo("", **given)
