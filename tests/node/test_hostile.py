"""What strangers, broken peers and wrong clocks do to a node: a typed refusal, and nobody else is affected."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from datetime import UTC, datetime, timedelta

import pytest

from causal.node.core import now_ms
from causal.node.inbound import ERRORS_MAX
from causal.ordering.dot import NodeId
from causal.ordering.frames import Hello, Refusal, RefusalCode, Welcome
from causal.testing.cluster import Cluster
from causal.transport.base import Connection
from causal.wire.codec import SenderEncoder
from causal.wire.v1 import frames_pb2 as pb
from tests.node.support import Collector, Gate, RawSender, lines, out, quick, turns, until


async def answers_others(cluster: Cluster) -> None:
    """The nodes S1 and S2 of this cluster still talk."""
    s1 = cluster.nodes["S1"]
    await s1.settled(await s1.send("S2", "alive"), timeout=5)


async def test_garbage_in_place_of_hello_is_refused_and_others_are_not_affected(
    caplog: pytest.LogCaptureFixture,
) -> None:
    s1, s2 = quick("S1"), quick("S2")
    Collector(s2)
    async with Cluster(s1, s2) as cluster:
        for garbage in (b"", b"\xff" * 100, b"GET / HTTP/1.1\r\n\r\n"):
            stranger = RawSender(cluster)
            stranger.connection = await stranger.transport.dial("S2:1")
            await stranger.connection.send(garbage)
            answer = await stranger.hear()
            assert isinstance(answer, Refusal)
            assert answer.code is RefusalCode.PROTOCOL
            assert await stranger.hear() is None
        await answers_others(cluster)
    assert caplog.text.count("inbound stream refused") == 3


@pytest.mark.parametrize("name", ["evil\nname", "", "a/b", "x" * 129, "nul\0"])
async def test_f4_name_that_cannot_be_carried_is_refused_and_forges_no_log_line(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Also G13: no part of it stands on a line of its own."""
    s1, s2 = quick("S1"), quick("S2")
    Collector(s2)
    async with Cluster(s1, s2) as cluster:
        stranger = RawSender(cluster)
        stranger.connection = await stranger.transport.dial("S2:1")
        hello = pb.Hello(version=1, sender=pb.Origin(index=0, name=name, incarnation=1), receiver="S2")
        await stranger.connection.send(pb.SenderToReceiver(hello=hello).SerializeToString())
        answer = await stranger.hear()
        assert isinstance(answer, Refusal)
        assert answer.code is RefusalCode.PROTOCOL
        assert "\n" not in answer.detail
        await answers_others(cluster)
    assert all("\n" not in record.getMessage() for record in caplog.records)


async def test_f3_unknown_version_is_refused_as_such() -> None:
    s2 = quick("S2")
    async with Cluster(s2) as cluster:
        stranger = RawSender(cluster)
        stranger.connection = await stranger.transport.dial("S2:1")
        hello = pb.Hello(version=99, sender=pb.Origin(index=0, name="P", incarnation=1), receiver="S2")
        await stranger.connection.send(pb.SenderToReceiver(hello=hello).SerializeToString())
        answer = await stranger.hear()
        assert isinstance(answer, Refusal)
        assert answer.code is RefusalCode.VERSION


