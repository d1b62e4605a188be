"""Bounded mode: horizons are folded, carried, waited for and asked about; what cannot be known is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from causal.errors import ClockDriftError
from causal.ordering import Dot, EngineConfig, NodeId, VerdictKind
from causal.ordering.frames import Base, Hello, ReceiverFrame, SenderFrame
from causal.ordering.stamp import Copy, size_of
from tests.ordering.links import START_MS, Net, Station, refused, stamp

NOW = START_MS << 16
BARE = EngineConfig(dependencies_max=0)


def net_of(*names: str, bound: int = 0, connect: bool = True) -> Net:
    net = Net(*names, config=EngineConfig(dependencies_max=bound), connect=connect)
    for station in net:
        station.tick()
    return net


def stamp_to(station: Station, receiver: str, dot: Dot) -> Copy:
    return station.engine.outbound[receiver].outbox[dot.seq]


def triangle(net: Net) -> tuple[Dot, Dot]:
    """S1 sends a cause to S3 that is slow, then to S2, whose handler sends the effect to S3."""
    s1, s2 = net["S1"], net["S2"]
    cause, trigger = s1.send("S3"), s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(trigger)
    return cause, s2.send("S3")


# -- what a stamp says -----------------------------------------------------------------------------------------


def test_a1_triangle_holds_the_effect_although_no_dot_of_the_cause_is_in_its_stamp() -> None:
    net = net_of("S1", "S2", "S3")
    s1, s2, s3 = net
    cause, effect = triangle(net)
    carried = stamp_to(s2, "S3", effect).stamp
    assert (carried.after, carried.elsewhere, carried.closed) == ({}, {}, {})
    assert stamp_to(s1, "S3", cause).stamp.timestamp <= carried.horizon < carried.timestamp
    net.carry("S2", "S3")
    assert s3.ready == {}
    (arrival,) = s3.engine.delivery.held
    assert (arrival.waits_past, arrival.waits_for) == (s1.me, None)
    net.carry("S1", "S3")  # the cause arrives, and with it the word that the link is past it
    assert s3.handle_all() == [cause, effect]
    assert s3.arrivals[effect].verdict.kind is VerdictKind.ORDERED


def test_stamp_lists_what_fits_and_the_oldest_dots_go_into_the_horizon() -> None:
    net = net_of("S1", "S2", "S3", "S4", "S5", bound=2)
    s1 = net["S1"]
    dots = [s1.send(name) for name in ("S2", "S3", "S4", "S5")]
    last = stamp_to(s1, "S5", dots[-1]).stamp
    assert set(last.elsewhere) == {"S3", "S4"}
    assert last.horizon == stamp_to(s1, "S2", dots[0]).stamp.timestamp
    assert s1.engine.stamping.folded == 1


def test_copies_of_a_multicast_that_do_not_fit_are_in_the_horizon_of_what_follows() -> None:
    net = net_of("S1", "S2", "S3", "S4", bound=1)
    s1, s2, s3, s4 = net
    both = s1.send("S2", "S3", "S4")
    sent = stamp_to(s1, "S2", both).stamp
    assert (sent.horizon, sent.elsewhere) == (sent.timestamp, {})
    net.carry("S1", "S2")
    s2.handle(both)
    effect = s2.send("S3")
    assert stamp_to(s2, "S3", effect).stamp.horizon >= sent.timestamp
    net.carry("S2", "S3")
    assert s3.ready == {}
    net.carry("S1", "S3")
    assert s3.handle_all() == [both, effect]
    net.carry("S1", "S4")
    assert s4.handle_all() == [both]


def test_dot_for_a_peer_that_never_welcomed_its_sender_is_closed_and_stays_named_everywhere() -> None:
    net = net_of("S1", "S2", "S3", connect=False)
    s1, s2, s3 = net
    for sender, receiver in (("S1", "S2"), ("S2", "S3")):
        net.connect(sender, receiver)
        net.carry(sender, receiver, heartbeat=True)
    cause, trigger = s1.send("S3"), s1.send("S2")
    told = stamp_to(s1, "S2", trigger).stamp
    assert told.closed == told.elsewhere == {"S3": {s1.me: cause.seq}}
    net.carry("S1", "S2")
    s2.handle(trigger)
    relayed = s2.send("S1")
    assert stamp_to(s2, "S1", relayed).stamp.closed == {"S3": {s1.me: cause.seq}}
    effect = s2.send("S3")
    assert stamp_to(s2, "S3", effect).stamp.after == {s1.me: cause.seq}
    net.carry("S2", "S3")
    assert s3.held == {effect: cause}
    net.connect("S1", "S3")
    assert not s1.engine.stamping.unopened, "welcomed: what it sent before is open, too"
    net.carry("S1", "S3")
    assert s3.handle_all() == [cause, effect]


def test_multicast_past_the_bound_names_only_the_destinations_whose_links_are_closed() -> None:
    net = net_of("S1", "S2", "S3", "S4", connect=False)
    net.connect("S1", "S2")
    both = net["S1"].send("S2", "S3")
    sent = stamp_to(net["S1"], "S2", both).stamp
    assert (sent.horizon, sent.elsewhere, sent.closed) == (
        sent.timestamp,
        {"S3": {net["S1"].me: both.seq}},
        {"S3": {net["S1"].me: both.seq}},
    )
    net["S1"].send("S3", "S4")
    assert size_of(net["S1"].engine.context.closed) == 0, "of its own dots a node looks at its links"


def test_obstacle_folds_before_it_lets_a_send_wait() -> None:
    net = Net("S1", "S2", "S3", "S4", config=EngineConfig(dots_max=2, dependencies_max=1))
    s1 = net["S1"]
    for name in ("S2", "S3", "S4"):
        s1.send(name)
    assert s1.engine.stamping.folded == 2


# -- what a horizon waits for ----------------------------------------------------------------------------------


def test_horizon_waits_for_what_was_received_before_it_and_is_not_settled() -> None:
    net = net_of("S1", "S2", "S3")
    _s1, _s2, s3 = net
    cause, effect = triangle(net)
    net.carry("S1", "S3")
    net.carry("S2", "S3")
    assert s3.held == {effect: cause}
    s3.start(cause)
    assert s3.ready == {}
    s3.finish(cause)
    assert s3.handle_all() == [effect]
    assert not s3.engine.delivery.horizons.in_use


def test_horizon_waits_not_for_what_its_clock_does_not_count() -> None:
    net = net_of("S1", "S2", "S3", "S4")
    s4 = net["S4"]
    unrelated, _behind_it = s4.send("S3"), s4.send("S3")
    net.carry("S4", "S3")
    net["S3"].start(unrelated)
    net.now_ms += 1
    cause, effect = triangle(net)
    net.carry("S1", "S3")
    net.carry("S2", "S3")
    net["S3"].handle(cause)
    assert net["S3"].handle_all() == [effect], "S4, who is not past it, is not asked either"


def test_horizon_without_a_clock_waits_for_every_link() -> None:
    net = Net("S1", "S2", "S3", "S4", config=EngineConfig(dependencies_max=0, clock_entries_max=1))
    s3 = net["S3"]
    s3.tick()
    s3.tick_for(5000)  # whoever has not dialled by now does not count
    for station in net:
        station.tick()
    cause, effect = triangle(net)
    net.carry("S1", "S3")
    net.carry("S2", "S3")
    s3.handle(cause)
    assert s3.ready == {}
    assert net.answer("S4", "S3") == ReceiverFrame(received=1, ask_past=stamp_to(net["S2"], "S3", effect).stamp.horizon)
    net.carry("S4", "S3")
    assert s3.handle_all() == [effect]


def test_link_of_which_all_that_the_clock_counts_is_stable_is_not_waited_for() -> None:
    """S1 has sent three messages, one of them to S3; it says that all are settled, and is heard no more."""
    net = net_of("S1", "S2", "S3")
    s1, s2, s3 = net
    first = s1.send("S3")
    net.carry("S1", "S3")
    s3.handle(first)
    net.answer("S1", "S3")
    for _ in range(2):
        dot = s1.send("S2")
        net.carry("S1", "S2")
        s2.handle(dot)
        net.answer("S1", "S2")
    net.carry("S1", "S3", heartbeat=True)
    net.cut("S1", "S3")
    net.now_ms += 10
    effect = s2.send("S3")
    s2.engine.context.reach(s2.engine.hlc.tick_int(net.now_ms))
    later = s2.send("S3")
    net.carry("S2", "S3")
    assert s3.handle_all() == [effect, later]


def test_link_that_opens_while_a_copy_is_held_is_asked_and_one_that_is_cut_is_asked_again() -> None:
    net = net_of("S1", "S2", "S3")
    s1, s2, s3 = net
    cause, effect = triangle(net)
    net.cut("S1", "S3")
    net.carry("S2", "S3")
    assert [arrival.waits_past for arrival in s3.engine.delivery.held] == [s1.me]
    net.connect("S1", "S3")
    asked = stamp_to(s2, "S3", effect).stamp.horizon
    assert net.answer("S1", "S3") == ReceiverFrame(received=0, ask_past=asked)
    assert s3.engine.report(s1.me) is None, "asked once a stream"
    net.cut("S1", "S3")
    net.connect("S1", "S3")
    assert net.answer("S1", "S3") == ReceiverFrame(received=0, ask_past=asked)
    net.carry("S1", "S3")
    assert s3.handle_all() == [cause, effect]


def test_question_is_answered_on_the_link_behind_what_is_queued_there() -> None:
    net = Net("S1", "S2", config=EngineConfig(dependencies_max=0, window_messages=1))
    s1, s2 = net
    first, second = s1.send("S2"), s1.send("S2")
    (frame,) = net.carry("S1", "S2")
    assert [copy.seq for copy in frame.copies] == [first.seq]
    queued = stamp_to(s1, "S2", second).stamp.timestamp
    assert frame.past == queued - 1
    asked = queued + 5
    s1.note(s1.engine.reported("S2", ReceiverFrame(received=frame.number, ask_past=asked), net.now_ms))
    assert s1.engine.transmit("S2", net.now_ms) is None, "there is no room for what is before it"
    (frame,) = net.carry("S1", "S2", heartbeat=True)
    assert (frame.past, s1.engine.outbound["S2"].asked_past) == (queued - 1, asked)
    s2.handle(first)
    net.answer("S1", "S2")
    (frame,) = net.carry("S1", "S2")
    assert [copy.seq for copy in frame.copies] == [second.seq]
    assert frame.past > asked
    assert s1.engine.outbound["S2"].asked_past == 0


def test_question_that_is_behind_the_queue_is_answered_although_there_is_no_credit() -> None:
    net = Net("S1", "S2", config=EngineConfig(dependencies_max=0, window_messages=1))
    s1, s2 = net
    first, second = s1.send("S2"), s1.send("S2")
    net.carry("S1", "S2")
    asked = stamp_to(s1, "S2", second).stamp.timestamp - 1
    s1.note(s1.engine.reported("S2", ReceiverFrame(received=1, ask_past=asked), net.now_ms))
    (frame,) = net.carry("S1", "S2")
    assert (frame.copies, frame.past) == ((), asked)
    assert s2.handle_all() == [first]


def test_past_that_comes_behind_a_missing_frame_is_not_believed() -> None:
    net = net_of("S1", "S2")
    s1, s2 = net
    heard = s2.engine.settlement.inbound[s1.me].heard
    net.take("S1", "S2", heartbeat=True)  # lost
    net.carry("S1", "S2", heartbeat=True)
    assert s2.engine.settlement.inbound[s1.me].heard == heard
    net.cut("S1", "S2")
    net.connect("S1", "S2")
    net.carry("S1", "S2", heartbeat=True)
    assert s2.engine.settlement.inbound[s1.me].heard > heard


def test_resend_goes_before_what_is_later_on_the_link_whatever_was_queued_first() -> None:
    net = Net("S1", "S2", config=EngineConfig(window_messages=3))
    s1 = net["S1"]
    dots = [s1.send("S2") for _ in range(4)]
    net.take("S1", "S2")
    link = s1.engine.outbound["S2"]
    link.resend([(1, 1)])
    link.resend([(2, 3)])
    assert list(link.queue) == [dot.seq for dot in dots]
    assert link.past(NOW) == stamp_to(s1, "S2", dots[0]).stamp.timestamp - 1


# -- clocks ----------------------------------------------------------------------------------------------------


def test_e4_past_and_questions_a_year_ahead_are_refused_and_nothing_is_kept() -> None:
    net = net_of("S1", "S2")
    s1, s2 = net
    year = (net.now_ms + 365 * 86_400_000) << 16
    with refused(s2.engine, ClockDriftError, "ahead"):
        s2.engine.arrived(s1.me, SenderFrame(number=2, past=year), net.now_ms)
    with refused(s1.engine, ClockDriftError, "ahead"):
        s1.engine.reported("S2", ReceiverFrame(received=0, ask_past=year), net.now_ms)


def test_skew_of_a_sender_is_how_far_its_clock_was_ahead_when_it_was_heard_last() -> None:
    net = net_of("S1", "S2")
    s1, s2 = net
    frames = net.take("S1", "S2", heartbeat=True)
    net.now_ms -= 300
    net.deliver("S1", "S2", *frames)
    assert s2.engine.settlement.inbound[s1.me].skew_ms == 300


# -- losses and restarts ---------------------------------------------------------------------------------------


def test_message_that_lost_a_predecessor_waits_for_what_that_one_had_followed() -> None:
    """S4 → S1 → S2: what S1 sent to S3 is lost, and with it the word that S4's message to S3 comes first."""
    net = net_of("S1", "S2", "S3", "S4", bound=64)
    s1, s2, s3, s4 = net
    root, news = s4.send("S3"), s4.send("S1")
    net.carry("S4", "S1")
    s1.handle(news)
    lost, trigger = s1.send("S3"), s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(trigger)
    effect = s2.send("S3")
    net.carry("S2", "S3")
    net.restart("S1")
    net.connect("S1", "S3")
    assert s3.ready == {}
    assert [arrival.waits_past for arrival in s3.engine.delivery.held] == [s4.me]
    net.carry("S4", "S3")
    assert s3.handle_all() == [root]
    net.answer("S4", "S3")
    net.carry("S4", "S3")
    assert s3.handle_all() == [effect]
    assert s3.arrivals[effect].verdict.missing == (lost,)


