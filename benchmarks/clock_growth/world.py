"""Carries out a plan with real engines, in virtual time.

A frame is sent as soon as there is something to say, so nearly every message has a frame of its own; the real
encoder writes it, and what arrives is the frame itself. Handlers of a service run at the same time, as many as may
start, or `at_once`; half-way through a handler sends what the plan says. All links are open when a run begins.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from benchmarks.clock_growth.frame_parts import PAYLOAD, frame_parts
from benchmarks.clock_growth.history import History, Kind
from benchmarks.clock_growth.oracle import Oracle, Past
from benchmarks.clock_growth.run import Run
from benchmarks.clock_growth.state import held_by
from benchmarks.clock_growth.topology import SLOW_TIMES
from benchmarks.clock_growth.variants import Variant, fresh_context, make_engine, send, start
from benchmarks.clock_growth.workload import DELAY_US, SLOW_HOPS, Plan, Planned, delay_of_hop
from benchmarks.figures import BenchmarkError
from causal.ordering import Arrival, NodeId, Output
from causal.ordering.context import CausalContext
from causal.ordering.frames import ReceiverFrame, SenderFrame, Welcome
from causal.ordering.stamp import count_of, size_of
from causal.wire.codec import ReceiverEncoder, SenderEncoder

WARM_UP = 0.4
"""The share of the messages before anything counts."""
SAMPLED = 20
"""Services whose state is looked at; ten times as many messages are compared with what the oracle's sets say."""

_START_MS = 1_790_000_000_000
"""The time at which runs begin, in ms since 1970: as large on the wire as a real one."""


class Stream:
    """One link: its two ends at work, and when what was said on it arrives."""

    def __init__(self, sender: Service, receiver: Service, delay_us: int) -> None:
        self.sender = sender
        self.receiver = receiver
        self.delay_us = delay_us
        self.down = SenderEncoder()
        self.up = ReceiverEncoder()
        self.down_at = self.up_at = 0
        """When the last frame of that direction arrives: none overtakes it."""
        self.said_down = self.said_up = 0
        """When the last frame of that direction was sent."""


class Service:
    """One engine and its streams."""

    def __init__(self, number: int, me: NodeId, variant: Variant, peers: list[str]) -> None:
        self.number = number
        self.me = me
        self.engine = make_engine(variant, me, peers, _START_MS)
        self.outbound: dict[str, Stream] = {}
        self.inbound: dict[NodeId, Stream] = {}
        self.running = 0
        self.queued: deque[Arrival] = deque()
        """May start, and wait for a handler to be free."""


