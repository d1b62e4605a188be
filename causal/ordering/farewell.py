"""The sender's part in leaving in good order: goodbye to each receiver that has settled all.

A receiver that knows it need not wait for this node under any horizon, and gives up what it keeps of it. A node that
has a store may come back as the same incarnation, and says nothing; one that starts anew is another incarnation.
"""

from __future__ import annotations

from dataclasses import replace

from causal.ordering.engine import Engine
from causal.ordering.frames import FINAL, SenderFrame, StableNumber


def farewell(engine: Engine, peer: str, now_ms: int) -> SenderFrame | None:
    """The last frame for the stream to a receiver; None without a stream, or if that has not settled all.

    The caller sends nothing any more, whatever it may be asked for: no handler runs, and none will start. Where all is
    settled at each destination the frame says so as well, for whoever has heard of this node's messages from others.
    """
    link = engine.outbound[peer]
    if not link.connected or link.outbox:
        return None
    frame = engine.transmit(peer, now_ms, heartbeat=True)
    assert frame is not None
    stable = frame.stable
    if not engine.unsettled:
        final = StableNumber(origin=engine.me, upto=FINAL, lagging={})
        engine.settlement.learn(final)
        stable = (*(report for report in stable if report.origin != engine.me), final)
    return replace(frame, stable=stable, farewell=True)
