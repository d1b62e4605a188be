"""Rules of exact mode, each taken away in turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

from causal.ordering import engine as engine_module
from causal.ordering.context import CausalContext, without
from causal.ordering.contexts import Contexts
from causal.ordering.counts import SendCounts
from causal.ordering.delivery import Delivery
from causal.ordering.dot import Dot, NodeId
from causal.ordering.engine import Engine
from causal.ordering.frames import Base, Refusal, SenderFrame, StableNumber, Welcome
from causal.ordering.greeting import refusal_of, validate_welcome
from causal.ordering.holdback import Arrival, HoldBackQueue
from causal.ordering.link import InboundLink, OutboundLink, Received
from causal.ordering.output import EngineConfig, Output
from causal.ordering.settlement import Settlement
from causal.ordering.stability import Stability
from causal.ordering.stamp import Clock, Copy, Dots, Pending, Seqs
from causal.ordering.stamping import Stamping
from causal.ordering.verdict import Ordering
from causal.testing.member import EPOCH_MS
from tests.simulation.mutants.registry import mutant


@mutant
def acknowledges_on_receipt() -> Iterator[None]:
    true = Delivery.receive

    def receive(self: Delivery, link: InboundLink, copy: Copy, output: Output) -> None:
        true(self, link, copy, output)
        link.to_report.append(copy.seq)
        output.report.add(link.origin)

    with patch.object(Delivery, "receive", receive):
        yield


@mutant
def acknowledges_a_held_duplicate() -> Iterator[None]:
    true = Delivery._receive_again

    def receive_again(self: Delivery, link: InboundLink, copy: Copy, output: Output) -> None:
        true(self, link, copy, output)
        link.to_report.append(copy.seq)
        output.report.add(link.origin)

    with patch.object(Delivery, "_receive_again", receive_again):
        yield


@mutant
def acknowledges_what_is_held_when_a_stream_begins() -> Iterator[None]:
    true = OutboundLink.resume

    def resume(self: OutboundLink, welcome: Welcome) -> list[int]:
        return true(self, replace(welcome, unsettled=()))

    with patch.object(OutboundLink, "resume", resume):
        yield


@mutant
def drops_elsewhere() -> Iterator[None]:
    def elsewhere(
        self: Stamping, pending: Pending, name: str, siblings: tuple[str, ...], seqs: Seqs
    ) -> dict[str, Dots]:
        return {sibling: {self._settlement.me: seqs} for sibling in siblings if sibling != name}

    with patch.object(Stamping, "_elsewhere", elsewhere):
        yield


@mutant
def forgets_the_siblings_of_a_multicast() -> Iterator[None]:
    def elsewhere(
        self: Stamping, pending: Pending, name: str, siblings: tuple[str, ...], seqs: Seqs
    ) -> dict[str, Dots]:
        return {other: dots for other, dots in pending.items() if other != name}

    with patch.object(Stamping, "_elsewhere", elsewhere):
        yield


@mutant
def looks_again_at_the_head_only() -> Iterator[None]:
    true = HoldBackQueue.release

    def release(self: HoldBackQueue, origin: NodeId, seq: int) -> list[Arrival]:
        return list(true(self, origin, seq))[:1]

    with patch.object(HoldBackQueue, "release", release):
        yield


@mutant
def the_process_follows_a_message_only_once_the_next_one_starts() -> Iterator[None]:
    with patch.object(Contexts, "process", property(lambda self: self._process)):
        yield


@mutant
def forgets_the_own_dot_of_a_running_handler() -> Iterator[None]:
    true = Contexts._follow_received

    def follow_received(self: Contexts, context: CausalContext, arrival: Arrival, *more: Any) -> None:
        arrival.passed, passed = arrival.passed or arrival.started, arrival.passed
        true(self, context, arrival, *more)
        arrival.passed = passed

    with patch.object(Contexts, "_follow_received", follow_received):
        yield


@mutant
def settles_none_messages_out_of_turn() -> Iterator[None]:
    true = Delivery.finish

    def finish(self: Delivery, arrival: Arrival, output: Output) -> None:
        if arrival.ordering is Ordering.NONE:
            settle_out_of_turn(self, arrival, output)
        true(self, arrival, output)

    with patch.object(Delivery, "finish", finish):
        yield


@mutant
def settles_dropped_messages_out_of_turn() -> Iterator[None]:
    true = Delivery.finish

    def finish(self: Delivery, arrival: Arrival, output: Output) -> None:
        if not arrival.started:
            settle_out_of_turn(self, arrival, output)
        true(self, arrival, output)

    with patch.object(Delivery, "finish", finish):
        yield


def settle_out_of_turn(delivery: Delivery, arrival: Arrival, output: Output) -> None:
    """Let a message that waits go, as if it did not: those that wait for it go on."""
    if arrival.waits_for is None:
        return
    waits_for = arrival.waits_for
    for other in list(delivery.holdback.release(waits_for.origin, waits_for.seq)):
        if other is not arrival:
            delivery.holdback.hold(other, waits_for.origin, waits_for.seq)
    arrival.in_turn, arrival.held_under = True, None


@mutant
def reuses_dots_after_a_restart() -> Iterator[None]:
    true = Engine.__init__

    def init(
        self: Engine, me: NodeId, peers: Any, ordering_of: Any, config: EngineConfig | None = None, *, process: int = 0
    ) -> None:
        true(self, NodeId(me.name, EPOCH_MS), peers, ordering_of, config)  # and as one process, or it is let in nowhere

    with patch.object(Engine, "__init__", init):
        yield


@mutant
def ignores_the_base() -> Iterator[None]:
    def start_at(self: InboundLink, base: Base) -> None:
        self.based = True
        self.received = Received(base.last, set(range(1, base.last + 1)))

    with patch.object(InboundLink, "start_at", start_at):
        yield


@mutant
def knows_of_no_loss() -> Iterator[None]:
    with patch.object(Settlement, "is_gone", lambda self, origin: False):
        yield


@mutant
def forgets_what_came_before_a_loss() -> Iterator[None]:
    true = Delivery._note_lost

    def note_lost(self: Delivery, arrival: Arrival, dot: Dot, output: Output) -> None:
        horizon = arrival.horizon
        true(self, arrival, dot, output)
        arrival.horizon = horizon

    with patch.object(Delivery, "_note_lost", note_lost):
        yield


@mutant
def stable_number_runs_ahead_of_a_destination() -> Iterator[None]:
    def own(self: Stability, last_seq: int, now_ms: int) -> StableNumber:
        oldest = [next(iter(link.outbox)) for link in self._outbound.values() if link.outbox]
        report = StableNumber(origin=self._me, upto=max(oldest, default=last_seq + 1) - 1, lagging={})
        self._settlement.stable[self._me] = report
        return report

    with patch.object(Stability, "own", own):
        yield


@mutant
def stable_number_forgets_who_lags() -> Iterator[None]:
    true = Stability.own

    def own(self: Stability, last_seq: int, now_ms: int) -> StableNumber:
        report = replace(true(self, last_seq, now_ms), lagging={})
        self._settlement.stable[self._me] = report
        return report

    with patch.object(Stability, "own", own):
        yield


@mutant
def nobody_passes_stable_numbers_on() -> Iterator[None]:
    true = Stability.due

    def due(self: Stability, link: OutboundLink, *arguments: Any) -> tuple[StableNumber, ...]:
        return tuple(report for report in true(self, link, *arguments) if report.origin == self._me)

    with patch.object(Stability, "due", due):
        yield


@mutant
def asks_nobody_about_garbage() -> Iterator[None]:
    with patch.object(Stability, "questions", lambda self, *_: (set(), set())):
        yield


@mutant
def a_resend_recomputes_the_stamp() -> Iterator[None]:
    true = Engine.transmit

    def transmit(self: Engine, peer: str, now_ms: int, *, heartbeat: bool = False) -> SenderFrame | None:
        frame = true(self, peer, now_ms, heartbeat=heartbeat)
        if frame is None:
            return None
        sent: dict[str, int] = self.__dict__.setdefault("sent_upto", {})
        copies = []
        for copy in frame.copies:
            if copy.seq <= sent.get(peer, 0):
                copy = copy._replace(stamp=copy.stamp._replace(after=self.context.pending.get(peer, {})))
            sent[peer] = max(sent.get(peer, 0), copy.seq)
            copies.append(copy)
        return replace(frame, copies=tuple(copies))

    with patch.object(Engine, "transmit", transmit):
        yield


@mutant
def a_merge_replaces_what_is_pending() -> Iterator[None]:
    def merge(self: CausalContext, pending: Any, is_settled: Any, timestamp: int, *_: Any) -> None:
        for destination, dots in pending.items():
            fresh = without(dots, partial(is_settled, destination))
            if fresh:
                self.pending[destination] = fresh
                self.ages[destination] = dict.fromkeys(fresh, timestamp)
                self.closed.pop(destination, None)

    with patch.object(CausalContext, "merge", merge):
        yield


@mutant
def waits_for_handlers_of_none_messages() -> Iterator[None]:
    true = Settlement.missing_here

    def missing_here(self: Settlement, origin: NodeId, seq: int) -> int:
        link = self.inbound.get(origin)
        waits = link is not None and seq in link.unsettled and not link.unsettled[seq].finished
        return seq if waits else true(self, origin, seq)

    with patch.object(Settlement, "missing_here", missing_here):
        yield


@mutant
def lets_in_another_process_of_an_incarnation() -> Iterator[None]:
    true = refusal_of

    def refusal(*arguments: Any) -> Refusal | None:
        with patch.object(Settlement, "is_twin", lambda *_: False):
            return true(*arguments)

    with patch.object(engine_module, "refusal_of", refusal):
        yield


@mutant
def believes_another_process_of_a_receiver() -> Iterator[None]:
    true = validate_welcome

    def validate(*arguments: Any) -> None:
        with patch.object(Settlement, "is_twin", lambda *_: False):
            true(*arguments)

    with patch.object(engine_module, "validate_welcome", validate):
        yield


@mutant
def nobody_asks_on_about_garbage() -> Iterator[None]:
    with patch.object(Stability, "_ask_on", lambda self, *_: None):
        yield


@mutant
def a_clock_denies_what_it_was_not_told() -> Iterator[None]:
    true = SendCounts.merge

    def merge(self: SendCounts, clock: Clock | None, *, exhaustive: bool = False) -> None:
        if clock is not None:
            true(self, clock, exhaustive=exhaustive)

    with patch.object(SendCounts, "merge", merge):
        yield
