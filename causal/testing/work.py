"""What a simulated node does with messages: handlers that overlap, send, fail and are retried, and dead letters."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from causal.errors import BackpressureError, OrderingError
from causal.ordering.engine import Engine
from causal.ordering.holdback import Arrival
from causal.ordering.output import Output
from causal.testing.figures import Figures
from causal.testing.history import History
from causal.testing.network import MS, Network

GIVE_UP_SENDING = 3
"""Attempts after which a handler that finds no room does without its sends: real handlers, too, are not all
allowed to wait for each other."""

Draw = Callable[[], tuple[list[str], str] | None]
"""Destinations and subject of the next message of a handler; None when handlers have sent enough."""


class Soon(Protocol):
    """Calls something later, unless the node has crashed by then."""

    def __call__(self, delay: int, act: Callable[..., None], *arguments: object) -> None: ...


class Work:
    """The messages of one run of one node."""

    def __init__(
        self,
        engine: Engine,
        run: int,
        network: Network,
        history: History,
        figures: Figures,
        draw: Draw,
        now_ms: Callable[[], int],
        soon: Soon,
        take: Callable[[Output], None],
    ) -> None:
        self._engine = engine
        self._name = engine.me.name
        self._run = run
        self._network = network
        self._plan = network.plan
        self._random = network.random
        self._history = history
        self._figures = figures
        self._draw = draw
        self._now_ms = now_ms
        self._soon = soon
        self._take = take
        self._ready: deque[Arrival] = deque()
        self._running: set[Arrival] = set()

    def send(self, to: list[str], subject: str) -> None:
        """A client's send; without room it waits."""
        if not self._try_send(to, subject):
            self._network.tally["send waits for room"] += 1
            self._soon(self._random.randrange(2 * MS, 20 * MS), self.send, to, subject)

    def _try_send(self, to: list[str], subject: str, *, urgent: bool = False) -> bool:
        engine = self._engine
        number = len(self._history.messages)
        payload = number.to_bytes(4) + bytes(self._random.randrange(12))
        self._figures.sending(engine)
        try:
            dot, output = engine.send(to, subject, payload, self._now_ms(), urgent=urgent)
        except BackpressureError:
            return False
        destinations = tuple(dict.fromkeys(to))
        other = next((name for name in destinations if name != self._name), None)
        stamp = (output.received[0].copy if other is None else engine.outbound[other].outbox[dot.seq]).stamp
        self._history.sent(dot, self._run, destinations, subject, stamp)
        self._figures.sent(to, self._name, stamp)
        self._take(output)
        return True

    def take(self, output: Output) -> None:
        """What has come in, what may be handled, what is settled."""
        for arrival in output.received:
            self._history.received(self._name, number_of(arrival))
            told = self._history.destinations(arrival.waits_for) if arrival.waits_for is not None else ()
            self._figures.received(self._engine, arrival, sibling=arrival.origin.name in told)
            if self._network.faulty and self._random.random() < self._plan.dropped:
                self._soon(self._random.randrange(30 * MS), self._drop, arrival)
        self._figures.ready(output)
        self._ready.extend(arrival for arrival in output.ready if not arrival.finished)
        for dot in output.settled:
            self._history.judge_settled(dot)
        self._begin()

    def _begin(self) -> None:
        while self._ready and len(self._running) < self._plan.concurrency:
            self._handle(self._ready.popleft(), 1)

    def _handle(self, arrival: Arrival, attempt: int) -> None:
        try:
            self._engine.start(arrival)
        except OrderingError as error:
            self._network.tally["OrderingError"] += 1
            self._history.blame(f"error: {error}")
            return
        if attempt == 1:
            self._figures.started(arrival)
            self._history.named(self._name, arrival.lost)
            if arrival.unsure or arrival.lost:
                self._history.doubted(self._name, number_of(arrival))
        self._history.started(
            self._name, number_of(arrival), ordered=arrival.verdict.ordered, bounded=bool(arrival.horizon)
        )
        self._running.add(arrival)
        duration = self._random.randint(0, self._plan.handler_ms * MS)
        sends = self._random.choice((1, 1, 2)) if self._random.random() < self._plan.chain else 0
        self._soon(self._random.randint(0, duration), self._act, arrival, attempt, sends, duration)

    def _act(self, arrival: Arrival, attempt: int, sends: int, duration: int) -> None:
        """In the middle of a handler: it sends, and goes on, and returns or fails."""
        failing = self._network.faulty and self._random.random() < self._plan.failing
        for _ in range(sends):
            message = self._draw()
            if message is not None and not self._try_send(*message, urgent=True):
                self._network.tally["handler finds no room"] += 1
                failing = failing or attempt < GIVE_UP_SENDING
                break
        self._soon(self._random.randint(0, duration), self._end, arrival, attempt, failing)

    def _end(self, arrival: Arrival, attempt: int, failing: bool) -> None:
        self._running.remove(arrival)
        if failing:
            self._network.tally["handler failed"] += 1
            self._history.failed(self._name, number_of(arrival))
            self._soon(self._random.randrange(20 * MS), self._handle, arrival, attempt + 1)
        else:
            self._finish(arrival)
        self._begin()

    def _drop(self, arrival: Arrival) -> None:
        """Dead-letter a message that no handler has begun with."""
        if arrival.started or arrival.finished:
            return
        if arrival in self._ready:
            self._ready.remove(arrival)
        self._network.tally["dropped" if arrival.in_turn else "dropped while held"] += 1
        self._finish(arrival)

    def _finish(self, arrival: Arrival) -> None:
        self._history.finished(self._name, number_of(arrival))
        output = self._engine.finish(arrival)
        self._figures.finished(arrival)
        self._take(output)


def number_of(arrival: Arrival) -> int:
    """The number of a message in the history, from its payload."""
    return int.from_bytes(arrival.copy.payload[:4])
