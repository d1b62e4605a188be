"""Sending, its bounds, what a frame holds, and the engine's views."""

from __future__ import annotations

import pytest

from causal.errors import BackpressureError, UnknownDestinationError
from causal.ordering import Dot, Engine, EngineConfig, NodeId, Output
from causal.ordering.frames import ReceiverFrame, Welcome
from causal.ordering.stamp import size_of
from tests.ordering.links import START_MS, Net, by_subject, refused, unchanged


def test_send_to_a_name_that_is_not_a_peer_refuses_the_whole_send_and_names_all_unknown() -> None:
    net = Net("S1", "S2")
    s1 = net["S1"]
    with refused(s1.engine, UnknownDestinationError, "'S9', 'S8'; known peers: S1, S2"):
        s1.send("S2", "S9", "S8")
    assert s1.send("S2").seq == 1


def test_send_to_nobody_is_refused() -> None:
    net = Net("S1", "S2")
    with refused(net["S1"].engine, UnknownDestinationError, "no destination was named; known peers: S1, S2"):
        net["S1"].send()


@pytest.mark.parametrize("now_ms", [-1, 1.5, True, float("nan"), 2**64])
def test_e9_send_at_a_time_that_is_none_is_refused_and_takes_no_dot(now_ms: object) -> None:
    net = Net("S1", "S2")
    with unchanged(net["S1"].engine), pytest.raises((TypeError, ValueError)):
        net["S1"].engine.send(("S2",), "s", b"", now_ms)  # type: ignore[arg-type]


def test_send_to_a_peer_that_is_down_is_accepted_and_asks_for_no_stream() -> None:
    net = Net("S1", "S2", connect=False)
    dot, output = net["S1"].engine.send(("S2",), "s", b"", START_MS)
    assert output == Output()
    assert net["S1"].engine.unsettled == [dot]
    welcome, _ = net["S2"].engine.greeted(net["S1"].engine.hello("S2"), START_MS)
    assert isinstance(welcome, Welcome)
    assert net["S1"].engine.welcomed("S2", welcome).transmit == {"S2"}


def test_send_over_an_open_link_says_that_it_has_something_to_transmit() -> None:
    net = Net("S1", "S2", "S3")
    net.cut("S1", "S3")
    _, output = net["S1"].engine.send(("S2", "S3", "S1"), "s", b"", START_MS)
    assert output.transmit == {"S2"}
    assert output.report == set()


def test_stamps_of_a_chain_list_one_dot_however_long_it_is() -> None:
    net = Net("S1", "S2", "S3")
    s1, *_ = net
    for _ in range(50):
        s1.send("S2")
        s1.send("S3")
    for link in s1.engine.outbound.values():
        assert all(len(c.stamp.after) + size_of(c.stamp.elsewhere) <= 2 for c in link.outbox.values())


def test_timestamps_on_a_link_rise_even_when_the_clock_stands_or_goes_back() -> None:
    net = Net("S1", "S2")
    s1, _ = net
    for step in (0, 0, -3_600_000, 5):
        net.now_ms += step
        s1.send("S2")
    stamps = [copy.stamp.timestamp for copy in s1.engine.outbound["S2"].outbox.values()]
    assert stamps == sorted(set(stamps))


def test_outbox_full_by_messages_refuses_until_something_is_settled() -> None:
    net = Net("S1", "S2", "S3", config=EngineConfig(outbox_messages=2))
    s1, s2, _ = net
    first = s1.send("S2")
    s1.send("S2")
    with refused(s1.engine, BackpressureError, r"outbox of S2 is full \(2 unsettled, 0 bytes\)"):
        s1.send("S3", "S2")
    s1.send("S3")
    net.carry("S1", "S2")
    s2.handle(first)
    net.answer("S1", "S2")
    s1.send("S2")


def test_outbox_full_by_bytes_counts_the_message_to_come_and_always_allows_one() -> None:
    net = Net("S1", "S2", config=EngineConfig(outbox_bytes=10))
    s1, _ = net
    s1.send("S2", payload=bytes(100))
    with refused(s1.engine, BackpressureError, "outbox of S2 is full"):
        s1.send("S2")
    net.settle()
    s1.send("S2", payload=bytes(6))
    assert s1.engine.obstacle(("S2",), 4) is None
    assert s1.engine.obstacle(("S2",), 5) is not None


def test_send_from_a_handler_may_fill_an_outbox_to_twice_its_bound_and_then_raises() -> None:
    net = Net("S1", "S2", config=EngineConfig(outbox_messages=2, outbox_bytes=100))
    s1, _ = net
    for _ in range(4):
        s1.send("S2", urgent=True)
    with refused(s1.engine, BackpressureError, "4 unsettled"):
        s1.send("S2", urgent=True)
    net.settle()
    s1.send("S2", payload=bytes(100))
    s1.send("S2", payload=bytes(100), urgent=True)
    with refused(s1.engine, BackpressureError, "200 bytes"):
        s1.send("S2", payload=bytes(1), urgent=True)


