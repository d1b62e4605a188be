"""When two states are the same: a value by which they are compared, and nothing that cannot change what follows.

Left out, because nothing that an engine does from here on can depend on it:

- counters of timestamps: exact mode compares no two of them (their milliseconds decide what lags, and stay);
- how often settlement has changed: all that is asked is whether it has since a context was last pruned;
- the order of mappings and sets, which decides only what goes first when one of them is full (1,024 entries
  and more; an outbox is always in the order of `seq`).

A replay of whole runs without it (`tests/simulation/test_exploration.py`) checks that this is so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from causal.clock import HybridClock
from causal.ordering.context import CausalContext
from causal.ordering.counts import SendCounts, SharedClock
from causal.ordering.delivery import Delivery
from causal.ordering.dot import Dot, NodeId
from causal.ordering.engine import Engine
from causal.ordering.link import InboundLink
from causal.ordering.settlement import Settlement
from causal.ordering.stability import Stability
from causal.ordering.stamp import Stamp

LEFT_OUT: dict[type, frozenset[str]] = {
    # Constant, or said in another place of the same engine; `changes` and `pruned_at` are said by `_engine`.
    Engine: frozenset({"config", "hlc", "context", "contexts", "settlement"}),
    CausalContext: frozenset({"__weakref__", "number", "pruned_at"}),
    Settlement: frozenset({"changes", "outbound"}),
    Stability: frozenset({"_settlement", "_outbound", "_me"}),
    # What is remembered to save work: `_subject` with its `_ordering`, `_merged`, `_shared`.
    Delivery: frozenset({"settlement", "_ordering_of", "_subject", "_ordering"}),
    SendCounts: frozenset({"_entries_max", "_me", "_merged", "_shared"}),
    # Decides only when bytes are counted anew.
    InboundLink: frozenset({"bytes_most"}),
}

NAMES: dict[tuple[type, tuple[str, ...]], list[str]] = {}
"""What `names_of` has found."""


def canonical(value: Any) -> Hashable:
    """A hashable value that is equal for two states if they are the same."""
    kind = type(value)
    form = FORMS.get(kind)
    if form is not None:
        return form(value)
    for general, form in GENERAL_FORMS:
        if issubclass(kind, general):
            FORMS[kind] = form
            return form(value)
    return (kind.__name__, *[canonical(getattr(value, name)) for name in names_of(kind, tuple(vars_of(value)))])


def vars_of(value: object) -> Iterable[str]:
    """The names in an object's own dictionary, if it has one."""
    return getattr(value, "__dict__", ())


def names_of(kind: type, own: tuple[str, ...]) -> list[str]:
    """The attributes that count, in an order that does not depend on when they were set."""
    names = NAMES.get((kind, own))
    if names is None:
        names = NAMES[kind, own] = _names_of(kind, own)
    return names


def _names_of(kind: type, own: tuple[str, ...]) -> list[str]:
    slots = [name for each in kind.__mro__ for name in getattr(each, "__slots__", ())]
    return sorted({*slots, *own} - LEFT_OUT.get(kind, frozenset()))


def _itself(value: Any) -> Hashable:
    return value  # type: ignore[no-any-return]


def _sequence(value: Iterable[Any]) -> Hashable:
    return tuple([canonical(each) for each in value])


def _mapping(value: dict[Any, Any]) -> Hashable:
    return frozenset([(canonical(key), canonical(each)) for key, each in value.items()])


def _set(value: Iterable[Any]) -> Hashable:
    return frozenset([canonical(each) for each in value])


def _stamp(value: Stamp) -> Hashable:
    return (
        value.previous,
        value.timestamp >> 16,
        canonical(value.after),
        canonical(value.elsewhere),
        canonical(value.clock),
    )


def _engine(value: Engine) -> Hashable:
    pruned = value.context.pruned_at == value.settlement.changes
    parts = [getattr(value, name) for name in names_of(Engine, tuple(vars(value)))]
    return (pruned, canonical(value.context), canonical(value.settlement), *map(canonical, parts))


FORMS: dict[type, Callable[[Any], Hashable]] = {
    NodeId: _itself,
    Dot: _itself,
    Stamp: _stamp,
    Engine: _engine,
    SharedClock: lambda value: _mapping(dict(value)),
    HybridClock: lambda value: value.drift_max_ms,
}

GENERAL_FORMS: tuple[tuple[tuple[type, ...], Callable[[Any], Hashable]], ...] = (
    ((int, str, bytes, type(None)), _itself),
    ((tuple, list, deque), _sequence),
    ((dict,), _mapping),
    ((set, frozenset), _set),
)
"""Of a type met for the first time, by what it is derived from."""
