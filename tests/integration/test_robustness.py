"""Nodes over real gRPC that are broken off, flooded, doubled and ended at any moment."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import random
import signal
import sys
import threading
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from causal import Dot, Node
from causal.node import inbound
from causal.observe.checker import check
from causal.observe.trace import TraceEvent, read_trace
from causal.transport import grpc as grpc_transport
from causal.transport.grpc import METHOD
from causal.transport.grpc_connection import AcceptedConnection, DialledConnection
from tests.integration.robustness.process import MIB, QUICK, Process, launched
from tests.node.support import Collector, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

SEED = 1


def listening(name: str, **settings: Any) -> Node:
    return Node(name, listen="127.0.0.1:0", **{**QUICK, **settings})


def sending(address: str | None, **settings: Any) -> Node:
    assert address is not None
    return Node("S1", peers={"S2": address}, **{**QUICK, **settings})


def alive() -> dict[str, int]:
    """What a stream is made of, and tasks and threads, as many as there are now."""
    gc.collect()
    kinds = (DialledConnection, AcceptedConnection, grpc.aio.Channel, grpc.aio.Call)
    return {
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
        "streams": sum(isinstance(each, kinds) for each in gc.get_objects()),
    }


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def test_200_reconnects_leave_no_stream_task_thread_or_memory(capsys: pytest.CaptureFixture[str]) -> None:
    """Broken off by either end in turn, half of them with messages on their way."""
    s2 = listening("S2", reconnect_first=0.001)
    got = Collector(s2)
    async with s2, sending(s2.address, reconnect_first=0.001) as s1:
        await s1.settled(await s1.send("S2", "a"), timeout=10)
        before, memory = alive(), resident_bytes()
        for number in range(200):
            if number == 50:  # what is allocated once, and kept for use again, is there by now
                memory = resident_bytes()
            await break_off(s1, s2, number)
        await s1.settled(timeout=10)
        await until(lambda: alive() == before, f"what there was before: {before}")
        growth = (resident_bytes() - memory) / MIB
        with capsys.disabled():
            print(f"\n150 reconnects: grown by {growth:.1f} MiB")
        assert growth < 8
        assert s2.status()["counters"]["duplicates"] == 0
    assert len(got) == 201


async def break_off(s1: Node, s2: Node, number: int) -> None:
    stream = s2._inbound.live["S1"]
    dot = await s1.send("S2", "a", number)
    if number % 4 < 2:
        await s1.settled(dot, timeout=10)
    if number % 2:
        await stream.connection.close()
    else:
        (dialled,) = s1._transport._dialled  # type: ignore[union-attr]
        await dialled.close()
    await until(lambda: s2._inbound.live.get("S1") not in (None, stream), "a new stream", 10)
    await s1.settled(dot, timeout=10)


async def test_2000_concurrent_sends_all_return_and_all_are_settled_in_the_order_of_their_dots() -> None:
    s2, s3 = listening("S2"), listening("S3")
    got = {"S2": Collector(s2), "S3": Collector(s3)}
    async with s2, s3:
        peers = {"S2": str(s2.address), "S3": str(s3.address)}
        settings: dict[str, Any] = {**QUICK, "outbox_messages": 100}
        async with Node("S1", peers=peers, **settings) as s1:
            sends = [s1.send(("S2", "S3", ["S2", "S3"])[number % 3], "a", number) for number in range(2_000)]
            dots = await asyncio.gather(*sends)
            await s1.settled(timeout=20)
            assert sorted(dot.seq for dot in dots) == list(range(1, 2_001))
            assert s1.status()["sends_waited"] > 1_000
    for name, left_out in (("S2", 1), ("S3", 0)):
        assert sorted(got[name].bodies) == [number for number in range(2_000) if number % 3 != left_out]
        seqs = [message.id.seq for message in got[name].messages]
        assert seqs == sorted(seqs)


async def test_g10_200_idle_connections_and_streams_are_ended_and_a_peer_gets_in_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half of them only connect, which gRPC has to end; half open a stream and say nothing on it."""
    monkeypatch.setattr(grpc_transport, "CONNECTION_SECONDS_MAX", 1.0)
    s2 = listening("S2")
    Collector(s2)
    async with s2, AsyncExitStack() as stack:
        assert s2.address is not None
        host, _, port = s2.address.rpartition(":")
        idle = [await asyncio.open_connection(host, int(port)) for _ in range(100)]
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(s2.address))
        calls: list[grpc.aio.StreamStreamCall[bytes, bytes]] = [channel.stream_stream(METHOD)() for _ in range(100)]
        await until(lambda: sum(call.done() for call in calls) == 100 - inbound.STRANGERS_MAX, "the oldest to be ended")
        async with sending(s2.address) as s1:
            begun = time.monotonic()
            await s1.settled(await s1.send("S2", "a"), timeout=5)
            assert time.monotonic() - begun < 2.0
        for reader, writer in idle:
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(10):
                    while await reader.read(4096):
                        """gRPC's greeting"""
            writer.close()
        for call in calls:
            call.cancel()


# -- ends ------------------------------------------------------------------------------------------------------


def events_in(folder: Path) -> list[TraceEvent]:
    return [event for path in sorted(folder.iterdir()) for event in read_trace(path, [])]


def accepted_by(trace: Path) -> set[str]:
    return {event.id for event in read_trace(trace, []) if event.event == "send"}


def settled_at(trace: Path) -> set[str]:
    return {event.id for event in read_trace(trace, []) if event.event == "settle"}


