"""What delays, breaks and poisons deliver to a node: it says what it waits for, and everybody else goes on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from causal import BackpressureError, Message
from causal.ordering.frames import ReceiverFrame, Welcome
from causal.testing.cluster import Cluster
from tests.node.support import AT_ONCE, Collector, Gate, RawSender, out, quick, turns, until


async def heard_until(sender: RawSender, wanted: Callable[[ReceiverFrame], object]) -> ReceiverFrame:
    """The first frame of the receiver that has what is wanted; heartbeats come in between."""
    while True:
        frame = await sender.hear()
        if isinstance(frame, ReceiverFrame) and wanted(frame):
            return frame


async def shown(listed: Callable[[], list[dict[str, Any]]]) -> dict[str, Any]:
    """The only entry of a list in a status, as soon as there is one."""
    seen: list[dict[str, Any]] = []

    def look() -> bool:
        seen[:] = listed()
        return bool(seen)

    await until(look, "an entry")
    return seen[0]


async def test_a5_predecessor_that_shows_as_a_gap_is_asked_for_on_each_stream_and_listed_with_age_and_owner() -> None:
    s1 = quick("S1")
    got = Collector(s1)
    async with Cluster(s1) as cluster:
        sender = RawSender(cluster)
        await sender.greet("S1")
        await sender.say(sender.copy(1), sender.copy(3, after={sender.id: 2}), base=True)
        asked = await heard_until(sender, lambda frame: frame.resend)
        assert asked.resend == ((2, 2),)
        await until(lambda: s1.status()["held"] and s1.status()["held"][0]["since_s"] > 0.01, "a held message's age")
        (held,) = s1.status()["held"]
        assert (held["waits_for"], held["owner"], held["stage"]) == ("P/5/2", "P", "not received")
        assert s1.status()["links"]["in"]["P/5"]["gap"] == [2]
        await sender.connection.close()
        again = RawSender(cluster)
        welcome = await again.greet("S1")  # a new stream asks by saying what has been received
        assert isinstance(welcome, Welcome)
        assert (welcome.received_to, welcome.beyond) == (1, (3,))
        await again.say(again.copy(2))
        await until(lambda: len(got) == 3)
    assert got.bodies == [1, 2, 3]


async def test_a5_predecessor_behind_a_cut_link_is_listed_until_it_comes() -> None:
    s1, s2, s3 = quick("S1"), quick("S2"), quick("S3")
    got = Collector(s3)

    @s2.on("a")
    async def forward(message: Message) -> None:
        await s2.send("S3", "b")

    async with Cluster(s1, s2, s3) as cluster:
        await s1.settled(await s1.send("S3", "first"), timeout=5)
        with cluster.cut("S1", "S3"):
            dot = await s1.send(["S2", "S3"], "a")
            await until(lambda: s3.status()["held_total"] == 1)
            ages = [s3.status()["held"][0]["since_s"]]
            await until(lambda: s3.status()["held"][0]["since_s"] > ages[0])
            held = s3.status()["held"][0]
            assert (held["waits_for"], held["owner"], held["stage"]) == (str(dot), "S1", "not received")
            assert s3.status()["links"]["in"][f"S1/{s1.incarnation}"]["state"] == "closed"
        await cluster.settled()
        cluster.check()
    assert [message.subject for message in got.messages] == ["first", "a", "b"]


async def test_a7_unblocker_gets_in_although_what_waits_for_it_has_taken_all_credit() -> None:
    """P has one message unsettled at a time: the one that waits for Q's. Q's link has credit of its own."""
    s1 = quick("S1", window_messages=1)
    got = Collector(s1)
    async with Cluster(s1) as cluster:
        blocked, unblocker = RawSender(cluster, "P"), RawSender(cluster, "Q")
        await blocked.greet("S1")
        await unblocker.greet("S1")
        await blocked.say(blocked.copy(1, after={unblocker.id: 1}), base=True)
        await until(lambda: s1.status()["held_total"] == 1)
        await unblocker.say(unblocker.copy(1), base=True)
        await until(lambda: len(got) == 2)
    assert [message.sender for message in got.messages] == ["Q", "P"]


async def test_a16_handler_that_always_raises_is_retried_visibly_while_others_go_on_and_successors_wait(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("CRITICAL")
    s1, s2, s3 = (quick(name, drain_timeout=0) for name in ("S1", "S2", "S3"))
    got = Collector(s2, "fine")
    attempts: list[int] = []

    @s2.on("poison", policy=AT_ONCE)
    async def poison(message: Message) -> None:
        attempts.append(message.attempt)
        raise ValueError("cannot be handled")

    async with Cluster(s1, s2, s3):
        dot = await s1.send("S2", "poison")
        await s1.send("S2", "fine", "successor")
        for number in range(20):
            await s3.settled(await s3.send("S2", "fine", number), timeout=5)  # S3 knows nothing of the poison
        await until(lambda: len(attempts) > 5)
        retried = await shown(lambda: s2.status()["retrying"])
        assert (retried["id"], retried["error"]) == (str(dot), "ValueError('cannot be handled')")
        assert s2.status()["held"][0]["waits_for"] == str(dot)
        assert out(s1, "S2")["unsettled"] == 2
    assert attempts == list(range(1, len(attempts) + 1))
    assert got.bodies == list(range(20))


async def test_a16_a18_payload_that_cannot_be_read_goes_to_the_dead_letters_once_and_successors_go_on() -> None:
    """Quarantined: no attempt at it, no second copy asked for, and its sender is told that it is settled."""
    s1 = quick("S1")
    got = Collector(s1)
    async with Cluster(s1) as cluster:
        sender = RawSender(cluster)
        await sender.greet("S1")
        unreadable = sender.copy(1)._replace(payload=b"\xc1 is no MessagePack")
        await sender.say(unreadable, sender.copy(2, after={sender.id: 1}), base=True)
        told: set[int] = set()
        while told != {1, 2}:
            told |= set((await heard_until(sender, lambda frame: frame.settled)).settled)
        (letter,) = s1.dead_letters
        assert (str(letter.id), letter.message) == ("P/5/1", None)
        assert "payload is not MessagePack" in letter.reason
        await turns(50)
        counters = s1.status()["counters"]
        assert (counters["dead_lettered"], counters["delivered"], counters["retried"]) == (1, 1, 0)
        again = RawSender(cluster)
        welcome = await again.greet("S1")
        assert isinstance(welcome, Welcome)
        assert (welcome.received_to, welcome.unsettled) == (2, ())
    assert got.bodies == [2]


async def test_dead_letters_are_bounded_in_bytes_and_all_are_counted() -> None:
    s1, s2 = quick("S1"), quick("S2", dead_letters_bytes=10_000)
    async with Cluster(s1, s2):
        for number in range(20):
            await s1.send("S2", "nobody", bytes([number]) * 3000)
        await s1.settled(timeout=5)
        assert s2.dead_letters.total == 20
        assert [letter.id.seq for letter in s2.dead_letters] == [18, 19, 20]
        assert s2.dead_letters.bytes <= 10_000
        await s1.settled(await s1.send("S2", "nobody", bytes(50_000)), timeout=5)
        assert [letter.id.seq for letter in s2.dead_letters] == [21]  # the newest, however large
        s2.dead_letters.popleft()
        assert (len(s2.dead_letters), s2.dead_letters.bytes) == (0, 0)


async def test_c7_each_destination_is_resumed_where_it_stands_itself() -> None:
    s1, s2, s3 = quick("S1"), quick("S2"), quick("S3")
    got = {"S2": Collector(s2), "S3": Collector(s3)}
    gate = Gate(s2, "slow")
    async with Cluster(s1, s2, s3) as cluster:
        await s1.send(["S2", "S3"], "a", 0)
        await s1.settled(timeout=5)
        await s1.send("S2", "slow")  # received there before the cut and settled after it: not to be sent again
        await until(lambda: gate.entered)
        with cluster.cut("S1", "S2"):
            for number in range(1, 6):
                await s1.send(["S2", "S3"], "a", number)
            await until(lambda: len(got["S3"]) == 6)
            with cluster.cut("S1", "S3"):
                await s1.send(["S2", "S3"], "a", 6)
                positions = {node.name: node.status()["links"]["in"][f"S1/{s1.incarnation}"] for node in (s2, s3)}
                assert (positions["S2"]["received_to"], positions["S3"]["received_to"]) == (2, 7)
        await until(lambda: s2.status()["links"]["in"][f"S1/{s1.incarnation}"]["received_to"] == 8)
        gate.open.set()
        await cluster.settled()
        assert {node.status()["counters"]["duplicates"] for node in (s2, s3)} == {0}
        cluster.check()
    assert got["S2"].bodies == got["S3"].bodies == list(range(7))


async def test_c9_multicast_that_one_destination_cannot_take_is_settled_at_the_others() -> None:
    s1, s2, s3 = quick("S1"), quick("S2", drain_timeout=0), quick("S3")
    gate = Gate(s2)
    got = Collector(s3)
    async with Cluster(s1, s2, s3) as cluster:
        with cluster.cut("S1", "S2"):
            for number in range(10):
                await s1.send(["S2", "S3"], "a", number)
            await until(lambda: len(got) == 10)
            await until(lambda: out(s1, "S3")["unsettled"] == 0)
            assert {tuple(u["at"]) for u in s1.status()["unsettled"]} == {("S2",)}
            assert out(s1, "S2")["unsettled"] == 10
        gate.open.set()
        await cluster.settled()
        cluster.check()
    assert gate.left == list(range(10))


async def test_c10_acknowledgement_that_is_lost_is_said_again_and_nothing_is_handled_twice() -> None:
    s1 = quick("S1")
    got = Collector(s1)
    async with Cluster(s1) as cluster:
        sender = RawSender(cluster)
        await sender.greet("S1")
        await sender.say(sender.copy(1), base=True)
        await until(lambda: len(got) == 1)
        await sender.connection.close()  # the acknowledgement on it was not read
        again = RawSender(cluster)
        welcome = await again.greet("S1")
        assert isinstance(welcome, Welcome)
        assert (welcome.known, welcome.received_to, welcome.unsettled) == (True, 1, ())  # already accepted
        await again.say(again.copy(1)._replace(stamp=got.messages[0]._arrival.copy.stamp))
        assert (await heard_until(again, lambda frame: frame.settled)).settled == (1,)
        assert s1.status()["counters"]["duplicates"] == 1
    assert got.bodies == [1]


WEATHER = {
    "one way": [("S1", "S2"), ("S1", "S3")],
    "ring": [("S1", "S2"), ("S2", "S3"), ("S3", "S1")],
    "everybody alone": [(a, b) for a in ("S1", "S2", "S3") for b in ("S1", "S2", "S3") if a != b],
}
HEALED_S = 2.0
"""Two hundred times the longest pause between two attempts: what a busy machine may need."""


@pytest.mark.parametrize("kind", WEATHER)
async def test_f11_partition_keeps_order_and_heals_in_bounded_time(kind: str) -> None:
    nodes = [quick(name) for name in ("S1", "S2", "S3")]
    got = {node.name: Collector(node) for node in nodes}
    async with Cluster(*nodes) as cluster:
        for pair in WEATHER[kind]:
            cluster.cut(*pair)
        for number in range(10):
            for node in nodes:
                await node.send(["S1", "S2", "S3"], "a", f"{node.name} {number}")
            await turns(3)
        apart = [(a, b) for a, b in WEATHER[kind] if out(cluster.nodes[a], b)["unsettled"] != 10]
        assert apart == []
        begun = time.monotonic()
        for pair in WEATHER[kind]:
            cluster.heal(*pair)
        await cluster.settled()
        assert time.monotonic() - begun < HEALED_S
        assert cluster.check().excused_count == 0
    assert {len(collector) for collector in got.values()} == {30}


async def test_f11_flapping_link_keeps_order_loses_nothing_and_heals() -> None:
    s1, s2, s3 = (quick(name) for name in ("S1", "S2", "S3"))
    got = Collector(s3)

    @s2.on("a")
    async def forward(message: Message) -> None:
        await s2.send("S3", "b", message.body)

    async with Cluster(s1, s2, s3) as cluster:
        for number in range(60):
            await s1.send(["S2", "S3"], "a", number)
            with cluster.cut("S1", "S3"):
                await turns(number % 9)
            with cluster.cut("S2", "S3"):
                await turns(number % 5)
        begun = time.monotonic()
        await cluster.settled()
        assert time.monotonic() - begun < HEALED_S
        report = cluster.check()
        assert (report.doubled_count, report.excused_count) == (0, 0)
    assert len(got) == 120


async def test_f14_slow_consumer_pushes_back_up_to_the_send_and_no_further_than_the_bounds() -> None:
    s1, s2, s3 = quick("S1", outbox_messages=10), quick("S2", window_messages=4, concurrency=2), quick("S3")
    gate = Gate(s2)
    Collector(s3)
    async with Cluster(s1, s2, s3) as cluster:
        for number in range(10):
            await s1.send("S2", "a", number)
        waiting = asyncio.create_task(s1.send("S2", "a", 10))
        with pytest.raises(BackpressureError, match="outbox of S2 is full"):
            await s1.send("S2", "a", "never", timeout=0.02)
        assert not waiting.done()
        assert s1.status()["sends_waiting"] == 1
        await until(lambda: out(s1, "S2")["in_flight"] == 4)
        await until(lambda: s2.status()["links"]["in"][f"S1/{s1.incarnation}"]["unsettled"] == 4)
        await s1.settled(await s1.send("S3", "b"), timeout=5)  # another link does not notice
        gate.open.set()
        await waiting
        await cluster.settled()
    assert gate.left == list(range(11))


async def test_f15_everything_accepted_before_the_end_is_settled_or_named(caplog: pytest.LogCaptureFixture) -> None:
    s1, s2, s3 = quick("S1", drain_timeout=0.2), quick("S2"), quick("S3")
    got = Collector(s2)
    accepted = {}
    cluster = Cluster(s1, s2, s3)
    async with s2, s3, s1:
        cluster.cut("S1", "S3")
        for number in range(5):
            accepted[await s1.send("S2", "a", number)] = "S2"
            accepted[await s1.send("S3", "a", number)] = "S3"
    (named,) = [record.getMessage() for record in caplog.records if "unsettled" in record.getMessage()]
    assert "S1 leaves with 5 messages unsettled" in named
    assert [dot for dot, to in accepted.items() if to == "S3" and f"{dot} at S3" not in named] == []
    assert got.bodies == list(range(5))


@pytest.mark.integration
async def test_leaving_under_a_flood_is_bounded_and_the_senders_keep_what_was_not_handled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It goes on reading: another node that leaves at the same time still needs its messages settled here."""
    s1, s2 = quick("S1"), quick("S2", drain_timeout=0.1, window_messages=32, concurrency=4)
    handled: list[int] = []

    @s2.on(">")
    async def handle(message: Message) -> None:
        await asyncio.sleep(0.001)
        handled.append(message.body)

    async def flood() -> None:
        for number in range(800):
            await s1.send("S2", "a", number)
            await asyncio.sleep(0)

    cluster = Cluster(s1, s2)
    async with s1:
        async with s2:
            flooding = asyncio.create_task(flood())
            await until(lambda: len(handled) > 20)
            begun = time.monotonic()
        assert time.monotonic() - begun < 2.0
        assert "messages not handled" in caplog.text
        again = quick("S2")
        again.on(">")(handle)
        again.join(cluster._network.transport("S2"), cluster._configs["S2"], cluster.trace)
        async with again:
            await flooding
            await s1.settled(timeout=10)
    cluster.check()
    assert sorted(set(handled)) == list(range(800))
