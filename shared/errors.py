"""Every error the product raises on purpose; each class says what its caller should do.

A message carries the numbers and the next step, and never a secret, a payload or another
system's own text: it may be logged. No message is ever sent to a caller over HTTP.
"""

from collections.abc import Sequence

from shared.truth import Interval
from shared.wording import counted, moment, share


class SubscriptionSyncError(Exception):
    """The root: catch this at an edge, something narrower anywhere else."""


class SettingsError(SubscriptionSyncError):
    """Print the message and exit with 2: the environment is wrong, and nothing was started."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        count = len(self.faults)
        heading = f"{counted(count, 'setting')} {'is' if count == 1 else 'are'} wrong:"
        super().__init__("\n".join([heading, *(f"  {fault}" for fault in self.faults)]))


class WrongUsage(SubscriptionSyncError):
    """Print the message below the usage and exit with 2: the arguments are wrong."""


class DatabaseUnavailable(SubscriptionSyncError):
    """Try again later (503): the database was not reached, or did not answer in time.

    `broken`: a connection that had been fine broke in use; another one may do at once. `hung`: it
    was given time, and no answer came. `patience`: seconds for which it is worth waiting that it
    passes, 0 where only a person can put it right.
    """

    def __init__(
        self, message: str, *, broken: bool = False, hung: bool = False, patience: float = 0.0
    ) -> None:
        self.broken = broken
        self.hung = hung
        self.patience = patience
        super().__init__(message)


class SchemaMismatch(SubscriptionSyncError):
    """Stop (exit 1, 503): the schema is not this version's; the message says what to run."""


class StripeError(SubscriptionSyncError):
    """Stripe gave no usable answer; the narrower classes say whether asking again can help.

    `is_final`: not at once. `retry_after`: Stripe's own wish in seconds, where it gave one.
    """

    def __init__(
        self, message: str, *, is_final: bool = False, retry_after: float | None = None
    ) -> None:
        self.is_final = is_final
        self.retry_after = retry_after
        super().__init__(message)


class StripeUnavailable(StripeError):
    """Try again later (503): network trouble, 429 or 5xx."""


class StripeRefused(StripeUnavailable):
    """Tell the operator that the key is revoked (401) or lacks a permission (403).

    A webhook answers 503, so that Stripe sends again once the key is right. Raise it
    without Stripe's own message, which names the account and the tail of the key.
    """


class KeyRevoked(StripeRefused):
    """Stop (exit 1), or answer 503: Stripe does not know the key at all (401).

    Nothing is optional for it, so it is never passed over as a missing permission may be.
    """


class NotPermitted(StripeRefused):
    """Do without this kind of object where it decides no access, and say so: a 403.

    Else it is as any refusal: nothing can be compared or applied for certain.
    """


class WrongKey(StripeRefused):
    """Answer 503: the key cannot say what became of an object, for it is not the event's account's.

    Stripe sends the event again, and the right key then applies it.
    """

    def __init__(self, event_id: str) -> None:
        super().__init__(
            f"the account and mode of STRIPE_SECRET_KEY do not know the event {event_id}, which"
            " STRIPE_WEBHOOK_SECRET signed: the key is of another account or mode. Set the key of"
            " the account and mode in which the endpoint stands; Stripe sends the event again"
        )


class StripeUnreadable(StripeError):
    """Try again later (503), then report it: an answer the API does not promise (HTML, a half)."""


class ObjectMissing(StripeError):
    """Take the object as gone from Stripe: a retrieve answered 404.

    `as_of`: when that was true.
    """

    def __init__(self, object_id: str, as_of: Interval) -> None:
        self.object_id = object_id
        self.as_of = as_of
        super().__init__(f"Stripe has no object {object_id}", is_final=True)


class UnknownId(SubscriptionSyncError):
    """Exit 1: the id that was named on the command line is known to neither side."""


class NotAnEvent(SubscriptionSyncError):
    """Refuse the request (400): the signed body is not JSON, or not a Stripe event."""


class BadSignature(SubscriptionSyncError):
    """Refuse the request (400). `reason` is a fixed phrase for the log; never tell the caller."""

    def __init__(self, reason: str, seconds: float | None = None, allowed: int = 0) -> None:
        """`seconds`: how old it is by our clock, where that is what is wrong."""
        self.reason = reason
        self.seconds = seconds
        by = "" if seconds is None else f": {abs(seconds):.0f} s away, {allowed} allowed"
        super().__init__(f"the Stripe-Signature header is {reason}{by}")


class ClockWrong(SubscriptionSyncError):
    """Answer 503: this machine's clock is so far from Stripe's that every signature is refused."""


class WrongAccount(SubscriptionSyncError):
    """Refuse and write nothing (400, exit 1): another account or mode than the database mirrors."""


class UnreadableObject(SubscriptionSyncError):
    """Keep the event as failed, to be replayed: not readable at `path`. Carries no values."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"cannot read {path}: {reason}")


class LeaseHeld(SubscriptionSyncError):
    """Exit 1 at once: another run is at work. `until` is epoch seconds."""

    def __init__(self, holder: str, until: int) -> None:
        self.holder = holder
        self.until = until
        if not until:
            super().__init__("another run has only just ended: run again")
            return
        super().__init__(
            f"run {holder} holds the lease until {moment(until)}; it is taken over after that"
        )


class LeaseLost(SubscriptionSyncError):
    """Write nothing more and exit 1: another run has taken the lease over."""


class RepairRefused(SubscriptionSyncError):
    """Print the report and exit 1, no more written: the repair exceeds the limit.

    It may be noticed in the middle of the repairs: who catches it says what was written by then.
    """

    def __init__(
        self,
        *,
        what: str,
        concerned: int,
        rows: int,
        limit: str,
        allowed: int,
        needed: int,
        alone: bool,
    ) -> None:
        """`alone`: it holds back its own object only, and what decides access is repaired."""
        self.concerned = concerned
        self.rows = rows
        self.allowed = allowed
        percent = 100 * concerned / rows if rows else 100.0
        held_back = ", and these alone are held back" if alone else ""
        super().__init__(
            f"{share(concerned, rows, 'row')} ({percent:.2f} %) would {what}, --max-repairs {limit}"
            f" allows {allowed:,}{held_back}: read the report, and if it is right run with"
            f" --max-repairs {needed}"
        )


class ListingBroken(SubscriptionSyncError):
    """Print the report and exit 1, no existing row changed: Stripe's list left out what it has."""

    def __init__(self, left_out: int) -> None:
        super().__init__(
            f"Stripe's list left out {counted(left_out, 'object')} or more that Stripe has, so it"
            " is not to be trusted"
        )


class Interrupted(SubscriptionSyncError):
    """Stop where you are, keep the cursor, exit 1: SIGTERM came. The message says how far it is."""


class DeadlineReached(SubscriptionSyncError):
    """Keep what is compared and the cursor, stop, exit 1. The message says how far it is."""
