"""What is read ahead comes in order, no further than there is room, with what went wrong."""

import threading
from collections.abc import Iterator
from itertools import count

import pytest

from reconcile.ahead import Ahead


def test_everything_comes_in_its_order() -> None:
    ahead = Ahead(iter(range(50)), 3)
    assert list(ahead) == list(range(50))
    ahead.close()


def test_no_more_is_read_than_there_is_room() -> None:
    read: list[int] = []
    third = threading.Event()

    def source() -> Iterator[int]:
        for number in count():
            read.append(number)
            if number == 2:
                third.set()
            yield number

    ahead = Ahead(source(), 3)
    assert third.wait(10)
    ahead.close()
    assert read == [0, 1, 2]


def test_what_the_source_raises_is_raised_after_what_came_before() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    found: list[int] = []
    ahead = Ahead(source(), 3)
    with pytest.raises(ValueError, match="broken"):
        found.extend(ahead)
    assert found == [1]
    ahead.close()
