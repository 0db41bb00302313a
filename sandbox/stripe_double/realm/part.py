"""One subject of what can be done to a realm."""

from collections.abc import Callable

from sandbox.stripe_double.realm.realm import Realm


class RealmPart:
    """Acts on the realm that `find` gives: resets put another in its place."""

    def __init__(self, find: Callable[[], Realm]) -> None:
        self._find = find

    @property
    def _realm(self) -> Realm:
        return self._find()
