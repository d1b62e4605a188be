"""Stable numbers: their laws, their way to whoever was told a dot, and the questions when they do not come."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal.ordering import Dot, EngineConfig, NodeId, stability
from causal.ordering.frames import ReceiverFrame, SenderFrame, StableNumber
from causal.ordering.settlement import join
from tests.ordering.links import Net

ORIGIN = NodeId("S1", 1)
PLACES = ["A", "B", "C"]


@st.composite
def reports(draw: st.DrawFn) -> StableNumber:
    upto = draw(st.integers(0, 6))
    seqs = st.integers(1, max(upto, 1))
    lagging = draw(st.dictionaries(st.sampled_from(PLACES), seqs, max_size=3 if upto else 0))
    return StableNumber(origin=ORIGIN, upto=upto, lagging=lagging)


def covered(report: StableNumber) -> set[tuple[str, int]]:
    return {(place, seq) for place in PLACES for seq in range(1, 8) if report.covers(place, seq)}


@given(one=reports(), other=reports())
def test_join_is_commutative_and_idempotent(one: StableNumber, other: StableNumber) -> None:
    assert join(one, other) == join(other, one)
    assert join(one, one) == one
    assert join(join(one, other), other) == join(one, other)


@given(one=reports(), other=reports(), third=reports())
def test_join_is_associative(one: StableNumber, other: StableNumber, third: StableNumber) -> None:
    assert join(join(one, other), third) == join(one, join(other, third))


@given(one=reports(), other=reports())
def test_join_covers_exactly_what_either_covers(one: StableNumber, other: StableNumber) -> None:
    assert covered(join(one, other)) == covered(one) | covered(other)


@given(report=reports())
def test_covers_is_a_prefix_for_each_destination(report: StableNumber) -> None:
    for place, seq in covered(report):
        assert seq == 1 or report.covers(place, seq - 1)


def test_report_with_an_exception_covers_only_what_comes_before_it_there() -> None:
    report = StableNumber(origin=ORIGIN, upto=5, lagging={"A": 3})
    assert [seq for seq in range(1, 8) if report.covers("A", seq)] == [1, 2]
    assert [seq for seq in range(1, 8) if report.covers("B", seq)] == [1, 2, 3, 4, 5]


def own(net: Net, name: str) -> StableNumber:
    engine = net[name].engine
    return engine.stability.own(engine.last_seq, net.now_ms)


def test_stable_number_stops_before_the_first_unsettled_message() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, _ = net
    dots = [s1.send("S2"), s1.send("S3"), s1.send("S2")]
    net.carry("S1", "S2")
    s2.handle_all()
    net.answer("S1", "S2")
    assert s1.engine.unsettled == [dots[1]]
    assert own(net, "S1") == StableNumber(origin=s1.me, upto=1, lagging={})


def test_stable_number_names_a_destination_that_lags_and_goes_on_for_the_others() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, _ = net
    s1.send("S3")
    for _ in range(3):
        s1.send("S2")
    net.carry("S1", "S2")
    s2.handle_all()
    net.answer("S1", "S2")
    assert own(net, "S1").upto == 0
    net.now_ms += 1000
    report = own(net, "S1")
    assert (report.upto, report.lagging) == (4, {"S3": 1})
    s1.send("S2")
    assert own(net, "S1").upto == 4


def test_stable_number_never_goes_back_and_catches_up_with_the_one_that_lagged() -> None:
    net = Net("S1", "S2", "S3")
    s1, *_ = net
    s1.send("S3")
    net.now_ms += 1000
    assert own(net, "S1").lagging == {"S3": 1}
    net.settle()
    assert own(net, "S1") == StableNumber(origin=s1.me, upto=1, lagging={})


def test_e1_stable_number_never_goes_back_with_the_physical_clock() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, _ = net
    s1.send("S3")
    both = s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(both)
    net.answer("S1", "S2")
    net.now_ms += 1000
    report = own(net, "S1")
    assert (report.upto, report.lagging) == (2, {"S3": 1})
    net.now_ms -= 3_600_000
    assert own(net, "S1") == report


def test_stable_number_with_an_exception_stops_before_what_does_not_lag_yet() -> None:
    net = Net("S1", "S2", "S3")
    s1, *_ = net
    s1.send("S2")
    net.now_ms += 900
    s1.send("S3")
    net.now_ms += 200
    assert own(net, "S1") == StableNumber(origin=s1.me, upto=1, lagging={"S2": 1})


def relay(net: Net) -> tuple[Dot, Dot]:
    """S1 → S3 m1, S1 → S2 m2, S2 handles m2: S2 was told of m1, S3 has not got it."""
    s1, s2 = net["S1"], net["S2"]
    m1, m2 = s1.send("S3"), s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(m2)
    net.answer("S1", "S2")
    return m1, m2


def test_dot_told_to_a_peer_is_forgotten_there_once_its_stable_number_has_come() -> None:
    net = Net("S1", "S2", "S3")
    _, s2, s3 = net
    m1, _ = relay(net)
    assert s2.pending == {"S3": {m1}}
    net.carry("S1", "S3")
    s3.handle(m1)
    net.answer("S1", "S3")
    (frame,) = net.carry("S1", "S2", heartbeat=True)
    assert frame.stable == (StableNumber(origin=m1.origin, upto=2, lagging={}),)
    s2.tick()
    assert s2.pending == {}


def test_stable_number_is_said_again_after_a_broken_stream_until_it_is_acknowledged() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    m1, _ = relay(net)
    net.carry("S1", "S3")
    s3.handle(m1)
    net.answer("S1", "S3")
    (lost,) = net.take("S1", "S2", heartbeat=True)
    assert lost.stable
    assert net.take("S1", "S2", heartbeat=True)[0].stable == (), "said once on a stream"
    net.answer("S1", "S2", heartbeat=True)  # acknowledges what came before
    net.cut("S1", "S2")
    net.connect("S1", "S2")
    (again,) = net.carry("S1", "S2", heartbeat=True)
    assert again.stable == lost.stable
    assert s1.me in s1.engine.outbound["S2"].told
    net.answer("S1", "S2", heartbeat=True)
    assert s1.engine.outbound["S2"].told == {}
    net.cut("S1", "S2")
    net.connect("S1", "S2")
    assert net.carry("S1", "S2", heartbeat=True)[0].stable == ()
    s2.tick()
    assert s2.pending == {}


def test_stable_number_that_a_relay_passed_on_is_said_again_after_a_broken_stream() -> None:
    net = Net("S1", "S2", "S3", "S4")
    s1, s2, s3, s4 = net
    m1, m2 = s1.send("S4"), s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(m2)
    m3 = s2.send("S3")
    net.carry("S2", "S3")
    s3.handle(m3)
    net.answer("S2", "S3")
    assert s3.pending == {"S4": {m1}}
    net.carry("S1", "S4")
    s4.handle(m1)
    net.answer("S1", "S4")
    net.answer("S1", "S2")
    net.carry("S1", "S2", heartbeat=True)
    (lost,) = net.take("S2", "S3", heartbeat=True)
    net.cut("S2", "S3")
    net.connect("S2", "S3")
    (again,) = net.carry("S2", "S3", heartbeat=True)
    assert s1.me in {report.origin for report in lost.stable}
    assert again.stable == lost.stable
    assert s3.pending == {}


def test_settlement_that_does_not_move_the_stable_number_is_not_said_again() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, _ = net
    s1.send("S3")
    said = []
    for _ in range(3):
        dot = s1.send("S2")
        said += [report.upto for frame in net.carry("S1", "S2", heartbeat=True) for report in frame.stable]
        s2.handle(dot)
        net.answer("S1", "S2")
    assert said == [0]


def test_dot_of_a_receivers_former_self_is_reported_on_to_the_present_one() -> None:
    net = Net("S1", "S2", "S3", "S4")
    s1, _, s3, _ = net
    old = s3.me
    m1, m2 = s3.send("S4"), s3.send("S1")
    net.carry("S3", "S1")
    s1.handle(m2)
    assert s1.pending == {"S4": {m1}}
    s3 = net.restart("S3")
    net.connect("S1", "S3")
    m3 = s1.send("S3")
    net.carry("S1", "S3")
    s3.handle(m3)
    assert s3.pending == {"S4": {m1}}
    report = StableNumber(origin=old, upto=2, lagging={})
    net.deliver("S2", "S1", SenderFrame(number=2, stable=(report,)))
    net.carry("S1", "S3", heartbeat=True)
    assert s3.pending == {}


def test_stable_number_that_covers_only_a_part_of_what_was_told_stays_owed() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    m1, _ = relay(net)
    m3, m4 = s1.send("S3"), s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(m4)
    (frame,) = net.take("S1", "S3")
    net.deliver("S1", "S3", replace(frame, copies=frame.copies[:1]))
    s3.handle(m1)
    net.answer("S1", "S3")
    net.carry("S1", "S2", heartbeat=True)
    net.answer("S1", "S2", heartbeat=True)
    assert s1.engine.outbound["S2"].told == {s1.me: m4.seq}
    assert s2.pending == {"S3": {m3}}
    net.deliver("S1", "S3", replace(frame, copies=frame.copies[1:]))
    net.settle()
    assert s2.pending == {}
    assert s1.engine.outbound["S2"].told == {}


def test_settlement_learned_from_a_welcome_goes_out_with_the_next_frame() -> None:
    net = Net("S1", "S2", "S3")
    s2, s3 = net["S2"], net["S3"]
    m1, _ = relay(net)
    net.carry("S1", "S2", heartbeat=True)
    net.carry("S1", "S3")
    s3.handle(m1)
    net.cut("S1", "S3")
    net.connect("S1", "S3")
    net.carry("S1", "S2", heartbeat=True)
    assert s2.pending == {}


def test_settlement_of_a_message_to_oneself_goes_out_with_the_next_frame() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    note, told = s1.send("S1"), s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(told)
    net.answer("S1", "S2")
    net.carry("S1", "S2", heartbeat=True)
    assert s2.pending == {"S1": {note}}
    s1.handle(note)
    net.carry("S1", "S2", heartbeat=True)
    assert s2.pending == {}


def test_stable_number_that_grew_with_time_alone_goes_out_after_the_next_tick() -> None:
    net = Net("S1", "S2", "S3", "S4")
    s1, s2, _, s4 = net
    stuck, both = s1.send("S3"), s1.send("S2", "S4")
    for station, receiver in ((s2, "S2"), (s4, "S4")):
        net.carry("S1", receiver)
        station.handle(both)
        net.answer("S1", receiver)
        net.carry("S1", receiver, heartbeat=True)
    net.carry("S1", "S2", heartbeat=True)
    net.now_ms += 1000
    assert s2.pending == {"S3": {stuck}, "S4": {both}}
    s1.tick()
    net.carry("S1", "S2", heartbeat=True)
    assert s2.pending == {"S3": {stuck}}


def test_stable_number_that_grew_with_time_while_one_frame_was_made_is_owed_to_the_others_too() -> None:
    net = Net("S1", "S2", "S3", "S4")
    s1, s2, _, s4 = net
    stuck, both = s1.send("S3"), s1.send("S2", "S4")
    for station, receiver in ((s2, "S2"), (s4, "S4")):
        net.carry("S1", receiver)
        station.handle(both)
        net.answer("S1", receiver)
    net.carry("S1", "S4", heartbeat=True)
    assert s4.pending == {"S3": {stuck}, "S2": {both}}
    net.now_ms += 1000  # from now on S3 lags
    net.carry("S1", "S2", heartbeat=True)
    assert s2.pending == {"S3": {stuck}}
    s1.tick()
    net.carry("S1", "S4", heartbeat=True)
    assert s4.pending == {"S3": {stuck}}


def test_resend_of_an_earlier_message_does_not_lower_what_the_receiver_is_owed() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    first, shared = s1.send("S2"), s1.send("S2", "S3")
    (frame,) = net.take("S1", "S2")
    net.deliver("S1", "S2", replace(frame, copies=frame.copies[1:]))
    net.answer("S1", "S2")  # the gap: `first` goes out once more, after `shared`
    net.carry("S1", "S2")
    s2.handle(first, shared)
    net.answer("S1", "S2")
    net.carry("S1", "S2", heartbeat=True)  # stable up to 1: `shared` is not settled at S3
    net.answer("S1", "S2", heartbeat=True)
    assert s2.pending == {"S3": {shared}}
    net.carry("S1", "S3")
    s3.handle(shared)
    net.settle()
    assert s2.pending == {}


def test_stable_numbers_travel_over_relays_and_leave_every_context_empty_at_rest() -> None:
    net = Net("S1", "S2", "S3", "S4", "S5")
    for round_ in range(3):
        net["S1"].send("S5")
        for sender, receiver in (("S1", "S2"), ("S2", "S3"), ("S3", "S4"), ("S4", "S5")):
            net[sender].send(receiver)
            net.carry(sender, receiver)
            net[receiver].handle_all()
        assert net["S4"].pending["S5"], round_
        net.settle()
        for station in net:
            assert station.pending == {}, station.me
            assert station.engine.unsettled == []
            assert all(not link.told for link in station.engine.outbound.values()), station.me


def test_receiver_that_started_anew_is_told_nothing_of_what_its_old_self_was_told() -> None:
    net = Net("S1", "S2", "S3")
    relay(net)
    assert net["S1"].engine.outbound["S2"].told
    net.restart("S2")
    net.connect("S1", "S2")
    assert net["S1"].engine.outbound["S2"].told == {}
    assert net["S1"].engine.outbound["S2"].owed == set()


CHAIN = {"S1": ["S2", "S3"], "S2": ["S1", "S3"], "S3": []}


def waiting(net: Net) -> Dot:
    """S2 keeps a dot of S1 for S3 that is settled there, and S1 does not say so."""
    m1, _ = relay(net)
    net.carry("S1", "S3")
    net["S3"].handle(m1)
    net.answer("S1", "S3")
    net["S1"].engine.outbound["S2"].told.clear()
    net["S1"].engine.outbound["S2"].owed.clear()
    assert net["S2"].pending == {"S3": {m1}}
    net["S2"].tick()
    net.now_ms += 59_999
    assert net["S2"].tick().report == set()
    net.now_ms += 1
    return m1


def test_dot_that_nobody_reports_on_is_asked_about_at_its_origin_if_that_is_linked() -> None:
    net = Net("S1", "S2", "S3", peers=CHAIN)
    m1 = waiting(net)
    assert net["S2"].tick().report == {m1.origin}
    answer = net.answer("S1", "S2")
    assert answer is not None
    assert answer.watch == {m1.origin: m1.seq}
    assert net.answer("S1", "S2") is None, "said once"
    net.carry("S1", "S2", heartbeat=True)
    net["S2"].tick()
    assert net["S2"].pending == {}


def test_dot_whose_origin_is_not_linked_is_asked_about_at_its_destination() -> None:
    net = Net("S1", "S2", "S3", peers=CHAIN)
    m1 = waiting(net)
    net.cut("S1", "S2")
    assert net["S2"].tick().transmit == {"S3"}
    (frame,) = net.carry("S2", "S3")
    assert frame.questions == (m1,)
    answer = net.answer("S2", "S3")
    assert answer is not None
    assert answer.answers == (m1,)
    assert net["S2"].pending == {}


def test_question_about_a_dot_that_is_not_settled_at_its_destination_has_no_answer() -> None:
    net = Net("S1", "S2", "S3", peers=CHAIN)
    m1, _ = relay(net)
    net.cut("S1", "S2")
    net["S2"].tick()
    net.now_ms += 60_000
    assert net["S2"].tick().transmit == {"S3"}
    net.carry("S2", "S3")
    assert net.answer("S2", "S3") is None
    assert net["S2"].pending == {"S3": {m1}}
    assert net["S2"].tick().transmit == set(), "one question in each garbage_after"
    net.now_ms += 60_000
    assert net["S2"].tick().transmit == {"S3"}


def test_question_about_a_lost_dot_is_answered_and_final() -> None:
    net = Net("S1", "S2", "S3", peers=CHAIN)
    s2, s3 = net["S2"], net["S3"]
    m1, _ = relay(net)
    net.restart("S1")
    net.connect("S1", "S3")
    s2.tick()
    net.now_ms += 60_000
    s2.tick()
    net.carry("S2", "S3")
    net.answer("S2", "S3")
    assert s2.pending == {}
    assert m1 not in s3.received


def test_dot_of_which_neither_end_is_linked_is_asked_about_at_whoever_sends_here() -> None:
    peers = {"S1": ["S2", "S4"], "S2": ["S3"], "S3": [], "S4": []}
    net = Net("S1", "S2", "S3", "S4", peers=peers)
    s1, s2, s3, s4 = net
    m1, m2 = s1.send("S4"), s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(m2)
    m3 = s2.send("S3")
    net.carry("S2", "S3")
    s3.handle(m3)
    net.answer("S2", "S3")
    assert s3.pending == {"S4": {m1}}
    s2.engine.outbound["S3"].told.clear()  # as if S2 had started anew
    s3.tick()
    net.now_ms += 60_000
    assert s3.tick().report == {s2.me}
    answer = net.answer("S2", "S3")
    assert answer is not None
    assert answer.watch == {s1.me: m1.seq}
    net.carry("S1", "S4")
    s4.handle(m1)
    net.settle()
    assert s3.pending == {}


def test_teller_that_is_asked_and_does_not_know_asks_on_once_in_its_time() -> None:
    net = Net("S1", "S2", "S3", peers={"S1": ["S2"], "S2": ["S3"], "S3": []})
    s1, s2, _ = net
    asked = ReceiverFrame(received=0, watch={s1.me: 4})
    s2.note(s2.engine.reported("S3", asked, net.now_ms))
    assert not s2.engine.stability.asks_on
    assert s2.tick().report == {s1.me}
    assert s2.engine.stability.asks_on
    answer = net.answer("S1", "S2")
    assert answer is not None
    assert answer.watch == {s1.me: 4}
    s2.note(s2.engine.reported("S3", asked, net.now_ms))
    net.now_ms += 59_999
    assert s2.tick().report == set(), "the question is on its way"
    s2.note(s2.engine.reported("S3", asked, net.now_ms))
    net.now_ms += 1
    assert s2.tick().report == {s1.me}


def test_teller_that_knows_or_could_never_hear_does_not_ask_on() -> None:
    net = Net("S1", "S2", "S3", peers={"S1": ["S2"], "S2": ["S3"], "S3": []})
    s1, s2, _ = net
    gone = NodeId("S1", 0)
    net.deliver("S1", "S2", SenderFrame(number=2, stable=(StableNumber(origin=NodeId("X", 1), upto=4, lagging={}),)))
    s2.note(
        s2.engine.reported("S3", ReceiverFrame(received=0, watch={NodeId("X", 1): 4, gone: 1, s2.me: 1}), net.now_ms)
    )
    assert s2.tick().report == set()
    s2.note(s2.engine.reported("S3", ReceiverFrame(received=0, watch={NodeId("X", 1): 5}), net.now_ms))
    assert s2.tick().report == {s1.me}


def test_dot_of_which_both_ends_are_down_is_asked_about_at_whoever_sends_here() -> None:
    peers = {"S1": ["S2", "S3"], "S2": ["S3"], "S3": [], "S4": ["S2"]}
    net = Net("S1", "S2", "S3", "S4", peers=peers)
    s2, s4 = net["S2"], net["S4"]
    relay(net)
    net.cut("S1", "S2")
    net.cut("S2", "S3")
    s2.tick()
    net.now_ms += 60_000
    output = s2.tick()
    assert (output.transmit, output.report) == (set(), {s4.me})


def test_dot_that_grew_meanwhile_is_not_asked_about_before_its_time() -> None:
    net = Net("S1", "S2", "S3", peers=CHAIN)
    s1, s2, _ = net
    relay(net)
    s2.tick()
    net.now_ms += 50_000
    s1.send("S3")
    newer = s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(newer)
    s2.tick()
    net.now_ms += 50_000
    assert s2.tick().report == set()
    net.now_ms += 10_000
    assert s2.tick().report == {s1.me}


def test_question_about_the_receivers_own_message_to_itself_is_a_fair_one() -> None:
    """S3 sent to itself and told S1; its link to S1 is down, that from S1 to it is not."""
    net = Net("S1", "S3")
    s1, s3 = net
    note, told = s3.send("S3"), s3.send("S1")
    net.carry("S3", "S1")
    s1.handle(told)
    assert s1.pending == {"S3": {note}}
    net.cut("S3", "S1")
    s1.tick()
    net.now_ms += 60_000
    assert s1.tick().transmit == {"S3"}
    net.carry("S1", "S3")
    assert net.answer("S1", "S3") is None
    s3.handle(note)
    net.now_ms += 60_000
    s1.tick()
    net.carry("S1", "S3")
    net.answer("S1", "S3")
    assert s1.pending == {}


def test_own_messages_are_never_asked_about() -> None:
    net = Net("S1", "S2")
    s1, _ = net
    s1.send("S2")
    s1.tick()
    net.now_ms += 120_000
    output = s1.tick()
    assert (output.transmit, output.report) == (set(), set())


def test_message_whose_handler_runs_for_long_is_not_asked_about() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    dot = s1.send("S2")
    net.carry("S1", "S2")
    s2.start(dot)
    s2.tick()
    net.now_ms += 120_000
    output = s2.tick()
    assert (output.transmit, output.report) == (set(), set())
    assert s2.pending == {"S2": {dot}}


def test_questions_past_the_bound_of_a_frame_wait_for_their_next_turn() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    strangers = {NodeId(f"X{number}", 1): 1 for number in range(1100)}
    s1.engine.context.merge({"S2": strangers}, lambda *_: False, 1)
    s1.tick()
    net.now_ms += 60_000
    s1.tick()
    (frame,) = net.carry("S1", "S2")
    assert len(frame.questions) == 1024
    assert s2.engine.report(s1.me) is None


def test_more_stable_numbers_than_a_frame_takes_go_with_the_next_one() -> None:
    net = Net("S1", "S2", config=EngineConfig(dots_max=2048))
    s1, s2 = net
    reports = [StableNumber(origin=NodeId(f"X{n}", 1), upto=1, lagging={}) for n in range(1100)]
    watch = {report.origin: 1 for report in reports}
    s1.note(s1.engine.reported("S2", ReceiverFrame(received=0, watch=watch), net.now_ms))
    net.deliver("S2", "S1", SenderFrame(number=2, stable=tuple(reports)))
    first, second = (net.carry("S1", "S2", heartbeat=True)[0] for _ in range(2))
    assert (len(first.stable), len(second.stable)) == (1024, 76)
    assert len(s2.engine.settlement.stable) == 1100


def test_report_that_says_nothing_new_moves_nothing() -> None:
    net = Net("S1", "S2")
    report = StableNumber(origin=NodeId("X", 1), upto=4, lagging={"A": 2})
    older = StableNumber(origin=NodeId("X", 1), upto=1, lagging={})
    net["S1"].engine.outbound["S2"].told[report.origin] = 9
    net.deliver("S2", "S1", SenderFrame(number=2, stable=(report,)))
    assert net["S1"].engine.outbound["S2"].owed == {report.origin}
    net["S1"].engine.outbound["S2"].owed.clear()
    net.deliver("S2", "S1", SenderFrame(number=3, stable=(report, older)))
    assert net["S1"].engine.outbound["S2"].owed == set()
    assert net["S1"].engine.settlement.stable[report.origin] == report


def test_stable_number_releases_what_waits_here_for_a_dot_of_an_earlier_self() -> None:
    """S3 had settled m1 and started anew; S1, whose link has not opened yet, is only heard of through S2."""
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    m1, m2 = s1.send("S3"), s1.send("S2")
    net.carry("S1", "S2")
    s2.start(m2)
    m3 = s2.send("S3")  # tells S3 of m2, which still runs, and so of S1
    s2.finish(m2)
    net.carry("S1", "S3")
    s3.handle(m1)
    net.answer("S1", "S3")
    s3 = net.restart("S3")
    net.connect("S2", "S3")
    net.carry("S2", "S3")
    assert s3.held == {m3: m1}
    net.answer("S1", "S2")
    net.carry("S1", "S2", heartbeat=True)
    net.carry("S2", "S3", heartbeat=True)
    assert s3.handle_all() == [m3]
    assert s3.arrivals[m3].verdict.ordered


def test_frame_that_reports_on_an_origin_many_times_has_it_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    looks: list[NodeId] = []
    monkeypatch.setattr(s2.engine.delivery, "look_again", lambda origin, _: looks.append(origin))
    x, y = NodeId("X", 1), NodeId("Y", 1)
    reports = [StableNumber(origin=x, upto=upto, lagging={}) for upto in range(1, 50)]
    reports.append(StableNumber(origin=y, upto=1, lagging={}))
    (frame,) = net.take("S1", "S2", heartbeat=True)
    s2.engine.arrived(s1.me, replace(frame, stable=tuple(reports)), net.now_ms)
    assert looks == [x, y]
    assert s2.engine.settlement.stable[x].upto == 49


def test_receiver_that_makes_up_origins_is_owed_a_bounded_number_and_others_are_asked_for_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stability, "WATCHED_MAX", 50)
    monkeypatch.setattr(stability, "REPORTS_MAX", 20)
    net = Net("S1", "S2", "S3")
    s2 = net["S2"]
    watch = {NodeId(f"X{number}", 1): 7 for number in range(100)}
    s2.engine.reported("S3", ReceiverFrame(received=1, watch=watch), net.now_ms)
    assert len(s2.engine.outbound["S3"].told) == 50
    s2.tick()
    assert len(s2.engine.settlement.inbound[net["S1"].me].watch) == 20
