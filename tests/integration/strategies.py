"""What the state machine draws from."""

from hypothesis import strategies as st

from tests.integration import happenings

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
        "pair": st.sampled_from(
            [("fall behind", "activate"), ("pause collection", "collect again")]
        ),
        "events": st.sampled_from([0, 0, 1]),
        "quiet": st.sampled_from([700.0, 14_000.0, 3.0]),
        "is_listed": st.booleans(),
    }
)
moments = st.sampled_from(["before_read", "after_read"])
