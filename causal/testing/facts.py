"""What the judge of a simulated run (`history.py`) knows: of a message, and of a process as a destination.

Sets of messages are the bits of an integer, by their numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from causal.ordering.dot import Dot, NodeId
from causal.ordering.stamp import Stamp

OF_A_SPLIT = frozenset({"clock", "error", "false alarm", "held needlessly", "invariant", "order", "silent"})
"""What may go wrong where two processes pass for one, until one of them is stopped and the other starts again: their
dots are the same, and third nodes follow the one's and wait for the other's. What no dot of another's can excuse is
that something counts as settled and is lost, is handled twice, or that all stands still for ever."""


@dataclass(slots=True)
class Sent:
    """One message as the judge knows it."""

    dot: Dot
    process: str
    """The place of the process that sent it."""
    run: int
    """Which start of that process."""
    bit: int
    past: int
    """What it must come after."""
    seen: int
    """What its process had sent and seen, and these their processes, whatever the scopes: what clocks count."""
    scoped: bool
    """Whether it was sent in context scope."""
    destinations: tuple[str, ...]
    stamp: Stamp
    """For `judge_clocks` only."""


@dataclass(slots=True)
class Past:
    """What something follows: for the order, and for clocks."""

    order: int
    seen: int


@dataclass(slots=True)
class Place:
    """One process as a destination. The first fields are of its present incarnation, the others of all of them."""

    past: int = 0
    """In process scope: what it follows."""
    seen: int = 0
    threads: dict[object, int] = field(default_factory=dict)
    """In context scope: what each thread follows."""
    keys: dict[int, int] = field(default_factory=dict)
    received: int = 0
    running: int = 0
    finished: int = 0
    told_settled: int = 0
    """What senders have stated to be settled here already (base)."""
    lost: int = 0
    """What it knows that it can never get."""
    latest: dict[str, int] = field(default_factory=dict)
    """Senders heard, with their latest incarnation."""
    dialled: dict[str, int] = field(default_factory=dict)
    """Those of them that have dialled this incarnation of it."""
    met: dict[NodeId, None] = field(default_factory=dict)
    """Every incarnation heard."""
    evicted: dict[str, int] = field(default_factory=dict)
    """Senders evicted here, with the incarnation."""

    addressed: int = 0
    causal: int = 0
    """Of what is addressed here, the messages that are ordered here."""
    finished_ever: int = 0
    lost_ever: int = 0
    named: int = 0
    """What some verdict here has named as lost, or hinted at."""
    hinted: int = 0
    """What was lost already when some verdict has said that something may be missing."""
    restarted: bool = False

    def can_know_of(self, losses: Iterable[Sent]) -> bool:
        """Whether this process can tell somebody that one of these is lost.

        One that has started anew does not know of what losses its former self had been told; none can know of a sender
        that it never met, behind a later clock entry of the same name; and where clocks cannot tell who follows a loss,
        the first that may is told, once.
        """
        return not self.restarted and any(lost.dot.origin in self.met and not self.hinted & lost.bit for lost in losses)

    def past_of(self, thread: object, key: int | None) -> int:
        """What the next message of this thread, with this key, follows."""
        if thread is None:
            return self.past
        return self.threads.get(thread, 0) | (0 if key is None else self.keys.get(key, 0))

    def follow(self, thread: object, past: Past) -> None:
        """From now on the thread follows this as well."""
        self.seen |= past.seen
        if thread is None:
            self.past |= past.order
        else:
            self.threads[thread] = self.threads.get(thread, 0) | past.order