def test_context_that_forgets_a_lost_dot_goes_on_to_follow_what_that_had_followed() -> None:
    """As above, and S3 has told S2 of the loss before it sends: no dot is left to name."""
    net = net_of("S1", "S2", "S3", "S4", bound=64)
    s1, s2, s3, s4 = net
    root, news = s4.send("S3"), s4.send("S1")
    net.carry("S4", "S1")
    s1.handle(news)
    lost, trigger = s1.send("S3"), s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(trigger)
    net.restart("S1")
    net.connect("S1", "S3")
    told = ReceiverFrame(received=0, lost=(lost,))
    s2.note(s2.engine.reported("S3", told, net.now_ms))
    assert s2.pending == {}
    effect = s2.send("S3")
    assert stamp_to(s2, "S3", effect).stamp.after == {}
    net.carry("S2", "S3")
    assert s3.ready == {}
    net.carry("S4", "S3")
    assert s3.handle_all() == [root]
    net.answer("S4", "S3")
    net.carry("S4", "S3")
    assert s3.handle_all() == [effect]
    settlement, context = s2.engine.settlement, s2.engine.context
    later = context.horizon + 9
    context.merge({"S3": {lost.origin: lost.seq}}, settlement.is_settled, later, {}, settlement.is_lost)
    assert (lost in s2.pending.get("S3", ()), context.horizon) == (False, later), "told of it once more"


