"""Giving up what waits for a receiver that is away: an operator's choice, made at the sender.

The payloads go, so that there is room again, and nobody at the sender waits for these messages any more. Their stamps
stay, a few hundred bytes each, and reach the receiver if it ever comes back: there each of them settles *in turn*, like
a message that is dropped while it waits, and no handler runs for it. So the order holds at every node: what follows a
message that was given up still comes after whatever that one had followed, also from other senders; and nobody takes
it for settled before. One that had reached the receiver already is handled there as ever.
"""

from __future__ import annotations

from collections.abc import Iterable

from causal.ordering.engine import Engine
from causal.ordering.stamp import Copy
from causal.ordering.weight import weight_of


def give_up(engine: Engine, peer: str) -> list[Copy]:
    """Give up all that is unsettled for this peer and has not been given up before. O(outbox).

    Returns the copies as they were, oldest first. Those that wait for credit, or for a stream, lose their payload at
    once; what is on a stream counts as it is, since the receiver may have it.
    """
    link = engine.outbound[peer]
    fresh = [copy for seq, copy in link.outbox.items() if seq not in link.given_up]
    for copy in fresh:
        link.given_up[copy.seq] = weight_of(copy)
        link.outbox[copy.seq] = copy._replace(payload=b"")
        link.outbox_bytes -= len(copy.payload)
    return fresh


def is_waited_for(engine: Engine, seq: int) -> bool:
    """Whether this own message is unsettled at a destination at which it was not given up. O(links)."""
    return any(seq in link.outbox and seq not in link.given_up for link in engine.outbound.values())


def left_to_wait_for(engine: Engine, seqs: Iterable[int]) -> list[int]:
    """Those of these own messages of which that is so. O(seqs · links)."""
    return [seq for seq in seqs if is_waited_for(engine, seq)]
