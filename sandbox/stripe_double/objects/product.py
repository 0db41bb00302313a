"""Products: what is sold, by its name."""

from sandbox.stripe_double.objects.kind import PAGE_PARAMETERS, Find, Kind, Selection, Style
from sandbox.stripe_double.objects.states import Product
from sandbox.stripe_double.protocol.encoding import JsonObject
from sandbox.stripe_double.protocol.listing import read_boolean
from sandbox.stripe_double.protocol.refusals import Refusal
from sandbox.stripe_double.protocol.request import Request


def product_body(state: Product, _style: Style) -> JsonObject:
    return {
        "id": state.id,
        "object": "product",
        "active": state.active,
        "attributes": [],
        "created": state.created,
        "default_price": state.default_price,
        "description": state.description,
        "images": [],
        "livemode": state.livemode,
        "marketing_features": [],
        "metadata": state.metadata,
        "name": state.name,
        "package_dimensions": None,
        "shippable": state.shippable,
        "statement_descriptor": state.statement_descriptor,
        "tax_code": state.tax_code,
        "tax_details": None,
        "type": "service",
        "unit_label": state.unit_label,
        "updated": state.updated,
        "url": state.url,
        **state.extra,
    }


def _select(request: Request, _find: Find) -> Selection:
    active = read_boolean(request, "active")
    shippable = read_boolean(request, "shippable")
    url, kind = request.value("url"), request.value("type")
    ids = frozenset(request.listed("ids"))
    if ids and (request.value("starting_after") or request.value("ending_before")):
        raise Refusal(400, "You cannot paginate (using starting_after or ending_before) with ids.")

    def listed(state: Product) -> bool:
        return (
            not state.deleted
            and active in {None, state.active}
            and shippable in {None, bool(state.shippable)}
            and url in {None, state.url}
            and kind in {None, "service"}
            and (not ids or state.id in ids)
        )

    return Selection(listed=listed)


PRODUCT = Kind(
    name="product",
    collection="products",
    permission="product",
    state=Product,
    ids=("prod_", 14),
    event="product",
    body=product_body,
    list_parameters=PAGE_PARAMETERS | {"active", "created", "ids", "shippable", "type", "url"},
    select=_select,
    expands=frozenset({"default_price"}),
)
