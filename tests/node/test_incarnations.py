"""Restarts without a store: new incarnations, what they lose, and what heals."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses

import pytest

from causal import Message, TransportError
from causal.ordering.frames import Refusal, RefusalCode, Welcome
from causal.ordering.verdict import VerdictKind
from causal.testing.cluster import Cluster
from causal.transport.base import Accept, Connection
from causal.transport.memory import MemoryListener, MemoryTransport
from tests.node.support import Collector, Gate, RawSender, lines, quick, turns, until


async def test_receiver_that_restarts_gets_its_unsettled_again_and_nothing_twice() -> None:
    s1, s2 = quick("S1"), quick("S2")
    gate = Gate(s2, "stuck")
    got = Collector(s2, "a")
    async with Cluster(s1, s2) as cluster:
        for number in range(5):
            await s1.send("S2", "a", number)
        await s1.settled(timeout=5)
        await s1.send("S2", "stuck")
        for number in range(5, 8):
            await s1.send("S2", "a", number)
        await until(lambda: gate.entered and s2.status()["held_total"] == 3)
        before = s2.incarnation
        gate.open.set()  # for the next run; this one is killed before it can go on
        await cluster.restart("S2")
        assert s2.incarnation > before
        await cluster.settled()
        report = cluster.check()
    assert got.bodies == list(range(8))
    assert (report.doubled_count, report.unsettled_count) == (0, 0)


async def test_sender_that_restarts_loses_what_never_got_across_and_the_verdict_names_it() -> None:
    s1, s2, s3 = quick("S1"), quick("S2"), quick("S3")
    got = Collector(s3)

    @s2.on("a")
    async def forward(message: Message) -> None:
        await s2.send("S3", "b")

    async with Cluster(s1, s2, s3) as cluster:
        cluster.cut("S1", "S3")
        lost = await s1.send(["S2", "S3"], "a")
        await until(lambda: s3.status()["held_total"] == 1, "b to be held")
        held = s3.status()["held"][0]
        assert (held["waits_for"], held["stage"]) == (str(lost), "not received, and no link from its sender yet")
        cluster.heal("S1", "S3")
        await cluster.restart("S1")
        await cluster.settled()
        assert [(m.subject, m.verdict.kind, m.verdict.missing) for m in got.messages] == [
            ("b", VerdictKind.LOST, (lost,))
        ]
        traced = next(e for e in lines(cluster, "S3") if e.event == "deliver")
        assert (traced.verdict, traced.missing) == ("lost", (str(lost),))
        assert s3.status()["counters"]["lost"] == 1
        report = cluster.check()
        assert (report.excused_count, report.unsettled_count) == (1, 1)


async def test_sender_that_restarts_starts_anew_and_blocks_nobody() -> None:
    s1, s2 = quick("S1"), quick("S2")
    got = Collector(s2)
    async with Cluster(s1, s2) as cluster:
        for run in range(4):
            await s1.settled(await s1.send("S2", "a", run), timeout=5)
            await cluster.restart("S1")
        assert (await s1.send("S2", "a", 4)).seq == 1
        await cluster.settled()
        assert s2.status()["incarnations"] == {"S1": s1.incarnation, "S2": s2.incarnation}
        cluster.check()
    assert got.bodies == [0, 1, 2, 3, 4]
    assert len({message.id.incarnation for message in got.messages}) == 5


@pytest.mark.parametrize("moment", [0, 1, 2, 5, 10])
async def test_b10_frames_of_an_older_incarnation_are_ignored(moment: int) -> None:
    s1 = quick("S1")
    got = Collector(s1)
    async with Cluster(s1) as cluster:
        old, new = RawSender(cluster, incarnation=5), RawSender(cluster, incarnation=6)
        await old.greet("S1")
        for seq in range(1, 50):
            await old.say(old.copy(seq), base=seq == 1)
        await turns(moment)  # some of the old frames are in, the others lie ready to be read
        assert isinstance(await new.greet("S1"), Welcome)
        await new.say(new.copy(1), base=True)
        await until(lambda: any(message.id.incarnation == 6 for message in got.messages))
        while await old.hear() is not None:
            """What was reported before the end."""
        with pytest.raises(TransportError):
            await old.say(old.copy(50))
        received = [e.id.split("/")[1] for e in lines(cluster, "S1") if e.event == "receive"]
        assert received == sorted(received)
        assert received.count("5") < 49
        again = RawSender(cluster, incarnation=5)
        answer = await again.greet("S1")
        assert isinstance(answer, Refusal)
        assert answer.code is RefusalCode.STALE_INCARNATION
        assert "incarnation 6, later than 5" in answer.detail


@pytest.mark.parametrize("moment", [0, 1, 2, 5, 10])
async def test_newer_stream_of_one_sender_replaces_the_older_whatever_is_on_it(moment: int) -> None:
    """Frames of the replaced stream that are already here must not be fed beside those of the new one."""
    s1 = quick("S1")
    got = Collector(s1)
    async with Cluster(s1) as cluster:
        first = RawSender(cluster)
        await first.greet("S1")
        await first.say(first.copy(1), base=True)
        for seq in range(2, 20):
            await first.say(first.copy(seq))
        await turns(moment)
        second = RawSender(cluster)
        welcome = await second.greet("S1")
        assert isinstance(welcome, Welcome)
        for seq in range(welcome.received_to + 1, 25):
            await second.say(second.copy(seq), base=seq == 1)
        await until(lambda: len(got) == 24)
        assert s1.status()["counters"]["duplicates"] == 0
        assert list(s1.status()["links"]["in"]) == ["P/5"]
    assert got.bodies == list(range(1, 25))


class ReadingAhead:
    """A connection that has read more than was asked for, and still has it after its close, as gRPC may."""

    def __init__(self, inner: Connection) -> None:
        self.inner = inner
        self.frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        with contextlib.suppress(TransportError):
            while (frame := await self.inner.receive()) is not None:
                self.frames.put_nowait(frame)
        self.frames.put_nowait(None)

    @property
    def at_hand(self) -> bool:
        return not self.frames.empty()

    async def receive(self) -> bytes | None:
        return await self.frames.get()

    async def send(self, frame: bytes) -> None:
        await self.inner.send(frame)

    async def close(self) -> None:
        await self.inner.close()


class ReadingAheadTransport(MemoryTransport):
    async def listen(self, address: str, accept: Accept) -> MemoryListener:
        return await super().listen(address, lambda connection: accept(ReadingAhead(connection)))


async def test_frames_of_a_replaced_stream_that_were_read_ahead_are_not_fed() -> None:
    s1 = quick("S1")
    got = Collector(s1)
    cluster = Cluster(s1)
    s1.join(ReadingAheadTransport(cluster._network, "S1"), cluster._configs["S1"], cluster.trace)
    async with cluster:
        old, new = RawSender(cluster), RawSender(cluster)
        await old.greet("S1")
        for seq in range(1, 100):
            await old.say(old.copy(seq), base=seq == 1)
        await until(lambda: len(got))
        welcome = await new.greet("S1")
        assert isinstance(welcome, Welcome)
        assert welcome.received_to < 99
        await turns(200)  # whatever the old stream still had would have come in
        assert len(got) == welcome.received_to
        for seq in range(welcome.received_to + 1, 100):
            await new.say(new.copy(seq))
        await until(lambda: len(got) == 99)
        assert s1.status()["counters"]["duplicates"] == 0


async def test_e2_node_whose_clock_went_back_over_a_restart_takes_the_next_higher_incarnation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    s1, s2 = quick("S1"), quick("S2")
    got = Collector(s2)
    async with Cluster(s1, s2) as cluster:
        await s1.settled(await s1.send("S2", "a", 1), timeout=5)
        former = s1.incarnation
        monkeypatch.setattr("causal.node.incarnations._last", {})
        monkeypatch.setattr("causal.node.incarnations.now_ms", lambda: 1000)
        cluster.cut("S1", "S2")
        await cluster.restart("S1")
        assert s1.incarnation == 1000
        dots = [await s1.send("S2", "a", number) for number in (2, 3)]  # stamped before anybody refused
        waiting = asyncio.create_task(s1.settled(*dots))
        await turns()
        cluster.heal("S1", "S2")
        await asyncio.wait_for(waiting, 5)
        assert s1.incarnation == former + 1
        await s1.settled(*dots)  # the dots already returned still work
        assert (await s1.send("S2", "a", 4)).incarnation == former + 1
        await cluster.settled()
        assert cluster.check().violation_count == 0
    assert got.bodies == [1, 2, 3, 4]
    assert [message.id.incarnation for message in got.messages] == [former, former + 1, former + 1, former + 1]


async def test_e2_node_that_has_been_accepted_elsewhere_stays_refused_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its dots are out, so they cannot be renamed: only a restart can help, and the status says what is wrong."""
    s1, s2, s3 = quick("S1", drain_timeout=0.01), quick("S2"), quick("S3")
    got = Collector(s3)
    Collector(s2)
    async with Cluster(s1, s2, s3) as cluster:
        await s1.settled(await s1.send("S2", "a"), timeout=5)
        monkeypatch.setattr("causal.node.incarnations._last", {})
        monkeypatch.setattr("causal.node.incarnations.now_ms", lambda: 1000)
        cluster.cut("S1", "S2")
        await cluster.restart("S1")
        # S3 may know the earlier run as well, in which case nobody has accepted this one: make it forget.
        await cluster.restart("S3")
        await s1.settled(await s1.send("S3", "a"), timeout=5)
        cluster.heal("S1", "S2")
        await until(lambda: "stale_incarnation" in str(s1.status()["links"]["out"]["S2"]["error"]))
        assert "S1 has been here as incarnation" in s1.status()["links"]["out"]["S2"]["error"]
        await s1.settled(await s1.send("S3", "a"), timeout=5)  # others are not affected
    assert len(got) == 2


