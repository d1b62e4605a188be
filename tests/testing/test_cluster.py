"""`Cluster`, as a user's tests see it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from causal import ClosedError, ConfigurationError, Message, Node
from causal.testing.cluster import Cluster
from tests.node.support import Collector, Gate, quick, until


async def a_payment_overtakes_its_order(ordering: str) -> Cluster:
    orders, payments, shipping = Node("S1"), Node("S2"), Node("S3")

    @payments.on("order.placed")
    async def pay(message: Message) -> None:
        await payments.send("S3", "order.paid", message.body)

    @shipping.on("order.*", ordering=ordering)
    async def ship(message: Message) -> None:
        """Reserves goods when an order is placed, ships them when it is paid."""

    async with Cluster(orders, payments, shipping) as cluster:
        cluster.delay("S1", "S3", 0.05)  # the way from orders to shipping is slow today
        await orders.send(["S2", "S3"], "order.placed", {"id": 1})
        await cluster.settled()
    return cluster


async def test_readme_example_passes_with_causal_ordering() -> None:
    cluster = await a_payment_overtakes_its_order("causal")
    report = cluster.check()
    assert (report.messages, report.deliveries, report.held.count, report.violation_count) == (2, 3, 1, 0)


async def test_a1_readme_example_fails_without_ordering_and_names_the_violation_with_its_path() -> None:
    cluster = await a_payment_overtakes_its_order("none")
    with pytest.raises(AssertionError) as caught:
        cluster.check()
    placed, paid = (e.id for e in cluster.trace.events if e.event == "send")
    assert str(caught.value).splitlines() == [
        "refuted: 1 pairs out of causal order",
        f"S3 started {paid} (order.paid) before {placed} (order.placed) was settled there (not received). "
        "From one to the other:",
        f"  S1 sent {placed} (order.placed)",
        f"  S2 started {placed} (order.placed), then",
        f"  S2 sent {paid} (order.paid)",
    ]


def test_cluster_of_two_nodes_with_one_name_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="same name"):
        Cluster(Node("S1"), Node("S1"))


def test_cluster_with_a_peer_outside_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="peers of S1 are not in the cluster: S9"):
        Cluster(Node("S1", peers={"S9": "127.0.0.1:1"}), Node("S2"))


async def test_cluster_takes_any_node_name_and_only_the_peers_that_a_node_names() -> None:
    one, two, three = quick("order-service", peers={"Zürich.2": "127.0.0.1:1"}), quick("Zürich.2"), quick("3")
    got = Collector(two)
    async with Cluster(one, two, three) as cluster:
        await one.send("Zürich.2", "a", 1)
        with pytest.raises(LookupError):
            await one.send("3", "a")
        await two.send("order-service", "b")
        await cluster.settled()
    assert got.bodies == [1]


async def test_weather_between_unknown_nodes_is_refused() -> None:
    cluster = Cluster(quick("S1"))
    for change in (cluster.cut, cluster.heal, lambda a, b: cluster.delay(a, b, 1.0), cluster.duplicate):
        with pytest.raises(ConfigurationError, match="'S9' is not in the cluster: S1"):
            change("S1", "S9")
    with pytest.raises(ConfigurationError, match="'S9'"):
        await cluster.restart("S9")


async def test_settled_past_its_timeout_says_what_each_node_waits_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    s1, s2 = quick("S1", drain_timeout=0), quick("S2", drain_timeout=0)
    Gate(s2)

    @s2.on("bad")
    async def bad(message: Message) -> None:
        raise RuntimeError("no database")

    async with Cluster(s1, s2) as cluster:
        first, second = await s1.send("S2", "a"), await s1.send("S2", "a")
        await s1.send("S1", "bad")
        await s2.send("S2", "bad")
        await until(lambda: s2.status()["retrying"] and s2.status()["held"])
        with pytest.raises(TimeoutError) as caught:
            await cluster.settled(timeout=0.01)
    text = str(caught.value)
    assert text.startswith("not settled within 0.01 s: S1: ")
    assert f"unsettled [{first} at S2, {second} at S2]" in text
    assert f"S2: held [{second} waits for {first}]" in text
    assert "RuntimeError('no database')" in text


async def test_cut_heals_at_the_end_of_its_block() -> None:
    s1, s2 = quick("S1"), quick("S2")
    got = Collector(s2)
    async with Cluster(s1, s2) as cluster:
        with cluster.cut("S1", "S2"):
            await s1.send("S2", "a")
            await until(lambda: "is cut" in str(s1.status()["links"]["out"]["S2"]["error"]))
            assert not got.messages
        await cluster.settled()
        assert cluster.check().duplicates == 0
    assert len(got) == 1


async def test_restart_is_a_new_incarnation_of_the_same_node_with_the_same_handlers() -> None:
    s1, s2 = quick("S1"), quick("S2")
    at_s1 = Collector(s1)

    @s2.on("a")
    async def answer(message: Message) -> None:
        await s2.send("S1", "b", message.body)  # the same object, in whichever run

    async with Cluster(s1, s2) as cluster:
        await s1.send("S2", "a", 1)
        await cluster.settled()
        first = s2.incarnation
        await cluster.crash("S2")
        await cluster.crash("S2")  # once is enough
        with pytest.raises(ClosedError):
            await s2.send("S1", "b")
        await s1.send("S2", "a", 2)
        await cluster.restart("S2")
        await cluster.settled()
        assert s2.incarnation > first
        cluster.check()
    assert at_s1.bodies == [1, 2]


async def test_node_that_is_still_down_at_the_end_is_no_obstacle() -> None:
    s1, s2 = quick("S1"), quick("S2")
    async with asyncio.timeout(5), Cluster(s1, s2) as cluster:
        await cluster.crash("S2")
    assert not s1.is_running


async def test_leaving_waits_for_all_nodes_together_so_that_none_leaves_too_early() -> None:
    s1, s2, s3 = (quick(name, drain_timeout=5) for name in ("S1", "S2", "S3"))
    got = Collector(s3)

    @s2.on("a")
    async def forward(message: Message) -> None:
        await asyncio.sleep(0.01)
        await s2.send("S3", "b")

    async with asyncio.timeout(3), Cluster(s1, s2, s3):
        await s1.send("S2", "a")
    assert len(got) == 1


async def test_leaving_after_an_exception_waits_for_nothing_and_raises_it_as_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL)
    s1, s2 = quick("S1", drain_timeout=60), quick("S2", drain_timeout=60)
    Gate(s2)
    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(5), Cluster(s1, s2):
            assert (await s1.send("S2", "a")).seq / 0
    assert [s1.is_running, s2.is_running] == [False, False]
