"""Which events are still to be sent, which were lost, which nobody accepted."""

from msgspec import Struct, field


class Outbox(Struct):
    """Event ids. `unaccepted`: sent, and answered with something other than 2xx."""

    pending: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    unaccepted: list[str] = field(default_factory=list)
