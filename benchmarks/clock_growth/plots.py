"""The plots of the README, drawn from what a run found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.clock_growth.cells import SIZES
from benchmarks.clock_growth.frame_parts import PARTS
from benchmarks.clock_growth.svg import Axis, bars, lines
from benchmarks.clock_growth.workload import SLOW_LINKS

Cells = Sequence[dict[str, Any]]

_SHORT = {
    "full-clock": "full vector clock",
    "differential-clock": "differential clock",
    "matrix": "RST matrix",
    "matrix-sparse": "RST, non-zero",
    "optimal": "Kshemkalyani–Singhal",
    "process": "causal, process scope",
    "context": "causal, context scope",
    "bounded-64": "causal, bounded at 64",
}
"""Series of the growth, and their names."""

_TAKEN_APART = {*_SHORT, "process-bare", "process-clock", "process-5", "bounded-16"} - {"matrix"}
"""Of which the bytes are shown by what they are for."""

PLOTTED_AT = 100
"""Services of the plots that have them fixed."""


def draw(found: dict[str, Any], folder: Path) -> list[Path]:
    """Write each plot for which the run has figures; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    plots: dict[str, Callable[[Cells], str | None]] = {"bytes": growth, "parts": parts, "heartbeats": heartbeats}
    written = []
    for name, plot in plots.items():
        if text := plot(found["cells"]):
            path = folder / f"clock_growth_{name}.svg"
            path.write_text(text, "utf-8")
            written.append(path)
    return written


def growth(cells: Cells, rate: float = 0.1) -> str | None:
    """Bytes that order (or, for clocks, only compare) by number of services."""
    chosen = sorted(_of(cells, rate, 0), key=lambda cell: int(cell["services"]))
    series: dict[str, list[tuple[float, float]]] = {title: [] for title in _SHORT.values()}
    for cell in chosen:
        for name, title in _SHORT.items():
            if name in cell["results"]:
                sizes = cell["results"][name]["bytes"]
                metadata = sizes["ordering"]["mean"] or sizes["clock"]["mean"]
                series[title].append((cell["services"], metadata))
    series = {title: points for title, points in series.items() if len(points) > 1}
    if not series:
        return None
    x = Axis(title="services", logarithmic=True, ticks=SIZES)
    y = Axis(title="bytes a message", logarithmic=True, ticks=(1, 10, 100, 1_000, 10_000, 100_000, 1_000_000))
    return lines(f"What keeps messages in order, production degrees, rate {rate:g}", x, y, series)


def parts(cells: Cells, rate: float = 0.1) -> str | None:
    """All bytes of a message by what they are for, at one number of services."""
    rows = {
        result["title"]: [result["bytes"][part]["mean"] for part in PARTS]
        for cell in _of(cells, rate, 0)
        if cell["services"] == PLOTTED_AT
        for name, result in cell["results"].items()
        if name in _TAKEN_APART
    }
    if not rows:
        return None
    names = {"origins": "names"}
    legend = [names.get(part, part) for part in PARTS]
    return bars(f"Bytes a message without its payload, {PLOTTED_AT} services, rate {rate:g}", "B", rows, legend)


def heartbeats(cells: Cells, rate: float = 0.1) -> str | None:
    """What process scope pays for smaller stamps: ordering bytes by control messages."""
    series: dict[str, list[tuple[float, float]]] = {}
    for cell in _of(cells, rate, 0):
        if cell["services"] == PLOTTED_AT:
            for name, result in cell["results"].items():
                if (title := _BEATEN.get(name.partition("-")[0] + _bound_of(name))) is not None:
                    point = (result["controls"], result["bytes"]["ordering"]["mean"])
                    series.setdefault(title, []).append(point)
    series = {title: sorted(points) for title, points in series.items() if len(points) > 1}
    if not series:
        return None
    x = Axis(title="control messages a message: heartbeats of any length, questions", ticks=(0, 5, 10, 15, 20, 25))
    y = Axis(title="ordering bytes a message", ticks=(0, 25, 50, 75, 100, 125, 150))
    return lines(f"Process scope: stamps or heartbeats, {PLOTTED_AT} services, rate {rate:g}", x, y, series)


_BEATEN = {"process": "no bound", "bounded64": "bound of 64", "bounded32": "bound of 32", "bounded16": "bound of 16"}
"""Series of the heartbeats, and their names."""


def _bound_of(name: str) -> str:
    """Of a variant with a bound, that; "" for one without; "?" for one that differs in something else."""
    kind, *rest = name.split("-")
    if kind == "bounded":
        return rest[0]
    return "" if all(part.isdigit() for part in rest) else "?"


def _of(cells: Cells, rate: float, handler_ms: int) -> list[dict[str, Any]]:
    """Of the production graph with slow links."""
    wanted = ("graph", rate, handler_ms, SLOW_LINKS, 0)
    axes = ("workload", "rate", "handler_ms", "slow", "at_once")
    return [cell for cell in cells if tuple(cell[axis] for axis in axes) == wanted]
