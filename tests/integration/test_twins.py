"""Two processes with one name that start in the same millisecond, over real gRPC (faults B6, B12, C6)."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.integration.robustness.process import QUICK, Process, launched

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

MESSAGES = 40
FLOOD = {"to": "S2", "count": MESSAGES, "size": 10, "pause": 0.01}


async def twins(stack: AsyncExitStack, receiver: Process) -> list[Process]:
    """Both want to send the same number of messages to the receiver."""
    incarnation = time.time_ns() // 1_000_000
    settings: dict[str, Any] = {"peers": f"S2={receiver.address}", "drain_timeout": 0.2}
    started = await asyncio.gather(*(launched(stack, "S1", {"incarnation": incarnation}, **settings) for _ in range(2)))
    assert [twin.incarnation for twin in started] == [incarnation] * 2
    for twin in started:
        twin.tell(flood=FLOOD)
    for twin in started:
        await twin.hear("flooded", 20)
    return started


Status = dict[str, Any]


async def status_when(process: Process, holds: Callable[[Status], bool], what: str) -> Status:
    """What a process says of itself, as soon as a condition holds for it."""
    deadline = time.monotonic() + 15
    while not holds(status := await process.status()):
        assert time.monotonic() < deadline, f"waited in vain for {what}: {status}"
        await asyncio.sleep(0.02)
    return status


def link(status: Status) -> Status:
    found: Status = status["links"]["out"]["S2"]
    return found


def decided(status: Status) -> bool:
    return link(status)["state"] == "open" or "name_taken" in str(link(status)["error"])


async def first_and_second(started: list[Process]) -> tuple[Process, Process]:
    """The one that was let in, and the one that was not and has been told so."""
    states = [link(await status_when(twin, decided, "a decision"))["state"] for twin in started]
    assert sorted(states) == ["connecting", "open"]
    first = states.index("open")
    return started[first], started[1 - first]


async def handles(receiver: Process, count: int) -> None:
    """The receiver handles so many messages, and no more."""
    status = await status_when(receiver, lambda status: status["handled"] >= count, f"{count} messages")
    assert status["handled"] == count


async def test_b6_c6_of_two_processes_with_one_incarnation_one_works_and_the_other_loses_nothing_unawares() -> None:
    async with AsyncExitStack() as stack:
        receiver = await launched(stack, "S2", listen="127.0.0.1:0")
        first, second = await first_and_second(await twins(stack, receiver))
        first.tell(settle=True)
        assert await first.hear("settled", 10) == MESSAGES
        attempts = link(await second.status())["attempts"]
        again = await status_when(second, lambda status: link(status)["attempts"] > attempts + 3, "more attempts")
        refused = link(again)
        assert (refused["state"], refused["unsettled"]) == ("connecting", MESSAGES)
        assert "another process has the name S1, started in the same millisecond" in refused["error"]
        assert link(await first.status())["attempts"] == 0
        await handles(receiver, MESSAGES)  # what counts as settled, and nothing more
        first.signal(signal.SIGTERM)
        assert await first.ended(10) == 0
        second.tell(settle=True)
        assert await second.hear("settled", 10) == MESSAGES
        assert (await second.status())["incarnation"] == first.incarnation + 1
        await handles(receiver, 2 * MESSAGES)
        assert second.stderr.count("name_taken") == receiver.stderr.count("name_taken") == 1


async def test_b6_b12_process_that_is_frozen_for_longer_than_the_silence_is_fenced_by_its_twin() -> None:
    async with AsyncExitStack() as stack:
        receiver = await launched(stack, "S2", listen="127.0.0.1:0")
        first, second = await first_and_second(await twins(stack, receiver))
        first.tell(settle=True)
        assert await first.hear("settled", 10) == MESSAGES
        begun = time.monotonic()
        first.signal(signal.SIGSTOP)
        second.tell(settle=True)
        assert await second.hear("settled", 15) == MESSAGES
        assert time.monotonic() - begun > QUICK["silence_max"]
        first.signal(signal.SIGCONT)
        first.tell(flood={**FLOOD, "count": 1})
        told = f"another process has the name S1 and is connected to S2 as incarnation {first.incarnation + 1}"
        fenced = await status_when(first, lambda status: told in str(link(status)["error"]), "what it is told")
        assert link(fenced)["unsettled"] == 1
        await handles(receiver, 2 * MESSAGES)