async def test_f15_sigterm_at_any_moment_ends_in_good_order_with_all_that_was_accepted_settled_or_named(
    tmp_path: Path,
) -> None:
    source = random.Random(SEED)
    async with AsyncExitStack() as stack:
        receiver = await launched(stack, "S2", listen="127.0.0.1:0", trace=tmp_path / "s2.jsonl")
        for turn in range(3):
            names = [f"S1-{turn}-{number}" for number in range(4)]
            traces = [tmp_path / f"{name}.jsonl" for name in names]
            senders = await asyncio.gather(
                *(
                    launched(stack, name, peers=f"S2={receiver.address}", trace=trace, outbox_messages=50)
                    for name, trace in zip(names, traces, strict=True)
                )
            )
            for sender in senders:
                sender.tell(flood={"to": "S2", "count": 100_000, "size": 100, "pause": 0})
            for sender in senders:
                await asyncio.sleep(source.uniform(0, 0.15))  # the moment is what is tried, not what is waited for
                sender.signal(source.choice([signal.SIGTERM, signal.SIGINT]))
            codes = await asyncio.gather(*(sender.ended(15) for sender in senders))
            assert codes == [0] * 4
            await receiver.status()  # its trace has all that it has settled
            for sender, trace in zip(senders, traces, strict=True):
                accepted = accepted_by(trace)
                assert accepted - settled_at(tmp_path / "s2.jsonl") == set()
                assert sender.stderr == ""
                assert sender.facts["accepted"] <= len(accepted) <= sender.facts["accepted"] + 1
        receiver.signal(signal.SIGTERM)
        assert await receiver.ended(15) == 0
    report = check(events_in(tmp_path))
    assert (report.violation_count, report.doubled_count, report.unsettled_count) == (0, 0, 0)


async def test_f15_sigterm_with_a_peer_away_names_what_is_unsettled_and_ends_within_drain_timeout() -> None:
    async with AsyncExitStack() as stack:
        sender = await launched(stack, "S1", peers="S2=127.0.0.1:1", drain_timeout=0.5)
        sender.tell(flood={"to": "S2", "count": 5, "size": 10, "pause": 0})
        assert await sender.hear("flooded", 10) == 5
        begun = time.monotonic()
        sender.signal(signal.SIGTERM)
        assert await sender.ended(10) == 0
        assert time.monotonic() - begun < 5
        dots = [Dot("S1", sender.incarnation, seq) for seq in range(1, 6)]
        assert "S1 leaves with 5 messages unsettled" in sender.stderr
        assert [dot for dot in dots if f"{dot} at S2" not in sender.stderr] == []


async def test_ctrl_c_before_run_is_awaited_cancels_the_body_and_the_node_drains_all_the_same() -> None:
    program = (
        "import asyncio, os, signal\n"
        "from causal import Node\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell may have it ignored
        "async def main():\n"
        "    node = Node('S1')\n"
        "    @node.on('a')\n"
        "    async def handle(message):\n"
        "        await asyncio.sleep(0.2)\n"
        "        print('handled', flush=True)\n"
        "    async with node:\n"
        "        await node.send('S1', 'a')\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=pipe, stderr=pipe)
    try:
        said, errors = await asyncio.wait_for(process.communicate(), 20)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (said, process.returncode) == (b"handled\n", -signal.SIGINT)
    assert errors.endswith(b"KeyboardInterrupt\n")


# -- two processes with one name -------------------------------------------------------------------------------


async def test_b6_c6_second_process_with_a_name_takes_over_and_the_first_says_so_without_flapping(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with AsyncExitStack() as stack:
        receiver = await launched(stack, "S2", listen="127.0.0.1:0", trace=tmp_path / "s2.jsonl")
        twins: list[Process] = []
        for number in range(2):
            at = {"peers": f"S2={receiver.address}", "trace": str(tmp_path / f"s1-{number}.jsonl"), "drain_timeout": 0}
            twin = await launched(stack, "S1", **at)  # type: ignore[arg-type]  # the settings, not the argument
            twins.append(twin)
            twin.tell(flood={"to": "S2", "count": 40, "size": 10, "pause": 0.05})
            await until_handled(receiver, twin.incarnation)
        first, second = twins
        assert await second.hear("flooded", 20) == 40
        second.tell(settle=True)
        assert await second.hear("settled", 10) == 40
        assert await first.hear("flooded", 20) == 40
        refused = (await first.status())["links"]["out"]["S2"]
        told = f"another process has the name S1 and is connected to S2 as incarnation {second.incarnation}"
        assert told in refused["error"]
        assert (refused["state"], refused["unsettled"] > 0) == ("connecting", True)
        assert (await second.status())["links"]["out"]["S2"]["attempts"] == 0
        for twin in twins:
            twin.signal(signal.SIGTERM)
            assert await twin.ended(10) == 0
        receiver.signal(signal.SIGTERM)
        assert await receiver.ended(20) == 0
        assert first.stderr.count(told) == 1  # however often it tried
        assert receiver.stderr.count(told) == 1
        assert "S1" in second.stderr or second.stderr == ""
        with capsys.disabled():
            print(f"\ntwins: {json.dumps({'attempts refused': refused['attempts'], 'stderr': receiver.stderr})}")
    events = events_in(tmp_path)
    report = check(events)
    assert (report.violation_count, report.doubled_count) == (0, 0)
    delivered = [Dot.parse(event.id).incarnation for event in events if event.event == "deliver"]
    assert delivered == sorted(delivered)  # once the second is here, nothing of the first gets in
    assert delivered.count(second.incarnation) == 40


async def until_handled(receiver: Process, incarnation: int) -> None:
    for _ in range(400):
        links = (await receiver.status())["links"]["in"]
        if links.get(f"S1/{incarnation}", {}).get("received_to", 0) > 5:
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"nothing came from S1/{incarnation}")
