"""Entering, leaving, failing: what a node owes when it ends, whatever the way."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import re
import signal

import pytest

from causal import ClosedError, ConfigurationError, Message, Node, Policy
from causal.observe.trace import MemoryTrace, TraceEvent
from causal.ordering.frames import ReceiverFrame
from causal.testing.cluster import Cluster
from tests.node.support import AT_ONCE, Collector, Gate, RawSender, lines, quick, turns, until


class FullDisk(MemoryTrace):
    """A trace that cannot be written from a certain event on."""

    def __init__(self, cluster: Cluster, fatal: str) -> None:
        super().__init__()
        self.inner = cluster.trace
        self.fatal = fatal

    def write(self, event: TraceEvent) -> None:
        if event.event == self.fatal:
            raise OSError(28, "No space left on device")
        self.inner.write(event)


def with_full_disk(cluster: Cluster, node: Node, fatal: str) -> None:
    node.join(cluster._network.transport(node.name), cluster._configs[node.name], FullDisk(cluster, fatal))


async def test_leaving_drains_what_is_unsettled_and_what_is_being_handled() -> None:
    s1, s2 = quick("S1"), quick("S2")
    handled: list[int] = []

    @s2.on("a")
    async def handle(message: Message) -> None:
        await turns(5)
        handled.append(message.body)

    async with Cluster(s1, s2) as cluster:
        for number in range(10):
            await s1.send("S2", "a", number)
    assert handled == list(range(10))
    assert [e.event for e in lines(cluster, "S2")].count("settle") == 10


async def test_leaving_names_what_is_unsettled_and_where_and_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    s1, s2 = quick("S1", drain_timeout=0.01), quick("S2", drain_timeout=0.01)
    gate = Gate(s2)
    async with asyncio.timeout(5), Cluster(s1, s2):
        dot = await s1.send("S2", "a")
        await until(lambda: gate.entered)
    warnings = [record.getMessage() for record in caplog.records]
    assert f"S1 leaves with 1 messages unsettled: {dot} at S2" in warnings
    assert f"S2 leaves with 1 messages not handled: {dot}" in warnings


async def test_leaving_names_what_is_held_as_not_handled(caplog: pytest.LogCaptureFixture) -> None:
    s1, s2 = quick("S1", drain_timeout=0.01), quick("S2", drain_timeout=0.01)
    gate = Gate(s2)
    async with asyncio.timeout(5), Cluster(s1, s2):
        dots = [await s1.send("S2", "a") for _ in range(3)]
        await until(lambda: gate.entered and s2.status()["held_total"] == 2)
    (named,) = [r.getMessage() for r in caplog.records if r.getMessage().startswith("S2 leaves")]
    assert named == f"S2 leaves with 3 messages not handled: {', '.join(map(str, dots))}"


async def test_leaving_while_a_handler_fails_for_ever_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    s1 = quick("S1", drain_timeout=0.02)

    @s1.on("a", policy=AT_ONCE)
    async def handle(message: Message) -> None:
        raise RuntimeError("never")

    async with asyncio.timeout(5), Cluster(s1):
        await s1.send("S1", "a")
    assert "S1 leaves with 1 messages not handled" in caplog.text


async def stuck_report(cluster: Cluster, node: Node) -> RawSender:
    """A sender that does not read, so that the settlement of its message cannot be written to it."""
    sender = RawSender(cluster)
    await sender.greet(node.name)
    core, stream = node._core, node._inbound.live["P"]
    assert core is not None
    await until(lambda: stream.writing, "a heartbeat that finds no room")
    await sender.say(sender.copy(1), base=True)
    await until(lambda: core.counters.settled == 1)
    return sender


async def test_leaving_under_a_load_that_never_ends_lets_running_handlers_end_and_leaves_the_rest_to_their_sender(
    caplog: pytest.LogCaptureFixture,
) -> None:
    s1, s2 = quick("S1", drain_timeout=0), quick("S2", drain_timeout=0.4)
    ended, cut_off = list[int](), list[int]()

    @s2.on("a")
    async def handle(message: Message) -> None:
        try:
            await asyncio.sleep(0.02)  # what it does takes so long
            ended.append(message.body)
        except asyncio.CancelledError:
            cut_off.append(message.body)
            raise

    async def load() -> None:
        for number in itertools.count():
            await s1.send("S2", "a", number)
            await asyncio.sleep(0.002)

    Cluster(s1, s2)
    await s2.__aenter__()
    async with s1:
        loading = asyncio.create_task(load())
        await until(lambda: ended)
        await s2.__aexit__(None, None, None)
        loading.cancel()
        assert cut_off == []
        (named,) = [r.getMessage() for r in caplog.records if r.getMessage().startswith("S2 leaves")]
        assert re.match(r"S2 leaves with \d+ messages not handled: S1/\d+/\d+, ", named)
        engine = s1._running().engine
        await until(lambda: not {dot.seq - 1 for dot in engine.unsettled} & set(ended), "all that ended to be settled")
        assert engine.unsettled


async def test_leaving_leaves_a_message_whose_handler_always_fails_to_its_sender() -> None:
    s1, s2 = quick("S1", drain_timeout=0), quick("S2", drain_timeout=0.1)
    attempts: list[int] = []

    @s2.on("a", policy=AT_ONCE)
    async def handle(message: Message) -> None:
        attempts.append(message.attempt)
        raise RuntimeError("never")

    Cluster(s1, s2)
    await s2.__aenter__()
    async with s1:
        dot = await s1.send("S2", "a")
        await until(lambda: attempts)
        runner = s2._running().runner
        await s2.__aexit__(None, None, None)
        assert [handling.arrival.dot for handling in runner.left] == [dot], "before the end of the time"
        assert attempts[-1] > 1
        assert s1._running().engine.unsettled == [dot]


async def test_leaving_waits_until_a_settlement_has_been_handed_to_its_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    """An acknowledgement that were lost here would have the message sent again, to another run."""
    monkeypatch.setattr("causal.transport.memory.BUFFER_FRAMES", 3)
    s2 = quick("S2", drain_timeout=30)
    Collector(s2)
    cluster = Cluster(s2)
    await s2.__aenter__()
    sender = await stuck_report(cluster, s2)
    leaving = asyncio.create_task(s2.__aexit__(None, None, None))
    await turns(100)
    assert not leaving.done()
    settled: list[int] = []
    while isinstance(frame := await sender.hear(), ReceiverFrame):
        settled += frame.settled
    assert settled == [1]
    await asyncio.wait_for(leaving, 5)


async def test_leaving_waits_for_no_report_to_a_sender_that_hangs_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is gone before it could be told: its next Welcome will say it, so there is nothing to wait for."""
    monkeypatch.setattr("causal.transport.memory.BUFFER_FRAMES", 3)
    s2 = quick("S2", drain_timeout=30)
    Collector(s2)
    cluster = Cluster(s2)
    await s2.__aenter__()
    sender = await stuck_report(cluster, s2)
    leaving = asyncio.create_task(s2.__aexit__(None, None, None))
    await turns(100)
    assert not leaving.done()
    await sender.connection.close()
    await asyncio.wait_for(leaving, 5)


