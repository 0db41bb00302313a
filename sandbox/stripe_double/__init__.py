"""A stateful double of the part of Stripe that subscription-sync uses, over real HTTP.

    with StripeDouble.start() as double:
        name = double.control.create_subscription(price="pro")
        double.control.deliver("http://127.0.0.1:8080/webhook", ["whsec_test"])

As a process: `python -m sandbox.stripe_double --port 12111 --seed-subscriptions 1000`.

Rooms: `objects` (one file a kind), `realm` (what one account holds), `changes` (what can happen to
it), `protocol` and `http` (the API), `delivery` (events on their way), `control` (all of it for a
test).

`double.control` has, by subject:

- changes: create_/update_/delete_customer, _product and _price, create_/update_subscription,
  add_item, remove_item, change_item, activate, pause, resume, pause_collection, cancel, expire,
  renew, create and update (an object of any kind), emit, emit_object, seed (many, without events),
  churn (random lawful life);
- the truth: truth, truths, history, ids, events, products, prices (ids by their names here);
- delivery: deliver, send, redeliver, redeliver_until_accepted, outbox, undelivered, lost, requeue,
  drop, event_body, thin_body; what goes wrong on the way is a `DeliveryPlan`;
- time: now, advance, set_clock;
- trouble: switch (the quirks: `Switches`), fault, hold, hook, clear_faults, clear_interventions,
  add_key, revoke_key;
- what was asked: requests, request_counts, clear_requests;
- realm: the same for another account or for live mode.

What it holds of Stripe, and from where that is known, is tests/integration/stripe_facts.py.

From other processes, JSON over HTTP: `POST /_control/call` with `{"method", "args", "keywords",
"realm": {"account", "livemode"}}` answers `{"result"}` (400 `{"error"}`) for each of these but
hold and hook; `POST /_control/hold` (a number), `GET /_control/hold/N/reached?timeout=`,
`POST /_control/hold/N/release`, `POST /_control/reset`, `GET /_control/clock`,
`GET /_control/truth/ID`, `GET /_control/history/ID`, `GET /_control/truths/KIND` (NDJSON).

Keys from the start: sk_test_double, sk_live_double (everything), rk_test_double, rk_live_double
(not the account), and the same four of another account, ending in `other`.
"""

from sandbox.stripe_double.control.control import Control
from sandbox.stripe_double.control.truth import Seen
from sandbox.stripe_double.delivery.sending import Delivery, DeliveryPlan, Reply
from sandbox.stripe_double.delivery.signature import sign
from sandbox.stripe_double.double import StripeDouble
from sandbox.stripe_double.http.interventions import Hold
from sandbox.stripe_double.http.keys import MAIN_ACCOUNT, OTHER_ACCOUNT
from sandbox.stripe_double.http.server import RequestLine
from sandbox.stripe_double.realm.switches import Switches

__all__ = [
    "MAIN_ACCOUNT",
    "OTHER_ACCOUNT",
    "Control",
    "Delivery",
    "DeliveryPlan",
    "Hold",
    "Reply",
    "RequestLine",
    "Seen",
    "StripeDouble",
    "Switches",
    "sign",
]
