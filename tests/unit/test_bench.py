"""What the benchmark says of its figures, and the plots that it draws from them."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from sandbox.bench import figures
from sandbox.bench.drawing import plots
from sandbox.bench.drawing.svg import Chart, Line, draw
from sandbox.bench.figures import Figure, Part
from sandbox.bench.webhook.replay import script_of, seen

SVG = "{http://www.w3.org/2000/svg}"


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


def test_chart_names_its_axes_and_marks_each_point_in_order() -> None:
    line = Line(name="a < b", points=[(1_000, 2), (30_000, 4), (1_000_000, 1)])
    limit = Line(name="limit", points=[(1_000, 3), (1_000_000, 3)], limit=True)
    root = ET.fromstring(  # noqa: S314 - our own text
        draw(Chart(title="t", x="rows", y="MiB", lines=[line, limit]))
    )
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert {"t", "a < b", "limit", "rows", "MiB", "1k", "1M"} <= set(words)
    marks = list(root.iter(f"{SVG}circle"))
    across = [float(mark.attrib["cx"]) for mark in marks]
    down = [float(mark.attrib["cy"]) for mark in marks]
    assert across == sorted(across)
    assert down[1] < down[0] < down[2]


def test_plots_are_not_drawn_without_measurements(tmp_path: Path) -> None:
    with pytest.raises(plots.NotMeasured, match="make bench"):
        plots.write({"bulk": Part()}, tmp_path)


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
