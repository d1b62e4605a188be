"""The receiver's rule: what is held, for what, and when it goes (faults A1 to A22)."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from causal.errors import OrderingError
from causal.ordering import Arrival, Dot, EngineConfig, NodeId, Ordering, Output, VerdictKind
from causal.ordering.delivery import Delivery
from causal.ordering.frames import SenderFrame, StableNumber
from causal.ordering.stamp import Copy
from tests.ordering.links import Net, copy_of, only, stamp, unchanged


def test_a1_triangle_with_a_slow_side_holds_the_effect_until_the_cause_is_settled() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    cause, trigger = s1.send("S3"), s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(trigger)
    effect = s2.send("S3")
    net.carry("S2", "S3")
    assert s3.ready == {}
    assert s3.held == {effect: cause}
    net.carry("S1", "S3")
    assert list(s3.ready) == [cause]
    assert s3.handle_all() == [cause, effect]
    assert s3.arrivals[effect].verdict.ordered


def test_a1_triangle_when_the_cause_is_only_received_still_holds_the_effect() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    cause, trigger = s1.send("S3"), s1.send("S2")
    net.carry("S1", "S3")
    net.carry("S1", "S2")
    s2.handle(trigger)
    effect = s2.send("S3")
    net.carry("S2", "S3")
    s3.start(cause)
    assert s3.held == {effect: cause}
    s3.finish(cause)
    assert list(s3.ready) == [effect]


def test_acknowledgement_of_receipt_must_not_prune_what_others_have_to_carry() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    cause = s1.send("S3")
    net.carry("S1", "S3")
    assert net.answer("S1", "S3") is None
    heartbeat = net.answer("S1", "S3", heartbeat=True)
    assert heartbeat is not None
    assert heartbeat.settled == ()
    trigger = s1.send("S2")
    assert s1.pending == {"S3": {cause}, "S2": {trigger}}
    net.carry("S1", "S2")
    s2.handle(trigger)
    effect = s2.send("S3")
    net.carry("S2", "S3")
    assert s3.held == {effect: cause}


def test_a2_duplicate_of_a_delivered_message_is_dropped_counted_and_acknowledged_again() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    dot = s1.send("S2")
    frames = net.carry("S1", "S2")
    s2.handle(dot)
    first = net.answer("S1", "S2")
    (output,) = net.deliver("S1", "S2", *frames)
    assert output.report == {s1.me}
    again = net.answer("S1", "S2")
    assert first is not None
    assert again is not None
    assert first.settled == again.settled == (dot.seq,)
    assert (s2.received, s2.duplicates, s2.handled) == ([dot], [dot], [dot])
    assert s2.ready == {}
    assert s1.settled == [dot]


def test_a3_duplicate_of_a_held_message_is_dropped_counted_and_not_acknowledged() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    first, second = s1.send("S2"), s1.send("S2")
    frames = net.carry("S1", "S2")
    (output,) = net.deliver("S1", "S2", *frames)
    assert output.report == set()
    assert s2.duplicates == [first, second]
    assert s2.held == {second: first}
    assert net.answer("S1", "S2") is None
    assert s1.engine.unsettled == [first, second]
    assert s2.handle_all() == [first, second]


def test_a3_duplicate_while_the_handler_runs_is_not_acknowledged() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    dot = s1.send("S2")
    frames = net.carry("S1", "S2")
    s2.start(dot)
    net.deliver("S1", "S2", *frames)
    assert net.answer("S1", "S2") is None
    assert s2.duplicates == [dot]
    s2.finish(dot)
    assert net.answer("S1", "S2") is not None
    assert s1.settled == [dot]


def test_a4_duplicates_with_reordering_deliver_each_once_and_in_order() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    a, b, c = s1.send("S2"), s1.send("S2"), s1.send("S2")
    (frame,) = net.take("S1", "S2")
    for dots in ((c,), (a,), (c, a), (b,), (a,), (b, c, a)):
        net.deliver("S1", "S2", only(frame, *dots))
        s2.handle_all()
    assert s2.handled == [a, b, c]
    assert s2.received == [c, a, b]
    assert s2.duplicates == [c, a, a, b, c, a]


def test_b7_same_dot_with_another_payload_is_a_conflict_and_never_acknowledged() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    held = s1.send("S2", payload=b"one")
    (frame,) = net.carry("S1", "S2")
    forged = replace(frame, copies=(frame.copies[0]._replace(payload=b"two"),))
    net.deliver("S1", "S2", forged)
    s2.handle(held)
    net.answer("S1", "S2")
    net.deliver("S1", "S2", forged)
    assert s2.conflicts == [held, held]
    assert s2.duplicates == []
    assert net.answer("S1", "S2") is None


def test_b7_another_subject_under_the_same_dot_is_a_conflict_too() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    dot = s1.send("S2", subject="order.paid")
    (frame,) = net.carry("S1", "S2")
    net.deliver("S1", "S2", replace(frame, copies=(frame.copies[0]._replace(subject="order.kept"),)))
    assert s2.conflicts == [dot]


@pytest.mark.simulation
def test_c2_duplicate_older_than_all_remembered_digests_is_still_one_delivery() -> None:
    net = Net("S1", "S2", config=EngineConfig(frame_messages=5000))
    s1, s2 = net
    dots = [s1.send("S2") for _ in range(2100)]
    frames = net.carry("S1", "S2")
    s2.handle_all()
    net.deliver("S1", "S2", *frames)
    assert s2.duplicates == dots
    assert s2.ready == {}
    link = s2.engine.settlement.inbound[s1.me]
    known = [seq for seq in range(1, 2101) if link.contradicts(copy_of(seq, payload=b"another"))]
    assert known == list(range(1025, 2101)), "the last 1,024 at least, twice as many at most"


class Counted:
    """Counts the looks at what is held that a step takes, in place of its time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        look = Delivery._take_turn

        def counted(delivery: Delivery, arrival: Arrival, output: Output) -> bool:
            self.calls += 1
            return look(delivery, arrival, output)

        monkeypatch.setattr(Delivery, "_take_turn", counted)


