"""The causal context: what a sender's next message follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from causal.ordering.dot import NodeId
from causal.ordering.stamp import NO_DOTS, Dots, Pending, Seqs, joined_seqs, seqs_left

IsSettled = Callable[[str, NodeId, int], bool]
"""`(destination, origin, seq)` → whether that message is known to be settled at that destination."""


def joined(dots: Dots, more: Dots) -> Dots:
    """The dots of both sets; the first itself where the second adds nothing. O(len(more)) in that case."""
    newer: dict[NodeId, Seqs] = {}
    for origin, seqs in more.items():
        known = dots.get(origin)
        both = seqs if known is None else joined_seqs(known, seqs)
        if both != known:
            newer[origin] = both
    return {**dots, **newer} if newer else dots


def without(dots: Dots, is_gone: Callable[[NodeId, int], bool]) -> Dots:
    """The set without the dots that `is_gone`; the set itself if none is."""
    left: dict[NodeId, Seqs] = {}
    same = True
    for origin, seqs in dots.items():
        if isinstance(seqs, int):  # as `seqs_left`, in half the time
            kept: Seqs | None = None if is_gone(origin, seqs) else seqs
        else:
            kept = seqs_left(seqs, partial(is_gone, origin))
        same = same and kept == seqs
        if kept is not None:
            left[origin] = kept
    return dots if same else left


class CausalContext:
    """For each destination, the dots that must be settled there before whatever is sent next.

    In process scope a node has one, in context scope many (`contexts.py`).

    Invariant: the mappings inside `pending` are never mutated, since stamps share them.
    Merging costs O(what is merged), a send and a prune O(what is pending).
    """

    __slots__ = ("__weakref__", "number", "pending", "pruned_at")

    def __init__(self, number: int = 0) -> None:
        self.number = number
        """Tells the contexts of a node apart in its trace."""
        self.pending: dict[str, Dots] = {}
        self.pruned_at = -1
        """`Settlement.changes` when it was pruned last."""

    def merge(self, pending: Pending, is_settled: IsSettled) -> None:
        """Follow everything that `pending` lists, but for what is known to be settled."""
        for destination, dots in pending.items():
            fresh = without(dots, partial(is_settled, destination))
            if fresh:
                known = self.pending.get(destination)
                self.pending[destination] = fresh if known is None else joined(known, fresh)

    def copy(self) -> CausalContext:
        """Another context that follows the same. O(destinations)."""
        copy = CausalContext(self.number)
        copy.pending = dict(self.pending)
        copy.pruned_at = self.pruned_at
        return copy

    def absorb(self, other: CausalContext, is_settled: IsSettled) -> None:
        """Follow everything that another context follows, but for what is known to be settled."""
        self.merge(other.pending, is_settled)

    def become(self, other: CausalContext) -> None:
        """Follow what the other context follows, and nothing else; the other one is not used any more."""
        self.pending, self.pruned_at = other.pending, other.pruned_at

    def rename(self, old: NodeId, new: NodeId) -> None:
        """The origin `old` has another incarnation, under which all its dots go on."""
        self.pending = {
            destination: {new if origin == old else origin: seqs for origin, seqs in dots.items()}
            for destination, dots in self.pending.items()
        }

    def add(self, destination: str, origin: NodeId, seqs: Seqs) -> None:
        """Follow messages that are not settled at their destination. O(dots pending there)."""
        self.pending[destination] = joined(self.pending.get(destination, NO_DOTS), {origin: seqs})

    def forget(self, destination: str, origin: NodeId, seq: int) -> None:
        """This message is settled at its destination, or will never come: of a chain, what is pending up to it goes."""
        dots = self.pending.get(destination)
        seqs = None if dots is None else dots.get(origin)
        if dots is None or seqs is None:
            return
        left: Seqs | None
        if isinstance(seqs, int):
            left = None if seqs <= seq else seqs
        else:
            left = seqs_left(seqs, seq.__eq__)
        if left == seqs:
            return
        others = {o: s for o, s in dots.items() if o != origin}
        if left is not None:
            others[origin] = left
        if others:
            self.pending[destination] = others
        else:
            del self.pending[destination]

    def follow(self, destinations: Iterable[str], origin: NodeId, seqs: Seqs) -> None:
        """A message was sent to `destinations`: it carries what was pending there, and stands for it now."""
        dots: Dots = {origin: seqs}
        for destination in destinations:
            self.pending[destination] = dots

    def prune(self, is_settled: IsSettled) -> None:
        """Forget the dots that are known to be settled."""
        for destination, dots in list(self.pending.items()):
            left = without(dots, partial(is_settled, destination))
            if left is dots:
                continue
            if left:
                self.pending[destination] = left
            else:
                del self.pending[destination]
