"""Rules about what stamps do not list, each taken away in turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from causal.ordering.contexts import Contexts
from causal.ordering.counts import SendCounts
from causal.ordering.engine import Engine
from causal.ordering.frames import SenderFrame
from causal.ordering.holdback import Arrival
from causal.ordering.stamp import Clock
from tests.simulation.mutants.registry import mutant


@mutant
def takes_every_sender_for_exhaustive() -> Iterator[None]:
    true = Engine.transmit

    def transmit(self: Engine, peer: str, now_ms: int, *, heartbeat: bool = False) -> SenderFrame | None:
        frame = true(self, peer, now_ms, heartbeat=heartbeat)
        return frame and replace(frame, exhaustive=True)

    with patch.object(Engine, "transmit", transmit):
        yield


@mutant
def stays_exhaustive_whatever_it_handles() -> Iterator[None]:
    true = SendCounts.merge

    def merge(self: SendCounts, clock: Clock | None, *, exhaustive: bool = False) -> None:
        true(self, clock, exhaustive=True)

    with patch.object(SendCounts, "merge", merge):
        yield


@mutant
def counts_a_message_before_it_follows_it() -> Iterator[None]:
    true = Contexts.start

    def start(self: Contexts, arrival: Arrival, key: str | None) -> Any:
        link = self._settlement.inbound[arrival.origin]
        self._counts.merge(arrival.copy.stamp.clock, exhaustive=link.exhaustive)
        return true(self, arrival, key)

    with patch.object(Contexts, "start", start):
        yield
