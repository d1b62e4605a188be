"""The incarnations that nodes of this process start with."""

from __future__ import annotations

import secrets

from causal.node.core import now_ms

_last: dict[str, int] = {}
"""Given out in this process: two starts within one millisecond differ."""


def new_incarnation(name: str) -> int:
    """The millisecond of this start, or the next one if that was given out before."""
    _last[name] = incarnation = max(now_ms(), _last.get(name, 0) + 1)
    return incarnation


def new_process() -> int:
    """A random number below 2^63, which tells this process from another one with the same incarnation."""
    return secrets.randbits(63)
