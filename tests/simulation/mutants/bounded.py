"""Rules of bounded mode, each taken away in turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from causal.ordering import horizon as horizon_module
from causal.ordering.context import CausalContext
from causal.ordering.dot import NodeId
from causal.ordering.engine import Engine
from causal.ordering.frames import SenderFrame
from causal.ordering.horizon import Horizons
from causal.ordering.link import InboundLink, OutboundLink
from causal.ordering.stamp import Clock
from tests.simulation.mutants.registry import mutant


@mutant
def folds_dots_whose_link_is_closed() -> Iterator[None]:
    true = CausalContext.fold

    def fold(self: CausalContext, count: int, may_fold: Any) -> int:
        self.closed.clear()
        return true(self, count, lambda *_: True)

    with patch.object(CausalContext, "fold", fold):
        yield


@mutant
def an_answer_overtakes_the_queue() -> Iterator[None]:
    true = Engine.transmit

    def transmit(self: Engine, peer: str, now_ms: int, *, heartbeat: bool = False) -> SenderFrame | None:
        asked = self.outbound[peer].asked_past
        frame = true(self, peer, now_ms, heartbeat=heartbeat or asked > 0)
        self.outbound[peer].asked_past = 0
        return frame and replace(frame, past=max(frame.past, asked))

    with patch.object(Engine, "transmit", transmit):
        yield


@mutant
def claims_to_be_past_what_is_queued() -> Iterator[None]:
    with patch.object(OutboundLink, "past", lambda self, latest: latest):
        yield


@mutant
def forgets_the_horizon_of_what_it_handles() -> Iterator[None]:
    with patch.object(CausalContext, "reach", lambda self, timestamp: None):
        yield


@mutant
def takes_a_clock_entry_for_any_incarnation() -> Iterator[None]:
    def counted(clock: Clock | None, origin: NodeId) -> int | None:
        by_name = {node.name: count for node, count in (clock or {}).items()}
        return None if clock is None else by_name.get(origin.name, 0)

    with patch.object(horizon_module, "counted", counted):
        yield


@mutant
def asks_no_idle_link() -> Iterator[None]:
    with (
        patch.object(InboundLink, "question", lambda self: 0),
        silent_past(),
    ):
        yield


@mutant
def waits_for_no_link() -> Iterator[None]:
    with patch.object(Horizons, "_unheard", lambda self, arrival: []):
        yield


@mutant
def waits_for_nothing_received_before_its_horizon() -> Iterator[None]:
    with patch.object(Horizons, "last_before", lambda self, arrival: None):
        yield


@mutant
def believes_a_past_behind_a_lost_frame() -> Iterator[None]:
    def note_frame(self: InboundLink, number: int, past: int) -> None:
        self.frames_received = max(self.frames_received, number)
        self.heard = max(self.heard, past)

    with patch.object(InboundLink, "note_frame", note_frame):
        yield


@mutant
def knows_all_links_from_the_start() -> Iterator[None]:
    with patch.object(Horizons, "_unmet", lambda self, clock: None):
        yield


@contextmanager
def silent_past() -> Iterator[None]:
    """Heartbeats say nothing of the past: only an answer does."""
    true = Engine.transmit

    def transmit(self: Engine, peer: str, now_ms: int, *, heartbeat: bool = False) -> SenderFrame | None:
        frame = true(self, peer, now_ms, heartbeat=heartbeat)
        return frame and (replace(frame, past=0) if not frame.copies else frame)

    with patch.object(Engine, "transmit", transmit):
        yield
