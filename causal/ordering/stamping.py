"""The stamps of what is sent: what each copy lists of the context that it is sent from, and what is folded for it."""

from __future__ import annotations

from causal.ordering.context import CausalContext, joined
from causal.ordering.dot import NodeId
from causal.ordering.link import OutboundLink
from causal.ordering.settlement import Settlement
from causal.ordering.stamp import NO_DOTS, NO_PENDING, Clock, Copy, Dots, Pending, Seqs, Stamp

_new = tuple.__new__


class Stamping:
    """Makes the copies of a message. A stamp lists at most `dependencies_max` dots, and those that nobody may fold."""

    def __init__(self, settlement: Settlement, dependencies_max: int) -> None:
        self._settlement = settlement
        self._outbound = settlement.outbound
        self._dependencies_max = dependencies_max
        self.unopened = set(settlement.outbound) - {settlement.me.name}
        """Peers that have not known of their link from this node so far: dots for them may not be folded."""
        self.folded = 0
        """How many dots horizons stand in for."""

    def fold(self, context: CausalContext, more: int) -> int:
        """Fold the oldest dots until `more` can be listed beside the rest; by how many dots it is still too many."""
        over = context.size + more - self._dependencies_max
        if over > 0 and context.pending:
            folded = context.fold(over, self.may_fold)
            self.folded += folded
            over -= folded
        return over

    def obstacle(self, context: CausalContext, more: int, dots_max: int) -> str | None:
        """Why a message cannot list `more` dots beside those that are pending, in words; what may be folded is."""
        self.fold(context, more)
        dots = context.size + more
        return (
            f"stamp would list {dots} dots, more than {dots_max}: waiting for settlements" if dots > dots_max else None
        )

    def may_fold(self, destination: str, origin: NodeId) -> bool:
        """Whether dots of an origin for a destination may be folded, as far as the link's own end is here."""
        return origin != self._settlement.me or destination not in self.unopened

    def copies(
        self,
        context: CausalContext,
        destinations: tuple[str, ...],
        seq: int,
        seqs: Seqs,
        timestamp: int,
        clock: Clock | None,
        subject: str,
        payload: bytes,
    ) -> list[tuple[OutboundLink, Copy]]:
        """The copies of message `seq` (`seqs`, as stamps name it) with their links. O(pending) for each of them."""
        alone = len(destinations) == 1
        over = context.size + len(destinations) - 1 - self._dependencies_max
        if over > 0:
            over = self.fold(context, len(destinations) - 1)
        horizon, siblings = context.horizon, destinations
        if over > 0 and not alone:  # not even the copies of this message itself can be listed
            horizon, siblings = timestamp, tuple([name for name in destinations if name in self.unopened])
        copies = []
        pending = context.pending
        for name in destinations:
            link = self._outbound[name]
            after = pending.get(name, NO_DOTS)
            elsewhere = closed = NO_PENDING
            if not alone or len(pending) > (after is not NO_DOTS):
                elsewhere = self._elsewhere(pending, name, siblings, seqs)
                if self.unopened or context.closed:
                    closed = self.closed(context, elsewhere)
            # As `Stamp(…)` and `Copy(…)`, in half the time: their own __new__ are Python functions.
            stamp = _new(Stamp, (link.last_sent, timestamp, after, elsewhere, clock, horizon, closed))
            copies.append((link, _new(Copy, (seq, stamp, subject, payload))))
        return copies

    def _elsewhere(self, pending: Pending, name: str, siblings: tuple[str, ...], seqs: Seqs) -> dict[str, Dots]:
        """What others must settle before whatever this copy causes: the siblings of a multicast included."""
        elsewhere = {other: dots for other, dots in pending.items() if other != name} if pending else {}
        for sibling in siblings:
            if sibling != name:
                elsewhere[sibling] = joined(pending.get(sibling, NO_DOTS), {self._settlement.me: seqs})
        return elsewhere

    def closed(self, context: CausalContext, elsewhere: Pending) -> dict[str, Dots]:
        """Of these, what nobody may fold: what its senders said so of, and own dots for peers that know of no link."""
        closed = {name: dots for name, dots in context.closed.items() if name in elsewhere}
        for name in self.unopened:
            own = elsewhere.get(name, NO_DOTS).get(self._settlement.me)
            if own is not None:
                closed[name] = {**closed.get(name, NO_DOTS), self._settlement.me: own}
        return closed
