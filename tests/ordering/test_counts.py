"""The process's vector clock with incarnations."""

from __future__ import annotations

from causal.ordering import Dot, EngineConfig, NodeId
from causal.ordering.counts import SendCounts, SharedClock, may_follow
from tests.ordering.links import Net

ME = NodeId("S1", 5)
OLD, NEW = NodeId("S2", 1), NodeId("S2", 2)


def test_s1_s2_s3_example_reads_as_in_the_papers() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    a = s1.send("S2", "S3")
    net.carry("S1", "S2")
    s2.handle(a)
    b = s2.send("S3")
    net.carry("S2", "S3")
    assert s3.held == {b: a}
    net.carry("S1", "S3")
    assert s3.handle_all() == [a, b]
    c = s3.send("S1")
    net.carry("S3", "S1")
    assert s3.arrivals[a].copy.stamp.clock == {s1.me: 1}
    assert s3.arrivals[b].copy.stamp.clock == {s1.me: 1, s2.me: 1}
    assert s1.arrivals[c].copy.stamp.clock == {s1.me: 1, s2.me: 1, s3.me: 1}


def test_a12_clock_counts_sends_only() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    dot = s1.send("S2")
    net.settle()
    assert s2.handled == [dot]
    assert s2.send("S1").seq == 1


def test_clock_of_a_message_counts_only_what_was_delivered_before() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    s1.send("S2")
    net.carry("S1", "S2")
    dot = s2.send("S1")  # S1's message is here, and its handler has not started
    net.carry("S2", "S1")
    assert s1.arrivals[dot].copy.stamp.clock == {s2.me: 1}


def test_merge_takes_the_larger_count_of_each_origin() -> None:
    counts = SendCounts(ME, 64)
    counts.merge({OLD: 4})
    counts.merge({OLD: 2})
    assert counts.sent(1) == {OLD: 4, ME: 1}
    counts.merge({OLD: 7, NodeId("S3", 1): 1})
    assert counts.sent(2) == {OLD: 7, ME: 2, NodeId("S3", 1): 1}


def test_later_incarnation_takes_the_place_of_an_earlier_one_and_never_the_other_way() -> None:
    counts = SendCounts(ME, 64)
    counts.merge({OLD: 400})
    counts.merge({NEW: 1})
    counts.merge({OLD: 900})
    assert counts.sent(1) == {NEW: 1, ME: 1}


def test_other_incarnations_of_this_process_itself_never_enter_its_clock() -> None:
    counts = SendCounts(ME, 64)
    counts.merge({NodeId("S1", 4): 7, NodeId("S1", 6): 8})
    assert counts.sent(1) == {ME: 1}
    counts.merge({NodeId("S1", 6): 9})
    assert counts.sent(2) == {ME: 2}


def test_clock_past_its_bound_is_left_out_whole_and_never_pruned() -> None:
    counts = SendCounts(ME, 2)
    counts.merge({OLD: 1})
    assert counts.sent(1) == {OLD: 1, ME: 1}
    counts.merge({NodeId("S3", 1): 1})
    assert counts.sent(2) is None
    assert counts.sent(3) is None


def test_clock_handed_out_does_not_change_with_the_next_send() -> None:
    counts = SendCounts(ME, 64)
    first = counts.sent(1)
    counts.sent(2)
    counts.merge({OLD: 1})
    assert first == {ME: 1}


def test_process_that_follows_a_message_without_a_clock_has_none_either() -> None:
    counts = SendCounts(ME, 64)
    counts.merge({OLD: 1})
    counts.merge(None)
    assert counts.sent(1) is None, "its clock would deny what it does not know of"
    counts.merge({OLD: 2})
    assert counts.sent(2) is None


def test_message_without_a_clock_is_delivered_in_order_and_leaves_the_receiver_without_one() -> None:
    net = Net("S1", "S2", config=EngineConfig(clock_entries_max=0))
    s1, s2 = net
    dots = [s1.send("S2"), s1.send("S2")]
    net.carry("S1", "S2")
    assert s2.handle_all() == dots
    assert s2.arrivals[dots[0]].copy.stamp.clock is None


def test_message_may_follow_what_its_clock_counts_and_anything_where_the_clock_cannot_tell() -> None:
    clock = {NodeId("S1", 1): 5, NodeId("S2", 2): 1}
    followed = [Dot("S1", 1, 5), Dot("S2", 1, 9)]
    others = [Dot("S1", 1, 6), Dot("S1", 2, 1), Dot("S3", 1, 1)]
    assert may_follow(clock, [*others, *followed]) == followed
    assert may_follow(SharedClock({NodeId("S2", 2): 1}, NodeId("S1", 1), 5), [*others, *followed]) == followed
    assert may_follow(None, others) == others


def test_clock_that_shares_its_others_reads_as_the_mapping_that_it_is() -> None:
    clock = SharedClock({NEW: 3}, ME, 7)
    assert dict(clock) == {ME: 7, NEW: 3} == clock
    assert (clock[ME], clock[NEW], clock.get(OLD), len(clock)) == (7, 3, None, 2)
    assert repr(clock) == repr({ME: 7, NEW: 3})


def test_clock_in_a_stamp_keeps_its_values_whatever_is_merged_later() -> None:
    counts = SendCounts(ME, 64)
    counts.merge({NEW: 3})
    first = counts.sent(1)
    counts.merge(SharedClock({OLD: 9}, NEW, 5))
    counts.merge(SharedClock({}, NEW, 6))
    second = counts.sent(2)
    assert (first, second) == ({ME: 1, NEW: 3}, {ME: 2, NEW: 6})


def test_f9_clock_past_its_bound_keeps_nothing_of_the_names_that_come_later() -> None:
    counts = SendCounts(ME, 2)
    for number in range(1000):
        counts.merge(SharedClock({NodeId(f"S{number}", 3): 1}, NodeId(f"T{number}", 1), 1))
    assert counts.sent(1) is None
    assert not counts._others
    assert not counts._latest
