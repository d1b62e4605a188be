"""The engine against a twin that is slow and obvious: a list of all that waits, looked through again and again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from causal.ordering import Arrival, Dot, Ordering, Output
from causal.ordering.delivery import Delivery
from causal.ordering.frames import ReceiverFrame, SenderFrame
from causal.ordering.holdback import HoldBackQueue
from causal.ordering.stamp import NO_DOTS, Stamp, dots_of
from causal.testing.history import History
from causal.testing.invariants import Invariants
from tests.ordering.links import Net, Station, by_subject

pytestmark = pytest.mark.simulation

NAMES = ("S1", "S2", "S3")
LINKS = [(sender, receiver) for sender in NAMES for receiver in NAMES if sender != receiver]
NO_STAMP = Stamp(previous=0, timestamp=0, after=NO_DOTS, elsewhere={}, clock=None)

names = st.sampled_from(NAMES)
links = st.sampled_from(LINKS)
places = st.integers(0, 5)


@dataclass(slots=True)
class Entry:
    """One message as the twin knows it."""

    dot: Dot
    after: frozenset[Dot]
    ordered: bool
    in_turn: bool = False
    finished: bool = False


class Twin:
    """The receiver's rule, word for word: a copy is ready when each dot of its `after` has been passed here."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.passed: set[Dot] = set()

    def receive(self, arrival: Arrival) -> None:
        after = frozenset(dots_of(arrival.copy.stamp.after))
        self.entries.append(Entry(arrival.dot, after, arrival.ordering is Ordering.CAUSAL))
        self._rescan()

    def finish(self, dot: Dot) -> None:
        next(entry for entry in self.entries if entry.dot == dot).finished = True
        self._rescan()

    def _rescan(self) -> None:
        """Until nothing changes: who has got its turn, and who need not be waited for any more."""
        before = -1
        while before != len(self.passed):
            before = len(self.passed)
            for entry in self.entries:
                entry.in_turn = entry.in_turn or entry.after <= self.passed
                if entry.in_turn and (entry.finished or not entry.ordered):
                    self.passed.add(entry.dot)

    @property
    def held(self) -> set[Dot]:
        return {entry.dot for entry in self.entries if not entry.in_turn}

    @property
    def startable(self) -> set[Dot]:
        """What may be handled, whether or not its handler has started."""
        return {e.dot for e in self.entries if not e.finished and (e.in_turn or not e.ordered)}

    @property
    def unsettled(self) -> set[Dot]:
        return {entry.dot for entry in self.entries if not (entry.in_turn and entry.finished)}


