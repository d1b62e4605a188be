"""The trace a node writes: which lines, in which order, and before which effects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from causal import Message, Node
from causal.observe.trace import FileTrace, read_trace
from causal.ordering.frames import ReceiverFrame, SenderFrame
from causal.testing.cluster import Cluster
from tests.node.support import AT_ONCE, Collector, Gate, RawSender, lines, quick, told, until


async def test_trace_of_two_messages_is_in_the_order_in_which_things_happened() -> None:
    s1, s2 = quick("S1"), quick("S2")

    @s2.on("a", policy=AT_ONCE)
    async def handle(message: Message) -> None:
        await s2.send("S1", "b")
        if message.attempt == 1:
            raise RuntimeError

    Collector(s1, "b", ordering="none")
    async with Cluster(s1, s2) as cluster:
        dot = await s1.send("S2", "a")
        await cluster.settled()
        assert told(cluster, "S2") == [
            ("receive", "a"), ("deliver", "a"), ("send", "b"), ("deliver", "a"), ("send", "b"), ("settle", "a"),
        ]  # fmt: skip
        receive, first, sent, second, again, settle = lines(cluster, "S2")
        for event in (receive, first, second, settle):
            assert (event.id, event.sender, event.ordering, event.to) == (str(dot), "S1", "causal", None)
            assert (event.node, event.incarnation) == ("S2", s2.incarnation)
        assert (receive.verdict, receive.held_for, receive.attempt) == (None, None, None)
        assert [(e.verdict, e.attempt) for e in (first, second, settle)] == [
            ("ordered", 1), ("ordered", 2), ("ordered", 2),
        ]  # fmt: skip
        assert first.held_for == 0.0
        for number, event in enumerate((sent, again), start=1):
            assert (event.id, event.to, event.cause) == (f"S2/{s2.incarnation}/{number}", ("S1",), str(dot))
            assert (event.ordering, event.verdict, event.sender) == (None, None, "S2")
        assert {e.ordering for e in lines(cluster, "S1") if e.event == "deliver"} == {"none"}


async def test_trace_of_a_self_send_has_its_send_before_its_receive() -> None:
    s1 = quick("S1")
    Collector(s1)
    async with Cluster(s1) as cluster:
        await s1.send("S1", "a")
        await cluster.settled()
        assert told(cluster, "S1") == [("send", "a"), ("receive", "a"), ("deliver", "a"), ("settle", "a")]


async def test_a2_duplicate_of_a_delivered_message_is_traced_counted_acknowledged_and_not_delivered() -> None:
    s1, s2 = quick("S1"), quick("S2")
    got = Collector(s2)
    async with Cluster(s1, s2) as cluster:
        await until(lambda: s1.status()["links"]["out"]["S2"]["state"] == "open")
        cluster.duplicate("S1", "S2", 1.0)
        for number in range(10):
            await s1.send("S2", "a", number)
        await cluster.settled()
        await until(lambda: s2.status()["counters"]["duplicates"] == 10, "the duplicates")
        duplicates = [e for e in lines(cluster, "S2") if e.event == "duplicate"]
        assert [e.id for e in duplicates] == [f"S1/{s1.incarnation}/{seq}" for seq in range(1, 11)]
        assert {(e.ordering, e.subject, e.verdict) for e in duplicates} == {("causal", "a", None)}
        assert cluster.check().duplicates == 10
    assert got.bodies == list(range(10))


async def test_a3_duplicate_of_a_held_message_is_not_acknowledged() -> None:
    s1, s2 = quick("S1"), quick("S2")
    gate = Gate(s2)
    async with Cluster(s1, s2) as cluster:
        await until(lambda: s1.status()["links"]["out"]["S2"]["state"] == "open")
        cluster.duplicate("S1", "S2", 1.0)
        await s1.send("S2", "a", 1)
        await s1.send("S2", "a", 2)
        await until(lambda: s2.status()["counters"]["duplicates"] == 2)
        assert s2.status()["held_total"] == 1
        assert s1.status()["unsettled_total"] == 2
        gate.open.set()
        await cluster.settled()
        assert cluster.check().doubled_count == 0
    assert gate.left == [1, 2]


async def test_b7_same_dot_with_another_payload_is_dropped_counted_and_not_acknowledged() -> None:
    s1 = quick("S1", drain_timeout=0)
    gate = Gate(s1)
    async with Cluster(s1) as cluster:
        sender = RawSender(cluster)
        await sender.greet("S1")
        copy = sender.copy(1)
        await sender.say(copy, base=True)
        await sender.say(copy._replace(payload=copy.payload[:-1] + b"\x07"))
        await until(lambda: s1.status()["counters"]["conflicts"] == 1)
        assert s1.status()["counters"]["duplicates"] == 0
        gate.open.set()
        await until(lambda: gate.left)
    assert gate.left == [1]


async def test_settle_and_send_lines_are_in_the_file_before_their_frames_leave(tmp_path: Path) -> None:
    """What another node saw is in the file of its cause, kill or no kill."""
    s1, s2 = quick("S1"), quick("S2")
    Collector(s2)
    cluster = Cluster(s1, s2)
    paths = {node: tmp_path / f"{node.name}.jsonl" for node in (s1, s2)}
    for node, path in paths.items():
        node.join(cluster._network.transport(node.name), cluster._configs[node.name], FileTrace(path))

    def written(node: Node, kind: str) -> set[int]:
        return {int(e.id.rpartition("/")[2]) for e in read_trace(paths[node], []) if e.event == kind}

    async with cluster:
        assert s1._core is not None and s2._core is not None  # noqa: PT018
        transmit, report = s1._core.engine.transmit, s2._core.engine.report
        left: list[str] = []

        def transmit_spied(*args: Any, **settings: Any) -> SenderFrame | None:
            frame = transmit(*args, **settings)
            if frame is not None:
                left.extend("message" if c.seq in written(s1, "send") else "too early" for c in frame.copies)
            return frame

        def report_spied(*args: Any, **settings: Any) -> ReceiverFrame | None:
            frame = report(*args, **settings)
            if frame is not None:
                left.extend("settlement" if s in written(s2, "settle") else "too early" for s in frame.settled)
            return frame

        s1._core.engine.transmit = transmit_spied  # type: ignore[method-assign]
        s2._core.engine.report = report_spied  # type: ignore[method-assign]
        for number in range(5):
            await s1.send("S2", "a", number)
        await s1.settled(timeout=5)
    assert sorted(left) == ["message"] * 5 + ["settlement"] * 5


async def test_trace_file_of_a_node_is_appended_to_by_its_next_run(tmp_path: Path) -> None:
    path = tmp_path / "s1.jsonl"
    for run in (1, 2):
        node = Node("S1", trace=path, heartbeat_interval=0.005)
        Collector(node)
        cluster = Cluster(node)
        node.join(cluster._network.transport("S1"), cluster._configs["S1"], None)  # type: ignore[arg-type]
        async with node:
            await node.settled(await node.send("S1", "a"), timeout=5)
        assert [e.event for e in read_trace(path, [])] == ["send", "receive", "deliver", "settle"] * run
    assert len({e.incarnation for e in read_trace(path, [])}) == 2


async def test_held_message_says_how_long_in_its_trace_and_to_its_handler() -> None:
    s1, s2 = quick("S1"), quick("S2")
    gate = Gate(s2, "first")
    got = Collector(s2, "second")
    async with Cluster(s1, s2) as cluster:
        await s1.send("S2", "first")
        await s1.send("S2", "second")
        await until(lambda: s2.status()["held_total"] == 1)
        await until(lambda: s2.status()["held"][0]["since_s"] > 0.01)
        gate.open.set()
        await cluster.settled()
        delivered = next(e for e in lines(cluster, "S2") if e.event == "deliver" and e.subject == "second")
        assert s2.status()["counters"]["held"] == 1
    assert got.messages[0].held_for == delivered.held_for
    assert got.messages[0].held_for > 0.01
