"""What is read ahead comes in order, no further than there is room, with what went wrong."""

import threading
from collections.abc import Iterator
from itertools import count

import pytest

from reconcile.deliveries.prefetch import Prefetch


def test_everything_comes_in_its_order() -> None:
    prefetch = Prefetch(iter(range(50)), 3)
    assert list(prefetch) == list(range(50))
    prefetch.close()


def test_no_more_is_read_than_there_is_room() -> None:
    read: list[int] = []
    third = threading.Event()

    def source() -> Iterator[int]:
        for number in count():
            read.append(number)
            if number == 2:
                third.set()
            yield number

    prefetch = Prefetch(source(), 3)
    assert third.wait(10)
    prefetch.close()
    assert read == [0, 1, 2]


def test_what_the_source_raises_is_raised_after_what_came_before() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    found: list[int] = []
    prefetch = Prefetch(source(), 3)
    with pytest.raises(ValueError, match="broken"):
        found.extend(prefetch)
    assert found == [1]
    prefetch.close()
