"""From the link to the handler and to settlement: the receiver's rule, at one node."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from causal.errors import OrderingError
from causal.ordering.counts import may_follow
from causal.ordering.dot import Dot, NodeId
from causal.ordering.holdback import Arrival, HoldBackQueue
from causal.ordering.horizon import Horizons
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
        self.horizons = Horizons(settlement)
        self._untold: dict[Dot, None] = {}
        """Lost messages that no verdict has named yet, oldest first."""
        self._doubts: dict[Dot, None] = {}
        """Of a sender that is gone, the last message that something counted which says `unsure` to no handler."""
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
        stamp, unsettled = copy.stamp, link.unsettled
        horizon = min(stamp.horizon, stamp.timestamp - 1) if stamp.horizon else 0
        after = listed(stamp.after)
        arrival = Arrival(link.origin, copy, self._ordering, after, horizon)
        unsettled[seq] = arrival
        if self.horizons.in_use:
            self.horizons.note(arrival)
        output.received.append(arrival)
        if self._ordering is Ordering.NONE:
            output.ready.append(arrival)
        if len(after) == 1 and after[0][0] == link.origin:
            before = unsettled.get(after[0][1])
            if before is not None and not before.passed:  # the usual case: the one before it in a chain
                self.holdback.hold(arrival, link.origin, before.copy.seq, absent=False)
                return
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

    def take_out(self, seqs: Iterable[int], output: Output) -> None:
        """Of what has just been received, these messages have been given up by their sender: no handler is to run."""
        dropped = set(seqs)
        output.given_up = [arrival for arrival in output.received if arrival.copy.seq in dropped]
        output.received = [arrival for arrival in output.received if arrival.copy.seq not in dropped]
        output.ready = [arrival for arrival in output.ready if arrival not in output.given_up]

    def finish(self, arrival: Arrival, output: Output) -> None:
        """The handler has returned, or the message was dropped, perhaps while it waited."""
        if arrival.finished:
            raise OrderingError(f"{arrival.dot} has been finished already")
        arrival.finished = True
        if arrival.in_turn:  # else it settles in turn, or whoever follows it would lose what it carried
            self._settle(arrival, output)
            arrival.passed = True
            if self.horizons.in_use:
                self.horizons.passed(arrival)
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
        self.advance(self.horizons.released(origin), output)

    def advance(self, arrivals: Iterable[Arrival], output: Output) -> None:
        """Look again at copies that waited under their horizons."""
        for arrival in arrivals:
            self._advance(arrival, output)

    def gone(self, name: str, incarnation: int, output: Output) -> None:
        """The incarnations of this name before that one are gone, and what they never got across is lost."""
        for origin in self.holdback.gone(name, incarnation):
            self.look_again(origin, output)
        self.advance(self.horizons.gone(name, incarnation), output)

    def awaited(self, name: str) -> list[int]:
        """The incarnations of this name that something waits for. O(origins that something waits for)."""
        return [
            origin.incarnation for origin in (*self.holdback.origins(), *self.horizons.origins()) if origin.name == name
        ]

    @property
    def held(self) -> list[Arrival]:
        """Whatever waits, for a dot or under its horizon. O(held)."""
        return [*self.holdback, *self.horizons]

    def _advance(self, arrival: Arrival, output: Output) -> None:
        if self._take_turn(arrival, output):
            self._release_after(arrival, output)

    def _release_after(self, arrival: Arrival, output: Output) -> None:
        """This message need not be waited for any more: those registered under it look for their next dot."""
        passed: deque[Arrival] | None = None
        while True:
            seq = arrival.copy.seq
            for waiting in self.holdback.release(arrival.origin, seq):
                left = len(waiting.after) - waiting.looked_at
                if left:  # else it waited under its horizon, not for a dot of its own
                    waiting.looked_at += 1
                if (
                    left == 1
                    and not (waiting.horizon or self._untold or waiting.lost or waiting.finished)
                    and waiting.ordering is Ordering.CAUSAL
                ):  # the usual case: as `_take_turn`
                    waiting.in_turn = True
                    waiting.held_under = None
                    output.ready.append(waiting)
                elif self._take_turn(waiting, output):
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
        if arrival.horizon and self._waits_under_horizon(arrival, output):
            return False
        if self._untold or arrival.lost or self._doubts:
            self._tell_losses(arrival)
        arrival.in_turn = True
        arrival.held_under = None
        if arrival.finished:
            self._settle(arrival, output)
        elif arrival.ordering is Ordering.CAUSAL:
            output.ready.append(arrival)
            return False
        self._pass(arrival)
        return True

    def _pass(self, arrival: Arrival) -> None:
        arrival.passed = True
        if self.horizons.in_use:
            self.horizons.passed(arrival)

    def _waits_under_horizon(self, arrival: Arrival, output: Output) -> bool:
        """Whether something up to the copy's horizon is still to come, or to settle: then it is registered there."""
        arrival.held_under = None
        if self.horizons.must_hear(arrival, output):
            return True
        last = self.horizons.last_before(arrival)
        if last is None:
            for dot in self.horizons.doubt(arrival):
                self._keep(self._doubts, dot)
            return False
        self.holdback.hold(arrival, last.origin, last.copy.seq, absent=False)
        return True

    def _note_lost(self, arrival: Arrival, dot: Dot, output: Output) -> None:
        """A predecessor can never come, and what it had followed is not known: so the copy waits for all that is
        earlier than itself. Its teller hears of the loss at once: else it would name the dot in every message, each of
        them released outside the guarantee, until it asks."""
        arrival.lost += (dot,)  # once for each of `after`: no two are the same
        arrival.horizon = arrival.copy.stamp.timestamp - 1
        link = self.settlement.inbound[arrival.origin]
        if link.connected:
            link.lost.append(dot)
            output.report.add(arrival.origin)

    def _tell_losses(self, arrival: Arrival) -> None:
        """A loss must reach a handler: one that no verdict has named is in that of the next message here whose
        clock counts it. (The verdict of a `none` message, or of one that is dropped, comes too late for that.)"""
        if arrival.finished or arrival.ordering is Ordering.NONE:
            for dot in arrival.lost:
                self.leave_untold(dot)
            return
        clock = arrival.copy.stamp.clock
        if self._untold:
            arrival.add_lost(*may_follow(clock, self._untold))
        for dot in arrival.lost:
            self._untold.pop(dot, None)
        for dot in may_follow(clock, self._doubts) if self._doubts else ():
            arrival.unsure = True
            del self._doubts[dot]

    def leave_untold(self, dot: Dot) -> None:
        """This node knows that a predecessor is lost, or has said so, and no handler has been told."""
        self._keep(self._untold, dot)

    def _keep(self, dots: dict[Dot, None], dot: Dot) -> None:
        dots[dot] = None
        if len(dots) > UNTOLD_MAX:
            del dots[next(iter(dots))]

    def dropped(self, arrival: Arrival) -> None:
        """No handler will read the verdict of this message: the next one is told what it says."""
        for dot in arrival.lost:
            self.leave_untold(dot)
        if arrival.unsure:
            self._keep(self._doubts, arrival.dot)
            for dot in self.horizons.doubtful_of(arrival.copy.stamp.clock):
                self._keep(self._doubts, dot)

    def _settle(self, arrival: Arrival, output: Output) -> None:
        origin, copy = arrival.origin, arrival.copy
        link = self.settlement.inbound[origin]
        del link.unsettled[copy.seq]
        link.remember(copy)
        if not link.to_report:
            output.report.add(origin)  # what is to be reported already has been announced
        link.to_report.append(copy.seq)
        self.settlement.changes += 1
