"""One node of an exploration: the real engine, and what its caller owes it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

from causal.errors import CausalError
from causal.ordering.dot import Dot, NodeId
from causal.ordering.engine import Engine
from causal.ordering.frames import Hello, ReceiverFrame, ReceiverToSender, SenderFrame, SenderToReceiver, Welcome
from causal.ordering.holdback import Arrival
from causal.ordering.output import EngineConfig, Output
from causal.ordering.stamp import dots_of
from causal.testing.exploration.canonical import canonical_of
from causal.testing.exploration.judge import Event
from causal.testing.exploration.scenarios import Scenario, ordering_of
from causal.testing.exploration.times import PAUSE_MS
from causal.testing.invariants import Invariants

DOWN, UP = 0, 1
"""Directions of a stream: from its sender, and back."""


class Input(NamedTuple):
    """Something that happens at one site: a verb, and the message, peer or frame that it is about."""

    verb: str
    message: int = -1
    peer: str = ""
    frame: int = -1
    """Number of a frame."""


class Parcel(NamedTuple):
    """A frame on a stream, with who put it there."""

    by: NodeId
    frame: SenderToReceiver | ReceiverToSender


class Effects:
    """What came of one input."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int, Parcel]] = []
        """Peer, direction, and what is put on that stream."""
        self.events: list[Event] = []


