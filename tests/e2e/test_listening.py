"""Where the webhook listens, and how long it keeps who has nothing to say."""

import socket
import time
from pathlib import Path

import pytest

from sandbox.product import Webhook
from shared.settings import WebhookSettings, declared
from webhook.service import addresses

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
LOOPBACKS = {"127.0.0.1": socket.AF_INET, "::1": socket.AF_INET6}


def has(address: str) -> bool:
    """Whether this host has the address."""
    try:
        with socket.socket(LOOPBACKS[address], socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def test_every_address_of_the_host_is_answered(webhook: Webhook) -> None:
    ours = [address for address in LOOPBACKS if has(address)]
    assert ours
    for address in ours:
        with socket.create_connection((address, webhook.port), 10) as peer:
            peer.sendall(HEALTH)
            assert peer.recv(4_096).startswith(b"HTTP/1.1 200 OK"), address


def test_addresses_are_those_that_can_be_listened_at() -> None:
    for listed in addresses(8080):
        assert listed in {"[::]:8080", "0.0.0.0:8080"}
        assert listed == "0.0.0.0:8080" or socket.has_ipv6


@pytest.mark.parametrize("said", [b"", HEALTH], ids=["nothing", "a request"])
def test_idle_connection_is_kept_as_long_as_set_and_no_longer(
    environ: dict[str, str], tmp_path: Path, said: bytes
) -> None:
    with Webhook({**environ, "KEEPALIVE_SECONDS": "2"}, tmp_path / "log") as webhook:
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", webhook.port), 10) as peer:
            peer.sendall(said)
            if said:
                assert b"keep-alive" in peer.recv(4_096)
            assert peer.recv(4_096) == b""
        assert time.monotonic() - began >= 2.0


def test_idle_connection_is_kept_longer_than_balancers_keep_it() -> None:
    """60 s is what AWS, nginx and others wait before they end it themselves."""
    default = declared(WebhookSettings)["keepalive_seconds"].default
    assert default is not None
    assert int(default) > 60
