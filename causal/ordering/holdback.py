"""The hold-back queue: messages that wait for a predecessor, found by the one dot that each waits for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from causal.ordering.context import CausalContext
from causal.ordering.dot import Dot, NodeId
from causal.ordering.stamp import Copy
from causal.ordering.verdict import ORDERED, UNORDERED, UNSURE, Ordering, Verdict, VerdictKind


class Arrival(Struct, eq=False, gc=False):
    """One copy received and not settled yet, on its way from the link to its handler.

    held → ready → started → finished → settled. Held means: under a missing dot (`held_under`) or under its horizon
    (`waits_past`). A `none` message is ready at once, and one that is dropped
    while it waits finishes before its turn; both *settle in turn*: only when `in_turn` is true as well.

    Invariant: `in_turn` is true once everything in the copy's own `after` is settled here (or lost).
    Invariant: nothing in it leads back to it (the garbage collector does not look at it: there are many).
    """

    origin: NodeId
    copy: Copy
    ordering: Ordering
    after: tuple[tuple[NodeId, int], ...]
    """The dots of the copy's `after`, as `listed` gives them."""
    horizon: int = 0
    """Everything here with a timestamp up to this one comes before it too; 0: what it follows is all named."""
    looked_at: int = 0
    """How many of `after` are settled here: they stay so and are not looked at again."""
    in_turn: bool = False
    started: bool = False
    finished: bool = False
    passed: bool = False
    """Whether those that follow this message need not wait for it any more."""
    lost: tuple[Dot, ...] = ()
    """Predecessors that can never come."""
    held_under: tuple[NodeId, int] | None = None
    """The one missing dot under which this copy is registered, as origin and seq."""
    waits_past: NodeId | None = None
    """The sender whose link has to be heard past the horizon before this copy is looked at again."""
    unsure: bool = False
    """Whether something that precedes it may have gone unnoticed."""
    context: CausalContext | None = None
    """What its handler's sends follow, from the first start to the end (context scope)."""
    received_ns: int = 0
    """For the caller's use (when it arrived, by the caller's clock); the engine does not read it."""

    @property
    def dot(self) -> Dot:
        name, incarnation = self.origin
        return tuple.__new__(Dot, (name, incarnation, self.copy.seq))

    @property
    def waits_for(self) -> Dot | None:
        """The one missing dot that this copy waits for; None if it is not held."""
        if self.held_under is None:
            return None
        origin, seq = self.held_under
        return Dot(origin.name, origin.incarnation, seq)

    def add_lost(self, *dots: Dot) -> None:
        """Note predecessors that can never come, each once."""
        self.lost = tuple(dict.fromkeys(self.lost + dots))

    @property
    def verdict(self) -> Verdict:
        """How it is released, as far as that is known: a `none` message may find out about a loss only later."""
        if self.ordering is Ordering.NONE:
            return Verdict(VerdictKind.UNORDERED, self.lost) if self.lost else UNORDERED
        if self.lost:
            return Verdict(VerdictKind.LOST, self.lost)
        return UNSURE if self.unsure else ORDERED


class HoldBackQueue:
    """Arrivals by the ONE dot each of them waits for.

    Holding and releasing cost O(1) an arrival, whatever the number held; an arrival is looked at again only when
    its dot settles, so that a release costs O(its own `after`) in all.
    """

    __slots__ = ("_absent", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[NodeId, dict[int, list[Arrival]]] = {}
        self._absent: dict[NodeId, set[int]] = {}
        """Of the awaited dots, those that were not here when something began to wait: only for them can the
        origin's reports, its base or its end change anything."""

    def hold(self, arrival: Arrival, origin: NodeId, seq: int, *, absent: bool = True) -> None:
        """Register an arrival under the dot that it waits for; `absent`: that one has not been received."""
        arrival.held_under = (origin, seq)
        by_seq = self._waiting.get(origin)
        if by_seq is None:
            by_seq = self._waiting[origin] = {}
        arrivals = by_seq.get(seq)
        if arrivals is None:
            by_seq[seq] = [arrival]
        else:
            arrivals.append(arrival)
        if absent:
            self.note_absent(origin, seq)

    def note_absent(self, origin: NodeId, seq: int) -> None:
        """This awaited dot has not been received."""
        self._absent.setdefault(origin, set()).add(seq)

    def release(self, origin: NodeId, seq: int) -> Iterable[Arrival]:
        """Take out whatever waits for this dot; the caller looks at each again."""
        by_seq = self._waiting.get(origin)
        if by_seq is None:
            return ()
        if (absent := self._absent.get(origin)) is not None:
            absent.discard(seq)
            if not absent:
                del self._absent[origin]
        arrivals = by_seq.pop(seq, ())
        if not by_seq:
            del self._waiting[origin]
        return arrivals

    def take_absent(self, origin: NodeId) -> set[int]:
        """Takes out the dots of an origin that were not here when last looked at; something may wait for them."""
        return self._absent.pop(origin, set())

    def gone(self, name: str, incarnation: int) -> list[NodeId]:
        """The origins of this name, older than `incarnation`, that something waits for."""
        return [o for o in self._waiting if o.name == name and o.incarnation < incarnation]

    def origins(self) -> Iterable[NodeId]:
        """The origins whose messages something waits for."""
        return self._waiting

    def __iter__(self) -> Iterator[Arrival]:
        for by_seq in self._waiting.values():
            for arrivals in by_seq.values():
                yield from arrivals

    def __len__(self) -> int:
        return sum(1 for _ in self)
