"""`python -m causal.testing.exploration [NAME…]`: explore scenarios, with a progress bar; exit code 1 if one fails."""

from __future__ import annotations

import argparse
import sys
import time

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from causal.testing.exploration.scenarios import DEEP, QUICK, Scenario, named
from causal.testing.exploration.search import Found, Search

CHANGED = "if the protocol was changed on purpose, put the new number into causal/testing/exploration/scenarios.py"


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m causal.testing.exploration", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="scenarios to explore (default: the quick ones)")
    parser.add_argument("--deep", action="store_true", help="explore the deep ones: minutes")
    parser.add_argument("--states-max", type=int, help="stop a scenario after about so many states: no proof then")
    parser.add_argument("--list", action="store_true", help="only name the scenarios")
    options = parser.parse_args(arguments)
    chosen = [named(name) for name in options.names] or list(DEEP if options.deep else QUICK)
    if options.list:
        for scenario in (*QUICK, *DEEP):
            print(f"{scenario.states:10,}  {scenario.name}")
        return 0
    return max([explored(scenario, options.states_max) for scenario in chosen], default=0)


def explored(scenario: Scenario, states_max: int | None) -> int:
    """Explore one and print what came of it; the exit code."""
    began = time.perf_counter()
    words = TextColumn("{task.description:22} {task.fields[words]}")
    with Progress(SpinnerColumn(), words, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(scenario.name, total=None, words="")

        def each(found: Found, waiting: int) -> None:
            rate = found.states / (time.perf_counter() - began)
            share = f" of {scenario.states:,}" if scenario.states else ""
            bar.update(task, words=f"{found.states:,}{share} states, {rate:,.0f} a second, {waiting:,} waiting")

        found = Search(scenario, each).run(states_max)
    print(line_of(found, time.perf_counter() - began), flush=True)
    for text in found.violations:
        print(f"    {text}")
    for at, step in enumerate(found.path, 1):
        print(f"    {at:3} {step}")
    changed = found.complete and scenario.states not in (0, found.states)
    if changed:
        print(f"    {scenario.states:,} states were expected: {CHANGED}")
    return int(changed or bool(found.violations))


def line_of(found: Found, seconds: float) -> str:
    """The figures of an exploration, in one line."""
    outcome = f"{len(found.violations)} violations" if found.complete or found.violations else "stopped, not complete"
    return (
        f"{found.scenario.name:22} {found.states:10,} states, {found.steps:11,} steps, {found.rests:5,} at rest, "
        f"{found.sites:6,} states of engines, {outcome}, {seconds:.1f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
