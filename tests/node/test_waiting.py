"""Waiting for room and for settlements, without a node around it."""

from __future__ import annotations

import asyncio

import pytest

from causal import BackpressureError, ClosedError
from causal.node.waiting import Room, Settlements
from causal.ordering.contexts import Follows
from tests.node.support import turns


class Outbox:
    """Room for one message to each destination, taken by whoever is let through."""

    def __init__(self) -> None:
        self.full: set[str] = set()
        self.passed: list[int] = []
        self.room = Room(self.obstacle)

    def obstacle(self, destinations: tuple[str, ...], size: int, _: Follows) -> str | None:
        return f"{destinations} full" if self.full & {*destinations} else None

    async def send(self, number: int, *destinations: str, timeout: float | None = None) -> None:
        await self.room.wait(destinations, number, timeout)
        assert not self.full & {*destinations}
        self.full |= {*destinations}
        self.passed.append(number)
        self.room.offer()

    def settle(self, destination: str) -> None:
        self.full.discard(destination)
        self.room.offer()


async def test_room_that_comes_while_others_wait_is_not_taken_by_a_later_send() -> None:
    outbox = Outbox()
    await outbox.send(0, "S2")
    first = asyncio.create_task(outbox.send(1, "S2"))
    await turns()
    outbox.settle("S2")  # the first has been called, and has not run yet
    second = asyncio.create_task(outbox.send(2, "S2"))
    with pytest.raises(BackpressureError, match="full"):
        await outbox.send(3, "S2", timeout=0)
    await turns()
    assert outbox.passed == [0, 1]
    outbox.settle("S2")
    await asyncio.gather(first, second)
    assert (outbox.passed, len(outbox.room), outbox.room.waited) == ([0, 1, 2], 0, 3)


async def test_room_taken_by_another_queue_between_call_and_run_is_waited_for_again() -> None:
    outbox = Outbox()
    await outbox.send(0, "S2")
    waiting = [asyncio.create_task(outbox.send(number, *to)) for number, to in ((1, ("S2",)), (2, ("S2", "S3")))]
    await turns()
    outbox.settle("S2")  # calls both: only one of them can have it
    await turns()
    assert outbox.passed == [0, 1]
    outbox.settle("S2")
    await asyncio.gather(*waiting)
    assert outbox.passed == [0, 1, 2]


async def test_room_closed_releases_who_waits_and_who_comes_later() -> None:
    outbox = Outbox()
    await outbox.send(0, "S2")
    waiting = asyncio.create_task(outbox.send(1, "S2"))
    await turns()
    outbox.settle("S2")
    outbox.room.close("S1 was left")  # in the same turn of the loop as the room
    for send in (waiting, outbox.send(2, "S2")):
        with pytest.raises(ClosedError, match="S1 was left"):
            await send
    assert outbox.passed == [0]


async def test_settlements_of_many_waits_are_noted_once_each_and_nothing_stays_behind() -> None:
    settlements = Settlements()
    waits = [asyncio.create_task(settlements.wait({*seqs}, timeout)) for seqs, timeout in (
        ((1, 2), None), ((2, 3), None), ((3,), 0.0), ((9,), None),
    )]  # fmt: skip
    await turns()
    for seq in (1, 2):
        settlements.note(seq)
    assert await asyncio.wait_for(waits[0], 5) == []
    assert await asyncio.wait_for(waits[2], 5) == [3]
    assert not waits[1].done()
    waits[3].cancel()
    settlements.note(3)
    assert await asyncio.wait_for(waits[1], 5) == []
    await asyncio.wait([waits[3]])
    assert not settlements._waiting
