"""The vector clock: how many events of each origin lie in a causal past."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from causal.clock.relation import Relation

COUNT_MAX = 2**63 - 1
"""The largest count of an entry: what a signed 64-bit integer holds, in stores and in other languages."""


class VectorClock(Mapping[str, int]):
    """An immutable mapping from an origin's name to the number of its events in a causal past.

    An absent name counts 0, so `clock["unknown"]` is 0 (and so is `clock.get("unknown", 7)`: the entry has a
    value). Iteration, `len` and `in` know the entries above 0 only, so equality and hash are by meaning.

    There is no `<`: sorting by it would invent an order among concurrent clocks. Ask `compare`.

    Invariant: every entry is an int in 1 … `COUNT_MAX`. All operations are linear in the number of entries.
    Fidge 1988, "Timestamps in message-passing systems that preserve the partial ordering"; Mattern 1989,
    "Virtual time and global states of distributed systems".
    """

    __slots__ = ("_entries",)

    _entries: dict[str, int]

    def __init__(self, entries: Mapping[str, int] | None = None) -> None:
        """A clock with these entries; zeros are dropped.

        Raises `TypeError` for a name that is not a str or a count that is not an int (a bool and a float are
        not), `ValueError` for a count below 0 or above `COUNT_MAX`.
        """
        self._entries = _checked(entries) if entries else {}

    @classmethod
    def _of(cls, entries: dict[str, int]) -> VectorClock:
        """The clock that owns `entries`, which the caller has made so that they keep the invariant."""
        clock = cls.__new__(cls)
        clock._entries = entries
        return clock

    def advance(self, name: str) -> VectorClock:
        """This clock after one more event of `name`. Raises `ValueError` if its count is at `COUNT_MAX`."""
        count = self._entries.get(name, 0) + 1
        _check_entry(name, count)
        return VectorClock._of({**self._entries, name: count})

    def merge(self, other: VectorClock) -> VectorClock:
        """The least clock that is not before either: the larger count of each name.

        Commutative, associative and idempotent: how often and in what order clocks meet does not matter.
        Raises `TypeError` if `other` is not a vector clock.
        """
        mine, theirs = self._entries, _entries_of(other)
        if len(mine) < len(theirs):
            mine, theirs = theirs, mine
        merged = dict(mine)
        for name, count in theirs.items():
            if count > merged.get(name, 0):
                merged[name] = count
        return VectorClock._of(merged)

    def compare(self, other: VectorClock) -> Relation:
        """How this clock relates to `other`: BEFORE, AFTER, CONCURRENT or SAME.

        Raises `TypeError` if `other` is not a vector clock.
        """
        mine, theirs = self._entries, _entries_of(other)
        if mine == theirs:
            return Relation.SAME
        if _covers(theirs, mine):
            return Relation.BEFORE
        return Relation.AFTER if _covers(mine, theirs) else Relation.CONCURRENT

    def __getitem__(self, name: str) -> int:
        return self._entries.get(name, 0)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __hash__(self) -> int:
        return hash(frozenset(self._entries.items()))

    def __repr__(self) -> str:
        return f"VectorClock({self._entries!r})"

    def __str__(self) -> str:
        """The form of papers and drawings, by name: `{S1:1, S2:1}`."""
        return "{" + ", ".join(f"{name}:{count}" for name, count in sorted(self._entries.items())) + "}"


def _entries_of(clock: VectorClock) -> dict[str, int]:
    if not isinstance(clock, VectorClock):
        raise TypeError(f"a vector clock compares and merges with a VectorClock, not with {clock!r}")
    return clock._entries


def _covers(larger: dict[str, int], smaller: dict[str, int]) -> bool:
    return all(count <= larger.get(name, 0) for name, count in smaller.items())


def _checked(entries: Mapping[str, int]) -> dict[str, int]:
    for name, count in entries.items():
        _check_entry(name, count)
    return {name: count for name, count in entries.items() if count}


def _check_entry(name: str, count: int) -> None:
    if not isinstance(name, str):
        raise TypeError(f"the name of a vector clock's entry is a str, not {name!r}")
    # `type` and not `isinstance`: True is an int too, and would count as 1.
    if type(count) is not int:
        raise TypeError(f"the count of {name!r} is an int, not {count!r}")
    if not 0 <= count <= COUNT_MAX:
        raise ValueError(f"the count of {name!r} is {count}, outside 0 … 2**63 - 1")
