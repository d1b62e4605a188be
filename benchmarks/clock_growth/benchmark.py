"""Runs cells, one after the other, and judges what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from benchmarks.clock_growth.algorithms import ALGORITHMS
from benchmarks.clock_growth.cells import Cell
from benchmarks.clock_growth.history import History
from benchmarks.clock_growth.judging import judged
from benchmarks.clock_growth.replay import Replay
from benchmarks.clock_growth.run import Run
from benchmarks.clock_growth.variants import PROCESS, VARIANTS, Variant
from benchmarks.clock_growth.workload import DELAY_US, SLOW_HOPS, WORKLOADS, Plan, plan
from benchmarks.clock_growth.world import World
from benchmarks.command import Say
from benchmarks.figures import BenchmarkError
from causal.ordering import NodeId

SEED = 1

Advance = Callable[[float], None]
"""Told of work done, in messages carried out or replayed."""


def run(
    cells: Sequence[Cell],
    *,
    seed: int = SEED,
    say: Say = lambda _: None,
    advance: Advance = lambda _: None,
) -> dict[str, Any]:
    """All cells. Raises `BenchmarkError` if something that is exact is not, or a message is never handled."""
    found: list[dict[str, Any]] = []
    for number, cell in enumerate(cells, 1):
        found.append(_run_cell(cell, seed, partial(_say, say, f"{number} of {len(cells)}: {title(cell)}"), advance))
    return {"seed": seed, "delay_ms": DELAY_US / 1000, "cells": found, "targets": list(judged(found))}


def _say(say: Say, where: str, what: str) -> None:
    say(f"clock growth, cell {where}: {what}")


def title(cell: Cell) -> str:
    hops = ", slow hops" if cell.slow == SLOW_HOPS else ""
    at_once = f", {cell.at_once} at once" if cell.at_once else ""
    what = f"{cell.services} services, {WORKLOADS[cell.workload].title}"
    return f"{what}, rate {cell.rate:g}, handlers of {cell.handler_ms} ms{at_once}{hops}"


def _run_cell(cell: Cell, seed: int, say: Say, advance: Advance) -> dict[str, Any]:
    say("plan")
    planned = plan(cell.workload, cell.services, cell.rate, cell.messages, seed, cell.slow)
    results: dict[str, dict[str, Any]] = {}
    for name, heading, done in _runs(cell, planned, say, advance):
        if done.violations:
            raise BenchmarkError(f"{title(cell)}: {name} broke the order {done.violations} times: {done.shown[0]}")
        results[name] = {"title": heading} | done.to_dict()
    return {
        "services": cell.services,
        "workload": cell.workload,
        "rate": cell.rate,
        "handler_ms": cell.handler_ms,
        "slow": cell.slow,
        "at_once": cell.at_once,
        "messages": planned.messages,
        "virtual_ms": planned.requests[-1].at_us / 1000,
        "links": len(planned.links),
        "slow_links": len(planned.slow),
        "title": title(cell),
        "results": results,
    }


def _runs(cell: Cell, planned: Plan, say: Say, advance: Advance) -> Iterator[tuple[str, str, Run]]:
    """Name, title and run of each variant; and of each algorithm, on the history of process scope."""
    history = History(cell.services) if cell.algorithms else None
    nodes: Sequence[NodeId] = ()
    variants = [VARIANTS[name] for name in cell.variants if name != PROCESS.name]
    if cell.algorithms or PROCESS.name in cell.variants:
        variants.insert(0, PROCESS)
    for variant in variants:
        say(variant.title)
        base = history if variant is PROCESS else None
        done, nodes = _carried_out(cell, planned, variant, base, advance)
        if variant.name in cell.variants:
            yield variant.name, variant.title, done
    if history is None:
        return
    for kind in ALGORITHMS:
        say(kind.encodings[0].title)
        replayed = Replay(kind, history, nodes, instant=not cell.handler_ms).run()
        advance(planned.messages)
        for encoding in kind.encodings:
            yield encoding.name, encoding.title, replayed[encoding.name]


def _carried_out(
    cell: Cell, planned: Plan, variant: Variant, history: History | None, advance: Advance
) -> tuple[Run, list[NodeId]]:
    world = World(planned, variant, 1000 * cell.handler_ms, at_once=cell.at_once, history=history, advance=advance)
    return world.carry_out(), [service.me for service in world.services]
