"""When a sender is gone, and what then goes with it at this node.

- A later incarnation of its name has been here: what the earlier ones never got across is lost.
- It has said goodbye: nothing more comes from it, and nothing of it is unsettled here. (`farewell.py`)
- It has been evicted by an operator, since it is away for too long: like the first, without a later incarnation. It is
  taken for gone at both ends of links: its Hello is refused, and it is told no more, until it starts anew.

Whatever waits for it, for a message of it or for its link, is looked at again. Once all that came of it is settled it
leaves a record (`former.py`) and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

from causal.ordering.delivery import Delivery
from causal.ordering.dot import NodeId
from causal.ordering.frames import FINAL, StableNumber
from causal.ordering.link import OutboundLink, Received
from causal.ordering.output import Output
from causal.ordering.settlement import Settlement
from causal.ordering.stability import Stability


class Departures:
    """Senders on their way out. Each step costs O(what is known of the name), and O(links) for each sender."""

    def __init__(self, settlement: Settlement, delivery: Delivery, stability: Stability) -> None:
        self._settlement = settlement
        self._delivery = delivery
        self._stability = stability

    def superseded(self, later: NodeId, output: Output) -> None:
        """This incarnation is here: the earlier ones are gone, and with them what they never got across."""
        self._gone_before(later.name, later.incarnation, output)
        self._settlement.latest[later.name] = later.incarnation
        self._look_again(later.name, later.incarnation, output)

    def evicted(self, name: str, output: Output, incarnation: int = -1) -> NodeId | None:
        """An incarnation of this name is taken for gone, with those before it: the latest that has been heard of, or
        the one that the operator says.

        Returns which that is; None if there is none that is not gone. O(origins heard of).
        """
        settlement = self._settlement
        heard_of = [settlement.latest.get(name, -1), *self._delivery.awaited(name)]
        heard_of += [origin.incarnation for origin in settlement.stable if origin.name == name]
        link = settlement.outbound.get(name)
        if link is not None and link.incarnation is not None:
            heard_of.append(link.incarnation)
        origin = NodeId(name, max(heard_of) if incarnation < 0 else incarnation)
        if origin.incarnation < 0 or name == settlement.me.name or settlement.is_gone(origin):
            return None
        self._gone_before(name, origin.incarnation + 1, output)
        settlement.latest[name] = origin.incarnation
        settlement.going.add(origin)  # also if nothing ever came of it
        self._look_again(name, origin.incarnation + 1, output)
        return origin

    def left(self, origin: NodeId, output: Output) -> None:
        """This sender has said goodbye: all that it ever sent to this node is settled here."""
        link = self._settlement.inbound[origin]
        link.received = Received(FINAL)
        link.reset()
        self._settlement.going.add(origin)
        self._settlement.changes += 1
        self._delivery.look_again(origin, output)
        self.tidy()

    def _gone_before(self, name: str, incarnation: int, output: Output) -> None:
        settlement = self._settlement
        earlier = [
            origin
            for origin in {**settlement.inbound, **settlement.stable}
            if origin.name == name and origin.incarnation < incarnation and not settlement.is_gone(origin)
        ]
        links = [settlement.inbound[origin] for origin in earlier if origin in settlement.inbound]
        for link in links:
            link.reset()
            link.forget_digests()
        settlement.going.update(earlier)
        self._delivery.horizons.doubt_links(links)

    def _look_again(self, name: str, incarnation: int, output: Output) -> None:
        self._settlement.changes += 1
        self._settlement.refused_since.pop(name, None)
        self._stability.gone(name)
        self._delivery.gone(name, incarnation, output)
        self.tidy()

    def learn(self, reports: Sequence[StableNumber], output: Output) -> None:
        """Take in the stable numbers of a frame."""
        settlement, delivery = self._settlement, self._delivery
        covered = {report.origin: settlement.covered_here(report.origin) for report in reports}
        for report in reports:
            if settlement.learn(report):
                self._stability.moved(report.origin)
                if report.upto == FINAL or settlement.is_gone(report.origin):
                    self.reported(report.origin, output)
        for origin, before in covered.items():  # once each, however often the frame speaks of it
            if settlement.covered_here(origin) > before:
                delivery.look_again(origin, output)

    def reported(self, origin: NodeId, output: Output) -> None:
        """More is known of what is settled of an origin that is gone, or has left, as its stable number says. (One that
        still has a stream will say goodbye there, or hang up.)"""
        link = self._settlement.inbound.get(origin)
        if origin in self._settlement.former or (link is not None and link.connected):
            return
        self._settlement.going.add(origin)
        self._delivery.look_again(origin, output)
        self.tidy()

    def tick(self, output: Output) -> None:
        """Time passes: those that hung up without a word, but are known to have left, are gone too. O(links)."""
        settlement = self._settlement
        left = [
            origin
            for origin, link in settlement.inbound.items()
            if not link.connected and origin != settlement.me and settlement.has_left_for_good(origin)
        ]
        for origin in left:
            self.reported(origin, output)
        if settlement.going:
            self.tidy()

    def tidy(self) -> None:
        """Give up what is kept of senders that are gone and of which nothing is unsettled, for a record."""
        settlement = self._settlement
        for origin in sorted(settlement.going):
            link = settlement.inbound.get(origin)
            if link is not None and link.unsettled:
                continue
            settlement.bury(origin)
            self._stability.moved(origin)
            peer = settlement.outbound.get(origin.name)
            if peer is not None:
                self.hung_up(peer)

    def hung_up(self, peer: OutboundLink) -> None:
        """A receiver that is gone is not owed anything any more."""
        incarnation = peer.incarnation
        if peer.connected or incarnation is None or not self._settlement.is_gone(NodeId(peer.peer, incarnation)):
            return
        peer.told.clear()
