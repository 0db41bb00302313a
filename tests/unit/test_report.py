"""The report: one object for programs, a page for people."""

import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reconcile.deliveries.events import Events
from reconcile.journal.drift import tallied
from reconcile.report import as_json, as_text, shown
from reconcile.report.model import Conditions, Report, RunFacts, RunOutcome, totals
from shared.repository.drifts import Customer, DriftRow
from shared.repository.ledger import Failed
from shared.repository.progress import Counts


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
            "subscription": Counts(stripe=1001, database=1000, in_sync=990, granting=7),
            "customer": Counts(stripe=5, database=5, in_sync=5),
        },
        stripe_requests=42,
        drift=lambda which=None: (row for row in rows if which in {None, row.consequence}),
        tallies=lambda: tallied(rows),
        events=Events(listed=9, missed=1),
        failed=failures,
        failures=failed,
        conditions=Conditions(
            version="1.2.3",
            flags=("--grace", "5"),
            grace_seconds=5,
            access_statuses=("active",),
        ),
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
        "totals": "leak lockout money cosmetic",
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
        "customer": None,
        "plans": [],
        "fields": {"status": ["active", "canceled"], "ended_at": [None, 1_790_000_000]},
        "monthly_amount": {"eur": 1234567},
        "monthly_before": {},
        "monthly_after": {},
        "not_computed": [],
        "action": "repaired",
    }
    assert found["totals"]["leak"] == {
        "count": 1,
        "monthly_amount": {"eur": 1234567},
        "not_wholly_computed": 0,
    }
    assert (found["format"], found["version"], found["flags"]) == (2, "1.2.3", ["--grace", "5"])
    assert (found["grace_seconds"], found["access_statuses"]) == (5, ["active"])
    assert found["run"]["started_at"] == "2026-09-21T14:13:20Z"
    assert found["events"]["oldest_unprocessed"] == "2026-09-21T14:13:20Z"


def test_json_has_no_key_that_its_page_leaves_out() -> None:
    page = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")
    of = report(drift(customer=Customer(id="cus_1", email="a@b.de", name="A")), failures=1)
    found = in_json(of)
    (row,), (failure,) = found["drift"], found["events"]["failures"]
    names = {
        *found.keys(),
        *found["run"],
        *found["counts"],
        *found["totals"],
        *found["totals"]["leak"],
        *row,
        *row["customer"],
        *found["events"],
        *found["events"]["webhook"],
        *failure,
    }
    assert {name for name in names if f"`{name}`" not in page} == set()
    assert f'`"format": {as_json.FORMAT}`' in page


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
    "minor, currency, expected",
    [
        (63_000, "eur", "630.00 EUR"),
        (123_450, "usd", "1,234.50 USD"),
        (0, "eur", "0.00 EUR"),
        (-5, "eur", "-0.05 EUR"),
        (1_500, "jpy", "1,500 JPY"),
        (12_345, "kwd", "12.345 KWD"),
        (500, "isk", "5.00 ISK"),
        (Decimal("0.25"), "eur", "0.0025 EUR"),
        (Decimal("0.000000000001"), "jpy", "0.000000000001 JPY"),
        (2**63 - 1, "eur", "92,233,720,368,547,758.07 EUR"),
    ],
)
def test_amounts_are_shown_as_people_write_them(
    minor: int | Decimal, currency: str, expected: str
) -> None:
    assert shown.money(minor, currency) == expected


@pytest.mark.parametrize(
    "value, expected",
    [
        (1_790_000_000, "2026-09-21 14:13:20 UTC"),
        ("1790000000.2", "2026-09-21 14:13:20.2 UTC"),
        ("1789999999.999999", "2026-09-21 14:13:19.999999 UTC"),
        ("-0.5", "1969-12-31 23:59:59.5 UTC"),
        ("-63600000000.5", "-63600000000.5"),
        (2**63 - 1, "9223372036854775807"),
        (None, "null"),
    ],
)
def test_time_is_shown_to_its_fraction(value: int | str | None, expected: str) -> None:
    text = in_text(report(drift(fields={"cancel_at": (value, 0)})))
    assert f"cancel_at: {expected} -> 1970-01-01 00:00:00 UTC" in text


