"""The limit on a run's repairs: exactly at it, and one beyond."""

import pytest

from reconcile.gate import FLOOR, Changes, Limit, Plan, parse, refusals
from shared.errors import RepairRefused
from shared.objects.catalogue import BY_NAME, MIRRORED
from shared.objects.declaration import MirroredObject
from shared.repository.drifts import DriftRow
from shared.repository.progress import Counts


def check(plan: list[Changes], limit: Limit) -> None:
    """Raise the first refusal."""
    for refusal in refusals(plan, limit).values():
        raise refusal


def changes_of(
    *, rows: int = 1000, granting: int = 1000, changes: int = 0, ending_access: int = 0
) -> Changes:
    return Changes("subscription", rows, granting, changes, ending_access)


@pytest.mark.parametrize(
    "text, rows, allowed",
    [
        ("10%", 1000, 100),
        ("10%", 1009, 100),
        ("10%", 1010, 101),
        ("0.5%", 10_000, 50),
        ("12.5 %", 1000, 125),
        ("10%", 30, FLOOR),
        ("10%", 0, FLOOR),
        ("0%", 1_000_000, 0),
        ("100%", 1000, 1000),
        ("50", 1000, 50),
        ("50", 10, 50),
        ("0", 1000, 0),
    ],
)
def test_limit_allows(text: str, rows: int, allowed: int) -> None:
    assert parse(text).allowed(rows) == allowed


@pytest.mark.parametrize("text", ["10%", "0.5%", "50"])
def test_limit_is_written_as_it_was_given(text: str) -> None:
    assert str(parse(text)) == text


@pytest.mark.parametrize("limit, allowed", [(parse("10%"), 100), (parse("7"), 7), (parse("0"), 0)])
def test_changes_pass_at_the_limit_and_not_one_beyond(limit: Limit, allowed: int) -> None:
    check([changes_of(changes=allowed)], limit)
    with pytest.raises(RepairRefused) as caught:
        check([changes_of(changes=allowed + 1)], limit)
    assert (caught.value.concerned, caught.value.allowed) == (allowed + 1, allowed)
    assert f"--max-repairs {allowed + 1}" in str(caught.value)


@pytest.mark.parametrize("limit, allowed", [(parse("10%"), 100), (parse("30"), 30)])
def test_ending_access_is_held_against_the_rows_that_grant_it(limit: Limit, allowed: int) -> None:
    few = {"rows": 1_000_000, "granting": 1000}
    check([changes_of(**few, changes=1, ending_access=allowed)], limit)
    with pytest.raises(RepairRefused, match="lose access"):
        check([changes_of(**few, changes=1, ending_access=allowed + 1)], limit)


def test_floor_lets_an_ordinary_morning_pass() -> None:
    check([changes_of(rows=30, granting=30, changes=FLOOR, ending_access=FLOOR)], parse("10%"))
    with pytest.raises(RepairRefused):
        check([changes_of(rows=30, granting=30, changes=FLOOR + 1)], parse("10%"))


def test_one_object_beyond_the_limit_refuses_all() -> None:
    with pytest.raises(RepairRefused):
        check([changes_of(changes=1), changes_of(changes=101)], parse("10%"))


ALONE = [mirrored for mirrored in MIRRORED if mirrored.access is None]


def plan_of(changes: dict[str, int], limit: str = "10%") -> Plan:
    """A plan for a thousand rows of each object, of which so many are to change."""
    counts = {name: Counts(database=1000, granting=1000) for name in BY_NAME}
    plan = Plan(counts, parse(limit))
    for name, number in changes.items():
        for row in range(number):
            plan.add(drift(name, row, "pending"))
    return plan


def drift(name: str, row: int, action: str) -> DriftRow:
    return DriftRow(
        object=name,
        object_id=f"{name}_{row}",
        kind="differs",
        consequence="money",
        fields={"metadata": ({"plan": "a"}, {"plan": "b"})},
        monthly_amount={},
        ends_access=False,
        action=action,
        spooled=None,
        found_at=0,
    )


@pytest.mark.parametrize("mirrored", MIRRORED, ids=lambda mirrored: mirrored.name)
def test_each_object_passes_at_the_limit_and_is_refused_one_beyond(
    mirrored: MirroredObject,
) -> None:
    """By itself where it decides no access; with one that does nothing is to be written."""
    others = {name: 100 for name in BY_NAME if name != mirrored.name}
    at_limit = plan_of({**others, mirrored.name: 100})
    assert (dict(at_limit.check()), at_limit.refusal()) == ({}, None)
    beyond = plan_of({**others, mirrored.name: 101})
    said = beyond.refusal()
    assert said is not None
    for word in (
        f"({mirrored.name}s)",
        "101 of 1,000",
        "10.10 %",
        "allows 100",
        "--max-repairs 101",
    ):
        assert word in said
    if mirrored.access is None:
        assert {name: str(error) for name, error in beyond.check().items()} == {mirrored.name: said}
        assert "these alone are held back" in said
    else:
        with pytest.raises(RepairRefused) as caught:
            beyond.check()
        assert str(caught.value) == said
        assert "held back" not in said


def test_all_that_exceed_the_limit_are_told_and_one_that_decides_access_stands_for_all() -> None:
    several = {mirrored.name: 101 for mirrored in ALONE}
    said = plan_of(several).refusal()
    assert said is not None
    assert said.count("these alone are held back") == len(ALONE) == len(plan_of(several).check())
    everything = plan_of(dict.fromkeys(BY_NAME, 101))
    with pytest.raises(RepairRefused, match=r"\(subscriptions\)") as caught:
        everything.check()
    assert everything.refusal() == str(caught.value)


def test_what_is_taken_back_counts_no_more() -> None:
    plan = plan_of({"product": 101})
    plan.replace(drift("product", 0, "pending"), drift("product", 0, "in_flight"))
    assert not plan.check()


def test_refusal_says_share_limit_and_counts() -> None:
    with pytest.raises(RepairRefused) as caught:
        check([changes_of(rows=8_000, changes=1_234)], parse("10%"))
    for word in ("1,234", "8,000", "15.4", "10%", "800"):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    "text, forbids", [("0", True), ("0%", True), ("1", False), ("0.1%", False), ("10%", False)]
)
def test_zero_forbids_every_change(text: str, forbids: bool) -> None:
    assert parse(text).forbids_all is forbids
