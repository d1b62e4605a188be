"""Giving up what waits for a receiver that is away: room at the sender, and order wherever it goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from causal.errors import BackpressureError, ProtocolError
from causal.ordering import Dot, EngineConfig, Output, VerdictKind
from causal.ordering.giving_up import give_up, is_waited_for, left_to_wait_for
from tests.ordering.links import Net, refused


def given_up(net: Net, sender: str, peer: str) -> list[int]:
    return [copy.seq for copy in give_up(net[sender].engine, peer)]


def test_f10_giving_up_makes_room_in_a_full_outbox() -> None:
    net = Net("S1", "S2", config=EngineConfig(outbox_messages=2, outbox_bytes=1000))
    s1 = net["S1"]
    net.cut("S1", "S2")
    dots = [s1.send("S2", payload=bytes(400)) for _ in range(2)]
    with pytest.raises(BackpressureError, match="outbox of S2 is full"):
        s1.send("S2", payload=bytes(400))
    copies = give_up(s1.engine, "S2")
    assert [(copy.seq, len(copy.payload)) for copy in copies] == [(dot.seq, 400) for dot in dots]
    link = s1.engine.outbound["S2"]
    assert (link.outbox_bytes, link.given_up) == (0, {1: 400, 2: 400})
    last = s1.send("S2", payload=bytes(400))
    assert left_to_wait_for(s1.engine, [1, 2, 3]) == [last.seq]
    assert give_up(s1.engine, "S2") != []
    assert give_up(s1.engine, "S2") == [], "each once"


def test_what_was_given_up_counts_against_the_credit_as_long_as_the_receiver_has_it() -> None:
    net = Net("S1", "S2", config=EngineConfig(window_bytes=10_000))
    s1, s2 = net
    for _ in range(9):
        s1.send("S2", payload=bytes(1000))
    net.carry("S1", "S2")  # they are there, and no handler has returned
    net.cut("S1", "S2")
    assert len(given_up(net, "S1", "S2")) == 9
    net.connect("S1", "S2")
    for _ in range(9):
        s1.send("S2", payload=bytes(1000))
    assert len([copy for frame in net.carry("S1", "S2") for copy in frame.copies]) == 1, (
        "as much as there is credit for"
    )
    s2.handle_all()
    net.settle()
    assert s1.engine.unsettled == []


def test_message_given_up_is_waited_for_at_its_other_destinations() -> None:
    net = Net("S1", "S2", "S3")
    dot = net["S1"].send("S2", "S3")
    give_up(net["S1"].engine, "S2")
    assert is_waited_for(net["S1"].engine, dot.seq)
    give_up(net["S1"].engine, "S3")
    assert not is_waited_for(net["S1"].engine, dot.seq)


def test_receiver_that_comes_back_settles_what_was_given_up_in_turn_and_no_handler_runs() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    net.cut("S1", "S2")
    gone = [s1.send("S2", payload=b"content") for _ in range(3)]
    assert given_up(net, "S1", "S2") == [1, 2, 3]
    last = s1.send("S2", payload=b"content")
    net.connect("S1", "S2")
    (frame,) = net.take("S1", "S2")
    assert frame.given_up == (1, 2, 3)
    (output,) = net.deliver("S1", "S2", frame)
    assert [arrival.dot for arrival in output.given_up] == gone
    assert [arrival.dot for arrival in output.received] == [last]
    assert s2.handle_all() == [last]
    net.answer("S1", "S2")
    assert s1.engine.unsettled == []
    assert s1.engine.outbound["S2"].given_up == {}


def test_what_follows_a_message_given_up_still_comes_after_what_that_one_had_followed() -> None:
    """S3's message to S2 precedes S1's, which is given up, and that one S4's: only they are left, in that order."""
    net = Net("S1", "S2", "S3", "S4")
    first = net["S3"].send("S2")
    tells = net["S3"].send("S1")
    net.carry("S3", "S1")
    net["S1"].handle(tells)
    net["S1"].send("S2")
    tells = net["S1"].send("S4")
    assert given_up(net, "S1", "S2") == [1]
    net.carry("S1", "S4")
    net["S4"].handle(tells)
    last = net["S4"].send("S2")
    net.carry("S1", "S2")
    net.carry("S4", "S2")
    assert net["S2"].handle_all() == []
    net.carry("S3", "S2")
    assert net["S2"].handle_all() == [first, last]