async def test_two_nodes_that_leave_at_once_settle_each_others_messages() -> None:
    s1, s2 = quick("S1"), quick("S2")
    got = [Collector(s1), Collector(s2)]
    cluster = Cluster(s1, s2)

    async def serve(node: Node, other: str, both: asyncio.Barrier) -> None:
        async with node:
            for number in range(20):
                await node.send(other, "a", number)
            await both.wait()

    barrier = asyncio.Barrier(2)
    await asyncio.wait_for(asyncio.gather(serve(s1, "S2", barrier), serve(s2, "S1", barrier)), 5)
    assert [collector.bodies for collector in got] == [list(range(20))] * 2
    assert cluster.check().unsettled_count == 0


async def test_use_before_and_after_raises_closed_error() -> None:
    s1 = quick("S1")
    for _ in range(2):
        with pytest.raises(ClosedError, match="S1 is not running"):
            await s1.send("S1", "a")
        with pytest.raises(ClosedError):
            await s1.settled()
        with pytest.raises(ClosedError):
            await s1.run()
        for use in (s1.status, lambda: s1.address, lambda: s1.incarnation, lambda: s1.idle):
            with pytest.raises(ClosedError):
                use()
        if s1._core is None:
            async with Cluster(s1):
                assert s1.is_running
    with pytest.raises(ClosedError, match="make a new Node"):
        await s1.__aenter__()
    with pytest.raises(ClosedError):
        Cluster(s1)


async def test_what_the_body_raises_goes_on_as_it_is() -> None:
    s1 = quick("S1")
    Cluster(s1)
    with pytest.raises(ZeroDivisionError):
        async with s1:
            raise ZeroDivisionError


