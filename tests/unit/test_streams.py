"""The windows of all objects share the streams of one run: they are its memory."""

import io
import threading
from collections import Counter

import pytest

from reconcile.comparison.findings import Findings
from reconcile.deadline import Deadline, Watch
from reconcile.journal.in_file import FileJournal
from reconcile.progress import Display
from reconcile.streams import MOST, MOST_OF_ONE, Streams
from reconcile.windows.frontier import Frontier, Span
from reconcile.windows.window import Window
from shared.objects.column import Column, Type
from shared.objects.declaration import MirroredObject
from shared.stripe.api import StripeApi
from shared.stripe.http import RUN_PATIENCE, StripeHttp

WINDOWS = 40


def declared(number: int) -> MirroredObject:
    return MirroredObject(
        name=f"thing{number}",
        table=f"things{number}",
        prefix=f"thing{number}",
        path=f"/v1/things{number}",
        columns=(Column("id", Type.TEXT, required=True),),
    )


@pytest.mark.parametrize(
    "objects, most",
    [(1, MOST_OF_ONE), (2, 2 * MOST_OF_ONE), (4, MOST), (MOST, MOST), (MOST + 9, MOST)],
)
def test_objects_share_the_streams_of_a_run_evenly_and_walk_every_window(
    objects: int, most: int
) -> None:
    stripe = StripeApi(
        StripeHttp("http://127.0.0.1:1", "sk_test_1", patience=RUN_PATIENCE), livemode=False
    )
    journal = FileJournal(frozenset(), lambda _: {})
    watch = Watch(Deadline(threading.Event(), None), journal, stripe, Display(io.StringIO()))
    frontiers = {
        declared(number): Frontier([Window(at * 10, at * 10 + 1) for at in range(WINDOWS)])
        for number in range(objects)
    }
    lock, full = threading.Lock(), threading.Event()
    running: Counter[str] = Counter()
    at_once: list[Counter[str]] = []

    def inspect(mirrored: MirroredObject, span: Span) -> Findings:
        with lock:
            running[mirrored.name] += 1
            at_once.append(+running)
            if running.total() == most:
                full.set()
        assert full.wait(20)
        with lock:
            running[mirrored.name] -= 1
        return Findings(mirrored=mirrored, window=Window(span.gte, span.lt))

    found = list(Streams(frontiers, stripe, watch).walk(inspect))
    assert len(found) == len({(one.mirrored.name, one.window) for one in found})
    assert len(found) == objects * WINDOWS
    assert max(one.total() for one in at_once) == most
    first_full = next(one for one in at_once if one.total() == most)
    assert len(first_full) == min(objects, MOST)
    assert max(first_full.values()) - min(first_full.values()) <= 1
    journal.close()
