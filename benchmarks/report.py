"""All benchmarks in one call: JSON into a file, and tables. `python -m benchmarks`, or `make bench`."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from benchmarks import holdback, imports, latency, parallelism, throughput
from benchmarks.clock_growth import benchmark as clock_growth
from benchmarks.clock_growth import cells
from benchmarks.command import UNUSABLE, Say, add_common, chosen, exit_code
from benchmarks.contenders import CONTENDERS
from benchmarks.figures import BenchmarkError
from benchmarks.machine import describe
from benchmarks.tables import console, show

Part = Callable[[int | None, Say], dict[str, Any]]
"""(rounds, or None for the part's own number; what shows progress) → what was found."""

_PARTS = ("throughput", "latency", "holdback", "parallelism", "imports", "clock_growth")


def whole() -> dict[str, Part]:
    """Sizes for a run that says something, in less than five minutes."""
    return {
        "throughput": lambda rounds, say: asyncio.run(
            throughput.run(list(CONTENDERS), rounds=rounds or 5, seconds=0.8, say=say)
        ),
        "latency": lambda rounds, say: asyncio.run(
            latency.run(latency.COMPARED, latency.RATES, rounds=rounds or 3, seconds=3.0, say=say)
        ),
        "holdback": lambda rounds, say: holdback.run(holdback.SIZES, holdback.ORDERS, rounds=rounds or 2, say=say),
        "parallelism": lambda rounds, say: asyncio.run(parallelism.run(rounds=rounds or 3, say=say)),
        "imports": lambda rounds, say: imports.run(rounds=rounds or 9, say=say),
        # A part of its cells: all of them take twenty minutes, see `python -m benchmarks.clock_growth`.
        "clock_growth": lambda _, say: clock_growth.run(cells.brief(), say=say),
    }


def quick() -> dict[str, Part]:
    """Sizes that show that it works, in half a minute."""
    return {
        "throughput": lambda rounds, say: asyncio.run(
            throughput.run(list(CONTENDERS), rounds=rounds or 1, seconds=0.3, say=say)
        ),
        "latency": lambda rounds, say: asyncio.run(
            latency.run(latency.COMPARED, (1_000,), rounds=rounds or 1, seconds=0.5, say=say)
        ),
        "holdback": lambda rounds, say: holdback.run((10_000,), holdback.ORDERS, rounds=rounds or 1, say=say),
        "parallelism": lambda rounds, say: asyncio.run(parallelism.run(rounds=rounds or 1, messages=20, say=say)),
        "imports": lambda rounds, say: imports.run(rounds=rounds or 3, say=say),
        "clock_growth": lambda _, say: clock_growth.run(cells.quick(), say=say),
    }


def run(parts: dict[str, Part], *, rounds: int | None = None, say: Say = lambda _: None) -> dict[str, Any]:
    """One part after the other. One that says nothing is void, with the reason, and the rest goes on."""
    found: dict[str, Any] = {
        "started": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": describe(),
    }
    began = time.monotonic()
    for name, part in parts.items():
        try:
            found[name] = part(rounds, say)
        except BenchmarkError as error:
            found[name] = {"void": str(error)}
    found["seconds"] = round(time.monotonic() - began, 1)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add_common(parser, rounds=0, only="parts: " + ", ".join(_PARTS))
    parser.add_argument("--output", type=Path, default=Path("build") / "bench.json", help="the JSON (build/bench.json)")
    given = parser.parse_args(arguments)
    every = quick() if given.quick else whole()
    parts = {name: every[name] for name in chosen(parser, given.only, _PARTS)}
    errors = Console(stderr=True)
    with errors.status("…") as status:
        found = run(parts, rounds=given.rounds, say=lambda text: status.update(Text(text)))
    text = json.dumps(found, indent=2) + "\n"
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(text, "utf-8")
    if given.json:
        sys.stdout.write(text)
    else:
        out = console()
        show(found, out)
        out.print(Text(f"{found['seconds']:.0f} s; JSON in {given.output}"), soft_wrap=True)
    code = exit_code([found[name] for name in parts], strict=given.strict)
    if code == UNUSABLE:
        errors.print(Text("at least one part is void", style="red"))
    return code


if __name__ == "__main__":
    raise SystemExit(main())
