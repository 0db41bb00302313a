"""When the proxy is used, and what of its URL is: nothing is asked."""

import pytest

from shared.errors import SettingsError
from shared.setting_readers import Secret
from shared.settings import ReconcileSettings, StripeSettings, load, monitor
from shared.stripe.proxy import Proxy, basic

SECRET = "c4n4ry"
PROXY = f"http://jo:{SECRET}@proxy.example:3128"
GOOD = {
    "DATABASE_URL": "postgresql://app@localhost:5432/app",
    "STRIPE_SECRET_KEY": "rk_test_x",
}
STRIPE = "https://api.stripe.com"


def settings(**environ: str) -> StripeSettings:
    return load(ReconcileSettings, GOOD | environ)


@pytest.mark.parametrize(
    "direct, url",
    [
        ("api.stripe.com", STRIPE),
        ("stripe.com", STRIPE),
        (".stripe.com", STRIPE),
        ("a.example, STRIPE.com ,", STRIPE),
        ("api.stripe.com:443", STRIPE),
        ("*", STRIPE),
        ("::1", "https://[::1]:8443"),
        ("monitor.example", "https://user:pass@Monitor.Example/a?b"),
    ],
)
def test_host_that_no_proxy_names_is_asked_directly(direct: str, url: str) -> None:
    assert Proxy.to(url, Secret(PROXY), direct) is None


@pytest.mark.parametrize(
    "direct", ["", "api.stripe.com:8443", "pe.com", "a.api.stripe.com", "stripe.com.example"]
)
def test_host_that_no_proxy_does_not_name_is_asked_by_way_of_the_proxy(direct: str) -> None:
    proxy = Proxy.to(STRIPE, Secret(PROXY), direct)
    assert proxy is not None
    assert (proxy.host, proxy.port) == ("proxy.example", 3128)


def test_what_needs_no_tls_is_asked_directly() -> None:
    assert Proxy.to("http://127.0.0.1:8080", Secret(PROXY), None) is None


@pytest.mark.parametrize("given", [PROXY, PROXY.removeprefix("http://"), PROXY + "/"])
def test_user_and_password_of_the_proxy_are_kept_and_not_printed(given: str) -> None:
    proxy = settings(HTTPS_PROXY=given).proxy_to(STRIPE)
    assert proxy is not None
    assert proxy.authorization == Secret(basic(f"jo:{SECRET}"))
    assert (proxy.host, proxy.port) == ("proxy.example", 3128)
    assert SECRET not in f"{proxy} {proxy!r}"
    assert basic(f"jo:{SECRET}") not in f"{proxy} {proxy!r}"


def test_proxy_without_a_port_is_asked_at_that_of_http() -> None:
    proxy = settings(HTTPS_PROXY="proxy.example").proxy_to(STRIPE)
    assert proxy == Proxy(host="proxy.example", port=80, authorization=None)


def test_name_in_small_letters_goes_first_unless_it_is_empty() -> None:
    """As with curl (lib/getenv.c), and as with every setting: what is empty is not set."""
    small = settings(HTTPS_PROXY=PROXY, https_proxy="http://other.example").proxy_to(STRIPE)
    assert small is not None
    assert small.host == "other.example"
    assert settings(HTTPS_PROXY=PROXY, https_proxy="").proxy_to(STRIPE) is not None
    assert settings(HTTPS_PROXY="", https_proxy="").proxy_to(STRIPE) is None
    assert settings(https_proxy=PROXY, NO_PROXY="x", no_proxy="*").proxy_to(STRIPE) is None
    assert settings(https_proxy=PROXY, NO_PROXY="*", no_proxy="").proxy_to(STRIPE) is None


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
@pytest.mark.parametrize(
    "wrong",
    [
        f"https://jo:{SECRET}@proxy.example",
        f"socks5://jo:{SECRET}@proxy.example:1080",
        f"http://jo:{SECRET}@proxy.example:port",
        f"http://jo:{SECRET}@",
        f"http://jo:{SECRET}#@proxy.example",
        f"http://jo:{SECRET} @proxy.example",
        f"http://[{SECRET}",
        f"'{PROXY}'",
    ],
)
def test_proxy_that_cannot_be_used_is_named_without_its_value(name: str, wrong: str) -> None:
    with pytest.raises(SettingsError) as raised:
        settings(**{name: wrong})
    assert f"{name} " in str(raised.value)
    assert SECRET not in str(raised.value)
    assert "proxy.example" not in str(raised.value)


def test_monitor_hears_of_wrong_settings_by_way_of_the_proxy() -> None:
    url = "https://monitor.example/secret"
    found = monitor({"HEARTBEAT_URL": url, "HTTPS_PROXY": PROXY})
    assert found is not None
    assert found == (Secret(url), Proxy.to(url, Secret(PROXY), None))
    assert monitor({"HEARTBEAT_URL": url, "HTTPS_PROXY": PROXY, "NO_PROXY": "*"}) == (
        Secret(url),
        None,
    )
    assert monitor({"HEARTBEAT_URL": url, "HTTPS_PROXY": "socks5://x"}) is None
    assert monitor({"HTTPS_PROXY": PROXY}) is None
