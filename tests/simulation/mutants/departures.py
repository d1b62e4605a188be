"""Rules about nodes that are gone, and about what nobody would be told, each taken away in turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from unittest.mock import patch

from causal.ordering.delivery import Delivery
from causal.ordering.departure import Departures
from causal.ordering.dot import NodeId
from causal.ordering.engine import Engine
from causal.ordering.farewell import farewell as true_farewell
from causal.ordering.former import Former
from causal.ordering.frames import FINAL, SenderFrame, StableNumber
from causal.ordering.holdback import Arrival
from causal.ordering.link import Received
from causal.ordering.output import Output
from causal.ordering.stamp import Copy
from causal.testing import member
from tests.simulation.mutants.exact import settle_out_of_turn
from tests.simulation.mutants.registry import mutant


@mutant
def says_goodbye_while_something_is_unsettled() -> Iterator[None]:
    def farewell(engine: Engine, peer: str, now_ms: int) -> SenderFrame | None:
        if not engine.outbound[peer].connected:
            return None
        frame = engine.transmit(peer, now_ms, heartbeat=True)
        assert frame is not None
        return replace(frame, copies=(), farewell=True)

    with patch.object(member, "farewell", farewell):
        yield


@mutant
def says_that_all_is_settled_everywhere_where_it_is_not() -> Iterator[None]:
    def farewell(engine: Engine, peer: str, now_ms: int) -> SenderFrame | None:
        frame = true_farewell(engine, peer, now_ms)
        final = StableNumber(origin=engine.me, upto=FINAL, lagging={})
        return None if frame is None else replace(frame, stable=(*frame.stable, final))

    with patch.object(member, "farewell", farewell):
        yield


@mutant
def forgets_what_came_of_one_that_is_gone() -> Iterator[None]:
    true = Former.keep

    def keep(self: Former, origin: NodeId, received: Received, report: StableNumber | None) -> None:
        true(self, origin, Received(), None)

    with patch.object(Former, "keep", keep):
        yield


@mutant
def takes_all_of_one_that_is_gone_for_settled() -> Iterator[None]:
    true = Former.keep

    def keep(self: Former, origin: NodeId, received: Received, report: StableNumber | None) -> None:
        true(self, origin, Received(FINAL), report)

    with patch.object(Former, "keep", keep):
        yield


@mutant
def waits_for_one_that_is_evicted() -> Iterator[None]:
    with patch.object(Departures, "evicted", lambda *_: None):
        yield


@mutant
def counts_what_is_given_up_as_settled() -> Iterator[None]:
    def give_up(engine: Engine, peer: str) -> list[Copy]:
        link = engine.outbound[peer]
        copies = list(link.outbox.values())
        engine._settled_at(link, list(link.outbox), Output())
        return copies

    with patch.object(member, "give_up", give_up):
        yield


@mutant
def settles_what_is_given_up_out_of_turn() -> Iterator[None]:
    true = Engine.finish

    def finish(self: Engine, arrival: Arrival, output: Output | None = None) -> Output:
        if not arrival.copy.payload:
            settle_out_of_turn(self.delivery, arrival, output or Output())
        return true(self, arrival, output)

    with patch.object(Engine, "finish", finish):
        yield


@mutant
def a_dropped_message_takes_its_verdict_with_it() -> Iterator[None]:
    with patch.object(Delivery, "dropped", lambda *_: None):
        yield
