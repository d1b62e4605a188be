"""What happened in a run, in its order: the input of the algorithms that are compared."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Kind(IntEnum):
    SEND = 0
    RECEIVE = 1
    """A copy has arrived."""
    RELEASE = 2
    """The copy may start: everything it follows is settled here. Right after the event that brought this about."""
    START = 3
    """Its handler starts: whatever is sent here from now on follows it."""
    SETTLE = 4
    """Its handler has returned."""


class Event(NamedTuple):
    kind: Kind
    at_us: int
    service: int
    number: int
    """Of the message."""


class History:
    """Events, and what no algorithm may know: who is addressed, and what some messages truly follow."""

    def __init__(self, services: int) -> None:
        self.services = services
        self.events: list[Event] = []
        self.senders: dict[int, int] = {}
        self.destinations: dict[int, tuple[int, ...]] = {}
        self.measured: set[int] = set()
        """Messages sent while the run counts."""
        self.truth: dict[int, list[int]] = {}
        """For a sample of messages: how many messages of each service they follow, by the oracle's sets."""

    def note(self, kind: Kind, at_us: int, service: int, number: int) -> None:
        self.events.append(Event(kind, at_us, service, number))
