"""The double as a process of its own, told what to do over HTTP."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import urllib3

from sandbox.stripe_double import StripeDouble
from tests.integration.double_client import RETRY_NEVER, open_endpoint


class Remote:
    """The control of a double at a URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._pool = urllib3.PoolManager(retries=RETRY_NEVER, timeout=10, maxsize=4)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        answer = self._pool.request(method, f"{self.url}/_control/{path}", json=body)
        return answer.status, answer.json()

    def call(self, method: str, *args: object, **keywords: object) -> Any:
        body = {"method": method, "args": args, "keywords": keywords}
        status, answer = self.ask("POST", "call", body)
        assert status == 200, answer
        return answer["result"]

    def get(self, path: str) -> Any:
        headers = {"Authorization": "Bearer sk_test_double"}
        return self._pool.request("GET", f"{self.url}{path}", headers=headers)

    def close(self) -> None:
        self._pool.clear()


@pytest.fixture
def remote(stripe_double: StripeDouble) -> Iterator[Remote]:
    opened = Remote(stripe_double.url)
    yield opened
    opened.close()


def test_every_change_can_be_called_from_afar(remote: Remote) -> None:
    name = remote.call("create_subscription", price="pro", metadata={"a": "b"})
    remote.call("update_subscription", name, description="far")
    item = remote.call("add_item", name, price="basic")
    remote.call("remove_item", name, item)
    remote.call("advance", 5)

    found = remote.get(f"/v1/subscriptions/{name}").json()

    assert found["description"] == "far"
    assert remote.ask("GET", f"truth/{name}")[1]["result"]["metadata"] == {"a": "b"}
    history = remote.ask("GET", f"history/{name}")[1]["result"]
    assert [len(seen["object"]["items"]["data"]) for seen in history] == [1, 1, 2, 1]
    assert remote.ask("GET", "clock")[1]["result"] == remote.call("now")
    assert remote.call("prices")["pro"].startswith("price_")
    assert remote.call("switch", lag=3) is None
    assert remote.call("switches")["lag"] == 3
    assert remote.call("seed", 10) is None
    assert remote.call("churn", 20, seed=1) > 0
    assert remote.call("request_counts") == {"subscriptions.retrieve": 1}
    assert remote.ask("POST", "reset") == (200, {"result": None})
    assert remote.get(f"/v1/subscriptions/{name}").status == 404


def test_other_realm_is_reached_from_afar(remote: Remote) -> None:
    body = {"method": "create_customer", "realm": {"livemode": True}}
    name = remote.ask("POST", "call", body)[1]["result"]
    assert remote.ask("GET", f"truth/{name}")[1]["result"] is None
    body = {"method": "truth", "args": [name], "realm": {"livemode": True}}
    assert remote.ask("POST", "call", body)[1]["result"]["livemode"] is True


def test_all_truths_come_as_lines(remote: Remote) -> None:
    remote.call("seed", 20)
    answer = remote.get("/_control/truths/subscription")
    lines = [json.loads(line) for line in answer.data.splitlines()]
    assert [line["id"] for line in lines] == remote.call("ids", "subscription")
    assert len(remote.get("/_control/truths/customer").data.splitlines()) == 20


def test_delivery_is_called_from_afar_with_its_plan(remote: Remote) -> None:
    remote.call("create_customer")
    with open_endpoint() as endpoint:
        plan = {"copies": [2, 2], "senders": 2, "api_versions": ["2024-06-20"]}
        sent = remote.call("deliver", endpoint.url, ["whsec_one"], plan=plan)
        assert len(endpoint.received) == 2
    assert sent[0]["accepted"] is True
    assert [answer["status"] for answer in sent[0]["answers"]] == [200, 200]
    assert sent[0]["answers"][0]["body"] == '{"outcome": "seen"}'


def test_hold_is_set_reached_and_released_from_afar(remote: Remote) -> None:
    name = remote.call("create_subscription")
    path = f"/v1/subscriptions/{name}"
    number = remote.ask("POST", "hold", {"when": "after_read", "path": path})[1]["result"]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(remote.get, path)
        assert remote.ask("GET", f"hold/{number}/reached?timeout=5")[0] == 200
        remote.call("cancel", name)
        assert remote.ask("POST", f"hold/{number}/release")[0] == 200
        assert waiting.result(5).json()["status"] == "active"


@pytest.mark.parametrize(
    "method, path, body",
    [
        ("POST", "call", {"method": "nothing"}),
        ("POST", "call", {"method": "_realm"}),
        ("POST", "call", {"method": "hook"}),
        ("POST", "call", {"method": "cancel", "args": ["sub_nobody"]}),
        ("POST", "call", {"method": "switch", "keywords": {"speed": 3}}),
        ("POST", "call", {}),
        ("POST", "hold", {"wen": "after_read"}),
        ("GET", "hold/7/reached", None),
        ("GET", "nowhere", None),
        ("POST", "nowhere", {}),
    ],
)
def test_wrong_call_is_refused_with_its_reason(
    remote: Remote, method: str, path: str, body: object
) -> None:
    status, answer = remote.ask(method, path, body)
    assert status == 400
    assert answer["error"]


def start_process(*options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sandbox.stripe_double", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_process_says_its_url_serves_and_ends_by_signal(number: signal.Signals) -> None:
    options = [
        "--seed-subscriptions",
        "30",
        "--items",
        "2",
        "--inline-prices",
        "--clock",
        "1800000000",
    ]
    with start_process(*options, "--ticking", "off", "--rate-limits", "on") as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        remote = Remote(ready["url"])
        page = remote.get("/v1/subscriptions?limit=100&status=all").json()
        assert len(page["data"]) == 30
        assert len(page["data"][0]["items"]["data"]) == 2
        prices = {item["price"]["id"] for one in page["data"] for item in one["items"]["data"]}
        assert len(prices) == 30
        assert remote.call("now") == 1_800_000_000
        assert remote.call("switches")["rate_limits"] is True
        assert ready["pid"] == process.pid
        remote.close()
        process.send_signal(number)
        assert process.wait(10) == 0
