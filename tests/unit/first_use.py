"""Let threads be the first to decode, all at once, each time in a process that never did.

A script of its own: only a process without other threads may fork.
"""

import json
import os
import sys
import threading
from collections.abc import Callable
from functools import partial

import msgspec

from shared.errors import UnreadableObject
from shared.objects.catalogue import MIRRORED
from shared.objects.declaration import MirroredObject
from shared.stripe import event
from shared.stripe import lists as stripe_list
from shared.stripe import refusal as stripe_refusal

THREADS = 8
PAGE = b'{"data": [{"id": "a", "created": 1, "type": "b"}], "has_more": false}'


def uses() -> dict[str, Callable[[], object]]:
    """By name, what threads of the product decode."""
    found: dict[str, Callable[[], object]] = {
        "an event": lambda: event.decode_event(json.dumps(envelope()).encode()),
        "an event, loosely": lambda: event.decode_event(json.dumps(envelope("\ud800")).encode()),
        "a page, split": lambda: stripe_list.split(PAGE),
        "a page, split loosely": lambda: stripe_list.split(PAGE.replace(b'"a"', rb'"\ud800"')),
        "a refusal": lambda: stripe_refusal.code(b"{}"),
    }
    for mirrored in MIRRORED:
        body = json.dumps({"object": mirrored.name, "items": {"data": [{}], "has_more": False}})
        found[mirrored.name] = partial(mirrored.decode, body.encode())
        found[f"{mirrored.name}, a page"] = partial(decode_page, mirrored, PAGE)
        found[f"{mirrored.name}, its items"] = partial(mirrored.decode_items, PAGE)
    return found


def decode_page(mirrored: MirroredObject, body: bytes) -> object:
    """Read a list page; its decoder, too, may be looked for by all at once."""
    return mirrored.page_decoder.decode(body)


def envelope(note: str = "") -> dict[str, object]:
    """Of an event."""
    carried = {"object": {"id": "sub_1", "note": note}}
    told = {"id": "evt_1", "type": "a.b", "created": 1, "livemode": False}
    return {"object": "event", "data": carried, **told}


def use_at_once(use: Callable[[], object]) -> int:
    """Let each thread call it, all together; 1 where it fails as no content of a body makes it."""
    sys.setswitchinterval(1e-6)
    together = threading.Barrier(THREADS)
    failed: list[str] = []

    def begin() -> None:
        together.wait()
        try:
            use()
        except (UnreadableObject, msgspec.DecodeError):
            return
        except Exception as error:  # noqa: BLE001 - a use that is none would prove nothing
            failed.append(repr(error))

    threads = [threading.Thread(target=begin) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 1 if failed else 0


def main(times: int) -> int:
    """Print what ended a process, and by which signal; 1 where anything did."""
    ended = 0
    for name, use in uses().items():
        for _ in range(times):
            child = os.fork()
            if child == 0:
                os._exit(use_at_once(use))
            _, status = os.waitpid(child, 0)
            if status:
                print(f"{name}: ended with {os.waitstatus_to_exitcode(status)}")  # noqa: T201
                ended = 1
                break
    return ended


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
