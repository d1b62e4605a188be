"""What a simulated node does with messages: handlers that overlap, send, fail and are retried, and dead letters."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import NamedTuple, Protocol

from causal.errors import BackpressureError, ClockDriftError, OrderingError, TokenError
from causal.ordering.context import CausalContext
from causal.ordering.contexts import Follows
from causal.ordering.dot import Dot, NodeId
from causal.ordering.engine import Engine
from causal.ordering.holdback import Arrival
from causal.ordering.output import Output
from causal.ordering.scope import Scope
from causal.ordering.tokens import Token, observe, renamed, token_of
from causal.ordering.verdict import Ordering
from causal.testing.facts import Past
from causal.testing.figures import Figures
from causal.testing.history import History
from causal.testing.network import MS, Network

GIVE_UP_SENDING = 3
"""Attempts after which a handler that finds no room does without its sends: real handlers, too, are not all
allowed to wait for each other."""

SESSIONS = 2
"""Clients of each node that send more than once, each of its messages after the one before."""

EARLY = 0.5
"""Share of observed tokens that are one of this run's own from before anybody has accepted it, if there is one."""

Draw = Callable[[], tuple[list[str], str] | None]
"""Destinations and subject of the next message of a handler; None when handlers have sent enough."""


class Thread(NamedTuple):
    """Who sends: a handler or a client."""

    name: object
    """As the history knows it; None in process scope, where all are one."""
    context: CausalContext


class Soon(Protocol):
    """Calls something later, unless the node has crashed by then."""

    def __call__(self, delay: int, act: Callable[..., None], *arguments: object) -> None: ...


