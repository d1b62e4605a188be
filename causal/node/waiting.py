"""Callers that wait inside a node: sends for room, and `settled` for settlements.

Nothing here polls: `Room.offer` and `Settlements.note` are called when something may have changed. Closing
releases everybody with `ClosedError`, also those that come to wait afterwards.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from causal.errors import BackpressureError, ClosedError
from causal.ordering.contexts import CONTEXT_ALONE, Follows

Destinations = tuple[str, ...]
Obstacle = Callable[[Destinations, int, Follows], str | None]
"""(destinations, bytes, what it follows) → why that cannot be sent now, in words; None if it can."""


class _Turn:
    """One send in its queue."""

    __slots__ = ("called", "follows", "size")

    def __init__(self, size: int, follows: Follows) -> None:
        self.size = size
        self.follows = follows
        self.called = asyncio.Event()


class Room:
    """Sends that wait for room, in one queue for each set of destinations.

    Those in one queue are let through in the order in which they came, and no later send overtakes them; a full
    outbox does not stop sends to elsewhere. An offer costs O(queues), not O(waiting).
    """

    def __init__(self, obstacle: Obstacle) -> None:
        self._obstacle = obstacle
        self._queues: dict[Destinations, deque[_Turn]] = {}
        self._closed: str | None = None
        self.waited = 0
        """Sends that have had to wait."""

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def is_contended(self, destinations: Destinations) -> bool:
        """Whether a send to there must wait behind others, or is refused as the node closes."""
        return destinations in self._queues or self._closed is not None

    async def wait(
        self, destinations: Destinations, size: int, timeout: float | None, follows: Follows = CONTEXT_ALONE
    ) -> None:
        """Return when the send can be made, which the caller must do before its next await.

        Raises `BackpressureError` after `timeout` seconds, `ClosedError`.
        """
        if self._closed is not None:
            raise ClosedError(self._closed)
        if destinations not in self._queues and self._obstacle(destinations, size, follows) is None:
            return
        self.waited += 1
        turn = _Turn(size, follows)
        self._queues.setdefault(destinations, deque()).append(turn)
        try:
            async with asyncio.timeout(timeout):
                await self._called(destinations, turn)
        except BaseException as error:
            self._leave(destinations, turn)
            self.offer()  # whoever is first now has not been called yet
            if isinstance(error, TimeoutError):
                obstacle = self._obstacle(destinations, size, follows) or "other sends to there were first"
                raise BackpressureError(f"no room within {timeout} s: {obstacle}; nothing was sent") from None
            raise
        self._leave(destinations, turn)

    async def _called(self, destinations: Destinations, turn: _Turn) -> None:
        while (
            self._queues[destinations][0] is not turn
            or self._obstacle(destinations, turn.size, turn.follows) is not None
        ):
            await turn.called.wait()
            turn.called.clear()
            if self._closed is not None:
                raise ClosedError(self._closed)

    def _leave(self, destinations: Destinations, turn: _Turn) -> None:
        queue = self._queues[destinations]
        queue.remove(turn)
        if not queue:
            del self._queues[destinations]

    def offer(self) -> None:
        """There may be room now: call the first of each queue for which that is so."""
        for destinations, queue in self._queues.items():
            if self._obstacle(destinations, queue[0].size, queue[0].follows) is None:
                queue[0].called.set()

    def close(self, reason: str) -> None:
        """Release all that wait, and all that will, with `ClosedError`."""
        self._closed = reason
        for queue in self._queues.values():
            for turn in queue:
                turn.called.set()


class _Wait:
    """One caller, and the own messages that it still waits for."""

    __slots__ = ("left", "over")

    def __init__(self, left: set[int]) -> None:
        self.left = left
        self.over = asyncio.Event()


class Settlements:
    """Callers that wait until own messages are settled everywhere. Noting one costs O(those who wait for it)."""

    def __init__(self) -> None:
        self._waiting: dict[int, list[_Wait]] = {}
        self._closed: str | None = None

    async def wait(self, seqs: set[int], timeout: float | None) -> list[int]:
        """Return when all are settled, or after `timeout` seconds, or when one is given up, those that are not.

        Raises `ClosedError`. `seqs` are unsettled now.
        """
        wait = _Wait(seqs)
        if not wait.left:
            return []
        for seq in wait.left:
            self._waiting.setdefault(seq, []).append(wait)
        try:
            async with asyncio.timeout(timeout):
                await wait.over.wait()
        except TimeoutError:
            pass
        finally:
            for seq in wait.left:
                self._waiting[seq].remove(wait)
                if not self._waiting[seq]:
                    del self._waiting[seq]
        if wait.left and self._closed is not None:
            raise ClosedError(self._closed)
        return sorted(wait.left)

    @property
    def waited_for(self) -> list[int]:
        """The messages that somebody waits for."""
        return list(self._waiting)

    def note(self, seq: int) -> None:
        """This own message is settled at all its destinations."""
        for wait in self._waiting.pop(seq, ()):
            wait.left.discard(seq)
            if not wait.left:
                wait.over.set()

    def forgo(self, seq: int) -> None:
        """What is left of this own message nobody waits for, but who has been told that it is given up."""
        waits = self._waiting.pop(seq, [])
        if told := [wait for wait in waits if wait.over.is_set()]:
            self._waiting[seq] = told
        for wait in waits:
            if wait not in told:
                wait.left.discard(seq)
                if not wait.left:
                    wait.over.set()

    def give_up(self, seqs: Iterable[int]) -> None:
        """These own messages have been given up: whoever waits for one of them is released, and has to look why."""
        for seq in seqs:
            for wait in self._waiting.get(seq, ()):
                wait.over.set()

    def close(self, reason: str) -> None:
        """Release all that wait with `ClosedError`."""
        self._closed = reason
        for waits in self._waiting.values():
            for wait in waits:
                wait.over.set()
