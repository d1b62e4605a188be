"""A simulated node: the real engine, and around it what the real node does with streams, handlers and time."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from zlib import crc32

from causal.errors import CausalError, ClockDriftError
from causal.ordering.context import merged
from causal.ordering.dot import NodeId
from causal.ordering.engine import Engine
from causal.ordering.farewell import farewell
from causal.ordering.frames import (
    Hello,
    ReceiverToSender,
    Refusal,
    RefusalCode,
    SenderFrame,
    SenderToReceiver,
    Welcome,
)
from causal.ordering.giving_up import give_up, left_to_wait_for
from causal.ordering.output import EngineConfig, Output
from causal.ordering.reincarnation import can_reincarnate, reincarnate
from causal.ordering.scope import Scope
from causal.ordering.verdict import Ordering
from causal.testing.figures import Figures
from causal.testing.history import History
from causal.testing.inbound import InboundStreams
from causal.testing.invariants import Invariants, is_bounded, kept_of_the_gone
from causal.testing.network import MS, Network, Stream
from causal.testing.plan import SUBJECTS, Plan
from causal.testing.work import Draw, Work, number_of

EPOCH_MS = 1_700_000_000_000
THOROUGH = 16
"""In one seed of so many the invariants are checked after every step, in the others with every heartbeat."""
SILENCE_MAX_MS = 30
"""How long a process that is cut off keeps its name."""
MakeEngine = Callable[..., Engine]
"""As the constructor of `Engine`."""


class Member:
    """One name of the simulated system, over all its restarts."""

    def __init__(
        self,
        name: str,
        peers: list[str],
        network: Network,
        history: History,
        draw: Draw,
        make_engine: MakeEngine,
        strict: bool,
        place: str = "",
    ) -> None:
        self.name = name
        self.place = place or name
        """Under which the history knows it."""
        self.run = 0
        self.up = False
        self.leaving = False
        self.missed = False
        """Whether it stays away, and the others know."""
        self.incarnation = 0
        self.skew_ms = 0
        self.peers = peers
        self._network = network
        self._timeline = network.timeline
        self._plan: Plan = network.plan
        self._random: Random = network.random
        self._history = history
        self._draw = draw
        self._figures = Figures(network.tally)
        self._make_engine = make_engine
        self._strict = strict
        chooser = Random(f"{self._plan.seed} {name}")  # a twin orders subjects as the first does
        self._unordered = frozenset(chooser.sample(SUBJECTS, self._plan.none_subjects))
        self._scope = Scope.CONTEXT if chooser.random() < self._plan.context_scope else Scope.PROCESS
        self.drift = network.random.randint(-self._plan.skew_ms, self._plan.skew_ms)
        self.start(EPOCH_MS)

    # -- life --------------------------------------------------------------------------------------------------

    def start(self, incarnation: int) -> None:
        """Start, with nothing known, as this incarnation."""
        self.run += 1
        self.up = True
        self.leaving = False
        self.incarnation = incarnation
        plan = self._plan
        config = EngineConfig(
            dots_max=plan.dots_max,
            dependencies_max=plan.dependencies_max,
            links_known_after_ms=plan.links_known_ms,
            clock_entries_max=plan.clock_entries_max,
            heard_max=plan.heard_max,
            outbox_messages=plan.outbox_messages,
            window_messages=plan.window_messages,
            window_bytes=plan.window_bytes,
            frame_messages=plan.frame_messages,
            garbage_after_ms=plan.garbage_after_ms,
            silence_max_ms=SILENCE_MAX_MS,
            scope=self._scope,
        )
        me = NodeId(self.name, incarnation)
        process = crc32(f"{self.place} {self.run}".encode())
        self.engine = self._make_engine(me, self.peers, self.ordering_of, config, process=process)
        self._invariants = Invariants(self.engine)
        self._outbound: dict[str, Stream] = {}
        self._inbound = InboundStreams(
            self.engine,
            self.place,
            self._network,
            self._history,
            self._figures,
            self.now_ms,
            self._soon,
            self._take,
            self._protest,
        )
        self.work = Work(
            self.engine,
            self.place,
            self.run,
            self._network,
            self._history,
            self._figures,
            self._draw,
            self.now_ms,
            self._soon,
            self._take,
        )
        self._pumping: set[str] = set()
        self._soon(self._random.randrange(plan.heartbeat_ms * MS), self._beat)
        for peer in self.peers:
            self._soon(self._random.randrange(plan.late_links_ms * MS), self._dial, peer)

    def crash(self) -> None:
        """Be gone, in the middle of whatever goes on; a Hello may still be on its way, for longer than it should."""
        peer = self._random.choice(self.peers)
        if self._network.faulty and (stray := self._network.dial(self, peer)) is not None:
            stray.late = self._random.randrange(300 * MS)
            stray.down(Hello(sender=self.engine.me, receiver=peer, process=self.engine.process, scope=self._scope))
            stray.tear(gently=True)
        self._network.tally["crash"] += 1
        self.stop()

    def stop(self) -> None:
        """Be gone."""
        self.up = False
        self._network.tear_all_of(self)

    def leave(self, patience: int, gently: bool, comes_back: int | None) -> None:
        """Leave in good order: clients send no more, and once all is settled, or after `patience` µs, say goodbye."""
        self.leaving = True
        self._leave_once_drained(self._timeline.now + patience, gently, comes_back)

    def _leave_once_drained(self, deadline: int, gently: bool, comes_back: int | None) -> None:
        engine = self.engine
        drained = self.work.idle and engine.all_reported and not engine.unsettled
        if not drained and self._timeline.now < deadline:
            self._soon(2 * MS, self._leave_once_drained, deadline, gently, comes_back)
            return
        self._network.tally["left" if drained else "left with something unsettled"] += 1
        for peer in list(self._outbound):
            frame = farewell(engine, peer, self.now_ms())
            if frame is not None:
                self._figures.goodbye(engine, frame)
                self._send_down(peer, frame)
        self.up = False
        self._network.tear_all_of(self, gently=gently)
        if comes_back is not None:
            self._timeline.after(comes_back, self.restart, self.incarnation + self._random.randint(1, 1_000_000))

    def evict(self, name: str, incarnation: int = -1) -> None:
        """An operator says that the present incarnation of this name is gone."""
        output = Output()
        gone = self.engine.departures.evicted(name, output, incarnation)
        if gone is None:
            return
        self._network.tally["evicted"] += 1
        self._history.evicted(self.place, gone)
        self._inbound.hang_up_on(gone)
        if name in self._outbound:
            self._outbound[name].tear()
        self._take(output)
        self._check()

    def give_up(self, peer: str) -> None:
        """An operator gives up what is unsettled for this peer."""
        self._network.tally["given up"] += len(give_up(self.engine, peer))
        self._check()

    def restart(self, incarnation: int) -> None:
        """Come back without a store."""
        if not self.up:
            self._history.crashed(self.name, incarnation, self.place)
            self.start(incarnation)

    def now_ms(self) -> int:
        """This node's physical clock."""
        return EPOCH_MS + self._timeline.now // MS + self.skew_ms + self.drift

    def knows(self, name: str) -> int:
        """The latest incarnation of a name that this node has heard."""
        return self.engine.settlement.latest.get(name, 0)

    def ordering_of(self, subject: str) -> Ordering:
        """How this node orders a subject."""
        return Ordering.NONE if subject in self._unordered else Ordering.CAUSAL

    def _soon(self, delay: int, act: Callable[..., None], *arguments: object) -> None:
        """Call `act` later, if this run of the node still goes on then."""
        self._timeline.after(delay, self._if_running, self.run, act, arguments)

    def _if_running(self, run: int, act: Callable[..., None], arguments: tuple[object, ...]) -> None:
        if self.up and self.run == run:
            act(*arguments)
            self._check()

    def _check(self) -> None:
        if self._strict and self._plan.seed % THOROUGH == 0:
            self._check_invariants()
        for arrival in self.engine.delivery.holdback:
            if not arrival.finished and not is_bounded(self.engine, arrival):
                self._history.judge_held(self.place, number_of(arrival), arrival.waits_for)

    def _check_invariants(self) -> None:
        for text in self._invariants.broken():
            self._history.blame(f"invariant: {text}")

    # -- the sender's end of links -----------------------------------------------------------------------------

    def _dial(self, peer: str) -> None:
        if peer in self._outbound:
            return
        stream = self._network.dial(self, peer)
        if stream is None:
            self._soon(self._random.randrange(5 * MS, 30 * MS), self._dial, peer)
            return
        self._outbound[peer] = stream
        stream.down(self.engine.hello(peer))

    def answered(self, stream: Stream, frame: ReceiverToSender) -> None:
        """A receiver that this node dialled says something."""
        peer = stream.receiver.name
        if self._outbound.get(peer) is not stream:
            return
        if isinstance(frame, Refusal):
            self._refused(stream, frame)
            return
        self._figures.heard_from_receiver(self.engine, peer, frame)
        try:
            if isinstance(frame, Welcome):
                output = self.engine.welcomed(peer, frame)
                self._history.met(frame.receiver, stream.receiver.place)
            else:
                output = self.engine.reported(peer, frame, self.now_ms())
        except ClockDriftError:  # asked about a horizon by a clock too far ahead: the link rests until it is mended
            self._network.tally["question from a clock that drifts"] += 1
            stream.tear()
            return
        except CausalError as error:
            if isinstance(frame, Welcome) and self.engine.settlement.is_gone(frame.receiver):
                self._network.tally["answered by an incarnation that is gone"] += 1
                stream.tear()
            elif isinstance(frame, Welcome) and self.engine.settlement.is_twin(frame.receiver, frame.process):
                self._network.tally["answered by another process"] += 1
                stream.tear()
            else:
                self._protest(stream, error)
            return
        self._take(output)
        self._check()

    def _refused(self, stream: Stream, refusal: Refusal) -> None:
        self._network.tally[f"refused: {refusal.code}"] += 1
        stream.tear(gently=True)
        if refusal.code is not RefusalCode.STALE_INCARNATION or refusal.incarnation < self.incarnation:
            return
        later = refusal.incarnation + 1
        if can_reincarnate(self.engine):
            self._reincarnate(later)
        else:
            self.fenced(later)

    def fenced(self, later: int) -> None:
        """Another process has this node's name, and this one must start again to have it back."""
        self.crash()
        self._timeline.after(1 * MS, self.restart, later)

    def _reincarnate(self, incarnation: int) -> None:
        """This node's clock has gone back over its restart, and nobody has accepted it yet."""
        self._network.tally["reincarnated"] += 1
        for stream in self._outbound.values():
            stream.tear()
        self._outbound.clear()
        self._inbound.break_all()
        former = self.engine.me
        reincarnate(self.engine, incarnation)
        self.work.former.append(former)
        self.incarnation = incarnation
        stamps = {seq: copy.stamp for link in self.engine.outbound.values() for seq, copy in link.outbox.items()}
        self._history.renamed(former, self.engine.me, stamps, self.place)
        for peer in self.peers:
            self._soon(self._random.randrange(10 * MS), self._dial, peer)

    def ended(self, stream: Stream, *, as_sender: bool) -> None:
        """This end notices that a stream is broken; one that was replaced is nobody's any more."""
        if as_sender:
            peer = stream.receiver.name
            if self._outbound.get(peer) is stream:
                del self._outbound[peer]
                self.engine.disconnected(peer)
                self._soon(self._random.randrange(1 * MS, 20 * MS), self._dial, peer)
        else:
            self._inbound.ended(stream)
        self._check()

    def _pump_down(self, peer: str) -> None:
        """Put on the stream whatever there is, in as many frames as it takes."""
        self._pumping.discard(peer)
        while peer in self._outbound and (frame := self.engine.transmit(peer, self.now_ms())) is not None:
            self._send_down(peer, frame)
        self._figures.pumped(self.engine.outbound[peer])

    def _send_down(self, peer: str, frame: SenderFrame) -> None:
        self._figures.frame_down(frame)
        self._outbound[peer].down(frame)

    def _protest(self, stream: Stream, error: CausalError) -> None:
        """In a run of the true engine nobody breaks the protocol; a mutant may, and the link starts anew."""
        self._network.tally[type(error).__name__] += 1
        if self._strict:
            self._history.blame(f"error: {self.name}: {error!r}")
        stream.tear()

    # -- the receiver's end of links ---------------------------------------------------------------------------

    def heard(self, stream: Stream, frame: SenderToReceiver) -> None:
        """A sender says something."""
        self._inbound.heard(stream, frame)
        self._check()

    # -- time --------------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        self._take(self.engine.tick(self.now_ms()))
        for peer, stream in list(self._outbound.items()):
            frame = self.engine.transmit(peer, self.now_ms(), heartbeat=True)
            if frame is not None and not stream.broken:
                self._send_down(peer, frame)
        self._inbound.beat()
        if self._strict:
            self._check_invariants()
        self._soon(self._plan.heartbeat_ms * MS, self._beat)

    # -- what the engine asks for ------------------------------------------------------------------------------

    def send(self, to: list[str], subject: str) -> None:
        """A client's send, lost if the node is not there, or about to leave."""
        if self.up and not self.leaving:
            self.work.send(to, subject)

    def _take(self, output: Output) -> None:
        """Do what the engine asks for, in the order in which it is owed."""
        self.work.take(output)
        for peer in sorted(output.transmit):
            if peer not in self._pumping:
                self._pumping.add(peer)
                self._soon(self._random.randrange(1 * MS), self._pump_down, peer)
        self._inbound.pump(output.report)

    def at_rest(self, excused: Callable[[str, NodeId], bool], missed: set[str], *, asked: bool) -> list[str]:
        """Why this node is not at rest, in words; empty if it is. Dots of which it is so (destination and origin) are
        `excused`: they may stay pending, and are `asked` about for ever. Those that are `missed` stay away."""
        reasons = []
        engine = self.engine
        if waited_for := left_to_wait_for(engine, [dot.seq for dot in engine.unsettled]):
            reasons.append(f"{self.name}: unsettled {waited_for}")
        to_tell = [name for name, link in engine.outbound.items() if link.given_up and name not in missed]
        if to_tell:
            reasons.append(f"{self.name}: {to_tell} have not been told of what was given up")
        if engine.delivery.held:
            held = [f"{a.dot} for {a.waits_for or a.waits_past}" for a in engine.delivery.held]
            reasons.append(f"{self.name}: held {held}")
        left = [link.unsettled for link in engine.settlement.inbound.values() if link.unsettled]
        if left:
            reasons.append(f"{self.name}: received and not settled: {left}")
        pending = {
            d: {str(o): s for o, s in dots.items() if not excused(d, o)}
            for d, dots in merged(engine.contexts).pending.items()
        }
        if any(pending.values()):
            reasons.append(f"{self.name}: context {pending}")
        return [*reasons, *(f"{self.name}: {text}" for text in kept_of_the_gone(engine, asked=asked))]
