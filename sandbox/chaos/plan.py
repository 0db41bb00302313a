"""How much of what a chaos run does: all chance in it hangs on the seed."""

from msgspec import Struct

OLD_SHAPE = "2024-06-20"
NEW_SHAPE = "2026-10-28.endive"


class Plan(Struct, frozen=True, kw_only=True):
    """Shares are of all events; times are seconds of the host.

    `rounds`: between two of them Stripe's clock jumps by an hour, so that lists may speak for the
    rows of the round before. `lull`: the part of a round, its last, in which nothing is broken any
    more, so that a run gets to its repairs while life goes on. `seconds`: how long there is life at
    Stripe, the calm between rounds not counted, whatever is left of `events` then.
    """

    seed: int = 1
    events: int = 100_000
    subscriptions: int = 5_000
    seconds: float = 560.0
    rounds: int = 4
    rate: int = 400
    duplicated: float = 0.20
    reordered: float = 0.20
    longest_delay: float = 150.0
    lost: float = 0.05
    thin: float = 0.03
    two_events: float = 0.05
    no_event: float = 0.005
    listed_late: float = 0.03
    bursts: float = 0.05
    pause: tuple[float, float] = (1.0, 5.0)
    pause_of_runs: tuple[float, float] = (10.0, 60.0)
    freeze: tuple[float, float] = (5.0, 10.0)
    settle: float = 120.0
    lull: float = 0.35

    @property
    def clock_off(self) -> int:
        """By how much Stripe's clock differs from the host's at the beginning, in seconds."""
        return 3_600 if self.seed % 2 else -3_600

    @property
    def jump(self) -> int:
        return 3_600

    @property
    def list_lag(self) -> int:
        """How long after it was made the event list shows an event that it shows late.

        One jump is not enough for it: a night passes that knows nothing of it.
        """
        return self.jump * 3 // 2


def small(seed: int) -> Plan:
    """Half a minute of it."""
    return Plan(
        seed=seed,
        events=1_000,
        subscriptions=100,
        seconds=8.0,
        rounds=2,
        rate=150,
        lull=0.25,
        longest_delay=4.0,
        pause=(0.05, 0.2),
        pause_of_runs=(0.1, 1.0),
        freeze=(1.0, 1.5),
        settle=30.0,
    )
