"""The commands where nothing goes out but through a proxy: real processes, real TLS."""

import base64
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sandbox import product
from sandbox.stripe_double import StripeDouble
from tests.e2e.reconciling import reconcile
from tests.integration.monitor import Monitor
from tests.integration.peers import Encrypting, Proxy, certificate

PASSWORD = "CanaryProxy-51c"
CODED = base64.b64encode(f"jo:{PASSWORD}".encode())
PATH = "CanaryCheck-77"
BOTH = {"api.stripe.test", "monitor.test"}


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = ("DNS:api.stripe.test", "DNS:monitor.test", "DNS:localhost")
    return certificate(tmp_path_factory.mktemp("tls"), *names)


@pytest.fixture
def monitor(certified: Path) -> Iterator[Monitor]:
    with Monitor(certificate=str(certified)) as monitor:
        yield monitor


@pytest.fixture
def stripe(stripe_double: StripeDouble, certified: Path) -> Iterator[Encrypting]:
    """The double behind TLS."""
    stripe_double.control.seed(120)
    with closing(Encrypting(urlsplit(stripe_double.url).port or 0, certified)) as stripe:
        yield stripe


@pytest.fixture
def proxy(stripe: Encrypting, monitor: Monitor) -> Iterator[Proxy]:
    with closing(Proxy(stripe.port, others={"monitor.test": monitor.port})) as proxy:
        yield proxy


@pytest.fixture
def proxied(environ: dict[str, str], certified: Path, proxy: Proxy) -> dict[str, str]:
    """Hosts that only the proxy can find."""
    return {
        **environ,
        "STRIPE_API_BASE": "https://api.stripe.test",
        "HEARTBEAT_URL": f"https://monitor.test/{PATH}",
        "HTTPS_PROXY": f"http://jo:{PASSWORD}@127.0.0.1:{proxy.port}",
        "SSL_CERT_FILE": str(certified),
        "LOG_LEVEL": "DEBUG",
    }


def test_run_and_its_heartbeat_go_through_the_proxy(
    proxied: dict[str, str], proxy: Proxy, monitor: Monitor
) -> None:
    ended = reconcile(proxied, "--format", "json")
    assert ended.status == 0, ended.stderr
    assert ended.report["counts"]["repaired"] >= 120
    assert monitor.targets == [f"/{PATH}/start", f"/{PATH}/0"]
    assert set(proxy.hosts) == BOTH
    assert all(b"\r\nProxy-Authorization: Basic " + CODED in head for head in proxy.heads)
    for secret in (PASSWORD, CODED.decode(), PATH):
        assert secret not in ended.stdout + ended.stderr


def test_hosts_that_no_proxy_names_are_asked_directly(
    proxied: dict[str, str], proxy: Proxy, stripe: Encrypting, monitor: Monitor
) -> None:
    near = f"https://localhost:{stripe.port}"
    ended = reconcile({**proxied, "STRIPE_API_BASE": near, "no_proxy": "LOCALHOST"})
    assert ended.status == 0, ended.stderr
    assert monitor.targets == [f"/{PATH}/start", f"/{PATH}/0"]
    assert proxy.hosts == ["monitor.test"] * 2


def test_proxy_that_wants_a_password_is_said_by_the_check(proxied: dict[str, str]) -> None:
    with closing(Proxy(1, b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")) as refusing:
        url = f"http://jo:{PASSWORD}@127.0.0.1:{refusing.port}"
        environ = {**proxied, "https_proxy": url, "STRIPE_WEBHOOK_SECRET": "whsec_x"}
        done = product.run("webhook", "--check", environ=environ)
    assert "the proxy (HTTPS_PROXY) answered 407" in done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr


def test_proxy_that_cannot_be_used_stops_a_command_before_it_begins(
    proxied: dict[str, str], proxy: Proxy
) -> None:
    url = f"socks5://jo:{PASSWORD}@127.0.0.1:{proxy.port}"
    ended = reconcile({**proxied, "HTTPS_PROXY": url, "LEASE_SECONDS": "soon"})
    assert ended.status == 2
    assert "HTTPS_PROXY must be http://host:port" in ended.stderr
    assert "LEASE_SECONDS" in ended.stderr
    assert PASSWORD not in ended.stderr
    assert proxy.heads == []


def test_monitor_hears_of_wrong_settings_by_way_of_the_proxy(
    proxied: dict[str, str], proxy: Proxy, monitor: Monitor
) -> None:
    assert reconcile({**proxied, "LEASE_SECONDS": "soon"}).status == 2
    assert monitor.targets == [f"/{PATH}/2"]
    assert proxy.hosts == ["monitor.test"]
