"""What the benchmark says of its figures, and how it reads what the server was sent."""

from pathlib import Path

import pytest

from sandbox.bench import figures
from sandbox.bench.figures import Figure, Part
from sandbox.bench.webhook.replay import script_of, seen


@pytest.mark.parametrize(
    "value, at_least, met",
    [(30, False, True), (30.01, False, False), (30, True, True), (29.99, True, False)],
)
def test_budget_is_met_at_its_limit_and_missed_one_beyond(
    value: float, at_least: bool, met: bool
) -> None:
    assert Figure(name="f", value=value, budget=30, at_least=at_least).met is met


def test_figure_that_could_not_be_measured_neither_meets_nor_misses() -> None:
    assert Figure(name="f", value=None, budget=30).met is None


def test_ratio_says_how_many_times_better_than_the_yardstick() -> None:
    assert Figure(name="CPU", value=20, yardstick=800).ratio == 40
    assert Figure(name="rate", value=500, yardstick=1000, at_least=True).ratio == 0.5


def test_part_that_is_measured_anew_replaces_that_part_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    figures.write(path, {"bulk": Part(points=[{"rows": 1}]), "start": Part()})
    figures.write(path, {"bulk": Part(points=[{"rows": 2}])})
    assert {name: part.points for name, part in figures.read(path).items()} == {
        "bulk": [{"rows": 2}],
        "start": [],
    }


def test_statements_are_read_from_the_servers_log_with_their_values() -> None:
    log = (
        "@7@ LOG:  statement: BEGIN\n"
        "@7@ LOG:  execute _pg3_0: INSERT INTO t\n\tVALUES ($1, $2)\n"
        "@7@ DETAIL:  Parameters: $1 = 'it''s, $2 = ''no''', $2 = NULL\n"
        "@7@ LOG:  statement: COMMIT\n"
    )
    event = seen(log)
    assert [(one.text, one.values) for one in event] == [
        ("BEGIN", []),
        ("INSERT INTO t\nVALUES ($1, $2)", ["'it''s, $2 = ''no'''", "NULL"]),
        ("COMMIT", []),
    ]
    assert script_of([event]) == [
        "PREPARE s0 AS INSERT INTO t\nVALUES ($1, $2)",
        "BEGIN",
        "EXECUTE s0('it''s, $2 = ''no''', NULL)",
        "COMMIT",
    ]