def test_none_message_given_up_is_not_handled_either() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    s1.send("S2", subject="none")
    give_up(s1.engine, "S2")
    (output,) = net.deliver("S1", "S2", *net.take("S1", "S2"))
    assert output.ready == []
    assert len(output.given_up) == 1
    net.answer("S1", "S2")
    assert s1.engine.unsettled == []
    assert s2.engine.settlement.inbound[s1.me].unsettled == {}


def test_message_that_had_arrived_before_it_was_given_up_is_handled() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    dot = s1.send("S2", payload=b"content")
    net.carry("S1", "S2")
    link = s1.engine.outbound["S2"]
    before = link.in_flight_bytes
    give_up(s1.engine, "S2")
    assert link.in_flight_bytes == before, "the receiver may have it as it was"
    net.cut("S1", "S2")
    net.connect("S1", "S2")
    assert net.take("S1", "S2") == []
    assert s2.handle_all() == [dot]
    net.answer("S1", "S2")
    assert s1.engine.unsettled == []
    assert link.given_up == {}


@pytest.mark.parametrize("seqs", [(1,), (2,)])
def test_frame_that_gives_up_messages_with_their_payload_or_that_are_not_in_it_is_refused(seqs: tuple[int]) -> None:
    net = Net("S1", "S2")
    net["S1"].send("S2", payload=b"content")
    (frame,) = net.take("S1", "S2")
    with refused(net["S2"].engine, ProtocolError, "gives up messages that are not in the frame, or with their payload"):
        net["S2"].engine.arrived(net["S1"].me, replace(frame, given_up=seqs), net.now_ms)


def net_with_a_loss() -> tuple[Net, Dot]:
    """S2 has handled what follows a message from S1 to S3, which is lost since S1 has started anew."""
    net = Net("S1", "S2", "S3")
    s1, s2, _ = net
    lost = s1.send("S3")
    tells = s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(tells)
    net.restart("S1")
    net.connect("S1", "S3")
    return net, lost


def test_loss_that_a_message_given_up_followed_is_told_to_the_next_one() -> None:
    net, lost = net_with_a_loss()
    _, s2, s3 = net
    s2.send("S3")
    give_up(s2.engine, "S3")
    last = s2.send("S3")
    net.carry("S2", "S3")
    for _ in range(2):
        net.heartbeat()
    assert s3.handle_all() == [last]
    assert s3.arrivals[last].verdict.missing == (lost,)
    assert lost == Dot("S1", 1, 1)


def test_loss_in_the_verdict_of_a_message_that_is_dropped_is_told_to_the_next_one() -> None:
    net, lost = net_with_a_loss()
    _, s2, s3 = net
    first = s2.send("S3")
    net.carry("S2", "S3")
    for _ in range(2):
        net.heartbeat()
    assert s3.ready[first].verdict.missing == (lost,)
    s3.drop(first)
    net.answer("S2", "S3")
    last = s2.send("S3")
    net.carry("S2", "S3")
    assert s3.ready[last].verdict.missing == (lost,)


def test_doubt_in_the_verdict_of_a_message_that_is_dropped_is_told_to_the_next_that_follows_it() -> None:
    net = Net("S1", "S2", "S3", config=EngineConfig(dependencies_max=0, links_known_after_ms=0))
    s1, s2, s3 = net
    for station in net:
        station.tick()
    net.cut("S1", "S3")
    s1.send("S3")
    tells = s1.send("S2")
    net.carry("S1", "S2")
    net.heartbeat()
    s2.handle_all()
    assert tells in s2.handled
    net.now_ms += 20
    first = s2.send("S3")
    output = Output()
    s3.engine.departures.evicted("S1", output)
    for _ in range(2):
        net.carry("S2", "S3", heartbeat=True)
    assert s3.ready[first].verdict.kind is VerdictKind.UNSURE
    s3.drop(first)
    net.answer("S2", "S3")
    last = s2.send("S3")
    for _ in range(2):
        net.carry("S2", "S3", heartbeat=True)
    assert s3.ready[last].verdict.kind is VerdictKind.UNSURE
