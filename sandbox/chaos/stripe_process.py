"""Stripe's process as the harness sees it: started, told what to do, asked over HTTP."""

import subprocess
import sys
import threading
from typing import Any

import msgspec

from sandbox.chaos.plan import Plan
from sandbox.chaos.postman import Facts
from sandbox.chaos.stripe_side import Begin, Progress
from sandbox.stripe_double.control.caller import RemoteControl


class StripeProcess:
    """It ends with its standard input, so it never outlives the harness."""

    def __init__(self, plan: Plan, urls: list[str], secret: str, key: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sandbox.chaos.stripe_side"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._lock = threading.Lock()
        begin = Begin(plan=plan, urls=urls, secret=secret, key=key)
        self.url: str = self._exchange(msgspec.json.encode(begin))["url"]
        self.call = RemoteControl(self.url, realm={"livemode": "_live_" in key}).call

    def tell(self, what: str, **keywords: Any) -> Any:
        """Do something and wait until it is done."""
        return self._exchange(msgspec.json.encode({"do": what, **keywords}))

    def progress(self) -> Progress:
        return msgspec.convert(self.tell("progress"), Progress)

    def facts(self) -> Facts:
        return msgspec.convert(self.tell("facts"), Facts)

    def close(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def _exchange(self, line: bytes) -> Any:
        with self._lock:
            assert self._process.stdin
            assert self._process.stdout
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
            return msgspec.json.decode(self._process.stdout.readline())
