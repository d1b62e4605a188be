"""Senders that are gone: goodbye, eviction, and what is kept of them (F7, F9, F10)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from causal.errors import ProtocolError
from causal.ordering import Dot, EngineConfig, NodeId, Output, VerdictKind
from causal.ordering.farewell import farewell
from causal.ordering.frames import FINAL, Hello, Refusal, RefusalCode, SenderFrame, StableNumber, Welcome
from causal.ordering.link import Received
from causal.ordering.settlement import LOST, MET
from tests.ordering.links import Net, Station, refused

BARE = EngineConfig(dependencies_max=0, clock_entries_max=0, links_known_after_ms=0)
"""All that a message follows is folded, and no clock tells what it does not follow."""


def goodbye(net: Net, sender: str, receiver: str) -> SenderFrame | None:
    """The sender leaves; what it says on this link arrives, and the stream ends."""
    frame = farewell(net[sender].engine, receiver, net.now_ms)
    if frame is not None:
        net.deliver(sender, receiver, frame)
        net.cut(sender, receiver)
    return frame


def settled(net: Net, sender: str, *to: str) -> Dot:
    """A message that is settled everywhere, and known to be."""
    dot = net[sender].send(*to)
    for name in to:
        net.carry(sender, name)
        net[name].handle(dot)
        net.answer(sender, name)
    return dot


def follows_s1(net: Net) -> Dot:
    """S2 tells S3 of a message of S1 for S3, in one of its own."""
    first = net["S1"].send("S3")
    tells = net["S1"].send("S2")
    net.carry("S1", "S2")
    net["S2"].handle(tells)
    net["S2"].send("S3")
    return first


# -- goodbye -----------------------------------------------------------------------------------------------------


def test_f7_goodbye_leaves_a_record_and_nothing_else_of_a_sender() -> None:
    net = Net("S1", "S2", "S3")
    settled(net, "S1", "S2", "S3")
    frame = goodbye(net, "S1", "S2")
    settlement = net["S2"].engine.settlement
    assert frame is not None
    assert (frame.farewell, frame.copies, frame.stable[-1].upto) == (True, (), FINAL)
    assert net["S1"].me not in {*settlement.inbound, *settlement.stable, *settlement.going}
    assert len(settlement.former) == 1
    assert settlement.is_gone(net["S1"].me)


def test_f7_whatever_one_that_has_left_has_sent_is_met_for_ever() -> None:
    net = Net("S1", "S2", "S3")
    dot = settled(net, "S1", "S2", "S3")
    goodbye(net, "S1", "S2")
    settlement = net["S2"].engine.settlement
    assert settlement.missing_here(net["S1"].me, dot.seq) == MET
    assert settlement.missing_here(NodeId("S1", 0), 1) == LOST, "an earlier incarnation"
    assert settlement.is_settled("S3", net["S1"].me, dot.seq)
    assert settlement.is_over(net["S1"].me, dot.seq)
    net.restart("S1")
    net.connect("S1", "S2")
    assert settlement.missing_here(NodeId("S1", 1), dot.seq) == MET
    assert not settlement.is_gone(net["S1"].me)


def test_f7_hello_of_one_that_has_left_is_refused_and_one_of_a_later_incarnation_is_not() -> None:
    net = Net("S1", "S2")
    settled(net, "S1", "S2")
    goodbye(net, "S1", "S2")
    answer = net.refuse_as(net["S1"].me, "S2")
    assert (answer.code, answer.incarnation) == (RefusalCode.STALE_INCARNATION, 1)
    assert answer.detail == "S1/1 has left, or been evicted here by an operator: start S1 anew"
    net.restart("S1")
    assert isinstance(net.connect("S1", "S2"), Welcome)


def test_f7_horizon_does_not_wait_for_the_link_of_one_that_has_left() -> None:
    net = Net("S1", "S2", "S3", config=BARE)
    settled(net, "S3", "S2")
    net["S2"].tick()
    net.now_ms += 50
    net["S1"].send("S3", "S2")
    message = net["S1"].send("S2")
    net.carry("S1", "S2")
    net.carry("S1", "S2", heartbeat=True)
    net["S2"].handle_all()
    assert message not in net["S2"].handled, "the link of S3 has not been heard past its horizon"
    goodbye(net, "S3", "S2")
    net.carry("S1", "S2", heartbeat=True)
    net["S2"].handle_all()
    assert net["S2"].handled[-1] == message


def test_goodbye_is_not_said_without_a_stream_or_with_something_unsettled() -> None:
    net = Net("S1", "S2", "S3")
    s1 = net["S1"]
    settled(net, "S1", "S2")
    s1.send("S3")
    assert farewell(s1.engine, "S3", net.now_ms) is None
    frame = farewell(s1.engine, "S2", net.now_ms)
    assert frame is not None
    assert all(report.upto < FINAL for report in frame.stable), "something is unsettled elsewhere"
    net.cut("S1", "S2")
    assert farewell(s1.engine, "S2", net.now_ms) is None


def test_goodbye_with_something_unsettled_elsewhere_says_nothing_of_that() -> None:
    net = Net("S1", "S2", "S3")
    lost = net["S1"].send("S3")
    tells = net["S1"].send("S2")
    net.carry("S1", "S2")
    net["S2"].handle(tells)
    net.answer("S1", "S2")
    goodbye(net, "S1", "S2")
    settlement = net["S2"].engine.settlement
    assert settlement.missing_here(net["S1"].me, tells.seq) == MET
    assert not settlement.is_settled("S3", net["S1"].me, lost.seq)
    assert net["S2"].pending == {"S3": {lost}}


@pytest.mark.parametrize("what", ["held", "missing", "base", "copies"])
def test_goodbye_of_a_sender_that_has_something_unsettled_is_refused(what: str) -> None:
    net = Net("S1", "S2", "S3")
    s1, s2 = net["S1"], net["S2"]
    frame = SenderFrame(number=9, farewell=True)
    s1.send("S2")
    if what == "held":
        net.carry("S1", "S2")
    elif what == "missing":
        s1.send("S2")
        (frames,) = net.take("S1", "S2")
        frame = replace(frame, copies=())
        net.deliver("S1", "S2", replace(frames, copies=frames.copies[1:]))
        s2.engine.settlement.inbound[s1.me].unsettled.clear()
    elif what == "base":
        net.restart("S2")
        net.connect("S1", "S2")
        (first,) = net.take("S1", "S2")
        frame = replace(frame, base=first.base)
        s2 = net["S2"]
    else:
        (frame,) = net.take("S1", "S2")
        frame = replace(frame, farewell=True)
    with refused(s2.engine, ProtocolError, "says goodbye, and not all that it has sent is settled"):
        s2.engine.arrived(s1.me, frame, net.now_ms)


def test_stable_number_of_one_that_has_left_is_passed_on_and_does_for_a_goodbye_that_was_lost() -> None:
    net = Net("S1", "S2", "S3", "S4")
    settled(net, "S1", "S3")
    first = net["S1"].send("S2", "S4")
    for name in ("S2", "S4"):
        net.carry("S1", name)
        net[name].handle(first)
    settled(net, "S2", "S3")
    for name in ("S2", "S4"):
        net.answer("S1", name)
    goodbye(net, "S1", "S2")
    net.carry("S2", "S3", heartbeat=True)
    s3 = net["S3"].engine.settlement
    assert s3.stable[net["S1"].me].upto == FINAL
    assert net["S1"].me in s3.inbound, "its stream has not ended: it may say so itself"
    net.cut("S1", "S3")
    net["S3"].tick()
    assert net["S1"].me not in s3.inbound
    assert s3.is_gone(net["S1"].me)


def test_stable_number_of_a_stranger_that_has_left_becomes_a_record() -> None:
    net = Net("S1", "S2")
    stranger = NodeId("X", 1)
    report = StableNumber(origin=stranger, upto=FINAL, lagging={})
    net.deliver("S1", "S2", SenderFrame(number=5, stable=(report,)))
    settlement = net["S2"].engine.settlement
    assert stranger not in settlement.stable
    assert settlement.report_of(stranger) == report
    assert settlement.is_settled("S9", stranger, 7)
    assert len(settlement.former) == 1


def test_conclusions_about_one_that_has_left_are_forgotten() -> None:
    net = Net("S1", "S2")
    x, y = NodeId("X", 1), NodeId("Y", 1)
    settlement = net["S2"].engine.settlement
    for origin in (x, y):
        settlement.conclude("S3", origin, 4, chained=True)
        settlement.conclude("S3", origin, 4, chained=False, lost=True)
    net.deliver("S1", "S2", SenderFrame(number=5, stable=(StableNumber(origin=x, upto=FINAL, lagging={}),)))
    assert settlement.concluded == {"S3": {y: 4}}
    assert settlement.losers == {"S3": {y: None}}
    assert list(settlement.concluded_single) == [("S3", y, 4)]
    assert settlement.is_settled("S3", x, 4)


def test_receiver_that_has_left_is_owed_nothing() -> None:
    net = Net("S1", "S2", "S3")
    net["S2"].send("S1")
    net["S2"].send("S3", "S1")
    net.carry("S2", "S1")
    told = net["S2"].engine.outbound["S1"].told
    assert told
    goodbye(net, "S1", "S2")
    assert told, "its stream is still there"
    net.cut("S2", "S1")
    assert not told


# -- later incarnations ------------------------------------------------------------------------------------------


def test_later_incarnation_leaves_of_the_earlier_one_what_came_of_it_and_what_is_lost() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2 = net["S1"], net["S2"]
    dots = [s1.send("S2") for _ in range(3)]
    (frame,) = net.take("S1", "S2")
    net.deliver("S1", "S2", replace(frame, copies=(frame.copies[0], frame.copies[2])))
    s2.handle(dots[0])
    net.restart("S1")
    net.connect("S1", "S2")
    settlement = s2.engine.settlement
    net.heartbeat()
    s2.handle_all()
    net.settle()
    assert s1.me not in settlement.inbound
    assert [settlement.missing_here(s1.me, dot.seq) for dot in dots] == [MET, LOST, MET]
    remains = settlement.former.get(s1.me)
    assert remains is not None
    assert (remains.to, remains.beyond) == (1, frozenset({3}))


def test_earlier_incarnation_keeps_its_link_until_what_came_of_it_is_settled() -> None:
    net = Net("S1", "S2")
    s1, s2 = net["S1"], net["S2"]
    dot = s1.send("S2")
    net.carry("S1", "S2")
    s2.start(dot)
    net.restart("S1")
    net.connect("S1", "S2")
    settlement = s2.engine.settlement
    assert settlement.going == {s1.me}
    assert settlement.missing_here(s1.me, dot.seq) == dot.seq
    s2.tick()
    assert s1.me in settlement.inbound
    s2.finish(dot)
    s2.tick()
    assert s1.me not in settlement.inbound
    assert settlement.going == set()
    assert settlement.missing_here(s1.me, dot.seq) == MET


def test_what_was_missing_and_is_known_to_be_settled_here_is_not_lost() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2 = net["S1"], net["S2"]
    for _ in range(4):
        s1.send("S2")
    (frame,) = net.take("S1", "S2")
    net.restart("S2")
    s2 = net["S2"]
    net.connect("S1", "S2")
    net.connect("S3", "S2")
    base = replace(net.take("S1", "S2")[0], copies=(frame.copies[3],))
    net.deliver("S1", "S2", base)
    s2.handle_all()
    report = StableNumber(origin=s1.me, upto=3, lagging={"S2": 2})
    net.deliver("S3", "S2", SenderFrame(number=1, stable=(report,)))
    net.restart("S1")
    net.connect("S1", "S2")
    net.settle()
    settlement = s2.engine.settlement
    assert [settlement.missing_here(s1.me, seq) for seq in (1, 2, 3, 4)] == [MET, LOST, LOST, MET]
    assert settlement.report_of(s1.me) == report
    assert not settlement.former.has_all(s1.me, 3)
    assert settlement.former.has_all(s1.me, 1)


def test_more_that_is_known_of_one_that_is_gone_goes_into_its_record() -> None:
    net = Net("S1", "S2", "S3")
    settled(net, "S1", "S2")
    former = net["S1"].me
    net.restart("S1")
    net.connect("S1", "S2")
    settlement = net["S2"].engine.settlement
    for upto in (3, 5, 5):
        report = StableNumber(origin=former, upto=upto, lagging={"S3": 2})
        net.deliver("S3", "S2", SenderFrame(number=upto, stable=(report,)))
        assert settlement.report_of(former) == report
    net.deliver("S3", "S2", SenderFrame(number=9, stable=(StableNumber(origin=former, upto=FINAL, lagging={}),)))
    assert settlement.stable.keys() <= {net["S2"].me, net["S3"].me}
    assert settlement.missing_here(former, 999) == MET


def test_stable_number_of_an_earlier_incarnation_that_never_dialled_becomes_a_record() -> None:
    net = Net("S1", "S2", "S3", peers={"S2": ["S3"], "S3": ["S2"], "S1": ["S2"]}, connect=False)
    net.connect("S3", "S2")
    stranger, later = NodeId("S1", 0), NodeId("S1", 1)
    report = StableNumber(origin=stranger, upto=3, lagging={})
    net.deliver("S3", "S2", SenderFrame(number=1, stable=(report,)))
    settlement = net["S2"].engine.settlement
    assert stranger in settlement.stable
    net.connect("S1", "S2")
    assert stranger not in settlement.stable
    assert settlement.former.get(stranger) == (3, 3, frozenset(), frozenset(), {})
    more = StableNumber(origin=NodeId("S1", -1), upto=2, lagging={})
    net.deliver("S3", "S2", SenderFrame(number=2, stable=(more, more)))
    assert settlement.report_of(more.origin) == more
    assert more.origin not in settlement.stable
    assert settlement.is_gone(stranger)
    assert not settlement.is_gone(later)


def test_records_of_several_incarnations_that_have_left_are_told_apart() -> None:
    former = Net("S1")["S1"].engine.settlement.former
    for incarnation in (5, 7, 6, 7):
        origin = NodeId("X", incarnation)
        former.keep(origin, Received(FINAL), StableNumber(origin=origin, upto=FINAL, lagging={}))
    former.keep(NodeId("X", 4), Received(2), None)
    assert [NodeId("X", incarnation) in former for incarnation in range(3, 9)] == [False, True, True, True, True, False]
    assert len(former) == 4
    assert former.has(NodeId("X", 5), 99)
    assert not former.has(NodeId("X", 4), 3)
    assert not former.has(NodeId("X", 3), 1)
    assert not former.has_all(NodeId("X", 3), 0)
    assert former.report_of(NodeId("X", 4)) is None
    assert former.report_of(NodeId("X", 3)) is None


def test_nobody_is_owed_what_nobody_can_say_of_one_that_is_gone() -> None:
    net = Net("S1", "S2", "S3")
    stranger = NodeId("X", 1)
    s2 = net["S2"].engine
    s2.stability.watched(s2.outbound["S3"], stranger, 4)
    net.carry("S2", "S3", heartbeat=True)
    assert stranger in s2.outbound["S3"].told, "it may still become known"
    s2.greeted(Hello(sender=NodeId("X", 2), receiver="S2"), net.now_ms)
    net.carry("S2", "S3", heartbeat=True)
    assert stranger not in s2.outbound["S3"].told


def test_what_is_known_of_one_that_is_gone_is_said_once_though_some_of_it_was_lost() -> None:
    net = Net("S1", "S2", "S3")
    follows_s1(net)
    net.deliver("S1", "S2", SenderFrame(number=7, stable=(StableNumber(origin=net["S1"].me, upto=0, lagging={}),)))
    former = net["S1"].me
    net.carry("S2", "S3")
    s2 = net["S2"].engine
    net.deliver("S1", "S2", SenderFrame(number=8, stable=(StableNumber(origin=former, upto=1, lagging={"S3": 1}),)))
    s2.stability.watched(s2.outbound["S3"], former, 9)
    net.carry("S2", "S3", heartbeat=True)
    net.answer("S2", "S3", heartbeat=True)
    assert former in s2.outbound["S3"].told
    net.restart("S1")
    net.connect("S1", "S2")
    for _ in range(2):
        net.carry("S2", "S3", heartbeat=True)
        net.answer("S2", "S3", heartbeat=True)
    assert former not in s2.outbound["S3"].told
    assert former not in s2.outbound["S3"].announced


# -- eviction ----------------------------------------------------------------------------------------------------


def evict(station: Station, name: str) -> NodeId | None:
    output = Output()
    gone = station.engine.departures.evicted(name, output)
    station.note(output)
    return gone


def test_f10_copy_that_waits_for_one_that_is_evicted_goes_on_and_its_verdict_names_what_is_lost() -> None:
    net = Net("S1", "S2", "S3")
    lost = follows_s1(net)
    net.carry("S2", "S3")
    s3 = net["S3"]
    assert list(s3.held.values()) == [lost]
    net.cut("S1", "S3")
    assert evict(s3, "S1") == net["S1"].me
    net.heartbeat()
    (message,) = s3.handle_all()
    verdict = s3.arrivals[message].verdict
    assert (verdict.kind, verdict.missing) == (VerdictKind.LOST, (lost,))
    assert net["S1"].me not in s3.engine.settlement.inbound
    assert net.refuse_as(net["S1"].me, "S3").incarnation == 1
    net.restart("S1")
    assert isinstance(net.connect("S1", "S3"), Welcome)


def test_f10_one_that_is_waited_for_and_was_never_here_can_be_evicted() -> None:
    net = Net("S1", "S2", "S3", peers={"S1": ["S2", "S3"], "S2": ["S3"]}, connect=False)
    net.connect("S1", "S2")
    net.connect("S2", "S3")
    lost = follows_s1(net)
    net.carry("S2", "S3")
    s3 = net["S3"]
    assert list(s3.held.values()) == [lost]
    assert evict(s3, "S1") == net["S1"].me
    assert s3.handle_all()
    assert isinstance(s3.engine.greeted(Hello(sender=net["S1"].me, receiver="S3"), net.now_ms)[0], Refusal)
    assert evict(s3, "S1") is None, "it is gone already"


def test_f10_one_that_horizons_wait_for_can_be_evicted() -> None:
    net = Net("S1", "S2", "S3", config=EngineConfig(dependencies_max=0), connect=False)
    s1, s2, s3 = net
    net.connect("S1", "S2")
    net.connect("S2", "S3")
    s1.engine.stamping.unopened.clear()
    s1.send("S3")
    tells = s1.send("S2")
    net.carry("S1", "S2")
    s2.handle_all()
    assert s2.handled == [tells]
    message = s2.send("S3")
    net.carry("S2", "S3")
    assert s3.engine.delivery.held
    assert evict(s3, "S1") == s1.me
    for _ in range(2):
        net.carry("S2", "S3", heartbeat=True)
    assert s3.handle_all() == [message]


def test_evicted_receiver_is_talked_to_no_more_until_it_is_another_incarnation() -> None:
    net = Net("S1", "S2", peers={"S1": ["S2"]})
    s1, s2 = net["S1"], net["S2"]
    assert evict(s1, "S2") == s2.me
    net.cut("S1", "S2")
    answer, _ = s2.engine.greeted(s1.engine.hello("S2"), net.now_ms)
    assert isinstance(answer, Welcome)
    with pytest.raises(ProtocolError, match="or it has left or been evicted; start S2 anew"):
        s1.engine.welcomed("S2", answer)
    net.restart("S2")
    assert isinstance(net.connect("S1", "S2"), Welcome)


def test_one_known_by_stable_numbers_alone_can_be_evicted() -> None:
    net = Net("S1", "S2")
    stranger = NodeId("X", 3)
    report = StableNumber(origin=stranger, upto=3, lagging={"S9": 2})
    net.deliver("S1", "S2", SenderFrame(number=5, stable=(report,)))
    assert evict(net["S2"], "X") == stranger
    assert net["S2"].engine.settlement.report_of(stranger) == report


def test_evict_of_a_node_of_which_nothing_is_known_and_of_oneself_does_nothing() -> None:
    net = Net("S1", "S2", peers={"S1": ["S2"]}, connect=False)
    assert evict(net["S1"], "S2") is None
    assert evict(net["S1"], "S1") is None
    assert evict(net["S1"], "X") is None
    assert net["S1"].engine.departures.evicted("X", Output(), 7) == NodeId("X", 7)
    assert net["S1"].engine.settlement.missing_here(NodeId("X", 7), 1) == LOST
