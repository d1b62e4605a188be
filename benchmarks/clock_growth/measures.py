"""Distributions of whole numbers, and what one run of a cell measured."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.figures import percentile


class Distribution:
    """Values noted one by one; four bytes each."""

    def __init__(self, values: Iterable[int] = ()) -> None:
        self._values = array("I", values)

    def note(self, value: int) -> None:
        self._values.append(value)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def mean(self) -> float:
        return sum(self._values) / len(self._values) if self._values else 0.0

    def to_dict(self) -> dict[str, float]:
        """Mean, p50, p99 and the largest; zeros if nothing was noted."""
        if not self._values:
            return {"mean": 0.0, "p50": 0, "p99": 0, "max": 0}
        ordered = sorted(self._values)
        return {
            "mean": self.mean,
            "p50": percentile(ordered, 0.5),
            "p99": percentile(ordered, 0.99),
            "max": ordered[-1],
        }

    def drift(self) -> float:
        """The mean of the later half over that of the earlier one: near 1 once a run is steady."""
        half = len(self._values) // 2
        earlier, later = self._values[:half], self._values[half:]
        if not earlier or not sum(earlier):
            return 1.0
        return (sum(later) / len(later)) / (sum(earlier) / len(earlier))


@dataclass(slots=True)
class Waiting:
    """How long copies were held, in µs of virtual time; a copy that may start when it arrives waits 0."""

    waits: Distribution = field(default_factory=Distribution)
    held: int = 0

    def note(self, wait_us: int, *, held: bool) -> None:
        self.waits.note(wait_us)
        self.held += held

    def to_dict(self) -> dict[str, Any]:
        count = len(self.waits)
        in_ms = {name: value / 1000 for name, value in self.waits.to_dict().items()}
        return {"held_share": self.held / count if count else 0.0, "wait_ms": in_ms}
