"""What a copy of a message carries besides its payload."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from causal.ordering.dot import Dot, NodeId

Dots = Mapping[NodeId, int]
"""A set of dots for one destination: the highest `seq` of each origin.

An origin's messages are chained (each carries the one before it), so the highest stands for the rest.
Never mutated once it is part of a stamp or a context; a change makes a new mapping.
"""

Pending = Mapping[str, Dots]
"""Destination name → the dots which that destination must have settled first."""

Clock = Mapping[NodeId, int]
"""A vector clock with incarnations: sends per origin, one entry per name (its latest incarnation)."""


NO_DOTS: Dots = {}


class Stamp(NamedTuple):
    """The causal metadata of one copy, fixed when it is sent; a retransmission repeats the same values.

    Invariant: every dot in `after` was sent before this one (its HLC is smaller), so waiting is acyclic.
    """

    previous: int
    """`seq` of the origin's message before this one on the same link, 0 if none: detects gaps, orders nothing."""
    timestamp: int
    """The hybrid logical clock of the send, 64-bit form."""
    after: Dots
    """What this destination must have settled before it delivers this copy."""
    elsewhere: Pending
    """For other destinations: what everything caused by this message must come after, the message itself
    for its other destinations included."""
    clock: Clock | None
    """The sender's vector clock, this send included; None where it was left out for size."""


class Copy(NamedTuple):
    """One copy of a message on one link. Its origin is the link's sender."""

    seq: int
    stamp: Stamp
    subject: str
    payload: bytes
    """Key, headers and body as encoded once at the send: the same bytes for each destination and resend."""


def dots_of(dots: Dots) -> Iterator[Dot]:
    """The dots of a set, one by one."""
    for origin, seq in dots.items():
        yield Dot(origin.name, origin.incarnation, seq)


def size_of(pending: Pending) -> int:
    """How many dots a context or a stamp's `elsewhere` lists."""
    return sum(map(len, pending.values()))
