"""A message as its handler sees it: its fields, and how two of them relate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from causal import Message, Relation, VectorClock
from causal.clock import HybridTimestamp
from causal.ordering.dot import NodeId
from causal.ordering.holdback import Arrival
from causal.ordering.stamp import Copy, Stamp, listed
from causal.ordering.verdict import Ordering
from causal.testing.cluster import Cluster
from tests.node.support import Collector, quick, until

A1, A2, B, C = NodeId("A", 1), NodeId("A", 2), NodeId("B", 7), NodeId("C", 7)


def message(origin: NodeId, seq: int, clock: dict[NodeId, int] | None, timestamp: int = 1 << 16) -> Message:
    stamp = Stamp(previous=0, timestamp=timestamp, after={}, elsewhere={}, clock=clock)
    arrival = Arrival(origin, Copy(seq, stamp, "s", b""), Ordering.CAUSAL, listed(stamp.after))
    return Message(arrival, None, {}, None, 0.0, 1)


def test_compare_knows_before_after_concurrent_and_same() -> None:
    first, second = message(A1, 1, {A1: 1}), message(B, 1, {A1: 1, B: 1})
    other = message(C, 1, {C: 1})
    assert first.compare(second) is Relation.BEFORE
    assert second.compare(first) is Relation.AFTER
    assert first.compare(other) is other.compare(first) is Relation.CONCURRENT
    assert first.compare(message(A1, 1, None)) is Relation.SAME


def test_compare_with_a_clock_left_out_says_not_after_unless_the_other_clock_tells() -> None:
    without, knows_it, does_not = message(A1, 1, None), message(B, 1, {A1: 1, B: 1}), message(C, 1, {C: 1})
    assert without.compare(knows_it) is Relation.BEFORE
    assert knows_it.compare(without) is Relation.AFTER
    assert without.compare(does_not) is does_not.compare(without) is Relation.NOT_AFTER
    assert without.compare(message(B, 2, None)) is Relation.NOT_AFTER


def test_compare_across_incarnations_says_not_after_instead_of_inventing() -> None:
    old, of_the_new = message(A1, 5, {A1: 5}), message(B, 1, {A2: 1, B: 1})
    assert old.compare(of_the_new) is of_the_new.compare(old) is Relation.NOT_AFTER
    # Who knows an older incarnation only cannot follow the newer one.
    new, of_the_old = message(A2, 1, {A2: 1}), message(B, 1, {A1: 5, B: 1})
    assert new.compare(of_the_old) is Relation.CONCURRENT
    assert old.compare(of_the_old) is Relation.BEFORE


def test_e10_timestamps_that_disagree_with_the_vector_clocks_change_no_comparison() -> None:
    """A clock that was set back, and the hybrid clock of a node that did not notice: the vectors decide."""
    first, second = message(A1, 1, {A1: 1}), message(B, 1, {A1: 1, B: 1}, timestamp=0)
    assert second.timestamp < first.timestamp
    assert (first.compare(second), second.compare(first)) == (Relation.BEFORE, Relation.AFTER)
    other = message(C, 1, {C: 1}, timestamp=9 << 16)
    assert first.compare(other) is Relation.CONCURRENT, "later by the time, and not by what happened"


async def test_message_fields_are_those_of_the_send() -> None:
    """The example of the design: {S1:1}, {S1:1, S2:1}, {S1:1, S2:1, S3:1}."""
    s1, s2, s3 = quick("S1"), quick("S2"), quick("S3")
    at_s1, at_s3 = Collector(s1), Collector(s3, "b.*")

    @s2.on("a")
    async def second(message: Message) -> None:
        await s2.send("S3", "b.c", [message.body], key="k2", headers={"trace": "1"})

    @s3.on("a")
    async def first(message: Message) -> None:
        got.append(message)

    @s3.on("b.>")
    async def never(message: Message) -> None:
        raise AssertionError("the more specific pattern takes it")

    got: list[Message] = []
    async with Cluster(s1, s2, s3) as cluster:
        before = datetime.now(UTC) - timedelta(milliseconds=1)
        cluster.cut("S1", "S3")
        a = await s1.send(["S2", "S3"], "a", "x", key="k1")
        await until(lambda: s3.status()["held_total"] == 1)
        await until(lambda: s3.status()["held"][0]["since_s"] > 0.005)
        cluster.heal("S1", "S3")
        await cluster.settled()
        await s3.send("S1", "c")
        await cluster.settled()
        cluster.check()
    (one,), (two,), (three,) = got, at_s3.messages, at_s1.messages
    assert (one.id, str(one.id), one.sender) == (a, f"S1/{a.incarnation}/1", "S1")
    assert (one.subject, one.body, one.key, one.headers, one.attempt) == ("a", "x", "k1", {}, 1)
    assert (two.subject, two.body, two.key, two.headers, two.sender) == ("b.c", ["x"], "k2", {"trace": "1"}, "S2")
    assert [m.clock for m in (one, two, three)] == [
        VectorClock({"S1": 1}), VectorClock({"S1": 1, "S2": 1}), VectorClock({"S1": 1, "S2": 1, "S3": 1}),
    ]  # fmt: skip
    assert (one.after, two.after) == ((), (a,))
    assert one.held_for == 0.0
    assert two.held_for > 0.005
    assert one.verdict.ordered
    assert two.verdict.ordered
    assert isinstance(one.timestamp, HybridTimestamp)
    assert one.timestamp < two.timestamp < three.timestamp
    assert before <= one.sent_at <= datetime.now(UTC) + timedelta(milliseconds=500)
    assert [one.compare(two), three.compare(one), two.compare(two)] == [Relation.BEFORE, Relation.AFTER, Relation.SAME]
    assert repr(one) == f"<Message {a} a ordered>"


async def test_clock_past_its_bound_is_left_out() -> None:
    s1, s2 = quick("S1", clock_entries_max=1), quick("S2")
    got = Collector(s2)

    @s1.on("go")
    async def go(message: Message) -> None:
        await s1.send("S2", "a")

    async with Cluster(s1, s2) as cluster:
        await s1.send("S2", "a")
        await s1.settled(timeout=5)
        await s2.send("S1", "go")
        await cluster.settled()
    assert [message.clock for message in got.messages] == [VectorClock({"S1": 1}), None]
