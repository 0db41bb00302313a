"""Whose database, whose key: a run of the wrong one stops before it compares anything."""

from __future__ import annotations

from reconcile.connections import RetryingDatabase
from shared.errors import NotPermitted, ObjectMissing, UnreadableObject, WrongAccount
from shared.objects.catalogue import MIRRORED
from shared.repository.account import Account, claim_account, read_account
from shared.repository.rows import newest_ids
from shared.stripe.account import require_same_id, require_same_mode
from shared.stripe.api import StripeApi

_PROBES = 5

_ACCOUNT_SECONDS = 5.0
"""What the account's id, which a run can do without, may cost of its time."""


def require_same_account(database: RetryingDatabase, stripe: StripeApi, *, claim: bool) -> Account:
    """Return the account that both sides belong to. Raises WrongAccount.

    The mode is told by the key itself. The account's id needs a permission that a restricted key
    may lack, and Stripe may answer anything else in its place. So rows of the database vouch for
    it too, of those objects that never vanish from Stripe: a key that knows none of the newest ones
    is another account's. `claim`: enter whose database this is, where that is not known yet.
    """
    held = database.read(read_account)
    if held is not None:
        require_same_mode(held, stripe.livemode)
    account_id = stripe.account_id(_ACCOUNT_SECONDS)
    known = held.id if held else None
    if held is not None:
        require_same_id(held, account_id)
    if known is None or account_id is None:
        _probe(database, stripe)
    account = Account(account_id or known, stripe.livemode)
    if claim and (held is None or (held.id is None and account_id is not None)):
        return database.read(lambda connection: claim_account(connection, account))
    return account


def _probe(database: RetryingDatabase, stripe: StripeApi) -> None:
    """Ask Stripe for the newest rows of what vouches; at least one must be known to it."""
    unknown: list[str] = []
    for mirrored in reversed([one for one in MIRRORED if one.vouches]):
        ids = database.read(
            lambda connection, mirrored=mirrored: newest_ids(  # type: ignore[misc]
                connection, mirrored, _PROBES
            )
        )
        for object_id in ids:
            try:
                stripe.retrieve(mirrored, object_id)
            except ObjectMissing:
                unknown.append(object_id)
            except NotPermitted:
                if mirrored.access is not None:
                    raise
                break
            except UnreadableObject:
                return
            else:
                return
    if unknown:
        raise WrongAccount(
            f"this key's account knows none of {', '.join(unknown)}, which the database holds:"
            " it is the key of another account, or that account's data was deleted:"
            " then begin with an empty database"
        )
