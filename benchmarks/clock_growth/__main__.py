"""`python -m benchmarks.clock_growth`: figures for all cells, or for those that are asked for."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from benchmarks.clock_growth import benchmark, cells
from benchmarks.clock_growth.cells import Cell
from benchmarks.clock_growth.plots import draw
from benchmarks.clock_growth.variants import VARIANTS
from benchmarks.clock_growth.workload import SLOW_HOPS, SLOW_LINKS, WORKLOADS
from benchmarks.command import UNUSABLE, add_common, conclude
from benchmarks.figures import BenchmarkError
from benchmarks.machine import describe

T = TypeVar("T")

LITERATURE = "literature"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.load is not None:
        everything = json.loads(given.load.read_text("utf-8"))
    else:
        wanted = _cells(parser, given)
        try:
            everything = {"machine": describe(), "clock_growth": _run_visibly(wanted, given.seed)}
        except BenchmarkError as error:
            Console(stderr=True).print(Text(f"void: {error}", style="red"), soft_wrap=True)
            return UNUSABLE
    if given.output is not None:
        given.output.parent.mkdir(parents=True, exist_ok=True)
        given.output.write_text(json.dumps(everything, indent=1) + "\n", "utf-8")
    if given.plots is not None:
        draw(everything["clock_growth"], given.plots)
    return conclude("clock_growth", given, everything)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m benchmarks.clock_growth", description=__doc__)
    add_common(parser, only=f"variants of ours, or {LITERATURE}: {', '.join(VARIANTS)}")
    axes = parser.add_argument_group("cells: each combination of what is given, instead of the whole list")
    axes.add_argument("--services", metavar="N,…", type=_listed(int), help="number of services (10,100)")
    axes.add_argument("--workloads", metavar="NAMES", type=_listed(str), help=f"of {', '.join(WORKLOADS)} (graph)")
    axes.add_argument(
        "--rates", metavar="R,…", type=_listed(float), help="messages per one-way delay and service (0.1,1)"
    )
    axes.add_argument("--handlers", metavar="MS,…", type=_listed(int), help="ms that a handler takes (0)")
    axes.add_argument("--slow", metavar="WHAT", type=_listed(str), help=f"{SLOW_LINKS}, {SLOW_HOPS} ({SLOW_LINKS})")
    parser.add_argument("--messages", type=int, help="messages of each cell (by default as many as it needs)")
    parser.add_argument("--seed", type=int, default=benchmark.SEED, help="of plans and delays (%(default)s)")
    parser.add_argument("--output", type=Path, help="write the JSON into this file, too")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw clock_growth_*.svg there")
    parser.add_argument("--load", type=Path, metavar="FILE", help="show or draw what an earlier run has written")
    return parser


def _listed(kind: Callable[[str], T]) -> Callable[[str], list[T]]:
    def parse(text: str) -> list[T]:
        return [kind(each.strip()) for each in text.split(",") if each.strip()]

    parse.__name__ = f"list of {kind.__name__}"
    return parse


def _cells(parser: ArgumentParser, given: Namespace) -> list[Cell]:
    """The cells that are asked for; ends the program for a name that is not known."""
    if unknown := set(given.workloads or ()) - set(WORKLOADS):
        parser.error(f"--workloads: {', '.join(unknown)} is not one of {', '.join(WORKLOADS)}")
    if unknown := set(given.slow or ()) - {SLOW_LINKS, SLOW_HOPS}:
        parser.error(f"--slow: {', '.join(unknown)} is not one of {SLOW_LINKS}, {SLOW_HOPS}")
    axes = (given.services, given.workloads, given.rates, given.handlers, given.slow)
    if any(axis is not None for axis in axes):
        found = cells.chosen(
            given.services or (10, 100),
            given.workloads or ("graph",),
            given.rates or (0.1, 1.0),
            given.handlers or (0,),
            given.slow or (SLOW_LINKS,),
        )
        if least := [cell for cell in found if cell.services < 2 or cell.rate <= 0 or cell.handler_ms < 0]:
            parser.error(f"no such cell: {benchmark.title(least[0])}")
    else:
        found = cells.quick() if given.quick else cells.whole()
    names = [*VARIANTS, LITERATURE]
    if given.only is not None:
        names = [name.strip() for name in given.only.split(",")]
        if unknown := set(names) - {*VARIANTS, LITERATURE}:
            parser.error(f"--only: {', '.join(unknown)} is not one of {', '.join((*VARIANTS, LITERATURE))}")
    return cells.only(found, names, algorithms=LITERATURE in names, messages=given.messages)


def _run_visibly(wanted: Sequence[Cell], seed: int) -> dict[str, Any]:
    """With a progress bar on standard error; work is what each cell takes, by experience."""
    now = TextColumn("{task.fields[now]}")
    columns = (*Progress.get_default_columns(), TimeElapsedColumn(), now)
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("clock growth", total=sum(cell.runs * cell.messages for cell in wanted), now="")
        return benchmark.run(
            wanted,
            seed=seed,
            say=lambda text: progress.update(task, now=text.partition(", ")[2]),
            advance=lambda done: progress.advance(task, done),
        )


if __name__ == "__main__":
    raise SystemExit(main())
