"""The double answers as Stripe is known to answer: a double that is kinder lets faults pass."""

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.stripe_double import MAIN_ACCOUNT, Control, StripeDouble
from sandbox.stripe_double.http.keys import PERMISSIONS
from tests.integration.double_client import Client
from tests.integration.stripe_facts import ABSENT, FACTS, Fact
from tests.integration.stripe_facts_sold import NEEDED, SOLD_FACTS

ALL_FACTS = [*FACTS, *SOLD_FACTS]
LOG = f"https://dashboard.stripe.com/{MAIN_ACCOUNT}/test/workbench/logs?object="


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Client, dict[str, str]]]:
    with StripeDouble.start() as double:
        client = Client(double)
        yield client, _populate(double)
        client.close()


@pytest.fixture
def clients(stripe_double: StripeDouble) -> Iterator[tuple[Client, Client]]:
    """With a live key, and with one that Stripe does not know."""
    opened = Client(stripe_double, key="sk_live_double"), Client(stripe_double, key="sk_test_no")
    yield opened
    for client in opened:
        client.close()


def _populate(double: StripeDouble) -> dict[str, str]:
    """Names of what the facts are about."""
    control = double.control
    old = control.create_customer(email="old@example.com")
    control.advance(1)
    gone = control.create_customer()
    following = control.create_customer()
    control.delete_customer(gone)
    control.set_clock(1_790_000_000 + 1)
    names = {"old": old, "gone": gone, "next": following, "event": control.events()[0]["id"]}
    names["one"] = control.create_subscription(customer=old, quantity=3, created=1_790_000_000)
    names["item"] = _items(control.truth(names["one"]))[0]
    many = names["many"] = control.create_subscription(customer=old)
    names["removed"], names["last"] = control.add_item(many), control.add_item(many)
    control.remove_item(many, names["removed"])
    names["crowded"] = control.create_subscription(items=[{"price": "basic"}] * 130)
    names["metered"] = control.create_subscription(customer=old, price="metered")
    for name, how in (("canceled", {}), ("leaving", {"in_portal": True}), ("ending", {})):
        names[name] = control.create_subscription(customer=old, created=1_790_000_000)
        control.cancel(names[name], at_period_end=name != "canceled", **how)
    names |= _open_shop(double.control)
    control.seed(150)
    for _ in range(110):
        control.update_customer(following, phone=str(control.advance(1)))
    return names


def _open_shop(control: Control) -> dict[str, str]:
    names = {"sold": control.products["pro"], "seats": control.products["seats"]}
    names |= {"tiered": control.prices["tiered"], "price": control.prices["pro"]}
    for name in ("pro_yearly", "yen"):
        control.update_price(name, active=False)
    names["once"] = control.create_price(product="basic", interval=None, unit_amount=100)
    inline = [{"price_data": {"product": "pro", "unit_amount": 77}}]
    made = control.truth(control.create_subscription(items=inline))
    assert made is not None
    names["inline"] = made["items"]["data"][0]["price"]["id"]
    names["unsold"] = control.create_product("Unsold", active=False)
    names["dropped"] = control.create_product("Dropped")
    control.delete_product(names["dropped"])
    return names


def _items(body: dict[str, Any] | None) -> list[str]:
    assert body is not None
    return [item["id"] for item in body["items"]["data"]]


@pytest.mark.parametrize("fact", ALL_FACTS, ids=[fact.says for fact in ALL_FACTS])
def test_double_answers_as_stripe_is_known_to(
    place: tuple[Client, dict[str, str]], fact: Fact
) -> None:
    client, names = place
    params = {name: _filled(value, names) for name, value in fact.params.items()}
    answer = client.get(_filled(fact.path, names), **params)
    body = answer.json()
    assert answer.status == fact.status, body
    for path, expected in fact.shows.items():
        assert _shown(body, path) == _filled(expected, names), (path, fact.source)


def test_every_error_of_a_known_key_says_where_its_log_is(
    place: tuple[Client, dict[str, str]],
) -> None:
    """As in public recordings of 2026; an older form was `/test/logs/req_...`."""
    client, names = place
    for fact in ALL_FACTS:
        if fact.status >= 400:
            params = {name: _filled(value, names) for name, value in fact.params.items()}
            answer = client.get(_filled(fact.path, names), **params)
            error = answer.json()["error"]
            assert error["request_log_url"] == LOG + answer.headers["Request-Id"]
            assert list(error) == sorted(error)


def test_live_errors_and_those_of_wrong_keys_say_it_otherwise(
    clients: tuple[Client, Client],
) -> None:
    live, wrong = clients
    error = live.get("/v1/subscriptions", status="bogus").json()["error"]
    assert error["request_log_url"].startswith(LOG.replace("/test", ""))
    assert "request_log_url" not in wrong.get("/v1/subscriptions").json()["error"]


@pytest.mark.parametrize("permission", PERMISSIONS)
def test_key_without_a_permission_is_told_which_it_lacks(
    stripe_double: StripeDouble, permission: str
) -> None:
    stripe_double.control.add_key("rk_test_lacking", permissions=PERMISSIONS - {permission})
    client = Client(stripe_double, key="rk_test_lacking")
    answer = client.get(f"/v1/{permission}")
    assert answer.status == 403
    assert f"Having the '{NEEDED[permission]}' permission" in answer.json()["error"]["message"]
    client.close()


def _filled(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(one, names) for name, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, names) for one in value]
    if not isinstance(value, str):
        return value
    for name, real in names.items():
        value = value.replace("{" + name + "}", real)
    return value


def _shown(body: Any, path: str) -> Any:
    for step in path.split(".") if path else []:
        if step == "#":
            body = len(body)
        elif isinstance(body, list):
            body = body[int(step)]
        elif step not in body:
            return ABSENT
        else:
            body = body[step]
    return body
