"""What is sold: products and their prices."""

from collections.abc import Callable
from typing import Any

from sandbox.stripe_double.changes.objects import ObjectChanges
from sandbox.stripe_double.objects.offers import complete_price
from sandbox.stripe_double.objects.price import PRICE
from sandbox.stripe_double.objects.product import PRODUCT
from sandbox.stripe_double.realm.part import RealmPart
from sandbox.stripe_double.realm.realm import Realm


class Shop(RealmPart):
    """`events` and unknown fields as in `ObjectChanges`."""

    def __init__(self, find: Callable[[], Realm]) -> None:
        super().__init__(find)
        self._products = ObjectChanges(find, PRODUCT)
        self._prices = ObjectChanges(find, PRICE)

    def create_product(self, /, name: str = "Product", *, events: int = 1, **fields: Any) -> str:
        """Returns the new id. Fields: description, active, metadata, created, ..."""
        realm = self._realm
        with realm.lock:
            created = fields.setdefault("created", realm.second())
            fields.setdefault("updated", created)
            return self._products.create(name=name, events=events, **fields)

    def update_product(self, /, product: str, *, events: int = 1, **fields: Any) -> str:
        """By its id or the double's name of it; `name` is what Stripe shows of it."""
        product = self._realm.product_names.get(product, product)
        return self._products.update(product, events=events, **fields)

    def delete_product(self, product: str, *, events: int = 1) -> str:
        """ValueError while it has prices, as in Stripe; its last event shows it as inactive."""
        realm = self._realm
        with realm.lock:
            product = realm.product_names.get(product, product)
            shelf = realm.prices
            prices = (realm.find("price", name) for name in shelf.names())
            if any(price.product == product and not price.deleted for price in prices):
                raise ValueError(f"{product} has prices")
            return self._products.delete(product, events=events, active=False)

    def create_price(
        self,
        /,
        name: str | None = None,
        *,
        product: str | None = None,
        events: int = 1,
        **fields: Any,
    ) -> str:
        """Returns the new id. `name`: the double's own, by which items can ask for it.

        Fields: unit_amount, unit_amount_decimal, currency, interval (None: paid once),
        interval_count, usage_type, billing_scheme, tiers, tiers_mode, meter, nickname, lookup_key,
        transform_quantity, tax_behavior, active, inline (in no list), metadata, ... Without them:
        licensed, monthly, in euro, of no amount. `product`: id or name; None makes one.
        """
        realm = self._realm
        with realm.lock:
            if product is None:
                product = self.create_product((name or "Product").capitalize(), events=events)
            given = complete_price(fields)
            self._check_lookup_key(given.get("lookup_key"), None)
            product = realm.product_names.get(product, product)
            price = self._prices.create(product=product, events=events, **given)
            if name is not None:
                realm.price_names[name] = price
            return price

    def update_price(self, /, price: str, *, events: int = 1, **fields: Any) -> str:
        """Fields: active, lookup_key, metadata, nickname, tax_behavior; the rest never changes."""
        realm = self._realm
        with realm.lock:
            price = realm.price_names.get(price, price)
            self._check_lookup_key(fields.get("lookup_key"), price)
            return self._prices.update(price, events=events, **fields)

    def delete_price(self, price: str, *, events: int = 1) -> str:
        """As the Dashboard can, and the API cannot, where nothing was ever sold for it."""
        price = self._realm.price_names.get(price, price)
        return self._prices.delete(price, events=events)

    def _check_lookup_key(self, key: str | None, but: str | None) -> None:
        realm = self._realm
        for name in realm.prices.names() if key is not None else ():
            holder = realm.find("price", name)
            if holder.lookup_key == key and name != but:
                raise ValueError(f"A price (`{name}`) already uses that lookup key.")