def test_message_whose_sender_is_gone_with_what_it_last_sent_says_once_that_nobody_is_sure() -> None:
    net = net_of("S1", "S2", "S3")
    _s1, s2, s3 = net
    _, effect = triangle(net)
    net.restart("S1")
    net.connect("S1", "S3")
    later = s2.send("S3")
    net.carry("S2", "S3")
    assert s3.handle_all() == [effect, later]
    assert [s3.arrivals[dot].verdict.kind for dot in (effect, later)] == [VerdictKind.UNSURE, VerdictKind.ORDERED]
    assert str(s3.arrivals[effect].verdict) == "unsure"


def test_link_waited_for_whose_sender_is_gone_is_waited_for_no_more() -> None:
    net = net_of("S1", "S2", "S3")
    _, effect = triangle(net)
    net.carry("S2", "S3")
    assert net["S3"].ready == {}
    net.restart("S1")
    net.connect("S1", "S3")
    assert net["S3"].handle_all() == [effect]


def test_receiver_that_started_anew_holds_a_horizon_until_the_senders_that_it_counts_have_dialled() -> None:
    net = net_of("S1", "S2", "S3")
    s1, _s2, _ = net
    cause, effect = triangle(net)
    s3 = net.restart("S3")
    s3.tick()
    net.connect("S2", "S3")
    net.carry("S2", "S3")
    (arrival,) = s3.engine.delivery.held
    assert (arrival.waits_past, arrival.waits_for) == (s1.me, None)
    net.connect("S1", "S3")
    net.carry("S1", "S3")
    assert s3.handle_all() == [cause, effect]
    assert s3.arrivals[effect].verdict.ordered


