"""How often each rule of the engine had something to do in a run, seen from what goes in and out of it."""

from __future__ import annotations

from collections import Counter

from causal.ordering.context import CausalContext
from causal.ordering.dot import NodeId
from causal.ordering.engine import Engine
from causal.ordering.frames import FINAL, ReceiverFrame, SenderFrame, Welcome
from causal.ordering.holdback import Arrival
from causal.ordering.link import OutboundLink
from causal.ordering.output import Output
from causal.ordering.stamp import Stamp, each
from causal.ordering.verdict import Ordering

EXPECTED = (
    # What goes wrong.
    "clock drift",
    "clock steps back",
    "crash",
    "dropped while held",
    "evicted",
    "frame lost",
    "frame repeated",
    "frames lost with the stream",
    "given up",
    "handler failed",
    "handler finds no room",
    "hello of a run that is over",
    "left",
    "left with something unsettled",
    "link cut",
    "refused: name_taken",
    "refused: stale_incarnation",
    "send waits for room",
    "stays away",
    "stream torn",
    "twin fenced",
    "twins both let in",
    # What is sent.
    "destination listed twice",
    "none in turn",
    "none out of turn",
    "sent to itself",
    "sent to several",
    "sent after messages by name",
    "sent in context scope",
    "sent with a key in context scope",
    "token observed",
    # What the engine does.
    "answered by an incarnation that is gone",
    "answered by another process",
    "base with unsettled ones",
    "clock left out",
    "closed dots kept",
    "credit exhausted",
    "duplicate held",
    "duplicate settled",
    "folded",
    "gap",
    "given up: dropped where it was to go",
    "given up: settles in turn, later",
    "goodbye",
    "goodbye, and all is settled everywhere",
    "held",
    "held under its horizon",
    "held until links are past its horizon",
    "held: own dot of a running handler",
    "held: sibling of a multicast",
    "lost dot told",
    "question about a horizon",
    "stamps of a sender that is exhaustive",
    "stamps of one that is not",
    "count on a frame",
    "question answered by destination",
    "question answered by origin",
    "question answered by teller",
    "question to a destination",
    "question to a teller",
    "question to the origin",
    "records of senders that are gone",
    "reincarnated",
    "released",
    "released as a predecessor is lost",
    "released under a horizon",
    "resend of a gap",
    "resumed: sent again",
    "resumed: settled",
    "resumed: unsettled there",
    "settles in turn, later",
    "siblings folded",
    "stable number names one that lags",
    "stable number prunes a context",
    "stamp pruned",
    "unsure",
)
"""Figures of the faults and of the engine's rules: many seeds without one of them show nothing about it."""


