"""A mirrored object: its declaration, its content, and how two contents differ."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from functools import cached_property
from itertools import pairwise
from math import floor
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from shared.errors import UnreadableObject
from shared.objects import deletion
from shared.objects.column import Column, Columns, Row, Type, Value
from shared.objects.difference import Fields, between_items, between_rows
from shared.objects.nesting import TOO_DEEP, is_too_deep
from shared.truth import Interval


class Content(NamedTuple):
    """What one snapshot says: the object's row and the rows of its items, by id.

    `items` is empty for objects without items. It is None where the snapshot is not whole: where it
    does not carry all items, or leaves out what Stripe tells only where it is asked.
    """

    id: str
    row: Row
    items: tuple[Row, ...] | None


class Held(NamedTuple):
    """What the database holds of one object.

    Times are epoch seconds. One that Stripe cannot have written is text where it has a fraction,
    and beyond 63 bits where it is infinite.
    """

    row: Row
    items: tuple[Row, ...]
    as_of: Interval
    revision: int
    missing_in_stripe_since: int | str | None


_id = attrgetter("id")

_INFINITE = 2**63 - 1
_EMPTY = (None, "{}")


@dataclass(frozen=True, kw_only=True)
class Items:
    """The embedded list of a mirrored object, kept in a table of its own.

    `parent` is the column that names the object; it is not read from Stripe's JSON. `prefix`: what
    an item's id begins with, before the underscore.
    """

    table: str
    parent: str
    prefix: str
    path: str
    columns: tuple[Column, ...]

    @cached_property
    def decoded(self) -> Columns:
        """The columns that Stripe fills."""
        return Columns(self.table, self.columns, place="$.items.data[...]")


class Ending(NamedTuple):
    """What ends an object: a column, and its values that Stripe never changes again."""

    column: str
    values: frozenset[Value]


class Expansion(NamedTuple):
    """A column that Stripe fills only where it is asked to (`expand[]`), so never in an event.

    It has a value where another column has this one; a body that lacks it then is not whole.
    """

    column: str
    where: tuple[str, Value]


@dataclass(frozen=True, kw_only=True, eq=False)
class MirroredObject:
    """One object of Stripe's, declared once: everything that any code knows about it alone.

    `name` is Stripe's own word (`object` in its JSON), `prefix` what its ids begin with before the
    underscore, `path` its list in the API. `chosen_ids`: the merchant may have chosen another id.
    An object that Stripe can delete has a column `deleted`, one that can live on a test clock a
    column `test_clock`.

    `events`: the types of the events that carry it. `deleted_by`: the one of them after which it
    is deleted; it carries the object as it was, Stripe's answer from then on only its id, or, where
    it is not `known_when_deleted`, that there is none. `ends`: what ends it, by default that.

    `lists`: the parameters of the lists that are complete together, each object being in one of
    them. `unlisted`: a column and its value with which an object may be in none of them for good;
    such a row is looked for only once a list has shown its object, and of such objects no absence
    proves that a list is broken. `expands`: what has to be asked for besides.

    `customer`: the column that names the customer whose object it is, None where it is nobody's.
    `access`: the column whose value decides whether an application lets that customer in.
    `is_billed`: its items have prices and quantities, which make an amount a month. `vouches`: one
    that Stripe has ever had it knows for good, so a key that knows none of them is another's.
    `brief`: the columns, none of them JSON, that a report shows of one that the database lacks.

    `settle` brings a decoded object and its items (None where not all are embedded) to one shape in
    place, again and again with one result (fields that moved between API versions). `extra`:
    further fields that `settle` needs decoded. `also_as`: columns by the names that older API
    versions have for them.
    """

    name: str
    table: str
    prefix: str
    path: str
    columns: tuple[Column, ...]
    chosen_ids: bool = False
    events: tuple[str, ...] = ()
    items: Items | None = None
    deleted_by: str | None = None
    known_when_deleted: bool = True
    ends: Ending | None = None
    lists: tuple[Mapping[str, str], ...] = ({},)
    unlisted: tuple[str, Value] | None = None
    expands: tuple[Expansion, ...] = ()
    customer: str | None = None
    access: str | None = None
    is_billed: bool = False
    vouches: bool = False
    brief: tuple[str, ...] = ()
    settle: Callable[[Any, list[Any] | None], None] | None = None
    extra: Sequence[tuple[str, Any, Any]] = ()
    also_as: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Threads use them: msgspec ends the process where two are the first to use one Struct.
        _ = (self.decoder, self.page_decoder, self._items_decoder)

    @property
    def is_deletable(self) -> bool:
        """Whether Stripe can delete such an object."""
        return "deleted" in self.decoded.index

    @cached_property
    def decoded(self) -> Columns:
        """The columns that Stripe fills, and the Struct they are read from."""
        extra: list[Any] = [*self.extra]
        if self._embedded is not None:
            extra.append(("items", self._embedded | None, None))
        return Columns(self.name, self.columns, extra, tag=self.name, chosen_ids=self.chosen_ids)

    @cached_property
    def _embedded(self) -> Any:
        """The Struct of the embedded list of items."""
        if self.items is None:
            return None
        inner: Any = self.items.decoded.struct
        data: Any = list[inner]
        return msgspec.defstruct("items", [("data", data), ("has_more", bool, False)], gc=False)

    @cached_property
    def decoder(self) -> msgspec.json.Decoder[Any]:
        """Decoder of one object, which is then still to be settled."""
        return msgspec.json.Decoder(self.decoded.struct)

    @cached_property
    def page_decoder(self) -> msgspec.json.Decoder[Any]:
        """Decoder of a list page: `data` (decoded objects, not settled) and `has_more`."""
        return _page_decoder(self.decoded.struct)

    @cached_property
    def _items_decoder(self) -> msgspec.json.Decoder[Any]:
        return _page_decoder(self.items.decoded.struct if self.items else dict[str, Any])

    def decode(
        self,
        body: bytes | bytearray | msgspec.Raw,
        items: list[Any] | None = None,
        *,
        deleted: bool = False,
    ) -> Content:
        """Read one object from its JSON, in the shape of either side of basil.

        `items`: the object's items as decoded by `decode_items`, in place of the embedded list.
        `deleted`: it is, though the body may tell what it was.
        Raises UnreadableObject, with the JSON path of what cannot be read.
        """
        if is_too_deep(body):
            raise UnreadableObject("$", TOO_DEEP)
        one = decode(self.decoder, body)
        if deleted:
            one.deleted = True
        if items is not None:
            one.items = self._embedded(data=list(items))
        self.settled(one)
        content = self.content(one)
        if items is not None or may_have_nul(bytes(body)):
            self.decoded.require_no_nul(content.row)
            for item in content.items or ():
                assert self.items is not None
                self.items.decoded.require_no_nul(item)
        return content

    def decode_items(self, body: bytes | bytearray) -> tuple[list[Any], bool]:
        """Read a page of the items' own list: decoded items, and whether there are more."""
        page = decode(self._items_decoder, body)
        return page.data, page.has_more

    def settled(self, one: Any) -> Any:
        """Bring a decoded object to the one shape that is compared, in place, and return it.

        Raises UnreadableObject.
        """
        items: list[Any] | None = None
        if self.items is not None and (embedded := one.items) is not None:
            items = None if embedded.has_more else embedded.data
            if items is not None and len(items) > 1:
                items.sort(key=_id)
                if any(one.id == other.id for one, other in pairwise(items)):
                    raise UnreadableObject("$.items.data", "two items have one id")
        if self._emptied:
            deletion.settle(one, self._emptied)
        if self.settle is not None:
            self.settle(one, items)
        return one

    @cached_property
    def _emptied(self) -> deletion.Emptied:
        return deletion.emptied(self.columns)

    def content(self, one: Any, *, checked: bool = True) -> Content:
        """Return what a settled object says.

        `checked`: raise UnreadableObject for ids and decimals that are none.
        """
        row = tuple(self.decoded.row(one, checked=checked))
        if not self._is_expanded(row):
            return Content(one.id, row, None)
        if self.items is None:
            return Content(one.id, row, ())
        if one.items is None or one.items.has_more:
            return Content(one.id, row, None)
        rows = self.items.decoded.row
        return Content(
            one.id, row, tuple(tuple(rows(item, checked=checked)) for item in one.items.data)
        )

    def deleted(self, object_id: str) -> Content:
        """Return what is known of an object of which nothing is but that it is deleted."""
        return self.decode(msgspec.json.encode({"id": object_id}), deleted=True)

    def _is_expanded(self, row: Row) -> bool:
        """Return whether a row says all that Stripe tells only where it is asked."""
        return not any(
            self.value(row, column) is None and self.value(row, where) == value
            for column, (where, value) in self.expands
        )

    def value(self, row: Row, name: str) -> Value:
        """Return one column's value of a row."""
        return row[self.decoded.index[name]]

    def is_terminal(self, row: Row) -> bool:
        """Return whether Stripe never changes the state of this row again."""
        if self.ends is None:
            return self.is_deleted(row)
        return self.value(row, self.ends.column) in self.ends.values

    @cached_property
    def access_of(self) -> Callable[[Any], Any]:
        """Returns of a decoded object what decides about access; to be asked where that exists."""
        column = self.decoded.index[self.access or "id"]
        return attrgetter(self.columns[column].source)

    def grants(self, row: Row, access: Collection[Value]) -> bool:
        """Return whether a row lets its customer in, by the values of `access` that do."""
        return self.access is not None and self.value(row, self.access) in access

    def is_deleted(self, row: Row) -> bool:
        """Return whether the row says that Stripe has deleted the object, which lists then omit."""
        return self.is_deletable and self.value(row, "deleted") is True

    def is_on_test_clock(self, row: Row) -> bool:
        """Return whether Stripe leaves it out of lists on purpose: it lives on a test clock."""
        return "test_clock" in self.decoded.index and self.value(row, "test_clock") is not None

    def is_listed(self, row: Row) -> bool:
        """Return whether Stripe's lists name such an object, for certain."""
        if self.unlisted is not None and self.value(row, self.unlisted[0]) == self.unlisted[1]:
            return False
        return not self.is_on_test_clock(row) and not self.is_deleted(row)

    def is_emptied(self, row: Row) -> bool:
        """Return whether a row is as Stripe leaves a deleted object: nothing but what is kept."""
        return self.is_deleted(row) and all(
            value in _EMPTY
            or column.name in {"id", "deleted"}
            or (column.keeps and value == self._kept(position, value))
            for position, (column, value) in enumerate(zip(self.columns, row, strict=True))
        )

    def created(self, row: Row) -> int | None:
        """Return the second in which an object was created by its row, None where it says none."""
        value = self.value(row, "created")
        return floor(Decimal(str(value))) if isinstance(value, str) else value

    def completed(self, content: Content, held: Held | None) -> Content:
        """Return the content with what Stripe leaves out of a deleted object kept from the row."""
        if held is None or not (self._keeping and self.is_deleted(content.row)):
            return content
        row = list(content.row)
        for position in self._keeping:
            if row[position] is None:
                row[position] = self._kept(position, held.row[position])
        return content._replace(row=tuple(row))

    def _kept(self, position: int, value: Value) -> Value:
        """Return what stays of a value: nothing that Stripe cannot have said.

        A time is brought to its nearest second, and an infinite one dropped.
        """
        if value is None or self.columns[position].type is not Type.TIMESTAMP:
            return value
        whole = int(Decimal(value).to_integral_value(ROUND_HALF_UP))
        return whole if -_INFINITE <= whole < _INFINITE else None

    @cached_property
    def _keeping(self) -> tuple[int, ...]:
        return tuple(i for i, column in enumerate(self.columns) if column.keeps)

    def differences(self, held: Held, content: Content) -> Fields:
        """Return the fields in which Stripe's content differs from what is held, empty if none.

        Keys: column names; `items.<id>` for an item that only one side has (None on the other);
        `items.<id>.<column>`; `missing_in_stripe_since`. Values as Stripe gives them: epoch
        seconds, minor units, JSON.
        """
        fields = between_rows(self.decoded, held.row, content.row)
        if self.items is not None and content.items is not None and held.items != content.items:
            fields.update(between_items(self.items.decoded, held.items, content.items))
        if held.missing_in_stripe_since is not None:
            fields["missing_in_stripe_since"] = (held.missing_in_stripe_since, None)
        return fields

    def in_brief(self, content: Content) -> Fields:
        """Return what a report shows of an object that the database lacks."""
        values = ((name, self.value(content.row, name)) for name in self.brief)
        return {name: (None, value) for name, value in values if value is not None}


def _page_decoder(inner: Any) -> msgspec.json.Decoder[Any]:
    page = msgspec.defstruct("page", [("data", list[inner]), ("has_more", bool)])
    return msgspec.json.Decoder(page)


def may_have_nul(body: bytes | bytearray) -> bool:
    """Return whether JSON may have the character that PostgreSQL holds in no text and no jsonb.

    Most has no backslash at all, which is told in a fiftieth of the time.
    """
    return b"\\" in body and b"\\u0000" in body


def decode(decoder: msgspec.json.Decoder[Any], body: bytes | bytearray | msgspec.Raw) -> Any:
    """Decode JSON. Raises UnreadableObject, with the JSON path of what cannot be read."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at ")
        raise UnreadableObject(path.strip("`") or "$", reason) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableObject("$", f"not readable JSON ({type(error).__name__})") from None
