"""New incarnations on either side, broken and replaced streams, and refused ones."""

from __future__ import annotations

import dataclasses

import pytest

from causal.errors import ProtocolError
from causal.ordering import Dot, EngineConfig, NodeId, VerdictKind
from causal.ordering.frames import Hello, ReceiverFrame, RefusalCode, SenderFrame, Welcome
from causal.ordering.stamp import Copy
from tests.ordering.links import Net, only, refused, stamp, unchanged

# -- the receiver starts anew ----------------------------------------------------------------------------------


def test_receiver_that_started_anew_gets_the_base_and_what_is_unsettled_with_its_original_stamp() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    settled, held, later = s1.send("S2"), s1.send("S2"), s1.send("S2")
    (first,) = net.take("S1", "S2")
    net.deliver("S1", "S2", only(first, settled, held))
    s2.handle(settled)
    net.answer("S1", "S2")
    s2 = net.restart("S2")
    assert net.connect("S1", "S2").known is False
    s1.send("S1")
    s1.handle_all()
    (frame,) = net.carry("S1", "S2")
    assert frame.base is not None
    assert (frame.base.last, frame.base.unsettled) == (later.seq, (held.seq, later.seq))
    assert frame.copies == first.copies[1:]
    assert s2.handle_all() == [held, later]


def test_receiver_that_started_anew_counts_what_its_old_self_settled_as_settled() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    cause, trigger = s1.send("S3"), s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(trigger)
    effect = s2.send("S3")
    net.carry("S1", "S3")
    s3.handle(cause)
    net.answer("S1", "S3")
    s3 = net.restart("S3")
    net.connect("S2", "S3")
    net.carry("S2", "S3")
    assert s3.held == {effect: cause}, "nobody has said yet that it is settled"
    net.connect("S1", "S3")
    net.carry("S1", "S3")
    assert s3.handle_all() == [effect]
    assert s3.arrivals[effect].verdict.ordered


def test_receiver_that_started_anew_waits_for_what_its_old_self_had_only_received() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    cause, trigger = s1.send("S3"), s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(trigger)
    effect = s2.send("S3")
    net.carry("S1", "S3")
    s3.start(cause)
    net.answer("S1", "S3", heartbeat=True)
    s3 = net.restart("S3")
    for sender in ("S2", "S1"):
        net.connect(sender, "S3")
        net.carry(sender, "S3")
    assert s3.handle_all() == [cause, effect]


def test_base_lost_with_the_stream_is_said_again() -> None:
    net = Net("S1", "S2", connect=False)
    dot = net["S1"].send("S2")
    net.connect("S1", "S2")
    assert net.take("S1", "S2")[0].base is not None
    net.cut("S1", "S2")
    assert net.connect("S1", "S2").known is False
    net.carry("S1", "S2")
    assert net["S2"].handle_all() == [dot]
    net.cut("S1", "S2")
    assert net.connect("S1", "S2").known is True


def test_message_sent_between_welcome_and_base_is_inside_the_base() -> None:
    net = Net("S1", "S2", connect=False)
    net.connect("S1", "S2")
    dots = [net["S1"].send("S2") for _ in range(2)]
    (frame,) = net.carry("S1", "S2")
    assert frame.base is not None
    assert frame.base.unsettled == (1, 2)
    dots.append(net["S1"].send("S2"))
    net.carry("S1", "S2")
    assert net["S2"].handle_all() == dots


def test_b10_late_frame_of_an_older_incarnation_is_ignored() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    s1.send("S2")
    (late,) = net.take("S1", "S2")
    old = s1.me
    net.restart("S1")
    net.connect("S1", "S2")
    with unchanged(s2.engine):
        output = s2.engine.arrived(old, late, net.now_ms)
    assert output.received == []
    assert s2.engine.report(old, heartbeat=True) is None


