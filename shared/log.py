"""JSON lines on standard error: a stable event name, data in fields, nothing secret.

Every value of every record, our own or a library's, passes through `_plain` on its way out: there
it becomes JSON, is redacted and is cut to a bounded length. Nothing that is logged can make logging
fail. (Redacting the encoded line instead could cut a JSON escape in half.)
"""

import functools
import json
import logging
import math
import re
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import msgspec

HIDDEN = "***"
MAX_TEXT = 2_000
MAX_ENTRIES = 50
MAX_BITS = 256  # json writes an integer in decimal, which Python refuses beyond 4,300 digits
MAX_DEPTH = 4
MAX_FRAMES = 12
MAX_CAUSES = 3

_SECRET_NAMES = frozenset(
    {"api_key", "authorization", "cookie", "email", "passwd", "password", "secret", "token"}
)
_ENCODER = msgspec.json.Encoder()
_REACH = 1_024  # the longest that any pattern below can match

_KEY = re.compile(r"[srp]k_(?:org_)?(?:test|live)_[\w*.]+", re.IGNORECASE)
_WEBHOOK_SECRET = re.compile(r"whsec_[\w+/=*-]+", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(://)\S{1,512}@")
_PASSWORD = re.compile(
    r"(passw(?:or)?d[\"']?\s{0,8}[=:]\s{0,8})('[^']{0,512}'|\"[^\"]{0,512}\"|[^\s&,;]{1,512})",
    re.IGNORECASE,
)
_AUTHORIZATION = re.compile(
    r"(authorization[\"']?\s{0,8}[=:]\s{0,8}[\"']?(?:\w{1,32}\s{1,8})?"
    r"|bearer\s{1,8}|basic\s{1,8}(?=[\w+/-]{16}))[\w.~+/=*:-]{1,512}",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"[\w.!#$%&'+/=?^`{|}~-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")

# A substring that must be there before a pattern is worth its time: most values hold none of them.
# The patterns' quantifiers are bounded so that no text makes a search quadratic.
_REDACTIONS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("_test_", _KEY, HIDDEN),
    ("_live_", _KEY, HIDDEN),
    ("whsec_", _WEBHOOK_SECRET, HIDDEN),
    ("://", _CREDENTIALS, rf"\1{HIDDEN}@"),
    ("passw", _PASSWORD, rf"\1{HIDDEN}"),
    ("authorization", _AUTHORIZATION, rf"\1{HIDDEN}"),
    ("bearer", _AUTHORIZATION, rf"\1{HIDDEN}"),
    ("basic", _AUTHORIZATION, rf"\1{HIDDEN}"),
    ("@", _EMAIL, HIDDEN),
)


def event(
    logger: logging.Logger,
    name: str,
    /,
    *,
    level: int = logging.INFO,
    error: BaseException | str | None = None,
    **fields: object,
) -> None:
    """Log one line: `name` is a stable event name such as `run.refused`, data goes into `fields`.

    An exception as `error` is written as type, message, causes and a short traceback, no locals.
    """
    if not logger.isEnabledFor(level):
        return
    if error is not None:
        fields["error"] = error
    # As `logger.log` does, without the half of it that looks for what no line shows.
    record = logging.LogRecord(logger.name, level, "", 0, name, None, None)
    record.fields = fields
    logger.handle(record)


def configure(level: str = "INFO") -> None:
    """Send every logger of the process, libraries' too, to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    # Else the interpreter prints a raw traceback, past the redaction.
    sys.excepthook = _unexpected
    threading.excepthook = lambda failed: _unexpected(
        failed.exc_type, failed.exc_value or failed.exc_type(), failed.exc_traceback
    )
    # Four look-ups a record that no line shows (docs.python.org/3/howto/logging.html#optimization).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001
    # A reader that went away is no reason to print a raw traceback past the redaction.
    logging.raiseExceptions = False


def _unexpected(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Log what nobody caught, in the main thread or another."""
    if issubclass(kind, SystemExit):
        return
    logging.getLogger(__name__).critical("it ended", exc_info=(kind, error, trace))


def redact(text: str) -> str:
    """Return `text` without keys, passwords, credentials in URLs and e-mail addresses."""
    lowered = text.lower()
    for needle, pattern, replacement in _REDACTIONS:
        if needle in lowered:
            text = pattern.sub(replacement, text)
    return text


class JsonFormatter(logging.Formatter):
    """One record as one line: `time`, `level`, `event`, `logger`, then its fields.

    Lines of other libraries carry the event name `log.line` and their text as `message`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its newline."""
        line: dict[str, Any] = {
            "time": _timestamp(record.created),
            "level": record.levelname.lower(),
        }
        fields = getattr(record, "fields", None)
        if isinstance(fields, dict):
            line["event"] = record.msg
            line["logger"] = record.name
            line.update(fields)
            for name, value in line.items():
                line[name] = HIDDEN if name in _SECRET_NAMES else _plain(value)
        else:
            line["event"] = "log.line"
            line["logger"] = record.name
            line["message"] = _plain(_message(record))
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = _exception(record.exc_info[1], record.exc_info[2])
        try:
            encoded = _ENCODER.encode(line)
        except (UnicodeError, OverflowError):  # a lone surrogate, an integer beyond 64 bits
            return json.dumps(line)
        # Unicode has line breaks of its own, and a viewer may take one for the end of the line.
        return encoded.decode() if encoded.isascii() else json.dumps(line)


def _timestamp(seconds: float) -> str:
    whole = int(seconds)
    return f"{_to_the_second(whole)}.{int((seconds - whole) * 1000):03d}Z"


@functools.lru_cache(maxsize=2)
def _to_the_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - placeholders and arguments that do not match
        return f"{_text(record.msg)} {_text(record.args)}"


def _plain(value: object, depth: int = 0) -> Any:  # noqa: PLR0911 - one a kind
    """Return `value` as bounded, redacted JSON data."""
    if isinstance(value, str):
        if len(value) <= MAX_TEXT:
            return redact(value)
        return redact(value[: MAX_TEXT + _REACH])[:MAX_TEXT] + "…"
    if value is None or value is True or value is False:
        return value
    if type(value) is int:
        return value if value.bit_length() <= MAX_BITS else f"<int of {value.bit_length()} bits>"
    if type(value) is float:
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, BaseException):
        return _exception(value, value.__traceback__)
    if depth >= MAX_DEPTH:
        return f"<{type(value).__name__}>"
    if isinstance(value, Mapping):
        return _plain_mapping(value, depth)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(entry, depth + 1) for entry in list(value)[:MAX_ENTRIES]]
    return _plain(_text(value))


