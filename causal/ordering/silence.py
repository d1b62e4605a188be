"""What a stamp implies by not listing it: the rule that keeps contexts small in process scope.

A stamp lists all that its sender follows, but for what the sender knows to be settled or to be carried by what it
lists. So a message that the sender has followed and that the stamp does not list needs no listing, for whoever reads
it: at its destination it is settled, or comes before something that is listed for there, or lies under the stamp's
horizon. No report has to say so, nobody has to be owed one, and it costs no bytes: whatever one node knows of
settlements travels with every message, along any way. (Stable numbers take the ways that the dots took, and one that
waits for a slow destination says nothing of the others.) Of two contexts that meet, each forgets what the other one
has counted and does not list. What is left are the latest messages of both: the merge of Kshemkalyani and Singhal
(1998), with clocks in the place of their entries without destinations.

*Why it is exact.* Of the messages to one destination which either context follows, take those that are not settled
there, nor under a horizon, and that nothing of the kind follows: a context lists each of them that it follows,
since nothing else could stand for it. So none of them is forgotten for the other's silence; and each other message
comes before one of them.

*How far a sender has come*, by origin, says its vector clock, if the clock counts no more than its context has
followed: then its stamps are *exhaustive*. They are in process scope, as long as all that the process has handled was
exhaustive, too. In context scope a clock is of the whole process and a stamp of one context, and a token's clock may
be of such a process. So a process which handles a message of a sender that is not exhaustive, or observes a token, is
not exhaustive from then on, and says so on its frames. Where the clock does not say it, or was left out for size, the
dots that a stamp lists say less of it, and a few counts some more (`heard.py`).

Left alone are a node's own dots (their acknowledgement is here a moment later, and resends depend on it), what is
addressed to the reader (it knows best), and closed dots (no horizon may ever stand in for them).
"""

from __future__ import annotations

from collections.abc import Callable

from causal.ordering.context import CausalContext, IsSettled
from causal.ordering.counts import SharedClock
from causal.ordering.dot import NodeId
from causal.ordering.stamp import NO_DOTS, Clock, Seqs, Stamp, without_seqs

CountOf = Callable[[NodeId], int]
"""Origin → up to which seq its messages have been followed; 0 where that is not known."""


def unlisted(count_of: CountOf, stamp: Stamp, context: CausalContext, me: NodeId) -> IsSettled:
    """Whether a stamp says by its silence that this context may forget a dot. `count_of`: what its sender followed."""
    elsewhere, closed = stamp.elsewhere, context.closed

    def is_unlisted(destination: str, origin: NodeId, seq: int) -> bool:
        if origin == me or destination == me.name or count_of(origin) < seq:
            return False
        if origin in elsewhere.get(destination, NO_DOTS):
            return False
        return not _contains(closed.get(destination, NO_DOTS).get(origin), seq)

    return is_unlisted


def forgotten(count_of: CountOf, context: CausalContext, me: NodeId, is_settled: IsSettled) -> IsSettled:
    """Whether this process has forgotten a dot that a stamp tells it of, or may do so, as it `is_settled`.

    `count_of`: what its one context has followed before it follows the stamp.
    """
    pending = context.pending

    def is_forgotten(destination: str, origin: NodeId, seq: int) -> bool:
        if is_settled(destination, origin, seq):
            return True
        if origin == me or destination == me.name or count_of(origin) < seq:
            return False
        return origin not in pending.get(destination, NO_DOTS)

    return is_forgotten


def counting(clock: Clock) -> CountOf:
    """What a clock counts, or another mapping."""
    if type(clock) is not SharedClock:
        return lambda origin: clock.get(origin, 0)
    sender, count, others = clock.sender, clock.count, clock.others
    return lambda origin: count if origin == sender else others.get(origin, 0)  # in half the time


def _contains(seqs: Seqs | None, seq: int) -> bool:
    return seqs is not None and without_seqs(seq, seqs) is None