async def test_own_name_is_refused_with_the_reason_in_status_and_log(caplog: pytest.LogCaptureFixture) -> None:
    s1 = quick("S1")
    async with Cluster(s1) as cluster:
        twin = RawSender(cluster, "S1")
        answer = await twin.greet("S1")
        assert isinstance(answer, Refusal)
        assert answer.code is RefusalCode.OWN_NAME
        assert f"this node is S1/{s1.incarnation}" in s1.status()["links"]["in"]["S1"]["error"]
    assert "link from S1: own_name" in caplog.text


async def test_wrong_receiver_is_refused_with_a_clear_error_in_the_log_and_the_status(
    caplog: pytest.LogCaptureFixture,
) -> None:
    s1, s2, s3 = (quick(name, drain_timeout=0) for name in ("S1", "S2", "S3"))
    cluster = Cluster(s1, s2, s3)
    crossed = dataclasses.replace(cluster._configs["S1"], peers={"S2": "S3:1", "S3": "S3:1"})
    s1.join(cluster._network.transport("S1"), crossed, cluster.trace)
    async with cluster:
        await s1.send("S2", "a")
        await until(lambda: "this node is S3, not S2" in str(s1.status()["links"]["out"]["S2"]["error"]))
        await until(lambda: s1.status()["links"]["out"]["S2"]["attempts"] > 5)
        assert s1.status()["links"]["out"]["S3"]["state"] == "open"
        assert "this node is S3, not S2" in s3.status()["links"]["in"]["S1"]["error"]
    told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len([text for text in told if text.startswith("link to S2 at S3:1: wrong_receiver")]) == 1  # not a flood


async def test_incarnations_of_two_starts_within_a_millisecond_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("causal.node.incarnations.now_ms", lambda: 10**13)
    s1 = quick("S1")
    async with Cluster(s1) as cluster:
        first = s1.incarnation
        await cluster.restart("S1")
        assert s1.incarnation == first + 1
