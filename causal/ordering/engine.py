"""The ordering engine of one node: every rule of exact mode, as a pure state machine.

`(state, input, now) → (state, outputs)`: the caller gives the time, moves the frames and runs the handlers.
No method blocks, and a method that raises has changed nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from causal.clock import HybridClock
from causal.errors import BackpressureError, OrderingError, ProtocolError, UnknownDestinationError
from causal.ordering.context import CausalContext
from causal.ordering.counts import SendCounts
from causal.ordering.delivery import Delivery
from causal.ordering.dot import Dot, NodeId
from causal.ordering.frames import Hello, ReceiverFrame, Refusal, SenderFrame, Welcome
from causal.ordering.greeting import refusal_of, validate_welcome
from causal.ordering.holdback import Arrival
from causal.ordering.link import InboundLink, OutboundLink
from causal.ordering.output import EngineConfig, Output
from causal.ordering.settlement import LOST, MET, Settlement
from causal.ordering.stability import REPORTS_MAX, Stability
from causal.ordering.stamp import NO_DOTS, NO_PENDING, Copy, Dots, Stamp, size_of
from causal.ordering.validation import validate, validate_credit
from causal.ordering.verdict import Ordering

_new = tuple.__new__


class Engine:
    """One node's ordering state. Not thread-safe; one owner calls it.

    `ordering_of` maps a subject to its ordering here and must always give the same answer.

    Invariant: a message's handler starts only when every dot of its `after` is settled here, or lost.
    Invariant: a settlement is reported only after the handler has finished, and in turn.
    """

    def __init__(
        self,
        me: NodeId,
        peers: Iterable[str],
        ordering_of: Callable[[str], Ordering],
        config: EngineConfig | None = None,
        *,
        process: int = 0,
    ) -> None:
        self.me = me
        self.process = process
        """Below 2^63, and random: tells this process from another one that has its name and incarnation."""
        self.config = config or EngineConfig()
        self.context = CausalContext()
        self.hlc = HybridClock(drift_max_ms=self.config.drift_max_ms)
        self.last_seq = 0
        self.accepted = False
        """Whether a peer has taken part in a link with this incarnation: then it cannot change any more."""
        self.outbound = {name: OutboundLink(name) for name in sorted({*peers, me.name})}
        self.settlement = Settlement(me, self.outbound)
        self.stability = Stability(self.settlement)
        self.delivery = Delivery(self.settlement, ordering_of)
        self.counts = SendCounts(me, self.config.clock_entries_max)
        self._unsettled: dict[int, int] = {}
        """Own seq → how many of its destinations have not settled it."""
        own = InboundLink(me)  # a link to oneself: always open and heard, without credit
        own.based = True
        self.settlement.inbound[me] = own

    # -- sending ---------------------------------------------------------------------------------------------

    def destinations(self, to: Sequence[str]) -> tuple[str, ...]:
        """The distinct names of a send; raises `UnknownDestinationError` naming all that are not known."""
        if len(to) == 1 and to[0] in self.outbound:
            return tuple(to)
        names = tuple(dict.fromkeys(to))
        unknown = [name for name in names if name not in self.outbound]
        if unknown or not names:
            raise UnknownDestinationError(unknown, self.outbound)
        return names

    def obstacle(self, destinations: Sequence[str], size: int, *, urgent: bool = False) -> str | None:
        """Why a payload of `size` bytes cannot be sent now, in words; None if it can.

        An `urgent` send (from a handler, which must not wait) may fill an outbox to twice its bound.
        """
        messages_max, bytes_max = self.config.outbox_messages, self.config.outbox_bytes
        if urgent:
            messages_max, bytes_max = 2 * messages_max, 2 * bytes_max
        for name in destinations:
            link = self.outbound[name]
            count = len(link.outbox)
            if count and (count >= messages_max or link.outbox_bytes + size > bytes_max):
                return f"outbox of {name} is full ({count} unsettled, {link.outbox_bytes} bytes)"
        pending = self.context.pending
        if pending and size_of(pending) + len(destinations) > self.config.dots_max:
            self.context.prune(self.settlement.is_settled)
            dots = size_of(self.context.pending) + len(destinations)
            if dots > self.config.dots_max:
                return f"stamp would list {dots} dots, more than {self.config.dots_max}: waiting for settlements"
        return None

    def send(
        self, to: Sequence[str], subject: str, payload: bytes, now_ms: int, *, urgent: bool = False
    ) -> tuple[Dot, Output]:
        """Take a dot, stamp the message and give each copy its place on its link, in one step.

        Raises `UnknownDestinationError` and `BackpressureError` (see `obstacle`). O(pending + entries of
        the clock) for each destination.
        """
        destinations = self.destinations(to)
        obstacle = self.obstacle(destinations, len(payload), urgent=urgent)
        if obstacle is not None:
            raise BackpressureError(obstacle)
        return self.commit(destinations, subject, payload, now_ms)

    def commit(self, destinations: tuple[str, ...], subject: str, payload: bytes, now_ms: int) -> tuple[Dot, Output]:
        """`send`, for a caller that has just asked for the `destinations` and about an `obstacle`."""
        context = self.context
        if context.pending and context.pruned_at != self.settlement.changes:
            self._prune()
        timestamp = self.hlc.tick_int(now_ms)
        self.last_seq = seq = self.last_seq + 1
        clock = self.counts.sent(seq)
        output = Output()
        copies = []
        pending = context.pending
        for name in destinations:
            link = self.outbound[name]
            after = pending.get(name, NO_DOTS)
            alone = len(destinations) == 1 and len(pending) == (after is not NO_DOTS)
            elsewhere = NO_PENDING if alone else self._elsewhere(name, destinations, seq)
            # As `Stamp(…)` and `Copy(…)`, in half the time: their own __new__ are Python functions.
            stamp = _new(Stamp, (link.last_sent, timestamp, after, elsewhere, clock, 0, NO_PENDING))
            copies.append((link, _new(Copy, (seq, stamp, subject, payload))))
        self._unsettled[seq] = len(destinations)
        context.follow(destinations, self.me, seq)
        for link, copy in copies:
            link.enqueue(copy)
            if link.connected:
                output.transmit.add(link.peer)
            elif link.peer == self.me.name:
                self.delivery.receive(self.settlement.inbound[self.me], copy, output)
        return Dot(self.me.name, self.me.incarnation, seq), output

    def _elsewhere(self, name: str, destinations: tuple[str, ...], seq: int) -> dict[str, Dots]:
        """What others must settle before whatever this copy causes: the siblings of a multicast included."""
        pending = self.context.pending
        elsewhere = {other: dots for other, dots in pending.items() if other != name} if pending else {}
        for sibling in destinations:
            if sibling != name:
                elsewhere[sibling] = {**pending.get(sibling, NO_DOTS), self.me: seq}
        return elsewhere

    def _prune(self) -> None:
        """Forget what is settled; what was kept last time stays pending until something more is known."""
        self.context.prune(self.settlement.is_settled)
        self.context.pruned_at = self.settlement.changes

    # -- the sender's end of a link ----------------------------------------------------------------------------

    def hello(self, peer: str) -> Hello:
        """The first frame of a new stream to a receiver."""
        self.outbound[peer].reset()
        return Hello(sender=self.me, receiver=peer, process=self.process)

    def welcomed(self, peer: str, welcome: Welcome) -> Output:
        """The receiver has answered: what it settled meanwhile counts, and the rest is queued for the stream.

        Raises `ProtocolError` if another node or process answered, or one that claims what was never sent.
        """
        link = self.outbound[peer]
        validate_welcome(self.settlement, peer, welcome)
        self.accepted = True
        output = Output()
        output.transmit.add(peer)
        self._settled_at(link, link.resume(welcome), output)
        self.stability.moved(self.me)
        return output

    def transmit(self, peer: str, now_ms: int, *, heartbeat: bool = False) -> SenderFrame | None:
        """The next frame for the stream to a receiver; None if there is nothing to say.

        With `heartbeat` there always is. Stable numbers ride on every frame, but cause none by themselves.
        """
        link = self.outbound[peer]
        if not link.connected:
            return None
        if not (heartbeat or link.needs_base or link.questions or link.has_credit()):
            return None
        link.frames_sent += 1
        base = link.base() if link.needs_base else None
        link.needs_base = False
        copies = link.take(self.config.frame_messages, self.config.frame_bytes)
        self.stability.told(link, copies)
        questions = tuple(sorted(link.questions))
        link.questions.clear()
        return SenderFrame(
            number=link.frames_sent,
            base=base,
            copies=tuple(copies),
            stable=self.stability.due(link, link.frames_sent, self.last_seq, now_ms),
            questions=questions,
        )

    def reported(self, peer: str, frame: ReceiverFrame) -> Output:
        """A receiver's frame on the present stream. Raises `ProtocolError` if it speaks of what was never sent."""
        link = self.outbound[peer]
        output = Output()
        if not link.connected:
            return output
        if frame.received > link.frames_sent or max(frame.settled, default=0) > link.last_sent:
            raise ProtocolError(f"{peer} reports on something that was never sent to it")
        self._settled_at(link, frame.settled, output)
        for first, last in frame.resend:
            link.resend(first, last)
        for dot in frame.answers:
            self.settlement.conclude(peer, dot.origin, dot.seq)
            self.context.forget(peer, dot.origin, dot.seq)
        for origin, seq in frame.watch.items():
            self.stability.asked(link, origin, seq)
        self.stability.acknowledged(link, frame.received)
        if frame.settled:
            self.stability.moved(self.me)
        if link.has_credit():
            output.transmit.add(peer)
        return output

    def disconnected(self, peer: str) -> None:
        """The stream to a receiver is gone."""
        self.outbound[peer].reset()

    def _settled_at(self, link: OutboundLink, seqs: Sequence[int], output: Output) -> None:
        unsettled, (name, incarnation) = self._unsettled, self.me
        for seq in link.settle(seqs):
            self.settlement.changes += 1
            left = unsettled[seq] - 1
            if left:
                unsettled[seq] = left
            else:
                del unsettled[seq]
                output.settled.append(_new(Dot, (name, incarnation, seq)))

    # -- the receiver's end of a link --------------------------------------------------------------------------

    def greeted(self, hello: Hello, now_ms: int) -> tuple[Welcome | Refusal, Output]:
        """Somebody dials. A later incarnation than the known one makes lost what the earlier never got across."""
        sender, output = hello.sender, Output()
        refusal = refusal_of(self.settlement, hello, now_ms, self.config.silence_max_ms)
        if refusal is not None:
            return refusal, output
        if sender.incarnation > self.settlement.latest.get(sender.name, 0):
            self._supersede(sender, output)
        self.settlement.refused_since.pop(sender.name, None)
        link = self.settlement.inbound.setdefault(sender, InboundLink(sender, hello.process))
        link.reset()
        link.connected = True
        welcome = link.welcome(self.me, self.process, self.config.window_messages, self.config.window_bytes)
        return welcome, output

    def arrived(self, origin: NodeId, frame: SenderFrame, now_ms: int) -> Output:
        """A sender's frame. One of an incarnation that is gone is ignored.

        Raises `ProtocolError` for a malformed, inconsistent or hostile frame and `ClockDriftError` for one
        from a clock too far ahead; then nothing of the frame was merged or stored.
        """
        output = Output()
        link = self.settlement.inbound.get(origin)
        if link is None or not link.connected:
            return output
        validate(link, frame, self.me, self.last_seq, self.config.dots_max)
        if frame.copies:
            bytes_most = validate_credit(link, frame.copies, self.config.window_messages, self.config.window_bytes)
            latest = max(copy.stamp.timestamp for copy in frame.copies)
            self.hlc.merge_int(latest, now_ms)
            link.bytes_most = bytes_most
        self.accepted = True
        link.frames_received = max(link.frames_received, frame.number)
        if frame.base is not None and not link.based:
            link.start_at(frame.base)
            self.settlement.changes += 1
            self.delivery.look_again(origin, output)
        for copy in frame.copies:
            self.delivery.receive(link, copy, output)
        for report in frame.stable:
            covered = self.settlement.covered_here(report.origin)
            if self.settlement.learn(report):
                self.stability.moved(report.origin)
                if self.settlement.covered_here(report.origin) > covered:
                    self.delivery.look_again(report.origin, output)
        for dot in frame.questions:
            missing = self.settlement.missing_here(dot.origin, dot.seq)
            if missing <= MET:
                link.answers.append(dot)
                output.report.add(origin)
            if missing == LOST:
                self.delivery.leave_untold(dot)
        self._settle_own(output)
        return output

    def report(self, origin: NodeId, *, heartbeat: bool = False) -> ReceiverFrame | None:
        """The next frame for the stream from a sender; None if there is nothing to say."""
        link = self.settlement.inbound.get(origin)
        if link is None or not link.connected:
            return None
        if not (heartbeat or link.to_report or link.gaps or link.answers or link.watch):
            return None
        frame = ReceiverFrame(
            received=link.frames_received,
            settled=tuple(link.to_report),
            resend=tuple(link.gaps),
            answers=tuple(dict.fromkeys(link.answers))[:REPORTS_MAX],
            watch=dict(link.watch),
        )
        for said in (link.to_report, link.gaps, link.answers, link.watch):
            said.clear()
        return frame

    def hung_up(self, origin: NodeId) -> None:
        """The stream from a sender is gone."""
        link = self.settlement.inbound.get(origin)
        if link is not None:
            link.reset()

    def _supersede(self, sender: NodeId, output: Output) -> None:
        """A later incarnation is here: the earlier ones are gone, and with them what they never got across."""
        self.settlement.latest[sender.name] = sender.incarnation
        self.settlement.changes += 1
        for origin, link in self.settlement.inbound.items():
            if origin.name == sender.name:
                link.reset()
                link.forget_digests()
        for origin in self.delivery.holdback.gone(sender.name, sender.incarnation):
            self.delivery.look_again(origin, output)
        self._settle_own(output)

    def _settle_own(self, output: Output) -> None:
        """Messages to oneself are reported without a stream."""
        own = self.settlement.inbound[self.me]
        if own.to_report:
            self._settled_at(self.outbound[self.me.name], own.to_report, output)
            own.to_report.clear()
            self.stability.moved(self.me)
        output.report.discard(self.me)

    # -- handlers ----------------------------------------------------------------------------------------------

    def start(self, arrival: Arrival) -> None:
        """The handler of a ready message starts: from now on, whatever this node sends follows the message.

        That goes for what comes back here too, while the handler still runs: so the message's own dot counts
        as pending here until it is settled. Raises `OrderingError` if a predecessor is not settled.
        """
        if arrival.ordering is Ordering.CAUSAL and not arrival.in_turn:
            raise OrderingError(f"{arrival.dot} would start before {arrival.waits_for}")
        arrival.started = True
        stamp = arrival.copy.stamp
        if stamp.elsewhere:
            self.context.merge(stamp.elsewhere, self.settlement.is_settled)
        if not arrival.passed:
            self.context.add(self.me.name, arrival.origin, arrival.copy.seq)
        self.counts.merge(stamp.clock)

    def finish(self, arrival: Arrival, output: Output | None = None) -> Output:
        """The handler has returned, or the message is dropped (dead-lettered, perhaps while it waits).

        With an `output` the effects are added to it: of several messages at once, to carry them out together.
        """
        output = output or Output()
        self.delivery.finish(arrival, output)
        if arrival.passed and self.context.pending:
            self.context.forget(self.me.name, arrival.origin, arrival.copy.seq)
        if arrival.origin is self.me:
            self._settle_own(output)
        return output

    # -- time and views ----------------------------------------------------------------------------------------

    def tick(self, now_ms: int) -> Output:
        """To be called about once per heartbeat: what only the passing of time brings about."""
        output = Output()
        self.stability.own(self.last_seq, now_ms)
        self.context.prune(self.settlement.is_settled)
        after = self.config.garbage_after_ms
        output.transmit, output.report = self.stability.questions(self.context, now_ms, after)
        return output

    @property
    def unsettled(self) -> list[Dot]:
        """Own messages that some destination has not settled, oldest first."""
        return [Dot(self.me.name, self.me.incarnation, seq) for seq in self._unsettled]

    @property
    def all_reported(self) -> bool:
        """Whether every settlement here has been put on its stream, where there is one."""
        return not any(link.connected and link.to_report for link in self.settlement.inbound.values())
