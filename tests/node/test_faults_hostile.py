"""Floods and poison: a typed refusal, a bounded cost, and nobody else is affected."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgpack
import pytest

from causal import BodyError, TransportError
from causal.errors import ProtocolError
from causal.node import inbound, payload
from causal.node.payload import ELEMENTS_MAX, decode_payload, encode_payload
from causal.ordering.dot import Dot, NodeId
from causal.ordering.frames import Refusal, RefusalCode, Welcome
from causal.ordering.stamp import Copy
from causal.testing.cluster import Cluster
from tests.node.support import Collector, Gate, RawSender, quick, until


async def refusal_of(sender: RawSender) -> Refusal:
    """The refusal that ends a stream; what was said before it does not matter."""
    while not isinstance(answer := await sender.hear(), Refusal):
        assert answer is not None, "the stream ended without a refusal"
    return answer


async def answers_others(cluster: Cluster) -> None:
    s1 = cluster.nodes["S1"]
    await s1.settled(await s1.send("S2", "alive"), timeout=5)


# -- poison ----------------------------------------------------------------------------------------------------

POISON: dict[str, Callable[[RawSender], Copy]] = {
    "g4 after": lambda sender: sender.copy(1, after={NodeId("Q", 1): 2**62}),
    "g4 clock": lambda sender: with_stamp(sender.copy(1), clock={sender.id: 1, NodeId("Q", 1): 2**62}),
    "g5 a century ahead": lambda sender: sender.copy(1, ahead_ms=100 * 365 * 86_400_000),
    "g5 the last there is": lambda sender: with_stamp(sender.copy(1), timestamp=2**64 - 1),
    "g6 after": lambda sender: sender.copy(1, after={NodeId(f"Q{n}", 1): 1 for n in range(10_000)}),
    "g6 elsewhere": lambda sender: with_stamp(
        sender.copy(1), elsewhere={"S9": {NodeId(f"Q{n}", 1): 1 for n in range(10_000)}}
    ),
}


def with_stamp(copy: Copy, **changes: Any) -> Copy:
    return copy._replace(stamp=copy.stamp._replace(**changes))


@pytest.mark.parametrize("kind", POISON)
async def test_g4_g5_g6_poisoned_stamp_is_refused_and_nothing_of_it_reaches_anybody(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    s1, s2 = quick("S1"), quick("S2")
    got = Collector(s2)
    async with Cluster(s1, s2) as cluster:
        sender = RawSender(cluster)
        await sender.greet("S2")
        await sender.say(POISON[kind](sender), base=True)
        refusal = await refusal_of(sender)
        assert refusal.code is (RefusalCode.CLOCK_DRIFT if "g5" in kind else RefusalCode.PROTOCOL)
        await answers_others(cluster)
        await s2.settled(await s2.send("S1", "nobody"), timeout=5)
        context, letter = s2.status()["context"], s1.dead_letters[0].message
        assert "Q" not in str(context)
        assert letter is not None
        assert letter.sent_at < datetime.now(UTC) + timedelta(minutes=1)
        assert letter.clock is not None
        assert set(letter.clock) == {"S1", "S2"}
    assert [message.sender for message in got.messages] == ["S1"]


async def test_g7_body_over_the_limit_is_refused_at_the_send_and_takes_no_place() -> None:
    s1, s2 = quick("S1"), quick("S2")
    Collector(s2)
    async with Cluster(s1, s2) as cluster:
        await answers_others(cluster)
        with pytest.raises(BodyError, match="body_max_bytes"):
            await s1.send("S2", "a", bytes(s1.config.body_max_bytes))
        assert (await s1.send("S2", "a", bytes(1000))).seq == 2
        await cluster.settled()


# -- bodies that grow ------------------------------------------------------------------------------------------

GROWING = {
    "empty maps": b"\xdd" + (4_000_000).to_bytes(4, "big") + b"\x80" * 4_000_000,
    "empty maps in lists": b"\xdd" + (200_000).to_bytes(4, "big") + b"\x91\x80" * 200_000,
    "small maps": b"\xdd" + (100_000).to_bytes(4, "big") + b"\x81\xa1a\x80" * 100_000,
    "more said than there is": b"\xdd\xff\xff\xff\xff" + b"\xc0" * 9000,
    "many in a map": b"\xdf" + (70_000).to_bytes(4, "big") + b"\xcd\x01\x01\xc0" * 70_000,
}


@pytest.mark.parametrize("kind", GROWING)
async def test_g9_body_of_too_many_elements_goes_to_the_dead_letters_before_it_is_decoded(
    kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    monkeypatch.setattr(msgpack, "unpackb", lambda *_, **__: pytest.fail("it was decoded"))
    s2 = quick("S2")
    Collector(s2)
    async with Cluster(s2) as cluster:
        sender = RawSender(cluster)
        await sender.greet("S2")
        await sender.say(sender.copy(1)._replace(payload=msgpack.packb([None, {}]) + GROWING[kind]), base=True)
        await until(lambda: s2.dead_letters.total == 1)
    assert f"more than {ELEMENTS_MAX} elements" in s2.dead_letters[0].reason


def test_g9_body_of_too_many_elements_is_refused_at_the_send() -> None:
    with pytest.raises(BodyError, match=r"^body has more than 131072 elements"):
        encode_payload([{}] * ELEMENTS_MAX, None, None, 2**22)
    largest: list[Any] = [{}] * (ELEMENTS_MAX - 3)  # with the list itself, the head and its headers
    assert decode_payload(encode_payload(largest, None, None, 2**22)).body == largest


@pytest.mark.parametrize("nested", [b"\x91" * 5_000, b"\x81\xa1k" * 5_000, b"\x91" * 100_000])
def test_g9_deeply_nested_body_is_refused_at_both_ends(nested: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_payload(msgpack.packb([None, {}]) + nested + b"\xc0")
    body: Any = None
    for _ in range(5_000):
        body = [body]
    with pytest.raises(BodyError, match="nested more than"):
        encode_payload(body, None, None, 2**22)


@pytest.mark.simulation
def test_g9_elements_are_counted_as_a_slow_walk_counts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every form that MessagePack has, at its shortest and longest, beside and inside each other."""
    sizes = (0, 1, 15, 16, 31, 32, 255, 256, 65_535, 65_536)
    scalars: list[Any] = [None, True, 0.5, 2**31, 2**63, -1, -33, -129, -(2**15) - 1, -(2**31) - 1]
    scalars += [200, 70_000, datetime.now(UTC), datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)]
    scalars += [kind for size in sizes for kind in ("\x7f" * size, b"\xdd" * size)]
    scalars += [msgpack.ExtType(5, b"\x90" * size) for size in (*sizes[1:], 2, 4, 8)]
    containers: list[Any] = [[0] * size for size in sizes] + [{key: [] for key in range(size)} for size in sizes]
    for body in (*([each, [each]] for each in scalars), scalars, *containers, [containers, scalars]):
        count = slow_count(body)
        packed = msgpack.packb(body, datetime=True)
        monkeypatch.setattr(payload, "ELEMENTS_MAX", count - 1)
        assert not payload.has_too_many_elements(packed)
        monkeypatch.setattr(payload, "ELEMENTS_MAX", count - 2)
        assert payload.has_too_many_elements(packed) is (count > 1)


