"""What is known of Stripe's answers, one fact a row with its source.

Sources are Stripe's documentation, the pinned library, and answers of the real API that others
recorded in public. A double that is kinder than Stripe lets faults of its clients pass.
"""

from typing import Any, NamedTuple

PROBES = "github.com/Kiln-AI/stripe_world: sandbox probes of 2026-09-22 at 2026-08-26.dahlia"
DOCS = "https://docs.stripe.com/"
ERRORS = DOCS + "error-codes"
LISTS = DOCS + "api/pagination"
RECORDED = "evt_1Sj92sQEUxc7vavP9uhaHXpO, a real event of 2025-12-15.clover that is public"
TRIED = "answers of the real API, tried in November 2026"
LIBRARY = "stripe-python 16.1.0, "
AIRBYTE = "github.com/airbytehq/airbyte: source-stripe, recorded 400 of /v1/events?limit=x"
NO_CURSOR = "github.com/stripe/stripe-go/issues/1030: recorded 400 for a cursor that is unknown"

STATUSES = (
    "Invalid status: must be one of active, past_due, unpaid, canceled, incomplete, "
    "incomplete_expired, trialing, paused, all, or ended"
)
BOTH = "Received both starting_after and ending_before parameters. Please pass in only one."
ONE, MANY = "/v1/subscriptions/{one}", "/v1/subscriptions/{many}"

ABSENT = object()


class Fact(NamedTuple):
    """`shows`: what stands in the answer, by its path in it; `data.#` is the number of objects."""

    says: str
    source: str
    path: str
    params: dict[str, Any]
    status: int
    shows: dict[str, Any]


def refused(
    says: str, source: str, path: str, params: dict[str, Any], message: str, **error: Any
) -> Fact:
    given = {"type": "invalid_request_error", "code": ABSENT, "param": ABSENT, **error}
    shows = {f"error.{name}": value for name, value in given.items()}
    return Fact(says, source, path, params, 400, {**shows, "error.message": message})


