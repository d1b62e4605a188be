"""The process's vector clock: sends per origin, with incarnations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from causal.ordering.dot import Dot, NodeId
from causal.ordering.scope import Scope
from causal.ordering.stamp import Clock


class SharedClock(Mapping[NodeId, int]):
    """A clock as its sender's own entry and the others, which the clocks of many messages have in common.

    Invariant: `others` has no entry of the sender's name, and is never mutated once it is part of a clock. So a
    clock costs O(1) to make, and a run of messages costs one mapping on the wire and in memory.
    """

    __slots__ = ("count", "others", "sender")

    def __init__(self, others: Clock, sender: NodeId, count: int) -> None:
        self.others = others
        self.sender = sender
        self.count = count

    def __getitem__(self, origin: NodeId) -> int:
        return self.count if origin == self.sender else self.others[origin]

    def __iter__(self) -> Iterator[NodeId]:
        yield self.sender
        yield from self.others

    def __len__(self) -> int:
        return len(self.others) + 1

    def __repr__(self) -> str:
        return repr(dict(self))


class SendCounts:
    """Sends per origin in the causal past of this process; one entry a name, of its latest incarnation.

    The source is Fidge (1988) and Mattern (1989), counting sends only. Merging costs O(entries merged that are not
    those merged before), a snapshot O(1), and O(entries) once after a merge. No entry is ever dropped to make a
    clock fit: a clock too large is left out whole, and whoever follows a message without a clock has none either:
    its own would deny what it does not know of.
    """

    __slots__ = ("_complete", "_entries_max", "_exhaustive", "_latest", "_me", "_merged", "_others", "_shared")

    def __init__(self, me: NodeId, entries_max: int, scope: Scope = Scope.PROCESS) -> None:
        self._me = me
        self._entries_max = entries_max
        self._others: dict[NodeId, int] = {}
        self._shared = False
        """Whether a stamp has `_others`: then it is copied before it changes."""
        self._merged: Clock | None = None
        """The others of the clock merged last: nothing new is in them."""
        self._latest: dict[str, NodeId] = {me.name: me}
        self._complete = True
        self._exhaustive = scope is Scope.PROCESS

    @property
    def exhaustive(self) -> bool:
        """Whether all that is counted was followed by the process's one context, too (`silence.py`). Once it is not,
        it never is again."""
        return self._exhaustive and self._complete

    def count_of(self, origin: NodeId) -> int:
        """How many messages of another origin are counted; 0 where nobody can tell."""
        return self._others.get(origin, 0)

    def rename(self, me: NodeId) -> None:
        """This process goes on as another incarnation; what it has heard of by tokens it still follows."""
        self._me = self._latest[me.name] = me

    def sent(self, seq: int) -> Clock | None:
        """The clock to stamp this process's message `seq` with, None if it is too large or not complete."""
        if not self._complete or len(self._others) >= self._entries_max:
            return None
        self._shared = True
        return SharedClock(self._others, self._me, seq)

    def snapshot(self, last_seq: int) -> Clock | None:
        """The clock as it stands after this process's message `last_seq`, 0 if it has sent none; None as for `sent`."""
        if last_seq:
            return self.sent(last_seq)
        return dict(self._others) if self._complete and len(self._others) <= self._entries_max else None

    def merge(self, clock: Clock | None, *, exhaustive: bool = False) -> None:
        """Take in the clock of a message that was delivered; without one, nobody can tell what it followed.

        `exhaustive`: its sender's contexts have followed all that it counts, and so does the one here now.
        """
        if not self._complete:
            return
        if not exhaustive:
            self._exhaustive = False
        if type(clock) is SharedClock:
            if clock.others is not self._merged:
                self._merged = clock.others
                for origin, count in clock.others.items():
                    self._raise(origin, count)
            known = self._others.get(clock.sender)
            if known is None or self._shared:
                self._raise(clock.sender, clock.count)
            elif known < clock.count:
                self._others[clock.sender] = clock.count
        elif clock is None:
            self._complete = False
        else:
            for origin, count in clock.items():
                self._raise(origin, count)
        if len(self._others) > self._entries_max:
            self._complete = False
        if not self._complete:  # for good: nobody will ask for it any more, and names can be made up
            self._others, self._latest, self._merged = {}, {}, None

    def _raise(self, origin: NodeId, count: int) -> None:
        known = self._others.get(origin)
        if known is None:
            self._add(origin, count)
        elif known < count:
            self._unshared()[origin] = count

    def _add(self, origin: NodeId, count: int) -> None:
        latest = self._latest.get(origin.name)
        if latest is not None and latest != origin:
            if latest.incarnation > origin.incarnation or origin.name == self._me.name:
                return  # nobody knows a later incarnation of this process than the process itself
            self._unshared().pop(latest, None)
        elif origin == self._me:
            return
        self._latest[origin.name] = origin
        self._unshared()[origin] = count

    def _unshared(self) -> dict[NodeId, int]:
        if self._shared:
            self._others, self._shared = dict(self._others), False
        return self._others


def counted(clock: Clock | None, origin: NodeId) -> int | None:
    """How many messages of this origin precede what was stamped with the clock; None where it cannot tell.

    A clock has the latest incarnation of each name: of a later one than that it has counted nothing, of an earlier
    one nobody knows how much.
    """
    if clock is None:
        return None
    count = clock.get(origin)
    if count is not None:
        return count
    later = any(node.name == origin.name and node.incarnation > origin.incarnation for node in clock)
    return None if later else 0


def may_follow(clock: Clock | None, dots: Iterable[Dot]) -> list[Dot]:
    """Those of these messages that what was stamped with the clock may follow: also where `counted` cannot tell.

    O(clock + dots): there may be many, and each message here is asked about them.
    """
    if clock is None:
        return list(dots)
    latest = {origin.name: (origin.incarnation, count) for origin, count in clock.items()}
    return [dot for dot in dots if dot[1:] <= latest.get(dot.name, (-1, 0))]