class Site:
    """An engine, and what is ready, running, to be put on streams, and left to be sent."""

    def __init__(self, name: str, incarnation: int, scenario: Scenario) -> None:
        peers = [receiver for sender, receiver in scenario.links if sender == name]
        config = EngineConfig(
            frame_messages=scenario.frame_messages,
            window_messages=scenario.window_messages,
            garbage_after_ms=PAUSE_MS - 500,
            dependencies_max=scenario.dependencies_max,
        )
        self.timed = scenario.timed
        self.in_turn = scenario.in_turn
        self.engine = Engine(NodeId(name, incarnation), peers, ordering_of, config)
        self.ready: dict[int, Arrival] = {}
        self.running: dict[int, Arrival] = {}
        self.sent: set[int] = set()
        """Messages of the scenario that this name has sent; survives a restart, as clients do."""
        self.dialling: set[str] = set()
        self.transmit: set[str] = set()
        self.report: set[NodeId] = set()

    @property
    def name(self) -> str:
        """The node's name."""
        return self.engine.me.name

    def key(self) -> Hashable:
        """Equal for two sites that go on alike."""
        return (
            canonical_of(self.engine, timed=self.timed, in_turn=self.in_turn),
            frozenset(self.ready),
            frozenset(self.running),
            frozenset(self.sent),
            frozenset(self.dialling),
            frozenset(self.transmit),
            frozenset(self.report),
        )

    def broken(self) -> list[str]:
        """Which invariants of the engine do not hold, in words."""
        return Invariants(self.engine).broken()

    def enabled(self, scenario: Scenario) -> list[Input]:
        """What this site may do by itself, whatever the others do."""
        inputs = [
            Input("send", number)
            for number, message in enumerate(scenario.messages)
            if message.sender == self.name and self._may_send(scenario, number)
        ]
        inputs += [Input("start", number) for number in sorted(self.ready)]
        inputs += [
            Input("finish", number) for number in sorted(self.running) if not self._still_sends(scenario, number)
        ]
        inputs += [Input("dial", peer=peer) for peer, link in self.engine.outbound.items() if self._may_dial(peer)]
        inputs += [Input("transmit", peer=peer) for peer in sorted(self.transmit)]
        inputs += [Input("report", peer=origin.name) for origin in sorted(self.report)]
        return inputs

    def _may_dial(self, peer: str) -> bool:
        return peer != self.name and not self.engine.outbound[peer].connected and peer not in self.dialling

    def _may_send(self, scenario: Scenario, number: int) -> bool:
        """Clients send in the order of the scenario, and so does each handler."""
        cause = scenario.messages[number].cause
        if number in self.sent or (cause is not None and cause not in self.running):
            return False
        earlier = [
            other
            for other, message in enumerate(scenario.messages[:number])
            if message.sender == self.name and message.cause == cause
        ]
        return self.sent.issuperset(earlier)

    def _still_sends(self, scenario: Scenario, handling: int) -> bool:
        return any(
            message.sender == self.name and message.cause == handling and number not in self.sent
            for number, message in enumerate(scenario.messages)
        )

    def may_drop(self) -> list[int]:
        """Messages here whose handler has not started."""
        arrivals = [a for link in self.engine.settlement.inbound.values() for a in link.unsettled.values()]
        return sorted(number_of(a) for a in arrivals if not a.started and not a.finished)

    def unrest(self, *, context: bool) -> list[str]:
        """Why this site is not at rest when nothing more can happen; with `context`, if something is pending.

        Dots of an incarnation that is gone may stay: nobody may be left who could tell of them.
        """
        engine, reasons = self.engine, []
        if engine.unsettled:
            reasons.append(f"{self.name}: unsettled {[str(dot) for dot in engine.unsettled]}")
        if len(engine.delivery.holdback):
            reasons.append(f"{self.name}: holds {[f'{a.dot} for {a.waits_for}' for a in engine.delivery.holdback]}")
        left = [str(a.dot) for link in engine.settlement.inbound.values() for a in link.unsettled.values()]
        if left:
            reasons.append(f"{self.name}: received and not settled: {left}")
        if context and (pending := self.pending()):
            reasons.append(f"{self.name}: context {[f'{dot} for {peer}' for peer, dot in pending]}")
        return reasons

    def pending(self) -> list[tuple[str, Dot]]:
        """What the context lists by destination, but for dots of incarnations that are gone as far as is known here."""
        engine = self.engine
        return [
            (peer, dot)
            for peer, dots in engine.context.pending.items()
            for dot in dots_of(dots)
            if not engine.settlement.is_gone(dot.origin)
        ]

    # -- inputs ------------------------------------------------------------------------------------------------

    def do(self, given: Input, frame: Parcel | None, scenario: Scenario, now_ms: int) -> Effects:
        """Take one input. An error of the engine is an event for the judge."""
        effects = Effects()
        try:
            self._do(given, frame, scenario, now_ms, effects)
        except CausalError as error:
            effects.events.append(("errs", f"{self.name}: {error!r}"))
        for arrival in self.engine.delivery.holdback:
            if not arrival.finished:
                effects.events.append(("holds", self.name, number_of(arrival)))
        return effects

    def _do(self, given: Input, parcel: Parcel | None, scenario: Scenario, now_ms: int, effects: Effects) -> None:
        verb, message, peer = given.verb, given.message, given.peer
        if verb == "send":
            self._send(message, scenario, now_ms, effects)
        elif verb in ("start", "finish", "fail", "drop"):
            self._handle(verb, message, effects)
        elif verb == "transmit":
            self._transmit(peer, now_ms, effects)
        elif verb == "report":
            self._report(peer, effects)
        elif verb == "heard":
            assert parcel is not None
            self._heard(parcel.by, parcel.frame, now_ms, effects)
        elif verb == "answered":
            assert parcel is not None
            self._answered(peer, parcel.frame, now_ms, effects)
        else:
            self._stream(verb, peer, now_ms, effects)

    def _send(self, message: int, scenario: Scenario, now_ms: int, effects: Effects) -> None:
        sent = scenario.messages[message]
        dot, output = self.engine.send(sent.to, sent.subject, bytes([message]), now_ms, urgent=sent.cause is not None)
        self.sent.add(message)
        effects.events.append(("sends", message, dot))
        self._take(output, effects)

    def _handle(self, verb: str, message: int, effects: Effects) -> None:
        if verb == "start":
            arrival = self.running[message] = self.ready.pop(message)
            again = arrival.started
            self.engine.start(arrival)
            missing = () if again else arrival.lost
            effects.events.append(("starts", self.name, message, arrival.verdict.ordered, missing))
            return
        if verb == "fail":
            self.ready[message] = self.running.pop(message)
            effects.events.append(("fails", self.name, message))
            return
        arrival = self._arrival(message)
        for place in (self.ready, self.running):
            place.pop(message, None)
        effects.events.append(("finishes", self.name, message))
        self._take(self.engine.finish(arrival), effects)

    def _arrival(self, message: int) -> Arrival:
        arrivals = (a for link in self.engine.settlement.inbound.values() for a in link.unsettled.values())
        return next(a for a in arrivals if number_of(a) == message)

    def _transmit(self, peer: str, now_ms: int, effects: Effects) -> None:
        self.transmit.discard(peer)
        while (frame := self.engine.transmit(peer, now_ms)) is not None:
            effects.sent.append((peer, DOWN, Parcel(self.engine.me, frame)))

    def _report(self, peer: str, effects: Effects) -> None:
        for origin in [each for each in self.report if each.name == peer]:
            self.report.discard(origin)
            frame = self.engine.report(origin)
            if frame is not None:
                effects.sent.append((peer, UP, Parcel(self.engine.me, frame)))

    def _heard(self, by: NodeId, frame: SenderToReceiver | ReceiverToSender, now_ms: int, effects: Effects) -> None:
        if isinstance(frame, Hello):
            answer, output = self.engine.greeted(frame, now_ms)
            effects.events.append(("hears", self.name, by))
            effects.sent.append((by.name, UP, Parcel(self.engine.me, answer)))
        else:
            assert isinstance(frame, SenderFrame)
            link = self.engine.settlement.inbound.get(by)
            starts = frame.base is not None and link is not None and not link.based
            output = self.engine.arrived(by, frame, now_ms)
            if starts and frame.base is not None:
                effects.events.append(("is_told", self.name, by, frame.base.last, frame.base.unsettled))
        self._take(output, effects)

    def _answered(self, peer: str, frame: SenderToReceiver | ReceiverToSender, now_ms: int, effects: Effects) -> None:
        if isinstance(frame, Welcome):
            self.dialling.discard(peer)
            output = self.engine.welcomed(peer, frame)
        elif isinstance(frame, ReceiverFrame):
            output = self.engine.reported(peer, frame, now_ms)
        else:
            effects.events.append(("errs", f"{self.name}: {peer} says {frame!r}"))
            return
        self._take(output, effects)

    def _stream(self, verb: str, peer: str, now_ms: int, effects: Effects) -> None:
        engine = self.engine
        if verb == "dial":
            self.dialling.add(peer)
            effects.sent.append((peer, DOWN, Parcel(engine.me, engine.hello(peer))))
        elif verb == "broken":  # the stream to that peer
            self.dialling.discard(peer)
            self.transmit.discard(peer)
            engine.disconnected(peer)
        elif verb == "gone":  # the stream from that peer
            self.report = {origin for origin in self.report if origin.name != peer}
            for origin in [o for o in engine.settlement.inbound if o.name == peer]:
                engine.hung_up(origin)
        else:
            assert verb == "beat", verb
            self._beat(now_ms, effects)

    def _beat(self, now_ms: int, effects: Effects) -> None:
        self._take(self.engine.tick(now_ms), effects)
        for peer in self.engine.outbound:
            frame = self.engine.transmit(peer, now_ms, heartbeat=True)
            if frame is not None:
                effects.sent.append((peer, DOWN, Parcel(self.engine.me, frame)))
        for origin in self.engine.settlement.inbound:
            report = self.engine.report(origin, heartbeat=True)
            if report is not None:
                effects.sent.append((origin.name, UP, Parcel(self.engine.me, report)))

    def _take(self, output: Output, effects: Effects) -> None:
        for arrival in output.received:
            effects.events.append(("receives", self.name, number_of(arrival)))
        for dot in output.conflicts:
            effects.events.append(("errs", f"{self.name}: {dot} came with another content"))
        self.ready |= {number_of(arrival): arrival for arrival in output.ready if not arrival.finished}
        effects.events += [("claims", dot) for dot in output.settled]
        self.transmit |= output.transmit
        self.report |= output.report


def number_of(arrival: Arrival) -> int:
    """The message's number in the scenario, from its payload."""
    return arrival.copy.payload[0]