def test_b10_frame_on_an_old_stream_that_nobody_has_noticed_to_be_broken_is_ignored() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    dot = s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(dot)
    s1.send("S2")
    (late,) = net.take("S1", "S2")
    answer, _ = s2.engine.greeted(Hello(sender=NodeId("S1", 2), receiver="S2"), net.now_ms)
    assert isinstance(answer, Welcome)
    with unchanged(s2.engine):
        s2.engine.arrived(s1.me, late, net.now_ms)
    assert s2.engine.report(s1.me, heartbeat=True) is None
    assert s1.me not in s2.engine.settlement.inbound, "nothing of it can come again"


def test_b10_frame_of_somebody_who_never_said_hello_is_ignored() -> None:
    net = Net("S1", "S2", connect=False)
    with unchanged(net["S2"].engine):
        net["S2"].engine.arrived(net["S1"].me, SenderFrame(number=1), net.now_ms)
        net["S2"].engine.hung_up(net["S1"].me)
    assert net["S2"].engine.report(net["S1"].me, heartbeat=True) is None


def test_b10_frame_after_the_stream_has_broken_is_ignored_at_both_ends() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    s1.send("S2")
    (late,) = net.take("S1", "S2")
    net.cut("S1", "S2")
    with unchanged(s2.engine):
        s2.engine.arrived(s1.me, late, net.now_ms)
    with unchanged(s1.engine):
        s1.engine.reported("S2", ReceiverFrame(received=9, settled=(1,)), net.now_ms)
    assert s1.engine.transmit("S2", net.now_ms, heartbeat=True) is None


# -- the sender starts anew ------------------------------------------------------------------------------------


def test_dot_of_an_incarnation_that_is_gone_is_lost_and_the_verdict_names_it() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    lost, trigger = s1.send("S3"), s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(trigger)
    effect = s2.send("S3")
    net.carry("S2", "S3")
    net.restart("S1")
    assert s3.held == {effect: lost}
    net.connect("S1", "S3")
    assert s3.handle_all() == [effect]
    verdict = s3.arrivals[effect].verdict
    assert (verdict.kind, verdict.missing) == (VerdictKind.LOST, (lost,))
    assert str(verdict) == f"lost ({lost} can never come)"


def test_teller_of_a_lost_dot_hears_so_at_once_and_names_it_no_more() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    lost, trigger = s1.send("S3"), s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(trigger)
    effect = s2.send("S3")
    net.carry("S2", "S3")
    s2.engine.context.merge({"S3": {lost.origin: lost.seq}}, lambda *_: False, net.now_ms << 16)  # told of it once more
    net.restart("S1")
    net.connect("S1", "S3")
    report = net.answer("S2", "S3")
    assert report is not None
    assert (report.lost, report.answers, report.settled) == ((lost,), (), ())
    assert s2.pending["S3"] == {effect}
    assert s3.handle_all() == [effect]


def test_teller_of_a_lost_dot_that_is_not_connected_is_not_told() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    s1.send("S3")
    trigger = s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(trigger)
    s2.send("S3")
    net.carry("S2", "S3")
    net.cut("S2", "S3")
    net.restart("S1")
    net.connect("S1", "S3")
    assert s3.engine.settlement.inbound[s2.me].lost == []


def test_dot_of_another_incarnation_of_this_node_is_lost_even_if_it_is_a_later_one() -> None:
    """The clock has gone back over a restart: what was sent as S2/9 to itself will not come."""
    net = Net("S1", "S2")
    s2 = net["S2"]
    later = Dot("S2", 9, 1)
    copy = Copy(1, stamp(after={later.origin: later.seq}, clock={net["S1"].me: 1}), "s", b"")
    net.deliver("S1", "S2", SenderFrame(number=2, copies=(copy,)))
    assert s2.handle_all() == [Dot("S1", 1, 1)]
    assert s2.arrivals[Dot("S1", 1, 1)].verdict.missing == (later,)


def test_message_after_a_lost_one_that_comes_once_the_loss_is_known_is_told_too() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    lost, trigger = s1.send("S3"), s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(trigger)
    effect = s2.send("S3")
    net.restart("S1")
    net.connect("S1", "S3")
    net.carry("S2", "S3")
    assert s3.handle_all() == [effect]
    assert s3.arrivals[effect].verdict.missing == (lost,)


