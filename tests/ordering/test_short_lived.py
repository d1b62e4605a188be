"""F9: a thousand short-lived nodes, and a thousand runs of one, leave a small record each and nothing else."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable
from typing import Any

import pytest

from causal.ordering import Engine, EngineConfig, NodeId, Output
from causal.ordering.farewell import farewell
from causal.ordering.frames import ReceiverFrame, SenderFrame, Welcome
from causal.ordering.settlement import MET
from tests.ordering.links import START_MS, by_subject

COUNTS = [100, pytest.param(1000, marks=pytest.mark.simulation)]
HUB, SINK = NodeId("hub", 1), NodeId("sink", 1)


def engine(me: NodeId, *peers: str) -> Engine:
    return Engine(me, peers, by_subject, EngineConfig(), process=me.incarnation)


def open_link(sender: Engine, receiver: Engine) -> None:
    answer, _ = receiver.greeted(sender.hello(receiver.me.name), START_MS)
    assert isinstance(answer, Welcome)
    sender.welcomed(receiver.me.name, answer)


def handle(receiver: Engine, output: Output, then: Iterable[str] = ()) -> None:
    """Run the handlers of what is ready; each sends on to these."""
    for arrival in output.ready:
        receiver.start(arrival)
        if then:
            receiver.send(list(then), "a", b"", START_MS)
        receiver.finish(arrival)


def carry(sender: Engine, receiver: Engine, then: Iterable[str] = ()) -> None:
    """All that is queued on the link arrives, and its answers arrive back, until neither has anything to say."""
    peer = receiver.me.name
    for beat in (True, True):
        frame: SenderFrame | None = sender.transmit(peer, START_MS, heartbeat=beat)
        assert frame is not None
        handle(receiver, receiver.arrived(sender.me, frame, START_MS), then)
        report: ReceiverFrame | None = receiver.report(sender.me, heartbeat=True)
        assert report is not None
        sender.reported(peer, report, START_MS)


def visit(hub: Engine, sink: Engine, visitor: Engine, *, in_good_order: bool) -> None:
    """A node comes, sends to the hub, which answers and tells the sink, and leaves, or is killed."""
    open_link(visitor, hub)
    open_link(hub, visitor)
    visitor.send(("hub",), "a", b"payload", START_MS)
    carry(visitor, hub, then=("sink", visitor.me.name))
    carry(hub, visitor)
    carry(hub, sink)
    carry(visitor, hub)
    if in_good_order:
        frame = farewell(visitor, "hub", START_MS)
        assert frame is not None
        hub.arrived(visitor.me, frame, START_MS)
    hub.hung_up(visitor.me)
    hub.disconnected(visitor.me.name)
    hub.tick(START_MS)
    carry(hub, sink)


def sizes(value: Any, seen: set[int]) -> int:
    """Bytes of a value with all that it holds."""
    if id(value) in seen or isinstance(value, type):
        return 0
    seen.add(id(value))
    return sys.getsizeof(value) + sum(sizes(each, seen) for each in gc.get_referents(value))


def assert_nothing_but_records_is_kept(hub: Engine, records: int) -> None:
    settlement, delivery = hub.settlement, hub.delivery
    assert set(settlement.inbound) == {HUB}
    assert set(settlement.stable) <= {HUB, SINK}
    assert len(settlement.former) == records
    assert (settlement.going, settlement.refused_since) == (set(), {})
    assert (settlement.concluded, settlement.concluded_single, settlement.losers) == ({}, {}, {})
    for link in hub.outbound.values():
        assert (set(link.told) | set(link.owed) | set(link.announced)) <= {HUB}
        assert (link.outbox, link.questions, link.chains_asked) == ({}, set(), set())
    assert (delivery.held, delivery.holdback._waiting, delivery.holdback._absent) == ([], {}, {})
    assert (delivery.horizons._waiting, delivery.horizons._unvouched) == ({}, {})
    hub.contexts.prune(hub.context)
    assert (hub.context.pending, len(hub.contexts)) == ({}, 0)
    assert (hub.stability._ages, hub.stability._wanted, hub.stability._asked_on) == ({}, {}, {})


@pytest.mark.parametrize("count", COUNTS)
def test_f9_short_lived_nodes_that_leave_in_good_order_leave_a_small_record_each(count: int) -> None:
    names = [f"job-{number}" for number in range(count)]
    hub, sink = engine(HUB, "sink", *names), engine(SINK)
    open_link(hub, sink)
    empty = sizes(hub.settlement.former, set()) + sizes(hub.settlement.latest, set())
    for number, name in enumerate(names):
        visit(hub, sink, engine(NodeId(name, START_MS + number), "hub"), in_good_order=True)
    assert_nothing_but_records_is_kept(hub, count)
    assert hub.counts._others == {}, "more names than a clock may have"
    assert all(hub.settlement.missing_here(NodeId(name, START_MS + at), 1) == MET for at, name in enumerate(names))
    seen: set[int] = set()
    each = (sizes(hub.settlement.former, seen) + sizes(hub.settlement.latest, seen) - empty) / count
    assert each < 200, "name and incarnation included"


@pytest.mark.parametrize("count", COUNTS)
def test_f9_short_lived_incarnations_of_one_name_leave_a_small_record_each(count: int) -> None:
    hub, sink = engine(HUB, "sink", "job"), engine(SINK)
    open_link(hub, sink)
    before = sizes(hub.settlement, set()) + sizes(hub.delivery.horizons._doubtful, set())
    for number in range(count):
        visit(hub, sink, engine(NodeId("job", START_MS + number), "hub"), in_good_order=number % 2 == 0)
    last = engine(NodeId("job", START_MS + count), "hub")
    visit(hub, sink, last, in_good_order=True)
    assert_nothing_but_records_is_kept(hub, count + 1)
    assert all(hub.settlement.missing_here(NodeId("job", START_MS + at), 1) == MET for at in range(count))
    seen: set[int] = set()
    after = sizes(hub.settlement, seen) + sizes(hub.delivery.horizons._doubtful, seen)
    assert (after - before) / count < 200
    assert len(hub.delivery.horizons._doubtful) == 1, "that one was killed, until a verdict tells of it"


@pytest.mark.parametrize("in_good_order", [True, False])
def test_f9_record_is_there_as_soon_as_all_that_came_is_settled_and_never_before(*, in_good_order: bool) -> None:
    hub, visitor = engine(HUB), engine(NodeId("job", 5), "hub")
    open_link(visitor, hub)
    visitor.send(("hub",), "a", b"", START_MS)
    frame = visitor.transmit("hub", START_MS)
    assert frame is not None
    output = hub.arrived(visitor.me, frame, START_MS)
    if in_good_order:
        assert farewell(visitor, "hub", START_MS) is None
    else:
        open_link(engine(NodeId("job", 6), "hub"), hub)
    hub.tick(START_MS)
    assert visitor.me in hub.settlement.inbound
    assert hub.settlement.missing_here(visitor.me, 1) == 1
    handle(hub, output)
    if in_good_order:
        report = hub.report(visitor.me)
        assert report is not None
        visitor.reported("hub", report, START_MS)
        frame = farewell(visitor, "hub", START_MS)
        assert frame is not None
        hub.arrived(visitor.me, frame, START_MS)
    hub.tick(START_MS)
    assert visitor.me not in hub.settlement.inbound
    assert hub.settlement.missing_here(visitor.me, 1) == MET
