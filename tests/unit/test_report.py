"""The report: one object for programs, a page for people."""

import io
import json
from typing import Any

import pytest

from reconcile.drift import tallied
from reconcile.missed import Events
from reconcile.report import as_json, as_text
from reconcile.report.model import Report, RunFacts, RunOutcome, totals
from shared.repository.drifts import DriftRow
from shared.repository.ledger import Failed


def drift(name: str = "sub_1", **fields: Any) -> DriftRow:
    given: dict[str, Any] = {
        "object": "subscription",
        "object_id": name,
        "kind": "differs",
        "consequence": "leak",
        "fields": {"status": ("active", "canceled"), "ended_at": (None, 1_790_000_000)},
        "monthly_amount": {"eur": 1234567},
        "ends_access": True,
        "action": "repaired",
        "spooled": None,
        "found_at": 1_790_000_000,
        **fields,
    }
    return DriftRow(**given)


def report(*rows: DriftRow, failures: int = 0, **facts: Any) -> Report:
    run: dict[str, Any] = {
        "id": "5f0c",
        "mode": "repair",
        "started_at": 1_790_000_000,
        "finished_at": 1_790_000_007,
        "account": "acct_1",
        "livemode": False,
        "outcome": RunOutcome.SUCCESS,
        "reason": None,
        **facts,
    }
    failed = [
        Failed(f"evt_{n}", "customer.updated", "cus_1", 2, "cannot read $.id", 1_790_000_000 + n)
        for n in range(failures)
    ]
    return Report(
        run=RunFacts(**run),
        counts={
            "subscription": {"stripe": 1001, "database": 1000, "in_sync": 990, "granting": 7},
            "customer": {"stripe": 5, "database": 5, "in_sync": 5},
        },
        stripe_requests=42,
        drift=lambda which=None: (row for row in rows if which in {None, row.consequence}),
        tallies=lambda: tallied(rows),
        events=Events(listed=9, missed=1),
        failed=failures,
        failures=failed,
    )


def in_json(of: Report) -> dict[str, Any]:
    stream = io.StringIO()
    as_json.write(of, totals(of), stream)
    found: dict[str, Any] = json.loads(stream.getvalue())
    return found


def in_text(of: Report) -> str:
    stream = io.StringIO()
    as_text.write(of, totals(of), stream)
    return stream.getvalue()


def test_json_has_the_keys_that_others_build_on() -> None:
    found = in_json(report(drift(), failures=1))
    assert {"run", "counts", "drift", "events"} <= found.keys()
    for part, names in {
        "run": "id mode started_at finished_at account livemode outcome",
        "counts": "stripe database in_sync in_flight drift repaired stripe_requests",
        "events": "listed missed not_entered refused failed oldest_unprocessed",
    }.items():
        assert set(names.split()) <= found[part].keys()
    (row,) = found["drift"]
    assert row == {
        "object": "subscription",
        "id": "sub_1",
        "kind": "differs",
        "consequence": "leak",
        "fields": {"status": ["active", "canceled"], "ended_at": [None, 1_790_000_000]},
        "monthly_amount": {"eur": 1234567},
        "action": "repaired",
    }
    assert found["run"]["started_at"] == "2026-09-21T14:13:20Z"
    assert found["events"]["oldest_unprocessed"] == "2026-09-21T14:13:20Z"


def test_json_is_valid_with_none_one_and_many_differences() -> None:
    for count in (0, 1, 2, 700):
        found = in_json(report(*(drift(f"sub_{n}") for n in range(count))))
        assert [row["id"] for row in found["drift"]] == [f"sub_{n}" for n in range(count)]
        assert found["counts"]["drift"] == count


def test_json_holds_any_text() -> None:
    odd = 'a"b\\\n\u2028</script>\x00\U0001f600'
    found = in_json(report(drift(fields={"metadata": ({"k": odd}, None)})))
    assert found["drift"][0]["fields"]["metadata"] == [{"k": odd}, None]


def test_counts_tell_in_flight_from_drift() -> None:
    of = report(
        drift("sub_1"),
        drift("sub_2", action="in_flight"),
        drift("sub_3", action="refused", consequence="money", monthly_amount={"usd": 5}),
        drift("cus_1", object="customer", consequence="cosmetic", monthly_amount={}),
    )
    counted = totals(of)
    assert (counted.drift, counted.repaired, counted.in_flight) == (3, 2, 1)
    assert (counted.stripe, counted.database, counted.in_sync) == (1006, 1005, 995)
    assert counted.by_consequence == {"leak": 1, "money": 1, "cosmetic": 1}
    assert counted.monthly_amount["money"] == {"usd": 5}
    assert counted.by_object["customer"]["drift"] == 1


def test_text_tells_what_a_person_has_to_know() -> None:
    text = in_text(report(drift(), failures=2))
    for words in (
        "acct_1 (test)",
        "2026-09-21 14:13:20 UTC",
        "LEAK  subscription sub_1  differs",
        "12,345.67 EUR a month",
        "status: active -> canceled",
        "let in, though Stripe does not",
        "2 events could not be applied",
        "REPAIRED: 1 of 1 difference\n",
        "42 requests to Stripe",
    ):
        assert words in text
    assert max(map(len, text.splitlines())) < 160


def test_text_says_that_nothing_drifted() -> None:
    assert "IN SYNC: no drift" in in_text(report())


def test_text_says_why_a_run_failed() -> None:
    text = in_text(report(outcome=RunOutcome.REFUSED, reason="too many", mode="report"))
    assert "REFUSED: too many" in text


def test_text_says_what_it_leaves_out() -> None:
    text = in_text(report(*(drift(f"sub_{n}") for n in range(1000))))
    assert "leak       1,000" in text
    assert "and 975 leak more" in text
    many = drift(fields={f"field_{n}": (n, None) for n in range(40)})
    assert "and 28 fields more" in in_text(report(many))


@pytest.mark.parametrize(
    "minor, currency, shown",
    [(63_000, "eur", "630.00 EUR"), (1_500, "jpy", "1,500 JPY"), (12_345, "kwd", "12.345 KWD")],
)
def test_amounts_are_shown_as_people_write_them(minor: int, currency: str, shown: str) -> None:
    assert as_text.money(minor, currency) == shown


@pytest.mark.parametrize(
    "value, shown",
    [
        (1_790_000_000, "2026-09-21 14:13:20 UTC"),
        ("1790000000.2", "2026-09-21 14:13:20.2 UTC"),
        ("1789999999.999999", "2026-09-21 14:13:19.999999 UTC"),
        ("-0.5", "1969-12-31 23:59:59.5 UTC"),
        ("-63600000000.5", "-63600000000.5"),
        (2**63 - 1, "9223372036854775807"),
    ],
)
def test_time_is_shown_to_its_fraction(value: int | str, shown: str) -> None:
    row = DriftRow(
        object="subscription",
        object_id="sub_1",
        kind="differs",
        consequence="money",
        fields={"cancel_at": (value, None)},
        monthly_amount={},
        ends_access=False,
        action="reported",
        spooled=None,
        found_at=0,
    )
    assert as_text._value(row, "cancel_at", value) == shown


def test_metadata_of_an_item_is_shown_as_it_is() -> None:
    row = DriftRow(
        object="subscription",
        object_id="sub_1",
        kind="differs",
        consequence="cosmetic",
        fields={"items.si_1.metadata": ({"a": "b"}, {})},
        monthly_amount={},
        ends_access=False,
        action="reported",
        spooled=None,
        found_at=0,
    )
    assert as_text._value(row, "items.si_1.metadata", {"a": "b"}) == '{"a": "b"}'
