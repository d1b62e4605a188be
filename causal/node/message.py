"""A message as its handler sees it."""

from __future__ import annotations

import datetime as dt
from typing import Any

from msgspec import Struct

from causal.clock import HybridTimestamp, Relation, VectorClock
from causal.ordering.dot import Dot, NodeId
from causal.ordering.holdback import Arrival
from causal.ordering.stamp import Clock, dots_of
from causal.ordering.verdict import Verdict


class Message(Struct, eq=False):
    """One message, delivered to one handler."""

    _arrival: Arrival
    key: str | None
    headers: dict[str, str]
    body: Any
    held_for: float
    """Seconds that it was held back; 0.0 if it was ready as it came."""
    attempt: int
    """Which run of the handler this is, from 1."""

    @property
    def id(self) -> Dot:
        """Its dot, the same at every destination; `str(id)` is `sender/incarnation/seq`."""
        return self._arrival.dot

    @property
    def subject(self) -> str:
        """What it was sent under."""
        return self._arrival.copy.subject

    @property
    def timestamp(self) -> HybridTimestamp:
        """The hybrid logical clock of the send."""
        return HybridTimestamp.from_int(self._arrival.copy.stamp.timestamp)

    @property
    def after(self) -> tuple[Dot, ...]:
        """What had to be settled here before this message."""
        return tuple(dots_of(self._arrival.copy.stamp.after))

    @property
    def verdict(self) -> Verdict:
        """How it was released: inside the guarantee, or why not."""
        return self._arrival.verdict

    @property
    def _clock(self) -> Clock | None:
        return self._arrival.copy.stamp.clock

    @property
    def sender(self) -> str:
        """Name of the node that sent it."""
        return self._arrival.origin.name

    @property
    def sent_at(self) -> dt.datetime:
        """When it was sent, by the sender's hybrid clock: to the millisecond, in UTC."""
        return dt.datetime.fromtimestamp(self.timestamp.milliseconds / 1000, dt.UTC)

    @property
    def clock(self) -> VectorClock | None:
        """The sender's vector clock, this message counted; None if it was left out for its size."""
        if self._clock is None:
            return None
        return VectorClock({node.name: count for node, count in self._clock.items()})

    def compare(self, other: Message) -> Relation:
        """How this message relates to another in happened-before of their processes. O(1).

        `NOT_AFTER` where the clocks cannot tell: one was left out for its size, or counts another incarnation.
        """
        if self.id == other.id:
            return Relation.SAME
        before, after = _precedes(self, other), _precedes(other, self)
        if before:
            return Relation.BEFORE
        if after:
            return Relation.AFTER
        return Relation.CONCURRENT if before is after is False else Relation.NOT_AFTER

    def __repr__(self) -> str:
        return f"<Message {self.id} {self.subject} {self.verdict}>"


def _precedes(one: Message, other: Message) -> bool | None:
    """Whether `one` is in the causal past of `other`; None if its clock cannot tell."""
    if other._clock is None:
        return None
    origin = one.id.origin
    count = other._clock.get(origin)
    if count is not None:
        return count >= one.id.seq
    return None if _knows_another_incarnation(other._clock, origin) else False


def _knows_another_incarnation(clock: Clock, origin: NodeId) -> bool:
    return any(node.name == origin.name and node.incarnation > origin.incarnation for node in clock)