async def test_hostile_stamp_is_refused_nothing_of_its_frame_is_stored_and_others_are_not_affected(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A13 and G4: a message that depends on itself, and one that counts what this node never sent."""
    s1, s2 = quick("S1"), quick("S2")
    got = Collector(s2)
    async with Cluster(s1, s2) as cluster:
        for after in ({NodeId("P", 5): 2}, {NodeId("S2", s2.incarnation): 2**62 % 2**53}):
            sender = RawSender(cluster)
            await sender.greet("S2")
            await sender.say(sender.copy(1), sender.copy(2, after=after), base=True)
            answer = await sender.hear()
            assert isinstance(answer, Refusal)
            assert answer.code is RefusalCode.PROTOCOL
            assert s2.status()["links"]["in"]["P"]["error"] == answer.detail
        await answers_others(cluster)
        assert not [e for e in lines(cluster, "S2") if e.sender == "P"]
    assert [message.sender for message in got.messages] == ["S1"]
    assert "link from P" in caplog.text


async def test_refused_names_do_not_fill_the_memory(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    s2 = quick("S2")
    async with Cluster(s2) as cluster:
        for number in range(ERRORS_MAX + 20):
            await RawSender(cluster, f"P{number}").greet("S2", receiver="S9")
        assert len(s2.status()["links"]["in"]) == ERRORS_MAX
        assert f"P{ERRORS_MAX + 19}" in s2.status()["links"]["in"]


async def test_refusal_to_a_sender_that_does_not_read_ends_the_stream(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    monkeypatch.setattr("causal.node.inbound.HANDSHAKE_SECONDS", 0.01)
    monkeypatch.setattr("causal.transport.memory.BUFFER_FRAMES", 3)
    s2 = quick("S2")
    async with Cluster(s2) as cluster:
        sender = RawSender(cluster)
        await sender.greet("S2")
        connection = sender.connection
        await until(lambda: s2._inbound.live["P"].writing, "a heartbeat that finds no room, as a refusal would")
        await sender.say(sender.copy(2)._replace(seq=1), base=True)
        await until(lambda: not connection.is_open, "the stream to end")
        assert s2.status()["links"]["in"]["P/5"]["state"] == "closed"


async def test_stream_without_hello_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """G10 in small: an idle connection costs nothing for long."""
    monkeypatch.setattr("causal.node.inbound.HANDSHAKE_SECONDS", 0.005)
    s2 = quick("S2")
    async with Cluster(s2) as cluster:
        idle = [await cluster._network.transport("P").dial("S2:1") for _ in range(20)]
        await until(lambda: not any(connection.is_open for connection in idle))


async def test_silent_peer_is_hung_up_on_and_dialled_again() -> None:
    s1, s2 = quick("S1", silence_max=0.01, drain_timeout=0), quick("S2", drain_timeout=0)
    Collector(s2)
    async with Cluster(s1, s2) as cluster:
        await answers_others(cluster)
        cluster.delay("S1", "S2", 0.2)  # longer than the silence that is borne
        await until(lambda: "nothing heard from S2" in str(out(s1, "S2")["error"]))
        cluster.delay("S1", "S2", 0.0)
        await answers_others(cluster)


async def test_e4_message_from_a_clock_far_ahead_is_refused_and_nothing_is_merged() -> None:
    s1 = quick("S1")
    got = Collector(s1)
    async with Cluster(s1) as cluster:
        sender = RawSender(cluster)
        await sender.greet("S1")
        core = s1._core
        assert core is not None
        await sender.say(sender.copy(1), sender.copy(2, ahead_ms=365 * 86_400_000), base=True)
        answer = await sender.hear()
        assert isinstance(answer, Refusal)
        assert answer.code is RefusalCode.CLOCK_DRIFT
        assert not lines(cluster, "S1")
        assert not core.engine.settlement.accepted
        dot = await s1.send("S1", "own")
        await cluster.settled()
        assert got.messages[0].id == dot
        assert got.messages[0].sent_at < datetime.now(UTC) + timedelta(minutes=1)  # not a year ahead
        again = RawSender(cluster)
        assert isinstance(await again.greet("S1"), Welcome)  # one behind is welcome, and so is a mended one
        await again.say(again.copy(1, ahead_ms=-86_400_000), base=True)
        await until(lambda: len(got) == 2)


async def test_drifting_clock_stalls_the_link_with_an_alarm_and_backoff_and_heals_when_clocks_agree(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    s1, s2, s3 = quick("S1"), quick("S2"), quick("S3")
    got = Collector(s2)
    async with Cluster(s1, s2, s3) as cluster:
        # S1 stamps an hour ahead; S2 and S3 receive by the true clock.
        monkeypatch.setattr("causal.node.core.now_ms", lambda: now_ms() + 3_600_000)
        dot = await s1.send("S2", "a", "from the future")
        await until(
            lambda: "clock_drift" in str(out(s1, "S2")["error"]) and out(s1, "S2")["attempts"] > 8,
            "attempts that back off",
        )
        assert "synchronise the clocks" in out(s1, "S2")["error"]
        assert "synchronise the clocks" in s2.status()["links"]["in"]["S1"]["error"]
        assert s1.status()["unsettled"][0]["id"] == str(dot)
        assert not got.messages
        assert not [e for e in lines(cluster, "S2") if e.sender == "S1"]
        alarms = [r.getMessage() for r in caplog.records if "clock_drift" in r.getMessage()]
        assert len([alarm for alarm in alarms if "link to S2" in alarm]) == 1  # said once, not at each attempt
        monkeypatch.setattr("causal.node.inbound.now_ms", lambda: now_ms() + 3_600_000)  # the other clocks are mended
        await s1.settled(dot, timeout=5)
        await until(lambda: out(s1, "S2")["error"] is None)
        assert s2.status()["links"]["in"].keys() == {str(s1._core.me), str(s3._core.me)}  # type: ignore[union-attr]
        await cluster.settled()
    assert got.bodies == ["from the future"]


async def test_sender_past_its_credit_is_refused() -> None:
    s1 = quick("S1", window_messages=3, drain_timeout=0)
    Gate(s1)
    async with Cluster(s1) as cluster:
        sender = RawSender(cluster)
        welcome = await sender.greet("S1")
        assert isinstance(welcome, Welcome)
        assert welcome.window_messages == 3
        await sender.say(*(sender.copy(seq) for seq in range(1, 5)), base=True)
        answer = await sender.hear()
        assert isinstance(answer, Refusal)
        assert "exceeds its credit" in answer.detail


async def test_payload_that_is_not_of_this_library_is_dead_lettered() -> None:
    s1 = quick("S1")
    got = Collector(s1)
    async with Cluster(s1) as cluster:
        sender = RawSender(cluster)
        await sender.greet("S1")
        bad = (b"", b"\xc1", b"\x92\xc0\x80", b"\x92\xc0\x80\x01\x02", b"\x92\xc0\x81\x01\x02\x05", b"\x92\x05\x80\x01")
        await sender.say(
            *(sender.copy(seq)._replace(payload=payload) for seq, payload in enumerate(bad, start=1)),
            sender.copy(len(bad) + 1),
            base=True,
        )
        await until(lambda: len(got) == 1)
        assert s1.dead_letters.total == len(bad)
        assert {letter.message for letter in s1.dead_letters} == {None}
        assert all("payload is not MessagePack" in letter.reason for letter in s1.dead_letters)


async def test_peer_that_answers_nonsense_is_retried_for_ever_with_the_error_in_the_status(
    caplog: pytest.LogCaptureFixture,
) -> None:
    s1 = quick("S1", drain_timeout=0)
    cluster = Cluster(s1)
    config = dataclasses.replace(cluster._configs["S1"], peers={"S2": "S2:1"})
    s1.join(cluster._network.transport("S1"), config, cluster.trace)
    answers = [b"\xff\xff", SenderEncoder().encode(Hello(sender=NodeId("P", 1), receiver="S1")), None]

    async def accept(connection: Connection) -> None:
        await connection.receive()
        if answers and (answer := answers.pop(0)) is not None:
            await connection.send(answer)

    fake = cluster._network.transport("S2")
    await fake.listen("S2:1", accept)
    async with cluster:
        await until(lambda: not answers and "hung up" in str(out(s1, "S2")["error"]))
        await until(lambda: out(s1, "S2")["attempts"] > 5)
        assert out(s1, "S2")["state"] == "connecting"
    await fake.close()
    assert "link to S2 at S2:1" in caplog.text
    await turns()
    assert not [task for task in asyncio.all_tasks() if "serve at" in task.get_name()]
