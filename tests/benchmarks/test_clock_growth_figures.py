"""What the growth benchmark makes of its figures: cells, targets, tables, plots and the command line."""

from __future__ import annotations

import io
import json
import re
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from benchmarks.clock_growth import benchmark, cells
from benchmarks.clock_growth.__main__ import main
from benchmarks.clock_growth.judging import judged
from benchmarks.clock_growth.measures import Distribution
from benchmarks.clock_growth.plots import draw
from benchmarks.clock_growth.svg import Axis, lines
from benchmarks.clock_growth.tables import COLUMNS, show
from benchmarks.clock_growth.variants import VARIANTS
from benchmarks.clock_growth.workload import WORKLOADS
from benchmarks.command import OK, SHORT

pytestmark = pytest.mark.simulation


@cache
def small_run() -> dict[str, Any]:
    """Two sizes with everything in them; treated as read-only."""
    return benchmark.run([cells.cell(count, rate=0.1, messages=80, variants=tuple(VARIANTS)) for count in (3, 5)])


# -- figures and cells -----------------------------------------------------------------------------------------


def test_distribution_of_values_has_mean_percentiles_and_drift() -> None:
    found = Distribution([*range(1, 100), 5000])
    assert found.to_dict() == {"mean": 99.5, "p50": 50, "p99": 99, "max": 5000}
    assert Distribution([1, 1, 3, 3]).drift() == 3
    assert Distribution().to_dict() == {"mean": 0.0, "p50": 0, "p99": 0, "max": 0}


def test_cells_of_the_whole_run_cover_what_is_asked() -> None:
    found = cells.whole()
    places = [(cell.services, cell.workload, cell.rate, cell.handler_ms, cell.slow, cell.at_once) for cell in found]
    assert len(set(places)) == len(places)
    assert {(slow, at_once) for *_, slow, at_once in places} == {("links", 0), ("links", 1), ("hops", 0), ("hops", 1)}
    keys = {place[:4] for place in places}
    assert {(count, "graph", rate, 0) for count in cells.SIZES for rate in (0.1, 1.0)} <= set(keys)
    assert {cell.workload for cell in found} == set(WORKLOADS)
    assert {cell.handler_ms for cell in found} == set(cells.HANDLERS_MS)
    assert {cell.rate for cell in found} >= set(cells.RATES)
    heartbeats = next(cell for cell in found if (cell.services, cell.rate, cell.handler_ms) == (100, 0.1, 0))
    assert {"process", "process-50", "process-5"} <= set(heartbeats.variants)
    assert heartbeats.algorithms


def test_run_of_cells_names_each_variant_and_encoding() -> None:
    found = small_run()
    assert [cell["services"] for cell in found["cells"]] == [3, 5]
    for cell in found["cells"]:
        assert list(cell["results"]) == [
            *VARIANTS, "full-clock", "named-clock", "differential-clock", "matrix", "matrix-sparse", "optimal",
        ]  # fmt: skip
        assert cell["messages"] >= 80
    assert json.loads(json.dumps(found)) == found


def test_run_of_a_cell_advances_by_every_message_of_every_run() -> None:
    done: list[float] = []
    cell = cells.cell(3, messages=20, variants=("process",))
    found = benchmark.run([cell], advance=done.append)
    assert sum(done) == cell.runs * found["cells"][0]["messages"]


# -- targets ---------------------------------------------------------------------------------------------------


def result(ordering: float = 40, p99: float = 100, **more: Any) -> dict[str, Any]:
    size = {"mean": ordering, "p99": p99}
    plain = {"controls": 0.0, "held_share": 0.0, "needless_share": 0.0, "wait_ms": {"mean": 0.0}, "dots": {"max": 9}}
    return {"bytes": {"ordering": size, "total": size}, **plain, **more}