def _plain_mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    plain = {}
    for key in value if len(value) <= MAX_ENTRIES else list(value)[:MAX_ENTRIES]:
        name = _plain(_text(key))
        hidden = name.lower() in _SECRET_NAMES
        plain[name] = HIDDEN if hidden else _plain(value[key], depth + 1)
    return plain


def _text(value: object) -> str:
    try:
        return str(value)[: MAX_TEXT + _REACH]
    except Exception:  # noqa: BLE001 - a __str__ that raises must not cost the line
        return f"<{type(value).__name__}>"


def _words(error: BaseException) -> str:
    """Return an exception's text, but never libpq's: it quotes what DATABASE_URL was taken for."""
    if any(kind.__module__.partition(".")[0] == "psycopg" for kind in type(error).__mro__):
        return f"SQLSTATE {getattr(error, 'sqlstate', None) or 'none'}"
    return _text(error)


def _exception(error: BaseException, trace: TracebackType | None) -> dict[str, Any]:
    """Return type, message, causes and the last frames (file:line:function), never locals."""
    described: dict[str, Any] = {"type": type(error).__name__, "message": _plain(_words(error))}
    causes: list[str] = []
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    while cause is not None and len(causes) < MAX_CAUSES:
        causes.append(f"{type(cause).__name__}: {_plain(_words(cause))}")
        cause = cause.__cause__ or cause.__context__
    if causes:
        described["causes"] = causes
    frames = traceback.StackSummary.extract(
        traceback.walk_tb(trace), limit=-MAX_FRAMES, lookup_lines=False
    )
    if frames:
        described["traceback"] = [
            f"{'/'.join(frame.filename.split('/')[-3:])}:{frame.lineno}:{frame.name}"
            for frame in frames
        ]
    return described
