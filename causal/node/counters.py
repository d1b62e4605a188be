"""What `status()["counters"]` shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """What this run has seen, in messages."""

    received: int = 0
    duplicates: int = 0
    conflicts: int = 0
    """Dots that came again with another content."""
    held: int = 0
    """Messages that were not ready as they came."""
    delivered: int = 0
    """First runs of a handler."""
    lost: int = 0
    """Of them, those that follow a message which can never come: their verdict names it."""
    unsure: int = 0
    """Of them, those of which nobody could say whether all that precedes them had been here."""
    retried: int = 0
    """Further runs."""
    settled: int = 0
    dead_lettered: int = 0
    given_up: int = 0
    """Received and not handled, since their sender had given them up while this node was away."""
