"""A report fails for no value: every column of every object and item, through every renderer."""

import io
import json
import random
from collections.abc import Iterator
from itertools import combinations, pairwise, product
from typing import Any

import pytest

from reconcile.comparison.compare import compare_one
from reconcile.deliveries.events import Events
from reconcile.journal.drift import closed, drift, tallied
from reconcile.report.model import Report, RunFacts, RunOutcome, totals
from reconcile.report.output import RENDERERS
from shared.objects.catalogue import MIRRORED
from shared.objects.column import Column, Columns, Row, Type, Value
from shared.objects.declaration import Content, Held, MirroredObject
from shared.repository.drifts import Customer, DriftRow
from shared.repository.ledger import Failed
from shared.truth import Interval

ACCESS = frozenset({"active"})
ACTIONS = ("reported", "repaired", "in_flight", "refused", "pending")
STEER = "\x1b[2J\x1b]0;owned\x07\r\x00\x7f\x9b31m"
HIDE = "\u202eevil\u2066\u200b\u2028\u2029\u00ad\ufeff\U000e0001"
LONE = "\ud800 \udfff"
TEXTS = (
    None,
    "",
    "x",
    "two\nlines\nLEAK  subscription sub_1",
    STEER,
    HIDE,
    "ü😀e\u0301",
    "x" * 5_000,
)
JSONS = (
    *(
        None,
        "null",
        "{}",
        "[]",
        "5",
        '"x"',
        "true",
        '{"id": "si_1"}',
        '{"divide_by": 10, "round": "up"}',
    ),
    *("1" * 5_000, "1" * 400 + ".5", "-0.0", "[" * 90 + "]" * 90),
    *(json.dumps({one: one}) for one in TEXTS[2:]),
    json.dumps({f"key{n}": "v" * 500 for n in range(50)}),
)
ODD: dict[Type, tuple[Value, ...]] = {
    Type.TEXT: TEXTS,
    Type.REFERENCE: TEXTS,
    Type.BOOLEAN: (None, True, False),
    Type.INTEGER: (None, 0, -1, 12, 2**63 - 1, -(2**63)),
    Type.DECIMAL: (
        *(None, "0", "-0.5", "0.000000000001", "NaN", "Infinity", "-Infinity"),
        *("1" * 5_000, "9" * 40 + ".5"),
    ),
    Type.TIMESTAMP: (None, 0, -1, 1_790_000_000, 2**63 - 1, -(2**63), "1.5", "-63600000000.25"),
    Type.REFERENCES: JSONS,
    Type.METADATA: JSONS,
    Type.JSON: JSONS,
}
PLAIN: dict[Type, Value] = {
    Type.TEXT: "plain",
    Type.REFERENCE: "ref_1",
    Type.BOOLEAN: False,
    Type.INTEGER: 1,
    Type.DECIMAL: "1",
    Type.TIMESTAMP: 1_700_000_000,
    Type.REFERENCES: "[]",
    Type.METADATA: "{}",
    Type.JSON: None,
}
SAID = {"status": "active", "currency": "eur", "interval": "month", "usage_type": "licensed"}


def plain(columns: Columns, name: str) -> Row:
    return tuple(
        name if column.name == "id" else SAID.get(column.name, PLAIN[column.type])
        for column in columns.all
    )


def changed(row: Row, columns: Columns, values: dict[str, Value]) -> Row:
    return tuple(values.get(name, value) for name, value in zip(columns.names, row, strict=True))


State = tuple[Row, tuple[Row, ...]]


def difference(
    mirrored: MirroredObject, here: State | None, there: State | None, action: str = "pending"
) -> DriftRow | None:
    """What the run keeps of two states, all the way through consequence and money."""
    held = Held(*here, Interval(5, 6), 1, None) if here is not None else None
    content = Content("x_1", *there) if there is not None else None
    found = compare_one(mirrored, "x_1", held, content, Interval(10, 12))
    return None if found is None else drift(mirrored, found, ACCESS, action)


