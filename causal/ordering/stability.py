"""Stable numbers on their way: who is owed which, and the questions about dots that nobody reports on.

A context may forget a dot once it is settled at its destination. The origin learns that by acknowledgement;
everybody else by the origin's stable number, which travels the way the dots did: each node passes it on to
the peers that it told dots of that origin, until the frame that carried it is acknowledged.

Where a teller is gone without having done so, the dot stays; after `garbage_after_ms` it is asked about:
its origin if that is linked here, else its destination, else whoever sends to this node. A node that is asked
and does not know asks on, against the direction of the links, so that the answer finds its way along them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from causal.ordering.context import CausalContext
from causal.ordering.dot import Dot, NodeId
from causal.ordering.frames import StableNumber
from causal.ordering.link import REPORTS_MAX, OutboundLink
from causal.ordering.settlement import Settlement, join
from causal.ordering.stamp import Copy, Dots, each

LAG_AFTER_MS = 1000
"""A destination whose oldest unsettled message is older than this is named as lagging in the stable number,
instead of freezing it for all others."""

WATCHED_MAX = 65_536
"""Origins whose stable numbers one receiver may be owed because it asks for them: as many as a stream can name."""


class Stability:
    """What this node owes to its receivers about the messages that it told them of."""

    def __init__(self, settlement: Settlement) -> None:
        self._settlement = settlement
        self._me = settlement.me
        self._outbound = settlement.outbound
        self._ages: dict[tuple[str, NodeId, int], tuple[int, int]] = {}
        """Destination and dot, as long as it is pending → ms since when it is there, or since it was asked about; and
        when it was seen last, for not every context is looked at each time."""
        self._wanted: dict[NodeId, int] = {}
        """What this node has been asked about and does not know: origin → the highest seq."""
        self._asked_on: dict[NodeId, int] = {}
        """Origins about which this node has asked on lately → when, in ms: once in each `garbage_after_ms`."""

    def own(self, last_seq: int, now_ms: int) -> StableNumber:
        """This node's stable number. O(links). Whenever it has grown, everybody who was told dots is owed it."""
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
        # What lags is older than what does not, so every exception is at or below `upto`.
        report = StableNumber(origin=self._me, upto=upto, lagging=lagging)
        known = self._settlement.stable.get(self._me)
        report = report if known is None else join(known, report)
        if report != known:
            self._settlement.stable[self._me] = report
            self.moved(self._me)
        return report

    def told(self, link: OutboundLink, copies: Sequence[Copy]) -> None:
        """Copies go to this receiver: it is owed the stable numbers of the origins that they name."""
        latest = link.told.get(self._me, 0)
        seen: set[int] = set()  # contexts and stamps share their dots: most messages of a frame list the same ones
        for copy in copies:
            if copy.seq > latest:
                latest = copy.seq
            for dots in copy.stamp.elsewhere.values():
                if id(dots) in seen:
                    continue
                seen.add(id(dots))
                for origin, seqs in dots.items():
                    if origin.name != link.peer or origin.incarnation != link.incarnation:
                        self.watched(link, origin, seqs if isinstance(seqs, int) else max(seqs))
        if copies:
            link.told[self._me] = latest

    def watched(self, link: OutboundLink, origin: NodeId, seq: int) -> None:
        """This receiver waits for the stable number of `origin` to reach `seq`."""
        if link.told.get(origin, 0) < seq:
            link.told[origin] = seq
            link.owed.add(origin)

    def asked(self, link: OutboundLink, origin: NodeId, seq: int) -> None:
        """This receiver asks for a stable number of `origin` that reaches `seq`: answered, or else asked on."""
        if origin not in link.told and len(link.told) >= WATCHED_MAX:
            return
        self.watched(link, origin, seq)
        report = self._settlement.report_of(origin)
        known = report is not None and _covers_all(report, seq)
        if known or origin == self._me or self._settlement.is_gone(origin):
            return
        if origin in self._wanted or len(self._wanted) < REPORTS_MAX:
            self._wanted[origin] = max(self._wanted.get(origin, 0), seq)

    def moved(self, origin: NodeId) -> None:
        """The origin's stable number has grown: everybody who was told its dots is owed it."""
        for link in self._outbound.values():
            if origin in link.told:
                link.owed.add(origin)

    def gone(self, name: str) -> None:
        """Incarnations of this name are gone: who was told of them need not wait for what nobody can say."""
        for link in self._outbound.values():
            link.owed |= {origin for origin in link.told if origin.name == name}

    def due(self, link: OutboundLink, frame: int, last_seq: int, now_ms: int) -> tuple[StableNumber, ...]:
        """The stable numbers to put into this frame."""
        reports = []
        for origin in sorted(link.owed)[:REPORTS_MAX]:  # in an order that is the same in each process
            report = self._settlement.report_of(origin)
            if origin == self._me:
                report = self.own(last_seq, now_ms)
            elif report is None and self._settlement.is_gone(origin):
                link.told.pop(origin, None)  # nobody can say
            link.owed.discard(origin)
            announced = link.announced.get(origin)
            if report is None or (announced is not None and announced[1] == report):
                continue
            link.announced[origin] = (frame, report)
            reports.append(report)
        return tuple(reports)

    def acknowledged(self, link: OutboundLink, frame: int) -> None:
        """The receiver has processed the stream up to this frame: what it was owed in full is off the list.

        So is an origin that is gone, once what is known of it has been said: it would stay there for ever if something
        of it was lost. Who still waits for more asks."""
        for origin, (carried, report) in list(link.announced.items()):
            told = link.told.get(origin, 0)
            if carried <= frame and (_covers_all(report, told) or self._settlement.is_gone(origin)):
                link.told.pop(origin, None)
                del link.announced[origin]

    @property
    def asks_on(self) -> bool:
        """Whether this node has lately passed on a question that it could not answer.

        HAZARD: where nobody can answer, as nobody has met the origin's last message, nodes that send to each other
        pass the question on in a circle: one frame of each in every `garbage_after_ms`."""
        return bool(self._asked_on)

    @property
    def all_told(self) -> bool:
        """Whether every connected receiver that was told dots of this node has taken in that they are settled."""
        return not any(link.connected and self._me in link.told for link in self._outbound.values())

    def questions(
        self, contexts: Iterable[CausalContext], now_ms: int, garbage_after_ms: int
    ) -> tuple[set[str], set[NodeId]]:
        """Ask about dots that have been pending for too long, one question a dot in each `garbage_after_ms`.

        Looks at these contexts, O(dots pending there); each live one should be among them from time to time.

        Returns the links that have something to say by it: outbound peers, inbound origins.
        """
        peers: set[str] = set()
        origins: set[NodeId] = set()
        for context in contexts:
            for destination, dots in context.pending.items():
                for origin, seq in each(dots):
                    if origin == self._me or destination == self._me.name:
                        continue  # acknowledged to this node, or settled by it: nobody knows better
                    since, _ = self._ages.get((destination, origin, seq), (now_ms, now_ms))
                    if now_ms - since >= garbage_after_ms:
                        since = now_ms
                        self._ask(destination, origin, seq, peers, origins)
                        self._note_chain(destination, origin, dots)
                    self._ages[destination, origin, seq] = (since, now_ms)
        if self._ages:
            self._ages = {dot: age for dot, age in self._ages.items() if now_ms - age[1] < garbage_after_ms}
        self._ask_on(now_ms, garbage_after_ms, origins)
        return peers, origins

    def _note_chain(self, destination: str, origin: NodeId, dots: Dots) -> None:
        """An answer about a dot of a chain goes for the earlier ones too."""
        link = self._outbound.get(destination)
        if link is not None and isinstance(dots[origin], int):
            link.chains_asked.add(origin)

    def _ask_on(self, now_ms: int, garbage_after_ms: int, origins: set[NodeId]) -> None:
        recent = {o: at for o, at in self._asked_on.items() if now_ms - at < garbage_after_ms}
        for origin, seq in self._wanted.items():
            if origin not in recent:
                recent[origin] = now_ms
                self._ask_tellers(origin, seq, origins)
        self._asked_on = recent
        self._wanted.clear()

    def _ask(self, destination: str, origin: NodeId, seq: int, peers: set[str], origins: set[NodeId]) -> None:
        outbound = self._outbound.get(destination)
        if not self._is_linked(origin) and outbound is not None and outbound.connected:
            if len(outbound.questions) < REPORTS_MAX:
                outbound.questions.add(Dot(origin.name, origin.incarnation, seq))
                peers.add(destination)
        else:
            self._ask_tellers(origin, seq, origins)

    def _ask_tellers(self, origin: NodeId, seq: int, origins: set[NodeId]) -> None:
        """Ask the origin itself if it is linked, else everybody who sends to this node."""
        inbound = self._settlement.inbound
        links = [inbound[origin]] if self._is_linked(origin) else inbound.values()
        for link in links:
            if link.connected:
                link.watch[origin] = max(link.watch.get(origin, 0), seq)
                origins.add(link.origin)

    def _is_linked(self, origin: NodeId) -> bool:
        link = self._settlement.inbound.get(origin)
        return link is not None and link.connected


def _covers_all(report: StableNumber, seq: int) -> bool:
    """Whether the report says that the origin's messages up to `seq` are settled at each destination."""
    return report.upto >= seq and all(first > seq for first in report.lagging.values())
