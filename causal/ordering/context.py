"""The causal context: what a sender's next message follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from heapq import nsmallest
from typing import TypeVar

from causal.ordering.dot import NodeId
from causal.ordering.stamp import (
    NO_DOTS,
    NO_PENDING,
    Dots,
    Pending,
    Seqs,
    joined_seqs,
    seqs_left,
    size_of,
    without_seqs,
)

N = TypeVar("N")

IsSettled = Callable[[str, NodeId, int], bool]
"""`(destination, origin, seq)` → whether a context may forget this dot: it is settled there, or will never come."""
IsLost = Callable[[str, NodeId, int], bool]
"""The same for one that may be forgotten: whether it will never come, or may be that it will not."""
MayFold = Callable[[str, NodeId], bool]
"""`(destination, origin)` → whether the link is open at both ends, as far as its own end is here; else True."""


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


def still_closed(known: Dots, shut: Dots, more: Dots, more_shut: Dots) -> dict[NodeId, Seqs]:
    """Of two sets of dots with those of each that are closed, the closed ones of both together.

    A link that was open once has been heard of by this incarnation of its destination, and stays so: a dot that
    either of them knows to be open is open, and so is a chained one that a later one stands for.
    """
    closed: dict[NodeId, Seqs] = {}
    for origin in (*shut, *more_shut):
        ours, theirs = known.get(origin), more.get(origin)
        our_shut, their_shut = shut.get(origin), more_shut.get(origin)
        both = their_shut if our_shut is None else our_shut if their_shut is None else joined_seqs(our_shut, their_shut)
        for listed, closed_of_it in ((ours, our_shut), (theirs, their_shut)):
            if both is not None and listed is not None:
                both = without_seqs(both, without_seqs(listed, closed_of_it))
        if both is not None:
            closed[origin] = both
    return closed


class CausalContext:
    """For each destination, the dots that must be settled there before whatever is sent next; and a horizon.

    In process scope a node has one, in context scope many (`contexts.py`).

    Invariant: the mappings inside `pending` and `closed` are never mutated, since stamps share them.
    Invariant: `ages` has an entry for each entry of `pending`, and `closed` has nothing that is not pending.
    Merging costs O(what is merged), a send and a prune O(what is pending).
    """

    __slots__ = ("__weakref__", "_size", "ages", "closed", "horizon", "number", "pending", "pruned_at")

    def __init__(self, number: int = 0) -> None:
        self.number = number
        """Tells the contexts of a node apart in its trace."""
        self.pending: dict[str, Dots] = {}
        self.ages: dict[str, dict[NodeId, int]] = {}
        """The timestamp of what told of each pending dot: at least its own, since dots carry none. (Of a set of dots
        of one origin, of the latest.)"""
        self.closed: dict[str, Dots] = {}
        """Of what is pending and was sent by others, what may not be folded: see `Stamp.closed`."""
        self.horizon = 0
        """Everything with a timestamp up to this one precedes, wherever it was addressed to: it stands in for what was
        folded. Never smaller than before."""
        self.pruned_at = -1
        """`Settlement.changes` when it was pruned last."""
        self._size = 0
        """How many dots are pending; -1: to be counted."""

    @property
    def size(self) -> int:
        """How many dots are pending. O(1) where only sends have changed it since it was asked for."""
        if self._size < 0:
            self._size = size_of(self.pending)
        return self._size

    def merge(
        self,
        pending: Pending,
        is_settled: IsSettled,
        timestamp: int,
        closed: Pending = NO_PENDING,
        is_lost: IsLost | None = None,
    ) -> None:
        """Follow everything that `pending` lists, but for what is known to be settled.

        `timestamp` is that of the message which says so, `closed` those that may not be folded. What is lost may have
        carried what is not settled: of that the horizon takes the place.
        """
        for destination, dots in pending.items():
            shut = closed.get(destination, NO_DOTS) if closed else NO_DOTS
            if shut or destination in self.closed or not self._follows(destination, dots, timestamp):
                self._merge(destination, dots, dict.fromkeys(dots, timestamp), shut, is_settled, is_lost)

    def _follows(self, destination: str, dots: Dots, timestamp: int) -> bool:
        """Whether all of these dots are pending already (then, too, none of them is younger than `timestamp`)."""
        known = self.pending.get(destination)
        if known is None:
            return False
        for origin, seqs in dots.items():
            mine = known.get(origin)
            if mine != seqs and (mine is None or joined_seqs(mine, seqs) != mine):
                return False
        ages = self.ages[destination]
        for origin, seqs in dots.items():
            if timestamp < ages[origin] and known[origin] == seqs:
                ages[origin] = timestamp
        return True

    def _merge(
        self,
        destination: str,
        dots: Dots,
        ages: Mapping[NodeId, int],
        shut: Dots,
        is_settled: IsSettled,
        is_lost: IsLost | None,
    ) -> None:
        fresh = without(dots, partial(is_settled, destination))
        if fresh is not dots and is_lost is not None:
            self._stand_in(destination, dots, fresh, ages, is_lost)
        if fresh:
            self._join(destination, fresh, ages, shut)

    def _join(self, destination: str, fresh: Dots, ages: Mapping[NodeId, int], shut: Dots) -> None:
        self._size = -1
        known = self.pending.get(destination)
        if known is None:
            self.pending[destination] = fresh
            self.ages[destination] = {origin: ages[origin] for origin in fresh}
        else:
            self.pending[destination] = now = joined(known, fresh)
            mine = self.ages[destination]
            for origin in fresh:
                age = ages[origin]
                if now[origin] != known.get(origin):
                    mine[origin] = max(age, mine.get(origin, 0))
                elif now[origin] == fresh[origin] and age < mine[origin]:
                    mine[origin] = age
        if shut or destination in self.closed:
            left = still_closed(known or NO_DOTS, self.closed.get(destination, NO_DOTS), fresh, shut)
            self._close(destination, left)

    def lists(self, origin: NodeId, seq: int) -> bool:
        """Whether this message is pending, or a later one of its chain."""
        for dots in self.pending.values():
            seqs = dots.get(origin)
            if seqs is not None and (seq <= seqs if isinstance(seqs, int) else seq in seqs):
                return True
        return False

    def copy(self) -> CausalContext:
        """Another context that follows the same. O(dots pending)."""
        copy = CausalContext(self.number)
        copy.pending, copy.closed = dict(self.pending), dict(self.closed)
        copy.ages = {destination: dict(ages) for destination, ages in self.ages.items()}
        copy.horizon, copy.pruned_at, copy._size = self.horizon, self.pruned_at, self._size
        return copy

    def absorb(self, other: CausalContext, is_settled: IsSettled, is_lost: IsLost | None = None) -> None:
        """Follow everything that another context follows, but for what is known to be settled."""
        for destination, dots in other.pending.items():
            shut = other.closed.get(destination, NO_DOTS)
            self._merge(destination, dots, other.ages[destination], shut, is_settled, is_lost)
        self.reach(other.horizon)

    def become(self, other: CausalContext) -> None:
        """Follow what the other context follows, and nothing else; the other one is not used any more."""
        self.pending, self.ages, self.closed = other.pending, other.ages, other.closed
        self.horizon, self.pruned_at, self._size = other.horizon, other.pruned_at, other._size

    def rename(self, old: NodeId, new: NodeId) -> None:
        """The origin `old` has another incarnation, under which all its dots go on."""

        def renamed(numbers: Mapping[NodeId, N]) -> dict[NodeId, N]:
            return {new if origin == old else origin: number for origin, number in numbers.items()}

        self.pending = {destination: renamed(dots) for destination, dots in self.pending.items()}
        self.closed = {destination: renamed(dots) for destination, dots in self.closed.items()}
        self.ages = {destination: renamed(ages) for destination, ages in self.ages.items()}

    def add(self, destination: str, origin: NodeId, seqs: Seqs, timestamp: int) -> None:
        """Follow messages that are not settled at their destination, and got there. O(dots pending there)."""
        if destination in self.pending or destination in self.closed:
            self._join(destination, {origin: seqs}, {origin: timestamp}, NO_DOTS)
        else:  # the usual case
            self.pending[destination] = {origin: seqs}
            self.ages[destination] = {origin: timestamp}
            self._size = -1

    def forget(self, destination: str, origin: NodeId, seq: int, *, lost: bool = False) -> None:
        """This message is settled at its destination, or will never come: of a chain, what is pending up to it goes.

        What a lost one carried may still come: of that the horizon takes the place.
        """
        dots = self.pending.get(destination)
        seqs = None if dots is None else dots.get(origin)
        if dots is None or seqs is None:
            return
        left: Seqs | None = None
        if not isinstance(seqs, int):
            left = seqs_left(seqs, seq.__eq__)
        elif seqs > seq:
            return
        elif len(dots) == 1 and not lost:  # the usual case
            del self.pending[destination]
            del self.ages[destination]
            self.closed.pop(destination, None)
            self._size = -1
            return
        if left == seqs:
            return
        if lost:
            self.reach(self.ages[destination][origin])
        others = {o: s for o, s in dots.items() if o != origin}
        if left is not None:
            others[origin] = left
        self._keep(destination, others)

    def follow(self, destinations: Iterable[str], origin: NodeId, seqs: Seqs, timestamp: int) -> None:
        """A message was sent to `destinations`: it carries what was pending there, and stands for it now."""
        dots: Dots = {origin: seqs}
        pending = self.pending
        for destination in destinations:
            known = pending.get(destination)
            if known is None:
                if self._size >= 0:
                    self._size += 1
            elif len(known) > 1 or not isinstance(next(iter(known.values())), int):
                self._size = -1
            pending[destination] = dots
            self.ages[destination] = {origin: timestamp}
        if self.closed:
            for destination in destinations:
                self.closed.pop(destination, None)

    def prune(self, is_settled: IsSettled, is_lost: IsLost | None = None) -> None:
        """Forget the dots that are known to be settled."""
        for destination, dots in list(self.pending.items()):
            left = without(dots, partial(is_settled, destination))
            if left is not dots:
                if is_lost is not None:
                    self._stand_in(destination, dots, left, self.ages[destination], is_lost)
                self._keep(destination, left)

    def fold(self, count: int, may_fold: MayFold) -> int:
        """Let the horizon stand in for the oldest dots, at least `count` of them as far as there are that many.

        Returns how many it was. A set of dots of one origin is folded whole, since its dots have one age. Closed dots
        stay, and own ones to where `may_fold` says no. O(dots pending · log(count)).
        """
        oldest = nsmallest(
            count + sum(map(len, self.closed.values())),
            (
                (at, destination, origin)
                for destination, ages in self.ages.items()
                for origin, at in ages.items()
                if may_fold(destination, origin)
            ),
        )
        folded = 0
        for at, destination, origin in oldest:
            if folded >= count:
                break
            dots = self.pending[destination]
            shut = self.closed.get(destination, NO_DOTS).get(origin)
            opened = without_seqs(dots[origin], shut)
            if opened is None:
                continue
            folded += 1 if isinstance(opened, int) else len(opened)
            self.reach(at)
            left = {o: s for o, s in dots.items() if o != origin}
            if shut is not None:
                left[origin] = shut
            self._keep(destination, left)
        return folded

    def reach(self, timestamp: int) -> None:
        """Follow everything up to this timestamp, wherever it was addressed to."""
        self.horizon = max(self.horizon, timestamp)

    def _stand_in(self, destination: str, dots: Dots, left: Dots, ages: Mapping[NodeId, int], is_lost: IsLost) -> None:
        """The horizon takes the place of those dots that are not left since they are lost."""
        for origin, seqs in dots.items():
            gone = without_seqs(seqs, left.get(origin))
            if gone is None:
                continue
            if isinstance(gone, int):
                lost = is_lost(destination, origin, gone)
            else:
                lost = any(is_lost(destination, origin, seq) for seq in gone)
            if lost:
                self.reach(ages[origin])

    def _keep(self, destination: str, left: Dots) -> None:
        """Of what is pending there, only this is left."""
        self._size = -1
        if not left:
            del self.pending[destination]
            del self.ages[destination]
            self.closed.pop(destination, None)
            return
        self.pending[destination] = left
        ages = self.ages[destination]
        for origin in [origin for origin in ages if origin not in left]:
            del ages[origin]
        if destination in self.closed:
            self._close(destination, self.closed[destination])

    def _close(self, destination: str, shut: Dots) -> None:
        """Of what is pending there, these are closed, as far as they are pending at all."""
        closed: dict[NodeId, Seqs] = {}
        for origin, seqs in shut.items():
            listed = self.pending[destination].get(origin)
            both = None if listed is None else without_seqs(seqs, without_seqs(seqs, listed))
            if both is not None:
                closed[origin] = both
        if closed:
            self.closed[destination] = closed
        else:
            self.closed.pop(destination, None)


def merged(contexts: Iterable[CausalContext]) -> CausalContext:
    """One context that follows what all of these follow, to look at. O(dots pending), however many share them."""
    whole = CausalContext()
    chains: dict[str, dict[NodeId, int]] = {}
    singles: dict[str, dict[NodeId, set[int]]] = {}
    for context in {id(context): context for context in contexts}.values():
        whole.reach(context.horizon)
        for destination, dots in context.pending.items():
            chained, single = chains.setdefault(destination, {}), singles.setdefault(destination, {})
            for origin, seqs in dots.items():
                if isinstance(seqs, int):
                    chained[origin] = max(seqs, chained.get(origin, 0))
                else:
                    single.setdefault(origin, set()).update(seqs)
    for destination, chained in chains.items():
        sets = {origin: frozenset(seqs) for origin, seqs in singles[destination].items()}
        whole.merge({destination: {**chained, **sets}}, lambda *_: False, 0)
    return whole