def test_receiver_that_started_anew_lets_a_horizon_go_after_a_time_and_says_that_it_is_not_sure() -> None:
    net = net_of("S1", "S2", "S3")
    _, effect = triangle(net)
    s3 = net.restart("S3")
    s3.tick()
    net.connect("S2", "S3")
    net.carry("S2", "S3")
    s3.tick_for(4999)
    assert s3.ready == {}
    s3.tick_for(1)
    assert s3.handle_all() == [effect]
    assert s3.arrivals[effect].verdict.kind is VerdictKind.UNSURE
    later = net["S2"].send("S3")
    net.carry("S2", "S3")
    assert s3.handle_all() == [later]
    assert s3.arrivals[later].verdict.ordered, "from then on the links that are known are all there are"


def test_e1_clock_that_is_set_forward_does_not_make_the_time_pass_in_which_senders_may_dial() -> None:
    net = net_of("S1", "S2", "S3")
    triangle(net)
    s3 = net.restart("S3")
    s3.tick()
    net.connect("S2", "S3")
    net.carry("S2", "S3")
    net.now_ms += 3_600_000
    s3.tick()
    assert s3.ready == {}
    net.now_ms -= 3_600_000
    s3.tick_for(4_000)
    assert s3.ready == {}, "the hour has counted for a quarter of the five seconds"
    s3.tick_for(1_000)
    assert len(s3.ready) == 1


