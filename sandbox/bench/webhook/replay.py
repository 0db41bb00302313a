"""The webhook's yardstick: the very same SQL, as its server saw it, sent by pgbench.

Nothing of the product is read: the server logs what it was sent for some events, and a copy of the
database, made before them, is sent the same again as fast as it can take it.
"""

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg
from msgspec import Struct

from sandbox.bench.stage import Stage
from sandbox.bench.webhook.mail import Mail
from sandbox.bench.webhook.sender import Plan, send
from sandbox.telling import show

CLIENTS = 4
COPY = "replay"
WARM = 100

_ENTERED = "SELECT count(*) FROM stripe.events"
_ENTRY = re.compile(r"^@(\d+)@ (LOG|DETAIL):  (.*)", re.DOTALL)
_STATEMENT = re.compile(r"(?:statement|execute [^:]*): (.*)", re.DOTALL)
_PARAMETERS = re.compile(r"[Pp]arameters: (.*)", re.DOTALL)
_PARAMETER = re.compile(r"\$\d+ = (NULL|'(?:[^']|'')*')")
_EVENT = re.compile(r"\bevt_1B[0-9a-f]{22}\b")
_RATE = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)


class Replayed(Struct, frozen=True, kw_only=True):
    """Events a second, milliseconds of the database's CPU an event, and how it was sent."""

    rate: float
    database: float
    statements: float
    how: str


class Sent(Struct):
    """One statement as the server saw it."""

    text: str
    values: list[str]


def play(made: Stage, mail: Mail, events: int) -> Replayed:
    """Record events, then send their SQL again. The caller's webhook must be stopped."""
    events = max(1, min(events, mail.touched - WARM))
    show(f"... the same SQL of {events:,} events, sent again")
    made.execute("CREATE DATABASE replay TEMPLATE postgres")
    recorded = _record(made, mail, events)
    scripts = _scripts(made.folder, recorded)
    before = made.database_cpu()
    pgbench = made.server.program("pgbench")
    entered = made.value(_ENTERED, COPY)
    rate = _by_pgbench(made, pgbench, scripts) if pgbench else _by_psycopg(made, scripts)
    entered = made.value(_ENTERED, COPY) - entered
    if entered != len(recorded):
        raise RuntimeError(f"{len(recorded)} events were sent again, {entered} were entered")
    share = len(recorded) / len(scripts)
    return Replayed(
        rate=rate * share,
        database=1_000 * (made.database_cpu() - before) / len(recorded),
        statements=sum(map(len, recorded)) / len(recorded),
        how="the same SQL by " + ("pgbench" if pgbench else "psycopg (no pgbench here)"),
    )


def _record(made: Stage, mail: Mail, events: int) -> list[list[Sent]]:
    """The statements of each event, in order."""
    log = made.server.folder / "server.log"
    with made.webhook("webhook-recorded") as webhook:
        plan = Plan(urls=[webhook.url], secret=made.secret, connections=1)
        # These are not recorded and so missing in the copy, but they touch other rows.
        send(plan, mail.take(WARM))
        made.change_setting(
            "ALTER SYSTEM SET log_line_prefix = '@%p@ '", "log_line_prefix", "@%p@ "
        )
        made.change_setting("ALTER SYSTEM SET log_statement = 'all'", "log_statement", "all")
        begin = log.stat().st_size
        send(plan, mail.take(events))
        made.change_setting("ALTER SYSTEM SET log_statement = 'none'", "log_statement", "none")
    with log.open("rb") as file:
        file.seek(begin)
        return _by_event(seen(file.read().decode()))


def seen(text: str) -> list[Sent]:
    """The statements in a part of the server's log."""
    found: list[Sent] = []
    for entry in re.split(r"^(?=@\d+@ )", text, flags=re.MULTILINE):
        head = _ENTRY.match(entry.rstrip("\n").replace("\n\t", "\n"))
        if head is None:
            continue
        if head[2] == "LOG" and (statement := _STATEMENT.match(head[3])):
            found.append(Sent(statement[1], []))
        elif head[2] == "DETAIL" and (values := _PARAMETERS.match(head[3])):
            found[-1].values = _PARAMETER.findall(values[1])
    return found


def _by_event(statements: Sequence[Sent]) -> list[list[Sent]]:
    """Cut where a statement first names another event; what opens a transaction goes before it."""
    groups: list[list[Sent]] = []
    current, waiting = "", list[Sent]()
    for statement in statements:
        named = next((m[0] for value in statement.values if (m := _EVENT.search(value))), "")
        if statement.text.upper().startswith("BEGIN"):
            waiting.append(statement)
            continue
        if named and named != current:
            current = named
            groups.append([])
        if groups:
            groups[-1] += [*waiting, statement]
        waiting = []
    return groups


def _scripts(folder: Path, events: Sequence[Sequence[Sent]]) -> list[Path]:
    """One script a client, each with every so-manieth event: no two touch the same row."""
    clients = min(CLIENTS, len(events))
    paths = []
    for client in range(clients):
        path = folder / f"replay-{client}.sql"
        lines = script_of(events[client::clients])
        path.write_text("".join(f"{line};\n" for line in lines), encoding="utf-8")
        paths.append(path)
    return paths


def script_of(events: Sequence[Sequence[Sent]]) -> list[str]:
    """What to send for these events: each text prepared once, as the product's own are."""
    sent = [statement for event in events for statement in event]
    texts = dict.fromkeys(statement.text for statement in sent if statement.values)
    names = {text: f"s{number}" for number, text in enumerate(texts)}
    return [
        *(f"PREPARE {name} AS {text.strip(' ;')}" for text, name in names.items()),
        *(
            f"EXECUTE {names[statement.text]}({', '.join(statement.values)})"
            if statement.values
            else statement.text.strip(" ;")
            for statement in sent
        ),
    ]


def _by_pgbench(made: Stage, pgbench: Path, scripts: Sequence[Path]) -> float:
    """Scripts a second, all clients together."""
    running = [
        subprocess.Popen(
            [pgbench, "-n", "-t", "1", "-c", "1", "-f", script, made.server.url(COPY)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for script in scripts
    ]
    total = 0.0
    for process in running:
        out, err = process.communicate()
        found = _RATE.search(out)
        if process.returncode != 0 or found is None:
            raise RuntimeError(f"pgbench ended with {process.returncode}:\n{err[-2000:]}")
        total += float(found[1])
    return total


def _by_psycopg(made: Stage, scripts: Sequence[Path]) -> float:
    running = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "sandbox.bench.webhook.replay",
                made.server.url(COPY),
                str(script),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        for script in scripts
    ]
    return sum(1 / float(process.communicate()[0]) for process in running)


def main() -> None:
    """One client: send a script's statements, a line each, and print the seconds it took."""
    url, script = sys.argv[1:]
    texts = Path(script).read_bytes().split(b";\n")
    with psycopg.connect(url, autocommit=True) as connection:
        began = time.monotonic()
        for text in texts:
            connection.pgconn.exec_(text)
        print(time.monotonic() - began)


if __name__ == "__main__":
    main()