def test_successor_of_a_lost_dot_waits_for_what_came_from_the_same_incarnation_before_it() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    first, second = s1.send("S3"), s1.send("S3")
    net.carry("S1", "S3")
    lost, trigger = s1.send("S3"), s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(trigger)
    effect = s2.send("S3")
    net.carry("S2", "S3")
    net.restart("S1")
    net.connect("S1", "S3")
    assert s3.held == {second: first, effect: second}
    assert s3.handle_all() == [first, second, effect]
    assert s3.arrivals[second].verdict.ordered
    assert s3.arrivals[effect].verdict.missing == (lost,)


def test_gap_that_the_old_incarnation_left_on_its_own_link_is_lost() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    first, lost, last = s1.send("S2"), s1.send("S2"), s1.send("S2")
    (frame,) = net.take("S1", "S2")
    net.deliver("S1", "S2", only(frame, first, last))
    assert s2.held == {last: lost}
    net.restart("S1")
    net.connect("S1", "S2")
    assert s2.held == {last: first}
    assert s2.handle_all() == [first, last]
    assert s2.arrivals[last].verdict.missing == (lost,)


def test_messages_of_the_old_incarnation_that_got_across_are_delivered() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    dots = [s1.send("S2") for _ in range(3)]
    net.carry("S1", "S2")
    s2.start(dots[0])
    s1 = net.restart("S1")
    net.connect("S1", "S2")
    newer = s1.send("S2")
    net.carry("S1", "S2")
    assert s2.handle_all() == [newer]
    s2.finish(dots[0])
    assert s2.handle_all() == dots[1:]
    assert s1.settled == []
    net.answer("S1", "S2")
    assert s1.settled == [newer], "the same seq of the old incarnation is another message"


def test_message_that_waits_for_nothing_lost_is_left_alone_by_a_new_incarnation() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    s1.send("S3")
    first, second = s2.send("S3"), s2.send("S3")
    net.carry("S2", "S3")
    net.restart("S1")
    net.connect("S1", "S3")
    assert s3.held == {second: first}


def test_none_message_dropped_behind_a_lost_dot_settles_when_the_loss_is_known() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    s1.send("S3")
    trigger = s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(trigger)
    loose = s2.send("S3", subject="none")
    net.carry("S2", "S3")
    s3.handle(loose)
    assert net.answer("S2", "S3") is None
    net.restart("S1")
    net.connect("S1", "S3")
    assert net.answer("S2", "S3") is not None
    assert s2.settled == [loose]
    assert s3.arrivals[loose].verdict.kind is VerdictKind.UNORDERED


def test_loss_that_only_a_none_message_followed_is_told_to_the_first_that_follows_it() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    lost, trigger = s1.send("S3"), s1.send("S2")
    unrelated = s2.send("S3")
    net.carry("S1", "S2")
    s2.handle(trigger)
    s2.send("S3", subject="none")
    net.carry("S2", "S3")
    s3.handle_all()
    net.restart("S1")
    net.connect("S1", "S3")
    net.answer("S2", "S3")
    first, second = s2.send("S3"), s2.send("S3")
    net.carry("S2", "S3")
    s3.handle_all()
    verdicts = {dot: s3.arrivals[dot].verdict.missing for dot in (unrelated, first, second)}
    assert verdicts == {unrelated: (), first: (lost,), second: ()}


def test_loss_of_which_nothing_followed_yet_is_told_only_to_what_follows_it() -> None:
    net = Net("S1", "S2", "S3", "S4")
    s1, s2, s3, s4 = net
    lost, trigger = s1.send("S3"), s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(trigger)
    s3.engine.delivery.leave_untold(lost)
    concurrent, effect = s4.send("S3"), s2.send("S3")
    net.restart("S1")
    net.connect("S1", "S3")
    net.carry("S4", "S3")
    net.carry("S2", "S3")
    s3.handle_all()
    assert s3.arrivals[concurrent].verdict.missing == ()
    assert s3.arrivals[effect].verdict.missing == (lost,)


