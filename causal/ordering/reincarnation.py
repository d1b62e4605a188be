"""A node whose clock went back over a restart takes a later incarnation, as long as nobody has accepted it.

Its peers know a later incarnation and refuse it. Nothing was received yet and no dot has left the process, so
every dot there is can still be renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from causal.errors import OrderingError
from causal.ordering.departure import Departures
from causal.ordering.dot import NodeId
from causal.ordering.engine import Engine
from causal.ordering.link import InboundLink
from causal.ordering.stability import Stability
from causal.ordering.stamp import Copy

N = TypeVar("N")


def can_reincarnate(engine: Engine) -> bool:
    """Whether no peer has accepted this incarnation, and nothing was sent to oneself under it."""
    return not engine.settlement.accepted and not engine.settlement.own.received.to


def reincarnate(engine: Engine, incarnation: int) -> None:
    """Rename everything stamped so far to a later incarnation. O(outbox).

    The caller begins every stream anew. Raises `OrderingError` unless `can_reincarnate`.
    """
    if not can_reincarnate(engine) or incarnation <= engine.me.incarnation:
        raise OrderingError(f"{engine.me} cannot become incarnation {incarnation}")
    old, new = engine.me, NodeId(engine.me.name, incarnation)

    def renamed(numbers: Mapping[NodeId, N]) -> dict[NodeId, N]:
        return {new if origin == old else origin: number for origin, number in numbers.items()}

    def restamped(copy: Copy) -> Copy:
        stamp = copy.stamp
        return copy._replace(
            stamp=stamp._replace(
                after=renamed(stamp.after),
                elsewhere={name: renamed(dots) for name, dots in stamp.elsewhere.items()},
                closed={name: renamed(dots) for name, dots in stamp.closed.items()},
                clock=None if stamp.clock is None else renamed(stamp.clock),
            )
        )

    for link in engine.outbound.values():
        link.outbox = {seq: restamped(copy) for seq, copy in link.outbox.items()}
    settlement = engine.settlement
    engine.me = settlement.me = new
    settlement.latest[new.name] = incarnation
    settlement.stable.pop(old, None)
    settlement.own = InboundLink.to_oneself(new, engine.config.scope)
    settlement.inbound = {new: settlement.own}
    engine.contexts.rename(old, new)
    engine.counts.rename(new)
    engine.heard.rename(new)
    engine.stability = Stability(settlement)
    engine.departures = Departures(settlement, engine.delivery, engine.stability)
