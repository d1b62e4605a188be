"""The judge of clocks: what is wrong with those of a message, told from what is truly in its past."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from causal.ordering.dot import NodeId
from causal.testing.facts import Sent


def wrong_clocks(later: Sent, past: Sequence[Sent], entries_max: int) -> Iterator[str]:
    """What the HLC and the vector clock of a message say that is not so, in words. O(its past).

    A name of which a past has two incarnations is left out: a clock counts its latest only.
    """
    names = {sent.dot.name for sent in past} | {later.dot.name}
    if any(sent.stamp.timestamp >= later.stamp.timestamp for sent in past):
        yield f"the timestamp of {later.dot} is not after all of its past"
    clock = later.stamp.clock
    if (clock is None) != (len(names) > entries_max):
        yield f"{later.dot} has {len(names)} origins in its past, and clock {clock}"
    if clock is not None:
        yield from _wrong_counts(later, clock, past)


def _wrong_counts(later: Sent, clock: object, past: Sequence[Sent]) -> Iterator[str]:
    assert isinstance(clock, Mapping)
    counts: dict[str, dict[int, int]] = {}
    for sent in (*past, later):
        seqs = counts.setdefault(sent.dot.name, {})
        seqs[sent.dot.incarnation] = max(seqs.get(sent.dot.incarnation, 0), sent.dot.seq)
    said = {origin: count for origin, count in clock.items() if len(counts.get(origin.name, ())) < 2}
    true = {
        NodeId(name, incarnation): seq
        for name, seqs in counts.items()
        if len(seqs) == 1
        for incarnation, seq in seqs.items()
    }
    if said != true:
        yield f"{later.dot} says {said}, and its past is {true}"