def test_losses_that_nobody_could_be_told_of_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("causal.ordering.delivery.UNTOLD_MAX", 2)
    _, s2 = Net("S1", "S2")
    for seq in (1, 2, 3):
        s2.engine.delivery.leave_untold(Dot("S9", 1, seq))
    assert [*s2.engine.delivery._untold] == [Dot("S9", 1, 2), Dot("S9", 1, 3)]


def test_own_message_that_follows_a_lost_dot_settles_when_the_loss_is_known() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    note, ask = s1.send("S2"), s1.send("S2", subject="none")
    (frame,) = net.take("S1", "S2")
    net.deliver("S1", "S2", only(frame, ask))
    s2.start(ask)
    own = s2.send("S2", subject="none")
    s2.handle(own)
    s2.finish(ask)
    assert s2.settled == []
    net.restart("S1")
    net.connect("S1", "S2")
    assert s2.settled == [own]
    assert note not in s2.received


def test_dot_of_this_nodes_own_former_self_is_lost() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    note, told = s1.send("S1"), s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(told)
    reply = s2.send("S1")
    s1 = net.restart("S1")
    net.connect("S2", "S1")
    net.carry("S2", "S1")
    assert s1.handle_all() == [reply]
    assert s1.arrivals[reply].verdict.missing == (note,)


# -- who may dial whom -----------------------------------------------------------------------------------------


def test_f8_stale_incarnation_is_refused_and_told_the_latest() -> None:
    net = Net("S1", "S2")
    old = net["S1"].me
    net.restart("S1")
    net.connect("S1", "S2")
    net.cut("S1", "S2")
    with unchanged(net["S2"].engine):
        refusal = net.refuse_as(old, "S2")
    assert (refusal.code, refusal.incarnation) == (RefusalCode.STALE_INCARNATION, 2)
    assert refusal.detail == "S1 has been here as incarnation 2, later than 1"


def test_g1_node_that_dials_under_the_receivers_own_name_is_refused() -> None:
    net = Net("S1", "S2")
    with unchanged(net["S2"].engine):
        refusal = net.refuse_as(NodeId("S2", 99), "S2")
    assert refusal.code is RefusalCode.OWN_NAME


def test_node_dialled_under_another_name_refuses_and_says_its_own() -> None:
    net = Net("S1", "S2")
    with unchanged(net["S2"].engine):
        answer, _ = net["S2"].engine.greeted(Hello(sender=NodeId("S1", 1), receiver="S9"), net.now_ms)
    assert getattr(answer, "code", None) is RefusalCode.WRONG_RECEIVER
    assert "this node is S2, not S9" in str(answer)


def test_welcome_of_another_node_is_refused() -> None:
    net = Net("S1", "S2")
    welcome = net.connect("S1", "S2")
    net["S1"].engine.hello("S2")
    with refused(net["S1"].engine, ProtocolError, "dialled S2, but S9 answered"):
        net["S1"].engine.welcomed("S2", dataclasses.replace(welcome, receiver=NodeId("S9", 1)))


@pytest.mark.parametrize("claim", [{"received_to": 2}, {"beyond": (2,)}, {"unsettled": (2,)}])
def test_welcome_that_claims_what_was_never_sent_is_refused(claim: dict[str, object]) -> None:
    net = Net("S1", "S2")
    net["S1"].send("S2")
    welcome = net.connect("S1", "S2")
    net["S1"].engine.hello("S2")
    with refused(net["S1"].engine, ProtocolError, "claims to have received message 2"):
        net["S1"].engine.welcomed("S2", dataclasses.replace(welcome, **claim))  # type: ignore[arg-type]


def test_f8_welcome_of_an_incarnation_that_is_gone_is_refused() -> None:
    net = Net("S1", "S2")
    welcome = net.connect("S1", "S2")
    net.restart("S2")
    net.connect("S2", "S1")
    net["S1"].engine.hello("S2")
    with refused(
        net["S1"].engine,
        ProtocolError,
        "S2/1 answered, which is gone as far as is known here: a later incarnation of it has been",
    ):
        net["S1"].engine.welcomed("S2", welcome)


