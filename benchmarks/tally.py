"""What each contender's receiver calls for every message: counts it, and takes the time of the first and last."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Callable
from typing import Any

BODY_BYTES = 256

_TIME_BYTES = 8


def timed_body(due_ns: int) -> bytes:
    """A body that says when it was due to be sent, by the clock that all processes of a machine share."""
    return due_ns.to_bytes(_TIME_BYTES, "little") + bytes(BODY_BYTES - _TIME_BYTES)


class Tally:
    """Counts a batch of messages by number; `note` is the callable that is run on each.

    The sum of the numbers tells a batch in which each came once from one with a loss or a duplicate.
    """

    def __init__(self) -> None:
        self.note: Callable[[int, bytes], None] = self._count
        self.done = asyncio.Event()
        self.expect(0)

    def expect(self, messages: int, *, timed: bool = False) -> None:
        """Begin a batch. `timed`: bodies are of `timed_body`, and each one's latency is kept."""
        self.messages = 0
        self.total = 0
        self.first_ns = self.last_ns = 0
        self.latencies = array("q")
        """From when a message was due to when it was noted, ns."""
        self.wrong_bodies = 0
        self._expected = messages
        self._mark = 1
        self.done.clear()
        self.note = self._time if timed else self._count

    def report(self) -> dict[str, Any]:
        """The batch so far; times are of the machine's monotonic clock, ns."""
        return {
            "messages": self.messages,
            "total": self.total,
            "first_ns": self.first_ns,
            "last_ns": self.last_ns,
            "wrong_bodies": self.wrong_bodies,
        }

    def _count(self, number: int, body: bytes) -> None:
        self.messages += 1
        self.total += number
        if self.messages == self._mark:
            self._reach(body)

    def _time(self, number: int, body: bytes) -> None:
        self.latencies.append(time.monotonic_ns() - int.from_bytes(body[:_TIME_BYTES], "little"))
        self._count(number, body)

    def _reach(self, body: bytes) -> None:
        """The first message, or the last one: one comparison a message serves both."""
        now = time.monotonic_ns()
        self.wrong_bodies += len(body) != BODY_BYTES
        if self.messages == 1:
            self.first_ns = now
            self._mark = self._expected
        if self.messages == self._expected:
            self.last_ns = now
            self.done.set()
