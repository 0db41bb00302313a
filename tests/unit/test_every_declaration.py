"""What holds of each column of each mirrored object, whatever it is called."""

import json
from typing import Any

import msgspec
import pytest

from shared.errors import UnreadableObject
from shared.objects.catalogue import MIRRORED
from shared.objects.column import Column, Columns, Type
from shared.objects.declaration import Content, Held, MirroredObject, decode
from shared.truth import Interval
from tests.objects import can_be_deleted, each_object
from tests.unit.bodies import JsonObject, whole

SECRET = "hunter2-hunter2"
WRONG: dict[Type, Any] = {
    Type.TEXT: {"x": SECRET},
    Type.REFERENCE: [SECRET],
    Type.BOOLEAN: SECRET,
    Type.INTEGER: SECRET,
    Type.DECIMAL: {"x": SECRET},
    Type.TIMESTAMP: SECRET,
    Type.REFERENCES: SECRET,
    Type.METADATA: {"a": [SECRET]},
}
"""JSON's any value is none of them."""

COLUMNS = [
    pytest.param(mirrored, column, id=f"{mirrored.name} {column.name}")
    for mirrored in MIRRORED
    for column in mirrored.columns
]
each_column = pytest.mark.parametrize("mirrored, column", COLUMNS)


def read(mirrored: MirroredObject, body: JsonObject) -> Content:
    return mirrored.decode(json.dumps(body).encode())


def put(body: JsonObject, column: Column, value: Any) -> JsonObject:
    """The body with another value of a column; ... leaves it out."""
    made: JsonObject = json.loads(json.dumps(body))
    *way, last = column.source.split(".")
    place = made
    for name in way:
        place = place[name]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return made


@each_object()
def test_every_column_of_a_whole_body_says_something(mirrored: MirroredObject) -> None:
    row = read(mirrored, whole(mirrored)).row
    silent = [n for n, value in zip(mirrored.decoded.names, row, strict=True) if value is None]
    assert silent == []


@each_column
def test_field_that_is_left_out_is_null_or_named(mirrored: MirroredObject, column: Column) -> None:
    body = whole(mirrored)
    if column.required:
        with pytest.raises(UnreadableObject, match=column.source):
            read(mirrored, put(body, column, ...))
    else:
        left_out, null = (read(mirrored, put(body, column, one)) for one in (..., None))
        assert left_out == null
        # What its items tell besides is theirs.
        told = mirrored.items is not None and column.name in mirrored.items.decoded.index
        if column.type is Type.METADATA or column.name == "deleted" or not told:
            assert mirrored.value(null.row, column.name) in {None, "{}", "[]", False}


@each_column
def test_field_that_cannot_be_read_is_named_by_its_path_and_never_by_its_value(
    mirrored: MirroredObject, column: Column
) -> None:
    """Trap 18: what cannot be read is logged, so no value may be in the message."""
    if column.type is Type.JSON:
        assert read(mirrored, put(whole(mirrored), column, {"x": SECRET})).id
        return
    with pytest.raises(UnreadableObject) as caught:
        read(mirrored, put(whole(mirrored), column, WRONG[column.type]))
    assert column.source in caught.value.path
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "mirrored, column",
    [one for one in COLUMNS if one.values[1].type in {Type.REFERENCE, Type.REFERENCES}],  # type: ignore[union-attr]
)
def test_reference_is_an_id_plain_or_expanded(mirrored: MirroredObject, column: Column) -> None:
    expanded = {"id": "x_1", "object": "x", "more": [1]}
    is_list = column.type is Type.REFERENCES
    body = whole(mirrored)
    plain = put(body, column, ["x_1"] if is_list else "x_1")
    assert read(mirrored, plain) == read(
        mirrored, put(body, column, [expanded] if is_list else expanded)
    )


@pytest.mark.parametrize(
    "named",
    [
        pytest.param(column, id=f"{mirrored.name} {column.name}")
        for mirrored in MIRRORED
        for column in (*mirrored.columns, *(mirrored.items.columns if mirrored.items else ()))
        if column.name.endswith(tuple(f"{one.name}_id" for one in MIRRORED))
    ],
)
def test_reference_to_a_mirrored_object_takes_every_id_that_such_an_object_takes(
    named: Column,
) -> None:
    """It says which object that is, and is no longer than its ids."""
    assert named.type is Type.REFERENCE
    assert named.refers_to is not None
    assert named.name.endswith(f"{named.refers_to}_id")
    (of,) = (one for one in MIRRORED if one.name == named.refers_to)
    columns = Columns("x", [Column("currency", Type.TEXT), named])
    decoder = msgspec.json.Decoder(columns.struct)
    for value in ("x_1", "Gold Plan", "é/é?#%\"\\'", "プ" * 255, "x" * 255):
        if of.decoded.may_be_id(value):
            body = json.dumps(put({named.source.split(".")[0]: {}}, named, value)).encode()
            assert columns.row(decode(decoder, body)) == [None, value]
    body = json.dumps(put({named.source.split(".")[0]: {}}, named, "x" * 256)).encode()
    with pytest.raises(UnreadableObject):
        decode(decoder, body)


@each_object()
def test_each_field_that_changes_is_told_by_its_name_and_no_other(mirrored: MirroredObject) -> None:
    before, after = (read(mirrored, whole(mirrored, seed=seed)) for seed in (1, 2))
    held = Held(before.row, before.items or (), Interval(1, 2), 1, None)
    assert mirrored.differences(held, before) == {}
    for position, column in enumerate(mirrored.columns):
        if column.name not in {"id", "deleted"}:
            row = list(before.row)
            row[position] = after.row[position]
            fields = mirrored.differences(held, before._replace(row=tuple(row)))
            assert set(fields) == {column.name}


@each_object(can_be_deleted)
def test_deleted_object_has_one_content_in_event_and_answer(mirrored: MirroredObject) -> None:
    before = read(mirrored, whole(mirrored))
    held = Held(before.row, before.items or (), Interval(1, 2), 1, None)
    answer = read(mirrored, {"id": "x_1", "object": mirrored.name, "deleted": True})
    body = json.dumps(whole(mirrored)).encode()
    told = mirrored.decode(body, deleted=True)
    assert mirrored.is_deleted(answer.row)
    assert mirrored.is_terminal(answer.row)
    assert mirrored.completed(answer, held).row == told.row
    kept = {column.name for column in mirrored.columns if column.keeps} | {"id"}
    changed = set(mirrored.differences(held, told))
    assert changed == set(mirrored.decoded.names) - kept
