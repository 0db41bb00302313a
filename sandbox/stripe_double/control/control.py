"""Everything that a test or a scenario can do to one realm of the double, thread-safe."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from sandbox.stripe_double.changes.churn import Churn
from sandbox.stripe_double.changes.customers import Customers
from sandbox.stripe_double.changes.lifecycle import Lifecycle
from sandbox.stripe_double.changes.objects import Objects
from sandbox.stripe_double.changes.seeding import Seeding
from sandbox.stripe_double.changes.shop import Shop
from sandbox.stripe_double.changes.subscriptions import Subscriptions
from sandbox.stripe_double.control.truth import Truth
from sandbox.stripe_double.control.world_parts import Asked, Time, Trouble, WorldPart
from sandbox.stripe_double.delivery.mail import Mail
from sandbox.stripe_double.http.keys import MAIN_ACCOUNT
from sandbox.stripe_double.http.server import World
from sandbox.stripe_double.realm.part import RealmPart
from sandbox.stripe_double.realm.realm import Realm
from sandbox.stripe_double.realm.switches import Switches

P = ParamSpec("P")
R = TypeVar("R")
Part = TypeVar("Part", bound=RealmPart | WorldPart)


def _of(
    part: type[Part], method: Callable[Concatenate[Part, P], R]
) -> Callable[Concatenate["Control", P], R]:
    """A method of the control that is one of its part."""

    @wraps(method)
    def call(control: "Control", /, *args: P.args, **keywords: P.kwargs) -> R:
        return method(control.part(part), *args, **keywords)

    return call


class Control:
    """One class a subject; here is what there is."""

    create_customer = _of(Customers, Customers.create)
    update_customer = _of(Customers, Customers.update)
    delete_customer = _of(Lifecycle, Lifecycle.delete_customer)

    create_product = _of(Shop, Shop.create_product)
    update_product = _of(Shop, Shop.update_product)
    delete_product = _of(Shop, Shop.delete_product)
    create_price = _of(Shop, Shop.create_price)
    update_price = _of(Shop, Shop.update_price)
    delete_price = _of(Shop, Shop.delete_price)

    create_subscription = _of(Subscriptions, Subscriptions.create)
    update_subscription = _of(Subscriptions, Subscriptions.update)
    add_item = _of(Subscriptions, Subscriptions.add_item)
    remove_item = _of(Subscriptions, Subscriptions.remove_item)
    change_item = _of(Subscriptions, Subscriptions.change_item)
    activate = _of(Lifecycle, Lifecycle.activate)
    pause = _of(Lifecycle, Lifecycle.pause)
    resume = _of(Lifecycle, Lifecycle.resume)
    pause_collection = _of(Lifecycle, Lifecycle.pause_collection)
    cancel = _of(Lifecycle, Lifecycle.cancel)
    expire = _of(Lifecycle, Lifecycle.expire)
    renew = _of(Lifecycle, Lifecycle.renew)

    create = _of(Objects, Objects.create)
    update = _of(Objects, Objects.update)
    emit = _of(Objects, Objects.emit)
    emit_object = _of(Objects, Objects.emit_object)
    seed = _of(Seeding, Seeding.seed)
    churn = _of(Churn, Churn.churn)

    truth = _of(Truth, Truth.truth)
    truths = _of(Truth, Truth.truths)
    history = _of(Truth, Truth.history)
    ids = _of(Truth, Truth.ids)
    events = _of(Truth, Truth.events)
    event_types = _of(Truth, Truth.event_types)

    deliver = _of(Mail, Mail.deliver)
    send = _of(Mail, Mail.send)
    redeliver = _of(Mail, Mail.redeliver)
    redeliver_until_accepted = _of(Mail, Mail.redeliver_until_accepted)
    outbox = _of(Mail, Mail.outbox)
    undelivered = _of(Mail, Mail.undelivered)
    lost = _of(Mail, Mail.lost)
    requeue = _of(Mail, Mail.requeue)
    drop = _of(Mail, Mail.drop)
    list_event_late = _of(Mail, Mail.list_event_late)
    event_body = _of(Mail, Mail.event_body)
    thin_body = _of(Mail, Mail.thin_body)

    now = _of(Time, Time.now)
    advance = _of(Time, Time.advance)
    set_clock = _of(Time, Time.set_clock)

    switch = _of(Trouble, Trouble.switch)
    add_key = _of(Trouble, Trouble.add_key)
    revoke_key = _of(Trouble, Trouble.revoke_key)
    fault = _of(Trouble, Trouble.fault)
    clear_faults = _of(Trouble, Trouble.clear_faults)
    hold = _of(Trouble, Trouble.hold)
    hook = _of(Trouble, Trouble.hook)
    clear_interventions = _of(Trouble, Trouble.clear_interventions)

    requests = _of(Asked, Asked.requests)
    request_counts = _of(Asked, Asked.request_counts)
    clear_requests = _of(Asked, Asked.clear_requests)

    def __init__(self, world: Callable[[], World], account: str, *, livemode: bool) -> None:
        self._world = world
        self._account = account
        self._livemode = livemode
        self._parts: dict[type[Any], Any] = {}

    def realm(self, account: str = MAIN_ACCOUNT, *, livemode: bool = False) -> "Control":
        """The control over another account or mode."""
        return Control(self._world, account, livemode=livemode)

    def part(self, part: type[Part]) -> Part:
        """One subject of it."""
        if part not in self._parts:
            make: Callable[[Any], Part] = part
            self._parts[part] = make(self._find if issubclass(part, RealmPart) else self._world)
        found: Part = self._parts[part]
        return found

    @property
    def switches(self) -> Switches:
        """A copy of what is set."""
        return self.part(Trouble).switches()

    @property
    def prices(self) -> dict[str, str]:
        """The ids of the prices on offer by the double's names for them."""
        return dict(self._find().price_names)

    @property
    def products(self) -> dict[str, str]:
        """The ids of the products on offer by the double's names for them."""
        return dict(self._find().product_names)

    def _find(self) -> Realm:
        return self._world().realm(self._account, livemode=self._livemode)
