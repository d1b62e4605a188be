"""Sending: dots, room, back-pressure, and waiting for settlement."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from causal import BackpressureError, ClosedError, Dot, Message, SubjectError, UnknownDestinationError
from causal.node.config import NodeConfig
from causal.ordering import EngineConfig
from causal.testing.cluster import Cluster
from tests.node.support import AT_ONCE, Collector, Gate, lines, quick, turns, until


async def test_send_returns_the_dot_that_counts_the_sends_of_this_run() -> None:
    s1, s2 = quick("S1"), quick("S2")
    got = Collector(s2)
    async with Cluster(s1, s2) as cluster:
        first, second = await s1.send("S2", "a", 1), await s1.send(["S2", "S1"], "b", 2)
        assert [first, second] == [Dot("S1", s1.incarnation, seq) for seq in (1, 2)]
        await cluster.settled()
    assert [message.id for message in got.messages] == [first, second]


async def test_send_to_a_peer_that_is_down_is_queued_and_arrives_when_it_comes_up() -> None:
    s1, s2 = quick("S1"), quick("S2")
    got = Collector(s2)
    async with Cluster(s1, s2) as cluster:
        await cluster.crash("S2")
        await s1.send("S2", "a", "early", timeout=0)
        await until(lambda: s1.status()["links"]["out"]["S2"]["attempts"] > 2, "attempts to reconnect")
        await cluster.restart("S2")
        await cluster.settled()
    assert got.bodies == ["early"]


async def test_send_to_an_unknown_name_names_the_known_and_sends_nothing() -> None:
    s1, s2 = quick("S1"), quick("S2")
    got = Collector(s2)
    async with Cluster(s1, s2) as cluster:
        with pytest.raises(UnknownDestinationError, match=r"'S9'.*known peers: S1, S2") as caught:
            await s1.send(["S2", "S9"], "a")
        assert (caught.value.names, caught.value.known) == (("S9",), ("S1", "S2"))
        assert (await s1.send("S2", "a")).seq == 1
        await cluster.settled()
        assert [e.event for e in lines(cluster, "S1")] == ["send"]
    assert len(got) == 1


@pytest.mark.parametrize("subject", ["", "a..b", "a.*", "a\nb", ">", "x" * 257])
async def test_send_of_a_bad_subject_is_refused_and_sends_nothing(subject: str) -> None:
    s1, s2 = quick("S1"), quick("S2")
    async with Cluster(s1, s2) as cluster:
        with pytest.raises(SubjectError):
            await s1.send("S2", subject)
        assert not cluster.trace.events


@pytest.mark.parametrize("to", [None, 5, [1], ["S2", None], b"S2", [["S2"]], {"S2": 1}.items()])
async def test_send_to_what_is_no_name_says_so_and_sends_nothing(to: Any) -> None:
    s1, s2 = quick("S1"), quick("S2")
    async with Cluster(s1, s2) as cluster:
        with pytest.raises(TypeError, match=r"takes the name of a node or several names, not the .*send\('S2', …\)"):
            await s1.send(to, "a")
        assert not cluster.trace.events


async def test_send_to_nobody_is_refused_with_the_known() -> None:
    s1 = quick("S1")
    async with Cluster(s1):
        with pytest.raises(UnknownDestinationError, match="no destination was named; known peers: S1"):
            await s1.send([], "a")


@pytest.mark.parametrize("timeout", ["5", [5], object()])
async def test_timeout_that_is_no_number_is_refused_before_anything_is_sent(timeout: Any) -> None:
    s1 = quick("S1")
    async with Cluster(s1) as cluster:
        for call in (lambda: s1.send("S1", "a", timeout=timeout), lambda: s1.settled(timeout=timeout)):
            with pytest.raises(TypeError, match="timeout is a number of seconds, or None"):
                await call()
        assert not cluster.trace.events


@pytest.mark.parametrize(
    ("dot", "fix"),
    [
        ("S1/1/1", r"the str 'S1/1/1': Dot.parse\(…\) reads one"),
        (None, r"the NoneType None: settled\(dot\), or settled\(\) for everything sent so far"),
        (5, r"settled\(timeout=5\) says how long"),
        (("S1", 1, 1), r"settled\(\*dots\)"),
        ([Dot("S1", 1, 1)], r"settled\(\*dots\)"),
        (["x" * 100], r"x…: settled\(\*dots\)"),
        ("S1/1/1", r"the str 'S1/1/1': Dot.parse\(…\) reads one from a text, and settled\(\) waits"),
        (Dot("S1", 1, "x"), r"seq='x'\): a dot is a name and two whole numbers"),  # type: ignore[arg-type]
        (Dot("S1", [], 1), "two whole numbers"),  # type: ignore[arg-type]
    ],
)
async def test_settled_of_what_is_no_dot_says_what_to_do(dot: Any, fix: str) -> None:
    s1 = quick("S1")
    async with Cluster(s1):
        with pytest.raises(TypeError, match=rf"settled\(\) takes dots as send\(\) returns them, not .*{fix}"):
            await s1.settled(dot)


async def test_a21_self_send_and_destination_listed_twice_deliver_once_each() -> None:
    s1, s2 = quick("S1"), quick("S2")
    at_s1, at_s2 = Collector(s1), Collector(s2)
    async with Cluster(s1, s2) as cluster:
        await s1.send(["S2", "S1", "S2", "S1"], "a", 1)
        await cluster.settled()
        assert lines(cluster, "S1")[0].to == ("S2", "S1")
    assert (at_s1.bodies, at_s2.bodies) == ([1], [1])


async def test_send_with_a_full_outbox_waits_until_something_settles() -> None:
    s1, s2 = quick("S1", outbox_messages=2), quick("S2")
    gate = Gate(s2)
    async with Cluster(s1, s2) as cluster:
        for number in range(2):
            await s1.send("S2", "a", number)
        waiting = asyncio.create_task(s1.send("S2", "a", 2))
        await until(lambda: s1.status()["sends_waiting"] == 1, "the send to wait")
        assert not waiting.done()
        gate.open.set()
        assert (await waiting).seq == 3
        assert s1.status()["sends_waiting"] == 0
        await cluster.settled()
    assert gate.left == [0, 1, 2]


async def test_send_past_its_timeout_raises_backpressure_and_uses_no_seq() -> None:
    s1, s2 = quick("S1", outbox_messages=1), quick("S2")
    gate = Gate(s2)
    async with Cluster(s1, s2) as cluster:
        await s1.send("S2", "a", 0)
        for timeout in (0, 0.003):
            with pytest.raises(BackpressureError, match=r"no room within.*outbox of S2 is full \(1 unsettled"):
                await s1.send("S2", "a", 1, timeout=timeout)
        assert s1.status()["sends_waiting"] == 0
        gate.open.set()
        await s1.settled(timeout=5)
        assert (await s1.send("S2", "a", 2)).seq == 2
        await cluster.settled()
    assert gate.entered == [0, 2]


async def test_send_larger_than_the_outbox_waits_for_bytes_and_passes_when_alone() -> None:
    s1, s2 = quick("S1", outbox_bytes=100), quick("S2")
    gate = Gate(s2)
    async with Cluster(s1, s2) as cluster:
        await s1.send("S2", "a", b"x" * 1000)  # one is always allowed
        with pytest.raises(BackpressureError, match="bytes"):
            await s1.send("S2", "a", b"y", timeout=0)
        gate.open.set()
        await s1.send("S2", "a", b"y", timeout=5)
        await cluster.settled()


async def test_send_that_waits_for_one_peer_does_not_stop_sends_to_another() -> None:
    s1, s2, s3 = quick("S1", outbox_messages=1), quick("S2"), quick("S3")
    gate, free = Gate(s2), Collector(s3)
    async with Cluster(s1, s2, s3) as cluster:
        await s1.send("S2", "a")
        waiting = asyncio.create_task(s1.send("S2", "a"))
        await until(lambda: s1.status()["sends_waiting"])
        for number in range(5):
            await s1.send("S3", "b", number, timeout=5)
        assert not waiting.done()
        gate.open.set()
        await waiting
        await cluster.settled()
    assert free.bodies == [0, 1, 2, 3, 4]


async def test_sends_that_wait_are_served_in_the_order_in_which_they_came() -> None:
    s1, s2 = quick("S1", outbox_messages=1), quick("S2")
    gate = Gate(s2)
    async with Cluster(s1, s2) as cluster:
        await s1.send("S2", "a", 0)
        waiting = []
        for number in range(1, 50):
            waiting.append(asyncio.create_task(s1.send("S2", "a", number)))
            await asyncio.sleep(0)
        gate.open.set()
        await asyncio.gather(*waiting)
        await cluster.settled()
    assert gate.left == list(range(50))


async def test_send_cancelled_while_it_waits_leaves_no_trace_and_the_next_one_goes() -> None:
    s1, s2 = quick("S1", outbox_messages=1), quick("S2")
    gate = Gate(s2)
    async with Cluster(s1, s2) as cluster:
        await s1.send("S2", "a", 0)
        waiting = [asyncio.create_task(s1.send("S2", "a", number)) for number in (1, 2, 3)]
        await until(lambda: s1.status()["sends_waiting"] == 3)
        waiting[0].cancel()
        waiting[2].cancel()
        await until(lambda: waiting[0].done() and waiting[2].done())
        assert s1.status()["sends_waiting"] == 1
        gate.open.set()
        assert (await waiting[1]).seq == 2
        await cluster.settled()
    assert gate.left == [0, 2]


async def test_send_cancelled_as_its_turn_comes_passes_the_turn_on() -> None:
    """At once: a heartbeat, which would look again, is far away."""
    s1, s2 = quick("S1", outbox_messages=1, heartbeat_interval=60), quick("S2", heartbeat_interval=60)
    gate = Gate(s2)
    async with Cluster(s1, s2) as cluster:
        first = await s1.send("S2", "a", 0)
        second, third = (asyncio.create_task(s1.send("S2", "a", number)) for number in (1, 2))
        await until(lambda: s1.status()["sends_waiting"] == 2)
        gate.open.set()
        await s1.settled(first, timeout=5)  # its turn has been called, perhaps not taken yet
        second.cancel()
        await asyncio.wait([second, third], timeout=5)
        assert third.done()
        await third
        await cluster.settled()


async def test_send_inside_a_handler_never_waits_for_room() -> None:
    """Two handlers that waited for each other's room would never settle."""
    s1, s2 = quick("S1", outbox_messages=2), quick("S2", outbox_messages=2)

    @s2.on("ping")
    async def ping(message: Message) -> None:
        await s2.send("S1", "pong", message.body)

    @s1.on("pong")
    async def pong(message: Message) -> None:
        if message.body < 20:
            await s1.send("S2", "ping", message.body + 2)

    async with Cluster(s1, s2) as cluster:
        await asyncio.gather(*(s1.send("S2", "ping", number) for number in (0, 1)))
        await cluster.settled()
        cluster.check()
    assert s1.dead_letters.total == s2.dead_letters.total == 0


