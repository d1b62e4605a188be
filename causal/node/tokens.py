"""Tokens of a running node: as many bytes as there is room for, and whose dots they name."""

from __future__ import annotations

from collections.abc import Collection

from causal.errors import BackpressureError
from causal.ordering.context import CausalContext
from causal.ordering.dot import NodeId
from causal.ordering.engine import Engine
from causal.ordering.stamp import size_of
from causal.ordering.tokens import Token, renamed, token_of
from causal.wire.codec import decode_token, encode_token


def token_within(engine: Engine, context: CausalContext, max_bytes: int) -> bytes:
    """What a context follows, in at most `max_bytes` bytes: beyond that the oldest dots are folded into the horizon.

    Raises `BackpressureError` if that is not enough, since dots of links that were never open have to be named.
    """
    token = token_of(engine, context)
    data = encode_token(token)
    listed = size_of(token.pending)
    while len(data) > max_bytes:
        # As many as would fit if all took the same; a clock, names and what may not be folded take more.
        most = min(listed - 1, listed * max_bytes // len(data))
        token = token_of(engine, context, max(most, 0))
        data = encode_token(token)
        left = size_of(token.pending)
        if left == listed or not left:
            break
        listed = left
    if len(data) > max_bytes and token.clock is not None:
        data = encode_token(token._replace(clock=None))
    if len(data) > max_bytes:
        raise BackpressureError(
            f"a token of {size_of(token.pending)} unsettled messages to peers that have not been reached yet would "
            f"take {len(data)} bytes, more than max_bytes={max_bytes}: wait for some to settle, or make tokens in "
            "contexts of their own (causal.context)"
        )
    return data


def token_from(data: bytes, former: Collection[int], me: NodeId) -> Token:
    """The token that these bytes are, for a node that had the incarnations `former` before the one that it has now."""
    return renamed(decode_token(data), [NodeId(me.name, incarnation) for incarnation in former], me)
