"""Rules about what stamps do not list, each taken away in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from causal.clock.hybrid import TIMESTAMP_MAX
from causal.ordering.contexts import Contexts
from causal.ordering.counts import SendCounts
from causal.ordering.dot import Dot
from causal.ordering.engine import Engine
from causal.ordering.frames import SenderFrame
from causal.ordering.heard import Claims, Heard
from causal.ordering.holdback import Arrival
from causal.ordering.scope import Scope
from causal.ordering.stamp import Clock, Copy
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
        self._counts.merge(arrival.copy.stamp.clock, exhaustive=link.claims.exhaustive)
        return true(self, arrival, key)

    with patch.object(Contexts, "start", start):
        yield


@mutant
def says_that_stamps_follow_what_came_after_them() -> Iterator[None]:
    true = Heard.fresh

    def fresh(self: Heard, peer: str, copies: Sequence[Copy], most: int) -> tuple[Dot, ...]:
        later = [copy._replace(stamp=copy.stamp._replace(timestamp=TIMESTAMP_MAX)) for copy in copies]
        return true(self, peer, later, most)

    with patch.object(Heard, "fresh", fresh):
        yield


@mutant
def believes_of_an_earlier_stamp_what_came_with_a_later_one() -> Iterator[None]:
    true = Claims.followed

    def followed(self: Claims, copy: Copy, scope: Scope) -> Any:
        later = copy._replace(stamp=copy.stamp._replace(timestamp=TIMESTAMP_MAX))
        return true(self, later, scope)

    with patch.object(Claims, "followed", followed):
        yield


@mutant
def takes_messages_that_stand_each_for_itself_for_a_chain() -> Iterator[None]:
    true = Claims.followed

    def followed(self: Claims, copy: Copy, scope: Scope) -> Any:
        stamps = (copy.stamp.after, *copy.stamp.elsewhere.values())
        highest = {origin: max(seqs) for dots in stamps for origin, seqs in dots.items() if isinstance(seqs, frozenset)}
        counts, fresh = true(self, copy, scope)
        return {**highest, **counts}, [*fresh, *highest.items()]

    with patch.object(Claims, "followed", followed):
        yield


@mutant
def takes_the_contexts_of_a_sender_for_one() -> Iterator[None]:
    true = Claims.followed

    def followed(self: Claims, copy: Copy, scope: Scope) -> Any:
        counts, fresh = true(self, copy, scope)
        known = self.__dict__.setdefault("of_all", {})
        known.update({origin: max(seq, known.get(origin, 0)) for origin, seq in counts.items()})
        return known, fresh

    with patch.object(Claims, "followed", followed):
        yield
