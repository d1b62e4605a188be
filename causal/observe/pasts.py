"""Happened-before as sets: the past of each message, as the bits of one integer."""

from __future__ import annotations

from collections.abc import Iterator

from causal.observe.history import DELIVER, UNSENT, History


class Pasts:
    """The past of each message in flight; a message gets its bit when its send is replayed.

    Invariant: a message's past has only lower bits than its own. A past is kept from the send to the last
    delivery (of a message that a verdict or a send names: for good), so memory is about n/8 bytes for each message that
    is in flight at a time, n being the messages of the run.
    """

    def __init__(self, history: History) -> None:
        self.order: list[int] = []
        """Bit → message."""
        self._bits = [UNSENT] * len(history.ids)
        self._pasts: dict[int, int] = {}
        self._named = {
            named
            for process in history.processes
            for several in (process.missing, process.follows)
            for all_named in several.values()
            for named in all_named
        }
        self._remaining = _count_deliveries(history)

    def is_sent(self, message: int) -> bool:
        return self._bits[message] != UNSENT

    def bit(self, message: int) -> int:
        """The number of the bit that stands for a message which is sent."""
        return self._bits[message]

    def add(self, message: int, context: int) -> int:
        """A message is sent that follows everything in `context`; returns the set of it alone."""
        bit = len(self.order)
        self._bits[message] = bit
        self.order.append(message)
        if self._remaining[message] or message in self._named:
            self._pasts[message] = context
        return 1 << bit

    def before(self, message: int) -> int | None:
        """What a message follows; None if nobody will deliver it from here on."""
        return self._pasts.get(message)

    def upto(self, message: int) -> int:
        """What a message follows, and itself; for one still to be delivered, or named by a verdict."""
        return self._pasts[message] | 1 << self._bits[message]

    def delivered(self, message: int) -> None:
        """One process has delivered the message for the first time."""
        self._remaining[message] -= 1
        if not self._remaining[message] and message not in self._named:
            del self._pasts[message]

    def latest(self, messages: int) -> Iterator[int]:
        """The messages of a set, the last sent first."""
        while messages:
            top = messages.bit_length() - 1
            yield self.order[top]
            messages ^= 1 << top


def _count_deliveries(history: History) -> list[int]:
    """Message → how many processes deliver it."""
    remaining = [0] * len(history.ids)
    for process in history.processes:
        columns = zip(process.kinds, process.messages, strict=True)
        for message in {message for kind, message in columns if kind == DELIVER}:
            remaining[message] += 1
    return remaining
