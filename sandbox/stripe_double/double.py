"""The double as one thing: started, used, reset, stopped."""

import threading
from typing import Any, Self

from sandbox.stripe_double.control.control import Control
from sandbox.stripe_double.control.remote import ControlRoutes
from sandbox.stripe_double.http.keys import MAIN_ACCOUNT
from sandbox.stripe_double.http.server import World
from sandbox.stripe_double.http.wire import Listener
from sandbox.stripe_double.protocol.request import Answer, Request
from sandbox.stripe_double.realm.clock import Clock
from sandbox.stripe_double.realm.switches import Switches

START = 1_790_000_000.0


class StripeDouble:
    """A running double. `control` is over the main account's test mode and survives resets."""

    def __init__(
        self, *, port: int, clock: float | None, ticking: bool, seed: int, switches: Switches
    ) -> None:
        self._clock = clock
        self._ticking = ticking
        self._seed = seed
        self._switches = switches
        self._listener = Listener(self._answer, port=port, gzip_level=self._gzip_level)
        self._world = self._new_world()
        self.port = self._listener.port
        self.url = f"http://127.0.0.1:{self.port}"
        self.control = Control(lambda: self._world, MAIN_ACCOUNT, livemode=False)
        self._routes = ControlRoutes(self.control, self.reset)

    @classmethod
    def start(
        cls,
        *,
        port: int = 0,
        clock: float | None = START,
        ticking: bool = False,
        seed: int = 0,
        **switches: Any,
    ) -> Self:
        """Serve from now on. `clock`: None for the host's time; `switches` as in `Switches`."""
        values = Switches()
        values.set(switches)
        double = cls(port=port, clock=clock, ticking=ticking, seed=seed, switches=values)
        double._listener.start()
        return double

    def reset(self) -> None:
        """As at the start: no objects, the first clock, keys and switches; held requests go on."""
        old = self._world
        self._world = self._new_world()
        old.interventions.clear()

    def stop(self) -> None:
        self._world.interventions.clear()
        self._listener.stop()

    def wait(self) -> None:
        """Returns when a stop was asked for."""
        self._listener.stopping.wait()

    def request_stop(self) -> None:
        """Safe in a signal handler; `stop` has still to follow."""
        self._listener.stopping.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _new_world(self) -> World:
        stopping: threading.Event = self._listener.stopping
        clock = Clock(self._clock, ticking=self._ticking)
        switches = self._switches.copy()
        return World(clock=clock, switches=switches, stopping=stopping, seed=self._seed)

    def _gzip_level(self) -> int:
        return self._world.switches.gzip_level

    def _answer(self, request: Request) -> Answer:
        if request.path.startswith("/_control/"):
            return self._routes.answer(request)
        return self._world.answer(request)
