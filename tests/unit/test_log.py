"""Each line is JSON with a stable event name, holds no secret, and cannot fail."""

import io
import json
import logging
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import log


class Lines:
    """A logger of its own with the house's formatter, and what it wrote."""

    def __init__(self) -> None:
        self._stream = io.StringIO()
        handler = logging.StreamHandler(self._stream)
        handler.setFormatter(log.JsonFormatter())
        # Not from getLogger: what one test sets up must not be there for the next.
        self.logger = logging.Logger("tests.log", logging.INFO)  # noqa: LOG001
        self.logger.addHandler(handler)

    def text(self) -> str:
        return self._stream.getvalue()

    def last(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(self.text().splitlines()[-1])
        return line


@pytest.fixture
def lines() -> Lines:
    return Lines()


def test_line_is_the_event_name_and_its_fields(lines: Lines) -> None:
    before = datetime.now(UTC)
    log.event(lines.logger, "event.applied", event_id="evt_1", asked=0, late=None, ok=True)
    line = lines.last()
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "event": "event.applied",
        "logger": "tests.log",
        "event_id": "evt_1",
        "asked": 0,
        "late": None,
        "ok": True,
    }
    time = datetime.fromisoformat(lines.last()["time"])
    assert abs((time - before).total_seconds()) < 10
    assert len(lines.last()["time"]) == len("2026-11-23T01:02:03.004Z")


def test_level_below_the_configured_one_is_not_written(lines: Lines) -> None:
    log.event(lines.logger, "event.applied", level=logging.DEBUG)
    assert lines.text() == ""


def test_other_loggers_lines_become_json_too(lines: Lines) -> None:
    lines.logger.warning("pool %r is full: %d waiting", "pool-1", 3)
    line = lines.last()
    assert line["event"] == "log.line"
    assert line["message"] == "pool 'pool-1' is full: 3 waiting"
    assert line["level"] == "warning"


def test_line_break_in_a_value_stays_one_line(lines: Lines) -> None:
    log.event(lines.logger, "event.refused", path='/x\n{"event": "forged"}\r\u2028')
    assert len(lines.text().splitlines()) == 1
    assert lines.last()["event"] == "event.refused"


CANARIES = [
    ("key sk_live_51Canary0000", "key ***"),
    ("rk_test_Canary", "***"),
    ("Invalid API Key provided: sk_test_****nary", "Invalid API Key provided: ***"),
    ("pk_live_Canary", "***"),
    ("sk_org_live_Canary", "***"),
    ("secret whsec_Canary/+=", "secret ***"),
    ("postgres://app:Canary@db.example:5432/app", "postgres://***@db.example:5432/app"),
    ("postgresql://app:Can@ry/x@db/app", "postgresql://***@db/app"),
    ("host=db password=Canary dbname=app", "host=db password=*** dbname=app"),
    ("host=db password='Can ary' dbname=app", "host=db password=*** dbname=app"),
    ('{"password": "Canary"}', '{"password": ***}'),
    ("Authorization: Bearer Canary.x-y", "Authorization: Bearer ***"),
    ("{'Authorization': 'Basic Q2FuYXJ5OkNhbmFyeQ=='}", "{'Authorization': 'Basic ***'}"),
    ("bearer Canary", "bearer ***"),
    ("for jenny.canary+x@example.co.uk, please", "for ***, please"),
    ("a\ncanary@example.com", "a\n***"),
    ("Key (email)=(canary@example.com) already exists", "Key (email)=(***) already exists"),
]


@pytest.mark.parametrize("text, redacted", CANARIES)
def test_secret_in_a_value_is_redacted(lines: Lines, text: str, redacted: str) -> None:
    """Trap 18: keys, passwords and addresses end in no log."""
    log.event(lines.logger, "x.y", value=text, nested={"list": [text], text: 1})
    lines.logger.error("it said %s", text)
    assert "canary" not in lines.text().lower()
    first = json.loads(lines.text().splitlines()[0])
    assert first["value"] == redacted
    assert first["nested"]["list"] == [redacted]


def failure(text: str) -> RuntimeError:
    local = text
    try:
        try:
            raise KeyError(local)
        except KeyError as cause:
            raise RuntimeError(f"failed with {text}") from cause
    except RuntimeError as error:
        return error


