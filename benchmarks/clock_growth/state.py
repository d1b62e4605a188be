"""How much an engine holds."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import NamedTuple

from causal.ordering import Engine, EngineConfig, NodeId

WORD = 8
"""Bytes that a number or a reference to a name takes where nothing is wasted."""

_LEAVES = (int, str, NodeId)
_IGNORED = (bytes, bool, float, EngineConfig, type, type(None), FunctionType, BuiltinFunctionType, MethodType)


class Held(NamedTuple):
    """The state of one engine."""

    words: int
    """Every number and every reference to a name, counted once where it is shared."""
    python_bytes: int
    """What these objects take in this interpreter (`sys.getsizeof`)."""


def held_by(engine: Engine) -> Held:
    """Everything reachable from the engine, copies kept for a resend included, but for payloads and settings."""
    words = size = 0
    seen: set[int] = set()
    stack: list[object] = [engine]
    while stack:
        each = stack.pop()
        if isinstance(each, _IGNORED):
            continue
        leaf = isinstance(each, _LEAVES)
        words += leaf
        if id(each) in seen:
            continue
        seen.add(id(each))
        size += sys.getsizeof(each)
        if not leaf:
            stack.extend(_inside(each))
    return Held(words, size)


def _inside(each: object) -> Iterator[object]:
    if isinstance(each, dict):
        yield from each
        yield from each.values()
    elif isinstance(each, (list, tuple, set, frozenset, deque)):
        yield from each
    else:
        yield from getattr(each, "__dict__", {}).values()
        for kind in type(each).__mro__:
            for slot in getattr(kind, "__slots__", ()):
                if hasattr(each, slot):
                    yield getattr(each, slot)