def fan_out(held: int) -> tuple[Net, Dot]:
    """S2 holds this many messages from S3, each waiting for the one from S1."""
    net = Net("S1", "S2", "S3", config=EngineConfig(window_messages=20_000))
    s1, s2, _ = net
    unblocker = s1.send("S2")
    copies = tuple(Copy(seq, stamp(seq - 1, after={s1.me: unblocker.seq}), "s", b"") for seq in range(1, held + 1))
    net.deliver("S3", "S2", SenderFrame(number=2, copies=copies))
    assert len(s2.engine.delivery.holdback) == held
    net.carry("S1", "S2")
    s2.start(unblocker)
    return net, unblocker


@pytest.mark.simulation
def test_a6_one_release_that_frees_10_000_does_twice_the_work_of_5_000() -> None:
    assert 5_000 < calls_of_a_release(10_000) < 2.01 * calls_of_a_release(5_000)


def calls_of_a_release(held: int) -> int:
    """How many functions are called to release so many, in place of its time."""
    net, unblocker = fan_out(held)
    arrival, calls = net["S2"].arrivals[unblocker], []
    sys.setprofile(lambda _, event, __: calls.append(event))
    try:
        output = net["S2"].engine.finish(arrival)
    finally:
        sys.setprofile(None)
    assert len(output.ready) == held
    return len(calls)


def test_a6_stable_number_of_an_origin_looks_not_at_all_at_what_waits_for_a_message_that_is_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net, unblocker = fan_out(5_000)
    counted = Counted(monkeypatch)
    report = StableNumber(origin=unblocker.origin, upto=0, lagging={})
    net.deliver("S3", "S2", SenderFrame(number=3, stable=(report,)))
    assert counted.calls == 0
    net["S2"].finish(unblocker)
    assert len(net["S2"].ready) == 5_000


def test_a6_stable_number_that_covers_nothing_more_here_looks_at_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net("S1", "S2", "S3")
    origin = NodeId("S9", 1)
    copies = [Copy(seq, stamp(seq - 1, after={origin: seq + 9}), "s", b"") for seq in range(1, 6)]
    net.deliver("S3", "S2", SenderFrame(number=2, copies=tuple(copies)))
    reports = [StableNumber(origin=origin, upto=upto, lagging={"S2": 11}) for upto in (11, 99)]
    net.deliver("S3", "S2", SenderFrame(number=3, stable=(reports[0],)))
    assert list(net["S2"].ready) == [Dot("S3", 1, 1)]
    counted = Counted(monkeypatch)
    net.deliver("S3", "S2", SenderFrame(number=4, stable=(reports[1],)))
    assert counted.calls == 0
    assert len(net["S2"].held) == 4


