"""What can happen to a customer, but for being deleted with all its subscriptions."""

from typing import Any

from msgspec import structs

from sandbox.stripe_double.fields import overlay, split_fields
from sandbox.stripe_double.realm import RealmPart
from sandbox.stripe_double.states import Customer


class CustomerChanges(RealmPart):
    """Each change is one instant of the clock.

    `events` says how many Event objects Stripe makes of a change: 1, or 0 (it failed to), or 2.
    Fields that the double does not know by name, and `extra`, lie over the rendered body as given.
    A change that leaves everything as it was makes no event.
    """

    def create_customer(
        self,
        *,
        id: str | None = None,  # noqa: A002 -- Stripe's own name
        events: int = 1,
        **fields: Any,
    ) -> str:
        """Returns the new id. Fields: email, name, metadata, test_clock, created, phone, ..."""
        realm = self._realm
        with realm.lock:
            number = realm.customers.next_number
            given = {"email": f"customer{number}@example.com", "name": f"Customer {number}"}
            known, extra = split_fields(Customer, {**given, **fields})
            known.setdefault("created", realm.second())
            known.setdefault("invoice_prefix", f"INV{number:05d}")
            if realm.switches.accounts_v2 != "off":
                known.setdefault("customer_account", realm.other_id("acct_"))
                known.setdefault("account_only", realm.switches.accounts_v2 == "instead")
            state = Customer(
                id=id or realm.customers.name(number), livemode=realm.livemode, extra=extra, **known
            )
            realm.customers.add(state, realm.clock.now())
            realm.emit("customer.created", state, times=events)
            return state.id

    def update_customer(self, customer: str, *, events: int = 1, **fields: Any) -> str:
        realm = self._realm
        with realm.lock:
            before = self._customer(customer)
            known, extra = split_fields(Customer, fields)
            state = structs.replace(before, **known, extra=overlay(before.extra, fields, extra))
            if state != before:
                self._keep_customer(state)
                realm.emit("customer.updated", state, before=before, times=events)
            return customer

    def _customer(self, name: str) -> Customer:
        found = self._realm.customers.find(name)
        if found is None:
            raise LookupError(f"no customer {name!r}")
        return found

    def _keep_customer(self, state: Customer) -> None:
        number = self._realm.customers.number(state.id)
        if number is not None:
            self._realm.customers.change(number, state, self._realm.clock.now())
