"""What a test or a scenario can set about the double as a whole."""

from typing import Literal

from msgspec import Struct, ValidationError, convert, structs

from sandbox.stripe_double.objects.states import NEWEST_VERSION


class Switches(Struct, kw_only=True):
    """Real time is in seconds of the host, lags are in seconds of the double's clock.

    `cursor_in_range`: what a cursor does whose object lies inside the `created` range of the same
    request. Stripe's engineers saw it return an empty page or lose the rest of the cursor's
    second (stripe/sync-engine-fork, pull request 378). `fractions`: ranges of `created` compare
    fractions of a second that no body shows, so that `lte` a second leaves out what came within it.
    `deleted_cursor`: whether a list goes on from where a deleted object stood, or knows it no more
    (as plans did in 2020: stripe/stripe-go, issue 1030).
    `account_status`: what `GET /v1/account` answers a key that may read it. `event_context`: whose
    events these are at an organization's destination, `acct_...` or `org_.../acct_...`.
    `accounts_v2`: how customers made from now on are kept. `beside`: as a customer and an account
    that are the same; `instead`: subscriptions name the account alone, whose own events are thin.
    `shop`: whether what is sold from the start is in lists, and among what a judge looks for.
    """

    account_status: Literal[200, 400, 401, 403, 404, 500, 503] = 200
    account_version: str = NEWEST_VERSION
    accounts_v2: Literal["off", "beside", "instead"] = "off"
    churn_on_list: bool = False
    compact: bool = False
    cursor_in_range: Literal["empty", "skips_second", "works"] = "empty"
    deleted_cursor: Literal["goes_on", "missing"] = "goes_on"
    embedded_items: int = 10
    endpoint_concurrency: int | None = None
    endpoint_rate: float = 25.0
    event_context: str | None = None
    expand_customer: bool = False
    fractions: bool = False
    global_concurrency: int | None = None
    gzip_level: int = 2
    lag: float = 0.0
    lag_events: float = 0.0
    lag_items: float = 0.0
    latency: float = 0.0
    live_rate: float = 100.0
    paused_without_items: bool = False
    rate_limits: bool = False
    sandbox_rate: float = 25.0
    shop: Literal["open", "closed"] = "open"

    def set(self, values: dict[str, object]) -> None:
        """Set some; ValueError, and nothing set, when a name or a value is none of a switch."""
        unknown = values.keys() - set(self.__struct_fields__)
        if unknown:
            raise ValueError(f"no such switch: {', '.join(sorted(unknown))}")
        try:
            valid = convert({**structs.asdict(self), **values}, Switches)
        except ValidationError as error:
            raise ValueError(str(error)) from error
        for name in values:
            setattr(self, name, getattr(valid, name))

    def copy(self) -> "Switches":
        return structs.replace(self)
