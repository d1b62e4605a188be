"""What a horizon waits for: the receiver's rule of bounded mode.

A copy with horizon h follows everything with a timestamp up to h that is addressed to this node, as far as its vector
clock does not deny it. Its turn comes when

1. every inbound link has been *heard past* h: a link carries its messages in the order of their timestamps, so one
   frame that says so means that nothing older is still to come on it. Links are asked, all that are needed at once;
   the copy is registered under one of them;
2. nothing received with a timestamp up to h is left to settle: of what is, the copy waits for the latest, like for a
   dot of its own, and looks again when that settles. (For the latest, since messages that wait under their horizons
   mostly wait for each other in a row: under the earliest, each settlement would wake all that follow it.)

*Which links?* Whoever may have something for this node that precedes a folded dot, or is one. A dot is folded only if
its origin knew, when it sent it or later, that its link to its destination had been welcomed: then the destination has
that link among its inbound ones, from before the message with the horizon came. Dots of other origins are `closed`:
they stay explicit in stamps, and no link has to be known for them. What is folded stands for what it carried itself:
it is heard of in 1, and holds that back in 2.

*Which not?* A link of which all that the copy's clock counts has been received, or is stable; one whose sender is gone
(what it never got across is lost); and of what was received, messages that the clock does not count. A clock has one
entry a name, of its latest incarnation (`counts.counted`): no other incarnation is mistaken for it.

*After a start* without a store the rule has a hole: senders knew an earlier incarnation of this node, and what was open
to that one was folded. So for `links_known_after_ms` a copy with a horizon also waits until each sender that its clock
counts has dialled; what comes out without that is `unsure`, and says so. So does, at any time, what comes out at a
process that nobody has let in: another one may have its name, and what precedes is on its way to that one.
HAZARD: after that time the links that are known count as all there are. A sender that takes longer to find this node
again may have something that a later copy follows, and nobody notices.

*A lost predecessor* (its sender is gone, and never got it across) may have followed what is still to come: then the
horizon of the copy lies just below its own timestamp, whatever its stamp says. Contexts which forget a lost dot replace
it by their horizon in the same way. What remains open is what it had followed from a sender whose link is not open yet.

*A sender that is gone* may have sent what nobody names. A copy whose clock counts something of it that never came is
`unsure`; where the clock cannot tell (there is none, or it counts a later incarnation) the first copy past what was
heard of it is, once: to say so of each would be to say it for ever. HAZARD: that one need not be the one that follows.

Waiting is acyclic, since all of it is for smaller timestamps; and the earliest message that is unsettled here never
waits for room on a link, since what is queued there before it would be earlier still.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush

from sortedcontainers import SortedList

from causal.ordering.counts import counted
from causal.ordering.dot import Dot, NodeId
from causal.ordering.holdback import Arrival
from causal.ordering.link import InboundLink
from causal.ordering.output import Output
from causal.ordering.scope import Scope
from causal.ordering.settlement import Settlement
from causal.ordering.stamp import Clock
from causal.ordering.verdict import Ordering

Place = tuple[int, NodeId, int]
"""Timestamp, origin and seq of something that has been received and is not settled."""


DOUBTED_MAX = 1024
"""Senders that are gone of which it is remembered what was told of them."""
NOBODY = NodeId("", 0)
"""Sorts before every origin."""


class Horizons:
    """The copies that wait for links to be heard, and what was received, by timestamp.

    Costs nothing while no copy has a horizon. A copy with one that every link is past costs O(log(unsettled here)) and
    what its clock denies of it; one that is not, O(links) for each of them that it has to wait for.
    """

    def __init__(self, settlement: Settlement) -> None:
        self._settlement = settlement
        self._unsettled: SortedList[Place] | None = None
        """What was received and has not passed; None while nobody asks for it."""
        self._waiting: dict[NodeId, list[tuple[int, int, Arrival]]] = {}
        """Sender → heap of (horizon, a number that tells equal ones apart, copy)."""
        self._unvouched: dict[NodeId, list[Arrival]] = {}
        """Sender that has not dialled since this node started → copies that may follow something of it."""
        self._all_past = 0
        """A timestamp that every link was past: what is not after it needs no look at the links."""
        self._doubtful: dict[NodeId, int] = {}
        """Senders that are gone, of which something may be lost that no verdict has told of → up to which timestamp
        their links had been heard."""
        self._doubted: dict[NodeId, int] = {}
        """Origins that are gone → up to which seq a verdict has told that something may be lost."""
        self.complete = False
        """Whether the time is over in which senders of an earlier incarnation of this node may dial."""
        self._ticked_ms: int | None = None
        self._passed_ms = 0
        """How much of that time has passed."""
        self.waits = 0
        """How many copies had to wait for links."""
        self.asked = 0
        """How many questions that took."""

    # -- what was received -------------------------------------------------------------------------------------

    @property
    def in_use(self) -> bool:
        """Whether what is received, and what passes, has to be noted here."""
        return self._unsettled is not None

    def note(self, arrival: Arrival) -> None:
        """A copy was received, while `in_use`."""
        assert self._unsettled is not None
        self._unsettled.add(_place(arrival))

    def passed(self, arrival: Arrival) -> None:
        """Nobody has to wait for this copy any more, while `in_use`."""
        assert self._unsettled is not None
        self._unsettled.discard(_place(arrival))
        if not self._unsettled:
            self._unsettled = None

    def last_before(self, arrival: Arrival) -> Arrival | None:
        """The latest of what was received and has to settle before this copy; None if there is nothing of the kind."""
        inbound = self._settlement.inbound
        if self._unsettled is None:
            self._unsettled = SortedList(
                _place(each) for link in inbound.values() for each in link.unsettled.values() if not each.passed
            )
        clock = arrival.copy.stamp.clock
        counts: dict[NodeId, int | None] = {}
        for _, origin, seq in self._unsettled.irange(maximum=(arrival.horizon + 1, NOBODY, 0), reverse=True):
            if origin not in counts:
                counts[origin] = counted(clock, origin)
            count = counts[origin]
            if count is None or seq <= count:
                return inbound[origin].unsettled[seq]
        return None

    # -- links -------------------------------------------------------------------------------------------------

    def must_hear(self, arrival: Arrival, output: Output) -> bool:
        """Whether the copy has to wait for a link: then the senders are asked, and it is registered here."""
        arrival.waits_past = None
        if not self.complete or arrival.unsure or not self._settlement.accepted:
            stranger = self._unmet(arrival.copy.stamp.clock)
            arrival.unsure = stranger is not None
            if stranger is not None and not self.complete:
                arrival.waits_past = stranger
                self._unvouched.setdefault(stranger, []).append(arrival)
        unheard = self._unheard(arrival)
        for link in unheard:
            if link.asking < arrival.horizon:
                link.asking = arrival.horizon
                self.asked += 1
                if link.connected:
                    output.report.add(link.origin)
        if arrival.waits_past is None and unheard:
            self.waits += 1
            arrival.waits_past = unheard[0].origin
            heappush(self._waiting.setdefault(unheard[0].origin, []), (arrival.horizon, self.waits, arrival))
        return arrival.waits_past is not None

    def _unheard(self, arrival: Arrival) -> list[InboundLink]:
        horizon = arrival.horizon
        if horizon <= self._all_past:
            return []
        settlement = self._settlement
        behind = [
            link for link in settlement.inbound.values() if link.heard < horizon and not settlement.is_gone(link.origin)
        ]
        if not behind:
            self._all_past = horizon
        return [link for link in behind if not self._has_all(link, arrival.copy.stamp.clock)]

    def _has_all(self, link: InboundLink, clock: Clock | None) -> bool:
        """Whether everything has been received on this link that precedes what was stamped with the clock."""
        count = counted(clock, link.origin)
        if count is None:
            return False
        received = link.received
        if count <= received.to and not any(seq <= count for seq in received.missing):
            return True
        return count == 0 or self._is_stable(link.origin, count)

    def _is_stable(self, origin: NodeId, count: int) -> bool:
        stable = self._settlement.report_of(origin)
        return stable is not None and stable.covers(self._settlement.me.name, count)

    def _unmet(self, clock: Clock | None) -> NodeId | None:
        """A sender that may have something for this node and has not dialled it; this node itself for anybody."""
        settlement = self._settlement
        if clock is None:
            return settlement.me
        for origin, count in clock.items():
            if origin.name == settlement.me.name or origin in settlement.inbound or settlement.is_gone(origin):
                continue
            if not self._is_stable(origin, count):
                return origin
        return None

    def doubt(self, arrival: Arrival) -> list[Dot]:
        """A copy is let go that may follow what a sender that is gone never got across. Nobody can name that, but a
        handler must be told: for each count that a clock has of such a sender, and once where clocks cannot tell.
        A verdict that names a loss has told of its sender.

        Returns what somebody else has to be told, since no handler would hear of it in time: the last messages counted
        of such senders. A later clock may not count them any more, if they have started anew."""
        clock = arrival.copy.stamp.clock
        if arrival.ordering is not Ordering.CAUSAL or arrival.finished:
            return [dot for dot in self.doubtful_of(clock) if dot.seq > self._doubted.get(dot.origin, 0)]
        # A clock is that of a whole process: in context scope what it counts need not be what the copy follows, so
        # that one verdict does not do for the next copy.
        scoped = self._settlement.inbound[arrival.origin].scope is Scope.CONTEXT
        named = {dot.origin for dot in arrival.lost}
        for origin, count in (clock or {}).items():
            if self._settlement.is_gone(origin) and (scoped or count > self._doubted.get(origin, 0)):
                if origin not in named and self._is_told_of_all(origin, clock, count):
                    continue
                arrival.unsure = True
                if not scoped:
                    self._doubted[origin] = count
                if len(self._doubted) > DOUBTED_MAX:
                    del self._doubted[next(iter(self._doubted))]
        for origin, heard in list(self._doubtful.items()):
            if origin in named or (heard < arrival.horizon and counted(clock, origin) is None):
                arrival.unsure = True
                del self._doubtful[origin]
        return []

    def doubtful_of(self, clock: Clock | None) -> list[Dot]:
        """The last messages that the clock counts of senders that are gone with something of it, perhaps."""
        return [
            Dot(origin.name, origin.incarnation, count)
            for origin, count in (clock or {}).items()
            if self._settlement.is_gone(origin) and not self._is_told_of_all(origin, clock, count)
        ]

    def _is_told_of_all(self, origin: NodeId, clock: Clock | None, count: int) -> bool:
        """Whether a sender that is gone has got across everything that the clock counts of it."""
        link = self._settlement.inbound.get(origin)
        if link is not None:
            return self._has_all(link, clock)
        return self._settlement.former.has_all(origin, count) or self._is_stable(origin, count)

    # -- what lets them go on: each returns copies that have to be looked at again ---------------------------------

    def heard(self, link: InboundLink) -> list[Arrival]:
        """This link has been heard further."""
        waiting = self._waiting.get(link.origin)
        if waiting is None:
            return []
        ready = []
        while waiting and waiting[0][0] <= link.heard:
            ready.append(heappop(waiting)[2])
        if not waiting:
            del self._waiting[link.origin]
        return ready

    def released(self, origin: NodeId) -> list[Arrival]:
        """Perhaps this link need not be heard any more, or its sender has dialled for the first time."""
        waiting = [arrival for _, _, arrival in self._waiting.pop(origin, ())]
        return waiting + self._unvouched.pop(origin, [])

    def opened(self, origin: NodeId) -> list[Arrival]:
        """A sender has dialled for the first time: its link has to be heard, too."""
        self._all_past = 0
        return self.released(origin)

    def gone(self, name: str, incarnation: int) -> list[Arrival]:
        """The incarnations of this name before that one are gone: what they never got across is lost."""
        origins = _earlier(self.origins(), name, incarnation)
        return [arrival for origin in origins for arrival in self.released(origin)]

    def doubt_links(self, links: Iterable[InboundLink]) -> None:
        """The senders of these links are gone, and perhaps with something that they never got across."""
        for link in links:  # one entry a name, however often it starts anew
            former = [origin for origin in self._doubtful if origin.name == link.origin.name]
            heard = min([link.heard, *(self._doubtful.pop(origin) for origin in former)])
            self._doubtful[link.origin] = heard

    def tick(self, now_ms: int, known_after_ms: int) -> list[Arrival]:
        """Time passes: at some point, whoever has not dialled since the start is not waited for any more."""
        if self.complete:
            return []
        # A clock that is set forward must not make that time pass at once: a tick counts for a quarter at most.
        last_ms, self._ticked_ms = self._ticked_ms, now_ms
        if last_ms is not None:
            self._passed_ms += min(max(0, now_ms - last_ms), max(1, known_after_ms // 4))
        if self._passed_ms < known_after_ms:
            return []
        self.complete = True
        waiting = [arrival for arrivals in self._unvouched.values() for arrival in arrivals]
        self._unvouched.clear()
        return waiting

    def origins(self) -> Iterable[NodeId]:
        """The senders whose links something waits for."""
        return [*self._waiting, *self._unvouched]

    def __iter__(self) -> Iterator[Arrival]:
        for waiting in self._waiting.values():
            for _, _, arrival in waiting:
                yield arrival
        for arrivals in self._unvouched.values():
            yield from arrivals


def _earlier(origins: Iterable[NodeId], name: str, incarnation: int) -> list[NodeId]:
    return [origin for origin in origins if origin.name == name and origin.incarnation < incarnation]


def _place(arrival: Arrival) -> Place:
    return arrival.copy.stamp.timestamp, arrival.origin, arrival.copy.seq
