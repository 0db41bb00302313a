"""Bodies of events for a benchmark: the common event, of which there are as many as wanted."""

from collections.abc import Iterator
from itertools import count

import msgspec

from sandbox.stripe_double import Control
from sandbox.stripe_double.protocol.encoding import JsonObject, to_json

YEAR = 365 * 86_400


def lives(
    control: Control, *, subscriptions: int, events: int, tag: str = "bench"
) -> Iterator[bytes]:
    """Yield events over so many subscriptions of one item, each newer than its object's last.

    The first event of each is its creation, every other changes status, period and metadata. In
    Stripe's own shape and size, but Stripe (the double) knows none of them. They lie in the past
    year, ten seconds apart for one subscription. Other events for another `tag`.
    """
    name = control.create_subscription(status="active")
    control.update_subscription(name, metadata={"seats": "5"})
    created, updated = (
        msgspec.json.decode(control.event_body(event["id"]), type=JsonObject)
        for event in control.events()
        if event["data"]["object"]["id"] == name
    )
    began = int(control.now()) - YEAR
    for number in count():
        if number == events:
            return
        turn, which = divmod(number, subscriptions)
        event = updated if turn else created
        body = event["data"]["object"]
        item = body["items"]["data"][0]
        event["id"] = f"evt_{tag}_{number}"
        event["created"] = began + 10 * turn
        body["id"] = item["subscription"] = f"sub_{tag}_{which}"
        body["items"]["url"] = f"/v1/subscription_items?subscription={body['id']}"
        body["customer"], item["id"] = f"cus_{tag}_{which}", f"si_{tag}_{which}"
        body["created"] = item["created"] = began
        body["status"] = "past_due" if turn % 2 else "active"
        body["metadata"] = {"turn": str(turn)}
        yield to_json(event)
