"""What the checker found: figures, and each break of the guarantee with its reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One event on the path between two messages."""

    event: str
    """"send", or "deliver": a handler started."""
    node: str
    incarnation: int
    id: str
    subject: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "event": self.event,
            "node": self.node,
            "incarnation": self.incarnation,
            "id": self.id,
            "subject": self.subject,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """At `node` the handler of `later` started while `earlier`, which precedes it, was not settled there."""

    node: str
    incarnation: int
    earlier: str
    earlier_subject: str
    earlier_was: str
    """What `node` knew of `earlier` at that moment: "not received", "not started" or "running"."""
    later: str
    later_subject: str
    at: int
    """Wall clock of `node` when the handler of `later` started, ns."""
    path: tuple[Step, ...]
    """From the send of `earlier` to the send of `later`, the shortest there is."""

    def describe(self) -> str:
        """In words, with each step of the path on a line."""
        lines = [
            f"{self.node} started {self.later} ({self.later_subject}) before {self.earlier} "
            f"({self.earlier_subject}) was settled there ({self.earlier_was}). From one to the other:"
        ]
        for step in self.path:
            did = "sent" if step.event == "send" else "started"
            then = "" if step.event == "send" else ", then"
            lines.append(f"  {step.node} {did} {step.id} ({step.subject}){then}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        return {
            "node": self.node,
            "incarnation": self.incarnation,
            "earlier": self.earlier,
            "earlier_subject": self.earlier_subject,
            "earlier_was": self.earlier_was,
            "later": self.later,
            "later_subject": self.later_subject,
            "at": self.at,
            "path": [step.to_dict() for step in self.path],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Excused:
    """`later` started before `earlier` was settled, which a verdict at `node` had said: it can never come."""

    node: str
    incarnation: int
    earlier: str
    later: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "node": self.node,
            "incarnation": self.incarnation,
            "earlier": self.earlier,
            "later": self.later,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A message at a node."""

    id: str
    node: str

    def to_dict(self) -> dict[str, Any]:
        return {"id": self.id, "node": self.node}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A set of durations in ms; percentiles are by nearest rank, all 0 if the set is empty."""

    count: int
    median: float
    p99: float
    maximum: float

    @classmethod
    def of(cls, durations_ns: Sequence[int]) -> Spread:
        ordered = sorted(durations_ns)

        def rank(share: float) -> float:
            return ordered[max(0, math.ceil(share * len(ordered)) - 1)] / 1e6 if ordered else 0.0

        return cls(count=len(ordered), median=rank(0.5), p99=rank(0.99), maximum=rank(1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The judgement on one run. The lists of examples are cut at `show`; the counts are not."""

    declared: bool
    """Whether pairs with a delivery of ordering `none` were left out."""
    nodes: tuple[str, ...]
    incarnations: int
    events: int
    messages: int
    """Sends; a multicast is one."""
    copies: int
    """A message counted once for each of its destinations."""
    deliveries: int
    """Handlers started, a retried one counted once."""
    retries: int
    duplicates: int
    """Copies that arrived again and were not delivered again."""
    dropped: int
    """Settled without delivery: dead-lettered or given up."""
    held: Spread
    """Deliveries that were not ready when their copy arrived: from receive to the start of the handler."""
    beyond_ready: Spread
    """For each delivery of ordering `causal` during whose wait handlers were free: from ready to the start of
    the handler. *Ready* is the later of its own receive and the last settlement here of a causal predecessor
    addressed here. *Free*: at each moment of that wait fewer than `concurrency` handlers ran here; one that
    is retried counts as running until it settles."""
    needless_ms: float
    concurrency: int
    held_needlessly: int
    """How many in `beyond_ready` waited longer than `needless_ms`."""
    violation_count: int
    """Pairs (earlier, later) at one node."""
    early_deliveries: int
    """Deliveries that broke the order with at least one predecessor."""
    violations: tuple[Violation, ...]
    excused_count: int
    """Pairs (earlier, later) at one node of which a verdict there had said that the earlier can never come: it had
    named it, or one that follows it."""
    excused_deliveries: int
    """Deliveries that such a predecessor excuses: the later ones of these pairs, each counted once."""
    excused: tuple[Excused, ...]
    doubled_count: int
    """Messages that one incarnation of a node settled twice, or delivered again once settled or started."""
    doubled: tuple[Place, ...]
    misdelivered_count: int
    """Messages delivered at a node that they are not addressed to."""
    misdelivered: tuple[Place, ...]
    unsettled_count: int
    """Copies sent and never settled though their destination's trace is here: lost, or the run was cut."""
    unsettled: tuple[Place, ...]
    warnings: tuple[str, ...] = ()

    @property
    def proved(self) -> bool:
        """No pair out of order, nothing delivered twice or to the wrong node. Excuses do not refute, nor does
        what is unsettled: both are counted, neither is silent."""
        return not (self.violation_count or self.doubled_count or self.misdelivered_count)

    def describe(self) -> str:
        """The verdict in words, and where it refutes, the first break of the guarantee with its path."""
        if self.proved:
            excused = ""
            if self.excused_count:
                pairs = "1 pair" if self.excused_count == 1 else f"{self.excused_count} pairs"
                excused = f", but for {pairs} that a verdict excuses"
            return f"proved: {self.deliveries} deliveries, none before a message that causally precedes it{excused}"
        found = {
            "pairs out of causal order": self.violation_count,
            "messages delivered twice": self.doubled_count,
            "messages delivered where they are not addressed to": self.misdelivered_count,
        }
        lines = ["refuted: " + ", ".join(f"{count} {what}" for what, count in found.items() if count)]
        lines += [violation.describe() for violation in self.violations[:1]]
        lines += [f"delivered twice: {place.id} at {place.node}" for place in self.doubled[:1]]
        lines += [f"not addressed to {place.node}: {place.id}" for place in self.misdelivered[:1]]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """For JSON. Counts stand at the top under the names used here, durations in ms, and under `examples`
        the lists, each with at most `show` entries."""
        return {
            "proved": self.proved,
            "declared": self.declared,
            "nodes": list(self.nodes),
            "incarnations": self.incarnations,
            "events": self.events,
            "messages": self.messages,
            "copies": self.copies,
            "deliveries": self.deliveries,
            "retries": self.retries,
            "duplicates": self.duplicates,
            "dropped": self.dropped,
            "held": self.held.count,
            "hold_median_ms": self.held.median,
            "hold_p99_ms": self.held.p99,
            "hold_max_ms": self.held.maximum,
            "held_needlessly": self.held_needlessly,
            "needless_ms": self.needless_ms,
            "concurrency": self.concurrency,
            "beyond_ready_measured": self.beyond_ready.count,
            "beyond_ready_p99_ms": self.beyond_ready.p99,
            "beyond_ready_max_ms": self.beyond_ready.maximum,
            "violations": self.violation_count,
            "early_deliveries": self.early_deliveries,
            "excused": self.excused_count,
            "excused_deliveries": self.excused_deliveries,
            "doubled": self.doubled_count,
            "misdelivered": self.misdelivered_count,
            "unsettled": self.unsettled_count,
            "examples": {
                "violations": [each.to_dict() for each in self.violations],
                "excused": [each.to_dict() for each in self.excused],
                "doubled": [each.to_dict() for each in self.doubled],
                "misdelivered": [each.to_dict() for each in self.misdelivered],
                "unsettled": [each.to_dict() for each in self.unsettled],
            },
            "warnings": list(self.warnings),
        }
