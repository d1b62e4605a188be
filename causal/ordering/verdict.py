"""How a subject is ordered at a receiver, and what a handler is told about how its message was released."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from causal.ordering.dot import Dot


class Ordering(StrEnum):
    """A receiver's setting for a subject; the stamps on the wire are the same for all of them."""

    CAUSAL = "causal"
    """The handler starts only after every causal predecessor addressed to this node is settled here."""
    NONE = "none"
    """The handler starts at once; nothing waits for it to end. Its causal past is still carried on."""


class VerdictKind(StrEnum):
    """The ways in which a message leaves the hold-back queue."""

    ORDERED = "ordered"
    """Inside the guarantee: everything that precedes it here was settled."""
    UNORDERED = "unordered"
    """The subject asks for no order."""
    LOST = "lost"
    """A predecessor can never come: the incarnation that sent it is gone, and it never got here."""
    UNSURE = "unsure"
    """Nobody could say whether everything that precedes it has been here: a horizon stands in for its predecessors,
    and this node started lately and has not heard from all senders, or a sender is gone with what it last sent."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a message was released; every release outside the guarantee says so here, none is silent.

    `missing` names the predecessors that were not waited for; empty when the message is `ORDERED`.
    """

    kind: VerdictKind = VerdictKind.ORDERED
    missing: tuple[Dot, ...] = ()

    @property
    def ordered(self) -> bool:
        """Whether the guarantee held in full."""
        return self.kind is VerdictKind.ORDERED

    def __str__(self) -> str:
        if not self.missing:
            return self.kind.value
        return f"{self.kind.value} ({', '.join(map(str, self.missing))} can never come)"


ORDERED = Verdict()
UNORDERED = Verdict(VerdictKind.UNORDERED)
UNSURE = Verdict(VerdictKind.UNSURE)
