"""How long messages wait at one process, and whether they had to."""

from __future__ import annotations

from causal.observe.history import Process
from causal.observe.pasts import Pasts


class Waits:
    """When each message of one process became ready, and which handlers ran meanwhile.

    A waiting message is registered under ONE predecessor that it misses, the last sent, and looked at again
    only when that one settles. Positions are compared, not times: a wall clock may step back.
    """

    def __init__(self, process: Process, pasts: Pasts, unordered: set[int], concurrency: int) -> None:
        self.held: list[int] = []
        """ns from receive to the first deliver, of messages that were not ready when received."""
        self.beyond_ready: list[int] = []
        """ns from ready to the first deliver, while handlers were free."""
        self._process = process
        self._pasts = pasts
        self._unordered = unordered
        self._concurrency = concurrency
        self._received: dict[int, int] = {}
        self._ready: dict[int, int] = {}
        self._watched: dict[int, list[int]] = {}
        self._running = 0
        self._full_until = -1
        """Position of the last event up to which `concurrency` handlers were running."""

    def receive(self, message: int, position: int, unsettled: int) -> None:
        """A copy arrives for the first time; `unsettled` is what is sent to this process and not settled."""
        self._received[message] = position
        if message not in self._unordered:
            self._look(message, position, unsettled)

    def start(self, message: int, position: int) -> None:
        """The message's handler starts for the first time."""
        received = self._received.get(message)
        if received is not None and message not in self._unordered:
            self._measure(message, received, position)
        self._running += 1

    def end(self, position: int) -> None:
        """A handler that was running has settled its message."""
        if self._running >= self._concurrency:
            self._full_until = position
        self._running -= 1

    def settle(self, message: int, position: int, unsettled: int) -> None:
        """A message is settled and no longer among `unsettled`."""
        for watcher in self._watched.pop(self._pasts.bit(message), ()):
            self._look(watcher, position, unsettled)

    def _look(self, message: int, position: int, unsettled: int) -> None:
        past = self._pasts.before(message)
        if past is None:
            return  # Nobody delivers it from here on, so nobody asks whether it was ready.
        missing = past & unsettled
        if missing:
            self._watched.setdefault(missing.bit_length() - 1, []).append(message)
        else:
            self._ready[message] = position

    def _measure(self, message: int, received: int, position: int) -> None:
        times, ready = self._process.times, self._ready.get(message)
        if ready is None:
            # Started before it was ready: it was held only if its verdict names what was missing.
            if position in self._process.missing:
                self.held.append(max(0, times[position] - times[received]))
            return
        if ready > received:
            self.held.append(max(0, times[position] - times[received]))
        if self._running < self._concurrency and self._full_until <= ready:
            self.beyond_ready.append(max(0, times[position] - times[ready]))
