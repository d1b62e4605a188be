"""`python -m benchmarks`."""

from benchmarks.report import main

if __name__ == "__main__":
    raise SystemExit(main())
