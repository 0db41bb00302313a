"""What the state machine draws from, and how often."""

import os

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from shared.objects.catalogue import MIRRORED
from tests.integration import happenings
from tests.objects import endpoint

_PHASES: tuple[Phase, ...] = (Phase.reuse, Phase.generate)
"""Not the shrinking and the explanation, which would run a failing history for minutes."""

if "STATE_MACHINE_EXAMPLES" in os.environ:
    _PHASES += (Phase.shrink,)

SETTINGS = settings(
    settings.get_profile("suite"),
    max_examples=int(os.environ.get("STATE_MACHINE_EXAMPLES", "12")),
    phases=_PHASES,
    stateful_step_count=int(os.environ.get("STATE_MACHINE_STEPS", "30")),
    suppress_health_check=list(HealthCheck),
)

BEFORE_BASIL = "2024-06-20"

numbers = st.integers(0, 5)
changes = st.sampled_from(happenings.NAMES)
event_counts = st.sampled_from([1, 1, 1, 2, 0])
versions = st.sampled_from([None, None, None, BEFORE_BASIL])
meddlings = st.lists(
    st.one_of(
        st.tuples(st.just("change"), changes, numbers, st.sampled_from([1, 2, 0])),
        st.tuples(st.just("deliver"), st.integers(0, 2)),
    ),
    min_size=1,
    max_size=4,
)
nights = st.fixed_dictionaries(
    {
        "pair": st.sampled_from(happenings.BACK_AND_FORTH),
        "events": st.sampled_from([0, 0, 1]),
        "quiet": st.sampled_from([700.0, 14_000.0, 3.0]),
        "is_listed": st.booleans(),
    }
)
retrievals = st.sampled_from([endpoint(mirrored, "retrieve") for mirrored in MIRRORED])
lists = st.sampled_from([endpoint(mirrored, "list") for mirrored in MIRRORED])
moments = st.sampled_from(["before_read", "after_read"])
