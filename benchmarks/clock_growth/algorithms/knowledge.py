"""Messages on their way, for algorithms that keep what a copy carries until its last destination has taken it."""

from __future__ import annotations

from typing import Generic, TypeVar

Carried = TypeVar("Carried")


class InTransit(Generic[Carried]):
    """By message: its origin, and what it carries."""

    def __init__(self) -> None:
        self._carried: dict[int, tuple[int, Carried]] = {}
        self._left: dict[int, int] = {}

    def put(self, number: int, origin: int, carried: Carried, copies: int) -> None:
        self._carried[number] = origin, carried
        self._left[number] = copies

    def look(self, number: int) -> tuple[int, Carried]:
        return self._carried[number]

    def take(self, number: int) -> tuple[int, Carried]:
        """As `look`; forgotten with the last copy."""
        left = self._left[number] - 1
        if left:
            self._left[number] = left
            return self._carried[number]
        del self._left[number]
        return self._carried.pop(number)