def a_cell(services: int, rate: float = 0.1, handler_ms: int = 0, **results: dict[str, Any]) -> dict[str, Any]:
    named = {name.replace("_", "-"): each for name, each in results.items()}
    where = {"services": services, "workload": "graph", "rate": rate, "handler_ms": handler_ms}
    return where | {"slow": "links", "at_once": 0, "results": named}


def verdicts(*found: dict[str, Any]) -> dict[str, bool]:
    return {target["name"]: target["met"] for target in judged(found)}


def test_targets_of_context_scope_are_mean_p99_and_flatness() -> None:
    found = verdicts(a_cell(10, context=result(30)), a_cell(1000, context=result(46, 129)))
    assert found == {
        "context scope, ordering bytes, mean: 10 services, rate 0.1, 0 ms": True,
        "context scope, ordering bytes, p99: 10 services, rate 0.1, 0 ms": True,
        "context scope, ordering bytes, mean: 1000 services, rate 0.1, 0 ms": True,
        "context scope, ordering bytes, p99: 1000 services, rate 0.1, 0 ms": False,
        "context scope, ordering bytes at 1000 services / at 10, rate 0.1": False,
        "context scope, exact: share held without need": True,
    }


def test_target_of_process_scope_counts_only_what_is_affordable() -> None:
    (name,) = (each for each in verdicts(a_cell(100, process=result(300))) if "best with" in each)
    dear, cheap = result(90, controls=1.1), result(120, controls=0.9)
    assert verdicts(a_cell(100, process=result(300), process_5=dear))[name] is False
    assert verdicts(a_cell(100, process=result(300), process_5=dear, bounded_16=cheap))[name] is True


def test_targets_of_growth_are_exponents_between_the_largest_sizes() -> None:
    sizes = (10, 100, 1000)
    found = verdicts(*(a_cell(count, full_clock=result(count), matrix=result(count**1.8)) for count in sizes))
    assert found == {"full vector clock: exponent of its growth": True, "dense matrix: exponent of its growth": False}


def test_targets_of_bounded_mode_are_dots_and_waiting() -> None:
    exact, late = result(wait_ms={"mean": 1.0}), result(wait_ms={"mean": 2.1}, dots={"max": 65})
    found = verdicts(a_cell(40, 1.0, process=exact, bounded_64=late, bounded_64_50=result()))
    assert found["bounded-64, most dots in a stamp: 40 services, rate 1, 0 ms"] is False
    assert found["bounded-64-50, most dots in a stamp: 40 services, rate 1, 0 ms"] is True
    assert found["bounded-64, mean wait beyond exact, ms: 40 services, rate 1, 0 ms"] is False


def test_targets_name_the_network_the_workload_and_the_handlers_where_they_are_not_the_usual_ones() -> None:
    late = a_cell(40, 1.0, process=result(), bounded_64=result(wait_ms={"mean": 2.1})) | {"slow": "hops"}
    assert verdicts(late)["bounded-64, mean wait beyond exact, ms: 40 services, rate 1, 0 ms, slow hops"] is False
    busy = a_cell(10, 0.07, 10, context=result(held_share=0.01)) | {"workload": "chains", "at_once": 1}
    assert verdicts(busy)["context scope, share held: 10 services, chains, rate 0.07, 10 ms, 1 at once"] is True


def test_targets_of_long_handlers_compare_the_scopes() -> None:
    found = verdicts(a_cell(10, 0.07, 10, process=result(held_share=0.7), context=result(held_share=0.021)))
    assert found["context scope, share held: 10 services, rate 0.07, 10 ms"] is False
    assert found["process scope, share held: 10 services, rate 0.07, 10 ms"] is True


# -- tables and plots ------------------------------------------------------------------------------------------


def test_table_of_a_cell_has_a_row_for_each_result_within_the_width() -> None:
    text = io.StringIO()
    show(small_run(), Console(file=text, width=120))
    shown = text.getvalue()
    assert "…" not in shown
    for cell in small_run()["cells"]:
        assert cell["title"] in shown
        for each in cell["results"].values():
            assert each["title"] in shown
    assert all(column in shown for column in COLUMNS)


