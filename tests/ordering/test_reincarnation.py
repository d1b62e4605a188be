"""A node whose clock went back takes a later incarnation before anybody has accepted it."""

from __future__ import annotations

import pytest

from causal.errors import OrderingError
from causal.ordering import EngineConfig, NodeId
from causal.ordering.frames import RefusalCode
from causal.ordering.reincarnation import can_reincarnate, reincarnate
from causal.ordering.tokens import observe, token_of
from tests.ordering.links import Net, Station, refused, unchanged


def refused_for_its_clock() -> tuple[Net, Station]:
    """S1 was here as incarnation 5 and came back as 1; S2 refuses it, S3 has not been reached."""
    net = Net("S1", "S2", "S3", connect=False)
    engine = net["S2"].engine
    engine.settlement.latest["S1"] = 5
    s1 = net["S1"]
    s1.send("S2", "S3")
    s1.send("S3")
    refusal = net.refuse_as(s1.me, "S2")
    assert (refusal.code, refusal.incarnation) == (RefusalCode.STALE_INCARNATION, 5)
    return net, s1


def test_node_that_nobody_has_accepted_renames_all_it_has_stamped() -> None:
    _, s1 = refused_for_its_clock()
    before = {link.peer: list(link.outbox.values()) for link in s1.engine.outbound.values()}
    assert can_reincarnate(s1.engine)
    reincarnate(s1.engine, 6)
    assert s1.me == NodeId("S1", 6)
    for link in s1.engine.outbound.values():
        for copy, former in zip(link.outbox.values(), before[link.peer], strict=True):
            stamp = copy.stamp
            assert (copy.payload, stamp.timestamp) == (former.payload, former.stamp.timestamp)
            carried = [origin for dots in stamp.elsewhere.values() for origin in dots]
            assert {*stamp.after, *carried, *(stamp.clock or ())} == {s1.me}
    assert {dot.origin for dot in s1.engine.unsettled} == {s1.me}


def test_node_that_took_a_later_incarnation_goes_on_in_order() -> None:
    net, s1 = refused_for_its_clock()
    s1.tick()
    reincarnate(s1.engine, 6)
    settlement = s1.engine.settlement
    assert settlement.is_gone(NodeId("S1", 1))
    assert settlement.stable == {}
    later = s1.send("S2", "S1", "S3")
    for peer in ("S2", "S3"):
        net.connect("S1", peer)
        net.connect(peer, "S1")
    net["S2"].send("S1")
    net.settle()
    assert [dot.seq for dot in net["S2"].handled] == [1, 3]
    assert [dot.seq for dot in net["S3"].handled] == [1, 2, 3]
    assert s1.settled[-1] == later
    assert s1.engine.unsettled == []
    assert s1.engine.outbound["S2"].told == {}
    assert s1.pending == {}


def test_stream_that_was_opened_to_the_former_incarnation_is_void() -> None:
    net, s1 = refused_for_its_clock()
    net.connect("S3", "S1")
    net["S3"].send("S1")
    (late,) = net.take("S3", "S1")
    reincarnate(s1.engine, 6)
    with unchanged(s1.engine):
        s1.engine.arrived(net["S3"].me, late, net.now_ms)
    assert s1.engine.report(net["S3"].me, heartbeat=True) is None


def test_parts_that_are_made_anew_are_those_that_the_others_speak_to() -> None:
    _, s1 = refused_for_its_clock()
    reincarnate(s1.engine, 6)
    assert s1.engine.departures._stability is s1.engine.stability
    assert s1.engine.stability._me == s1.engine.me


def test_message_stamped_without_a_clock_is_renamed_too() -> None:
    net = Net("S1", "S2", connect=False, config=EngineConfig(clock_entries_max=0))
    dot = net["S1"].send("S2")
    reincarnate(net["S1"].engine, 2)
    assert net["S1"].engine.outbound["S2"].outbox[dot.seq].stamp.clock is None


@pytest.mark.parametrize("incarnation", [0, 1])
def test_incarnation_that_is_not_later_is_refused(incarnation: int) -> None:
    _, s1 = refused_for_its_clock()
    with refused(s1.engine, OrderingError, f"S1/1 cannot become incarnation {incarnation}"):
        reincarnate(s1.engine, incarnation)


def test_node_that_a_receiver_has_accepted_keeps_its_incarnation() -> None:
    net, s1 = refused_for_its_clock()
    net.connect("S1", "S3")
    assert not can_reincarnate(s1.engine)
    with refused(s1.engine, OrderingError, "cannot become"):
        reincarnate(s1.engine, 6)


def test_node_that_has_heard_from_a_sender_keeps_its_incarnation() -> None:
    net, s1 = refused_for_its_clock()
    net.connect("S3", "S1")
    assert can_reincarnate(s1.engine), "a stream alone has given nothing away"
    net.carry("S3", "S1")
    assert not can_reincarnate(s1.engine)


def test_node_that_has_sent_to_itself_keeps_its_incarnation() -> None:
    _, s1 = refused_for_its_clock()
    s1.send("S1")
    assert not can_reincarnate(s1.engine)


def test_clock_of_a_node_that_takes_a_later_incarnation_still_counts_what_a_token_counted() -> None:
    net = Net("S1", "S2", "S3", connect=False)
    s1, s2, _ = net
    s1.send("S3")
    observe(s2.engine, s2.engine.context, token_of(s1.engine, s1.engine.context), net.now_ms)
    reincarnate(s2.engine, 6)
    after = s2.send("S3")
    assert s2.engine.outbound["S3"].outbox[after.seq].stamp.clock == {s2.me: 1, s1.me: 1}
