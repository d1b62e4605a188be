"""What a copy of a message carries besides its payload."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from causal.ordering.dot import Dot, NodeId
from causal.ordering.scope import Scope

Seqs = int | frozenset[int]
"""Dots of one origin. An int: the origin chains its messages (process scope: each carries the one before it), so the
highest stands for the lower ones. A set, never empty: these dots and no others (context scope)."""

Dots = Mapping[NodeId, Seqs]
"""A set of dots for one destination, by origin.

Never mutated once it is part of a stamp or a context; a change makes a new mapping.
"""

Pending = Mapping[str, Dots]
"""Destination name → the dots which that destination must have settled first."""

Clock = Mapping[NodeId, int]
"""A vector clock with incarnations: sends per origin, one entry per name (its latest incarnation)."""


NO_DOTS: Dots = {}
NO_PENDING: Pending = {}


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
    horizon: int = 0
    """Everything addressed to this destination with a timestamp up to this one precedes the copy too (bounded mode:
    it stands in for dots that would not fit); 0 if there is nothing of the kind."""
    closed: Pending = NO_PENDING
    """Those of `elsewhere` that may not be folded into a horizon: the link from their origin to this incarnation of
    their destination was not known to be open at both ends."""


class Copy(NamedTuple):
    """One copy of a message on one link. Its origin is the link's sender."""

    seq: int
    stamp: Stamp
    subject: str
    payload: bytes
    """Key, headers and body as encoded once at the send: the same bytes for each destination and resend."""


def each(dots: Dots) -> Iterator[tuple[NodeId, int]]:
    """The dots of a set, one by one, as origin and seq."""
    for origin, seqs in dots.items():
        if isinstance(seqs, int):
            yield origin, seqs
        else:
            for seq in sorted(seqs):
                yield origin, seq


def listed(dots: Dots) -> tuple[tuple[NodeId, int], ...]:
    """The dots of a set as pairs of origin and seq."""
    for origin, seqs in dots.items():
        if not isinstance(seqs, int):
            if len(dots) == 1:  # the usual case
                return tuple([(origin, seq) for seq in sorted(seqs)])
            return tuple(each(dots))
    return tuple(dots.items())  # type: ignore[arg-type]  # each of them is an int, as the loop has seen


def dots_of(dots: Dots) -> Iterator[Dot]:
    """The dots of a set, one by one."""
    for origin, seq in each(dots):
        yield Dot(origin.name, origin.incarnation, seq)


def count_of(dots: Dots) -> int:
    """How many dots a set lists."""
    size = len(dots)
    for seqs in dots.values():
        if not isinstance(seqs, int):
            size += len(seqs) - 1
    return size


def size_of(pending: Pending) -> int:
    """How many dots a context or a stamp's `elsewhere` lists."""
    size = 0
    for dots in pending.values():
        size += len(dots)
        for seqs in dots.values():
            if not isinstance(seqs, int):
                size += len(seqs) - 1
    return size


def seqs_of(seq: int, scope: Scope) -> Seqs:
    """One message of an origin of this scope, as stamps name it."""
    return seq if scope is Scope.PROCESS else frozenset((seq,))


def joined_seqs(one: Seqs, other: Seqs) -> Seqs:
    """The dots of both; of a chain the later, which stands for the earlier.

    An origin's scope never changes, so only a hostile stamp makes one of each kind meet: then both are kept.
    """
    if isinstance(one, int) and isinstance(other, int):
        return max(one, other)
    ones = frozenset((one,)) if isinstance(one, int) else one
    others = frozenset((other,)) if isinstance(other, int) else other
    return ones if ones >= others else ones | others


def seqs_left(seqs: frozenset[int], is_gone: Callable[[int], bool]) -> frozenset[int] | None:
    """What is left of these dots without those that `is_gone`; None if nothing is."""
    return frozenset([seq for seq in seqs if not is_gone(seq)]) or None


def without_seqs(seqs: Seqs, others: Seqs | None) -> Seqs | None:
    """These dots but for the others; None if nothing is left. Of a chain only the same dot takes one away."""
    if others is None or seqs == others:
        return seqs if others is None else None
    if isinstance(seqs, int):
        return None if not isinstance(others, int) and seqs in others else seqs
    return (seqs - (frozenset((others,)) if isinstance(others, int) else others)) or None