@pytest.mark.parametrize("text", [text for text, _ in CANARIES])
def test_secret_in_an_exception_is_redacted(lines: Lines, text: str) -> None:
    """Trap 18, and the same for its causes; locals and source lines are never written."""
    raised = failure(text)
    log.event(lines.logger, "x.failed", level=logging.ERROR, error=raised)
    lines.logger.error("x", exc_info=raised)
    assert "canary" not in lines.text().lower()
    error = lines.last()["error"]
    assert error["type"] == "RuntimeError"
    assert error["causes"][0].startswith("KeyError: ")
    assert any(frame.endswith(":failure") for frame in error["traceback"])


@pytest.mark.parametrize("name", ["password", "authorization", "email", "token"])
def test_field_named_as_a_secret_is_hidden_whatever_it_holds(lines: Lines, name: str) -> None:
    log.event(lines.logger, "x.y", nested={name.title(): "canary"}, **{name: "canary"})  # type: ignore[arg-type]
    assert "canary" not in lines.text()


@pytest.mark.parametrize(
    "text",
    [
        "evt_1NG8Du2eZvKYlo2CUI79vXWy",
        "basic auth",
        "https://api.stripe.com/v1",
        "a @ b",
        "task_test",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert log.redact(text) == text


@pytest.mark.parametrize("name", ["first", "second", "third"])
def test_secret_in_one_of_many_fields_is_redacted(lines: Lines, name: str) -> None:
    fields: dict[str, Any] = {
        "first": "Ada",
        "count": 1,
        "second": "SK_LIVE_51",
        "third": "on",
        name: "a@b.example",
    }
    log.event(lines.logger, "event.applied", **fields)
    line = lines.last()
    assert line[name] == "***"
    assert line["second"] == "***"
    assert line["count"] == 1


def test_secret_at_the_end_of_a_shortened_value_is_not_shown_in_part(lines: Lines) -> None:
    url = "postgres://app:" + "canary" * 20 + "@db/app"
    for start in range(log.MAX_TEXT - len(url) - 5, log.MAX_TEXT + 1):
        log.event(lines.logger, "x.y", value=" " * start + url)
    assert "canary" not in lines.text()


class Hostile:
    def __str__(self) -> str:
        raise ValueError("no text")


def test_odd_values_are_written_somehow(lines: Lines) -> None:
    circle: list[Any] = []
    circle.append(circle)
    log.event(
        lines.logger,
        "x.y",
        nan=float("nan"),
        infinite=float("inf"),
        beyond=2**64,
        huge=10**5_000,
        surrogate="\ud800",
        raw=b"\xff",
        hostile=Hostile(),
        circle=circle,
        keys={Hostile(): 1, None: 2, (1, 2): 3},
        error=RuntimeError(Hostile()),
    )
    line = lines.last()
    assert line["beyond"] == 2**64
    assert line["huge"] == "<int of 16610 bits>"
    assert line["surrogate"] == "\ud800"
    assert line["nan"] == "nan"
    assert line["hostile"] == "<Hostile>"


def test_long_values_are_cut(lines: Lines) -> None:
    log.event(lines.logger, "x.y", text="x" * 10**6, many=list(range(10**5)))
    assert len(lines.text()) < 2 * log.MAX_TEXT


def test_arguments_that_do_not_match_cost_no_line(lines: Lines) -> None:
    lines.logger.error("%d %s", "one")  # noqa: PLE1206 - the fault is the point
    assert "%d %s" in lines.last()["message"]


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.complex_numbers()
    | st.datetimes(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner)
    ),
    max_leaves=20,
)


@given(value=VALUES)
def test_any_value_makes_one_line_of_json(value: object) -> None:
    lines = Lines()
    log.event(lines.logger, "x.y", value=value)
    assert lines.last()["event"] == "x.y"
    assert lines.text().count("\n") == 1


def test_words_of_libpq_are_in_no_line_whoever_logs_its_error() -> None:
    fault = psycopg.OperationalError("failed to resolve host 'ssw0rd-hunter2@127.0.0.1'")
    wrapped = RuntimeError("beside it")
    wrapped.__cause__ = fault
    for error in (fault, wrapped):
        line = log.JsonFormatter().format(
            logging.LogRecord("any", 40, "", 0, "it failed", None, (type(error), error, None))
        )
        assert "ssw0rd" not in line
        assert "OperationalError" in line