def own(mirrored: MirroredObject) -> list[Column]:
    return [column for column in mirrored.columns if column.name != "id"]


def parts(mirrored: MirroredObject) -> list[tuple[str, Columns, list[Column]]]:
    """The object's own columns, and those of its items, of which the id may change too."""
    found = [("own", mirrored.decoded, own(mirrored))]
    if mirrored.items is not None:
        found.append(("items", mirrored.items.decoded, list(mirrored.items.columns)))
    return found


def states(mirrored: MirroredObject, part: str, values: dict[str, Value]) -> State:
    row = plain(mirrored.decoded, "x_1")
    items: tuple[Row, ...] = ()
    if mirrored.items is not None:
        items = tuple(plain(mirrored.items.decoded, name) for name in ("si_1", "si_2"))
    if part == "own":
        return changed(row, mirrored.decoded, values), items
    assert mirrored.items is not None
    return row, (changed(items[0], mirrored.items.decoded, values), *items[1:])


def alone(mirrored: MirroredObject) -> Iterator[tuple[str, DriftRow]]:
    """Each column with each value on either side, against a plain one and another odd one."""
    for part, _, columns in parts(mirrored):
        for column in columns:
            values = (PLAIN[column.type], *ODD[column.type])
            for here, there in (*product(values, values[:1]), *pairwise((*values, *values[:1]))):
                if column.name == "id" and None in {here, there}:
                    continue
                row = difference(
                    mirrored,
                    states(mirrored, part, {column.name: here}),
                    states(mirrored, part, {column.name: there}),
                )
                if row is not None:
                    yield f"{column.name}: {here!r:.40} {there!r:.40}", row


def in_pairs(mirrored: MirroredObject) -> Iterator[tuple[str, DriftRow]]:
    """Each two columns, of the object and of its items, with values by chance."""
    chance = random.Random(10)
    whole = [(part, column) for part, _, columns in parts(mirrored) for column in columns]
    for (part, one), (other_part, other) in combinations(whole, 2):
        for _ in range(2):
            row, items = states(mirrored, part, {one.name: chance.choice(ODD[one.type])})
            second = states(mirrored, other_part, {other.name: chance.choice(ODD[other.type])})
            here: State = (row, second[1]) if part != other_part else second
            found = difference(mirrored, here, states(mirrored, "own", {}))
            back = difference(mirrored, (row, items), here)
            for made in (found, back):
                if made is not None:
                    yield f"{one.name} and {other.name}", made


def whole(mirrored: MirroredObject) -> Iterator[tuple[str, DriftRow]]:
    """Each kind and action, items that come and go, one or many."""
    state = states(mirrored, "own", {})
    for action in ACTIONS:
        for here, there in ((None, state), (state, None)):
            row = difference(mirrored, here, there, action)
            assert row is not None
            yield action, row
            yield action, closed(row, "reported")
    if mirrored.items is None:
        return
    columns = mirrored.items.decoded
    many = tuple(plain(columns, f"si_{n:03}") for n in range(100))
    odd = tuple(
        changed(plain(columns, f"si_{n}{text or ''}"), columns, {c.name: ODD[c.type][-1]})
        for n, (text, c) in enumerate(product(TEXTS[2:7], columns.all[1:]))
    )
    none = tuple(None for _ in columns.names[1:])
    for one, other in combinations(((), many[:1], many, odd, (("si_0", *none),)), 2):
        for old, new in ((one, other), (other, one)):
            row = difference(mirrored, (state[0], old), (state[0], new))
            assert row is not None
            yield "items", row


