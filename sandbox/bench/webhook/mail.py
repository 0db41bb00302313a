"""Events over a table of any size, each newer than the last of its subscription."""

import hashlib
import re
from collections.abc import Iterator
from itertools import islice

from sandbox.bench.stage import Stage
from sandbox.bench.webhook.bodies import lives
from sandbox.stripe_double import Control

TOUCHED = 5_000
"""At most so many subscriptions, spread over the whole table, have a life."""

_NAMES = re.compile(rb"\b(sub|cus|si|evt)_bench_(\d+)")


class Mail:
    """`take` gives the next events; the table is grown from the row that the first event makes.

    Ids are digests, as scattered over an index as Stripe's own.
    """

    def __init__(self, control: Control, rows: int) -> None:
        self._rows = rows
        self.touched = min(TOUCHED, rows)
        self._bodies = lives(control, subscriptions=self.touched, events=2**40)
        self.first = self._scatter(next(self._bodies))
        for _ in range(self.touched - 1):
            next(self._bodies)

    def take(self, count: int) -> Iterator[bytes]:
        """Updates, a different subscription each until all have had one."""
        return map(self._scatter, islice(self._bodies, count))

    def grow(self, made: Stage, rows: int, ledger: int) -> None:
        """Let the tables have so many rows more or less; they are grown, never shrunk."""
        have = made.value("SELECT count(*) FROM stripe.subscriptions")
        made.execute(_SUBSCRIPTIONS, {"first": have, "last": rows - 1})
        made.execute(_ITEMS, {"first": have, "last": rows - 1})
        have = made.value("SELECT count(*) FROM stripe.events")
        made.execute(_EVENTS, {"first": have, "last": ledger - 1})
        made.execute(_CHANGES, {"first": have, "last": ledger - 1})
        made.settle()
        self._rows = rows

    def _scatter(self, body: bytes) -> bytes:
        return _NAMES.sub(self._name, body)

    def _name(self, found: re.Match[bytes]) -> bytes:
        kind, number = found[1], int(found[2])
        if kind != b"evt":
            number = number * (self._rows // self.touched)
        return kind + b"_1B" + hashlib.md5(b"%d" % number).hexdigest()[:22].encode()  # noqa: S324


# Each new row is a copy of a real one, whatever columns there are.
_SUBSCRIPTIONS = """
    INSERT INTO stripe.subscriptions
    SELECT made.*
    FROM stripe.subscriptions AS model
    CROSS JOIN generate_series(%(first)s::int, %(last)s::int) AS n
    CROSS JOIN LATERAL jsonb_populate_record(model, jsonb_build_object(
        'id', 'sub_1B' || left(md5(n::text), 22),
        'customer_id', 'cus_1B' || left(md5(n::text), 22)
    )) AS made
    WHERE model.id = (SELECT id FROM stripe.subscriptions LIMIT 1)
    ON CONFLICT DO NOTHING
"""
_ITEMS = """
    INSERT INTO stripe.subscription_items
    SELECT made.*
    FROM stripe.subscription_items AS model
    CROSS JOIN generate_series(%(first)s::int, %(last)s::int) AS n
    CROSS JOIN LATERAL jsonb_populate_record(model, jsonb_build_object(
        'id', 'si_1B' || left(md5(n::text), 22),
        'subscription_id', 'sub_1B' || left(md5(n::text), 22)
    )) AS made
    WHERE model.id = (SELECT id FROM stripe.subscription_items LIMIT 1)
    ON CONFLICT DO NOTHING
"""
_EVENTS = """
    INSERT INTO stripe.events
    SELECT made.*
    FROM stripe.events AS model
    CROSS JOIN generate_series(%(first)s::int, %(last)s::int) AS n
    CROSS JOIN LATERAL jsonb_populate_record(model, jsonb_build_object(
        'id', 'evt_1Old' || left(md5(n::text), 22),
        'created', model.created - n * interval '1 second',
        'received_at', model.received_at - n * interval '1 second',
        'payload', NULL
    )) AS made
    WHERE model.id = (SELECT id FROM stripe.events LIMIT 1)
    ON CONFLICT DO NOTHING
"""
_CHANGES = """
    INSERT INTO stripe.changes (object, object_id, revision, event_id, fields)
    SELECT
        'subscription', 'sub_1B' || left(md5((n / 10)::text), 22), 1 + mod(n, 10),
        'evt_1Old' || left(md5(n::text), 22), '{"metadata": [{"turn": "0"}, {"turn": "1"}]}'
    FROM generate_series(%(first)s::int, %(last)s::int) AS n
"""