def test_sender_that_dials_as_a_later_incarnation_lets_go_what_waited_for_the_earlier_to_dial() -> None:
    net = net_of("S1", "S2", "S3")
    _, effect = triangle(net)
    s3 = net.restart("S3")
    s3.tick()
    net.connect("S2", "S3")
    net.carry("S2", "S3")
    assert s3.ready == {}
    net.restart("S1")
    net.connect("S1", "S3")
    assert s3.handle_all() == [effect]
    assert s3.arrivals[effect].verdict.kind is VerdictKind.UNSURE


def test_message_that_a_stable_number_covers_lets_go_what_waited_for_its_sender_to_dial() -> None:
    net = net_of("S1", "S2", "S3")
    s1, _s2, s3 = net
    cause, effect = triangle(net)
    s3 = net.restart("S3")
    s3.tick()
    net.connect("S2", "S3")
    net.carry("S2", "S3")
    assert [arrival.waits_past for arrival in s3.engine.delivery.held] == [s1.me]
    net["S2"].engine.settlement.learn(replace(s1.engine.stability.own(9, net.now_ms), upto=9))
    net["S2"].engine.stability.watched(net["S2"].engine.outbound["S3"], s1.me, cause.seq)
    net.carry("S2", "S3", heartbeat=True)
    assert s3.handle_all() == [effect]


@pytest.mark.parametrize(
    ("entry", "waits"), [(NodeId("S1", 1), True), (NodeId("S1", 3), True), (NodeId("S1", 0), False)]
)
def test_link_is_excluded_by_no_clock_entry_of_a_later_incarnation(entry: NodeId, waits: bool) -> None:
    """An entry of an earlier one says that nothing of the later was counted; a later one hides the earlier."""
    net = net_of("S1", "S2")
    s1, s2 = net
    s2.engine.greeted(Hello(sender=NodeId("S9", 1), receiver="S2"), START_MS)
    late = stamp(clock={NodeId("S9", 1): 1, entry: 4}, timestamp=NOW + 9)._replace(horizon=NOW + 8)
    frame = SenderFrame(number=1, base=Base(last=0, unsettled=()), copies=(Copy(1, late, "s", b""),))
    s2.engine.delivery.horizons.complete = True
    s2.note(s2.engine.arrived(NodeId("S9", 1), frame, net.now_ms))
    assert (s2.ready == {}) == waits
    assert [arrival.waits_past for arrival in s2.engine.delivery.held] == ([s1.me] if waits else [])


def test_none_message_under_a_horizon_starts_at_once_and_settles_in_turn() -> None:
    net = net_of("S1", "S2", "S3")
    s1, s2, s3 = net
    cause, trigger = s1.send("S3"), s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(trigger)
    effect = s2.send("S3", subject="none")
    net.carry("S2", "S3")
    s3.handle(effect)
    assert s3.engine.settlement.is_here(s2.me, effect.seq), "what follows it would lose what it carried"
    net.carry("S1", "S3")
    s3.handle(cause)
    assert not s3.engine.settlement.is_here(s2.me, effect.seq)