@contextmanager
def untraced() -> Iterator[None]:
    """Time without what measuring coverage costs."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(tracer)


@pytest.mark.simulation
def test_a6_one_release_that_frees_10_000_blocks_for_less_than_50_ms() -> None:
    taken = []
    for _ in range(3):
        net, unblocker = fan_out(10_000)
        arrival = net["S2"].arrivals[unblocker]
        with untraced():
            began = time.perf_counter()
            output = net["S2"].engine.finish(arrival)
            taken.append(time.perf_counter() - began)
        assert len(output.ready) == 10_000
    assert min(taken) < 0.05, taken


@pytest.mark.simulation
def test_a6_chain_dropped_while_it_waits_settles_without_recursion() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    dots = [s1.send("S2") for _ in range(3 * sys.getrecursionlimit())]
    net.carry("S1", "S2")
    for dot in dots[1:]:
        s2.drop(dot)
    assert net.answer("S1", "S2") is None
    s2.handle(dots[0])
    report = net.answer("S1", "S2")
    assert report is not None
    assert report.settled == tuple(dot.seq for dot in dots)


def test_a7_window_of_one_full_on_the_other_link_still_lets_the_unblocker_in() -> None:
    net = Net("S1", "S2", "S3", config=EngineConfig(window_messages=1))
    s1, s2, s3 = net
    cause, trigger = s1.send("S3"), s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(trigger)
    effect, later = s2.send("S3"), s2.send("S3")
    net.carry("S2", "S3")
    assert s3.held == {effect: cause}
    assert later not in s3.arrivals
    net.carry("S1", "S3")
    assert s3.handle_all() == [cause, effect]
    net.answer("S2", "S3")
    net.carry("S2", "S3")
    assert s3.handle_all() == [later]


def test_a7_window_of_one_and_a_resend_still_lets_the_earliest_in() -> None:
    net = Net("S1", "S2", config=EngineConfig(window_messages=1))
    s1, s2 = net
    dots = [s1.send("S2") for _ in range(4)]
    net.take("S1", "S2")  # lost with the stream
    net.cut("S1", "S2")
    net.connect("S1", "S2")
    net.settle()
    assert s2.handled == dots


def test_a8_dependency_on_an_unknown_origin_is_held_and_never_counts_as_met() -> None:
    net = Net("S1", "S2")
    stranger = NodeId("S9", 7)
    net.deliver("S1", "S2", SenderFrame(number=2, copies=(Copy(1, stamp(after={stranger: 3}), "s", b""),)))
    net.settle()
    assert net["S2"].held == {Dot("S1", 1, 1): Dot("S9", 7, 3)}
    assert net["S2"].handled == []


def test_a9_origin_absent_from_a_stamp_is_not_waited_for() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    unrelated = s1.send("S3")
    mine = s2.send("S3")
    net.carry("S2", "S3")
    assert s3.handle_all() == [mine]
    net.carry("S1", "S3")
    assert s3.handle_all() == [unrelated]


def test_a10_own_message_dialled_back_to_its_sender_is_refused_and_changes_nothing() -> None:
    net = Net("S1", "S2")
    s1, _ = net
    s1.send("S2")
    frames = net.take("S1", "S2")
    with unchanged(s1.engine):
        output = s1.engine.arrived(s1.me, frames[0], net.now_ms)
    assert output.received == []


def test_a11_messages_addressed_to_others_are_never_waited_for() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    a = s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(a)
    b = s2.send("S3")  # its clock counts S1's message, which S3 never gets
    net.carry("S2", "S3")
    assert s3.arrivals[b].copy.stamp.clock == {s1.me: 1, s2.me: 1}
    assert s3.handle_all() == [b]


def test_a12_sends_to_others_leave_no_gap_on_a_link() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, _ = net
    first = s1.send("S2")
    for _ in range(5):
        s1.send("S3")
    last = s1.send("S2")
    net.carry("S1", "S2")
    assert last.seq == 7
    assert s2.handle_all() == [first, last]
    report = net.answer("S1", "S2")
    assert report is not None
    assert report.resend == ()


def test_a14_concurrent_messages_are_never_held_for_each_other() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    ours = [s1.send("S3") for _ in range(2)]
    theirs = [s2.send("S3") for _ in range(2)]
    net.carry("S2", "S3")
    net.carry("S1", "S3")
    assert list(s3.ready) == [theirs[0], ours[0]]
    s3.start(ours[0])
    s3.handle(theirs[0])  # the other sender's run on while this one does not return
    assert s3.handle_all() == [theirs[1]]
    s3.finish(ours[0])
    assert s3.handle_all() == [ours[1]]


def test_a15_message_whose_handler_has_not_returned_is_not_acknowledged_and_successors_wait() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    first, second = s1.send("S2"), s1.send("S2")
    net.carry("S1", "S2")
    arrival = s2.start(first)
    for _ in range(3):
        s2.engine.start(arrival)  # a handler that raised is started again
        assert net.answer("S1", "S2") is None
        assert s2.held == {second: first}
    assert s2.finish(first).report == {s1.me}
    assert net.answer("S1", "S2") is not None
    assert s1.settled == [first]
    assert s2.handle_all() == [second]


def test_a17_successor_starts_only_after_its_predecessor_has_settled() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    first, second = s1.send("S2"), s1.send("S2")
    net.carry("S1", "S2")
    s2.start(first)
    assert s2.ready == {}
    with unchanged(s2.engine), pytest.raises(OrderingError, match=f"{second} would start before {first}"):
        s2.engine.start(s2.arrivals[second])


def test_message_finished_twice_is_a_defect_and_changes_nothing() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    dot = s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(dot)
    with unchanged(s2.engine), pytest.raises(OrderingError, match="finished already"):
        s2.engine.finish(s2.arrivals[dot])


def test_a19_chain_of_which_the_origin_is_lost_and_its_heir_settled_releases_the_rest() -> None:
    net = Net("S", "P", "R")
    s, p, r = net
    lost, trigger = s.send("R"), s.send("P")
    net.carry("S", "P")
    p.handle(trigger)
    heir = p.send("R")
    net.restart("S")
    follower = p.send("R")
    net.carry("P", "R")
    assert r.held == {heir: lost, follower: heir}
    net.connect("S", "R")
    assert r.handle_all() == [heir, follower]
    assert r.arrivals[heir].verdict.missing == (lost,)
    assert r.arrivals[follower].verdict.ordered


def test_a20_blocked_head_lets_the_ready_second_go() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    s1.send("S3")
    trigger = s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(trigger)
    blocked = s2.send("S3")
    net.carry("S2", "S3")
    free = Copy(9, stamp(previous=blocked.seq), "s", b"")
    net.deliver("S2", "S3", SenderFrame(number=9, copies=(free,)))
    assert list(s3.ready) == [Dot("S2", 1, 9)]


def test_a21_self_send_and_a_destination_listed_twice_deliver_one_copy_each() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    dot = s1.send("S1", "S2", "S2", "S1")
    net.carry("S1", "S2")
    assert s2.received == s1.received == [dot]
    s1.handle(dot)
    assert s1.settled == []
    s2.handle(dot)
    net.answer("S1", "S2")
    assert s1.settled == [dot]
    assert s1.engine.unsettled == []


def test_a21_self_sends_are_ordered_like_all_others() -> None:
    s1 = Net("S1")["S1"]
    first, second = s1.send("S1"), s1.send("S1")
    assert s1.held == {second: first}
    s1.start(first)
    assert s1.finish(first).report == set(), "there is no stream to oneself"
    assert s1.settled == [first]
    assert s1.handle_all() == [second]
    assert s1.settled == [first, second]
    s1.tick()
    assert s1.engine.context.pending == {}


def test_a21_self_send_of_a_running_handler_waits_for_that_handler() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    dot = s1.send("S2")
    net.carry("S1", "S2")
    s2.start(dot)
    note = s2.send("S2")
    assert s2.held == {note: dot}
    s2.finish(dot)
    assert s2.handle_all() == [note]


def test_a22_multicast_copies_are_not_ordered_but_each_knows_the_others() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    both = s1.send("S2", "S3")
    net.carry("S1", "S2")
    assert s2.arrivals[both].copy.stamp.after == {}
    s2.handle(both)
    answer = s2.send("S3")
    net.carry("S2", "S3")
    assert s3.held == {answer: both}
    net.carry("S1", "S3")
    assert s3.handle_all() == [both, answer]


def test_a22_multicast_siblings_keep_what_was_pending_at_each() -> None:
    net = Net("S1", "S2", "S3")
    s1, *_ = net
    two, three = s1.send("S2"), s1.send("S3")
    both = s1.send("S2", "S3")
    copies = {link.peer: link.outbox[both.seq].stamp for link in s1.engine.outbound.values() if link.outbox}
    assert copies["S2"].after == {s1.me: two.seq}
    assert copies["S2"].elsewhere == {"S3": {s1.me: both.seq}}  # its chain: `both` carries `three`
    assert copies["S3"].after == {s1.me: three.seq}
    assert copies["S3"].elsewhere == {"S2": {s1.me: both.seq}}


def test_own_dot_of_a_running_handler_makes_what_comes_back_wait_for_its_end() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    ask = s1.send("S2")
    net.carry("S1", "S2")
    s2.start(ask)
    reply = s2.send("S1")
    net.carry("S2", "S1")
    s1.handle(reply)
    thanks = s1.send("S2")
    net.carry("S1", "S2")
    assert s2.held == {thanks: ask}
    s2.finish(ask)
    assert s2.handle_all() == [thanks]


def test_own_dot_in_a_third_nodes_message_makes_it_wait_for_the_running_handler() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    ask = s1.send("S2")
    net.carry("S1", "S2")
    s2.start(ask)
    asked = s2.send("S3")
    net.carry("S2", "S3")
    s3.handle(asked)
    back = s3.send("S2")
    net.carry("S3", "S2")
    assert s2.held == {back: ask}
    s2.finish(ask)
    assert s2.handle_all() == [back]


def test_none_message_starts_at_once_and_is_not_waited_for_but_settles_in_turn() -> None:
    net = Net("S1", "S2", "S3")
    s1, _, s3 = net
    cause = s1.send("S3")
    loose = s1.send("S3", subject="none")
    net.carry("S1", "S3")
    assert list(s3.ready) == [cause, loose]
    s3.handle(loose)
    assert net.answer("S1", "S3") is None, "its past is not settled here: nobody may forget what it carried"
    assert s3.arrivals[loose].verdict.kind is VerdictKind.UNORDERED
    s3.handle(cause)
    report = net.answer("S1", "S3")
    assert report is not None
    assert sorted(report.settled) == [cause.seq, loose.seq]


def test_none_message_that_still_runs_is_not_waited_for() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    loose, causal = s1.send("S2", subject="none"), s1.send("S2")
    net.carry("S1", "S2")
    s2.start(loose)
    s2.handle(causal)
    report = net.answer("S1", "S2")
    assert report is not None
    assert report.settled == (causal.seq,)
    s2.finish(loose)
    assert s2.ready == {}
    assert net.answer("S1", "S2") is not None
    assert s1.settled == [causal, loose]


def test_successor_of_a_none_message_waits_for_what_that_one_carried() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    cause, loose, effect = s1.send("S2"), s1.send("S2", subject="none"), s1.send("S2")
    net.carry("S1", "S2")
    s2.handle(loose)
    assert s2.held == {loose: cause, effect: loose}
    assert s2.handle_all() == [cause, effect]


def test_handler_of_a_none_message_out_of_turn_sends_after_that_message() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    cause, loose = s1.send("S2"), s1.send("S2", subject="none")
    net.carry("S1", "S2")
    s2.start(loose)
    s2.send("S1")
    assert s2.pending["S2"] == {loose}
    net.carry("S2", "S1")
    s1.handle_all()
    effect = s1.send("S2")
    net.carry("S1", "S2")
    s2.finish(loose)
    assert effect in s2.held
    s2.handle(cause)
    assert s2.handle_all() == [effect]


def test_handler_of_a_none_message_in_turn_leaves_no_own_dot() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    loose = s1.send("S2", subject="none")
    net.carry("S1", "S2")
    assert s2.start(loose).ordering is Ordering.NONE
    assert s2.pending == {}


def test_message_dropped_while_it_waits_settles_in_turn() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    cause, dropped, effect = s1.send("S2"), s1.send("S2"), s1.send("S2")
    net.carry("S1", "S2")
    assert s2.drop(dropped).settled == []
    assert net.answer("S1", "S2") is None
    assert s2.held == {dropped: cause, effect: dropped}
    s2.handle(cause)
    assert list(s2.ready) == [effect]
    report = net.answer("S1", "S2")
    assert report is not None
    assert report.settled == (cause.seq, dropped.seq)


def test_message_dropped_when_ready_settles_at_once_and_releases_its_successor() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    dropped, effect = s1.send("S2"), s1.send("S2")
    net.carry("S1", "S2")
    s2.drop(dropped)
    assert s2.handle_all() == [effect]


def test_message_with_two_missing_predecessors_is_registered_under_one_at_a_time() -> None:
    net = Net("S1", "S2", "S3", "S4")
    s1, s2, s3, s4 = net
    one, two = s1.send("S4"), s2.send("S4")
    for station, to in ((s1, "S3"), (s2, "S3")):
        station.send(to)
        net.carry(station.me.name, to)
    s3.handle_all()
    effect = s3.send("S4")
    net.carry("S3", "S4")
    assert s4.held == {effect: one}
    net.carry("S2", "S4")
    s4.handle(two)
    assert s4.held == {effect: one}, "not looked at again for a dot it is not registered under"
    net.carry("S1", "S4")
    assert s4.handle_all() == [one, effect]


def test_gap_on_a_link_asks_for_exactly_what_is_missing() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    dots = [s1.send("S2") for _ in range(7)]
    (frame,) = net.take("S1", "S2")
    (output,) = net.deliver("S1", "S2", only(frame, dots[0], dots[2], dots[5], dots[6]))
    assert output.report == {s1.me}
    report = net.answer("S1", "S2")
    assert report is not None
    assert report.resend == ((2, 2), (4, 5))
    (resent,) = net.carry("S1", "S2")
    assert {copy.seq for copy in resent.copies} == {2, 4, 5}
    assert [copy for copy in frame.copies if copy.seq in (2, 4, 5)] == sorted(resent.copies)
    assert s2.duplicates == []
    assert s2.handle_all() == dots


def test_gap_that_is_lost_again_is_asked_for_again_when_the_next_message_shows_it() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    dots = [s1.send("S2") for _ in range(4)]
    (frame,) = net.take("S1", "S2")
    net.deliver("S1", "S2", only(frame, dots[3]))
    first = net.answer("S1", "S2")
    assert first is not None
    assert first.resend == ((1, 3),)
    (again,) = net.take("S1", "S2")
    net.deliver("S1", "S2", only(again, dots[1], dots[2]))
    second = net.answer("S1", "S2")
    assert second is not None
    assert second.resend == ((1, 1),)
    net.carry("S1", "S2")
    assert s2.handle_all() == dots


def test_message_received_after_it_was_asked_for_again_is_a_harmless_duplicate() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    a, b = s1.send("S2"), s1.send("S2")
    (frame,) = net.take("S1", "S2")
    net.deliver("S1", "S2", only(frame, b), only(frame, a))
    net.answer("S1", "S2")
    s2.handle_all()
    net.answer("S1", "S2")
    net.carry("S1", "S2")
    assert s2.handled == [a, b]
    assert s1.settled == [a, b]
    assert s1.engine.outbound["S2"].in_flight_bytes == 0


def test_a2_sender_that_repeats_itself_and_never_reads_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("causal.ordering.delivery.REPORTED_AGAIN_MAX", 3)
    net = Net("S1", "S2")
    s1, s2 = net
    s1.send("S2")
    (frame,) = net.take("S1", "S2")
    net.deliver("S1", "S2", frame)
    s2.handle_all()
    net.deliver("S1", "S2", *[frame] * 10)
    assert len(s2.duplicates) == 10
    assert len(s2.engine.settlement.inbound[s1.me].to_report) == 3


def test_own_unordered_message_settles_with_the_message_that_it_followed() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    cause = s1.send("S2")
    net.carry("S1", "S2")
    s2.start(cause)
    note = s2.send("S2", subject="none.note")
    s2.handle(note)
    assert s2.settled == [], "not before what it follows"
    s2.finish(cause)
    assert s2.settled == [note], "though no frame comes any more"
    assert s2.engine.all_reported is False, "the sender has still to be told of its own"