@pytest.mark.parametrize("fatal", ["receive", "deliver", "settle", "drop"])
async def test_trace_that_cannot_be_written_ends_the_node_loudly(fatal: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever task meets the full disk: a reader, a handler, or one that goes on after others."""
    caplog.set_level(logging.CRITICAL)
    s1, s2 = quick("S1", drain_timeout=0), quick("S2", drain_timeout=0)
    got = Collector(s2, "a")
    cluster = Cluster(s1, s2)
    with_full_disk(cluster, s2, fatal)
    with pytest.RaisesGroup(OSError):
        async with asyncio.timeout(5), cluster:
            await s1.send("S2", "b" if fatal == "drop" else "a")
            await asyncio.Event().wait()  # ends by the failure, or the timeout fails the test
    assert [s1.is_running, s2.is_running] == [False, False]
    assert fatal not in {e.event for e in lines(cluster, "S2")}
    assert len(got) == (fatal == "settle")


async def test_trace_that_cannot_be_written_at_a_retry_ends_the_node_loudly(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    s1 = quick("S1", drain_timeout=0)
    cluster = Cluster(s1)
    full = FullDisk(cluster, "nothing yet")
    s1.join(cluster._network.transport("S1"), cluster._configs["S1"], full)

    @s1.on("a", policy=AT_ONCE)
    async def handle(message: Message) -> None:
        full.fatal = "deliver"
        raise RuntimeError

    with pytest.RaisesGroup(OSError):
        async with asyncio.timeout(5), cluster:
            await s1.send("S1", "a")
            await asyncio.Event().wait()


async def test_trace_that_cannot_be_written_at_a_send_raises_to_the_sender_and_nothing_is_sent() -> None:
    s1, s2 = quick("S1"), quick("S2")
    got = Collector(s2)
    cluster = Cluster(s1, s2)
    full = FullDisk(cluster, "send")
    s1.join(cluster._network.transport("S1"), cluster._configs["S1"], full)
    async with cluster:
        with pytest.raises(OSError, match="No space left"):
            await s1.send("S2", "a", 1)
        full.fatal = "nothing any more"
        assert (await s1.send("S2", "a", 2)).seq == 1
        await cluster.settled()
    assert got.bodies == [2]


async def test_failing_node_cancels_its_handlers_and_starts_none_again(caplog: pytest.LogCaptureFixture) -> None:
    s1, s2, s3 = (quick(name, drain_timeout=0) for name in ("S1", "S2", "S3"))
    cluster = Cluster(s1, s2, s3)
    with_full_disk(cluster, s3, "drop")
    gate = Gate(s3, "a")
    with pytest.RaisesGroup(OSError):
        async with asyncio.timeout(5), cluster:
            await s1.send("S3", "a")
            await until(lambda: gate.entered)
            await s2.send("S3", "nobody")
            await asyncio.Event().wait()
    assert gate.entered == [None]
    assert "failed at attempt" not in caplog.text


async def test_start_that_fails_gives_everything_back() -> None:
    tasks = asyncio.all_tasks()
    s1, s2 = quick("S1"), quick("S2")
    cluster = Cluster(s1, s2)
    await cluster._network.transport("thief").listen("S2:1", lambda connection: connection.close())
    with pytest.raises(ConfigurationError, match="is taken"):
        async with cluster:
            raise AssertionError("unreachable")
    assert not s1.is_running
    assert asyncio.all_tasks() == tasks


async def test_no_task_is_left_after_reconnects_restarts_and_the_end() -> None:
    tasks = asyncio.all_tasks()
    s1, s2 = quick("S1"), quick("S2")
    got = Collector(s2)
    async with Cluster(s1, s2) as cluster:
        await s1.settled(await s1.send("S2", "a"), timeout=5)
        running = len(asyncio.all_tasks())
        for _ in range(20):
            with cluster.cut("S1", "S2"), cluster.cut("S2", "S1"):
                await until(lambda: s1.status()["links"]["out"]["S2"]["state"] == "connecting")
            await s1.settled(await s1.send("S2", "a"), timeout=5)
        await until(lambda: all(n.status()["links"]["out"][o]["state"] == "open" for n, o in ((s1, "S2"), (s2, "S1"))))
        await until(lambda: len(asyncio.all_tasks()) <= running, "as many tasks as before")
        for _ in range(5):
            await cluster.restart("S2")
            await s1.settled(await s1.send("S2", "a"), timeout=5)
        await until(lambda: len(asyncio.all_tasks()) <= running, "as many tasks as before")
        core = s1._core
        assert core is not None
        assert set(core.report_wakes) == {"S2"}
    assert asyncio.all_tasks() == tasks
    assert len(got) == 26


@pytest.mark.parametrize("moment", range(10))
async def test_leaving_that_is_cancelled_twice_ends_and_leaves_no_task(
    moment: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    before = asyncio.all_tasks()
    s1, s2 = quick("S1"), quick("S2")
    cluster = Cluster(s1, s2)

    @s2.on("a")
    async def slow_to_die(message: Message) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await turns(5)

    async def serve() -> None:
        async with cluster:
            await s1.send("S2", "a")
            await until(lambda: s2.status()["running_total"])
            await asyncio.Event().wait()

    serving = asyncio.create_task(serve())
    await until(lambda: s2.is_running and s2.status()["running_total"])
    serving.cancel()
    await turns(moment)
    serving.cancel()
    await asyncio.wait([serving], timeout=5)
    assert serving.cancelled()
    assert [s1.is_running, s2.is_running] == [False, False]
    await until(lambda: asyncio.all_tasks() == before, "every task to end")


async def test_handler_that_raises_as_it_is_cancelled_by_the_end_is_not_run_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    s1 = quick("S1", drain_timeout=0)

    @s1.on("a", policy=Policy(retry_first=60, retry_max=60))
    async def handle(message: Message) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RuntimeError("the cleaning up failed") from None

    async with asyncio.timeout(5), Cluster(s1):
        await s1.send("S1", "a")
        await until(lambda: s1.status()["running_total"])
    assert "failed at attempt" not in caplog.text


async def test_handler_that_does_not_heed_its_cancellation_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("causal.node.runner.CANCEL_SECONDS", 0.005)
    s1 = quick("S1", drain_timeout=0)
    named = asyncio.Event()

    @s1.on("a")
    async def stubborn(message: Message) -> None:
        while not named.is_set():
            try:
                await named.wait()
            except asyncio.CancelledError:
                asyncio.get_running_loop().call_later(0.001, look)

    def look() -> None:
        if "go on although they were cancelled" in caplog.text:
            named.set()
        else:
            asyncio.get_running_loop().call_later(0.001, look)

    async with asyncio.timeout(5), Cluster(s1):
        dot = await s1.send("S1", "a")
        await until(lambda: s1.status()["running_total"])
    assert f"handlers of {dot} go on although" in caplog.text


async def test_acknowledgement_is_out_before_a_node_has_left() -> None:
    """S2 leaves at the very moment at which it has handled the last message; S1 must not send it again."""
    for moment in range(15):
        s1, s2 = quick("S1"), quick("S2")
        handled = asyncio.Event()

        @s2.on("a")
        async def handle(message: Message, handled: asyncio.Event = handled) -> None:
            handled.set()

        cluster = Cluster(s1, s2)
        async with s1:
            async with s2:
                await s1.send("S2", "a")
                await turns(moment)
                await asyncio.wait_for(handled.wait(), 5)
            await s1.settled(timeout=5)
        assert cluster.check().deliveries == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_run_returns_at_a_signal_and_gives_the_signal_back(number: signal.Signals) -> None:
    before = signal.getsignal(signal.SIGINT)
    s1 = quick("S1")
    async with Cluster(s1):
        running = asyncio.create_task(s1.run())
        await turns()
        assert not running.done()
        os.kill(os.getpid(), number)
        await asyncio.wait_for(running, 5)
        await s1.run()  # it stays told
    assert signal.getsignal(signal.SIGINT) is before


async def test_run_of_two_nodes_in_one_process_returns_at_one_signal() -> None:
    before = signal.getsignal(signal.SIGTERM)
    s1, s2 = quick("S1"), quick("S2")
    async with Cluster(s1, s2):
        running = [asyncio.create_task(node.run()) for node in (s1, s2)]
        await turns()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(asyncio.gather(*running), 5)
    assert signal.getsignal(signal.SIGTERM) is before


async def test_run_returns_after_stop() -> None:
    s1 = quick("S1")
    async with Cluster(s1):
        asyncio.get_running_loop().call_soon(s1.stop)
        await asyncio.wait_for(s1.run(), 5)
