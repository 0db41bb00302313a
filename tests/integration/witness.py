"""What the database itself tells of what was done to it."""

from collections.abc import Callable
from typing import Any

import psycopg

from tests.builders import until


def one(connection: psycopg.Connection, query: str, *parameters: Any) -> Any:
    """The single value that a query gives, None where there is no row."""
    row = connection.execute(query.encode(), parameters).fetchone()
    return None if row is None else row[0]


def watch_quantities(connection: psycopg.Connection) -> None:
    """Let the database write down each quantity that an item ever has."""
    connection.execute(
        """
        CREATE TABLE seen (n bigint GENERATED ALWAYS AS IDENTITY, quantity bigint);
        CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO seen (quantity) VALUES (NEW.quantity);
            RETURN NEW;
        END $$;
        CREATE TRIGGER see AFTER INSERT OR UPDATE ON stripe.subscription_items
            FOR EACH ROW EXECUTE FUNCTION see();
        """
    )


def quantities(connection: psycopg.Connection) -> list[int]:
    """Every quantity since `watch_quantities`, in the order of the writes."""
    return [row[0] for row in connection.execute("SELECT quantity FROM seen ORDER BY n")]


def blocked(connection: psycopg.Connection) -> int:
    """How many of this database's connections wait for a lock."""
    return int(
        one(
            connection,
            """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'
            """,
        )
    )


def statuses(connection: psycopg.Connection) -> dict[str, int]:
    """How many subscriptions there are of each status."""
    rows = connection.execute("SELECT status, count(*) FROM stripe.subscriptions GROUP BY 1")
    return {row[0]: row[1] for row in rows}


ALL_COMPARED = """
    SELECT bool_and((counts -> planned.key ->> 'database')::int >= planned.value::int)
    FROM stripe.runs, jsonb_each_text(planned) AS planned WHERE outcome IS NULL
"""
"""Whether the windows of the run under way are done. It asks for events while its last are not."""


def once(url: str, condition: str, then: Callable[[], None]) -> Callable[[], None]:
    """Return a hook that waits until a query says true, and then calls."""

    def hook() -> None:
        with psycopg.connect(url, autocommit=True) as looking:
            until(lambda: bool(one(looking, condition)), condition)
        then()

    return hook


def count(connection: psycopg.Connection, table: str, where: str = "true") -> int:
    """How many rows a table of the product has."""
    return int(one(connection, f"SELECT count(*) FROM stripe.{table} WHERE {where}"))  # noqa: S608
