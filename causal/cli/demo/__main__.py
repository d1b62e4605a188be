"""`python -m causal.cli.demo`: the demo with the option that makes the README's picture."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from causal.cli.demo import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m causal.cli.demo", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--trace-dir", type=Path)
    parser.add_argument("--svg", type=Path, help="write what is shown as a picture")
    options = parser.parse_args()
    return run(options.seed, options.json, options.trace_dir, options.svg)


if __name__ == "__main__":
    sys.exit(main())