def unknown() -> Iterator[tuple[str, DriftRow]]:
    """What an older or newer version kept, and what no database can hold but a test can."""
    for text in (*filter(None, TEXTS), LONE):
        yield (
            "texts",
            DriftRow(
                object="parcel",
                object_id=text,
                kind="differs",
                consequence="money",
                fields={
                    text: (text, {text: text}),
                    f"items.{text}": (None, {"id": text}),
                    f"items.{text}.x": (1, [text]),
                    "items.": (None, 1),
                    "items.si_1.unit_amount": (text, {}),
                    "missing_in_stripe_since": (text, None),
                },
                customer=Customer(id=text, email=text, name=text),
                monthly_amount={text: 1},
                monthly_before={text: 1},
                not_computed=["something_new"],
                ends_access=False,
                action="reported",
                spooled=None,
                found_at=0,
            ),
        )


def report(rows: list[DriftRow], mode: Any = "repair", text: str = "") -> Report:
    facts = RunFacts(
        id="1",
        mode=mode,
        started_at=1,
        finished_at=2,
        account=f"acct_{text}",
        livemode=False,
        outcome=RunOutcome.FAILED,
        reason=f"reason {text}",
    )
    events = Events(listed=3, missed=2)
    events.by_type[text or "x"] += 1
    return Report(
        run=facts,
        counts={},
        stripe_requests=0,
        drift=lambda which=None: (one for one in rows if which in {None, one.consequence}),
        tallies=lambda: tallied(rows),
        events=events,
        failed=1,
        failures=[Failed(f"evt_{text}", text, text, 1, text, 1)],
    )


def rendered(of: Report) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, render in RENDERERS.items():
        stream = io.StringIO()
        render(of, totals(of), stream)
        found[name] = stream.getvalue()
    return found


def judge(case: str, row: DriftRow, text: str = "") -> None:
    found = rendered(report([row], text=text))
    for name, output in found.items():
        unprintable = {one for one in output if not one.isprintable()} - {"\n"}
        assert not unprintable, (name, case)
        assert len(max(output.split("\n"), key=len)) < 2_000 or name != "text", case
    assert found["json"].isascii()
    (told,) = json.loads(found["json"])["drift"]
    assert set(told["fields"]) == set(row.fields), case
    # Whatever is in a value, it makes no line of its own.
    heads = [line for line in found["text"].split("\n") if line.startswith(row.consequence.upper())]
    assert len(heads) == 1, case
    for amounts in (row.monthly_amount, row.monthly_before, row.monthly_after):
        assert all(abs(amount) < 2**63 for amount in amounts.values()), case
    assert all(amount >= 0 for amount in row.monthly_amount.values()), case


@pytest.mark.parametrize("mirrored", MIRRORED, ids=lambda one: one.name)
@pytest.mark.parametrize("cases", [alone, in_pairs, whole])
def test_any_value_in_any_column_is_told_by_every_renderer(
    mirrored: MirroredObject, cases: Any
) -> None:
    number = 0
    for case, row in cases(mirrored):
        judge(case, row)
        number += 1
    assert number > 5


def test_what_no_declaration_knows_is_told_by_every_renderer() -> None:
    for case, row in unknown():
        judge(case, row, text=row.object_id[:100])


def test_money_column_that_differs_alone_is_never_silently_nothing() -> None:
    """It changes the amount, or is named, or decides no amount: a date, an id, a way to pay."""
    (mirrored,) = [one for one in MIRRORED if one.name == "subscription"]
    assert mirrored.items is not None
    decides = {
        *("quantity", "unit_amount", "unit_amount_decimal", "currency", "interval"),
        *("interval_count", "usage_type", "transform_quantity"),
    }
    other: dict[Type, Value] = {
        Type.TEXT: "day",
        Type.INTEGER: 7,
        Type.DECIMAL: "7",
        Type.JSON: '{"divide_by": 7, "round": "down"}',
    }
    for column in mirrored.items.columns:
        if column.name in decides:
            row = difference(
                mirrored,
                states(mirrored, "items", {column.name: other[column.type]}),
                states(mirrored, "items", {}),
            )
            assert row is not None
            assert row.consequence == "money"
            assert row.monthly_amount or row.not_computed, column.name
