"""What a snapshot does not speak of: fields that read as empty because its body leaves them out.

Stripe leaves out what is empty here and there, and an event made by hand leaves out more. So what
is left out may be empty, or may not: nothing that a row holds is emptied for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from shared.objects.column import Column, Row
from shared.objects.declaration import Content, MirroredObject
from shared.objects.difference import Fields

_EMPTY = frozenset({None, "{}", "[]"})

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(dict[str, Any])


def left_out(mirrored: MirroredObject, body: msgspec.Raw, content: Content) -> frozenset[str]:
    """Return the fields of a readable body's content that it leaves out, by their names.

    The names are those of `MirroredObject.differences`: `<column>`, `items.<id>.<column>`. What has
    to be expanded is not among them: where it says something, a body without it is not whole.
    """
    members = _object.decode(body)
    found = list(_of(mirrored.columns, content.row, members, mirrored.also_as))
    if mirrored.items is not None and content.items:
        listed = {one["id"]: one for one in _items.decode(members["items"])["data"]}
        for item in content.items:
            names = _of(mirrored.items.columns, item, listed[item[0]], {})
            found += [f"items.{item[0]}.{name}" for name in names]
    return frozenset(found) - {one.column for one in mirrored.expands}


def would_empty(fields: Fields, unsaid: frozenset[str]) -> bool:
    """Return whether a change would take a value from a field that the body leaves out."""
    return any(before is not None and name in unsaid for name, (before, _) in fields.items())


def _of(
    columns: tuple[Column, ...], row: Row, members: Mapping[str, Any], also: Mapping[str, str]
) -> Iterator[str]:
    for column, value in zip(columns, row, strict=True):
        if value in _EMPTY and not _is_named(column.source, members):
            other = also.get(column.name)
            if other is None or other not in members:
                yield column.name


def _is_named(path: str, members: Mapping[str, Any]) -> bool:
    """Return whether a path leads to a member, or to null on its way."""
    inner: Any = members
    for name in path.split("."):
        if isinstance(inner, msgspec.Raw):
            inner = msgspec.json.decode(inner)
        if inner is None:
            return True
        if name not in inner:
            return False
        inner = inner[name]
    return True