def slow_count(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(slow_count(key) + slow_count(item) for key, item in value.items())
    if isinstance(value, list):
        return 1 + sum(map(slow_count, value))
    return 1


# -- floods ----------------------------------------------------------------------------------------------------


async def test_g10_connections_without_hello_push_out_each_other_and_nobody_else() -> None:
    s1, s2 = quick("S1"), quick("S2")
    Collector(s2)
    async with Cluster(s1, s2) as cluster:
        await answers_others(cluster)
        transport = cluster._network.transport("P")
        idle = [await transport.dial("S2:1") for _ in range(200)]
        await until(lambda: sum(connection.is_open for connection in idle) == inbound.STRANGERS_MAX)
        assert all(connection.is_open for connection in idle[-inbound.STRANGERS_MAX :])
        late = RawSender(cluster, "late")
        assert isinstance(await late.greet("S2"), Welcome)
        await answers_others(cluster)


async def test_g12_flood_of_messages_that_can_never_be_delivered_ends_at_the_credit() -> None:
    s1, s2 = quick("S1", drain_timeout=0), quick("S2", window_messages=50, drain_timeout=0)
    got = Collector(s2)
    async with Cluster(s1, s2) as cluster:
        for run in range(3):
            sender = RawSender(cluster)
            welcome = await sender.greet("S2")
            assert isinstance(welcome, Welcome)
            begin = welcome.received_to + 1
            for seq in range(begin, begin + 60):
                await sender.say(sender.copy(seq, after={NodeId("never", 1): seq}), base=seq == 1)
            assert "exceeds its credit of 50" in (await refusal_of(sender)).detail
            assert s2.status()["held_total"] == 50, f"run {run}"
        await answers_others(cluster)
        assert {held["owner"] for held in s2.status()["held"]} == {"never"}
    assert [message.sender for message in got.messages] == ["S1"]


async def test_g12_flood_of_bytes_ends_at_the_credit_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    s1, s2 = quick("S1"), quick("S2", window_bytes=100_000, drain_timeout=0)
    gate = Gate(s2, "a")
    Collector(s2, "alive")
    async with Cluster(s1, s2) as cluster:
        for run in range(2):  # also on a new stream
            sender = RawSender(cluster)
            welcome = await sender.greet("S2")
            assert isinstance(welcome, Welcome)
            begin = welcome.received_to + 1
            for seq in range(begin, begin + 12):
                large = encode_payload(bytes(10_000), None, None, 20_000)
                await sender.say(sender.copy(seq)._replace(payload=large), base=seq == 1)
            assert "credit of 100000 bytes" in (await refusal_of(sender)).detail
            assert s2.status()["links"]["in"]["P/5"]["unsettled"] == 9, f"run {run}"
        await answers_others(cluster)
        assert len(gate.entered) == 9
        gate.open.set()
        sender = RawSender(cluster)
        await until(lambda: len(gate.left) == 9)
        await sender.greet("S2")
        larger = encode_payload(bytes(150_000), None, None, 200_000)  # one message is always allowed
        await sender.say(sender.copy(10)._replace(payload=larger))
        await until(lambda: len(gate.left) == 10)


async def test_sender_that_repeats_and_never_reads_is_not_read_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it would be told again does not pile up: its stream stands still, and ends after a silence."""
    monkeypatch.setattr(inbound, "REPORTS_WAITING_MAX", 10)
    monkeypatch.setattr("causal.transport.memory.BUFFER_FRAMES", 4)
    s1, s2 = quick("S1"), quick("S2", window_messages=20, silence_max=0.05)
    Collector(s2)
    async with Cluster(s1, s2) as cluster:
        sender = RawSender(cluster)
        await sender.greet("S2")
        first = [sender.copy(seq) for seq in range(1, 11)]
        await sender.say(*first, base=True)
        link = s2._core.engine.settlement.inbound[sender.id]  # type: ignore[union-attr]
        await until(lambda: link.received.to == 10 and not link.unsettled)
        repeating = asyncio.create_task(repeat(sender, first))
        most = 0
        connection = sender.connection
        while connection.is_open:
            most = max(most, len(link.to_report))
            await answers_others(cluster)
        await asyncio.wait([repeating], timeout=5)
        assert repeating.done()
        assert 20 < most <= 20 + 10 + len(first)


async def repeat(sender: RawSender, copies: list[Copy], questions: tuple[Dot, ...] = ()) -> None:
    try:
        for _ in range(10_000):
            await sender.say(*copies, questions=questions)
    except TransportError:
        return
    pytest.fail("all of it was taken in")


async def test_sender_that_asks_about_what_is_lost_and_never_reads_is_not_read_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inbound, "REPORTS_WAITING_MAX", 10)
    monkeypatch.setattr("causal.transport.memory.BUFFER_FRAMES", 4)
    s1, s2 = quick("S1"), quick("S2", window_messages=20, silence_max=0.05)
    Collector(s2)
    async with Cluster(s1, s2) as cluster:
        sender = RawSender(cluster)
        await sender.greet("S2")
        link = s2._core.engine.settlement.inbound[sender.id]  # type: ignore[union-attr]
        questions = tuple(Dot("S2", 1, seq) for seq in range(1, 11))  # of a former self, which is gone
        asking = asyncio.create_task(repeat(sender, [], questions))
        most = 0
        while sender.connection.is_open:
            most = max(most, len(link.lost))
            await answers_others(cluster)
        await asyncio.wait([asking], timeout=5)
        assert asking.done()
        assert 20 < most <= 20 + 10 + len(questions)
