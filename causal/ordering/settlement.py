"""What is known to be settled: here, and elsewhere by the stable numbers of the origins."""

from __future__ import annotations

from causal.ordering.dot import NodeId
from causal.ordering.former import Former
from causal.ordering.frames import FINAL, StableNumber
from causal.ordering.link import InboundLink, OutboundLink, Received

MET = 0
LOST = -1

CONCLUDED_MAX = 1024
"""Incarnations about whose messages a destination's own word is remembered (and single messages, of those that stand
each for itself); an older word would be given again."""


def join(one: StableNumber, other: StableNumber) -> StableNumber:
    """What either report of an origin knows: commutative, associative, idempotent."""
    upto = max(one.upto, other.upto)
    lagging = {}
    for destination in {**one.lagging, **other.lagging}:
        covered = max(report.lagging.get(destination, report.upto + 1) for report in (one, other))
        if covered <= upto:
            lagging[destination] = covered
    return StableNumber(origin=one.origin, upto=upto, lagging=lagging)


class Settlement:
    """Answers two questions: must a copy wait for this dot here, and may a context forget that one?

    Holds the inbound links of the incarnations met that are not gone, the latest incarnation of each name, the stable
    numbers heard, and records of those that are gone. Both answers are O(1), and once yes they stay yes.
    """

    def __init__(self, me: NodeId, outbound: dict[str, OutboundLink], own: InboundLink) -> None:
        self.me = me
        self.outbound = outbound
        self.own = own
        """This node's link to itself, which is among the inbound ones."""
        self.inbound: dict[NodeId, InboundLink] = {me: own}
        self.latest: dict[str, int] = {me.name: me.incarnation}
        self.former = Former(me.name)
        self.going: set[NodeId] = set()
        """Incarnations that are gone and have no record yet, since something of them is unsettled here."""
        self.accepted = False
        """Whether a peer has taken part in a link with this incarnation: then it cannot change any more."""
        self.stable: dict[NodeId, StableNumber] = {}
        self.concluded: dict[str, dict[NodeId, int]] = {}
        """Destination → origin → seq up to which it said itself that nothing is still to come."""
        self.refused_since: dict[str, int] = {}
        """Name → the time in ms since when another process was refused it, while the one that has it was away."""
        self.concluded_single: dict[tuple[str, NodeId, int], None] = {}
        """The same of dots that stand each for itself, and of those of which that is not known."""
        self.losers: dict[str, dict[NodeId, None]] = {}
        """Destination → the origins of which it has said that it has lost messages; the oldest go first."""
        self.changes = 0
        """Counts whatever may turn an answer of `is_settled` to yes: contexts prune when it has moved."""

    def is_gone(self, origin: NodeId) -> bool:
        """Whether the origin has left or been evicted, a later incarnation of it has been heard, or it is another one
        of this node itself.

        An own incarnation that is not this one is gone even if it is the later: then the clock went back since.
        """
        if origin.name == self.me.name:
            return origin != self.me
        if origin.incarnation < self.latest.get(origin.name, 0):
            return True
        return origin in self.going or origin in self.former

    def is_twin(self, node: NodeId, process: int) -> bool:
        """Whether another process than this one is known as this incarnation, at either end of a link."""
        inbound, outbound = self.inbound.get(node), self.outbound.get(node.name)
        if inbound is not None and inbound.process != process:
            return True
        return outbound is not None and outbound.incarnation == node.incarnation and outbound.process != process

    def is_connected(self, node: NodeId) -> bool:
        """Whether there is a stream from or to this incarnation."""
        inbound, outbound = self.inbound.get(node), self.outbound.get(node.name)
        if inbound is not None and inbound.connected:
            return True
        return outbound is not None and outbound.connected and outbound.incarnation == node.incarnation

    def has_left(self, node: NodeId, now_ms: int, silence_max_ms: int) -> bool:
        """Whether this incarnation was not connected whenever another process asked for it, for so long."""
        if self.is_connected(node):
            self.refused_since.pop(node.name, None)
            return False
        since = min(self.refused_since.get(node.name, now_ms), now_ms)  # a clock may go back
        self.refused_since[node.name] = since
        return now_ms - since >= silence_max_ms

    def missing_here(self, origin: NodeId, seq: int) -> int:
        """`MET` if nothing here need wait for this dot, `LOST` if it can never come, else its seq: to be waited for."""
        link = self.inbound.get(origin)
        if link is not None:
            arrival = link.unsettled.get(seq)
            if arrival is not None:
                return MET if arrival.passed else seq
            if seq in link.received:
                return MET
        elif self.former.has(origin, seq):
            return MET
        stable = self.report_of(origin)
        if stable is not None and stable.covers(self.me.name, seq):
            return MET
        return LOST if self.is_gone(origin) else seq

    def is_here(self, origin: NodeId, seq: int) -> bool:
        """Whether this message has been received here and is not settled yet."""
        link = self.inbound.get(origin)
        return link is not None and seq in link.unsettled

    def report_of(self, origin: NodeId) -> StableNumber | None:
        """The stable number of an origin, as far as it is known."""
        stable = self.stable.get(origin)
        return self.former.report_of(origin) if stable is None else stable

    def has_left_for_good(self, origin: NodeId) -> bool:
        """Whether its stable number says that everything it has ever sent is settled everywhere."""
        stable = self.stable.get(origin)
        return stable is not None and stable.upto == FINAL

    def covered_here(self, origin: NodeId) -> int:
        """Up to which seq the origin's stable number says that its messages to this node are settled."""
        stable = self.report_of(origin)
        return 0 if stable is None else stable.lagging.get(self.me.name, stable.upto + 1) - 1

    def is_settled(self, destination: str, origin: NodeId, seq: int) -> bool:
        """Whether a context may forget this dot: settled at its destination, as far as is known here, or lost."""
        if origin == self.me:
            link = self.outbound.get(destination)
            return link is None or seq not in link.outbox
        if destination == self.me.name and self.missing_here(origin, seq) <= MET:
            return True
        stable = self.report_of(origin)
        if stable is not None and stable.covers(destination, seq):
            return True
        if self.concluded_single and (destination, origin, seq) in self.concluded_single:
            return True
        said = self.concluded.get(destination)
        return said is not None and said.get(origin, 0) >= seq

    def is_lost(self, destination: str, origin: NodeId, seq: int) -> bool:
        """Of a dot that `is_settled`: whether it is, or may be, lost, with what it carried."""
        if destination == self.me.name and self.missing_here(origin, seq) == LOST:
            return True
        losers = self.losers.get(destination)
        return losers is not None and origin in losers

    def is_over(self, origin: NodeId, seq: int) -> bool:
        """Whether this message was settled here lately, or is known to be settled everywhere."""
        link, stable = self.inbound.get(origin), self.report_of(origin)
        if link is not None and link.remembers(seq):
            return True
        return stable is not None and seq <= stable.upto and all(seq < first for first in stable.lagging.values())

    def conclude(self, destination: str, origin: NodeId, seq: int, *, chained: bool, lost: bool = False) -> None:
        """The destination itself said that this message is settled there, or will never come. That is final, and
        remembered: others may not know it yet, and would name the dot again. One that is `chained` stands for the
        earlier ones too."""
        self.changes += 1
        if lost:
            losers = self.losers.setdefault(destination, {})
            losers[origin] = None
            if len(losers) > CONCLUDED_MAX:
                del losers[next(iter(losers))]
        if not chained:
            self.concluded_single[destination, origin, seq] = None
            if len(self.concluded_single) > CONCLUDED_MAX:
                del self.concluded_single[next(iter(self.concluded_single))]
            return
        said = self.concluded.setdefault(destination, {})
        said[origin] = max(seq, said.pop(origin, 0))  # to the end: the oldest goes first
        if len(said) > CONCLUDED_MAX:
            del said[next(iter(said))]

    def learn(self, report: StableNumber) -> bool:
        """Take in a stable number; returns whether it says anything new."""
        known = self.report_of(report.origin)
        joined = report if known is None else join(known, report)
        if joined == known:
            return False
        if report.origin in self.former:
            self.former.renew(joined)
        else:
            self.stable[report.origin] = joined
        self.changes += 1
        return True

    def bury(self, origin: NodeId) -> None:
        """Nothing of this incarnation, which is gone, is unsettled here: from now on there is a record of it alone."""
        self.going.discard(origin)
        link, report = self.inbound.pop(origin, None), self.stable.pop(origin, None)
        received = Received() if link is None else link.received
        self.former.keep(origin, received, report)
        if report is not None and report.upto == FINAL:  # what destinations said of it themselves, it says too
            for said in self.concluded.values():
                said.pop(origin, None)
            for losers in self.losers.values():
                losers.pop(origin, None)
            self.concluded_single = {key: None for key in self.concluded_single if key[1] != origin}
