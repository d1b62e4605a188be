"""What the demo measured, and what it makes of that. Nothing here is a constant of the demo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from causal.cli.demo.ledger import Early
from causal.observe.report import Report

GOOD, BROKEN, INVALID = 0, 1, 2

NEEDLESS_P99_MS_MAX = 50.0
"""Past this the promise counts as broken. Every wait past 5 ms is shown, but a machine that is busy elsewhere
may keep any process from the processor for that long; a hold that ends with the next heartbeat takes 100 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One run of all orders, with or without ordering."""

    ordering: str
    orders: int
    messages: int
    """Sends of all three services; a multicast is one."""
    payments: int
    early: int
    """Payments that S3's handler saw before their order."""
    payments_held: int
    """Of the payments, how many S3 held back."""
    payments_hold_median_ms: float
    locked_away: int
    """Goods that are still reserved for orders that have been shipped."""
    stamp_bytes_mean: float
    """Bytes of stamp a copy, as they went over the wire."""
    lost: int
    """Copies that were sent and never settled."""
    example: Early | None
    """The payment that came the longest before its order."""
    seconds: float
    report: Report
    """The checker's, from the traces of the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OneMessage:
    """A, B and C on fresh nodes."""

    clocks: dict[str, dict[str, int]]
    """"A", "B", "C" → the vector clock that a handler saw on it."""
    held_ms: float
    """How long S3 held B back; 0 if it did not."""
    waited_for: str
    """What S3 itself said that B waits for."""
    awaited: str
    """The id of A."""
    order_at_s3: tuple[str, ...]
    report: Report

    @property
    def as_promised(self) -> bool:
        """The clocks, the order at S3, and if B was held, that S3 named A as what it waits for."""
        expected = {"A": {"S1": 1}, "B": {"S1": 1, "S2": 1}, "C": {"S1": 1, "S2": 1, "S3": 1}}
        named = not self.held_ms or self.waited_for == self.awaited
        return named and self.clocks == expected and self.order_at_s3 == ("A", "B") and self.report.proved


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The cable between S1 and S3 pulled while orders go on."""

    seconds: float
    delivered_meanwhile: int
    """Copies whose handlers started while the cable was out: they depend on nothing behind it."""
    waiting: int
    """Messages that S3 held when the cable came back."""
    reconnected_ms: float
    """From the cable to the new connection through it."""
    released_ms: float
    """From that connection to the start of the last handler of those that waited."""
    lost: int
    """Copies that were sent and never settled."""
    doubled: int
    report: Report


@dataclass(slots=True)
class Numbers:
    """All runs of one demo."""

    without: Comparison
    with_causal: Comparison
    one: OneMessage
    cut: Cut

    def broken(self) -> list[str]:
        """In what the promise was broken; empty if it was kept."""
        found = {
            f"{self.with_causal.early} payments came before their order": self.with_causal.early,
            f"{self.with_causal.lost} messages of the run with ordering were lost": self.with_causal.lost,
            "causal check refutes the run with ordering": not self.with_causal.report.proved,
            "A, B and C did not come in order, or not with their clocks": not self.one.as_promised,
            f"{self.cut.lost} messages were lost": self.cut.lost,
            f"{self.cut.doubled} messages were delivered twice": self.cut.doubled,
            "causal check refutes the run with the cable pulled": not self.cut.report.proved,
            f"{self.with_causal.report.held_needlessly} messages were held needlessly": (
                self.with_causal.report.beyond_ready.p99 > NEEDLESS_P99_MS_MAX
            ),
        }
        return [reason for reason, is_so in found.items() if is_so]

    def invalid(self) -> list[str]:
        """Why the runs say nothing; empty if they do."""
        found = {
            "without ordering no payment came before its order: nothing to prevent": not self.without.early,
            f"without ordering {self.without.lost} messages were never handled": self.without.lost,
            "B was not held: A came first": not self.one.held_ms,
            "nothing waited for the cable": not self.cut.waiting,
            "nothing was delivered while the cable was out": not self.cut.delivered_meanwhile,
        }
        return [reason for reason, is_so in found.items() if is_so]

    @property
    def exit_code(self) -> int:
        """0 the promise was kept, 1 it was broken, 2 the runs say nothing."""
        if self.broken():
            return BROKEN
        return INVALID if self.invalid() else GOOD

    def to_dict(self) -> dict[str, Any]:
        """The object of `causal demo --json`."""
        report = self.with_causal.report
        return {
            "without": {"messages": self.without.messages, "early": self.without.early},
            "with": {
                "messages": self.with_causal.messages,
                "early": self.with_causal.early,
                "held": report.held.count,
                "held_needlessly": report.held_needlessly,
                "hold_median_ms": round(report.held.median, 2),
                "stamp_bytes_mean": round(self.with_causal.stamp_bytes_mean, 1),
            },
            "cut": {
                "delivered_meanwhile": self.cut.delivered_meanwhile,
                "waiting": self.cut.waiting,
                "released_ms": round(self.cut.released_ms, 1),
                "lost": self.cut.lost,
                "doubled": self.cut.doubled,
            },
            "check": {
                "with_violations": report.violation_count,
                "without_violations": self.without.report.violation_count,
            },
        }