FACTS = [
    # Parameters
    *(
        refused(
            f"an unknown parameter is refused by name at {path}",
            f"{PROBES}; {ERRORS}#parameter-unknown",
            path,
            {"subscription": "{one}", "nope": "x"} if "items" in path else {"nope": "x"},
            "Received unknown parameter: nope",
            code="parameter_unknown",
            param="nope",
        )
        for path in (
            "/v1/subscriptions",
            ONE,
            "/v1/subscription_items",
            "/v1/customers",
            "/v1/customers/{old}",
            "/v1/products",
            "/v1/products/{unsold}",
            "/v1/prices",
            "/v1/prices/{price}",
            "/v1/events",
            "/v1/events/{event}",
            "/v1/account",
        )
    ),
    refused(
        "a parameter of another endpoint is unknown",
        LIBRARY + "params/_customer_list_params.py",
        "/v1/customers",
        {"status": "all"},
        "Received unknown parameter: status",
        code="parameter_unknown",
        param="status",
    ),
    refused(
        "a range has its four keys only",
        LIBRARY + "params/_subscription_list_params.py",
        "/v1/subscriptions",
        {"created_before": 1},
        "Received unknown parameter: created[before]",
        code="parameter_unknown",
        param="created[before]",
    ),
    refused(
        "several unknown parameters are named together",
        "github.com/juspay/hyperswitch-prism: recorded 400 parameter_unknown of March 2026",
        "/v1/events",
        {"billing_details": 1, "kind": "x"},
        "Received unknown parameters: billing_details, kind",
        code="parameter_unknown",
        param="billing_details",
    ),
    refused(
        "a status that is none is refused with the list, and without a code",
        PROBES,
        "/v1/subscriptions",
        {"status": "bogus"},
        STATUSES,
        param="status",
    ),
    refused(
        "an empty parameter is refused",
        ERRORS + "#parameter-invalid-empty",
        "/v1/subscriptions",
        {"starting_after": ""},
        "You passed an empty string for 'starting_after'. We assume empty values are an attempt to "
        "unset a parameter; however 'starting_after' cannot be unset. You should remove "
        "'starting_after' from your request or supply a non-empty value.",
        code="parameter_invalid_empty",
        param="starting_after",
    ),
    refused(
        "a required parameter is missed by name",
        f"{PROBES}; {ERRORS}#parameter-missing",
        "/v1/subscription_items",
        {},
        "Missing required param: subscription.",
        code="parameter_missing",
        param="subscription",
    ),
    *(
        refused(
            f"{name} takes integers",
            AIRBYTE,
            "/v1/events",
            {name: "x"},
            "Invalid integer: x",
            code="parameter_invalid_integer",
            param=param,
        )
        for name, param in (("limit", "limit"), ("created_gte", "created[gte]"))
    ),
    refused(
        "a list's objects are expanded under data",
        PROBES,
        "/v1/customers",
        {"expand": "bogus"},
        "This property cannot be expanded (bogus). You may want to try expanding 'data.bogus' "
        "instead.",
    ),
    refused(
        "what is no reference is not expanded",
        PROBES,
        ONE,
        {"expand": "bogus.deep.path"},
        "This property cannot be expanded (bogus).",
    ),
    Fact(
        "data itself is expanded to no effect", PROBES, "/v1/customers", {"expand": "data"}, 200, {}
    ),
    # Pages
    *(
        Fact(
            f"limit={limit} is taken for {length} at {path}",
            PROBES,
            path,
            {**params, "limit": limit},
            200,
            {"data.#": length, "has_more": True},
        )
        for path, params in (
            ("/v1/customers", {}),
            ("/v1/subscriptions", {"status": "all"}),
            ("/v1/events", {}),
            ("/v1/subscription_items", {"subscription": "{crowded}"}),
        )
        for limit, length in ((0, 1), (-1, 1), (1, 1), (101, 100), (200, 100))
    ),
    Fact("ten objects are a page", LISTS, "/v1/customers", {}, 200, {"data.#": 10}),
    Fact(
        "a list has four fields",
        LISTS,
        "/v1/customers",
        {"limit": 1, "email": "nobody@example.com"},
        200,
        {"": {"object": "list", "data": [], "has_more": False, "url": "/v1/customers"}},
    ),
    *(
        refused(
            f"an id never known is no {param} at {path}",
            f"{PROBES}; {NO_CURSOR}",
            path,
            {**params, param: "nope"},
            f"No such {kind}: 'nope'",
            code="resource_missing",
            param=param,
        )
        for path, params, kind in (
            ("/v1/customers", {}, "customer"),
            ("/v1/subscriptions", {}, "subscription"),
            ("/v1/products", {}, "product"),
            ("/v1/prices", {}, "price"),
            ("/v1/events", {}, "event"),
            ("/v1/subscription_items", {"subscription": "{one}"}, "subscription_item"),
        )
        for param in ("starting_after", "ending_before")
    ),
    *(
        refused(
            f"two cursors are refused at {path}",
            PROBES,
            path,
            {**params, "starting_after": cursor, "ending_before": cursor},
            BOTH,
        )
        for path, params, cursor in (
            ("/v1/customers", {}, "{old}"),
            ("/v1/subscriptions", {}, "{one}"),
            ("/v1/events", {}, "{event}"),
            ("/v1/subscription_items", {"subscription": "{one}"}, "{item}"),
        )
    ),
    refused(
        "an unknown cursor is refused before two of them",
        PROBES,
        "/v1/customers",
        {"starting_after": "cus_nope", "ending_before": "{old}"},
        "No such customer: 'cus_nope'",
        code="resource_missing",
        param="starting_after",
    ),
    Fact(
        "a list goes on from where a deleted customer stood",
        TRIED,
        "/v1/customers",
        {"starting_after": "{gone}", "limit": 1},
        200,
        {"data.0.id": "{old}"},
    ),
    Fact(
        "and back to what is newer than it",
        TRIED,
        "/v1/customers",
        {"ending_before": "{gone}", "limit": 1},
        200,
        {"data.0.id": "{next}"},
    ),
    Fact(
        "items go on from where a removed one stood",
        TRIED,
        "/v1/subscription_items",
        {"subscription": "{many}", "starting_after": "{removed}", "limit": 1},
        200,
        {"data.0.id": "{last}", "data.#": 1, "has_more": False},
    ),
    refused(
        "a subscription that has left the filter by status is no cursor",
        "github.com/stripe/sync-engine-fork/pull/378",
        "/v1/subscriptions",
        {"status": "active", "starting_after": "{canceled}"},
        "No such subscription: '{canceled}'",
        code="resource_missing",
        param="starting_after",
    ),
    # Errors
    Fact(
        "an unknown id is 404",
        PROBES,
        "/v1/customers/nope",
        {},
        404,
        {"error.code": "resource_missing", "error.param": "id"},
    ),
    Fact(
        "an unknown URL is 404 without a code",
        "stripe-ruby and stripe-node issue trackers, quoted many times",
        "/v1/nothing",
        {},
        404,
        {
            "error.code": ABSENT,
            "error.message": "Unrecognized request URL (GET: /v1/nothing). Please see "
            "https://stripe.com/docs or we can help at https://support.stripe.com/.",
        },
    ),
    # Bodies
    *(
        Fact(says, source, ONE, {}, 200, shows)
        for says, source, shows in (
            (
                "a new subscription is flexible",
                DOCS + "billing/subscriptions/billing-mode/compare",
                {"billing_mode.type": "flexible"},
            ),
            ("it is of one mode from the start", RECORDED, {"billing_mode.updated_at": ABSENT}),
            (
                "its discounts are included",
                RECORDED,
                {"billing_mode.flexible.proration_discounts": "included"},
            ),
            (
                "one item's price stands beside it as a plan",
                RECORDED,
                {"plan.object": "plan", "plan.amount": 900, "quantity": 3},
            ),
            ("billed_until is left out", RECORDED, {"items.data.0.billed_until": ABSENT}),
            (
                "a card without a mandate has no mandate_options",
                RECORDED,
                {
                    "payment_settings.payment_method_options.card": {
                        "network": None,
                        "request_three_d_secure": "automatic",
                    }
                },
            ),
            (
                "a trial's end says what becomes of the anchor",
                LIBRARY + "_subscription.py, TrialSettings.EndBehavior",
                {"trial_settings.end_behavior.billing_cycle_anchor": None},
            ),
            (
                "periods are the items' own",
                DOCS
                + "changelog/basil/2025-03-31/deprecate-subscription-current-period-start-and-end",
                {"current_period_end": ABSENT, "items.data.0.current_period_start": 1_790_000_000},
            ),
            ("an embedded list counts its items", RECORDED, {"items.total_count": 1}),
            ("a customer of old has no account", RECORDED, {"customer_account": None}),
        )
    ),
    Fact(
        "several items have no plan beside them",
        'API reference of 2020: plan is "only set if the subscription contains a single plan"',
        MANY,
        {},
        200,
        {"plan": ABSENT, "quantity": ABSENT, "items.total_count": 2},
    ),
    Fact(
        "a metered price has no quantity",
        LIBRARY + "_subscription_item.py, quantity",
        "/v1/subscriptions/{metered}",
        {},
        200,
        {"quantity": ABSENT, "items.data.0.quantity": ABSENT, "plan.usage_type": "metered"},
    ),
    Fact(
        "names that a customer has not are left out",
        TRIED,
        "/v1/customers/{old}",
        {},
        200,
        {"business_name": ABSENT, "individual_name": ABSENT, "email": "old@example.com"},
    ),
    Fact(
        "a deleted customer is what is left of it",
        DOCS + "api/customers/delete",
        "/v1/customers/{gone}",
        {},
        200,
        {"": {"id": "{gone}", "object": "customer", "deleted": True}},
    ),
    Fact(
        "a cancellation in the portal sets its time alone",
        "sub_1U5WJA1CARzecF19eGki4lwj, a real answer of 2026-04-22.dahlia that is public",
        "/v1/subscriptions/{leaving}",
        {},
        200,
        {"cancel_at_period_end": False, "cancel_at": 1_792_592_000, "status": "active"},
    ),
    Fact(
        "a cancellation by the API sets both",
        "sub_1ShJJoBxyBErCNcA9CGI3naK, a real answer of December 2025 that is public",
        "/v1/subscriptions/{ending}",
        {},
        200,
        {"cancel_at_period_end": True, "cancel_at": 1_792_592_000, "status": "active"},
    ),
    Fact(
        "an event whose destination is an account's own has no context",
        RECORDED,
        "/v1/events/{event}",
        {},
        200,
        {"context": ABSENT, "account": ABSENT, "request.idempotency_key": None},
    ),
]
