"""Engines joined by fake links whose frames a test moves by hand (after h11's `ConnectionPair`).

A test reads as a story:

    net = Net("S1", "S2", "S3")             # everybody linked to everybody
    s1, s2, s3 = net
    m = s1.send("S3")                       # stamped, queued
    net.carry("S1", "S3")                   # the sender's frames arrive
    s3.handle(m)                            # handler starts and returns
    net.answer("S1", "S3")                  # the acknowledgement arrives
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import replace
from enum import Enum

import pytest

from causal.ordering import Arrival, Dot, Engine, EngineConfig, NodeId, Ordering, Output
from causal.ordering.context import CausalContext
from causal.ordering.contexts import Follows
from causal.ordering.frames import Hello, ReceiverFrame, Refusal, SenderFrame, Welcome
from causal.ordering.scope import Scope
from causal.ordering.stamp import Copy, Dots, Stamp, dots_of

START_MS = 1_700_000_000_000
ROUNDS_MAX = 50


def by_subject(subject: str) -> Ordering:
    """`none…` subjects are not ordered, all others are."""
    return Ordering.NONE if subject.startswith("none") else Ordering.CAUSAL


class Station:
    """One engine and what its caller noted of its outputs."""

    def __init__(self, net: Net, engine: Engine) -> None:
        self.net = net
        self.engine = engine
        self.received: list[Dot] = []
        self.duplicates: list[Dot] = []
        self.conflicts: list[Dot] = []
        self.settled: list[Dot] = []
        self.ready: dict[Dot, Arrival] = {}
        self.handled: list[Dot] = []
        self.arrivals: dict[Dot, Arrival] = {}

    @property
    def me(self) -> NodeId:
        return self.engine.me

    @property
    def pending(self) -> dict[str, set[Dot]]:
        """What the next send would follow: by destination the dots that must be settled there first."""
        self.engine.context.prune(self.engine.settlement.is_settled)
        return {to: set(dots_of(dots)) for to, dots in self.engine.context.pending.items()}

    @property
    def held(self) -> dict[Dot, Dot | None]:
        """Message → the one dot that it waits for."""
        return {arrival.dot: arrival.waits_for for arrival in self.engine.delivery.holdback}

    def note(self, output: Output) -> Output:
        self.received += [arrival.dot for arrival in output.received]
        self.arrivals |= {arrival.dot: arrival for arrival in output.received}
        self.duplicates += output.duplicates
        self.conflicts += output.conflicts
        self.settled += output.settled
        for arrival in output.ready:
            assert arrival.dot not in self.ready, "offered twice"
            assert arrival.dot not in self.handled, "delivered twice"
            self.ready[arrival.dot] = arrival
        return output

    def send(
        self,
        *to: str,
        subject: str = "s",
        payload: bytes = b"",
        urgent: bool = False,
        context: CausalContext | None = None,
        key: str | None = None,
        after: Sequence[Dot] = (),
    ) -> Dot:
        follows = Follows(context, key, after)
        dot, output = self.engine.send(to, subject, payload, self.net.now_ms, urgent=urgent, follows=follows)
        self.note(output)
        return dot

    def start(self, dot: Dot) -> Arrival:
        arrival = self.ready.pop(dot)
        self.engine.start(arrival)
        self.handled.append(dot)
        return arrival

    def begin(self, dot: Dot, key: str | None = None) -> CausalContext:
        """Start a handler; what it sends, it sends from the context returned."""
        self.handled.append(dot)
        arrival = self.ready.pop(dot)
        self.engine.start(arrival, key)
        return self.engine.contexts.of(arrival)

    def finish(self, dot: Dot) -> Output:
        return self.note(self.engine.finish(self.arrivals[dot]))

    def drop(self, dot: Dot) -> Output:
        """Dead-letter a message, whether it waits or is ready."""
        self.ready.pop(dot, None)
        return self.finish(dot)

    def handle(self, *dots: Dot) -> None:
        """Run the handlers of these messages, one after the other."""
        for dot in dots:
            self.start(dot)
            self.finish(dot)

    def handle_all(self) -> list[Dot]:
        """Run handlers until none is ready; what was handled, in order."""
        before = len(self.handled)
        while self.ready:
            self.handle(next(iter(self.ready)))
        return self.handled[before:]

    def tick(self) -> Output:
        return self.note(self.engine.tick(self.net.now_ms))

    def tick_for(self, milliseconds: int) -> None:
        """So much time passes, with a tick in each second, the last one at the end."""
        until = self.net.now_ms + milliseconds
        while self.net.now_ms < until:
            self.net.now_ms = min(self.net.now_ms + 1000, until)
            self.tick()


class Net:
    """Stations, the streams between them, and the time.

    With `connect` every link to a peer is open, and its receiver has the base.
    """

    def __init__(
        self,
        *names: str,
        peers: Mapping[str, Collection[str]] | None = None,
        config: EngineConfig | None = None,
        context: Collection[str] = (),
        connect: bool = True,
    ) -> None:
        self.now_ms = START_MS
        self.config = config or EngineConfig()
        self.context = context
        """Names of the nodes in context scope."""
        self.peers = peers or {name: [other for other in names if other != name] for name in names}
        self.stations = {name: self._station(NodeId(name, 1)) for name in names}
        self.streams: set[tuple[str, str]] = set()
        if connect:
            for name in names:
                for peer in self.peers.get(name, ()):
                    self.connect(name, peer)
                    self.carry(name, peer, heartbeat=True)  # the base

    def __iter__(self) -> Iterator[Station]:
        return iter(self.stations.values())

    def __getitem__(self, name: str) -> Station:
        return self.stations[name]

    def _station(self, me: NodeId) -> Station:
        scope = Scope.CONTEXT if me.name in self.context else Scope.PROCESS
        return Station(self, Engine(me, self.peers.get(me.name, ()), by_subject, replace(self.config, scope=scope)))

    def connect(self, sender: str, receiver: str) -> Welcome:
        """A new stream, in place of the present one if there is one."""
        answer, output = self[receiver].engine.greeted(self[sender].engine.hello(receiver), self.now_ms)
        self[receiver].note(output)
        assert isinstance(answer, Welcome), answer
        self[sender].note(self[sender].engine.welcomed(receiver, answer))
        self.streams.add((sender, receiver))
        return answer

    def refuse_as(self, sender: NodeId, receiver: str) -> Refusal:
        """Dial as this member and expect to be refused."""
        answer, output = self[receiver].engine.greeted(Hello(sender=sender, receiver=receiver), self.now_ms)
        assert isinstance(answer, Refusal), answer
        assert output == Output()
        return answer

    def cut(self, sender: str, receiver: str) -> None:
        """The stream breaks: both ends notice."""
        self.streams.discard((sender, receiver))
        self[sender].engine.disconnected(receiver)
        self[receiver].engine.hung_up(self[sender].me)

    def restart(self, name: str) -> Station:
        """Stop without a store and start again: a later incarnation, its streams gone."""
        for sender, receiver in list(self.streams):
            if name in (sender, receiver):
                self.cut(sender, receiver)
        me = self[name].me
        self.stations[name] = self._station(NodeId(name, me.incarnation + 1))
        return self.stations[name]

    def take(self, sender: str, receiver: str, *, heartbeat: bool = False) -> list[SenderFrame]:
        """The sender's next frames, taken off its hands and not delivered."""
        frames: list[SenderFrame] = []
        while frame := self[sender].engine.transmit(receiver, self.now_ms, heartbeat=heartbeat and not frames):
            frames.append(frame)
            assert len(frames) < ROUNDS_MAX, "the sender never comes to an end"
        return frames

    def deliver(self, sender: str, receiver: str, *frames: SenderFrame) -> list[Output]:
        station = self[receiver]
        return [station.note(station.engine.arrived(self[sender].me, frame, self.now_ms)) for frame in frames]

    def carry(self, sender: str, receiver: str, *, heartbeat: bool = False) -> list[SenderFrame]:
        """Whatever the sender has for this link arrives."""
        frames = self.take(sender, receiver, heartbeat=heartbeat)
        self.deliver(sender, receiver, *frames)
        return frames

    def answer(self, sender: str, receiver: str, *, heartbeat: bool = False) -> ReceiverFrame | None:
        """Whatever the receiver has to say on this link arrives back at the sender."""
        frame = self[receiver].engine.report(self[sender].me, heartbeat=heartbeat)
        if frame is not None:
            self[sender].note(self[sender].engine.reported(receiver, frame, self.now_ms))
        return frame

    def heartbeat(self) -> None:
        """One heartbeat both ways on every stream."""
        for station in self:
            station.tick()
        for sender, receiver in sorted(self.streams):
            self.carry(sender, receiver, heartbeat=True)
            self.answer(sender, receiver, heartbeat=True)

    def settle(self, rounds: int = 8) -> None:
        """Handlers run and heartbeats go on until all is delivered and known to be settled."""
        for _ in range(rounds):
            for station in self:
                station.handle_all()
            self.now_ms += 20
            self.heartbeat()


