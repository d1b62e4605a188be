"""A node that leaves in good order lets its peers know that everything of it is settled, and waits no longer."""

from __future__ import annotations

import asyncio

import pytest

from causal.node import draining
from causal.testing.cluster import Cluster
from tests.node.support import Collector, quick, until


async def test_leaving_tells_peers_that_all_is_settled_so_that_no_dot_of_it_stays_in_their_contexts() -> None:
    s1, s2, s3 = (quick(name) for name in ("S1", "S2", "S3"))
    got = [Collector(s2), Collector(s3)]
    cluster = Cluster(s1, s2, s3)
    async with s2, s3:
        async with s1:
            await s1.send(["S2", "S3"], "a")
        assert [len(collector) for collector in got] == [1, 1]
        # Nobody else could tell them, and they would not ask for a minute.
        await until(lambda: s2.status()["context"] == s3.status()["context"] == {})
    assert cluster.check().proved


async def test_leaving_does_not_wait_long_for_a_peer_that_does_not_take_it_in(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(draining, "FAREWELL_SECONDS", 0.02)
    s1, s2 = quick("S1", heartbeat_interval=1.0), quick("S2")
    got = Collector(s2)
    cluster = Cluster(s1, s2)
    async with s2, asyncio.timeout(5), s1:
        await s1.settled(await s1.send("S2", "a"))
        cluster.delay("S1", "S2", 60.0)
    assert len(got) == 1
    assert caplog.text == ""
