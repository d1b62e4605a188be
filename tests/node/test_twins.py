"""Two processes with one name (faults B6, C6): one works, the other is told, and nobody loses anything unawares."""

from __future__ import annotations

from typing import Any

import pytest

from causal import Node
from causal.observe.trace import MemoryTrace, Trace
from causal.testing.cluster import Cluster
from tests.node.support import Collector, out, quick, until


def twin_of(cluster: Cluster, trace: Trace | None = None, **settings: Any) -> Node:
    """Another process with the name S1, on another machine of the same network. Its dots may be those of the first:
    then it needs a trace of its own."""
    twin = quick("S1", peers=cluster._configs["S1"].peers, **settings)
    twin.join(cluster._network.transport("S1"), twin.config, trace or cluster.trace)
    return twin


async def test_b6_c6_earlier_of_two_processes_with_one_name_is_refused_and_says_which_one_runs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The later start takes over at the peers. Nobody flaps, and what each had accepted is handled once."""
    s1, s2 = quick("S1", drain_timeout=0), quick("S2", drain_timeout=0)
    got = Collector(s2)
    async with Cluster(s1, s2) as cluster:
        await s1.settled(await s1.send("S2", "a", "first"), timeout=5)
        twin = twin_of(cluster, drain_timeout=1.0)
        async with twin:
            await twin.settled(await twin.send("S2", "a", "twin"), timeout=5)
            await until(lambda: out(s1, "S2")["attempts"] > 5, "attempts that are all refused")
            error = out(s1, "S2")["error"]
            assert "another process has the name S1" in error
            assert f"as incarnation {twin.incarnation}, later than {s1.incarnation}" in error
            assert error.removeprefix("stale_incarnation: ") in s2.status()["links"]["in"]["S1"]["error"]
            await s1.send("S2", "a", "never")
            await twin.settled(await twin.send("S2", "a", "twin again"), timeout=5)
            assert out(twin, "S2")["attempts"] == 0
            assert out(s1, "S2")["state"] == "connecting"
        await until(lambda: "has been here" in out(s1, "S2")["error"])  # accepted once, it cannot take another
        assert cluster.check().violation_count == 0
    said = [
        record.getMessage() for record in caplog.records if "another process has the name S1" in record.getMessage()
    ]
    assert [text.split(":")[0] for text in said].count("link from S1") == 1
    assert len(said) == 2  # once at each end, however many attempts
    assert got.bodies == ["first", "twin", "twin again"]


async def test_b6_refusal_that_a_cut_cable_interrupts_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    s1, s2 = quick("S1", drain_timeout=0), quick("S2")
    Collector(s2)

    def refused() -> bool:
        return "another process" in str(out(s1, "S2")["error"])

    async with Cluster(s1, s2) as cluster:
        await s1.settled(await s1.send("S2", "a", "first"), timeout=5)
        twin = twin_of(cluster)
        async with twin:
            twin._transport.name = "the twin"  # type: ignore[union-attr]  # its way to S2 is not cut
            await twin.settled(await twin.send("S2", "a", "twin"), timeout=5)
            await until(refused)
            cluster.cut("S1", "S2")
            await until(lambda: not refused())
            cluster.heal("S1", "S2")
            await until(refused)
    assert ["another process" in text for text in errors_of(caplog) if text.startswith("link to S2")] == [True]


async def test_b6_process_that_nobody_accepted_drives_no_living_twin_out_and_takes_over_after_it() -> None:
    s1, s2 = quick("S1"), quick("S2")
    got = Collector(s2)
    async with Cluster(s1, s2) as cluster:
        cluster.cut("S1", "S2")
        await s1.send("S2", "a", "waits")
        later = twin_of(cluster)
        async with later:
            later._transport.name = "the twin"  # type: ignore[union-attr]  # its way to S2 is not cut
            await later.settled(await later.send("S2", "a", "twin"), timeout=5)
            former = s1.incarnation
            cluster.heal("S1", "S2")
            await until(lambda: out(s1, "S2")["attempts"] > 5 and "another process" in str(out(s1, "S2")["error"]))
            assert s1.incarnation == former < later.incarnation
            await later.settled(await later.send("S2", "a", "twin again"), timeout=5)
        await s1.settled(timeout=5)
        assert s1.incarnation > later._core.me.incarnation  # type: ignore[union-attr]
        cluster.check()
    assert got.bodies == ["twin", "twin again", "waits"]


@pytest.fixture
def same_millisecond(monkeypatch: pytest.MonkeyPatch) -> None:
    """All nodes start at one moment, as two processes may; within a process starts are told apart."""
    monkeypatch.setattr("causal.node.incarnations.new_incarnation", lambda name: 1_764_000_000_000)


def errors_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.usefixtures("same_millisecond")
async def test_b6_c6_process_that_starts_in_the_same_millisecond_is_refused_and_the_first_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    s1, s2 = quick("S1"), quick("S2")
    got = Collector(s2)
    async with Cluster(s1, s2) as cluster:
        await s1.settled(await s1.send("S2", "a", "first"), timeout=5)
        twin = twin_of(cluster, MemoryTrace(), drain_timeout=0)
        async with twin:
            assert twin.incarnation == s1.incarnation
            dot = await twin.send("S2", "a", "never")
            await until(lambda: out(twin, "S2")["attempts"] > 10, "attempts that are all refused")
            error = out(twin, "S2")["error"]
            assert error.startswith("name_taken: another process has the name S1, started in the same millisecond")
            assert "stop one of them" in error
            assert error == "name_taken: " + s2.status()["links"]["in"]["S1"]["error"].removeprefix("name_taken: ")
            await s1.settled(await s1.send("S2", "a", "goes on"), timeout=5)
            assert (out(s1, "S2")["attempts"], out(s1, "S2")["error"]) == (0, None)
            assert twin.status()["unsettled"][0]["id"] == str(dot), "it loses nothing unawares"
            with pytest.raises(TimeoutError, match="S2"):
                await twin.settled(dot, timeout=0.01)
        cluster.check()
    told = [text.split(":")[0] for text in errors_of(caplog) if "name_taken" in text]
    assert sorted(told) == ["link from S1", "link to S2 at S2"]  # once at each end, however many attempts
    assert got.bodies == ["first", "goes on"]


@pytest.mark.usefixtures("same_millisecond")
async def test_b6_process_that_was_refused_takes_over_once_the_first_has_been_gone_for_long() -> None:
    s1, s2 = quick("S1"), quick("S2", silence_max=0.2)
    got = Collector(s2)
    cluster = Cluster(s1, s2)
    cluster.cut("S1", "S2")
    cluster.cut("S2", "S1")  # for good: a process that is dialled has the name as well
    async with cluster:
        dot = await s1.send("S2", "a", "waits")
        first = twin_of(cluster, MemoryTrace())
        async with first:
            first._transport.name = "the first"  # type: ignore[union-attr]  # its way to S2 is not cut
            await first.settled(await first.send("S2", "a", "first"), timeout=5)
            cluster.heal("S1", "S2")
            await until(lambda: "name_taken" in str(out(s1, "S2")["error"]))
            (stream,) = s2._inbound.live.values()
            await stream.connection.close()  # it is dialled anew at once, which gives nobody the name
            await until(lambda: s2._inbound.live.get("S1") not in (None, stream), "the first to be back")
            attempts = out(s1, "S2")["attempts"]
            await until(lambda: out(s1, "S2")["attempts"] > attempts + 5)
            await first.settled(await first.send("S2", "a", "first again"), timeout=5)
            assert s1.incarnation == first.incarnation
        await s1.settled(dot, timeout=5)
        assert s1.incarnation == s2.incarnation + 1
    assert got.bodies == ["first", "first again", "waits"]


@pytest.mark.usefixtures("same_millisecond")
async def test_b6_receiver_that_another_process_has_taken_the_address_of_is_not_believed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    s1, s2 = quick("S1", drain_timeout=0), quick("S2")
    got = Collector(s2)
    async with Cluster(s1, s2) as cluster:
        await s1.settled(await s1.send("S2", "a", 1), timeout=5)
        network = cluster._network
        twin = quick("S2")
        got_by_twin = Collector(twin)
        twin.join(network.transport("S2"), Node("S2", listen="127.0.0.1:2").config, cluster.trace)
        async with twin:
            address = next(at for at, listener in network._listeners.items() if listener.name == "S2")
            listeners = network._listeners
            mine = listeners[address]
            listeners[address] = listeners["127.0.0.1:2"]
            with cluster.cut("S1", "S2"):
                dot = await s1.send("S2", "a", 2)
            await until(lambda: "two processes have the name S2" in str(out(s1, "S2")["error"]))
            await until(lambda: out(s1, "S2")["attempts"] > 5)
            assert s1.status()["unsettled"][0]["id"] == str(dot)
            listeners[address] = mine
            await s1.settled(dot, timeout=5)
        cluster.check()
    assert (got.bodies, got_by_twin.bodies) == ([1, 2], [])
    assert len([text for text in errors_of(caplog) if "two processes have the name S2" in text]) == 1