@pytest.mark.parametrize(
    "fields, expected",
    [
        ({"items.si_1.metadata": ({"a": "b"}, {})}, 'items.si_1.metadata: {"a": "b"} -> {}'),
        ({"missing_in_stripe_since": (None, 1_790_000_000)}, "Stripe does not know it"),
        (
            {"missing_in_stripe_since": (1_790_000_000, None)},
            "Stripe knows it, though it is marked as missing since 2026-09-21 14:13:20 UTC",
        ),
        (
            {"items.si_1.unit_amount": (123_450, None)},
            "items.si_1.unit_amount: 1,234.50 EUR -> none",
        ),
        (
            {"items.si_1.unit_amount_decimal": ("0.25", "1")},
            "items.si_1.unit_amount_decimal: 0.0025 EUR -> 0.01 EUR",
        ),
        (
            {
                "items.si_1": (
                    None,
                    {
                        "id": "si_1",
                        "price_id": "price_1",
                        "quantity": 5,
                        "currency": "kwd",
                        "unit_amount": 1_500,
                        "interval": "month",
                        "interval_count": 3,
                    },
                )
            },
            "items.si_1: null -> 5 x price_1 at 1.500 KWD every 3 month",
        ),
    ],
)
def test_field_is_said_as_a_person_would(fields: Any, expected: str) -> None:
    text = in_text(report(drift(consequence="money", fields=fields, monthly_before={"eur": 900})))
    assert f"\n    {expected}\n" in text


def test_money_says_before_after_and_what_is_at_stake() -> None:
    text = in_text(
        report(
            drift(
                consequence="money",
                fields={"items.si_1.quantity": (12, 5)},
                monthly_amount={"eur": 6_300},
                monthly_before={"eur": 10_800},
                monthly_after={"eur": 4_500},
                not_computed=["discounts", "metered"],
            )
        )
    )
    for words in (
        "money          1  amounts or billing dates differ, 63.00 EUR a month at stake, 1 not",
        "MONEY  subscription sub_1  differs, 63.00 EUR a month at stake  [repaired]",
        "    a month: 108.00 EUR -> 45.00 EUR\n",
        "    not computed: discounts; usage of metered prices\n",
        "before discounts and taxes",
    ):
        assert words in text


@pytest.mark.parametrize(
    "customer, expected",
    [
        (Customer(id="cus_1"), "    customer: cus_1\n"),
        (
            Customer(id="cus_1", email="ada@example.com", name="Ada"),
            "    customer: cus_1  Ada  <ada@example.com>\n",
        ),
        (None, "[repaired]\n    status"),
    ],
)
def test_difference_names_its_customer(customer: Customer | None, expected: str) -> None:
    of = report(drift(customer=customer))
    assert expected in in_text(of)
    (row,) = in_json(of)["drift"]
    assert row["customer"] == (customer and msgspec.to_builtins(customer))


@pytest.mark.parametrize(
    "not_computed, expected",
    [([], "nothing -> 9.00 EUR"), (["metered"], "nothing computed -> 9.00 EUR")],
)
def test_what_is_not_computed_is_not_told_as_nothing(
    not_computed: list[str], expected: str
) -> None:
    of = drift(consequence="money", monthly_after={"eur": 900}, not_computed=not_computed)
    assert f"    a month: {expected}\n" in in_text(report(of))


def test_fields_amounts_and_totals_stand_in_one_order() -> None:
    fields = {
        "items.si_2.quantity": (1, 2),
        "metadata": ({}, {"a": "b"}),
        "status": ("a", "b"),
        "items.si_1.unit_amount": (1, 2),
        "items.si_1.quantity": (1, 2),
        "nobody_knows": (1, 2),
        "missing_in_stripe_since": (1, None),
    }
    amounts = {"usd": 1, "eur": 2}
    found = in_json(report(drift(fields=fields, monthly_amount=amounts, monthly_after=amounts)))
    (row,) = found["drift"]
    assert list(row["fields"]) == [
        *("missing_in_stripe_since", "status", "metadata", "nobody_knows"),
        *("items.si_1.quantity", "items.si_1.unit_amount", "items.si_2.quantity"),
    ]
    assert list(row["monthly_amount"]) == list(row["monthly_after"]) == ["eur", "usd"]
    assert list(found["totals"]) == ["leak", "lockout", "money", "cosmetic"]
    assert list(found["totals"]["leak"]["monthly_amount"]) == ["eur", "usd"]
