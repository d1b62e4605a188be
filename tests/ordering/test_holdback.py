"""The hold-back queue: each message under one dot, found by it alone."""

from __future__ import annotations

from causal.ordering import Arrival, Dot, NodeId, Ordering
from causal.ordering.holdback import HoldBackQueue
from tests.ordering.links import copy_of

S1, S1_LATER, S2 = NodeId("S1", 1), NodeId("S1", 2), NodeId("S2", 1)


def arrival(seq: int) -> Arrival:
    return Arrival(NodeId("S9", 1), copy_of(seq), Ordering.CAUSAL, ())


def test_release_takes_out_exactly_what_waits_for_the_dot() -> None:
    queue = HoldBackQueue()
    one, two, three = arrival(1), arrival(2), arrival(3)
    queue.hold(one, S1, 5)
    queue.hold(two, S1, 5)
    queue.hold(three, S1, 6)
    assert one.waits_for == Dot("S1", 1, 5)
    assert [*queue] == [one, two, three]
    assert list(queue.release(S2, 5)) == []
    assert list(queue.release(S1, 4)) == []
    assert list(queue.release(S1, 5)) == [one, two]
    assert list(queue.release(S1, 5)) == []
    assert [*queue] == [three]


def test_absent_dots_are_those_that_were_not_here_and_that_something_still_waits_for() -> None:
    queue = HoldBackQueue()
    queue.hold(arrival(1), S1, 5)
    queue.hold(arrival(2), S1, 6, absent=False)
    queue.hold(arrival(3), S1, 7)
    queue.hold(arrival(4), S2, 1)
    list(queue.release(S1, 7))
    assert (queue.take_absent(S1), queue.take_absent(S1)) == ({5}, set())
    list(queue.release(S2, 1))
    assert queue.take_absent(S2) == set()


def test_incarnations_that_are_gone_are_the_earlier_ones_of_that_name_that_something_waits_for() -> None:
    queue = HoldBackQueue()
    for origin in (S1, S1_LATER, S2):
        queue.hold(arrival(1), origin, 1)
    assert queue.gone("S1", 1) == []
    assert queue.gone("S1", 2) == [S1]
    assert queue.gone("S1", 3) == [S1, S1_LATER]
    list(queue.release(S1, 1))
    assert queue.gone("S1", 3) == [S1_LATER], "nothing is kept of an origin that nothing waits for"
