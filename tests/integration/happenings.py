"""What can happen to a subscription and its customer, by name."""

from collections.abc import Callable
from typing import Any

from sandbox.stripe_double import Control


def body_of(control: Control, name: str) -> dict[str, Any]:
    """The object as Stripe has it."""
    found = control.truth(name)
    assert found is not None
    return found


def _an_item(control: Control, name: str, number: int) -> str:
    items = body_of(control, name)["items"]["data"]
    return str(items[number % len(items)]["id"])


def _remove_item(control: Control, name: str, number: int, events: int) -> None:
    if len(body_of(control, name)["items"]["data"]) > 1:
        control.remove_item(name, _an_item(control, name, number), events=events)


_CHANGES: dict[str, Callable[[Control, str, int, int], object]] = {
    "relabel": lambda c, s, n, e: c.update_subscription(s, metadata={"n": str(n)}, events=e),
    "fall behind": lambda c, s, _, e: c.update_subscription(s, status="past_due", events=e),
    "activate": lambda c, s, _, e: c.activate(s, events=e),
    "pause": lambda c, s, _, e: c.pause(s, events=e),
    "resume": lambda c, s, _, e: c.resume(s, events=e),
    "pause collection": lambda c, s, _, e: c.pause_collection(s, events=e),
    "collect again": lambda c, s, _, e: c.update_subscription(s, pause_collection=None, events=e),
    "renew": lambda c, s, _, e: c.renew(s, events=e),
    "cancel later": lambda c, s, _, e: c.cancel(s, at_period_end=True, events=e),
    "cancel": lambda c, s, _, e: c.cancel(s, events=e),
    "add item": lambda c, s, n, e: c.add_item(s, price="pro", quantity=n + 1, events=e),
    "remove item": _remove_item,
    "quantity": lambda c, s, n, e: c.change_item(s, _an_item(c, s, n), quantity=n + 1, events=e),
    "price": lambda c, s, n, e: c.change_item(s, _an_item(c, s, n), price="decimal", events=e),
    "rename customer": lambda c, s, n, e: c.update_customer(
        body_of(c, s)["customer"], name=f"N{n}", events=e
    ),
    "delete customer": lambda c, s, _, e: c.delete_customer(body_of(c, s)["customer"], events=e),
    "remind": lambda c, s, *_: c.emit("customer.subscription.trial_will_end", s),
}
_ENDED = frozenset({"canceled", "incomplete_expired"})
_AFTER_THE_END = frozenset({"relabel", "rename customer", "delete customer", "remind"})


NAMES = tuple(sorted(_CHANGES))


def happen(control: Control, what: str, name: str, number: int, events: int) -> None:
    """Let it happen, if Stripe allows it now. `number` decides details, `events` how many tell."""
    body = body_of(control, name)
    if body["status"] in _ENDED and what not in _AFTER_THE_END:
        return
    if what.endswith("customer") and body_of(control, body["customer"]).get("deleted"):
        return
    _CHANGES[what](control, name, number, events)
