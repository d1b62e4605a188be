"""`python -m causal` is the command `causal`."""

from __future__ import annotations

from causal.cli.__main__ import main

if __name__ == "__main__":
    main()
