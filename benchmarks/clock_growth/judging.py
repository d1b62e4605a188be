"""What the figures must be. A target for which nothing was measured is not judged."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.clock_growth.workload import SLOW_LINKS
from benchmarks.figures import Spread, Target

CELL = dict[str, Any]

ORDERING_MEAN, ORDERING_P99 = 48.0, 128.0
"""Bytes a message in context scope."""
PROCESS_MEAN = 128.0
"""Bytes a message in process scope, with at most one control message for each message."""
FLAT = 1.5
"""The most that context scope may grow from the fewest services to the most."""


def judged(cells: Sequence[CELL]) -> Iterator[dict[str, Any]]:
    """Each target beside its figure."""
    graph = [cell for cell in cells if (cell["workload"], cell["slow"], cell["at_once"]) == ("graph", SLOW_LINKS, 0)]
    yield from _context(graph)
    yield from _process(graph)
    yield from _growth([cell for cell in graph if not cell["handler_ms"]])
    yield from _bounded(cells)
    yield from _scopes(cells)
    yield from _needless(cells)


def _judge(target: Target, figure: float) -> dict[str, Any]:
    return target.judge(Spread.of([figure]))


def _mean(cell: CELL, name: str, part: str = "ordering", figure: str = "mean") -> float:
    return float(cell["results"][name]["bytes"][part][figure])


def _where(cell: CELL) -> str:
    """The place of a cell; what is usual is not said."""
    parts = [f"{cell['services']} services", f"rate {cell['rate']:g}", f"{cell['handler_ms']} ms"]
    if cell["workload"] != "graph":
        parts.insert(1, cell["workload"])
    if cell["at_once"]:
        parts.append(f"{cell['at_once']} at once")
    if cell["slow"] != SLOW_LINKS:
        parts.append(f"slow {cell['slow']}")
    return ", ".join(parts)


def _context(graph: Sequence[CELL]) -> Iterator[dict[str, Any]]:
    asked = [
        cell
        for cell in graph
        if "context" in cell["results"]
        and cell["services"] in (10, 100, 1000)
        and cell["rate"] in (0.1, 1.0)
        and cell["handler_ms"] in (0, 1)
    ]
    for cell in asked:
        for figure, limit in (("mean", ORDERING_MEAN), ("p99", ORDERING_P99)):
            name = f"context scope, ordering bytes, {figure}: {_where(cell)}"
            yield _judge(Target(name=name, at_most=limit), _mean(cell, "context", figure=figure))
    for rate in sorted({cell["rate"] for cell in asked}):
        same = sorted((cell for cell in asked if cell["rate"] == rate and not cell["handler_ms"]), key=_services)
        if len(same) > 1:
            least, most = same[0], same[-1]
            name = f"context scope, ordering bytes at {_services(most)} services / at {_services(least)}, rate {rate:g}"
            yield _judge(Target(name=name, at_most=FLAT), _mean(most, "context") / _mean(least, "context"))


def _services(cell: CELL) -> int:
    return int(cell["services"])


def _process(graph: Sequence[CELL]) -> Iterator[dict[str, Any]]:
    for cell in graph:
        if (cell["services"], cell["rate"]) != (100, 0.1) or cell["handler_ms"]:
            continue
        results = cell["results"]
        affordable = [
            _mean(cell, name)
            for name, result in results.items()
            if name.startswith(("process", "bounded")) and name != "process-clock" and result["controls"] <= 1
        ]
        if affordable:
            name = f"process scope, ordering bytes, the best with ≤ 1 control message: {_where(cell)}"
            yield _judge(Target(name=name, at_most=PROCESS_MEAN), min(affordable))


def _growth(graph: Sequence[CELL]) -> Iterator[dict[str, Any]]:
    """The exponent of the growth between the two largest numbers of services at the lowest rate."""
    for name, title, exponent in (("full-clock", "full vector clock", 1.0), ("matrix", "dense matrix", 2.0)):
        measured = [cell for cell in graph if name in cell["results"]]
        lowest = min((cell["rate"] for cell in measured), default=None)
        same = sorted((cell for cell in measured if cell["rate"] == lowest), key=_services)[-2:]
        if len(same) < 2 or _services(same[0]) < 100:
            continue
        least, most = same
        sizes = [_mean(cell, name, "total") for cell in (least, most)]
        grown = math.log(sizes[1] / sizes[0]) / math.log(_services(most) / _services(least))
        target = Target(name=f"{title}: exponent of its growth", at_least=exponent - 0.1, at_most=exponent + 0.1)
        yield _judge(target, grown)


def _bounded(cells: Sequence[CELL]) -> Iterator[dict[str, Any]]:
    for cell in cells:
        results = cell["results"]
        for name, result in results.items():
            kind, _, rest = name.partition("-")
            if kind != "bounded":
                continue
            bound = float(rest.partition("-")[0])
            yield _judge(
                Target(name=f"{name}, most dots in a stamp: {_where(cell)}", at_most=bound), result["dots"]["max"]
            )
            if (name, cell["services"], cell["handler_ms"]) == ("bounded-64", 40, 0) and "process" in results:
                more = result["wait_ms"]["mean"] - results["process"]["wait_ms"]["mean"]
                yield _judge(Target(name=f"{name}, mean wait beyond exact, ms: {_where(cell)}", at_most=1.0), more)


def _scopes(cells: Sequence[CELL]) -> Iterator[dict[str, Any]]:
    """Where handlers keep services busy. (What context scope holds are messages of one handler to one service.)"""
    for cell in cells:
        results = cell["results"]
        if (cell["services"], cell["rate"], cell["handler_ms"]) != (10, 0.07, 10):
            continue
        if "context" in results:
            target = Target(name=f"context scope, share held: {_where(cell)}", at_most=0.02)
            yield _judge(target, results["context"]["held_share"])
        if "process" in results:
            target = Target(name=f"process scope, share held: {_where(cell)}", at_least=0.5)
            yield _judge(target, results["process"]["held_share"])


def _needless(cells: Sequence[CELL]) -> Iterator[dict[str, Any]]:
    for name, title in (("process", "process scope"), ("context", "context scope")):
        shares = [cell["results"][name]["needless_share"] for cell in cells if name in cell["results"]]
        if shares:
            yield _judge(Target(name=f"{title}, exact: share held without need", at_most=0.0), max(shares))
