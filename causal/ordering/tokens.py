"""Tokens: what a context follows, as a value that travels by ways which this library cannot see.

A token lies beside a row of a database or in a header of a request; whoever reads it observes it, and what they send
from then on follows what the token was made of. It has what a stamp has: pending dots, clock and timestamp.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from causal.errors import TokenError
from causal.ordering.context import CausalContext
from causal.ordering.dot import Dot, NodeId
from causal.ordering.engine import Engine
from causal.ordering.scope import Scope
from causal.ordering.settlement import LOST
from causal.ordering.stamp import NO_DOTS, NO_PENDING, Clock, Dots, Pending, count_of, each, joined_seqs


class Token(NamedTuple):
    """What a context follows at a moment; see `Stamp` for the fields of the same names."""

    timestamp: int
    """Hybrid logical clock: nothing that the token stands for is later."""
    pending: Pending
    """For each destination, the messages that whatever follows the token must come after."""
    clock: Clock | None
    horizon: int = 0
    closed: Pending = NO_PENDING


def token_of(engine: Engine, context: CausalContext, dots_max: int | None = None) -> Token:
    """What a context of this node follows now, without what is known to be settled.

    With `dots_max` it lists no more dots than that, as far as the rest may be folded: for those the token's horizon
    stands in, as a stamp's does, and the context itself goes on as it was. O(dots pending · log) if any are folded.
    """
    engine.contexts.prune(context)
    if dots_max is not None and context.size > dots_max:
        context = context.copy()
        context.fold(context.size - dots_max, engine.stamping.may_fold)
    pending, clock = dict(context.pending), engine.counts.snapshot(engine.last_seq)
    return Token(engine.hlc.last_int, pending, clock, context.horizon, engine.stamping.closed(context, pending))


def renamed(token: Token, former: Collection[NodeId], now: NodeId) -> Token:
    """The token of a node that goes on as another incarnation since: its own messages have other dots now."""
    if not former:
        return token

    def later(origin: NodeId) -> NodeId:
        return now if origin in former else origin

    def dots_of(pending: Pending) -> dict[str, Dots]:
        return {
            destination: {later(origin): seqs for origin, seqs in dots.items()} for destination, dots in pending.items()
        }

    clock = None if token.clock is None else {later(origin): count for origin, count in token.clock.items()}
    return token._replace(pending=dots_of(token.pending), closed=dots_of(token.closed), clock=clock)


def observe(engine: Engine, context: CausalContext, token: Token, now_ms: int) -> None:
    """From now on what is sent from this context follows whatever the token stands for.

    Raises `TokenError` if it names what was never sent, or messages otherwise than their origin's scope says, and
    `ClockDriftError` if it is from a clock too far ahead; then nothing was merged. O(what it lists).
    """
    _validate(engine, token)
    engine.hlc.merge_int(token.timestamp, now_ms)
    engine.contexts.keep(context)
    settlement = engine.settlement
    for origin, seq in each(token.pending.get(engine.me.name, NO_DOTS)):
        if settlement.missing_here(origin, seq) == LOST:  # no copy will list it, and so no verdict name it
            engine.delivery.leave_untold(Dot(origin.name, origin.incarnation, seq))
    context.merge(token.pending, settlement.is_settled, token.timestamp, token.closed, settlement.is_lost)
    context.reach(token.horizon)
    engine.counts.merge(token.clock)


def _validate(engine: Engine, token: Token) -> None:
    limit = engine.config.dots_max
    if (dots := sum(map(count_of, token.pending.values()))) > limit:
        raise TokenError(f"a token lists {dots} dots, more than {limit}")
    if token.horizon > token.timestamp:
        raise TokenError("a token has a horizon that lies after it")
    for destination, shut in token.closed.items():
        listed = token.pending.get(destination, NO_DOTS)
        if any(joined_seqs(listed.get(origin, seqs), seqs) != listed.get(origin) for origin, seqs in shut.items()):
            raise TokenError("a token calls a message closed that it does not list")
    if token.clock is not None and token.clock.get(engine.me, 0) > engine.last_seq:
        raise TokenError(f"a token's clock counts messages of {engine.me} that were never sent")
    for dots_there in token.pending.values():
        for origin, seq in each(dots_there):
            if origin == engine.me and seq > engine.last_seq:
                raise TokenError(f"a token lists {origin}/{seq}, which was never sent")
            if _is_of_the_wrong_kind(engine, origin, chained=isinstance(dots_there[origin], int)):
                raise TokenError(f"a token lists messages of {origin} otherwise than its scope says")


def _is_of_the_wrong_kind(engine: Engine, origin: NodeId, *, chained: bool) -> bool:
    link = engine.settlement.inbound.get(origin)
    return link is not None and chained is not (link.scope is Scope.PROCESS)
