"""What is to happen once nothing else has happened for a while: a heartbeat, or the end of a silent stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self


class Idle:
    """Calls `act` whenever so many seconds have passed since the last `touch`, or since `act` was called.

    `with Idle(…)` in the event loop; nothing is called outside. A touch costs a look at the clock: the one timer that
    there is goes off once in each period, and looks when the last touch was. (A timer for each frame costs more than
    taking it in.)
    """

    __slots__ = ("_act", "_last", "_loop", "_seconds", "_timer")

    def __init__(self, seconds: float, act: Callable[[], None]) -> None:
        self._seconds = seconds
        self._act = act
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self.touch()
        self._timer = self._loop.call_later(self._seconds, self._look)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def touch(self) -> None:
        """Something has happened."""
        self._last = self._loop.time()

    def _look(self) -> None:
        left = self._last + self._seconds - self._loop.time()
        if left <= 0:
            self.touch()
            left = self._seconds
            self._act()
        if self._timer is not None:  # `act` may have ended it
            self._timer = self._loop.call_later(left, self._look)


class Heartbeat(Idle):
    """Sets `wake` after so many seconds in which nothing was said, for the writer of a stream to say something."""

    __slots__ = ("_is_due", "_wake")

    def __init__(self, seconds: float, wake: asyncio.Event) -> None:
        super().__init__(seconds, self._beat)
        self._wake = wake
        self._is_due = False

    def take(self) -> bool:
        """Whether a heartbeat is due; it is not any more."""
        due, self._is_due = self._is_due, False
        return due

    def _beat(self) -> None:
        self._is_due = True
        self._wake.set()


@asynccontextmanager
async def ended_by_silence(seconds: float) -> AsyncIterator[Idle]:
    """Ends what is inside by `TimeoutError` when so many seconds have passed since the last `touch`."""
    async with asyncio.timeout(None) as limit:
        with Idle(seconds, lambda: limit.reschedule(0.0)) as idle:
            yield idle
