"""Stable numbers on their way: who is owed which, and the questions about dots that nobody reports on.

A context may forget a dot once it is settled at its destination. The origin learns that by acknowledgement;
everybody else by the origin's stable number, which travels the way the dots did: each node passes it on to
the peers that it told dots of that origin, until the frame that carried it is acknowledged.

Where a teller is gone without having done so, the dot stays; after `garbage_after_ms` it is asked about:
its origin if that is linked here, else its destination, else whoever sends to this node.
"""

from __future__ import annotations

from causal.ordering.context import CausalContext
from causal.ordering.dot import Dot, NodeId
from causal.ordering.frames import StableNumber
from causal.ordering.link import OutboundLink
from causal.ordering.settlement import Settlement, join
from causal.ordering.stamp import Copy

REPORTS_MAX = 1024
"""Stable numbers and questions in one frame; the rest goes with the next."""
LAG_AFTER_MS = 1000
"""A destination whose oldest unsettled message is older than this is named as lagging in the stable number,
instead of freezing it for all others."""


class Stability:
    """What this node owes to its receivers about the messages that it told them of."""

    def __init__(self, settlement: Settlement) -> None:
        self._settlement = settlement
        self._me = settlement.me
        self._outbound = settlement.outbound
        self._ages: dict[tuple[str, NodeId], tuple[int, int]] = {}
        """(destination, origin) of a pending dot → (its seq, ms since when it is there)."""

    def own(self, last_seq: int, now_ms: int) -> StableNumber:
        """This node's stable number. O(links)."""
        upto = last_seq
        lagging = {}
        for link in self._outbound.values():
            oldest = next(iter(link.outbox.values()), None)
            if oldest is None:
                continue
            if now_ms - (oldest.stamp.timestamp >> 16) >= LAG_AFTER_MS:
                lagging[link.peer] = oldest.seq
            else:
                upto = min(upto, oldest.seq - 1)
        named = {destination: seq for destination, seq in lagging.items() if seq <= upto}
        report = StableNumber(origin=self._me, upto=upto, lagging=named)
        known = self._settlement.stable.get(self._me)
        report = report if known is None else join(known, report)
        self._settlement.stable[self._me] = report
        return report

    def told(self, link: OutboundLink, copy: Copy) -> None:
        """A copy goes to this receiver: it is owed the stable numbers of the origins that the copy names."""
        link.told[self._me] = max(link.told.get(self._me, 0), copy.seq)
        for dots in copy.stamp.elsewhere.values():
            for origin, seq in dots.items():
                if origin.name != link.peer or origin.incarnation != link.incarnation:
                    self.watched(link, origin, seq)

    def watched(self, link: OutboundLink, origin: NodeId, seq: int) -> None:
        """This receiver waits for the stable number of `origin` to reach `seq`."""
        if link.told.get(origin, 0) < seq:
            link.told[origin] = seq
            link.owed.add(origin)

    def moved(self, origin: NodeId) -> None:
        """The origin's stable number has grown: everybody who was told its dots is owed it."""
        for link in self._outbound.values():
            if origin in link.told:
                link.owed.add(origin)

    def due(self, link: OutboundLink, frame: int, last_seq: int, now_ms: int) -> tuple[StableNumber, ...]:
        """The stable numbers to put into this frame."""
        reports = []
        for _ in range(min(len(link.owed), REPORTS_MAX)):
            origin = link.owed.pop()
            report = self._settlement.stable.get(origin)
            if origin == self._me:
                report = self.own(last_seq, now_ms)
            announced = link.announced.get(origin)
            if report is None or (announced is not None and announced[1] == report):
                continue
            link.announced[origin] = (frame, report)
            reports.append(report)
        return tuple(reports)

    def acknowledged(self, link: OutboundLink, frame: int) -> None:
        """The receiver has processed the stream up to this frame: what it was owed in full is off the list."""
        for origin, (carried, report) in list(link.announced.items()):
            told = link.told.get(origin, 0)
            if carried <= frame and report.upto >= told and all(s > told for s in report.lagging.values()):
                link.told.pop(origin, None)
                del link.announced[origin]

    def questions(self, context: CausalContext, now_ms: int, garbage_after_ms: int) -> tuple[set[str], set[NodeId]]:
        """Ask about dots that have been pending for too long, one question a dot in each `garbage_after_ms`.

        Returns the links that have something to say by it: outbound peers, inbound origins.
        """
        peers: set[str] = set()
        origins: set[NodeId] = set()
        ages = {}
        for destination, dots in context.pending.items():
            for origin, seq in dots.items():
                if origin == self._me:
                    continue
                known, since = self._ages.get((destination, origin), (seq, now_ms))
                if known != seq:
                    since = now_ms
                elif now_ms - since >= garbage_after_ms:
                    since = now_ms
                    self._ask(destination, origin, seq, peers, origins)
                ages[destination, origin] = (seq, since)
        self._ages = ages
        return peers, origins

    def _ask(self, destination: str, origin: NodeId, seq: int, peers: set[str], origins: set[NodeId]) -> None:
        inbound = self._settlement.inbound
        outbound = self._outbound.get(destination)
        if origin in inbound and inbound[origin].connected:
            tellers = [inbound[origin]]
        elif outbound is not None and outbound.connected:
            if len(outbound.questions) < REPORTS_MAX:
                outbound.questions.add(Dot(origin.name, origin.incarnation, seq))
                peers.add(destination)
            return
        else:
            tellers = [link for link in inbound.values() if link.connected]
        for teller in tellers:
            teller.watch[origin] = seq
            origins.add(teller.origin)
