"""The heart of a running node: gives the engine its inputs and carries out what it asks for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence

from causal.errors import BackpressureError, ProtocolError
from causal.node.arguments import check_dot, dots_after
from causal.node.config import NodeConfig
from causal.node.counters import Counters
from causal.node.handlers import Handlers
from causal.node.letters import DeadLetter, DeadLetters
from causal.node.message import Message
from causal.node.payload import Payload, decode_payload
from causal.node.record import Record
from causal.node.runner import HandlerRunner
from causal.node.settling import OwnMessages
from causal.node.strands import Handling, context_at, current_strand, join_strand
from causal.node.threads import LoopThread
from causal.node.tokens import token_from, token_within
from causal.node.waiting import Room
from causal.observe.trace import Trace
from causal.ordering import Arrival, Dot, Engine, NodeId, Output, VerdictKind
from causal.ordering.contexts import CONTEXT_ALONE, Follows
from causal.ordering.reincarnation import can_reincarnate, reincarnate
from causal.ordering.scope import Scope
from causal.ordering.stamp import Copy, dots_of
from causal.ordering.tokens import observe

log = logging.getLogger("causal")


def now_ms() -> int:
    """Physical time for the hybrid clock, in ms since 1970."""
    return time.time_ns() // 1_000_000


class Core:
    """Engine, trace, handlers and waiters of one node in its event loop.

    Everything here is synchronous between reading and writing the engine's state; `apply` is the only place
    where an engine's output is acted on. A trace line is written before what it names can be seen by others.
    """

    def __init__(
        self,
        me: NodeId,
        config: NodeConfig,
        handlers: Handlers,
        dead_letters: DeadLetters,
        trace: Trace | None,
        spawn: Callable[..., asyncio.Task[None]],
        process: int,
    ) -> None:
        self.config = config
        self.engine = Engine(me, config.peers, handlers.ordering_of, config.engine(), process=process)
        self.scoped = self.engine.config.scope is Scope.CONTEXT
        self.handlers = handlers
        self.dead_letters = dead_letters
        self.record = None if trace is None else Record(trace, self.engine)
        self.runner = HandlerRunner(handlers, self, config.concurrency, spawn)
        self.loop = LoopThread()
        self.former: set[int] = set()
        """Incarnations that this run had before its peers accepted the present one."""
        self.restarted: Callable[[], None] = lambda: None
        """Called when the incarnation has changed: accepted streams must begin anew."""
        self.counters = Counters()
        self.transmit_wakes: dict[str, asyncio.Event] = {name: asyncio.Event() for name in config.peers}
        self.report_wakes: dict[str, asyncio.Event] = {}
        """Sender's name → what wakes the writer of its live stream."""
        self.progress = asyncio.Event()
        """Set whenever something settles or a report is written: for those who wait for the node to drain."""
        self._sending = Output()
        """Empty but while something is sent."""
        self._owed = Output()
        """What finished handlers have brought about and `flush` will carry out."""
        self._has_finished = False
        """Whether a message was finished since the last `flush`."""
        self.broken_off: Callable[[NodeId], None] = lambda gone: None
        """Called when a node has been evicted: its streams must end."""
        self.room = Room(self.engine.obstacle)
        self.own = OwnMessages(self.engine, dead_letters)

    @property
    def me(self) -> NodeId:
        """This run's identity; it can change only before a peer has accepted it."""
        return self.engine.me

    def overtake(self, incarnation: int) -> None:
        """A peer knows this later incarnation of this name, so the clock has gone back over a restart; or the same
        one, of a process that started in the same millisecond and has left.

        As long as nobody has accepted this one, take the next higher: what was stamped is renamed (and traced
        again under its new dots), `former` leads from the old ones to it. Else only a restart can help.
        """
        if incarnation < self.me.incarnation or not can_reincarnate(self.engine):
            return
        former = self.me
        reincarnate(self.engine, incarnation + 1)
        known = "a later incarnation (clock gone back?)" if incarnation > former.incarnation else "another process"
        log.warning("%s is known with %s: now %s", former, known, self.me)
        self.former.add(former.incarnation)
        self.restarted()
        if self.record is not None:
            self.record.renamed(former)

    # -- sending -----------------------------------------------------------------------------------------------

    def follows(self, key: str | None, after: Iterable[Dot]) -> Follows:
        """What a send of the strand that runs now follows, with this key and `after` these messages."""
        if after == ():
            return Follows(context_at(self), key) if self.scoped else CONTEXT_ALONE
        dots, me = dots_after(after), self.me
        if not self.scoped and not dots:
            return CONTEXT_ALONE
        renamed = [dot._replace(incarnation=me.incarnation) if self._was_mine(dot) else dot for dot in dots]
        return Follows(context_at(self), key, renamed)

    def _was_mine(self, dot: Dot) -> bool:
        return dot.name == self.me.name and dot.incarnation in self.former

    def send_nowait(self, to: Sequence[str], subject: str, payload: bytes, follows: Follows) -> Dot | None:
        """Stamp and queue a message in one step; None if it has to wait for room (`send_when_room`).

        A send from a handler never waits: raises `BackpressureError` if the outbox is at twice its bound.
        """
        engine = self.engine
        handling = self._handling()
        inside = handling is not None and handling.active
        destinations = engine.destinations(to)
        obstacle = engine.obstacle(destinations, len(payload), urgent=inside, follows=follows)
        if inside and obstacle is not None:
            raise BackpressureError(f"{obstacle}; nothing was sent, the handler will be run again")
        if obstacle is not None or (not inside and self.room.is_contended(destinations)):
            return None
        return self._commit(destinations, subject, payload, follows, handling)

    async def send_when_room(
        self, to: Sequence[str], subject: str, payload: bytes, timeout: float | None, follows: Follows
    ) -> Dot:
        """`send_nowait`, after waiting for room. Raises `BackpressureError` after `timeout` seconds."""
        destinations = self.engine.destinations(to)
        waiting, clocks = follows, list(self.engine.contexts.clocks(follows.after))
        if follows.after:  # what they are is looked up now: later they may be forgotten, with all that they follow
            waiting = Follows(self.engine.contexts.staged(follows))
        await self.room.wait(destinations, len(payload), timeout, waiting)
        if follows.after:
            assert follows.context is not None
            assert waiting.context is not None
            settlement = self.engine.settlement
            self.engine.contexts.keep(follows.context)
            follows.context.absorb(waiting.context, settlement.is_settled, settlement.is_lost)
            for clock, exhaustive in clocks:
                self.engine.counts.merge(clock, exhaustive=exhaustive)
            if self.record is not None:
                self.record.observed(follows.context, follows.after)
            follows = follows._replace(after=())
        return self._commit(destinations, subject, payload, follows, self._handling())

    def _handling(self) -> Handling | None:
        """What the handler of this node handles in which this runs, or by which it was started."""
        strand = current_strand.get()
        handling = None if strand is None else strand.handling
        return handling if handling is not None and handling.owner is self else None

    def _commit(
        self,
        destinations: tuple[str, ...],
        subject: str,
        payload: bytes,
        follows: Follows,
        handling: Handling | None,
    ) -> Dot:
        if self.record is not None:
            dot = Dot(self.me.name, self.me.incarnation, self.engine.last_seq + 1)
            cause = None if handling is None else handling.arrival.dot
            self.record.send(dot, subject, destinations, cause, follows)
        output = self._sending
        dot = self.engine.commit(destinations, subject, payload, now_ms(), follows, output)
        for peer in output.transmit:
            self.transmit_wakes[peer].set()
        output.transmit.clear()
        if output.received:  # one to itself
            self._sending = Output()
            self.apply(output)
        return dot

    # -- tokens ------------------------------------------------------------------------------------------------

    def token(self, max_bytes: int) -> bytes:
        """What the strand that runs now follows at this node. Any thread may ask."""
        join_strand(self)
        return self.loop.call(lambda: token_within(self.engine, context_at(self), max_bytes))

    def observe(self, data: bytes) -> None:
        """From now on what this strand sends at this node follows what the token was made of. Any thread may say so."""
        join_strand(self)
        self.loop.call(lambda: self._observe(data))

    def _observe(self, data: bytes) -> None:
        token, context = token_from(data, self.former, self.me), context_at(self)
        observe(self.engine, context, token, now_ms())
        if self.record is not None:
            self.record.observed(context, [dot for dots in token.pending.values() for dot in dots_of(dots)])

    def own_seqs(self, dots: Sequence[Dot]) -> list[int]:
        """The numbers of own messages. Raises `ValueError` for what this run has not sent, `TypeError` for no dot."""
        for dot in dots:
            check_dot(dot)
            own = dot.name == self.me.name and dot.incarnation in {self.me.incarnation, *self.former}
            if not own or not 0 < dot.seq <= self.engine.last_seq:
                raise ValueError(f"{dot} was not sent by this run of {self.me}")
        return [dot.seq for dot in dots]

    def name_what_is_left(self) -> None:
        """Warn of what is not settled as the node leaves."""
        if unsettled := self.own.unsettled:
            what = self.own.describe(unsettled)
            log.warning("%s leaves with %d messages unsettled: %s", self.me.name, len(unsettled), what)
        waiting = [*(handling.arrival for handling in self.runner.unfinished), *self.engine.delivery.held]
        if waiting:
            dots = ", ".join(str(arrival.dot) for arrival in waiting[:10])
            log.warning("%s leaves with %d messages not handled: %s", self.me.name, len(waiting), dots)

    # -- doing without others ----------------------------------------------------------------------------------

    def evict(self, name: str, incarnation: int) -> int | None:
        """Take the present incarnation of a node for gone; which that is, None if there is none that is not gone."""
        output = Output()
        gone = self.engine.departures.evicted(name, output, incarnation)
        if gone is None:
            return None
        log.warning("%s: %s has been evicted, what it never got across is lost", self.me.name, gone)
        self.broken_off(gone)
        self.apply(output)
        return gone.incarnation

    def give_up(self, peer: str) -> list[Dot]:
        """Give up what is unsettled for a peer, which makes room for other messages. `UnknownDestinationError`."""
        self.engine.destinations((peer,))
        dots = self.own.give_up(peer)
        self.room.offer()
        self.progress.set()
        return dots

    # -- the engine's output -----------------------------------------------------------------------------------

    def apply(self, output: Output, copies: Sequence[Copy] = ()) -> None:
        """Carry out what an input to the engine has brought about, in the order that `Output` demands.

        `copies` are those of the frame that was the input, if one was.
        """
        now = time.monotonic_ns()
        if output.received or output.duplicates or output.conflicts:
            self._note_arrivals(output, copies, now)
        if output.given_up:
            self._note_given_up(output.given_up)
        if output.ready:
            self._make_ready(output.ready, now)
        for peer in output.transmit:
            self.transmit_wakes[peer].set()
        for origin in output.report:
            if (wake := self.report_wakes.get(origin.name)) is not None:
                wake.set()
        if output.settled:
            for dot in output.settled:
                self.own.settlements.note(dot.seq)
            self.progress.set()
        self.own.look_again()
        self.room.offer()

    def _make_ready(self, arrivals: Iterable[Arrival], now_ns: int) -> None:
        for arrival in arrivals:
            held_ns = now_ns - arrival.received_ns
            if held_ns:
                self.counters.held += 1
            self.runner.ready.append(Handling(None, self, arrival, held_ns / 1e9))
        self.runner.sort_out()
        self.runner.pump()

    def _note_arrivals(self, output: Output, copies: Sequence[Copy], now: int) -> None:
        self.counters.received += len(output.received)
        self.counters.duplicates += len(output.duplicates)
        self.counters.conflicts += len(output.conflicts)
        for arrival in output.received:
            arrival.received_ns = now
            if self.record is not None:
                self.record.arrival("receive", arrival)
        if self.record is not None and output.duplicates:
            subjects = {copy.seq: copy.subject for copy in copies}
            for dot in output.duplicates:
                ordering = self.handlers.ordering_of(subjects[dot.seq])
                self.record.duplicate(dot, subjects[dot.seq], str(ordering))
        for dot in output.conflicts:
            log.error("%s came again with another content: dropped (its sender reused a dot)", dot)

    def handle_no_more(self) -> None:
        """Begin no handler of another node's message any more, nor run one again: they are unsettled, so their senders
        keep them for the next run. Own ones would be lost with this one."""
        self.runner.begin_only(lambda handling: handling.arrival.origin == self.me)

    def left(self) -> None:
        """Messages stay with their senders, so there is less to wait for."""
        self.progress.set()

    def _note_given_up(self, arrivals: Sequence[Arrival]) -> None:
        """Their sender has given them up while this node was away: they are settled without a handler."""
        self.counters.given_up += len(arrivals)
        log.warning("%d messages, given up by %s, are not handled", len(arrivals), arrivals[0].origin.name)
        for arrival in arrivals if self.record is not None else ():
            assert self.record is not None
            self.record.arrival("receive", arrival)
            self.record.arrival("drop", arrival)

    def close(self, reason: str) -> None:
        """The node closes: whoever waits for room or for a settlement is told so."""
        self.room.close(reason)
        self.own.settlements.close(reason)

    # -- handlers ----------------------------------------------------------------------------------------------

    def started(self, handling: Handling) -> None:
        """The handler is about to start: from now on this node's sends follow its message."""
        arrival = handling.arrival
        if not arrival.started:
            assert handling.payload is not None
            self.engine.start(arrival, handling.payload.key)
            if self.scoped and self.record is not None:  # which says what context it is
                self.engine.contexts.of(arrival)
        if handling.attempt == 1:
            self.counters.delivered += 1
            if arrival.lost or arrival.unsure:
                self.counters.lost += bool(arrival.lost)
                self.counters.unsure += arrival.verdict.kind is VerdictKind.UNSURE
        else:
            self.counters.retried += 1
        if self.record is not None:
            self.record.arrival("deliver", arrival, handling)

    def finished(self, handling: Handling) -> None:
        """The handler has returned: the message is settled, and what waited for it goes on. `flush` tells others."""
        if self.record is not None:
            self.record.arrival("settle", handling.arrival, handling)
        self._settle(handling.arrival)

    def dropped(self, handling: Handling, reason: str) -> None:
        """The message goes to the dead letters, which settles it."""
        arrival = handling.arrival
        self.counters.dead_lettered += 1
        log.warning("%s (%s) goes to the dead letters: %s", arrival.dot, arrival.copy.subject, reason)
        if self.record is not None:
            self.record.arrival("drop", arrival)
        payload = _readable(arrival)
        message = None if payload is None else Message(arrival, *payload, handling.held_for, 0)
        self.dead_letters.append(DeadLetter(arrival.dot, arrival.copy.subject, reason, message))
        self._settle(arrival)

    def _settle(self, arrival: Arrival) -> None:
        self.counters.settled += 1
        self._has_finished = True
        owed = self._owed
        self.engine.finish(arrival, owed)
        if owed.ready:
            self._make_ready(owed.ready, time.monotonic_ns())
            owed.ready.clear()

    def flush(self) -> None:
        """Carry out what finished handlers have brought about: reports, and settlements of messages to itself."""
        if self._has_finished:
            owed, self._owed, self._has_finished = self._owed, Output(), False
            self.apply(owed)
            self.progress.set()


def _readable(arrival: Arrival) -> Payload | None:
    try:
        return decode_payload(arrival.copy.payload)
    except ProtocolError:
        return None
