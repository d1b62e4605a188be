"""Nodes that are gone: who leaves says so; who is away is evicted, and what waits there is given up."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from causal import GivenUpError, UnknownDestinationError
from causal.node import Message, Node
from causal.ordering.output import Output
from causal.ordering.verdict import VerdictKind
from causal.testing.cluster import Cluster
from tests.node.support import Collector, Gate, lines, out, quick, turns, until

BARE = {"dependencies_max": 0, "clock_entries_max": 0, "links_known_after": 0.01}
"""All that a message follows is folded, and no clock tells what it does not follow."""


def linked(node: Node) -> set[str]:
    """The names of the senders that a node has a link from."""
    return {origin.partition("/")[0] for origin in node.status()["links"]["in"]}


async def test_f7_sender_that_left_in_good_order_holds_up_no_horizon_although_it_had_dialled() -> None:
    s1, s2, gone = quick("S1", **BARE), quick("S2", **BARE), quick("S3")
    got = Collector(s2)
    cluster = Cluster(s1, s2, gone)
    async with s1, s2:
        async with gone:
            await gone.settled(await gone.send("S2", "a"), timeout=5)
            await until(lambda: linked(s2) == {"S1", "S3"})
        assert linked(s2) == {"S1"}
        cluster.cut("S1", "S2")
        await s1.send("S2", "b")
        await s1.send(["S1", "S2"], "b")
        cluster.heal("S1", "S2")
        await cluster.settled(timeout=5)
        assert s2.status()["bounded"]["waiting"] == 0
        cluster.check()
    assert [message.subject for message in got.messages] == ["a", "b", "b"]


async def test_f7_sender_that_was_killed_holds_up_horizons_until_it_is_evicted() -> None:
    s1, s2, s3, killed = quick("S1", **BARE), quick("S2", **BARE), quick("S3", **BARE), quick("S4")
    got = Collector(s2)

    @s3.on("b")
    async def pass_on(message: Message) -> None:
        await s3.send("S2", "c")

    async with Cluster(s1, s2, s3, killed) as cluster:
        await killed.settled(await killed.send("S2", "a"), timeout=5)
        former = killed.incarnation
        await cluster.crash("S4")
        await s1.send(["S2", "S3"], "b")
        link = f"the link from S4/{former}"
        await until(lambda: [held["waits_for"] for held in s2.status()["held"]] == [link])
        await until(lambda: [held["waits_for"] for held in s3.status()["held"]] == [link])  # it had dialled both
        (held,) = s2.status()["held"]
        assert held["hint"] == "start S4; if it stays away: node.evict('S4')"
        assert s2.evict("S4") == s3.evict("S4") == former
        await cluster.settled(timeout=5)
        assert s2.evict("S4") is None
    assert [message.subject for message in got.messages] == ["a", "b", "c"]
    assert got.messages[1].verdict.kind is VerdictKind.UNSURE  # S4 may have sent more that nobody has


async def test_f10_message_that_waits_for_one_that_is_away_goes_on_when_it_is_evicted_and_names_what_is_lost() -> None:
    s1, s2, s3 = quick("S1"), quick("S2"), quick("S3")
    got = Collector(s3)

    @s2.on("a")
    async def pass_on(message: Message) -> None:
        await s2.send("S3", "b")

    async with Cluster(s1, s2, s3) as cluster:
        await s1.settled(await s1.send("S3", "hello"), timeout=5)
        cluster.cut("S1", "S3")
        lost = await s1.send(["S2", "S3"], "a")
        await until(lambda: s3.status()["held"])
        await cluster.crash("S1")
        await turns()
        assert len(got) == 1
        assert s3.evict("S1") == lost.incarnation
        await until(lambda: len(got) == 2)
        verdict = got.messages[1].verdict
        assert (verdict.kind, verdict.missing) == (VerdictKind.LOST, (lost,))
        assert linked(s3) == {"S2"}
        cluster.heal("S1", "S3")
        await cluster.restart("S1")
        await s1.settled(await s1.send("S3", "again"), timeout=5)
        assert cluster.check().proved
    assert [message.subject for message in got.messages] == ["hello", "b", "again"]


async def test_f10_node_that_is_evicted_while_it_lives_is_refused_and_told_so_until_it_is_started_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    s1, s2 = quick("S1", drain_timeout=0.02), quick("S2")
    got = [Collector(s1), Collector(s2)]
    async with Cluster(s1, s2) as cluster:
        await s1.settled(await s1.send("S2", "a"), timeout=5)
        await s2.settled(await s2.send("S1", "a"), timeout=5)
        assert s2.evict("S1") == s1.incarnation
        await until(lambda: "been evicted here" in str(out(s1, "S2")["error"]))
        await until(lambda: "evicted" in str(out(s2, "S1")["error"]))
        await s1.send("S2", "lost")
        await s2.send("S1", "waits")
        await cluster.restart("S1")
        await until(lambda: len(got[0]) == 2)
        await s1.settled(await s1.send("S2", "b"), timeout=5)
        await cluster.settled(timeout=5)
    assert [message.subject for message in got[1].messages] == ["a", "b"]
    assert "S2: S1/" in caplog.text
    assert "has been evicted, what it never got across is lost" in caplog.text


async def test_evict_of_a_name_of_which_nothing_is_known_and_of_the_node_itself() -> None:
    s1, s2 = quick("S1"), quick("S2")
    async with Cluster(s1, s2):
        assert s1.evict("S9") is None
        assert s1.evict("S9", incarnation=7) == 7
        with pytest.raises(ValueError, match="S1 cannot evict itself: leave the node instead"):
            s1.evict("S1")


async def test_f10_giving_up_what_waits_for_a_peer_makes_room_and_tells_whoever_waits() -> None:
    s1, s2 = quick("S1", outbox_messages=2, drain_timeout=5.0), quick("S2")
    got = Collector(s2)
    async with Cluster(s1, s2) as cluster:
        await s1.settled(await s1.send("S2", "a", 0), timeout=5)
        cluster.cut("S1", "S2")
        dots = [await s1.send("S2", "a", number) for number in (1, 2)]
        waits = asyncio.create_task(s1.settled(dots[1]))
        for_all = asyncio.create_task(s1.settled())
        blocked = asyncio.create_task(s1.send("S2", "a", 3))
        await until(lambda: s1.status()["sends_waiting"] == 1)
        assert s1.give_up("S2") == dots
        for waiting in (waits, for_all):
            with pytest.raises(GivenUpError, match=f"{dots[1]} at S2"):
                await waiting
        with pytest.raises(GivenUpError) as given_up:
            await s1.settled(*dots)
        assert given_up.value.messages == {dots[0]: ["S2"], dots[1]: ["S2"]}
        letters = [letter for letter in s1.dead_letters if letter.message is not None]
        assert [letter.message.body for letter in letters if letter.message] == [1, 2]
        assert [(letter.id, letter.reason) for letter in letters] == [
            (dot, "given up while S2 was away") for dot in dots
        ]
        last = await asyncio.wait_for(blocked, 5)
        assert (out(s1, "S2")["given_up"], out(s1, "S2")["unsettled"]) == (2, 1)
        assert [unsettled["id"] for unsettled in s1.status()["unsettled"]] == [str(last)]
        cluster.heal("S1", "S2")
        await s1.settled(last, timeout=5)
        await s1.settled(timeout=5)
        assert out(s1, "S2")["given_up"] == 0
        assert s2.status()["counters"]["given_up"] == 2
        dropped = [event.id for event in lines(cluster, "S2") if event.event == "drop"]
        assert dropped == [str(dot) for dot in dots]
        assert cluster.check().proved
    assert got.bodies == [0, 3]


async def test_a_node_that_has_given_up_what_is_unsettled_leaves_at_once_and_says_no_goodbye_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    s1, s2, s3 = quick("S1", drain_timeout=60.0), quick("S2"), quick("S3")
    Collector(s3)
    cluster = Cluster(s1, s2, s3)
    async with asyncio.timeout(10), s2, s3:
        async with s1:
            await s1.settled(await s1.send("S3", "a"))
            await until(lambda: linked(s2) == {"S1", "S3"})
            cluster.cut("S1", "S2")
            await s1.send("S2", "a")
            s1.give_up("S2")
        assert linked(s3) == {"S2"}
        assert linked(s2) == {"S1", "S3"}
    assert "leaves with" not in caplog.text


async def test_node_that_leaves_with_something_unsettled_says_goodbye_only_where_nothing_is() -> None:
    s1, s2, s3 = quick("S1", drain_timeout=0.05), quick("S2"), quick("S3")
    gate = Gate(s2)
    Collector(s3)
    Cluster(s1, s2, s3)
    async with s2, s3:
        async with s1:
            await s1.send("S2", "a")
            await s1.settled(await s1.send("S3", "a"), timeout=5)
            await until(lambda: gate.entered)
        assert linked(s3) == {"S2"}
        assert linked(s2) == {"S1", "S3"}
        gate.open.set()
        await until(lambda: gate.left)


async def test_give_up_of_an_unknown_peer_is_refused() -> None:
    s1 = quick("S1")
    async with Cluster(s1):
        with pytest.raises(UnknownDestinationError, match="unknown destination 'S9'"):
            s1.give_up("S9")


@pytest.mark.parametrize("peers", [1, 3])
async def test_leaving_over_grpc_tells_every_peer_that_nothing_more_comes(peers: int) -> None:
    receivers = [quick(f"R{number}", listen="127.0.0.1:0") for number in range(peers)]
    collectors = [Collector(receiver) for receiver in receivers]
    async with AsyncExitStack() as stack:
        for receiver in receivers:
            await stack.enter_async_context(receiver)
        addresses: dict[str, Any] = {receiver.name: receiver.address for receiver in receivers}
        sender = quick("S1", peers=addresses)
        async with asyncio.timeout(10), sender:
            await sender.send(list(addresses), "a")
            await sender.settled()
        for receiver, collector in zip(receivers, collectors, strict=True):
            assert len(collector) == 1
            assert linked(receiver) == set()
            assert len(receiver._core.engine.settlement.former) == 1  # type: ignore[union-attr]


async def test_settled_returns_once_only_what_was_given_up_is_left() -> None:
    s1, s2, s3 = quick("S1"), quick("S2"), quick("S3")
    gate = Gate(s2)
    Collector(s3)
    async with Cluster(s1, s2, s3) as cluster:
        cluster.cut("S1", "S3")
        dot = await s1.send(["S2", "S3"], "a")
        assert s1.give_up("S3") == [dot]
        waiting = asyncio.create_task(s1.settled(timeout=5))
        await turns(20)
        assert not waiting.done(), "S2 has not settled it"
        with pytest.raises(TimeoutError, match=r"/1 at S2$"):
            await s1.settled(timeout=0.01)
        gate.open.set()
        await waiting
        assert (out(s1, "S3")["queued"], out(s1, "S3")["hint"]) == (0, None)
        cluster.heal("S1", "S3")


async def test_who_waits_for_what_is_given_up_is_told_so_whatever_happens_before_it_goes_on() -> None:
    s1 = quick("S1", heartbeat_interval=60)
    async with Cluster(s1, quick("S2")) as cluster:
        cluster.cut("S1", "S2")
        dot = await s1.send("S2", "a")
        waits = [asyncio.create_task(s1.settled(*dots)) for dots in ((dot,), ())]
        await turns(5)
        s1.give_up("S2")
        s1._running().apply(Output())  # as any frame does, before they have had their turn
        for waiting in waits:
            with pytest.raises(GivenUpError):
                await waiting


async def test_incarnation_that_is_evicted_by_number_takes_no_later_one_with_it() -> None:
    s1, s2 = quick("S1"), quick("S2")
    got = Collector(s2)
    async with Cluster(s1, s2) as cluster:
        await s1.settled(await s1.send("S2", "a"), timeout=5)
        assert s2.evict("S1", s1.incarnation - 1) is None, "nothing is known of it that the present one does not say"
        await s1.settled(await s1.send("S2", "a"), timeout=5)
        cluster.check()
    assert len(got) == 2


@pytest.mark.parametrize("incarnation", [2**53, -1, "1", True])
async def test_evict_of_what_is_no_incarnation_is_refused(incarnation: Any) -> None:
    node = quick("S1")
    async with Cluster(node):
        with pytest.raises(ValueError, match="whole number of milliseconds"):
            node.evict("S2", incarnation)
        with pytest.raises(ValueError, match="S1 cannot give up what it has sent to itself"):
            node.give_up("S1")
