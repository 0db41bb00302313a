"""What is mirrored. To mirror one more object: its declaration, one line here, and a migration."""

from __future__ import annotations

from shared.objects.customer import CUSTOMER
from shared.objects.declaration import MirroredObject
from shared.objects.price import PRICE
from shared.objects.product import PRODUCT
from shared.objects.subscription import SUBSCRIPTION

MIRRORED: tuple[MirroredObject, ...] = (
    CUSTOMER,
    PRODUCT,
    PRICE,
    SUBSCRIPTION,
)
"""Every mirrored object, in the order in which a run compares them and a report counts them.

What others refer to comes before them, so that whoever adds a foreign key finds it filled.
"""

BY_NAME: dict[str, MirroredObject] = {mirrored.name: mirrored for mirrored in MIRRORED}
"""The mirrored objects by name. A thin event may tell of any of them, whatever its type."""

EVENT_TYPES: dict[str, MirroredObject] = {
    event_type: mirrored for mirrored in MIRRORED for event_type in mirrored.events
}
"""The event types that are applied, with the object that each carries."""


def named_by(object_id: str) -> MirroredObject:
    """Return the object that an id is one of by its prefix, by default a subscription."""
    prefix = object_id.partition("_")[0]
    return next((one for one in MIRRORED if one.prefix == prefix), SUBSCRIPTION)
