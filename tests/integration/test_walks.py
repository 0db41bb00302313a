"""The ways through the house, file by file: docs/architecture.md names every file that runs."""

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import psycopg

from sandbox.stripe_double import StripeDouble
from tests.builders import Endpoint, reconcile

ROOT = Path(__file__).parents[2]
PRODUCT = tuple(f"{ROOT}/{name}/" for name in ("webhook", "reconcile", "shared"))
# They are reached from everywhere, and tell nothing about a way.
EVERYWHERE = {"shared/errors.py", "shared/setting_readers.py"}


def told(*headings: str) -> set[str]:
    """The files that the page names under these headings."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    parts = {part.partition("\n")[0]: part for part in page.split("\n## ")}
    return {name for heading in headings for name in re.findall(r"`([\w/]+\.py)`", parts[heading])}


@contextmanager
def seen() -> Iterator[set[str]]:
    """The product's files of which a function runs, in whatever thread."""
    found: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        is_called = event == "call" and code.co_name != "<module>"
        if is_called and code.co_filename.startswith(PRODUCT):
            found.add(code.co_filename.removeprefix(f"{ROOT}/"))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def passed(work: Callable[[], object]) -> set[str]:
    with seen() as found:
        work()
    return found - EVERYWHERE


def test_common_event_passes_no_file_that_its_way_does_not_name(
    database_url: str, stripe_double: StripeDouble
) -> None:
    control = stripe_double.control
    with Endpoint(database_url, stripe_double) as endpoint:
        name = control.create_subscription()
        for event in control.events():
            endpoint.post(control.event_body(event["id"]))
        control.advance(60)
        before = len(control.events())
        control.update_subscription(name, metadata={"a": "b"})
        body = control.event_body(control.events()[before]["id"])
        answers = []
        files = passed(lambda: answers.append(endpoint.post(body).json))
    assert answers == [{"outcome": "applied"}]
    assert "shared/repository/apply_event.py" in files
    assert files - told("An event's way") == set()


def test_window_in_sync_and_a_repair_pass_no_file_that_their_way_does_not_name(
    database_url: str, stripe_double: StripeDouble, connection: psycopg.Connection
) -> None:
    control = stripe_double.control
    control.create_subscription(events=0)
    control.advance(3_600)
    reconcile(database_url, stripe_double)
    for writes in (True, False):
        files = passed(lambda w=writes: reconcile(database_url, stripe_double, writes=w))  # type: ignore[misc]
        assert "reconcile/windows/listing.py" in files
        # A report keeps the differences that there are not in a file of their own.
        assert files - told("A window's way", *([] if writes else ["A repair's way"])) == set()
    connection.execute("UPDATE stripe.subscriptions SET status = 'canceled'")
    reports = []
    files = passed(lambda: reports.append(reconcile(database_url, stripe_double)))
    assert [row.action for row in reports[0].drift()] == ["repaired"]
    assert files - told("A window's way", "A repair's way") == set()
