"""What stops a run, in words that promise nothing of the next one."""

import threading

import pytest

from reconcile.deadline import interruptible, unless_stopped
from shared.errors import Interrupted


@pytest.mark.parametrize("how", ["before a question", "in a pause"])
def test_what_a_signal_stops_promises_nothing_of_the_next_run(how: str) -> None:
    """A report, a replay and one subscription have none that goes on; who knows, says it."""
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted, match="stopped by a signal") as ended:
        unless_stopped(stop)() if how == "before a question" else interruptible(stop)(30.0)
    assert "next" not in str(ended.value)
