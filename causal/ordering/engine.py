"""The ordering engine of one node: every rule, in exact and in bounded mode, as a pure state machine.

`(state, input, now) → (state, outputs)`: the caller gives the time, moves the frames and runs the handlers.
No method blocks, and a method that raises has changed nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from causal.clock import HybridClock
from causal.errors import BackpressureError, OrderingError, ProtocolError, UnknownDestinationError
from causal.ordering.context import CausalContext
from causal.ordering.contexts import CONTEXT_ALONE, Contexts, Follows
from causal.ordering.counts import SendCounts
from causal.ordering.delivery import Delivery
from causal.ordering.departure import Departures
from causal.ordering.dot import Dot, NodeId
from causal.ordering.frames import Hello, ReceiverFrame, Refusal, SenderFrame, Welcome
from causal.ordering.greeting import refusal_of, validate_welcome
from causal.ordering.heard import Heard
from causal.ordering.holdback import Arrival
from causal.ordering.link import InboundLink, OutboundLink
from causal.ordering.output import EngineConfig, Output
from causal.ordering.settlement import LOST, MET, Settlement
from causal.ordering.stability import Stability
from causal.ordering.stamping import Stamping
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
        self.hlc = HybridClock(drift_max_ms=self.config.drift_max_ms)
        self.last_seq = 0
        self.outbound = {name: OutboundLink(name) for name in sorted({*peers, me.name})}
        self.settlement = Settlement(me, self.outbound, InboundLink.to_oneself(me, self.config.scope))
        self.heard = Heard(me, self.hlc)
        self.counts = SendCounts(me, self.config.clock_entries_max, self.config.scope)
        self.contexts = Contexts(self.settlement, self.config.scope, self.counts, self.heard)
        self.stamping = Stamping(self.settlement, self.config.dependencies_max)
        self.stability = Stability(self.settlement)
        self.delivery = Delivery(self.settlement, ordering_of)
        self.departures = Departures(self.settlement, self.delivery, self.stability)
        self._unsettled: dict[int, int] = {}
        """Own seq → how many of its destinations have not settled it."""

    # -- sending ---------------------------------------------------------------------------------------------

    def destinations(self, to: Sequence[str]) -> tuple[str, ...]:
        """The distinct names of a send; raises `UnknownDestinationError` naming all that are not known."""
        if len(to) == 1 and to[0] in self.outbound:
            return tuple(to)
        names = tuple(dict.fromkeys(to))
        if (unknown := [name for name in names if name not in self.outbound]) or not names:
            raise UnknownDestinationError(unknown, self.outbound)
        return names

    def obstacle(
        self, destinations: Sequence[str], size: int, follows: Follows = CONTEXT_ALONE, *, urgent: bool = False
    ) -> str | None:
        """Why a payload of `size` bytes cannot be sent now, in words; None if it can. Raises `UnknownDotError`.

        An `urgent` send (from a handler, which must not wait) may fill an outbox to twice its bound.
        """
        messages_max, bytes_max = self.config.outbox_messages, self.config.outbox_bytes
        if urgent:
            messages_max, bytes_max = 2 * messages_max, 2 * bytes_max
        for name in destinations:
            if (full := self.outbound[name].obstacle(size, messages_max, bytes_max)) is not None:
                return full
        contexts = self.contexts
        context = contexts.process if contexts.single and not follows.after else contexts.staged(follows)
        if context.size + len(destinations) > self.config.dots_max:
            contexts.prune(context)
            return self.stamping.obstacle(context, len(destinations), self.config.dots_max)
        return None

    def send(
        self,
        to: Sequence[str],
        subject: str,
        payload: bytes,
        now_ms: int,
        *,
        urgent: bool = False,
        follows: Follows = CONTEXT_ALONE,
    ) -> tuple[Dot, Output]:
        """Take a dot, stamp the message and give each copy its place on its link, in one step.

        Raises `UnknownDestinationError`, `UnknownDotError` and `BackpressureError` (see `obstacle`). O(pending)
        for each destination.
        """
        destinations = self.destinations(to)
        obstacle = self.obstacle(destinations, len(payload), follows, urgent=urgent)
        if obstacle is not None:
            raise BackpressureError(obstacle)
        output = Output()
        return self.commit(destinations, subject, payload, now_ms, follows, output), output

    def commit(
        self,
        destinations: tuple[str, ...],
        subject: str,
        payload: bytes,
        now_ms: int,
        follows: Follows,
        output: Output,
    ) -> Dot:
        """`send`, for a caller that has just asked for the `destinations` and about an `obstacle`; adds to `output`."""
        contexts, me = self.contexts, self.me
        alone = contexts.single and not follows.after
        context = contexts.process if alone else contexts.staged(follows)
        if context.pending and context.pruned_at != self.settlement.changes:
            contexts.prune(context)
        for counted, exhaustive in contexts.clocks(follows.after) if follows.after else ():
            self.counts.merge(counted, exhaustive=exhaustive)
        timestamp = self.hlc.tick_int(now_ms)
        self.last_seq = seq = self.last_seq + 1
        seqs, clock = contexts.seqs(seq), self.counts.sent(seq)
        copies = self.stamping.copies(context, destinations, seq, seqs, timestamp, clock, subject, payload)
        self._unsettled[seq] = len(destinations)
        context.follow(destinations, me, seqs, timestamp)
        for link, copy in copies:
            link.enqueue(copy)
            if link.connected:
                output.transmit.add(link.peer)
            elif link.peer == me.name:
                self.delivery.receive(self.settlement.own, copy, output)
        if not alone:
            contexts.sent(follows, context, seq, destinations)
        return _new(Dot, (me.name, me.incarnation, seq))

    # -- the sender's end of a link ----------------------------------------------------------------------------

    def hello(self, peer: str) -> Hello:
        """The first frame of a new stream to a receiver."""
        self.outbound[peer].reset()
        return Hello(sender=self.me, receiver=peer, process=self.process, scope=self.config.scope)

    def welcomed(self, peer: str, welcome: Welcome) -> Output:
        """The receiver has answered: what it settled meanwhile counts, and the rest is queued for the stream.

        Raises `ProtocolError` if another node or process answered, or one that claims what was never sent.
        """
        link = self.outbound[peer]
        validate_welcome(self.settlement, peer, welcome)
        self.settlement.accepted = True
        self.stamping.unopened.discard(peer)
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
        asked = link.asked_past and link.past(link.asked_past) >= link.asked_past
        if not (heartbeat or asked or link.needs_base or link.questions or link.has_credit()):
            return None
        link.frames_sent += 1
        base, link.needs_base = link.base() if link.needs_base else None, False
        copies = link.take(self.config.frame_messages, self.config.frame_bytes)
        given_up = tuple([copy.seq for copy in copies if copy.seq in link.given_up]) if link.given_up else ()
        self.stability.told(link, copies)
        questions = tuple(sorted(link.questions))
        link.questions.clear()
        past = link.past(self.hlc.tick_int(now_ms))
        if past >= link.asked_past:
            link.asked_past = 0
        return SenderFrame(
            number=link.frames_sent,
            base=base,
            copies=tuple(copies),
            stable=self.stability.due(link, link.frames_sent, self.last_seq, now_ms),
            questions=questions,
            past=past,
            given_up=given_up,
            exhaustive=bool(copies) and self.counts.exhaustive,
            heard=self.heard.fresh(peer, copies, self.config.heard_max),
        )

    def reported(self, peer: str, frame: ReceiverFrame, now_ms: int) -> Output:
        """A receiver's frame on the present stream. Raises, with nothing taken in, `ProtocolError` if it speaks of what
        was never sent, and `ClockDriftError` if it asks about a time too far ahead."""
        link = self.outbound[peer]
        output = Output()
        if not link.connected:
            return output
        if frame.received > link.frames_sent or max(frame.settled, default=0) > link.last_sent:
            raise ProtocolError(f"{peer} reports on something that was never sent to it")
        if frame.ask_past:
            self.hlc.merge_int(frame.ask_past, now_ms)  # whatever is sent from here on is past it
            link.asked_past = max(link.asked_past, frame.ask_past)
            output.transmit.add(peer)
        self._settled_at(link, frame.settled, output)
        if frame.resend:
            link.resend(frame.resend)
        for dots, lost in ((frame.answers, False), (frame.lost, True)):
            for dot in dots:
                chained = dot.origin in link.chains_asked
                self.settlement.conclude(peer, dot.origin, dot.seq, chained=chained, lost=lost)
                self.context.forget(peer, dot.origin, dot.seq, lost=lost)
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
        link = self.outbound[peer]
        link.reset()
        self.departures.hung_up(link)

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
            self.departures.superseded(sender, output)
        self.settlement.refused_since.pop(sender.name, None)
        link = self.settlement.inbound.get(sender)
        if link is None:
            link = self.settlement.inbound[sender] = InboundLink(sender, hello.process, hello.scope)
            self.delivery.advance(self.delivery.horizons.opened(sender), output)
        self._settle_own(output)
        link.reset()
        link.connected = True
        if link.question():
            output.report.add(sender)
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
        validate(link, frame, self.settlement.inbound, self.me, self.last_seq, self.config.dots_max)
        bytes_most = validate_credit(link, frame.copies, self.config.window_messages, self.config.window_bytes)
        if frame.copies or frame.past:
            latest = max(frame.past, max([copy.stamp.timestamp for copy in frame.copies], default=0))
            self.hlc.merge_int(latest, now_ms)  # no horizon is later than its copy
            link.skew_ms = (latest >> 16) - now_ms
        link.bytes_most = bytes_most
        self.settlement.accepted = True
        if frame.base is not None and not link.based:
            link.start_at(frame.base)
            self.settlement.changes += 1
            self.delivery.look_again(origin, output)
        link.claims.note(frame)
        for copy in frame.copies:
            self.delivery.receive(link, copy, output)
        if frame.given_up:
            self.delivery.take_out(frame.given_up, output)
            for arrival in reversed(output.given_up):  # or the first would make the next one ready
                self.finish(arrival, output)
        link.note_frame(frame.number, frame.past)  # not before its copies are in
        self.delivery.advance(self.delivery.horizons.heard(link), output)
        if frame.stable:
            self.departures.learn(frame.stable, output)
        for dot in frame.questions:
            missing = self.settlement.missing_here(dot.origin, dot.seq)
            if missing <= MET:
                (link.answers if missing == MET else link.lost).append(dot)
                output.report.add(origin)
            if missing == LOST:
                self.delivery.leave_untold(dot)
        if frame.farewell:
            self.departures.left(origin, output)
        self._settle_own(output)
        return output

    def report(self, origin: NodeId, *, heartbeat: bool = False) -> ReceiverFrame | None:
        """The next frame for the stream from a sender; None if there is nothing to say."""
        link = self.settlement.inbound.get(origin)
        return link.report(heartbeat=heartbeat) if link is not None and link.connected else None

    def hung_up(self, origin: NodeId) -> None:
        """The stream from a sender is gone."""
        link = self.settlement.inbound.get(origin)
        if link is not None:
            link.reset()

    def _settle_own(self, output: Output) -> None:
        """Messages to oneself are reported without a stream."""
        own = self.settlement.own
        if own.to_report:
            self._settled_at(self.outbound[self.me.name], own.to_report, output)
            own.to_report.clear()
            self.stability.moved(self.me)
        output.report.discard(self.me)

    # -- handlers ----------------------------------------------------------------------------------------------

    def start(self, arrival: Arrival, key: str | None = None) -> None:
        """The handler of a ready message starts: whatever is sent from its context (`Contexts.of`) follows the message.

        That goes for what comes back here too, while the handler still runs: so the message's own dot counts
        as pending here until it is settled. Raises `OrderingError` if a predecessor is not settled.
        """
        if arrival.ordering is Ordering.CAUSAL and not arrival.in_turn:
            raise OrderingError(f"{arrival.dot} would start before {arrival.waits_for or 'its horizon'}")
        arrival.started = True
        self.contexts.start(arrival, key)

    def finish(self, arrival: Arrival, output: Output | None = None) -> Output:
        """The handler has returned, or the message is dropped (dead-lettered, perhaps while it waits).

        With an `output` the effects are added to it: of several messages at once, to carry them out together.
        """
        output = output or Output()
        if not arrival.started:
            self.contexts.dropped(arrival)
            self.delivery.dropped(arrival)
        self.delivery.finish(arrival, output)
        self.contexts.finished(arrival)
        if self.settlement.own.to_report:  # an own message, or one that waited for this one to settle in turn
            self._settle_own(output)
        return output

    # -- time and views ----------------------------------------------------------------------------------------

    def tick(self, now_ms: int) -> Output:
        """To be called about once per heartbeat: what only the passing of time brings about."""
        output = Output()
        self.stability.own(self.last_seq, now_ms)
        contexts, after = self.contexts.tick(), self.config.garbage_after_ms
        output.transmit, output.report = self.stability.questions(contexts, now_ms, after)
        self.delivery.advance(self.delivery.horizons.tick(now_ms, self.config.links_known_after_ms), output)
        self.departures.tick(output)
        self._settle_own(output)
        return output

    @property
    def context(self) -> CausalContext:
        """The causal context of the process; in context scope it follows nothing."""
        return self.contexts.process

    @property
    def unsettled(self) -> list[Dot]:
        """Own messages that some destination has not settled, oldest first."""
        return [Dot(self.me.name, self.me.incarnation, seq) for seq in self._unsettled]

    @property
    def all_reported(self) -> bool:
        """Whether every settlement here has been put on its stream, where there is one."""
        return not any(link.connected and link.to_report for link in self.settlement.inbound.values())
