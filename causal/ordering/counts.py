"""The process's vector clock: sends per origin, with incarnations."""

from __future__ import annotations

from causal.ordering.dot import NodeId
from causal.ordering.stamp import Clock


class SendCounts:
    """Sends per origin in the causal past of this process; one entry a name, of its latest incarnation.

    The source is Fidge (1988) and Mattern (1989), counting sends only. Merging costs O(entries merged), a
    snapshot O(entries). No entry is ever dropped to make a clock fit: a clock too large is left out whole, and
    whoever follows a message without a clock has none either: its own would deny what it does not know of.
    """

    __slots__ = ("_complete", "_counts", "_entries_max", "_latest", "_me")

    def __init__(self, me: NodeId, entries_max: int) -> None:
        self._me = me
        self._entries_max = entries_max
        self._counts: dict[NodeId, int] = {}
        self._latest: dict[str, NodeId] = {me.name: me}
        self._complete = True

    def sent(self, seq: int) -> Clock | None:
        """Count a send of this process; the clock to stamp it with, None if it is too large or not complete."""
        self._counts[self._me] = seq
        fits = self._complete and len(self._counts) <= self._entries_max
        return dict(self._counts) if fits else None

    def snapshot(self) -> Clock | None:
        """The clock as it stands, None if it is too large or not complete."""
        fits = self._complete and len(self._counts) <= self._entries_max
        return dict(self._counts) if fits else None

    def merge(self, clock: Clock | None) -> None:
        """Take in the clock of a message that was delivered; without one, nobody can tell what it followed."""
        if clock is None:
            self._complete = False
            return
        counts = self._counts
        for origin, count in clock.items():
            known = counts.get(origin)
            if known is not None:
                if known < count:
                    counts[origin] = count
                continue
            latest = self._latest.get(origin.name)
            if latest is not None and latest.incarnation > origin.incarnation:
                continue
            if latest is not None and latest != origin:
                if origin.name == self._me.name:
                    continue  # nobody knows a later incarnation of this process than the process itself
                counts.pop(latest, None)
            self._latest[origin.name] = origin
            counts[origin] = count


def may_count(clock: Clock | None, origin: NodeId, seq: int) -> bool:
    """Whether what was stamped with this clock follows that message; yes where the clock cannot tell."""
    if clock is None:
        return True
    count = clock.get(origin)
    if count is not None:
        return count >= seq
    return any(node.name == origin.name and node.incarnation > origin.incarnation for node in clock)