async def test_send_inside_a_handler_at_twice_the_bound_raises_and_the_handler_is_retried(
    caplog: pytest.LogCaptureFixture,
) -> None:
    s1, s2, s3 = quick("S1"), quick("S2", outbox_messages=2), quick("S3")
    gate = Gate(s3)
    attempts: list[int] = []

    @s2.on("fan", policy=AT_ONCE)
    async def fan(message: Message) -> None:
        attempts.append(message.attempt)
        await s2.send("S3", "out", message.attempt)

    async with Cluster(s1, s2, s3) as cluster:
        for _ in range(5):
            await s1.send("S2", "fan")
        await until(lambda: max(attempts, default=0) > 2, "retries of the fifth")
        retrying = s2.status()["retrying"] or s2.status()["running"]
        assert retrying[0]["id"].endswith("/5")
        assert s2.status()["links"]["out"]["S3"]["unsettled"] == 4  # twice the bound, and not one more
        assert "BackpressureError" in caplog.text
        gate.open.set()
        await cluster.settled()
        cluster.check()
    assert len(gate.left) == 5


async def test_send_past_what_any_stamp_may_list_waits_visibly_for_settlements(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Peers that are down and have never been up: their dots cannot be folded, and at some point there are too many."""
    monkeypatch.setattr(NodeConfig, "engine", lambda self: EngineConfig(dependencies_max=2, dots_max=4))
    names = [f"P{number}" for number in range(5)]
    s1 = quick("S1", peers={name: f"{name}:1" for name in names}, drain_timeout=0)
    peers = [quick(name, peers={"S1": "S1:1"}, drain_timeout=0) for name in names]
    cluster = Cluster(s1, *peers)
    for name in names:
        cluster.cut("S1", name)
    async with cluster:
        for name in names[:-1]:
            await s1.send(name, "a")
        assert s1.status()["bounded"]["pending"] == 4
        waiting = asyncio.create_task(s1.send(names[-1], "a"))
        await until(lambda: s1.status()["sends_waiting"] == 1)
        with pytest.raises(BackpressureError, match="stamp would list 5 dots, more than 4"):
            await s1.send(names[-1], "a", timeout=0)
        cluster.heal("S1", names[0])
        assert (await asyncio.wait_for(waiting, 5)).seq == 5


async def test_settled_of_one_dot_returns_although_others_are_not() -> None:
    s1, s2, s3 = quick("S1"), quick("S2"), quick("S3")
    gate = Gate(s3)
    async with Cluster(s1, s2, s3) as cluster:
        stuck, done = await s1.send("S3", "a"), await s1.send("S2", "b")
        await s1.settled(done, timeout=5)
        with pytest.raises(TimeoutError, match=rf"not settled within 0.002 s: {stuck} at S3$"):
            await s1.settled(stuck, done, timeout=0.002)
        gate.open.set()
        await s1.settled(stuck, timeout=5)
        await s1.settled(stuck, done)  # at once, and as often as one likes
        await cluster.settled()


async def test_settled_without_dots_waits_for_everything_sent_so_far() -> None:
    s1, s2 = quick("S1"), quick("S2")
    gate = Gate(s2)
    async with Cluster(s1, s2):
        dots = [await s1.send("S2", "a", number) for number in range(12)]
        with pytest.raises(TimeoutError, match="and 2 more") as caught:
            await s1.settled(timeout=0)
        assert all(str(dot) in str(caught.value) for dot in dots[:10])
        gate.open.set()
        await s1.settled(timeout=5)
        assert len(gate.left) == 12


async def test_settled_of_a_multicast_waits_for_the_last_destination() -> None:
    s1, s2, s3 = quick("S1"), quick("S2"), quick("S3")
    gate, got = Gate(s3), Collector(s2)
    async with Cluster(s1, s2, s3):
        dot = await s1.send(["S2", "S3"], "a")
        await until(lambda: len(got))
        await until(lambda: s1.status()["unsettled"][0]["at"] == ["S3"], "S2's acknowledgement")
        waiting = asyncio.create_task(s1.settled(dot))
        await turns()
        assert not waiting.done()
        gate.open.set()
        await asyncio.wait_for(waiting, 5)


async def test_settled_of_a_foreign_dot_is_refused() -> None:
    s1, s2 = quick("S1"), quick("S2")
    async with Cluster(s1, s2) as cluster:
        dot = await s1.send("S2", "a")
        for foreign in (dot._replace(name="S2"), dot._replace(incarnation=1), dot._replace(seq=2), dot._replace(seq=0)):
            with pytest.raises(ValueError, match="was not sent by this run"):
                await s1.settled(foreign)
        await cluster.settled()


async def test_settled_cancelled_leaves_the_others_waiting() -> None:
    s1, s2 = quick("S1"), quick("S2")
    gate = Gate(s2)
    async with Cluster(s1, s2):
        await s1.send("S2", "a")
        waiting = [asyncio.create_task(s1.settled()) for _ in range(3)]
        await turns()
        waiting[1].cancel()
        await turns()
        gate.open.set()
        done, _ = await asyncio.wait(waiting, timeout=5)
        assert [task.cancelled() for task in waiting] == [False, True, False]
        assert len(done) == 3


async def test_closing_releases_waiting_sends_and_settled_with_closed_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    s1, s2 = quick("S1", outbox_messages=1, drain_timeout=0), quick("S2", drain_timeout=0)
    Gate(s2)
    async with Cluster(s1, s2):
        await s1.send("S2", "a")
        waiting = [asyncio.create_task(s1.send("S2", "a")) for _ in range(3)]
        await until(lambda: s1.status()["sends_waiting"] == 3)
        raise_soon = asyncio.gather(*waiting, s1.settled(), return_exceptions=True)
        await turns()
    results = await asyncio.wait_for(raise_soon, 5)
    assert [type(result) for result in results] == [ClosedError] * 4


@pytest.mark.parametrize("moment", range(12))
async def test_send_that_is_called_while_the_node_closes_never_hangs(
    moment: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Room comes in the same turn of the loop as the end: at whichever await, the send ends one way or the other."""
    caplog.set_level(logging.CRITICAL)
    s1, s2 = quick("S1", outbox_messages=1, drain_timeout=0), quick("S2", drain_timeout=0)
    gate = Gate(s2)
    async with Cluster(s1, s2):
        await s1.send("S2", "a")
        waiting = [asyncio.create_task(s1.send("S2", "a")) for _ in range(4)]
        await until(lambda: s1.status()["sends_waiting"] == 4)
        gate.open.set()
        await turns(moment)
        crash = asyncio.create_task(s1.crash())
        _, pending = await asyncio.wait([crash, *waiting], timeout=5)
        assert not pending
        assert {type(task.exception()) for task in waiting} <= {ClosedError, type(None)}
