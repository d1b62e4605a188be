"""Heartbeats and silences: one timer each, however often something happens."""

from __future__ import annotations

import asyncio

import pytest

from causal.node.idle import Heartbeat, Idle, ended_by_silence


class Turns:
    """A loop whose time is set, to look at timers without waiting."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loop = asyncio.get_running_loop()
        self.now = self.loop.time()
        monkeypatch.setattr(self.loop, "time", lambda: self.now)

    async def after(self, seconds: float) -> None:
        """So much later, with all timers that are due by then."""
        self.now += seconds
        for _ in range(5):
            await asyncio.sleep(0)


async def test_idle_acts_once_in_each_period_without_a_touch(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, acts = Turns(monkeypatch), []
    with Idle(1.0, lambda: acts.append(turns.now)):
        start = turns.now
        for _ in range(6):
            await turns.after(0.5)
    assert acts == pytest.approx([start + 1, start + 2, start + 3])


async def test_touch_puts_it_off_to_a_whole_period_later(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, acts = Turns(monkeypatch), []
    with Idle(1.0, lambda: acts.append(turns.now)) as idle:
        start = turns.now
        for _ in range(7):
            await turns.after(0.9)
            idle.touch()
        assert acts == []
        await turns.after(0.95)
        await turns.after(0.1)
        assert acts == pytest.approx([start + 7 * 0.9 + 1.05])


async def test_nothing_is_called_once_it_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, acts = Turns(monkeypatch), []
    with Idle(1.0, lambda: acts.append(turns.now)):
        pass
    await turns.after(5)
    assert acts == []


async def test_heartbeat_wakes_the_writer_and_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, wake = Turns(monkeypatch), asyncio.Event()
    with Heartbeat(1.0, wake) as heartbeat:
        assert not heartbeat.take()
        await turns.after(1.0)
        assert wake.is_set()
        assert heartbeat.take()
        assert not heartbeat.take()


async def test_silence_ends_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, never = Turns(monkeypatch), asyncio.Event()

    async def read() -> None:
        async with ended_by_silence(1.0):
            await never.wait()

    reading = asyncio.create_task(read())
    await turns.after(0.0)
    await turns.after(1.0)
    with pytest.raises(TimeoutError):
        await reading
