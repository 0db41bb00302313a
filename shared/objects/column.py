"""How a mirrored object is declared: its columns, and what follows from them.

A declaration says each field once: its column, its type, where it stands in Stripe's JSON and what
it decides. The decoder (bytes straight to Structs that hold only these fields), the rows that are
compared, and every SQL statement on the object's tables are derived from it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from functools import partial
from operator import attrgetter
from typing import Annotated, Any, NamedTuple

import msgspec

from shared.errors import UnreadableObject
from shared.objects.nesting import TOO_DEEP, is_too_deep

Value = str | int | bool | None
"""One column of one row: text and JSON as str, numbers and epoch seconds as int."""

Row = tuple[Value, ...]
"""One row, in the order of its declaration's columns."""


class Type(Enum):
    """What a column holds; REFERENCE is the id of an object that may come expanded.

    REFERENCES, METADATA (text by text) and JSON (anything) are jsonb columns.
    """

    TEXT = "text"
    REFERENCE = "reference"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    DECIMAL = "decimal"
    TIMESTAMP = "timestamp"
    REFERENCES = "references"
    METADATA = "metadata"
    JSON = "json"


AS_JSON = frozenset({Type.REFERENCES, Type.METADATA, Type.JSON})
"""The types whose columns are jsonb, and whose values are canonical JSON here."""


class Concern(Enum):
    """What a column decides for the customer."""

    ACCESS = "access"
    MONEY = "money"
    COSMETIC = "cosmetic"


class Column(NamedTuple):
    """One field of a mirrored object.

    `path` is where it stands in Stripe's JSON (dots go into nested objects), by default under its
    own name. `required`: an object without it cannot be read; `nullable`: null will do, left out
    will not. `keeps`: where Stripe's answer leaves it out (of a deleted object), the row's own
    value stays; every other column is emptied then. `refers_to`: the object whose id it is.
    `example`: a value such as Stripe's, where a rule of somebody's own may take no other.
    """

    name: str
    type: Type
    path: str = ""
    required: bool = False
    nullable: bool = False
    keeps: bool = False
    concern: Concern = Concern.COSMETIC
    refers_to: str | None = None
    example: Value = None

    @property
    def source(self) -> str:
        """The field's place in Stripe's JSON."""
        return self.path or self.name


money = partial(Column, concern=Concern.MONEY)
"""A field that decides what is billed, or when."""

LONGEST_ID = 255
"""Characters of Stripe's longest ids (docs.stripe.com/upgrades)."""

Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_ID)]
"""One of Stripe's ids, case-sensitive; `Columns.row` checks which characters."""


Reference = Annotated[str, msgspec.Meta(max_length=LONGEST_ID)]
"""The id of another object, as long as an id may be: an index entry cannot be much longer.

Which characters it may have is up to that object, so any that the database can hold.
"""


class Expanded(msgspec.Struct, frozen=True):
    """A reference that came expanded: only its id is of interest."""

    id: Reference


_FIRST_SECOND = -62135596800
LAST_SECOND = 253402300799
"""The last of the years 1 to 9999, which every part of the house can hold and print."""

_WIRE: dict[Type, Any] = {
    Type.TEXT: str,
    Type.REFERENCE: Reference | Expanded,
    Type.BOOLEAN: bool,
    Type.INTEGER: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
    Type.DECIMAL: str,
    Type.TIMESTAMP: Annotated[int, msgspec.Meta(ge=_FIRST_SECOND, le=LAST_SECOND)],
    Type.REFERENCES: list[Reference | Expanded],
    Type.METADATA: dict[str, str],
    Type.JSON: msgspec.Raw,
}

NULL_JSON = msgspec.Raw(b"null")
"""The JSON of a field that is left out."""

# Here and not in the wire types: the decoder would call them for every object of a run, and what
# is equal to its row needs no check.
_DECIMAL = re.compile(r"-?[0-9]{1,20}([.][0-9]{1,20})?")

_GIVEN_ID = re.compile(r"[!-~]+")
"""What an id that Stripe gives must match as a whole."""

_CHOSEN_ID = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
"""What an id that a merchant chose must match as a whole: no control character, no lone surrogate.

Until API version 2018-05-21, and for whoever asks in an older one, any character will do
(docs.stripe.com/changelog/2018-05-21/valid-characters-ids-coupons-skus-customers-products-plans).
"""


_quoted = json.encoder.encode_basestring


def canonical_json(value: Any) -> str:
    """Return JSON text exactly as PostgreSQL prints the same value from a jsonb column.

    Keys are ordered by length in bytes, then by byte. A difference in spelling that slips through
    (numbers such as 1.10) costs a comparison by value, never a false difference.
    """
    return json.dumps(_ordered(value), ensure_ascii=False, separators=(", ", ": "))


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value, key=_in_bytes)}
    if isinstance(value, list):
        return [_ordered(element) for element in value]
    return value


def _metadata(value: dict[str, str] | None) -> Value:
    """Return canonical_json of a flat object in half its time: every row of a run has one."""
    if not value:
        return "{}"
    keys = sorted(value, key=_in_bytes) if len(value) > 1 else value
    return "{" + ", ".join(f"{_quoted(key)}: {_quoted(value[key])}" for key in keys) + "}"


