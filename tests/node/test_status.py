"""`status()`: JSON-able, bounded, and enough to tell why something waits."""

from __future__ import annotations

import json

from causal import Message
from causal.node.status import LISTED_MAX
from causal.testing.cluster import Cluster
from tests.node.support import Collector, Gate, quick, until


async def test_status_tells_what_is_held_for_which_dot_of_whom_and_since_when() -> None:
    s1, s2, s3 = quick("S1"), quick("S2"), quick("S3")
    Collector(s3)

    @s2.on("a")
    async def forward(message: Message) -> None:
        await s2.send("S3", "b")

    async with Cluster(s1, s2, s3) as cluster:
        await s1.settled(await s1.send("S3", "hello"), timeout=5)
        cluster.cut("S1", "S3")
        dot = await s1.send(["S2", "S3"], "a")
        await until(lambda: s3.status()["held_total"] == 1)
        await until(lambda: s3.status()["held"][0]["since_s"] > 0.002)
        status = json.loads(json.dumps(s3.status()))
        (held,) = status["held"]
        assert held.pop("since_s") < 5
        assert held == {
            "id": f"S2/{s2.incarnation}/1", "from": "S2", "subject": "b",
            "waits_for": str(dot), "owner": "S1", "stage": "not received",
            "hint": "start S1; if it stays away: node.evict('S1')",
        }  # fmt: skip
        assert (status["name"], status["incarnation"], status["address"]) == ("S3", s3.incarnation, "S3:1")
        sender = json.loads(json.dumps(s1.status()))
        (unsettled,) = sender["unsettled"]
        assert (unsettled["id"], unsettled["subject"], unsettled["at"]) == (str(dot), "a", ["S3"])
        link = sender["links"]["out"]["S3"]
        await until(lambda: s1.status()["links"]["out"]["S3"]["attempts"] > 0)
        assert (link["unsettled"], link["queued"], link["in_flight"]) == (1, 1, 0)
        assert s1.status()["links"]["out"]["S3"]["state"] == "connecting"
        assert s1.status()["links"]["out"]["S3"]["hint"] == "start S3; if it stays away: node.give_up('S3')"
        assert "is cut" in s1.status()["links"]["out"]["S3"]["error"]
        cluster.heal("S1", "S3")
        await cluster.settled()
        await until(lambda: s1.status()["links"]["out"]["S3"]["error"] is None)
        assert s1.status()["links"]["out"]["S3"]["state"] == "open"
        assert s3.status()["counters"] == {
            "sent": 0, "received": 3, "delivered": 3, "settled": 3, "held": 1, "lost": 0, "unsure": 0,
            "retried": 0, "dead_lettered": 0, "duplicates": 0, "conflicts": 0,
            "given_up": 0,
        }  # fmt: skip


async def test_status_lists_are_cut_and_totals_are_not() -> None:
    s1, s2 = quick("S1", drain_timeout=0), quick("S2", drain_timeout=0)
    gate = Gate(s2)
    async with Cluster(s1, s2) as cluster:
        for number in range(LISTED_MAX + 5):
            await s1.send("S2", "a", number)
        await until(lambda: gate.entered and s2.status()["held_total"] == LISTED_MAX + 4)
        assert len(s2.status()["held"]) == len(s1.status()["unsettled"]) == LISTED_MAX
        assert s1.status()["unsettled_total"] == LISTED_MAX + 5
        assert [running["id"] for running in s2.status()["running"]] == [f"S1/{s1.incarnation}/1"]
        gate.open.set()
        await cluster.settled()
        assert s1.status()["stamps"]["copies"] == LISTED_MAX + 5
        assert s1.status()["stamps"]["bytes"] > 0


async def test_status_at_rest_is_empty_and_contexts_are_empty_too() -> None:
    s1, s2, s3 = quick("S1"), quick("S2"), quick("S3")
    Collector(s3)

    @s2.on("a")
    async def forward(message: Message) -> None:
        await s2.send(["S3", "S1"], "b")

    Collector(s1)
    async with Cluster(s1, s2, s3) as cluster:
        for _ in range(20):
            await s1.send(["S2", "S3"], "a")
        await cluster.settled()
        await until(lambda: not any(node.status()["context"] for node in (s1, s2, s3)), "every context to be empty")
        for node in (s1, s2, s3):
            status = node.status()
            assert [status[f"{what}_total"] for what in ("held", "ready", "running", "retrying", "unsettled")] == [
                0
            ] * 5
            assert node.idle


async def test_status_shows_what_the_bound_costs_and_names_the_link_that_a_horizon_waits_for() -> None:
    s1, s2, s3 = (quick(name, dependencies_max=0) for name in ("S1", "S2", "S3"))
    got = Collector(s3)

    @s2.on("a")
    async def forward(message: Message) -> None:
        await s2.send("S3", "b")

    async with Cluster(s1, s2, s3) as cluster:
        await s1.settled(await s1.send(["S2", "S3"], "hello"), timeout=5)
        cluster.cut("S1", "S3")
        await s1.send(["S2", "S3"], "a")
        await until(lambda: s3.status()["held_total"] == 1)
        (held,) = json.loads(json.dumps(s3.status()))["held"]
        assert (held["subject"], held["owner"], held["stage"]) == ("b", "S1", "the link is down")
        assert held["waits_for"] == f"the link from S1/{s1.incarnation}"
        bounded = json.loads(json.dumps(s3.status()))["bounded"]
        assert (bounded["dependencies_max"], bounded["waiting"]) == (0, 1)
        assert not s3.idle, "something is held"
        assert bounded["waits"] >= 1
        assert bounded["questions"] >= 1
        assert s2.status()["bounded"]["horizon_age_s"] is not None
        cluster.heal("S1", "S3")
        await cluster.settled()
        assert s3.status()["bounded"]["waiting"] == 0
        assert abs(s3.status()["links"]["in"][f"S1/{s1.incarnation}"]["skew_ms"]) < 500
        assert cluster.check().violation_count == 0
    assert [message.subject for message in got.messages][-2:] == ["a", "b"]
    assert all(message.verdict.ordered for message in got.messages)


async def test_status_lists_of_a_context_what_fits_however_many_keys_wait() -> None:
    s1 = quick("S1", scope="context", drain_timeout=0.01)
    s2 = quick("S2")
    async with Cluster(s1, s2) as cluster:
        cluster.cut("S1", "S2")
        for number in range(LISTED_MAX + 5):
            await s1.send("S2", "a", key=str(number))
        assert len(s1.status()["context"]["S2"]) == LISTED_MAX
        cluster.heal("S1", "S2")
        await cluster.settled()
