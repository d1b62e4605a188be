"""What starting costs: importing the package, its command's help, and grpc and a bare interpreter to compare.

Each run is a fresh interpreter; its CPU time is measured beside its wall-clock time, as it wanders less.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from benchmarks.command import Say, add_common, finish, rounds_of
from benchmarks.figures import BenchmarkError, Spread
from benchmarks.pair import ROOT

STARTS = {
    "python -c pass": ("-c", "pass"),
    "import causal": ("-c", "import causal"),
    "from causal import Node": ("-c", "from causal import Node"),
    "causal --help": ("-m", "causal", "--help"),
    "import grpc": ("-c", "import grpc"),
    "import grpc.aio": ("-c", "import grpc.aio"),
}


def start(arguments: Sequence[str]) -> tuple[float, float]:
    """(wall-clock ms, CPU ms) of one run of the interpreter. Raises `BenchmarkError` if it fails."""
    began = time.perf_counter_ns()
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter_ns() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise BenchmarkError(f"python {' '.join(arguments)} ended with {process.returncode}")
    return wall / 1e6, (usage.ru_utime + usage.ru_stime) * 1e3


def run(*, rounds: int, say: Say = lambda _: None) -> dict[str, Any]:
    """Each start in turn, `rounds` times, after one that fills the caches and does not count."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in STARTS}
    for turn in range(-1, rounds):
        say(f"imports: round {turn + 1} of {rounds}")
        for name, arguments in STARTS.items():
            taken = start(arguments)
            if turn >= 0:
                times[name].append(taken)
    return {
        "starts": {
            name: {
                "wall_ms": Spread.of(wall for wall, _ in several).to_dict(),
                "cpu_ms": Spread.of(cpu for _, cpu in several).to_dict(),
            }
            for name, several in times.items()
        },
        "targets": [],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(prog="python -m benchmarks.imports", description=__doc__)
    add_common(parser, rounds=9)
    given = parser.parse_args(arguments)
    return finish("imports", given, lambda say: run(rounds=rounds_of(given), say=say))


if __name__ == "__main__":
    raise SystemExit(main())
