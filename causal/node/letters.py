"""Dead letters kept within two bounds: how many, and how large."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from causal.node.message import Message
from causal.ordering.dot import Dot


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was settled without being handled, and why. `message` is None where it cannot be read."""

    id: Dot
    subject: str
    reason: str
    message: Message | None


class DeadLetters(deque[DeadLetter]):
    """The last dead letters of a node, oldest first, at most `maxlen` with at most `bytes_max` of payload.

    The newest is always kept, and `total` counts all there ever were.
    """

    def __init__(self, maxlen: int, bytes_max: int) -> None:
        super().__init__(maxlen=maxlen)
        self.total = 0
        self.bytes_max = bytes_max
        self.bytes = 0
        """Bytes of payload of the letters that are kept."""

    def append(self, letter: DeadLetter, /) -> None:
        """Keep a letter, and forget the oldest ones for it as far as there is no room."""
        size = size_of(letter)
        while self and (len(self) == self.maxlen or self.bytes + size > self.bytes_max):
            self.popleft()
        super().append(letter)
        self.bytes += size
        self.total += 1

    def popleft(self) -> DeadLetter:
        """Take out the oldest letter, for instance to look after it."""
        letter = super().popleft()
        self.bytes -= size_of(letter)
        return letter

    def pop(self) -> DeadLetter:  # type: ignore[override]  # a deque's takes no index either
        """Take out the newest letter."""
        letter = super().pop()
        self.bytes -= size_of(letter)
        return letter

    def remove(self, letter: DeadLetter, /) -> None:
        """Take out this letter. Raises `ValueError` if it is not kept."""
        super().remove(letter)
        self.bytes -= size_of(letter)

    def forget(self) -> None:
        """Begin anew, as if there had never been any."""
        self.clear()
        self.total = 0

    def clear(self) -> None:
        """Forget all that are kept."""
        super().clear()
        self.bytes = 0


def size_of(letter: DeadLetter) -> int:
    """Bytes of payload that a letter keeps alive; none if it cannot be read."""
    return 0 if letter.message is None else len(letter.message._arrival.copy.payload)
