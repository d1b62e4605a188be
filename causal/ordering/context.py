"""The causal context: what a sender's next message follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from causal.ordering.dot import NodeId
from causal.ordering.stamp import Dots, Pending

IsSettled = Callable[[str, NodeId, int], bool]
"""`(destination, origin, seq)` → whether that message is known to be settled at that destination."""


def joined(dots: Dots, more: Dots) -> Dots:
    """The dots of both sets; the first itself where the second adds nothing. O(len(more)) in that case."""
    newer = {origin: seq for origin, seq in more.items() if dots.get(origin, 0) < seq}
    return {**dots, **newer} if newer else dots


class CausalContext:
    """For each destination, the dots that must be settled there before whatever is sent next.

    In process scope a node has one; it is an object of its own so that other scopes can have several.

    Invariant: the mappings inside `pending` are never mutated, since stamps share them.
    Merging costs O(what is merged), a send and a prune O(what is pending).
    """

    __slots__ = ("pending", "pruned_at")

    def __init__(self) -> None:
        self.pending: dict[str, Dots] = {}
        self.pruned_at = -1
        """`Settlement.changes` when it was pruned last."""

    def merge(self, pending: Pending, is_settled: IsSettled) -> None:
        """Follow everything that `pending` lists, but for what is known to be settled."""
        for destination, dots in pending.items():
            fresh = {origin: seq for origin, seq in dots.items() if not is_settled(destination, origin, seq)}
            if fresh:
                self.pending[destination] = joined(self.pending.get(destination, {}), fresh)

    def add(self, destination: str, origin: NodeId, seq: int) -> None:
        """Follow one message that is not settled at its destination. O(dots pending there)."""
        dots = self.pending.get(destination)
        if dots is None:
            self.pending[destination] = {origin: seq}
        elif dots.get(origin, 0) < seq:
            self.pending[destination] = {**dots, origin: seq}

    def forget(self, destination: str, origin: NodeId, seq: int) -> None:
        """This message is settled at its destination, or will never come: what is pending up to it goes."""
        dots = self.pending.get(destination)
        if dots is None or dots.get(origin, seq + 1) > seq:
            return
        if len(dots) == 1:
            del self.pending[destination]
        else:
            self.pending[destination] = {o: s for o, s in dots.items() if o != origin}

    def follow(self, destinations: Iterable[str], origin: NodeId, seq: int) -> None:
        """A message was sent to `destinations`: it carries what was pending there, and stands for it now."""
        dots = {origin: seq}
        for destination in destinations:
            self.pending[destination] = dots

    def prune(self, is_settled: IsSettled) -> None:
        """Forget the dots that are known to be settled."""
        for destination, dots in list(self.pending.items()):
            left = {origin: seq for origin, seq in dots.items() if not is_settled(destination, origin, seq)}
            if len(left) == len(dots):
                continue
            if left:
                self.pending[destination] = left
            else:
                del self.pending[destination]
