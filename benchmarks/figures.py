"""Figures of several rounds, and what is asked of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


class BenchmarkError(Exception):
    """A run says nothing: messages are missing or doubled, a process failed, or it took too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """One figure over the rounds of a call."""

    median: float
    least: float
    most: float
    rounds: tuple[float, ...]

    @classmethod
    def of(cls, rounds: Iterable[float]) -> Spread:
        """Raises `BenchmarkError` if there was no round."""
        values = tuple(rounds)
        if not values:
            raise BenchmarkError("a figure of no round at all")
        return cls(median=statistics.median(values), least=min(values), most=max(values), rounds=values)

    def to_dict(self) -> dict[str, Any]:
        return {"median": self.median, "min": self.least, "max": self.most, "rounds": list(self.rounds)}


def ratio(one: Sequence[float], other: Sequence[float]) -> Spread:
    """One figure over another, round by round: what disturbs a round disturbs both."""
    return Spread.of(a / b for a, b in zip(one, other, strict=True))


def percentile(ordered: Sequence[int], share: float) -> int:
    """By nearest rank, from values in ascending order. Raises `BenchmarkError` if there are none."""
    if not ordered:
        raise BenchmarkError("a percentile of nothing")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def percentiles(values: Iterable[int]) -> dict[str, float]:
    """p50, p99, p99.9 and the largest of durations in ns, in microseconds."""
    ordered = sorted(values)
    named = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
    return {name: percentile(ordered, share) / 1e3 for name, share in named.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a figure must be."""

    name: str
    at_least: float | None = None
    at_most: float | None = None

    def judge(self, figure: Spread) -> dict[str, Any]:
        """The target beside what was measured; the median counts."""
        low = self.at_least is None or figure.median >= self.at_least
        high = self.at_most is None or figure.median <= self.at_most
        return {
            "name": self.name,
            "at_least": self.at_least,
            "at_most": self.at_most,
            "measured": figure.to_dict(),
            "met": low and high,
        }