class World:
    """One run of one variant. `history` is written if given, `advance` told of each message.

    `at_once`: how many handlers of a service run at the same time, where they take time; 0: as many as may start.
    """

    def __init__(
        self,
        plan: Plan,
        variant: Variant,
        handler_us: int,
        *,
        at_once: int = 0,
        seed: int = 1,
        history: History | None = None,
        advance: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.plan = plan
        self.variant = variant
        self.handler_us = handler_us
        self.at_once = at_once or len(plan.requests) + plan.messages
        self.run = Run()
        self.now = 0
        self.oracle = Oracle(len(plan.names), process_scope=variant.scope == "process")
        self.history = history
        self._advance = advance
        self._random = Random(f"world {seed}")
        self._due: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0
        self._to_handle = 0
        self._then: dict[tuple[int, int], tuple[Planned, ...]] = {}
        """(service, message) → what its handler sends."""
        self._delays: dict[tuple[int, int], float] = {}
        first = min(request.at_us for request in self.plan.requests[int(WARM_UP * len(plan.requests)) :])
        self._counts_from, self._counts_to = first, plan.requests[-1].at_us
        self._measured: set[int] = set()
        self._held_since: dict[Arrival, int] = {}
        self.services = [
            Service(number, NodeId(name, _START_MS - self._random.randrange(10**9)), variant, self._peers(number))
            for number, name in enumerate(plan.names)
        ]

    def _peers(self, number: int) -> list[str]:
        return [self.plan.names[peer] for peer in self.plan.peers(number)]

    def carry_out(self) -> Run:
        """The whole plan, until everything is handled. Raises `BenchmarkError` if something never is."""
        self._connect()
        for request in self.plan.requests:
            self._after(request.at_us, self._enter, self.services[request.service], request.sends)
        self._after(self._counts_to, self._look_at_state)
        if self.variant.heartbeat_ms:
            for service in self.services:
                self._after(self._random.randrange(1000 * self.variant.heartbeat_ms), self._beat, service)
        due = self._due
        while due:
            self.now, _, act, arguments = heapq.heappop(due)
            act(*arguments)
        if self._to_handle or self._held_since:
            raise BenchmarkError(f"{self.variant.name}: {self._to_handle} copies were never handled")
        self.run.violations, self.run.shown = self.oracle.violations, self.oracle.shown
        self.run.needless = self.oracle.needless
        return self.run

    def _after(self, delay_us: int, act: Callable[..., None], *arguments: Any) -> None:
        self._count += 1
        heapq.heappush(self._due, (self.now + delay_us, self._count, act, arguments))

    @property
    def _now_ms(self) -> int:
        return _START_MS + self.now // 1000

    @property
    def _counting(self) -> bool:
        return self._counts_from <= self.now <= self._counts_to

    def _connect(self) -> None:
        for one, other in sorted(self.plan.links):
            sender, receiver = self.services[one], self.services[other]
            delay = DELAY_US * (SLOW_TIMES if (one, other) in self.plan.slow else 1)
            stream = sender.outbound[receiver.me.name] = receiver.inbound[sender.me] = Stream(sender, receiver, delay)
            hello = sender.engine.hello(receiver.me.name)
            welcome, _ = receiver.engine.greeted(hello, self._now_ms)
            assert isinstance(welcome, Welcome)
            stream.down.encode(hello)
            stream.up.encode(welcome)
            self._take(sender, sender.engine.welcomed(receiver.me.name, welcome))

    # -- requests and handlers ---------------------------------------------------------------------------------

    def _enter(self, service: Service, sends: tuple[Planned, ...]) -> None:
        past = self.oracle.request(service.number)
        self._send_all(service, fresh_context(service.engine), past, sends)

    def _send_all(self, service: Service, context: CausalContext, past: Past, sends: tuple[Planned, ...]) -> None:
        for planned in sends:
            number = planned.number
            for receiver, delay, then in zip(planned.to, planned.delays, planned.then, strict=True):
                self._delays[receiver, number] = delay
                self._then[receiver, number] = then
            self._to_handle += len(planned.to)
            self._advance(1)
            sampled = number % max(1, self.plan.messages // (10 * SAMPLED)) == 0
            if self._counting:
                self._measured.add(number)
                if sampled:
                    self.run.ideal.note(self.oracle.ideal(past))
            if self.history is not None:
                self._note_send(service, planned)
                if sampled:
                    self.history.truth[number] = self.oracle.counts(past)
            self.oracle.sent(service.number, past, number, planned.to)
            to = [self.plan.names[receiver] for receiver in planned.to]
            _, output = send(service.engine, context, to, number.to_bytes(4), self._now_ms)
            self._take(service, output)

    def _note_send(self, service: Service, planned: Planned) -> None:
        history, number = self.history, planned.number
        assert history is not None
        history.note(Kind.SEND, self.now, service.number, number)
        history.senders[number] = service.number
        history.destinations[number] = planned.to
        if number in self._measured:
            history.measured.add(number)

    def _start(self, service: Service, arrival: Arrival, todo: deque[tuple[Output, int | None]]) -> None:
        if self.handler_us and service.running >= self.at_once:
            service.queued.append(arrival)
            return
        service.running += 1
        number = _number(arrival)
        context = start(service.engine, arrival)
        past = self.oracle.started(service.number, number)
        self._note(Kind.START, service, number)
        sends = self._then.pop((service.number, number))
        if self.handler_us:
            self._after(self.handler_us // 2, self._send_all, service, context, past, sends)
            self._after(self.handler_us, self._finish, service, arrival)
        else:
            self._send_all(service, context, past, sends)
            todo.append(self._finished(service, arrival))

    def _finish(self, service: Service, arrival: Arrival) -> None:
        todo: deque[tuple[Output, int | None]] = deque([self._finished(service, arrival)])
        if service.queued:
            self._start(service, service.queued.popleft(), todo)
        self._carry_on(service, todo)

    def _finished(self, service: Service, arrival: Arrival) -> tuple[Output, int]:
        service.running -= 1
        number = _number(arrival)
        output = service.engine.finish(arrival)
        self.oracle.settled(service.number, number)
        self._note(Kind.SETTLE, service, number)
        self._to_handle -= 1
        return output, number

    def _note(self, kind: Kind, service: Service, number: int) -> None:
        if self.history is not None:
            self.history.note(kind, self.now, service.number, number)

    # -- what an engine asks for -------------------------------------------------------------------------------

    def _take(self, service: Service, output: Output, trigger: int | None = None) -> None:
        """Do what the engine asks for; `trigger`: the message whose settlement it comes of."""
        self._carry_on(service, deque([(output, trigger)]))

    def _carry_on(self, service: Service, todo: deque[tuple[Output, int | None]]) -> None:
        """What the engine asks for now, and what comes of that, as long as it takes no time."""
        transmit: set[str] = set()
        report: set[NodeId] = set()
        while todo:
            output, trigger = todo.popleft()
            transmit |= output.transmit
            report |= output.report
            if output.received or output.ready:
                self._see(service, output, trigger)
                for arrival in output.ready:
                    self._start(service, arrival, todo)
        for peer in sorted(transmit):
            self._pump_down(service.outbound[peer])
        for origin in sorted(report):
            self._pump_up(service.inbound[origin])

    def _see(self, service: Service, output: Output, trigger: int | None) -> None:
        """Note what is held and what is released."""
        for arrival in output.received:
            self._held_since[arrival] = self.now
            self._note(Kind.RECEIVE, service, _number(arrival))
        for arrival in output.ready:
            number, since = _number(arrival), self._held_since.pop(arrival)
            at_once = arrival in output.received
            self._note(Kind.RELEASE, service, number)
            self.oracle.released(service.number, number, number if at_once else trigger)
            if number in self._measured:
                self.run.waiting.note(self.now - since, held=not at_once)
        for arrival in output.received:
            if arrival in self._held_since:
                self.oracle.held(service.number, _number(arrival))

    def _pump_down(self, stream: Stream) -> None:
        engine, peer = stream.sender.engine, stream.receiver.me.name
        while (frame := engine.transmit(peer, self._now_ms)) is not None:
            self._put_down(stream, frame)

    def _put_down(self, stream: Stream, frame: SenderFrame) -> None:
        data = stream.down.encode(frame)
        delay = float(stream.delay_us)
        if frame.copies:
            numbers = [int.from_bytes(copy.payload) for copy in frame.copies]
            delay *= max(self._delays.pop((stream.receiver.number, number)) for number in numbers)
            if self._measured.intersection(numbers):
                self._measure(data, frame)
        else:
            delay *= self._hop()
            if self._counting and frame.base is None:
                self.run.control(len(data))
        stream.said_down = self.now
        stream.down_at = max(stream.down_at, self.now + int(delay))
        self._after(stream.down_at - self.now, self._arrive, stream, frame)

    def _measure(self, data: bytes, frame: SenderFrame) -> None:
        shared, messages, _ = frame_parts(data)
        for copy, parts in zip(frame.copies, messages, strict=True):
            if int.from_bytes(copy.payload) in self._measured:
                self.run.sent([one + other for one, other in zip(parts[:PAYLOAD], shared, strict=False)])
                self.run.dots.note(count_of(copy.stamp.after) + size_of(copy.stamp.elsewhere))
            shared = [0] * PAYLOAD  # what messages share counts for the first of them

    def _arrive(self, stream: Stream, frame: SenderFrame) -> None:
        service = stream.receiver
        self._take(service, service.engine.arrived(stream.sender.me, frame, self._now_ms))

    def _pump_up(self, stream: Stream) -> None:
        frame = stream.receiver.engine.report(stream.sender.me)
        if frame is not None:
            self._put_up(stream, frame)

    def _put_up(self, stream: Stream, frame: ReceiverFrame) -> None:
        data = stream.up.encode(frame)
        if self._counting:
            if frame.settled:
                self.run.acknowledgement(len(data))
            else:
                self.run.control(len(data))
        stream.said_up = self.now
        stream.up_at = max(stream.up_at, self.now + int(stream.delay_us * self._hop()))
        self._after(stream.up_at - self.now, self._reported, stream, frame)

    def _hop(self) -> float:
        """What a frame without a message takes, as a multiple: only single slow hops make a difference."""
        return delay_of_hop(self._random, SLOW_HOPS) if self.plan.slow_hops else 1.0

    def _reported(self, stream: Stream, frame: ReceiverFrame) -> None:
        service = stream.sender
        self._take(service, service.engine.reported(stream.receiver.me.name, frame, self._now_ms))

    # -- time --------------------------------------------------------------------------------------------------

    def _beat(self, service: Service) -> None:
        """What a node does about once per heartbeat: after a silence, both ends of a link say something."""
        if self.now > self._counts_to and not self._to_handle:
            return
        interval = 1000 * self.variant.heartbeat_ms
        self._take(service, service.engine.tick(self._now_ms))
        for peer, stream in service.outbound.items():
            if self.now - stream.said_down >= interval:
                frame = service.engine.transmit(peer, self._now_ms, heartbeat=True)
                if frame is not None:
                    self._put_down(stream, frame)
        for origin, stream in service.inbound.items():
            if self.now - stream.said_up >= interval:
                report = service.engine.report(origin, heartbeat=True)
                if report is not None:
                    self._put_up(stream, report)
        self._after(interval, self._beat, service)

    def _look_at_state(self) -> None:
        every = max(1, len(self.services) // SAMPLED)
        for service in self.services[::every]:
            self.run.state(held_by(service.engine))


def _number(arrival: Arrival) -> int:
    return int.from_bytes(arrival.copy.payload)