def test_plots_of_a_run_are_svg_with_every_series(tmp_path: Path) -> None:
    found = small_run()
    assert [path.name for path in draw(found, tmp_path)] == ["clock_growth_bytes.svg"]
    hundred = [{**cell, "services": 100} for cell in found["cells"][1:]]
    written = draw({"cells": [*found["cells"], *hundred]}, tmp_path)
    assert [path.stem for path in written] == [f"clock_growth_{name}" for name in ("bytes", "parts", "heartbeats")]
    for path in written:
        root = ElementTree.parse(path).getroot()
        assert root.tag.endswith("svg")
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        for text in root.iter("{http://www.w3.org/2000/svg}text"):
            assert 0 <= float(text.attrib["x"]) <= width
            assert 0 <= float(text.attrib["y"]) <= height
    words = " ".join(ElementTree.parse(written[0]).getroot().itertext())
    assert all(name in words for name in ("full vector clock", "RST matrix", "Kshemkalyani–Singhal", "process scope"))


def test_line_on_logarithmic_axes_is_straight_where_growth_is_a_power() -> None:
    axis = Axis(title="n", logarithmic=True, ticks=(1, 10, 100))
    drawn = lines("t", axis, axis, {"<square>": [(1, 1), (3, 9), (10, 100)]})
    match = re.search(r'polyline points="([^"]*)"', drawn)
    assert match is not None
    (x0, y0), (x1, y1), (x2, y2) = (map(float, pair.split(",")) for pair in match[1].split())
    assert (y1 - y0) / (x1 - x0) == pytest.approx((y2 - y1) / (x2 - x1), rel=0.01)
    assert "&lt;square&gt;" in drawn


# -- the command -----------------------------------------------------------------------------------------------


def test_command_for_one_cell_prints_writes_and_draws_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "growth.json"
    wanted = ["--services", "3,4", "--workloads", "graph", "--rates", "0.1", "--messages", "40"]
    assert main([*wanted, "--json", "--output", str(output), "--plots", str(tmp_path)]) == OK
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(output.read_text("utf-8"))
    assert [cell["services"] for cell in printed["clock_growth"]["cells"]] == [3, 4]
    assert (tmp_path / "clock_growth_bytes.svg").exists()
    assert "seed" in printed["clock_growth"]
    output.write_text(output.read_text("utf-8").replace('"met": true', '"met": false'), "utf-8")
    assert main(["--load", str(output), "--strict"]) == SHORT
    assert "3 services, production degrees" in capsys.readouterr().out


def test_command_for_some_variants_runs_only_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--services", "3", "--rates", "1", "--messages", "30", "--only", "process", "--json"]) == OK
    (cell,) = json.loads(capsys.readouterr().out)["clock_growth"]["cells"]
    assert list(cell["results"]) == ["process"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--only", "pigeons"], "--only: pigeons is not one of"),
        (["--workloads", "storm"], "--workloads: storm is not one of"),
        (["--slow", "disks"], "--slow: disks is not one of"),
        (["--services", "1"], "no such cell: 1 services"),
        (["--services", "ten"], "invalid list of int value: 'ten'"),
    ],
)
def test_command_with_an_unknown_name_says_what_there_is(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert problem in capsys.readouterr().err


@pytest.mark.integration
@pytest.mark.timeout(180)
def test_quick_command_of_the_growth_benchmark_meets_its_targets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--json"]) == OK
    found = json.loads(capsys.readouterr().out)["clock_growth"]
    assert {cell["services"] for cell in found["cells"]} == {3, 10}
    assert all(each["violations"] == 0 for cell in found["cells"] for each in cell["results"].values())
    exact = [target for target in found["targets"] if "without need" in target["name"]]
    assert exact
    assert all(target["met"] for target in exact)
