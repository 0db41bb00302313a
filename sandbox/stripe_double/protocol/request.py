"""One request, and the answer to it."""

from typing import Any, Literal

from msgspec import Struct


class Request(Struct, frozen=True, kw_only=True):
    """Header names are lower case; `path` is as it came, percent-encoded."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes

    def value(self, name: str) -> str | None:
        return next((value for key, value in self.query if key == name), None)

    def listed(self, name: str) -> list[str]:
        """All values of `name[]`, also where they are numbered: `name[0]`."""
        return [value for key, value in self.query if key.startswith(f"{name}[")]


class Break(Struct, frozen=True, kw_only=True):
    """How an answer goes wrong on its way. `seconds`: of the host."""

    kind: Literal["reset", "half_body", "slow_body", "hang"]
    seconds: float = 1.0


class Answer(Struct, kw_only=True):
    """`error`: what becomes the body once the request has its id."""

    status: int
    body: bytes
    error: dict[str, Any] | None = None
    content_type: str = "application/json"
    headers: dict[str, str] = {}
    broken: Break | None = None
