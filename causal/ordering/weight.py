"""What a copy weighs: the bytes of memory that it takes at its receiver while it is unsettled there.

Credit is counted in these, by the same formula at both ends of a link, so that what a receiver holds is bounded
whatever stamps say: 4,096 copies with 4,096 dots each would be gigabytes. A copy that follows nothing, or the one
before it on its link, weighs what its payload does, and costs one look.

Measured on decoded stamps, bytes each: a chained dot of `after` 128, one of `elsewhere` 64; an origin whose dots are a
set 220 more; a destination of `elsewhere` or `closed` 220; an entry of a clock 64.
"""

from __future__ import annotations

from collections.abc import Iterable

from causal.ordering.counts import SharedClock
from causal.ordering.stamp import Clock, Copy, Dots, Pending, count_of

DOT_BYTES = 128
SET_BYTES = 256
"""For an origin in `after`, `elsewhere` or `closed` whose dots stand each for itself, beside the dots."""
DESTINATION_BYTES = 384
CLOCK_ENTRY_BYTES = 64
NO_CLOCK: Clock = {}
CLOCK_ENTRIES_FREE = 64
"""Entries of a clock that weigh nothing: as many as a clock has where nobody allows more, and the messages of a
frame mostly have them in common. 64 of them are 4 KiB a message at most."""


def weight_of(copy: Copy) -> int:
    """Bytes that a copy counts for against the credit of its link."""
    return total_weight((copy,))


def total_weight(copies: Iterable[Copy]) -> int:
    """The weight of several copies together. A run of a chain, whose clocks are common, costs hardly a look each."""
    total, light = 0, NO_CLOCK
    for _, (_, _, after, elsewhere, clock, _, closed), _, payload in copies:
        total += len(payload)
        counted = clock.others if type(clock) is SharedClock else clock
        if counted is not light and counted is not None and len(counted) <= CLOCK_ENTRIES_FREE:
            light = counted
        if elsewhere or closed or len(after) > 1 or not (counted is light or counted is None):
            total += _weight_of(after, elsewhere, closed, counted)
            continue
        for seqs in after.values():
            if type(seqs) is not int:
                total += _weight_of_dots(after)
    return total


def _weight_of(after: Dots, elsewhere: Pending, closed: Pending, counted: Clock | None) -> int:
    weight = _weight_of_dots(after)
    for pending in (elsewhere, closed):
        weight += DESTINATION_BYTES * len(pending) + sum(map(_weight_of_dots, pending.values()))
    return weight + CLOCK_ENTRY_BYTES * max(0, len(counted or ()) - CLOCK_ENTRIES_FREE)


def _weight_of_dots(dots: Dots) -> int:
    sets = sum(1 for seqs in dots.values() if not isinstance(seqs, int))
    return DOT_BYTES * count_of(dots) + SET_BYTES * sets
