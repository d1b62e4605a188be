"""What numbers and lists cost on the wire: MessagePack, as in our rows, so that bytes compare."""

from __future__ import annotations

from collections.abc import Iterable

from causal.ordering import NodeId
from causal.wire.intern import origin_of

_LIMITS = ((1 << 8, 2), (1 << 16, 3), (1 << 32, 5))


def number(value: int) -> int:
    """Bytes of a whole number from 0."""
    if value < 128:
        return 1
    for limit, size in _LIMITS:
        if value < limit:
            return size
    return 9


def numbers(values: Iterable[int]) -> int:
    return sum(map(number, values))


def list_header(count: int) -> int:
    """Bytes that say how many elements follow."""
    return 1 if count < 16 else 3 if count < 1 << 16 else 5


def others(to: tuple[int, ...]) -> int:
    """Bytes that tell a destination of a multicast the other ones."""
    return list_header(len(to) - 1) + (numbers(to) - numbers(to) // len(to) if len(to) > 1 else 0)


def definition(node: NodeId, index: int) -> int:
    """Bytes that define an origin in a frame of ours, once in a stream."""
    size = origin_of(node, index).ByteSize()
    return size + 1 + (1 if size < 128 else 2)