def _in_bytes(key: str) -> tuple[int, bytes]:
    text = key.encode()
    return len(text), text


def _json(value: msgspec.Raw | None) -> Value:
    if value is None or value == NULL_JSON:
        return None
    if is_too_deep(value):
        raise UnreadableObject("$", TOO_DEEP)
    try:
        return canonical_json(msgspec.json.decode(value))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableObject("$", f"not readable JSON ({type(error).__name__})") from None


def _references(value: list[str | Expanded] | None) -> Value:
    if not value:
        return None if value is None else "[]"
    return canonical_json([one if isinstance(one, str) else one.id for one in value])


CONVERSIONS: dict[Type, Callable[[Any], Value]] = {
    Type.REFERENCES: _references,
    Type.METADATA: _metadata,
    Type.JSON: _json,
}
"""How a decoded value becomes the value of a row, where that is another."""


class Columns:
    """The columns of one table, and the Struct into which its objects are decoded."""

    def __init__(
        self,
        name: str,
        columns: Iterable[Column],
        extra: Sequence[Any] = (),
        *,
        place: str = "$",
        tag: str | None = None,
        chosen_ids: bool = False,
    ) -> None:
        """Build the Struct.

        `extra`: further members of it; `place`: where it stands in a body, for errors; `tag`: what
        its `object` must say if it says anything; `chosen_ids`: as in MirroredObject.
        """
        self._place = place
        self._ids = _CHOSEN_ID if chosen_ids else _GIVEN_ID
        self.all = tuple(columns)
        self.names = tuple(column.name for column in self.all)
        self.as_json = tuple(column.name for column in self.all if column.type in AS_JSON)
        self.index = {name: position for position, name in enumerate(self.names)}
        self.struct = _struct(name, [(c.source.split("."), c) for c in self.all], extra, tag)
        self._get = attrgetter(*(column.source for column in self.all))
        self._references = [i for i, c in enumerate(self.all) if c.type is Type.REFERENCE]
        self._patterns = [
            (position, self._ids if column.name == "id" else _DECIMAL)
            for position, column in enumerate(self.all)
            if column.type is Type.DECIMAL or column.name == "id"
        ]
        self._conversions = [
            (position, CONVERSIONS[column.type])
            for position, column in enumerate(self.all)
            if column.type in CONVERSIONS
        ]

    def row(self, decoded: Any, *, checked: bool = True) -> list[Value]:
        """Return the values of one decoded object, in the order of the columns.

        `checked`: raise UnreadableObject for an id or a decimal that is none.
        """
        try:
            row = list(self._get(decoded))
        except AttributeError:
            row = [dig(decoded, column.source) for column in self.all]
        for position in self._references:
            if row[position].__class__ is Expanded:
                row[position] = row[position].id
        for position, pattern in self._patterns if checked else ():
            value = row[position]
            if value is not None and not pattern.fullmatch(value):
                where = f"{self._place}.{self.all[position].source}"
                raise UnreadableObject(where, f"Expected `str` matching {pattern.pattern!r}")
        for position, convert in self._conversions:
            row[position] = convert(row[position])
        return row

    def may_be_id(self, text: str) -> bool:
        """Return whether such an object may have this id."""
        return len(text) <= LONGEST_ID and self._ids.fullmatch(text) is not None

    def require_no_nul(self, row: Sequence[Value]) -> None:
        """Refuse NUL characters, which PostgreSQL holds neither in text nor in jsonb."""
        for column, value in zip(self.all, row, strict=True):
            if isinstance(value, str) and _has_nul(column, value):
                raise UnreadableObject(f"{self._place}.{column.source}", "a NUL character")


def _has_nul(column: Column, value: str) -> bool:
    if column.type in AS_JSON:
        return "\\u0000" in value.replace("\\\\", "")
    return "\x00" in value


def dig(decoded: Any, path: str) -> Any:
    """Return what stands at a path, None where it or what leads there is missing."""
    for part in path.split("."):
        if decoded is None:
            break
        decoded = getattr(decoded, part)
    return decoded


def _struct(
    name: str,
    fields: list[tuple[list[str], Column]],
    extra: Sequence[Any],
    tag: str | None = None,
) -> Any:
    """Build the Struct of one JSON object; what lies deeper becomes a Struct of its own."""
    nested: dict[str, list[tuple[list[str], Column]]] = {}
    members: list[Any] = []
    for path, column in fields:
        if len(path) > 1:
            nested.setdefault(path[0], []).append((path[1:], column))
        elif column.required:
            wire = Identifier if column.name == "id" else _WIRE[column.type]
            members.append((path[0], wire | None if column.nullable else wire))
        elif column.type is Type.JSON:
            members.append((path[0], _WIRE[column.type], NULL_JSON))
        else:
            members.append((path[0], _WIRE[column.type] | None, None))
    for key, inner in nested.items():
        struct = _struct(f"{name}_{key}", inner, ())
        if any(column.required for _, column in inner):
            members.append((key, struct))
        else:
            members.append((key, struct | None, msgspec.field(default_factory=struct)))
    field = "object" if tag else None
    members += extra
    return msgspec.defstruct(name, members, kw_only=True, gc=False, tag=tag, tag_field=field)
