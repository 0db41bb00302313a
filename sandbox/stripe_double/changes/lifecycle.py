"""The turns in a subscription's life, each with the fields and events that Stripe gives it."""

from collections.abc import Callable

from msgspec import structs

from sandbox.stripe_double.changes.objects import ObjectChanges
from sandbox.stripe_double.changes.subscriptions import Subscriptions
from sandbox.stripe_double.objects.customer import CUSTOMER
from sandbox.stripe_double.objects.seeds import period_around
from sandbox.stripe_double.objects.states import TERMINAL_STATUSES, Item
from sandbox.stripe_double.realm.part import RealmPart
from sandbox.stripe_double.realm.realm import Realm


class Lifecycle(RealmPart):
    """`events` as in `ObjectChanges`."""

    def __init__(self, find: Callable[[], Realm]) -> None:
        super().__init__(find)
        self._subscriptions = Subscriptions(find)
        self._customers = ObjectChanges(find, CUSTOMER)

    def activate(self, subscription: str, *, events: int = 1) -> str:
        """First payment made, trial over, or debt settled."""
        return self._subscriptions.update(subscription, status="active", events=events)

    def pause(self, subscription: str, *, events: int = 1) -> str:
        """The status `paused`, as after a trial without a payment method."""
        return self._move(subscription, "paused", "paused", events, paused_at=self._realm.second())

    def resume(self, subscription: str, *, events: int = 1) -> str:
        return self._move(subscription, "active", "resumed", events, paused_at=None)

    def pause_collection(
        self,
        subscription: str,
        *,
        behavior: str = "void",
        resumes_at: int | None = None,
        events: int = 1,
    ) -> str:
        pause = {"behavior": behavior, "resumes_at": resumes_at}
        return self._subscriptions.update(subscription, pause_collection=pause, events=events)

    def cancel(
        self,
        subscription: str,
        *,
        at_period_end: bool = False,
        in_portal: bool = False,
        events: int = 1,
    ) -> str:
        """Now, or when its period ends; nothing happens to one that has ended.

        In the customer portal a flexible one gets `cancel_at`, and no `cancel_at_period_end`.
        """
        realm = self._realm
        with realm.lock:
            now = realm.second()
            reason = "cancellation_requested"
            before = self._subscriptions.get(subscription)
            if before.status in TERMINAL_STATUSES:
                return subscription
            if at_period_end:
                return self._subscriptions.update(
                    subscription,
                    cancel_at_period_end=not (in_portal and before.billing_mode == "flexible"),
                    cancel_at=max((item.current_period_end for item in before.items), default=now),
                    canceled_at=now,
                    cancellation_reason=reason,
                    events=events,
                )
            state = structs.replace(
                before,
                status="canceled",
                canceled_at=before.canceled_at or now,
                ended_at=now,
                cancel_at_period_end=False,
                cancellation_reason=reason,
            )
            realm.keep(state)
            realm.emit("customer.subscription.deleted", state, times=events)
            return subscription

    def expire(self, subscription: str, *, events: int = 1) -> str:
        """An incomplete one whose first payment never came."""
        realm = self._realm
        with realm.lock:
            before = self._subscriptions.get(subscription)
            ended = realm.second()
            state = structs.replace(before, status="incomplete_expired", ended_at=ended)
            return self._subscriptions.become(before, state, events, asked=False)

    def renew(self, subscription: str, *, events: int = 1) -> str:
        """Every item goes into the period that follows its present one."""
        realm = self._realm
        with realm.lock:
            before = self._subscriptions.get(subscription)
            items = tuple(_renewed(item) for item in before.items)
            state = structs.replace(before, items=items, latest_invoice=realm.other_id("in_"))
            return self._subscriptions.become(before, state, events, asked=False)

    def delete_customer(self, customer: str, *, events: int = 1) -> str:
        """Cancels the customer's subscriptions first, as Stripe does."""
        realm = self._realm
        with realm.lock:
            if self._customers.get(customer).deleted:
                return customer
            for number in realm.subscriptions_of(customer):
                subscription = realm.subscriptions.state(number)
                if subscription is not None and subscription.ended_at is None:
                    self.cancel(subscription.id, events=events)
            return self._customers.delete(customer, events=events)

    def _move(
        self, subscription: str, status: str, kind: str, events: int, *, paused_at: int | None
    ) -> str:
        """Into or out of `paused`, which Stripe tells by two events."""
        with self._realm.lock:
            before = self._subscriptions.get(subscription)
            if before.status == status:
                return subscription
            state = structs.replace(before, status=status, paused_at=paused_at)
            self._subscriptions.become(before, state, events)
            self._realm.emit(f"customer.subscription.{kind}", state, times=events)
            return subscription


def _renewed(item: Item) -> Item:
    start = item.current_period_end
    _, end = period_around(item.price, start, start)
    return structs.replace(item, current_period_start=start, current_period_end=end)
