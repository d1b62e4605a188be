"""Random interleavings of three engines against sets of histories. The simulator does the long version."""

from __future__ import annotations

from collections import deque
from random import Random

import pytest

from causal.errors import BackpressureError
from causal.ordering import Dot, EngineConfig, Ordering
from causal.ordering.frames import ReceiverFrame, SenderFrame
from tests.ordering.links import Net, Station

NAMES = ("S1", "S2", "S3")
STEPS = 160


class Histories:
    """The oracle: happened-before as sets of messages, from program order and deliveries alone."""

    def __init__(self) -> None:
        self.past: dict[Dot, frozenset[Dot]] = {}
        self.to: dict[Dot, frozenset[str]] = {}
        self.ordered: dict[Dot, bool] = {}
        self.seen: dict[str, frozenset[Dot]] = dict.fromkeys(NAMES, frozenset())
        self.finished: dict[str, set[Dot]] = {name: set() for name in NAMES}

    def sent(self, name: str, dot: Dot, to: tuple[str, ...], subject: str) -> None:
        self.past[dot] = self.seen[name]
        self.to[dot] = frozenset(to)
        self.ordered[dot] = subject != "none"
        self.seen[name] |= {dot}

    def started(self, name: str, dot: Dot) -> None:
        if self.ordered[dot]:
            early = [p for p in self.before(name, dot) if self.ordered[p] and p not in self.finished[name]]
            assert not early, f"{dot} started at {name} before {early}"
        self.seen[name] |= self.past[dot] | {dot}

    def before(self, name: str, dot: Dot) -> list[Dot]:
        """What happened before this message and is addressed to this node as well."""
        return [past for past in self.past[dot] if name in self.to[past]]


class Run:
    """One seed: what is on the streams, what runs, and the steps that may be taken."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        config = EngineConfig(
            window_messages=random.choice([1, 2, 100]),
            window_bytes=random.choice([4, 100]),
            frame_messages=random.choice([1, 3]),
            outbox_messages=8,
        )
        self.net = Net(*NAMES, config=config)
        self.oracle = Histories()
        self.running: dict[str, list[Dot]] = {name: [] for name in NAMES}
        links = [(sender, receiver) for sender in NAMES for receiver in NAMES if sender != receiver]
        self.down: dict[tuple[str, str], deque[SenderFrame]] = {link: deque() for link in links}
        self.up: dict[tuple[str, str], deque[ReceiverFrame]] = {link: deque() for link in links}

    def station(self) -> Station:
        return self.net[self.random.choice(NAMES)]

    def link(self) -> tuple[str, str]:
        return self.random.choice(list(self.down))

    def send(self) -> None:
        station = self.station()
        to = tuple(self.random.choices(NAMES, k=self.random.choice([1, 1, 1, 2, 3])))
        subject = self.random.choice(["s", "s", "s", "none"])
        try:
            dot = station.send(*to, subject=subject, payload=bytes(self.random.randrange(4)))
        except BackpressureError:
            return
        self.oracle.sent(station.me.name, dot, to, subject)

    def start(self) -> None:
        station = self.station()
        if station.ready:
            dot = self.random.choice(list(station.ready))
            self.oracle.started(station.me.name, dot)
            station.start(dot)
            self.running[station.me.name].append(dot)

    def finish(self) -> None:
        station = self.station()
        if running := self.running[station.me.name]:
            dot = running.pop(self.random.randrange(len(running)))
            station.finish(dot)
            self.oracle.finished[station.me.name].add(dot)

    def transmit(self) -> None:
        sender, receiver = link = self.link()
        if (sender, receiver) in self.net.streams:
            beat = self.random.random() < 0.3
            self.down[link] += self.net.take(sender, receiver, heartbeat=beat)

    def report(self) -> None:
        sender, receiver = link = self.link()
        beat = self.random.random() < 0.3
        frame = self.net[receiver].engine.report(self.net[sender].me, heartbeat=beat)
        if frame is not None:
            self.up[link].append(frame)

    def carry(self) -> None:
        """A frame arrives, now and then twice."""
        sender, receiver = link = self.link()
        if self.down[link]:
            frame = self.down[link].popleft()
            self.net.deliver(sender, receiver, *[frame] * self.random.choice([1, 1, 2]))
        if self.up[link]:
            answer = self.up[link].popleft()
            for _ in range(self.random.choice([1, 1, 2])):
                self.net[sender].note(self.net[sender].engine.reported(receiver, answer, self.net.now_ms))

    def cut(self) -> None:
        """The stream breaks, or a new one takes its place at once; what was on it is gone."""
        if self.random.random() < 0.4:
            sender, receiver = link = self.link()
            self.down[link].clear()
            self.up[link].clear()
            if self.random.random() < 0.5:
                self.net.cut(sender, receiver)
            else:
                self.net.connect(sender, receiver)

    def pass_time(self) -> None:
        self.net.now_ms += self.random.choice([1, 1, 1500])
        self.station().tick()

    def check_held(self) -> None:
        """Nothing is held needlessly: some predecessor addressed here has not come, or has not finished."""
        for station in self.net:
            name = station.me.name
            for dot in station.held:
                blocking = [
                    past
                    for past in self.oracle.before(name, dot)
                    if past not in station.arrivals
                    or (self.oracle.ordered[past] and past not in self.oracle.finished[name])
                ]
                assert blocking, f"{dot} is held at {name} for nothing"

    def heal(self) -> None:
        for link in self.down:
            if link not in self.net.streams:
                self.net.connect(*link)
            self.down[link].clear()
            self.up[link].clear()
            self.net.connect(*link)
        for _ in range(60):
            for name in NAMES:
                while self.running[name]:
                    self.finish_at(name)
                while ready := list(self.net[name].ready):
                    self.oracle.started(name, ready[0])
                    self.net[name].start(ready[0])
                    self.running[name].append(ready[0])
                    self.finish_at(name)
            self.net.now_ms += 20
            self.net.heartbeat()

    def finish_at(self, name: str) -> None:
        dot = self.running[name].pop()
        self.net[name].finish(dot)
        self.oracle.finished[name].add(dot)


@pytest.mark.parametrize("seed", range(24))
def test_random_interleaving_keeps_the_order_delivers_all_once_and_comes_to_rest(seed: int) -> None:
    run = Run(seed)
    steps = [run.send, run.start, run.finish, run.transmit, run.report, run.carry, run.carry]
    steps = [*steps, *steps, run.cut, run.pass_time]
    for _ in range(STEPS):
        run.random.choice(steps)()
        run.check_held()
    run.heal()
    for station in run.net:
        name, engine = station.me.name, station.engine
        addressed = {dot for dot, to in run.oracle.to.items() if name in to}
        assert set(station.handled) == addressed == run.oracle.finished[name]
        assert len(station.handled) == len(addressed)
        assert station.conflicts == []
        assert engine.unsettled == []
        assert engine.context.pending == {}
        for link in engine.outbound.values():
            assert (link.outbox, link.outbox_bytes, link.in_flight, link.in_flight_bytes) == ({}, 0, {}, 0)
            assert link.told == {}
    kinds = {run.net[name].arrivals[dot].ordering for name in NAMES for dot in run.net[name].handled}
    assert kinds == {Ordering.CAUSAL, Ordering.NONE}