def test_second_welcome_on_a_stream_is_refused() -> None:
    net = Net("S1", "S2")
    net["S1"].send("S2")
    welcome = net.connect("S1", "S2")
    with refused(net["S1"].engine, ProtocolError, "Welcome twice"):
        net["S1"].engine.welcomed("S2", welcome)


@pytest.mark.parametrize("frame", [ReceiverFrame(received=9), ReceiverFrame(received=0, settled=(1, 2))])
def test_report_on_what_was_never_sent_is_refused(frame: ReceiverFrame) -> None:
    net = Net("S1", "S2")
    net["S1"].send("S2")
    net.carry("S1", "S2")
    with refused(net["S1"].engine, ProtocolError, "reports on something that was never sent"):
        net["S1"].engine.reported("S2", frame, net.now_ms)


# -- streams that break and repeat -----------------------------------------------------------------------------


def test_settlement_said_on_a_stream_that_broke_is_learned_from_the_next_welcome() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    a, b, c = s1.send("S2"), s1.send("S2"), s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(a, b)
    assert s2.engine.report(s1.me) is not None  # lost
    net.cut("S1", "S2")
    welcome = net.connect("S1", "S2")
    assert (welcome.received_to, welcome.unsettled) == (c.seq, (c.seq,))
    assert s1.settled == [a, b]
    assert net.carry("S1", "S2") == [], "what is received is not sent again"
    s2.handle(c)
    net.answer("S1", "S2")
    assert s1.settled == [a, b, c]


def test_what_a_stream_was_about_to_say_dies_with_it() -> None:
    """Welcome says what is settled and missing; questions and answers are asked for again in their time."""
    net = Net("S1", "S2")
    s1, s2 = net
    first, _, third = s1.send("S2"), s1.send("S2"), s1.send("S2")
    (frame,) = net.take("S1", "S2")
    asked = Dot("S2", 1, s2.send("S2").seq)
    s2.handle(asked)
    stranger = Dot("S9", 1, 1)
    frame = dataclasses.replace(only(frame, first, third), questions=(asked,))
    net.deliver("S1", "S2", frame)
    s2.handle(first)
    s2.engine.context.merge({"S1": {stranger.origin: 1}, "S9": {s1.me: 1}}, lambda *_: False, 1)
    s2.tick()
    net.now_ms += 60_000
    output = s2.tick()
    assert (output.transmit, output.report) == ({"S1"}, {s1.me})
    for sender, receiver in (("S1", "S2"), ("S2", "S1")):
        net.cut(sender, receiver)
        net.connect(sender, receiver)
    assert s2.engine.report(s1.me) is None
    assert s2.engine.transmit("S1", net.now_ms) is None
    assert s1.settled == [first]


def test_stream_that_replaces_a_live_one_starts_from_what_the_receiver_has() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    dots = [s1.send("S2") for _ in range(4)]
    (frame,) = net.take("S1", "S2")
    net.deliver("S1", "S2", only(frame, dots[0], dots[2]))
    s2.handle(dots[0])
    welcome = net.connect("S1", "S2")
    assert (welcome.received_to, welcome.beyond, welcome.unsettled) == (1, (3,), (3,))
    assert s1.settled == [dots[0]]
    assert s1.engine.outbound["S2"].in_flight.keys() == {3}
    (again,) = net.carry("S1", "S2")
    assert again.copies == (frame.copies[1], frame.copies[3])
    assert s2.handle_all() == dots[1:]