def test_sender_that_is_gone_and_got_everything_across_leaves_no_doubt() -> None:
    net = net_of("S1", "S2", "S3")
    s1, s2, s3 = net
    both = s1.send("S2", "S3")
    net.carry("S1", "S2")
    net.carry("S1", "S3")
    s2.handle(both)
    effect = s2.send("S3")
    net.restart("S1")
    net.connect("S1", "S3")
    net.carry("S2", "S3")
    assert s3.handle_all() == [both, effect]
    assert s3.arrivals[effect].verdict.ordered


def test_doubts_about_senders_that_are_gone_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("causal.ordering.horizon.DOUBTED_MAX", 1)
    net = net_of("S1", "S2", "S3")
    s3 = net["S3"]
    _, first = triangle(net)
    for _ in range(2):
        net.restart("S1")
        net.connect("S1", "S2")
        net.connect("S1", "S3")
    net.carry("S1", "S2", heartbeat=True)
    trigger = net["S1"].send("S2")
    net.carry("S1", "S2")
    net["S2"].handle(trigger)
    s3.engine.settlement.latest["S9"] = 2
    second = net["S2"].send("S3")
    copies = net.take("S2", "S3")
    (frame,) = copies
    hidden = [
        copy._replace(stamp=copy.stamp._replace(clock={**(copy.stamp.clock or {}), NodeId("S9", 1): 1}))
        for copy in frame.copies
    ]
    net.deliver("S2", "S3", replace(frame, copies=tuple(hidden)))
    net.answer("S1", "S3")
    net.carry("S1", "S3", heartbeat=True)
    assert s3.handle_all() == [first, second]
    assert len(s3.engine.delivery.horizons._doubted) == 1


def test_dot_for_this_node_itself_that_can_never_come_counts_as_lost() -> None:
    net = net_of("S1", "S2")
    settlement = net["S1"].engine.settlement
    settlement.latest["S9"] = 2
    assert settlement.is_lost("S1", NodeId("S9", 1), 1)
    assert not settlement.is_lost("S1", NodeId("S9", 2), 1)
    assert not settlement.is_lost("S2", NodeId("S9", 1), 1), "of others only what they said themselves"


def own_note_under_a_horizon(net: Net) -> tuple[Station, Dot]:
    """S2 has handled an unordered message to itself which follows, by a horizon, what nobody can name."""
    s2 = net["S2"]
    s2.engine.context.reach(s2.engine.hlc.tick_int(net.now_ms))
    note = s2.send("S2", subject="none.note")
    s2.handle(note)
    assert s2.settled == []
    return s2, note


def test_own_message_under_a_horizon_settles_once_the_time_for_senders_to_dial_is_over() -> None:
    net = Net("S1", "S2", config=replace(BARE, clock_entries_max=0), connect=False)
    net["S2"].tick()
    s2, note = own_note_under_a_horizon(net)
    s2.tick_for(s2.engine.config.links_known_after_ms)
    assert s2.settled == [note]


def test_own_message_under_a_horizon_settles_once_the_sender_that_it_waits_for_has_been_superseded() -> None:
    net = net_of("S1", "S2")
    net.now_ms += 10_000
    s1, s2 = net
    s2.tick()
    s2.engine.counts.merge({s1.me: 1})  # of S1's first message, which never gets here
    s2, note = own_note_under_a_horizon(net)
    net.restart("S1")
    net.connect("S1", "S2")
    assert s2.settled == [note]


def test_sender_that_starts_over_and_over_is_doubted_by_one_entry() -> None:
    net = net_of("S1", "S2")
    for _ in range(20):
        net.restart("S1")
        net.connect("S1", "S2")
        net.carry("S1", "S2", heartbeat=True)
    doubtful = net["S2"].engine.delivery.horizons._doubtful
    assert [origin.incarnation for origin in doubtful] == [20]


def test_b6_own_message_that_follows_a_stranger_at_a_process_nobody_has_let_in_says_that_it_is_unsure() -> None:
    net = Net("S1", "S2", config=replace(BARE, dependencies_max=0), connect=False)
    s2 = net["S2"]
    s2.tick()
    s2.tick_for(s2.engine.config.links_known_after_ms)
    s2.engine.counts.merge({net["S1"].me: 1})  # of a message to the other process that has the name S2
    s2.engine.context.reach(s2.engine.hlc.tick_int(net.now_ms))
    note = s2.send("S2")
    assert s2.ready[note].verdict.kind is VerdictKind.UNSURE
