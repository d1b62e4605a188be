"""`causal demo`: three real services, a slow cable and a cut one, with and without causal delivery.

Nothing is loaded here but the standard library's lightest, so that `causal --help` stays quick.
"""

from __future__ import annotations

from pathlib import Path


def run(seed: int, json_output: bool, trace_dir: Path | None, picture: Path | None = None) -> int:
    """Run the demo and return its exit code: 0 the promise was kept, 1 it was broken, 2 the run is invalid.

    `seed` decides the order of the orders, the moments at which they are placed, and the delays of S1→S3.
    `json_output` prints one object to standard output and nothing else. `trace_dir` keeps the traces, in one
    folder for each run. `picture` writes what was shown as SVG. It takes up to 20 s. However it ends, its
    processes end and its temporary folder goes; ended by a signal, it returns 128 + the signal's number.
    """
    from causal.cli.demo.program import run_demo

    return run_demo(seed=seed, json_output=json_output, trace_dir=trace_dir, picture=picture)
