"""How far contexts have followed each origin, where no vector clock says it: counts with gaps, to help forget.

A process in process scope follows all messages of an origin in that scope up to the latest one that any stamp has
named to it: a chained dot stands for the earlier ones, and whoever lists it has followed what it follows. So each
stamp says something of how far its sender has come, without a byte for it: up to its own number, and up to every
chained dot that it lists. What has been followed lately and is not listed (it is settled) a sender adds to its frames:
a few counts, the newest first, each once in a stream.

A vector clock may lose no entry, or it would call messages concurrent that are not; these counts may lose any, and
then somebody lists a dot for a moment longer (`silence.py` says what they are for). So they are bounded in number, on
a frame and in memory. Unlike clocks they count what *contexts* have followed, so they hold in systems of both scopes.

A count holds for stamps made after the sender came so far: it comes in a frame of such stamps, and is used for those
which are not earlier than the first of them. (A repeated message may come later and be earlier.)
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from causal.clock import HybridClock
from causal.ordering.dot import Dot, NodeId
from causal.ordering.frames import SenderFrame
from causal.ordering.scope import Scope
from causal.ordering.stamp import Copy, Stamp

HEARD_MAX = 4096
"""Origins of which a count is kept, at each place: those that have been silent for the longest time are forgotten."""
LOOKS_MAX = 256
"""Counts looked at for a frame, the newest first."""
CLAIMS_MAX = 64
"""Frames of a link whose counts are kept until a message of them is handled; the oldest are forgotten."""

Counts = dict[NodeId, int]
"""Origin → the seq up to which its messages have been followed."""


class Heard:
    """What the one context of a process in process scope has followed, as far as dots and counts have said so."""

    def __init__(self, me: NodeId, hlc: HybridClock) -> None:
        self._me = me
        self._hlc = hlc
        self._latest: OrderedDict[NodeId, tuple[int, int]] = OrderedDict()
        """Origin → seq, and the time here after which its stamps follow that. What was raised last is last."""
        self._told: dict[str, Counts] = {}
        """Peer → what has been said to it. (A frame that gets lost, or a peer that starts anew, misses some.)"""

    def rename(self, me: NodeId) -> None:
        """This process goes on as another incarnation."""
        self._me = me

    def __len__(self) -> int:
        return len(self._latest)

    def count_of(self, origin: NodeId) -> int:
        """Up to which message of another origin all have been followed, at least."""
        known = self._latest.get(origin)
        return 0 if known is None else known[0]

    def note(self, counts: Iterable[tuple[NodeId, int]]) -> None:
        """The process's context follows these from now on."""
        latest, now = self._latest, self._hlc.last_int
        for origin, seq in counts:
            if origin != self._me and seq > self.count_of(origin):
                latest[origin] = (seq, now)
                latest.move_to_end(origin)
        while len(latest) > HEARD_MAX:
            latest.popitem(last=False)

    def fresh(self, peer: str, copies: Sequence[Copy], most: int) -> tuple[Dot, ...]:
        """The newest counts that all these copies follow and that this peer has not been told, at most so many; now it
        is. O(1) where clocks say all, else O(dots listed + `LOOKS_MAX`)."""
        if not self._latest or not copies:
            return ()
        told = self._told.setdefault(peer, {})
        for copy in copies:
            _raise(told, listed(copy.stamp))
        earliest = min([copy.stamp.timestamp for copy in copies])
        found: list[Dot] = []
        for origin in islice(reversed(self._latest), LOOKS_MAX):
            seq, since = self._latest[origin]
            if len(found) == most:
                break
            if since < earliest and told.get(origin, 0) < seq:
                found.append(Dot(origin.name, origin.incarnation, seq))
        _raise(told, ((dot.origin, dot.seq) for dot in found))
        return tuple(found)


class Claims:
    """What stamps and frames of one link have said of how far its sender has come."""

    def __init__(self, sender: NodeId) -> None:
        self._sender = sender
        self.exhaustive = True
        """Whether its clocks count nothing that its stamps do not account for. Once they do, they always may."""
        self._counts: Counts = {}
        """What goes for stamps from `_since` on."""
        self._since = 0
        self._unused: deque[tuple[int, Sequence[Dot]]] = deque(maxlen=CLAIMS_MAX)
        """Timestamp from which stamps follow them, counts: of frames of which no message has been handled."""

    def note(self, frame: SenderFrame) -> None:
        """A frame has come in."""
        if frame.copies:
            self.exhaustive &= frame.exhaustive
            if frame.heard:
                self._unused.append((min([copy.stamp.timestamp for copy in frame.copies]), frame.heard))

    def followed(self, copy: Copy, scope: Scope) -> tuple[Mapping[NodeId, int], list[tuple[NodeId, int]]]:
        """Whoever follows this copy has followed so much: all of it that is known, and what this copy adds.

        `scope` is that of the sender. In context scope each stamp is of another context and speaks for itself alone.
        """
        fresh = list(listed(copy.stamp))
        if scope is Scope.CONTEXT:
            return _raise({}, fresh), fresh
        fresh.append((self._sender, copy.seq))
        timestamp = copy.stamp.timestamp
        while self._unused and self._unused[0][0] <= timestamp:
            fresh += [(dot.origin, dot.seq) for dot in self._unused.popleft()[1]]
        if timestamp < self._since:
            return _raise({}, fresh), fresh
        self._since = timestamp
        return _raise(self._counts, fresh), fresh


def listed(stamp: Stamp) -> Iterator[tuple[NodeId, int]]:
    """The chained dots of a stamp: all of their origins up to them precedes it."""
    for dots in (stamp.after, *stamp.elsewhere.values()):
        for origin, seqs in dots.items():
            if isinstance(seqs, int):
                yield origin, seqs


def _raise(counts: Counts, news: Iterable[tuple[NodeId, int]]) -> Counts:
    if len(counts) > HEARD_MAX:
        counts.clear()
    for origin, seq in news:
        if seq > counts.get(origin, 0):
            counts[origin] = seq
    return counts
