"""Credit and bounds hold the memory of sender and receiver, whatever the other end does: real processes, real gRPC."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from tests.integration.robustness.process import MIB, Process, launched

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

SLACK_MIB = 50
"""What may be taken beyond the bounds that are configured: frames on their way, gRPC's buffers, the allocator."""


async def until(condition: Callable[[], Awaitable[bool]], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        await asyncio.sleep(0.05)


def show(capsys: pytest.CaptureFixture[str], title: str, *members: Process) -> None:
    with capsys.disabled():
        print(f"\n{title}: {json.dumps({f'{m.name} grew by MiB': round(m.growth_mib, 1) for m in members})}")


async def test_memory_of_a_sender_is_bounded_while_its_peer_stands_still_and_all_arrives_afterwards(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with AsyncExitStack() as stack:
        receiver = await launched(stack, "S2", listen="127.0.0.1:0", window_bytes=16 * MIB)
        sender = await launched(stack, "S1", peers=f"S2={receiver.address}", outbox_bytes=32 * MIB)
        sender.tell(flood={"to": "S2", "count": 12_000, "size": 8192, "pause": 0})

        async def handling() -> bool:
            return bool((await receiver.status())["handled"] > 200)

        await until(handling, "the first messages")
        receiver.signal(signal.SIGSTOP)

        async def blocked_and_cut_off() -> bool:
            status = await sender.status()
            link = status["links"]["out"]["S2"]
            return bool(status["sends_waiting"] and link["state"] == "connecting" and link["attempts"])

        await until(blocked_and_cut_off, "an outbox that is full, and a link that is given up")
        status = await sender.status()
        assert 31 * MIB < status["links"]["out"]["S2"]["unsettled_bytes"] <= 32 * MIB
        assert sender.growth_mib < 32 + SLACK_MIB
        receiver.signal(signal.SIGCONT)
        assert await sender.hear("flooded", 30) == 12_000
        sender.tell(settle=True)
        assert await sender.hear("settled", 30) == 12_000
        assert (await receiver.status())["handled"] == 12_000
        show(capsys, "a peer that stood still", sender, receiver)
        assert sender.growth_mib < 32 + SLACK_MIB
        assert receiver.growth_mib < 16 + SLACK_MIB


async def test_memory_of_both_is_bounded_while_the_receiver_is_slow(capsys: pytest.CaptureFixture[str]) -> None:
    async with AsyncExitStack() as stack:
        slow = {"handler_s": 0.0005}
        receiver = await launched(stack, "S2", slow, listen="127.0.0.1:0", window_bytes=16 * MIB, concurrency=4)
        sender = await launched(stack, "S1", peers=f"S2={receiver.address}", outbox_bytes=16 * MIB)
        sender.tell(flood={"to": "S2", "count": 3_000, "size": 32_768, "pause": 0})  # three times both bounds
        assert await sender.hear("flooded", 40) == 3_000
        sender.tell(settle=True)
        assert await sender.hear("settled", 40) == 3_000
        assert (await sender.status())["sends_waited"] > 0
        show(capsys, "a slow peer", sender, receiver)
        assert sender.growth_mib < 16 + SLACK_MIB
        assert receiver.growth_mib < 16 + SLACK_MIB


async def test_memory_of_a_receiver_is_bounded_under_a_flood_that_it_does_not_handle(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with AsyncExitStack() as stack:
        receiver = await launched(stack, "S9", {"gate_open": False}, listen="127.0.0.1:0", window_bytes=8 * MIB)
        senders = [
            await launched(stack, f"S{number}", peers=f"S9={receiver.address}", outbox_bytes=16 * MIB)
            for number in (1, 2, 3)
        ]
        for sender in senders:
            sender.tell(flood={"to": "S9", "count": 600, "size": 65_536, "pause": 0})

        async def all_blocked() -> bool:
            statuses = [await sender.status() for sender in senders]
            links = (await receiver.status())["links"]["in"].values()
            full = [link["unsettled"] >= 120 for link in links]  # 8 MiB hold 127 of 64 KiB each
            return full == [True] * 3 and all(status["sends_waiting"] for status in statuses)

        await until(all_blocked, "everybody to wait for room")
        assert [link["unsettled"] < 128 for link in (await receiver.status())["links"]["in"].values()] == [True] * 3
        assert receiver.growth_mib < 3 * 8 + SLACK_MIB
        receiver.tell(open=True)
        for sender in senders:
            assert await sender.hear("flooded", 30) == 600
            sender.tell(settle=True)
            assert await sender.hear("settled", 30) == 600
        show(capsys, "a flood from three", receiver, *senders)
        assert receiver.growth_mib < 3 * 8 + SLACK_MIB
        assert max(sender.growth_mib for sender in senders) < 16 + SLACK_MIB
