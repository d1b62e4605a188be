"""What is kept of senders that are gone: a record each, of some hundred bytes, for as long as the process lives.

An incarnation is gone once a later one of its name has been here, once it has said that it leaves, or once an operator
has evicted it. As soon as all that came of it is settled, its link, its stable number and all else that grew with its
messages are given up for a record. The record cannot be given up too: a stamp from anywhere may still list a message
of it, however late, and must be answered as before (settled here, or lost and so in a verdict), and a Hello that was on
its way must be refused. It says

- what of its messages to this node is settled here; all others are lost. (Of one that has left, all are.)
- what is known to be settled elsewhere, as its stable number did.

Most records are one number: of a sender that got everything across, both are the same. Measured, with its name and
incarnation: 190 bytes for one that left in good order, 125 to 160 for each run of one name, some 300 for one that was
killed with messages on their way.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from causal.ordering.dot import NodeId
from causal.ordering.frames import FINAL, StableNumber
from causal.ordering.link import Received

NO_SEQS: frozenset[int] = frozenset()
NO_LAGGING: Mapping[str, int] = MappingProxyType({})


class Remains(NamedTuple):
    """What is known of the messages of an incarnation that is gone."""

    to: int
    """Its messages to this node up to this seq are settled here, but for `missing`; later ones only in `beyond`."""
    upto: int
    """Its messages up to this seq are settled everywhere, but at destinations that lag."""
    missing: frozenset[int] = NO_SEQS
    beyond: frozenset[int] = NO_SEQS
    lagging: Mapping[str, int] = NO_LAGGING
    """As `StableNumber.lagging`."""


class Former:
    """The records of the incarnations that are gone. Each question costs O(1), but for `has_all` after losses."""

    __slots__ = ("_left", "_me", "_remains")

    def __init__(self, me: str) -> None:
        self._me = me
        self._left: dict[str, int] = {}
        """Name → the incarnation of it that was the last to leave in good order, with everything settled everywhere:
        mostly nothing else is known of a name, and this takes the least."""
        self._remains: dict[NodeId, int | Remains] = {}
        """The others; a number stands for `Remains(number, number)`."""

    def __contains__(self, origin: NodeId) -> bool:
        return origin in self._remains or self._left.get(origin.name) == origin.incarnation

    def __len__(self) -> int:
        """How many records there are."""
        return len(self._left) + len(self._remains)

    def get(self, origin: NodeId) -> Remains | None:
        """The record of an incarnation; None if it is not gone, or nothing ever came of it."""
        if self._left.get(origin.name) == origin.incarnation:
            return Remains(FINAL, FINAL)
        known = self._remains.get(origin)
        return Remains(known, known) if isinstance(known, int) else known

    def has(self, origin: NodeId, seq: int) -> bool:
        """Whether this message of one that is gone is settled here, as far as it was addressed here."""
        known = self.get(origin)
        return known is not None and ((seq <= known.to and seq not in known.missing) or seq in known.beyond)

    def has_all(self, origin: NodeId, count: int) -> bool:
        """Whether that goes for all its messages up to `count`."""
        known = self.get(origin)
        return known is not None and count <= known.to and not any(seq <= count for seq in known.missing)

    def report_of(self, origin: NodeId) -> StableNumber | None:
        """What was known to be settled elsewhere."""
        known = self.get(origin)
        if known is None or not (known.upto or known.lagging):
            return None
        return StableNumber(origin=origin, upto=known.upto, lagging=known.lagging)

    def keep(self, origin: NodeId, received: Received, report: StableNumber | None) -> None:
        """Make the record of an incarnation that is gone, or renew it. Nothing of it is unsettled here."""
        upto, lagging = (0, NO_LAGGING) if report is None else (report.upto, report.lagging)
        covered = lagging.get(self._me, upto + 1) - 1
        missing = frozenset(seq for seq in received.missing if seq > covered)
        beyond = frozenset(seq for seq in received.beyond if seq > covered)
        to = max(received.to, covered)
        lagging = lagging or NO_LAGGING
        if missing or beyond or lagging or to != upto:
            self._remains[origin] = Remains(to, upto, missing, beyond, lagging)
        elif to != FINAL:
            self._remains[origin] = to
        else:
            self._keep_left(origin)

    def _keep_left(self, origin: NodeId) -> None:
        self._remains.pop(origin, None)
        before = self._left.get(origin.name, origin.incarnation)
        if before > origin.incarnation:
            self._remains[origin] = FINAL
            return
        if before < origin.incarnation:
            self._remains[NodeId(origin.name, before)] = FINAL
        self._left[origin.name] = origin.incarnation

    def renew(self, report: StableNumber) -> None:
        """More is known to be settled of an incarnation that has a record."""
        known = self.get(report.origin)
        assert known is not None
        self.keep(report.origin, Received(known.to, set(known.missing), set(known.beyond)), report)
