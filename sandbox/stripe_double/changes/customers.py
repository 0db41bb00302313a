"""What can happen to a customer, but for being deleted with all its subscriptions."""

from typing import Any

from sandbox.stripe_double.changes.objects import ObjectChanges
from sandbox.stripe_double.objects.customer import CUSTOMER
from sandbox.stripe_double.realm.part import RealmPart


class Customers(RealmPart):
    """`events` and unknown fields as in `ObjectChanges`."""

    def create(
        self,
        /,
        *,
        id: str | None = None,  # noqa: A002 -- Stripe's own name
        events: int = 1,
        **fields: Any,
    ) -> str:
        """Returns the new id. Fields: email, name, metadata, test_clock, created, phone, ..."""
        realm = self._realm
        with realm.lock:
            number = realm.customers.next_number
            given: dict[str, Any] = {
                "email": f"customer{number}@example.com",
                "name": f"Customer {number}",
            }
            given["invoice_prefix"] = f"INV{number:05d}"
            if realm.switches.accounts_v2 != "off":
                given["customer_account"] = realm.other_id("acct_")
                given["account_only"] = realm.switches.accounts_v2 == "instead"
            return ObjectChanges(self._find, CUSTOMER).create(
                id=id, events=events, **{**given, **fields}
            )

    def update(self, /, customer: str, *, events: int = 1, **fields: Any) -> str:
        return ObjectChanges(self._find, CUSTOMER).update(customer, events=events, **fields)
