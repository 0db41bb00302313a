"""The yardstick: all subscriptions by Stripe's library, one upsert a row. Prints its CPU-seconds.

python sandbox/bench/plain.py API_BASE KEY DATABASE_URL ROWS
"""

import itertools
import json
import sys
import time

import psycopg
import stripe

_TABLE = """
CREATE TABLE IF NOT EXISTS plain (
    id text PRIMARY KEY, customer text, status text, currency text, created bigint,
    period_end bigint, price text, quantity bigint, metadata jsonb
)
"""
_UPSERT = """
INSERT INTO plain VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (id) DO UPDATE SET
    status = EXCLUDED.status, period_end = EXCLUDED.period_end, price = EXCLUDED.price,
    quantity = EXCLUDED.quantity, metadata = EXCLUDED.metadata
"""


def main() -> None:
    base, key, url, rows = sys.argv[1:]
    client = stripe.StripeClient(key, base_addresses={"api": base})
    began = time.process_time()
    with psycopg.connect(url) as connection:
        connection.execute(_TABLE)
        listed = client.v1.subscriptions.list({"status": "all", "limit": 100})
        for one in itertools.islice(listed.auto_paging_iter(), int(rows)):
            item = one["items"].data[0]
            values = (
                *(one.id, str(one.customer), one.status, one.currency, one.created),
                *(item.current_period_end, item.price.id, getattr(item, "quantity", None)),
                json.dumps(one.metadata.to_dict()),
            )
            connection.execute(_UPSERT, values)
    print(time.process_time() - began)


if __name__ == "__main__":
    main()