class Machine(RuleBasedStateMachine):
    """Three engines, all linked to each other, whose frames are moved one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net(*NAMES)
        self.twins = {name: Twin() for name in NAMES}
        self.history = History(NAMES, lambda name, subject: by_subject(subject))
        self.numbers: dict[Dot, int] = {}
        self.heard = dict.fromkeys(NAMES, 0)
        """How much of what a station has received its twin knows."""
        self.running: dict[str, list[Dot]] = {name: [] for name in NAMES}
        self.down: dict[tuple[str, str], deque[SenderFrame]] = {link: deque() for link in LINKS}
        self.up: dict[tuple[str, str], deque[ReceiverFrame]] = {link: deque() for link in LINKS}
        self.last: dict[tuple[str, str], SenderFrame] = {}
        self.checks = {name: Invariants(self.net[name].engine) for name in NAMES}

    def tell_twins(self) -> None:
        for name, twin in self.twins.items():
            station = self.net[name]
            for dot in station.received[self.heard[name] :]:
                self.history.received(name, self.numbers[dot])
                twin.receive(station.arrivals[dot])
            self.heard[name] = len(station.received)

    # -- what nodes do -----------------------------------------------------------------------------------------

    @rule(name=names, to=st.lists(names, min_size=1, max_size=3), subject=st.sampled_from(["s", "s", "s", "none"]))
    def send(self, name: str, to: list[str], subject: str) -> None:
        number = len(self.numbers)
        station = self.net[name]
        # Counted before the send: what is sent to oneself is received within it.
        dot = Dot(*station.me, station.engine.last_seq + 1)
        self.numbers[dot] = number
        self.history.sent(dot, 1, tuple(dict.fromkeys(to)), subject, NO_STAMP)
        assert station.send(*to, subject=subject, payload=number.to_bytes(2)) == dot
        self.tell_twins()

    @rule(name=names, others=st.permutations(NAMES), between=st.booleans())
    def send_around(self, name: str, others: list[str], between: bool) -> None:
        """A triangle in one step: two messages to one node, which the second reaches by way of another."""
        self.send(name, [others[0]], "s")
        self.send(name, [others[1]], "s")
        if (name, others[1]) in LINKS:
            self.move((name, others[1]))
        for dot in list(self.net[others[1]].ready):
            self.start_at(self.net[others[1]], dot)
        self.send(others[1], [others[0]], "s")
        if between and (others[1], others[0]) in LINKS:
            self.move((others[1], others[0]))

    @rule(name=names, place=places)
    def start(self, name: str, place: int) -> None:
        station = self.net[name]
        if station.ready:
            self.start_at(station, list(station.ready)[place % len(station.ready)])

    def start_at(self, station: Station, dot: Dot) -> None:
        name = station.me.name
        self.history.started(name, self.numbers[dot], ordered=True)
        station.start(dot)
        self.running[name].append(dot)

    @rule(name=names, place=places)
    def finish(self, name: str, place: int) -> None:
        running = self.running[name]
        if running:
            self.finish_at(self.net[name], running.pop(place % len(running)))

    @rule(name=names, place=places)
    def drop(self, name: str, place: int) -> None:
        """Dead-letter what waits, whether for another message or for room."""
        station = self.net[name]
        waiting = [dot for dot, arrival in station.arrivals.items() if not (arrival.started or arrival.finished)]
        if waiting:
            dot = waiting[place % len(waiting)]
            station.ready.pop(dot, None)
            station.handled.append(dot)
            self.finish_at(station, dot)

    def finish_at(self, station: Station, dot: Dot) -> None:
        self.history.finished(station.me.name, self.numbers[dot])
        station.finish(dot)
        self.twins[station.me.name].finish(dot)

    @rule(name=names, ms=st.sampled_from([1, 1_500]))
    def beat(self, name: str, ms: int) -> None:
        self.net.now_ms += ms
        self.net[name].tick()
        for link in LINKS:
            if link in self.net.streams and link[0] == name:
                self.down[link] += self.net.take(*link, heartbeat=True)

    # -- what streams do ---------------------------------------------------------------------------------------

    @rule(link=links)
    def transmit(self, link: tuple[str, str]) -> None:
        if link in self.net.streams:
            self.down[link] += self.net.take(*link)

    @rule(link=links)
    def carry(self, link: tuple[str, str]) -> None:
        if self.down[link]:
            self.last[link] = frame = self.down[link].popleft()
            self.deliver(link, frame)

    @rule(link=links)
    def move(self, link: tuple[str, str]) -> None:
        """All that a sender has arrives at once."""
        self.transmit(link)
        while self.down[link]:
            self.carry(link)

    @precondition(lambda self: self.last)
    @rule(place=places)
    def duplicate(self, place: int) -> None:
        """The last frame of a stream arrives once more."""
        link = list(self.last)[place % len(self.last)]
        self.deliver(link, self.last[link])

    def deliver(self, link: tuple[str, str], frame: SenderFrame) -> None:
        duplicates = len(self.net[link[1]].duplicates)
        known = [copy for copy in frame.copies if Dot(*self.net[link[0]].me, copy.seq) in self.net[link[1]].arrivals]
        self.net.deliver(*link, frame)
        assert len(self.net[link[1]].duplicates) == duplicates + len(known)
        self.tell_twins()

    @rule(link=links, beat=st.booleans())
    def report(self, link: tuple[str, str], beat: bool) -> None:
        sender, receiver = link
        frame = self.net[receiver].engine.report(self.net[sender].me, heartbeat=beat)
        if frame is not None:
            self.up[link].append(frame)

    @rule(link=links)
    def answer(self, link: tuple[str, str]) -> None:
        sender, receiver = link
        if self.up[link]:
            self.net[sender].note(self.net[sender].engine.reported(receiver, self.up[link].popleft(), self.net.now_ms))

    @precondition(lambda self: self.net.streams)
    @rule(place=places)
    def cut(self, place: int) -> None:
        link = sorted(self.net.streams)[place % len(self.net.streams)]
        self.forget_stream(link)
        self.net.cut(*link)

    @precondition(lambda self: len(self.net.streams) < len(LINKS))
    @rule(place=places)
    def reconnect(self, place: int) -> None:
        down = [link for link in LINKS if link not in self.net.streams]
        self.net.connect(*down[place % len(down)])

    def forget_stream(self, link: tuple[str, str]) -> None:
        self.down[link].clear()
        self.up[link].clear()
        self.last.pop(link, None)

    # -- what must hold ----------------------------------------------------------------------------------------

    @invariant()
    def twin_agrees(self) -> None:
        for name, twin in self.twins.items():
            station = self.net[name]
            assert set(station.held) == twin.held
            assert {*station.ready, *self.running[name]} == twin.startable
            inbound = station.engine.settlement.inbound.values()
            assert {arrival.dot for link in inbound for arrival in link.unsettled.values()} == twin.unsettled

    @invariant()
    def engine_is_whole(self) -> None:
        assert [text for check in self.checks.values() for text in check.broken()] == []

    @invariant()
    def order_holds(self) -> None:
        for name in NAMES:
            for dot in self.net[name].held:
                if not self.net[name].arrivals[dot].finished:
                    self.history.judge_held(name, self.numbers[dot])
        assert self.history.violations == []

    def teardown(self) -> None:
        """All is well again: then everything is settled, and nothing is remembered."""
        for link in LINKS:
            self.forget_stream(link)
            self.net.connect(*link)
        for _ in range(10):
            for name in NAMES:
                while self.running[name] or self.net[name].ready:
                    for dot in list(self.net[name].ready):
                        self.start_at(self.net[name], dot)
                    self.finish_at(self.net[name], self.running[name].pop())
            self.net.heartbeat()
            self.tell_twins()
        self.twin_agrees()
        self.history.judge_complete(dict.fromkeys(NAMES, 1))
        assert self.history.violations == []
        for station in self.net:
            assert station.engine.unsettled == []
            assert station.pending == {}
            assert len(station.handled) == len(set(station.handled))


def run(examples: int, steps: int, *, shrink: bool = True) -> None:
    phases = tuple(phase for phase in Phase if shrink or phase is Phase.generate)
    repeatable = settings(max_examples=examples, stateful_step_count=steps, phases=phases, report_multiple_bugs=False)
    run_state_machine_as_test(Machine, settings=repeatable)


def test_a4_engine_and_twin_agree_after_each_step() -> None:
    run(examples=25, steps=50)


@pytest.mark.timeout(300)
def test_a4_engine_and_twin_agree_after_each_step_of_many_long_runs() -> None:
    run(examples=400, steps=150)


def test_engine_that_releases_only_the_first_that_waits_disagrees_with_the_twin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = HoldBackQueue.release
    monkeypatch.setattr(HoldBackQueue, "release", lambda *arguments: list(release(*arguments))[:1])
    with pytest.raises(AssertionError):
        run(examples=100, steps=60, shrink=False)


def test_engine_that_does_not_wait_for_the_first_of_its_predecessors_disagrees_with_the_twin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take_turn = Delivery._take_turn

    def early(self: Delivery, arrival: Arrival, output: Output) -> bool:
        arrival.looked_at = max(arrival.looked_at, 1)
        return take_turn(self, arrival, output)

    monkeypatch.setattr(Delivery, "_take_turn", early)
    with pytest.raises(AssertionError):
        run(examples=100, steps=60, shrink=False)