class Work:
    """The messages of one run of one node."""

    def __init__(
        self,
        engine: Engine,
        place: str,
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
        self._place = place
        self._run = run
        self._network = network
        self._plan = network.plan
        self._random = network.random
        self._history = history
        self._figures = figures
        self._draw = draw
        self._now_ms = now_ms
        self._began = network.timeline.now
        self._soon = soon
        self._take = take
        self._scoped = engine.config.scope is Scope.CONTEXT
        self._ready: deque[Arrival] = deque()
        self._running: dict[Arrival, object] = {}
        """Handlers, with the threads that they are to the history."""
        self._sessions = [self._open(f"session {number}") for number in range(SESSIONS)]
        self._requests = 0
        self._sent: dict[int, Dot] = {}
        """Messages of this run by number, to be named."""
        self.former: list[NodeId] = []
        """Incarnations that this run had before its peers accepted the present one."""
        self._early: list[tuple[Token, Past]] = []
        """Tokens made before that: their dots might still be renamed, and only this run knows under which names they
        go on. Whoever else observed them would follow what is lost."""
        self._early_random = Random(f"early tokens {network.plan.seed} {engine.me}")

    def _open(self, name: object) -> Thread:
        """A client's thread; in process scope there is but one for all."""
        return Thread(name if self._scoped else None, self._engine.contexts.open())

    def send(self, to: list[str], subject: str) -> None:
        """A client's send, in its session or as a request by itself; without room it waits."""
        if self._random.random() < 0.5:
            thread = self._random.choice(self._sessions)
        else:
            self._requests += 1
            thread = self._open(f"request {self._requests}")
        if self._plan.tokens and self._random.random() < self._plan.tokens:
            self._observe(thread)
        self._client_sends(thread, to, subject)

    def _client_sends(self, thread: Thread, to: list[str], subject: str) -> None:
        if not self._try_send(thread, to, subject):
            self._network.tally["send waits for room"] += 1
            self._soon(self._random.randrange(2 * MS, 20 * MS), self._client_sends, thread, to, subject)
        elif not self._engine.settlement.accepted:
            if self._early_random.random() < self._plan.tokens:
                self._early.append(self._token(thread))
        elif self._plan.tokens and self._random.random() < self._plan.tokens:
            self._network.tokens.append(self._token(thread))

    def _token(self, thread: Thread) -> tuple[Token, Past]:
        return token_of(self._engine, thread.context), self._history.past_of(self._place, thread.name)

    def _observe(self, thread: Thread) -> None:
        """A client has read a token, of whatever node and age."""
        if self._early and self._early_random.random() < EARLY:
            token, past = self._early_random.choice(self._early)
            self._network.tally["token of a former incarnation observed"] += bool(self.former)
            token = renamed(token, self.former, self._engine.me)
        elif self._network.tokens:
            token, past = self._random.choice(self._network.tokens)
        else:
            return
        try:
            observe(self._engine, thread.context, token, self._now_ms())
        except ClockDriftError:
            self._network.tally["token refused for its clock"] += 1
        except TokenError:
            # Of another run of this node under the same incarnation, which no clock shows twice: of a mutant only.
            self._network.tally["TokenError"] += 1
        else:
            self._network.tally["token observed"] += 1
            self._history.observed(self._place, thread.name, past)

    def _try_send(self, thread: Thread, to: list[str], subject: str, *, urgent: bool = False) -> bool:
        engine, plan = self._engine, self._plan
        number = len(self._history.messages)
        key = self._random.randint(1, plan.keys) if plan.keys and self._random.random() < 0.5 else 0
        after = self._named() if plan.after and self._random.random() < plan.after else {}
        payload = number.to_bytes(4) + bytes([key]) + bytes(self._random.randrange(12))
        self._figures.sending(engine, thread.context)
        follows = Follows(thread.context, str(key) if key else None, list(after.values()))
        try:
            dot, output = engine.send(to, subject, payload, self._now_ms(), urgent=urgent, follows=follows)
        except BackpressureError:
            return False
        destinations = tuple(dict.fromkeys(to))
        other = next((name for name in destinations if name != self._name), None)
        stamp = (output.received[0].copy if other is None else engine.outbound[other].outbox[dot.seq]).stamp
        self._sent[number] = dot
        self._history.sent(
            dot,
            self._run,
            destinations,
            subject,
            stamp,
            self._place,
            thread=thread.name,
            key=key or None,
            after=list(after),
        )
        self._figures.sent(to, self._name, stamp)
        self._network.tally["sent in context scope"] += self._scoped
        self._network.tally["sent with a key in context scope"] += self._scoped and key > 0
        self._network.tally["sent after messages by name"] += bool(after)
        self._take(output)
        return True

    def _named(self) -> dict[int, Dot]:
        """Some messages to follow: sent here, or received here and not settled."""
        known = {number: dot._replace(incarnation=self._engine.me.incarnation) for number, dot in self._sent.items()}
        for link in self._engine.settlement.inbound.values():
            arrivals = [arrival for arrival in link.unsettled.values() if arrival.copy.payload]
            known |= {number_of(arrival): arrival.dot for arrival in arrivals}
        chosen = self._random.sample(sorted(known), min(len(known), self._random.choice((1, 2))))
        return {number: known[number] for number in chosen}

    @property
    def idle(self) -> bool:
        """Whether nothing is left to be handled, now or again, of what has come in and need not wait."""
        links = self._engine.settlement.inbound.values()
        return not any(
            arrival.in_turn or (arrival.ordering is Ordering.NONE and not arrival.finished)
            for link in links
            for arrival in link.unsettled.values()
        )

    def take(self, output: Output) -> None:
        """What has come in, what may be handled, what is settled."""
        for arrival in output.received:
            self._history.received(self._place, number_of(arrival))
            told = self._history.destinations(arrival.waits_for) if arrival.waits_for is not None else ()
            self._figures.received(self._engine, arrival, sibling=arrival.origin.name in told)
            if self._network.faulty and self._random.random() < self._plan.dropped:
                self._soon(self._random.randrange(30 * MS), self._drop, arrival)
        for arrival in output.given_up:
            self._network.tally["given up: dropped where it was to go"] += 1
            self._network.tally["given up: settles in turn, later"] += not arrival.in_turn
            self._history.given_up(self._place, arrival.dot)
        self._figures.ready(output)
        # Its clock may be set forward; that must not make half of the time pass.
        late = 2 * (self._network.timeline.now - self._began) >= self._plan.links_known_ms * MS
        for arrival in output.ready:
            self._history.released(self._place, number_of(arrival), late=late)
        self._ready.extend(arrival for arrival in output.ready if not arrival.finished)
        for dot in output.settled:
            self._history.judge_settled(dot, self._place)
        self._begin()

    def _begin(self) -> None:
        while self._ready and len(self._running) < self._plan.concurrency:
            self._handle(self._ready.popleft(), 1)

    def _handle(self, arrival: Arrival, attempt: int) -> None:
        key = arrival.copy.payload[4]
        try:
            self._engine.start(arrival, str(key) if key else None)
        except OrderingError as error:
            self._network.tally["OrderingError"] += 1
            self._history.blame(f"error: {error}")
            return
        if attempt == 1:
            self._figures.started(arrival)
            self._history.named(self._place, arrival.lost)
            if arrival.unsure or arrival.lost:
                self._history.doubted(self._place, number_of(arrival), unsure=arrival.unsure)
        thread = number_of(arrival) if self._scoped else None
        self._history.started(
            self._place,
            number_of(arrival),
            ordered=arrival.verdict.ordered,
            bounded=bool(arrival.horizon),
            thread=thread,
            key=key or None,
        )
        self._running[arrival] = thread
        duration = self._random.randint(0, self._plan.handler_ms * MS)
        sends = self._random.choice((1, 1, 2)) if self._random.random() < self._plan.chain else 0
        self._soon(self._random.randint(0, duration), self._act, arrival, attempt, sends, duration)

    def _act(self, arrival: Arrival, attempt: int, sends: int, duration: int) -> None:
        """In the middle of a handler: it sends, and goes on, and returns or fails."""
        failing = self._network.faulty and self._random.random() < self._plan.failing
        for _ in range(sends):
            message = self._draw()
            thread = Thread(self._running[arrival], self._engine.contexts.of(arrival))
            if message is not None and not self._try_send(thread, *message, urgent=True):
                self._network.tally["handler finds no room"] += 1
                failing = failing or attempt < GIVE_UP_SENDING
                break
        self._soon(self._random.randint(0, duration), self._end, arrival, attempt, failing)

    def _end(self, arrival: Arrival, attempt: int, failing: bool) -> None:
        del self._running[arrival]
        if failing:
            self._network.tally["handler failed"] += 1
            self._history.failed(self._place, number_of(arrival))
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
        self._history.finished(self._place, number_of(arrival))
        output = self._engine.finish(arrival)
        self._figures.finished(arrival)
        self._take(output)


def number_of(arrival: Arrival) -> int:
    """The number of a message in the history, from its payload."""
    return int.from_bytes(arrival.copy.payload[:4])
