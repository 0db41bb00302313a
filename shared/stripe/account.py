"""Whose an event is, and whose a key: ours, another's, or not to be told without asking. Pure."""

from __future__ import annotations

from enum import Enum

from shared.errors import WrongAccount
from shared.repository.account import Account
from shared.stripe.event import Event

_ACCOUNT = "acct_"


class Whose(Enum):
    """What an event tells of its owner; another's raises WrongAccount."""

    OURS = "ours"
    NOT_TOLD = "not told"


def whose(event: Event, ours: Account) -> Whose:
    """Say whose an event is. Raises WrongAccount for another mode or account than `ours`.

    | it names | our id is known | not known |
    |---|---|---|
    | nobody | ours | ours |
    | our account | ours | not told |
    | another account | another's | not told |
    | what is no account (`org_...`, an empty word) | not told | not told |

    An event names an account by `account` (a connected one's) and by `context`: an account's id,
    or a path down to it, so the last part is whose it is (docs.stripe.com/context, and Stripe's
    changelog of 2025-04-30). Each name counts. The events of an endpoint of our own name nobody.
    What is not told may be ours, and yet nothing of it may be taken on trust: whether our key
    knows its object says whose it is.
    """
    if event.livemode != ours.livemode:
        raise WrongAccount(
            f"the event is of {mode(event.livemode)} mode,"
            f" the database mirrors {mode(ours.livemode)} mode"
        )
    is_told = True
    for name in _names(event):
        if not name.startswith(_ACCOUNT) or ours.id is None:
            is_told = False
        elif name != ours.id:
            raise WrongAccount("the event is of another account, connected or of one organization")
    return Whose.OURS if is_told else Whose.NOT_TOLD


def require_same_mode(ours: Account, livemode: bool) -> None:
    """Raise WrongAccount where the key is of another mode than the database."""
    if ours.livemode != livemode:
        raise WrongAccount(
            f"the key is of {mode(livemode)} mode, the database mirrors"
            f" {mode(ours.livemode)} mode: set STRIPE_SECRET_KEY or DATABASE_URL to match"
        )


def require_same_id(ours: Account, account_id: str | None) -> None:
    """Raise WrongAccount where the key is of another account, as far as both are known."""
    if ours.id is not None and account_id is not None and ours.id != account_id:
        raise WrongAccount(
            f"the key is of account {account_id}, the database mirrors {ours.id}: set"
            " STRIPE_SECRET_KEY or DATABASE_URL to match"
        )


def mode(livemode: bool) -> str:
    """Return Stripe's word for a mode."""
    return "live" if livemode else "test"


def _names(event: Event) -> set[str]:
    named = set() if event.account is None else {event.account}
    if event.context is not None:
        named.add(event.context.rpartition("/")[2])
    return named
