"""Whoever uses a node is cancelled at every step of any task: nothing hangs, and nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from causal import Message, Node
from causal.testing.cluster import Cluster
from tests.node.support import QUICK, Gate, quick, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

ENDS_S = 5.0
"""Far more than anything here waits for: the drain is cut to 50 ms, a close takes half a second."""

Scenario = Callable[[], Coroutine[Any, Any, None]]


class Steps:
    """Counts the steps of all tasks of a loop, and does something at one of them."""

    def __init__(self) -> None:
        self.count = 0
        self.at: dict[int, Callable[[], object]] = {}

    def next(self) -> None:
        self.count += 1
        if (act := self.at.pop(self.count, None)) is not None:
            act()

    def task(self, loop: asyncio.AbstractEventLoop, body: Any, **settings: Any) -> asyncio.Task[Any]:
        """The loop's factory of tasks."""
        return asyncio.Task(Counted(body, self.next), loop=loop, **settings)


class Counted(Coroutine[Any, Any, Any]):
    """A coroutine that says so before each of its steps."""

    def __init__(self, body: Coroutine[Any, Any, Any], note: Callable[[], None]) -> None:
        self._body = body
        self._note = note

    def send(self, value: Any) -> Any:
        self._note()
        return self._body.send(value)

    def throw(self, *error: Any) -> Any:
        self._note()
        return self._body.throw(*error)

    def close(self) -> None:
        self._body.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._body.__await__()


@asynccontextmanager
async def counted_steps() -> AsyncIterator[Steps]:
    """All tasks made in the block are counted; what the loop is told of as an error fails it."""
    loop = asyncio.get_running_loop()
    steps, errors = Steps(), []
    loop.set_task_factory(steps.task)
    loop.set_exception_handler(lambda _, context: errors.append(context))
    try:
        yield steps
        gc.collect()
        assert errors == []
    finally:
        loop.set_task_factory(None)
        loop.set_exception_handler(None)


async def cancelled(scenario: Scenario, *moments: int) -> bool:
    """Run a scenario and cancel it at these steps; whether it had ended before the first of them."""
    before = asyncio.all_tasks()
    threads = threading.active_count()
    async with counted_steps() as steps:
        running = asyncio.ensure_future(scenario())
        for moment in moments:
            steps.at[moment] = running.cancel
        _, late = await asyncio.wait([running], timeout=ENDS_S)
        assert not late, f"hangs when it is cancelled at {moments}"
        await until(lambda: asyncio.all_tasks() == before, f"no task to be left, cancelled at {moments}")
        if not running.cancelled():
            running.result()  # what it raises itself is a failure
            assert moments[0] in steps.at or steps.count >= moments[0]
    assert threading.active_count() <= max(threads, 3)
    return not running.cancelled()


async def conversation() -> None:
    """Enter, send to oneself and others, be cut off, wait, be held up, and leave."""
    s1, s2 = (quick(name, drain_timeout=0.05, outbox_messages=3) for name in ("S1", "S2"))
    gate = Gate(s2, "slow")

    @s1.on(">")
    @s2.on("a")
    async def handle(message: Message) -> None:
        await asyncio.sleep(0)

    @s2.on("answer.me")
    async def answer(message: Message) -> None:
        await s2.send("S1", "answer")

    cluster = Cluster(s1, s2)
    async with s2, s1:
        await s1.settled(await s1.send(["S1", "S2"], "a"), timeout=1)
        with cluster.cut("S1", "S2"):
            for _ in range(3):
                await s1.send("S2", "a")
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(give_room(cluster))
                await s1.send("S2", "answer.me")
        await s1.send("S2", "slow")
        gate.open.set()
        await s1.settled(timeout=1)


async def give_room(cluster: Cluster) -> None:
    await asyncio.sleep(0.001)  # the outbox is full meanwhile
    cluster.heal("S1", "S2")


async def test_cancellation_at_every_step_in_memory_hangs_nowhere_and_leaves_no_task(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")
    moment = 1
    while not await cancelled(conversation, moment):
        moment += 1
    with capsys.disabled():
        print(f"\ncancelled at each of {moment - 1} steps")
    assert moment > 80


async def test_second_cancellation_at_any_step_of_the_end_hangs_nowhere_and_leaves_no_task(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("CRITICAL")
    for moment in range(20, 180, 8):
        for later in (1, 2, 3, 5, 8, 13, 21, 34):
            await cancelled(conversation, moment, moment + later)


def over_grpc(port: int) -> Scenario:
    """The same over gRPC, always at one port: a listener that stays would be noticed by the next run."""

    async def talk() -> None:
        settings: dict[str, Any] = {**QUICK, "heartbeat_interval": 0.02, "drain_timeout": 0.05}
        s2 = Node("S2", listen=f"127.0.0.1:{port}", **settings)
        s1 = Node("S1", peers={"S2": f"127.0.0.1:{port}"}, **settings)
        s2.on(">")(_nothing)
        async with s1, s2:  # the sender dials before anybody listens
            for _ in range(3):
                await s1.settled(await s1.send("S2", "a"), timeout=5)

    return talk


async def _nothing(message: Message) -> None: ...


async def test_cancellation_at_steps_of_connecting_handshaking_talking_and_leaving_over_grpc(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    scenario = over_grpc(port)
    moment = 1
    while not await cancelled(scenario, moment):
        moment += 3
    with capsys.disabled():
        print(f"\ncancelled over gRPC at every third of {moment} steps")
    assert moment > 60
    for again in range(moment // 2, moment, 6):  # a second Ctrl-C while the first one's end goes on
        await cancelled(scenario, again, again + 4)