def stamp(
    previous: int = 0,
    *,
    after: Dots | None = None,
    elsewhere: Mapping[str, Dots] | None = None,
    clock: Mapping[NodeId, int] | None = None,
    timestamp: int = START_MS << 16,
) -> Stamp:
    return Stamp(previous, timestamp, after or {}, elsewhere or {}, clock)


def copy_of(seq: int, previous: int = 0, payload: bytes = b"", subject: str = "s") -> Copy:
    return Copy(seq, stamp(previous), subject, payload)


def only(frame: SenderFrame, *dots: Dot) -> SenderFrame:
    """The frame with these copies alone, in this order."""
    copies = {copy.seq: copy for copy in frame.copies}
    return replace(frame, copies=tuple(copies[dot.seq] for dot in dots))


def snapshot(value: object) -> object:
    """A deep copy of some state as plain values, for comparing before and after."""
    if value is None or isinstance(value, int | str | bytes | Enum):
        return value
    if isinstance(value, Mapping):
        return [(snapshot(key), snapshot(each)) for key, each in value.items()]
    if isinstance(value, AbstractSet):
        return frozenset(snapshot(each) for each in value)
    if isinstance(value, NodeId | Dot):
        return tuple(value)
    if isinstance(value, Sequence) or hasattr(value, "appendleft"):
        return [snapshot(each) for each in value]  # type: ignore[attr-defined]
    if isinstance(value, Callable):  # type: ignore[arg-type]
        return id(value)
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    names = [*slots, *getattr(value, "__dict__", {})]
    return [type(value).__name__, *((name, snapshot(getattr(value, name))) for name in names)]


@contextmanager
def refused(engine: Engine, error: type[Exception], match: str) -> Iterator[None]:
    """Expect this error, and the engine's whole state as it was."""
    before = snapshot(engine)
    with pytest.raises(error, match=match):
        yield
    assert snapshot(engine) == before


@contextmanager
def unchanged(*parts: object) -> Iterator[None]:
    """Expect the whole state of these (an engine, or parts of it) as it was."""
    before = snapshot(parts)
    yield
    assert snapshot(parts) == before


def carried(net: Net, sender: str, receiver: str) -> list[SenderFrame]:
    """A message from one to the other; what comes of it, and no answer. Returns the frames."""
    dot = net[sender].send(receiver)
    frames = net.carry(sender, receiver)
    net[receiver].handle(dot)
    return frames