def test_sender_frame_processed_twice_changes_nothing_but_the_count_of_duplicates() -> None:
    net = Net("S1", "S2", "S3", connect=False)
    s1, s2, _ = net
    s1.send("S2", "S3")
    dots = [s1.send("S2") for _ in range(3)]
    net.connect("S1", "S2")
    (frame,) = net.take("S1", "S2")
    assert frame.base is not None
    net.deliver("S1", "S2", frame)
    link = s2.engine.settlement.inbound[s1.me]
    with unchanged(s2.engine.delivery, s2.engine.context, s2.engine.settlement):
        most = link.bytes_most
        net.deliver("S1", "S2", frame)
        link.bytes_most = most  # an upper bound, counted anew once it could be too much
    assert len(s2.duplicates) == 4
    assert s2.handle_all()[1:] == dots
    net.answer("S1", "S2")
    assert len(s1.engine.unsettled) == 1


def test_older_frame_that_comes_again_does_not_take_back_what_was_acknowledged() -> None:
    net = Net("S1", "S2")
    (first,) = net.carry("S1", "S2", heartbeat=True)
    (second,) = net.carry("S1", "S2", heartbeat=True)
    net.deliver("S1", "S2", first)
    report = net.answer("S1", "S2", heartbeat=True)
    assert report is not None
    assert report.received == second.number


def test_receiver_frame_processed_twice_changes_nothing() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, _ = net
    both, *_ = s1.send("S2", "S3"), s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(both)
    report = s2.engine.report(s1.me)
    assert report is not None
    report = dataclasses.replace(report, resend=((2, 2),), watch={s1.me: 1})
    s1.note(s1.engine.reported("S2", report, net.now_ms))
    with unchanged(s1.engine):
        output = s1.engine.reported("S2", report, net.now_ms)
    assert output.settled == []
    assert s1.settled == [], "one of two destinations has settled it, said twice"
    assert list(s1.engine.outbound["S2"].queue) == [2]


def test_credit_after_a_resend_across_a_broken_stream_is_what_the_receiver_gave() -> None:
    net = Net("S1", "S2", config=EngineConfig(window_messages=3))
    s1, s2 = net
    dots = [s1.send("S2", payload=b"12") for _ in range(8)]
    link = s1.engine.outbound["S2"]
    (frame,) = net.take("S1", "S2")
    net.deliver("S1", "S2", only(frame, dots[0], dots[2]))
    net.answer("S1", "S2")
    assert (len(link.in_flight), link.in_flight_bytes) == (2, 4)
    net.take("S1", "S2")  # the resend, lost
    net.cut("S1", "S2")
    assert (len(link.in_flight), link.in_flight_bytes) == (0, 0)
    net.connect("S1", "S2")
    assert (link.in_flight, link.in_flight_bytes) == ({1: 2, 3: 2}, 4)
    (again,) = net.carry("S1", "S2")
    assert [copy.seq for copy in again.copies] == [2]
    net.settle(12)
    assert s2.handled == dots
    assert (link.in_flight, link.in_flight_bytes, link.outbox_bytes) == ({}, 0, 0)


def test_c8_hello_of_a_new_stream_makes_reports_of_the_old_one_void() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    dot = s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(dot)
    late = s2.engine.report(s1.me)
    assert late is not None
    s1.engine.hello("S2")
    with unchanged(s1.engine):
        s1.engine.reported("S2", late, net.now_ms)
    assert s1.engine.unsettled == [dot]


def test_welcome_states_where_the_receiver_stands_and_the_credit_it_gives() -> None:
    net = Net("S1", "S2", config=EngineConfig(window_messages=7, window_bytes=70))
    assert net.connect("S1", "S2") == Welcome(
        receiver=NodeId("S2", 1),
        known=True,
        received_to=0,
        missing=(),
        beyond=(),
        unsettled=(),
        window_messages=7,
        window_bytes=70,
    )


def test_dots_of_several_incarnations_are_told_apart() -> None:
    assert Dot("S1", 1, 1) != Dot("S1", 2, 1)
    net = Net("S1", "S2")
    s2 = net["S2"]
    first = net["S1"].send("S2")
    net.carry("S1", "S2")
    s1 = net.restart("S1")
    net.connect("S1", "S2")
    second = s1.send("S2")
    net.carry("S1", "S2")
    assert s2.handle_all() == [first, second]
    assert s2.duplicates == []
