"""From the link to the handler and to settlement: the receiver's rule, at one node."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from causal.errors import OrderingError
from causal.ordering.counts import may_count
from causal.ordering.dot import Dot, NodeId
from causal.ordering.holdback import Arrival, HoldBackQueue
from causal.ordering.link import InboundLink
from causal.ordering.output import Output
from causal.ordering.settlement import LOST, MET, Settlement
from causal.ordering.stamp import Copy, listed
from causal.ordering.verdict import Ordering

REPORTED_AGAIN_MAX = 8192
"""Reports that may wait for the stream before duplicates are not reported again: a sender that repeats itself and
does not read gets no more memory for it. The next Welcome says all that is settled."""
UNTOLD_MAX = 4096
"""Lost messages remembered until a verdict names them; the oldest go first."""


class Delivery:
    """Receives copies, holds them until their turn, and settles what has finished *in turn*.

    Each step takes an `Output` and adds to it. A release is iterative and costs O(`after` of what is released).
    """

    def __init__(self, settlement: Settlement, ordering_of: Callable[[str], Ordering]) -> None:
        self.settlement = settlement
        self.holdback = HoldBackQueue()
        self._untold: dict[Dot, None] = {}
        """Lost messages that no verdict has named yet, oldest first."""
        self._ordering_of = ordering_of
        self._subject: str | None = None
        self._ordering = Ordering.CAUSAL
        """Of `_subject`, the last one asked for: most messages have the subject of the one before."""

    def receive(self, link: InboundLink, copy: Copy, output: Output) -> None:
        """Take in one copy: a duplicate is dropped (and reported again if it is settled, never if it is held)."""
        seq, received = copy.seq, link.received
        if copy.stamp.previous == received.to and not received.beyond:
            received.to = seq  # the usual case: what follows the last one
        elif seq in received:
            self._receive_again(link, copy, output)
            return
        elif (gap := received.add(seq, copy.stamp.previous)) is not None:
            link.gaps.append(gap)
            output.report.add(link.origin)
        if copy.subject is not self._subject:
            self._subject, self._ordering = copy.subject, self._ordering_of(copy.subject)
        arrival = Arrival(link.origin, copy, self._ordering, listed(copy.stamp.after))
        link.unsettled[seq] = arrival
        output.received.append(arrival)
        if arrival.ordering is Ordering.NONE:
            output.ready.append(arrival)
        if self._take_turn(arrival, output):
            self._release_after(arrival, output)

    def _receive_again(self, link: InboundLink, copy: Copy, output: Output) -> None:
        dot = Dot(link.origin.name, link.origin.incarnation, copy.seq)
        if link.contradicts(copy):
            output.conflicts.append(dot)
            return
        output.duplicates.append(dot)
        if copy.seq not in link.unsettled and len(link.to_report) < REPORTED_AGAIN_MAX:
            link.to_report.append(copy.seq)
            output.report.add(link.origin)

    def finish(self, arrival: Arrival, output: Output) -> None:
        """The handler has returned, or the message was dropped, perhaps while it waited."""
        if arrival.finished:
            raise OrderingError(f"{arrival.dot} has been finished already")
        arrival.finished = True
        if not arrival.in_turn:
            return  # it settles in turn, or whoever follows it would lose what it carried
        self._settle(arrival, output)
        arrival.passed = True
        self._release_after(arrival, output)

    def look_again(self, origin: NodeId, output: Output) -> None:
        """Something new is known of this origin: look again at what waits for a dot of it that never came here.

        O(absent dots that something waits for) and what is released by it.
        """
        for seq in self.holdback.take_absent(origin):
            if self.settlement.missing_here(origin, seq) != seq:
                for arrival in self.holdback.release(origin, seq):
                    self._advance(arrival, output)
            elif not self.settlement.is_here(origin, seq):
                self.holdback.note_absent(origin, seq)

    def _advance(self, arrival: Arrival, output: Output) -> None:
        if self._take_turn(arrival, output):
            self._release_after(arrival, output)

    def _release_after(self, arrival: Arrival, output: Output) -> None:
        """This message need not be waited for any more: those registered under it look for their next dot."""
        passed: deque[Arrival] | None = None
        while True:
            seq = arrival.copy.seq
            for waiting in self.holdback.release(arrival.origin, seq):
                if waiting.after[waiting.looked_at][1] == seq:  # the very dot, and not one that stands for a lost one
                    waiting.looked_at += 1
                if self._take_turn(waiting, output):
                    passed = passed or deque()
                    passed.append(waiting)
            if not passed:
                return
            arrival = passed.popleft()

    def _take_turn(self, arrival: Arrival, output: Output) -> bool:
        """Look for a dot to wait for; without one it is the arrival's turn. Returns whether it has passed by it."""
        after = arrival.after
        while arrival.looked_at < len(after):
            origin, seq = after[arrival.looked_at]
            missing = self.settlement.missing_here(origin, seq)
            if missing > MET:
                self.holdback.hold(arrival, origin, missing, absent=not self.settlement.is_here(origin, missing))
                return False
            if missing == LOST:
                self._note_lost(arrival, Dot(origin.name, origin.incarnation, seq), output)
            arrival.looked_at += 1
        if self._untold or arrival.lost:
            self._tell_losses(arrival)
        arrival.in_turn = True
        arrival.held_under = None
        if arrival.finished:
            self._settle(arrival, output)
        elif arrival.ordering is Ordering.CAUSAL:
            output.ready.append(arrival)
            return False
        arrival.passed = True
        return True

    def _note_lost(self, arrival: Arrival, dot: Dot, output: Output) -> None:
        """A predecessor can never come. Its teller hears so at once: else it would name it in every message,
        each of them released outside the guarantee, until it asks."""
        arrival.add_lost(dot)
        link = self.settlement.inbound[arrival.origin]
        if link.connected:
            link.answers.append(dot)
            output.report.add(arrival.origin)

    def _tell_losses(self, arrival: Arrival) -> None:
        """A loss must reach a handler: one that no verdict has named is in that of the next message here whose
        clock counts it. (The verdict of a `none` message, or of one that is dropped, comes too late for that.)"""
        if arrival.finished or arrival.ordering is Ordering.NONE:
            for dot in arrival.lost:
                self.leave_untold(dot)
            return
        arrival.add_lost(*[dot for dot in self._untold if may_count(arrival.copy.stamp.clock, dot.origin, dot.seq)])
        for dot in arrival.lost:
            self._untold.pop(dot, None)

    def leave_untold(self, dot: Dot) -> None:
        """This node knows that a predecessor is lost, or has said so, and no handler has been told."""
        self._untold[dot] = None
        if len(self._untold) > UNTOLD_MAX:
            del self._untold[next(iter(self._untold))]

    def _settle(self, arrival: Arrival, output: Output) -> None:
        origin, copy = arrival.origin, arrival.copy
        link = self.settlement.inbound[origin]
        del link.unsettled[copy.seq]
        link.remember(copy)
        if not link.to_report:
            output.report.add(origin)  # what is to be reported already has been announced
        link.to_report.append(copy.seq)
        self.settlement.changes += 1