class Figures:
    """Counts for one node; all nodes of a run, and all runs, share one tally."""

    def __init__(self, tally: Counter[str]) -> None:
        self._tally = tally
        self._asked_tellers: dict[NodeId, NodeId] = {}

    def sending(self, engine: Engine, context: CausalContext) -> None:
        """Before a send: what of the context has been settled meanwhile is pruned from the stamp."""
        settled = engine.settlement.is_settled
        if any(settled(d, o, s) for d, dots in context.pending.items() for o, s in each(dots)):
            self._tally["stamp pruned"] += 1

    def sent(self, to: list[str], name: str, stamp: Stamp) -> None:
        """After a send."""
        distinct = set(to)
        self._tally["sent"] += 1
        self._tally["sent to several"] += len(distinct) > 1
        self._tally["sent to itself"] += name in distinct
        self._tally["destination listed twice"] += len(distinct) < len(to)
        self._tally["clock left out"] += stamp.clock is None
        self._tally["folded"] += bool(stamp.horizon)
        self._tally["siblings folded"] += stamp.horizon == stamp.timestamp
        self._tally["closed dots kept"] += bool(stamp.closed and stamp.horizon)

    def received(self, engine: Engine, arrival: Arrival, *, sibling: bool) -> None:
        """A copy has come in and is held or not. `sibling`: it waits for another copy of what its sender got."""
        waits_for = arrival.waits_for
        if arrival.ordering is Ordering.NONE:
            self._tally["none out of turn" if waits_for else "none in turn"] += 1
        if arrival.waits_past is not None:
            self._tally["held until links are past its horizon"] += 1
        if waits_for is None:
            return
        self._tally["held"] += 1
        self._tally["held under its horizon"] += bool(arrival.horizon)
        self._tally["held: sibling of a multicast"] += sibling
        link = engine.settlement.inbound.get(waits_for.origin)
        awaited = link.unsettled.get(waits_for.seq) if link is not None else None
        self._tally["held: own dot of a running handler"] += awaited is not None and awaited.started

    def ready(self, output: Output) -> None:
        """These are let go; those that have not just come in were held."""
        fresh = set(map(id, output.received))
        for arrival in output.ready:
            if id(arrival) not in fresh and arrival.ordering is Ordering.CAUSAL:
                self._tally["released"] += 1

    def started(self, arrival: Arrival) -> None:
        """A handler starts for the first time."""
        self._tally["started"] += 1
        self._tally["released as a predecessor is lost"] += bool(arrival.lost)
        self._tally["released under a horizon"] += bool(arrival.horizon)
        self._tally["unsure"] += arrival.unsure and not arrival.lost

    def finished(self, arrival: Arrival) -> None:
        """A handler has returned, or a message was dropped."""
        self._tally["settled" if arrival.in_turn else "settles in turn, later"] += 1

    def arriving(self, engine: Engine, origin: NodeId, frame: SenderFrame) -> None:
        """Before a frame is taken in."""
        link = engine.settlement.inbound[origin]
        for copy in frame.copies:
            if copy.seq in link.received:
                self._tally["duplicate held" if copy.seq in link.unsettled else "duplicate settled"] += 1
        if frame.stable:
            self._tally["stable number"] += len(frame.stable)
            self._tally["stable number names one that lags"] += any(report.lagging for report in frame.stable)
        for report in frame.stable:
            teller = self._asked_tellers.get(report.origin)
            if teller == origin:
                by = "origin" if report.origin == origin else "teller"
                self._tally[f"question answered by {by}"] += 1
                del self._asked_tellers[report.origin]

    def arrived(self, engine: Engine, frame: SenderFrame) -> None:
        """After a frame was taken in."""
        if frame.stable and any(
            report.origin == origin and report.covers(d, seq)
            for report in frame.stable
            for context in engine.contexts
            for d, dots in context.pending.items()
            for origin, seq in each(dots)
        ):
            self._tally["stable number prunes a context"] += 1

    def frame_down(self, frame: SenderFrame) -> None:
        """A frame from a sender goes out."""
        self._tally["frames"] += 1
        if frame.base is not None:
            self._tally["base"] += 1
            self._tally["base with unsettled ones"] += bool(frame.base.unsettled)
        self._tally["question to a destination"] += len(frame.questions)
        self._tally["stamps of a sender that is exhaustive"] += frame.exhaustive
        self._tally["stamps of one that is not"] += bool(frame.copies) and not frame.exhaustive
        self._tally["count on a frame"] += len(frame.heard)

    def goodbye(self, engine: Engine, frame: SenderFrame) -> None:
        """The last frame from a sender that leaves."""
        final = any(report.origin == engine.me and report.upto == FINAL for report in frame.stable)
        self._tally["goodbye"] += 1
        self._tally["goodbye, and all is settled everywhere"] += final

    def frame_up(self, origin: NodeId, frame: ReceiverFrame) -> None:
        """A frame from a receiver goes out."""
        self._tally["frames"] += 1
        self._tally["gap"] += len(frame.resend)
        self._tally["question answered by destination"] += len(frame.answers)
        self._tally["lost dot told"] += len(frame.lost)
        self._tally["question about a horizon"] += bool(frame.ask_past)
        for asked in frame.watch:
            self._tally["question to the origin" if asked == origin else "question to a teller"] += 1
            self._asked_tellers[asked] = origin

    def heard_from_receiver(self, engine: Engine, peer: str, frame: ReceiverFrame | Welcome) -> None:
        """Before a receiver's frame is taken in."""
        link = engine.outbound[peer]
        if isinstance(frame, Welcome):
            received_to, beyond, unsettled = frame.received_to, set(frame.beyond), set(frame.unsettled)
            if frame.known:
                for seq in link.outbox:
                    got = (seq <= received_to and seq not in frame.missing) or seq in beyond
                    if got:
                        self._tally["resumed: unsettled there" if seq in unsettled else "resumed: settled"] += 1
                    else:
                        self._tally["resumed: sent again"] += 1
        else:
            for first, last in frame.resend:
                self._tally["resend of a gap"] += any(first <= seq <= last for seq in link.in_flight)

    def pumped(self, link: OutboundLink) -> None:
        """A stream has been given what there is room for."""
        if link.connected and any(seq in link.outbox for seq in link.queue):
            self._tally["credit exhausted"] += 1