def test_messages_to_oneself_fill_an_outbox_too() -> None:
    net = Net("S1", config=EngineConfig(outbox_messages=1))
    s1 = net["S1"]
    dot = s1.send("S1")
    with refused(s1.engine, BackpressureError, "outbox of S1 is full"):
        s1.send("S1")
    s1.handle(dot)
    s1.send("S1")


def test_g6_send_whose_stamp_would_list_too_many_dots_waits_for_settlements() -> None:
    net = Net("S1", "S2", "S3", "S4", config=EngineConfig(dots_max=3))
    s1, s2, *_ = net
    first = s1.send("S2")
    s1.send("S3")
    with refused(s1.engine, BackpressureError, "stamp would list 4 dots, more than 3: waiting for settlements"):
        s1.send("S4", "S2")
    net.carry("S1", "S2")
    s2.handle(first)
    net.answer("S1", "S2")
    s1.send("S4", "S2")
    for link in s1.engine.outbound.values():
        assert all(len(c.stamp.after) + size_of(c.stamp.elsewhere) <= 3 for c in link.outbox.values())


def test_message_is_settled_once_all_its_destinations_have_settled_it() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    dot = s1.send("S1", "S2", "S3")
    for station, receiver in ((s2, "S2"), (s3, "S3")):
        net.carry("S1", receiver)
        station.handle(dot)
        net.answer("S1", receiver)
        assert s1.engine.unsettled == [dot]
    s1.handle(dot)
    assert s1.engine.unsettled == []
    assert s1.settled == [dot]


def test_transmit_has_nothing_to_say_on_a_quiet_link_but_a_heartbeat() -> None:
    net = Net("S1", "S2")
    engine = net["S1"].engine
    assert engine.transmit("S2", START_MS) is None
    frame = engine.transmit("S2", START_MS, heartbeat=True)
    assert frame is not None
    assert (frame.base, frame.copies, frame.stable, frame.questions) == (None, (), (), ())
    assert net["S2"].engine.report(net["S1"].me) is None
    assert net["S2"].engine.report(net["S1"].me, heartbeat=True) == ReceiverFrame(received=1)


def test_transmit_without_credit_for_the_next_message_comes_to_an_end() -> None:
    net = Net("S1", "S2", config=EngineConfig(window_bytes=100))
    s1, s2 = net
    dots = [s1.send("S2", payload=bytes(60)) for _ in range(3)]
    for dot in dots:
        assert [copy.seq for frame in net.carry("S1", "S2") for copy in frame.copies] == [dot.seq]
        s2.handle(dot)
        report = s2.engine.report(s1.me)
        assert report is not None
        assert s1.note(s1.engine.reported("S2", report, net.now_ms)).transmit == ({"S2"} if dot != dots[-1] else set())


def test_frames_are_cut_by_messages_and_numbered_from_1_on_each_stream() -> None:
    net = Net("S1", "S2", config=EngineConfig(frame_messages=2), connect=False)
    s1, s2 = net
    dots = [s1.send("S2") for _ in range(5)]
    net.connect("S1", "S2")
    frames = net.carry("S1", "S2")
    assert [(frame.number, len(frame.copies)) for frame in frames] == [(1, 2), (2, 2), (3, 1)]
    assert [frame.base is not None for frame in frames] == [True, False, False]
    assert s2.handle_all() == dots
    net.connect("S1", "S2")
    assert [frame.number for frame in net.carry("S1", "S2", heartbeat=True)] == [1]


def test_reading_of_a_held_message_says_what_it_waits_for() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    first, second = s1.send("S2"), s1.send("S2")
    net.carry("S1", "S2")
    assert s2.arrivals[second].waits_for == first
    s2.handle(first)
    assert s2.arrivals[second].waits_for is None
    assert len(s2.engine.delivery.holdback) == 0


def test_settlements_are_all_reported_once_they_are_on_their_streams_or_there_is_none() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    first, second = s1.send("S2"), s1.send("S2")
    net.carry("S1", "S2")
    assert s2.engine.all_reported
    s2.handle(first)
    assert not s2.engine.all_reported
    net.answer("S1", "S2")
    assert s2.engine.all_reported
    net.cut("S1", "S2")
    s2.handle(second)
    assert s2.engine.all_reported, "the next Welcome will say it"
    net.connect("S1", "S2")
    assert s1.settled == [first, second]


def test_dot_given_out_names_this_incarnation() -> None:
    engine = Engine(NodeId("S1", 17), ["S2", "S1"], by_subject)
    dot, _ = engine.send(["S2"], "s", b"", START_MS)
    assert dot == Dot("S1", 17, 1)
    assert sorted(engine.outbound) == ["S1", "S2"]
