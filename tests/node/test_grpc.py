"""Nodes over real gRPC on the loopback: what the in-memory network cannot show."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from causal import Message, Node
from causal.observe.checker import check
from causal.observe.trace import read_trace
from tests.node.support import QUICK, Collector, out, until

pytestmark = pytest.mark.integration

SETTINGS: dict[str, Any] = {**QUICK, "heartbeat_interval": 0.02}


def listening(name: str, address: str = "127.0.0.1:0", **settings: Any) -> Node:
    return Node(name, listen=address, **{**SETTINGS, **settings})


async def test_grpc_message_held_until_its_predecessor_comes_is_proved_by_the_traces(tmp_path: Path) -> None:
    paths = {name: tmp_path / f"{name}.jsonl" for name in ("S1", "S2", "S3")}
    s3 = listening("S3", trace=paths["S3"])
    got = Collector(s3)
    async with s3:
        assert s3.address is not None
        s2 = listening("S2", peers={"S3": s3.address}, trace=paths["S2"])

        @s2.on("a")
        async def forward(message: Message) -> None:
            await s2.send("S3", "b", message.body)

        async with s2:
            assert s2.address is not None
            s1 = Node("S1", peers={"S2": s2.address, "S3": s3.address}, trace=paths["S1"], **SETTINGS)
            async with s1:
                assert s1.address is None
                for number in range(50):
                    await s1.send(["S2", "S3"], "a", number)
                await s1.settled(timeout=10)
                await s2.settled(timeout=10)
    report = check(event for path in paths.values() for event in read_trace(path, []))
    assert report.proved
    assert (report.messages, report.deliveries, report.unsettled_count) == (100, 150, 0)
    assert sorted(m.body for m in got.messages if m.subject == "b") == list(range(50))


async def test_grpc_receiver_that_comes_later_and_again_on_its_port_gets_everything_once() -> None:
    first = listening("S2")
    got = [Collector(first)]
    async with first:
        address = first.address
        assert address is not None
        s1 = Node("S1", peers={"S2": address}, **SETTINGS)
        async with s1:
            await s1.settled(await s1.send("S2", "a", 0), timeout=10)
            await first.crash()
            await until(lambda: out(s1, "S2")["state"] == "connecting")
            await s1.send("S2", "a", 1)
            second = listening("S2", address)
            got.append(Collector(second))
            async with second:
                await s1.settled(await s1.send("S2", "a", 2), timeout=10)
                assert out(s1, "S2")["incarnation"] == second.incarnation
    assert [collector.bodies for collector in got] == [[0], [1, 2]]


async def test_grpc_strangers_on_the_port_do_not_disturb(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    s2 = listening("S2")
    got = Collector(s2)
    async with s2:
        assert s2.address is not None
        host, _, port = s2.address.rpartition(":")
        writers = []
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 1000, b""):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(garbage)
            writers.append(writer)
        async with Node("S1", peers={"S2": s2.address}, **SETTINGS) as s1:
            await s1.settled(await s1.send("S2", "a"), timeout=10)
        for writer in writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
    assert len(got) == 1


async def test_grpc_node_leaves_no_task_behind() -> None:
    # gRPC keeps one poller for the process; what matters is that nothing is added by each run.
    counts: list[int] = []
    for _ in range(3):
        s2 = listening("S2")
        Collector(s2)
        async with s2:
            assert s2.address is not None
            async with Node("S1", peers={"S2": s2.address}, **SETTINGS) as s1:
                await s1.settled(await s1.send("S2", "a"), timeout=10)
        await until(lambda: len(asyncio.all_tasks()) <= max(counts, default=10), "tasks to end")
        counts.append(len(asyncio.all_tasks()))
    assert max(counts) == min(counts)


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_grpc_process_ends_well_on_a_signal_and_has_drained(number: signal.Signals, tmp_path: Path) -> None:
    """A service as users write it: the signal ends `run`, leaving drains, the exit code is 0."""
    program = (
        "import asyncio\n"
        "from causal import Node\n"
        "async def main():\n"
        "    node = Node.from_env()\n"
        "    @node.on('a')\n"
        "    async def handle(message):\n"
        "        await asyncio.sleep(0.3)\n"
        "        print('handled', flush=True)\n"
        "    async with node:\n"
        "        await node.send(node.name, 'a')\n"
        "        asyncio.get_running_loop().call_soon(lambda: print('ready', flush=True))  # once run() waits\n"
        "        await node.run()\n"
        "asyncio.run(main())\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CAUSAL_")}
    environment |= {"CAUSAL_NAME": "S1", "CAUSAL_LISTEN": "127.0.0.1:0", "CAUSAL_TRACE": str(tmp_path / "s1.jsonl")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 20) == b"ready\n"
    process.send_signal(number)
    rest, errors = await asyncio.wait_for(process.communicate(), 20)
    assert (rest, errors, process.returncode) == (b"handled\n", b"", 0)
    assert [e.event for e in read_trace(tmp_path / "s1.jsonl", [])] == ["send", "receive", "deliver", "settle"]
