"""What can happen at Stripe, by name: to a subscription, and to an object of any kind."""

from collections.abc import Callable
from typing import Any

from sandbox.stripe_double import Control
from shared.objects.catalogue import BY_NAME, MIRRORED
from shared.objects.declaration import MirroredObject
from tests.objects import LIVES


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
    "remind": lambda c, s, *_: c.emit("customer.subscription.trial_will_end", s),
}
_ENDED = frozenset({"canceled", "incomplete_expired"})
_AFTER_THE_END = frozenset({"relabel", "remind"})
_END, _SHELVE, _SHOW = "end", "shelve", "show"

BACK_AND_FORTH = [
    ("fall behind", "activate"),
    ("pause collection", "collect again"),
    *((f"{one.name}: 1", f"{one.name}: 0") for one in MIRRORED),
]
"""Changes of which the second takes the first back."""

NAMES = (
    *sorted(_CHANGES),
    *(f"{one.name}: {what}" for one in MIRRORED for what in (0, 1, 2, _END)),
    *(f"{name}: {what}" for name, one in LIVES.items() if one.shelved for what in (_SHELVE, _SHOW)),
)


def concerned(what: str) -> MirroredObject:
    """Return the kind of object that it happens to."""
    return BY_NAME[what.partition(":")[0] if ":" in what else "subscription"]


def happen(control: Control, what: str, number: int, events: int) -> None:
    """Let it happen to some object, if there is one and Stripe allows it now.

    `number` decides which object and what else is to be decided, `events` how many tell of it.
    """
    kind = concerned(what)
    names = control.ids(kind.name)
    if not names:
        return
    name = names[number % len(names)]
    body = body_of(control, name)
    has_ended = body.get("deleted") or body.get("status") in _ENDED
    if has_ended and what not in _AFTER_THE_END:
        return
    if what in _CHANGES:
        _CHANGES[what](control, name, number, events)
        return
    life, step = LIVES[kind.name], what.partition(": ")[2]
    if step == _END:
        life.end(control, name, events=events)
    elif step in {_SHELVE, _SHOW}:
        fields = {n: v if step == _SHELVE else not v for n, v in life.shelved.items()}
        life.update(control, name, **fields, events=events)
    else:
        life.update(control, name, **life.states[int(step)], events=events)
