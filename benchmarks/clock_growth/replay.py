"""Runs an algorithm of the literature on a history, and checks it.

The history says when a copy may start and not a moment earlier (its oracle has found no violation and nothing held
without need). An exact algorithm has to say the same: a copy that it would let start earlier breaks the guarantee,
one that it would hold longer is held without need. Clocks are compared with the oracle's sets for a sample.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from benchmarks.clock_growth.algorithms import Algorithm, Size
from benchmarks.clock_growth.history import Event, History, Kind
from benchmarks.clock_growth.run import Run
from benchmarks.clock_growth.state import WORD, Held
from causal.ordering import NodeId

SAMPLED = 20
"""Services whose state is counted."""


class Replay:
    """One algorithm on one history. `instant`: handlers take no time, so that delivery is one moment."""

    def __init__(self, kind: type[Algorithm], history: History, nodes: Sequence[NodeId], *, instant: bool) -> None:
        self.algorithm = kind(nodes)
        self.runs = {encoding.name: Run() for encoding in kind.encodings}
        self._history = history
        self._instant = instant
        self._received: dict[tuple[int, int], int] = {}
        """(service, message) that is not released yet → when it arrived."""
        self._free: dict[tuple[int, int], int] = {}
        """(service, message) that is not released yet → when the algorithm would have let it start."""
        self._waiting: defaultdict[tuple[int, int], list[tuple[int, int, list[tuple[int, int]]]]] = defaultdict(list)
        """(service, origin) → (progress needed, message, what else it waits for)."""
        self._violations: list[str] = []
        self._needless = 0

    def run(self) -> dict[str, Run]:
        """By encoding what it came to."""
        steps = {
            Kind.SEND: self._send,
            Kind.RECEIVE: self._receive,
            Kind.RELEASE: self._release,
            Kind.START: self._start,
            Kind.SETTLE: self._settle,
        }
        for event in self._history.events:
            steps[event.kind](event)
        self._count_state()
        for run in self.runs.values():
            run.violations, run.shown, run.needless = len(self._violations), self._violations[:5], self._needless
        return self.runs

    def _send(self, event: Event) -> None:
        algorithm, number = self.algorithm, event.number
        truth, counts = self._history.truth.get(number), algorithm.counts(event.service)
        if truth is not None and counts is not None and counts != truth:
            self._violations.append(f"the clock of message {number} does not count what it follows")
        copies = algorithm.send(event.service, number, self._history.destinations[number])
        if number in self._history.measured:
            for copy in copies:
                self._note_sizes(copy)

    def _note_sizes(self, copy: tuple[Size, ...]) -> None:
        for encoding, size in zip(self.algorithm.encodings, copy, strict=True):
            ordering, clock = (size.metadata, 0) if encoding.part == "ordering" else (0, size.metadata)
            self.runs[encoding.name].sent((ordering, clock, size.names, 0, 0))

    def _receive(self, event: Event) -> None:
        if self.algorithm.orders:
            self._received[event.service, event.number] = event.at_us
            self._look(event, event.number, list(self.algorithm.requirements(event.service, event.number)))

    def _look(self, event: Event, number: int, requirements: list[tuple[int, int]]) -> None:
        """Find something that the copy waits for; without it the copy is free."""
        progress = self.algorithm.progress[event.service]
        while requirements:
            origin, needed = requirements.pop()
            if progress[origin] < needed:
                self._waiting[event.service, origin].append((needed, number, requirements))
                return
        self._free[event.service, number] = event.at_us

    def _release(self, event: Event) -> None:
        if not self.algorithm.orders:
            return
        key = event.service, event.number
        free = self._free.pop(key, None)
        received = self._received.pop(key)
        if free is None:
            self._needless += 1
        elif free < event.at_us:
            self._violations.append(f"message {event.number} would start at service {event.service} too early")
        if event.number in self._history.measured:
            wait = event.at_us - received
            for run in self.runs.values():
                run.waiting.note(wait, held=wait > 0)

    def _start(self, event: Event) -> None:
        self.algorithm.start(event.service, event.number)
        if self._instant:
            self._settled(event)

    def _settle(self, event: Event) -> None:
        if not self._instant:
            self._settled(event)

    def _settled(self, event: Event) -> None:
        origin = self.algorithm.settle(event.service, event.number)
        if origin is None:
            return
        reached = self.algorithm.progress[event.service][origin]
        waiting = self._waiting.pop((event.service, origin), ())
        for needed, number, requirements in waiting:
            if needed <= reached:
                self._look(event, number, requirements)
            else:
                self._waiting[event.service, origin].append((needed, number, requirements))

    def _count_state(self) -> None:
        for service in range(0, self.algorithm.services, max(1, self.algorithm.services // SAMPLED)):
            for run, words in zip(self.runs.values(), self.algorithm.words(service), strict=True):
                run.state(Held(words, WORD * words))
