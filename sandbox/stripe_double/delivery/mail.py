"""The control's part that delivers a realm's events."""

from collections.abc import Sequence

from sandbox.stripe_double.delivery.sending import (
    Delivery,
    DeliveryPlan,
    Letter,
    plan_letters,
    post_letters,
)
from sandbox.stripe_double.objects.kind import Style
from sandbox.stripe_double.protocol.encoding import to_json
from sandbox.stripe_double.realm.events import Event, event_body, thin_body
from sandbox.stripe_double.realm.part import RealmPart

_ONCE = DeliveryPlan()


class Mail(RealmPart):
    def deliver(
        self, url: str, secrets: Sequence[str], plan: DeliveryPlan = _ONCE
    ) -> list[Delivery]:
        """Send the whole outbox, each event signed with every secret."""
        realm = self._realm
        with realm.lock:
            names = realm.outbox.pending
            realm.outbox.pending = []
        deliveries = self._send(url, secrets, plan, names)
        with realm.lock:
            realm.outbox.lost += [one.event_id for one in deliveries if one.lost]
            realm.outbox.pending += [one.event_id for one in deliveries if one.late]
        return deliveries

    def send(
        self, names: Sequence[str], url: str, secrets: Sequence[str], plan: DeliveryPlan = _ONCE
    ) -> list[Delivery]:
        """Send just these events, in this order, whether they wait in the outbox or not."""
        outbox = self._realm.outbox
        with self._realm.lock:
            chosen = set(names)
            outbox.pending = [name for name in outbox.pending if name not in chosen]
            outbox.unaccepted = [name for name in outbox.unaccepted if name not in chosen]
        return self._send(url, secrets, plan, names)

    def redeliver(
        self, url: str, secrets: Sequence[str], plan: DeliveryPlan = _ONCE
    ) -> list[Delivery]:
        """Once more whatever was sent and not accepted, with a new time and signature."""
        realm = self._realm
        with realm.lock:
            names = realm.outbox.unaccepted
            realm.outbox.unaccepted = []
        return self._send(url, secrets, plan, names)

    def redeliver_until_accepted(
        self, url: str, secrets: Sequence[str], plan: DeliveryPlan = _ONCE, *, rounds: int = 10
    ) -> list[Delivery]:
        """Rounds of `redeliver` until everything is accepted; what is not, still stands then."""
        deliveries: list[Delivery] = []
        for _ in range(rounds):
            if not self._realm.outbox.unaccepted:
                break
            deliveries += self.redeliver(url, secrets, plan)
        return deliveries

    def outbox(self) -> list[str]:
        """Events that were not sent yet."""
        return list(self._realm.outbox.pending)

    def undelivered(self) -> list[str]:
        """Events that were sent and not accepted."""
        return list(self._realm.outbox.unaccepted)

    def lost(self) -> list[str]:
        return list(self._realm.outbox.lost)

    def requeue(self, *names: str) -> None:
        """Put events into the outbox again, whatever became of them before."""
        with self._realm.lock:
            self._realm.outbox.pending += [self._event(name).id for name in names]

    def drop(self, *names: str) -> None:
        """Lose events that wait in the outbox; without names, all of them."""
        with self._realm.lock:
            outbox = self._realm.outbox
            gone = set(names or outbox.pending)
            outbox.lost += [name for name in outbox.pending if name in gone]
            outbox.pending = [name for name in outbox.pending if name not in gone]

    def list_event_late(self, name: str, seconds: float) -> None:
        """Let `GET /v1/events` show an event only so long after it was made, by the double's clock.

        Stripe's event list is eventually consistent: it has shown events hours late.
        """
        event = self._event(name)
        with self._realm.lock:
            self._realm.events.shown_from[name] = event.at + seconds

    def event_body(self, name: str, *, api_version: str | None = None) -> bytes:
        """The body as an endpoint of this version gets it, by default of the account's version.

        An event of Stripe's second API has only its thin body.
        """
        realm = self._realm
        with realm.lock:
            event = self._event(name)
            if event.thin_only:
                return self.thin_body(name)
            version = api_version or event.account_version
            embedded = realm.switches.embedded_items
            expand = frozenset({"customer"} if realm.switches.expand_customer else ())
            body = event_body(
                event,
                Style(version=version, embedded=embedded, expand=expand, find=self._customer),
                pending=1,
                drop_items=realm.switches.paused_without_items,
                context=realm.switches.event_context,
            )
        return to_json(body)

    def thin_body(self, name: str) -> bytes:
        """The body of the event's thin twin."""
        realm = self._realm
        with realm.lock:
            context = realm.switches.event_context
            return to_json(thin_body(self._event(name), realm.events.thin_ids, context=context))

    def _send(
        self, url: str, secrets: Sequence[str], plan: DeliveryPlan, names: Sequence[str]
    ) -> list[Delivery]:
        with self._realm.lock:
            events = [(name, self._event(name).type) for name in names]
        deliveries, letters = plan_letters(events, plan)
        post_letters(url, secrets, plan, letters, self._body)
        with self._realm.lock:
            for delivery in deliveries:
                if delivery.accepted:
                    self._realm.events.unaccepted.discard(delivery.event_id)
                elif delivery.answers:
                    self._realm.outbox.unaccepted.append(delivery.event_id)
        return deliveries

    def _body(self, letter: Letter) -> bytes:
        name = letter.delivery.event_id
        if letter.thin:
            return self.thin_body(name)
        return self.event_body(name, api_version=letter.version)

    def _customer(self, kind: str, name: str) -> object:
        """Customers are shown as they are; what an event says of prices is what was so then."""
        return self._realm.find(kind, name) if kind == "customer" else None

    def _event(self, name: str) -> Event:
        found = self._realm.events.find(name)
        if found is None:
            raise LookupError(f"no event {name!r}")
        return found
