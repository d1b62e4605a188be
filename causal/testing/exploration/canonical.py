"""When two states are the same: a value by which they are compared, and nothing that cannot change what follows.

Left out, because nothing that an engine does from here on can depend on it:

- timestamps, but for the milliseconds of messages, which decide what lags: exact mode compares no two of them. A
  scenario in which horizons do (with a bound of dots, or with losses) is `timed`, and there they all stay, or their
  classes if the clocks run *in turn* (`times.py`);
- how often settlement has changed: all that is asked is whether it has since a context was last pruned;
- the order of mappings and sets, which decides only what goes first when one of them is full (1,024 entries
  and more; an outbox is always in the order of `seq`).

A replay of whole runs without it (`tests/simulation/test_exploration.py`) checks that this is so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

from sortedcontainers import SortedList

from causal.clock import HybridClock
from causal.ordering.context import CausalContext
from causal.ordering.counts import SendCounts, SharedClock
from causal.ordering.delivery import Delivery
from causal.ordering.dot import Dot, NodeId
from causal.ordering.engine import Engine
from causal.ordering.frames import SenderFrame
from causal.ordering.heard import Heard
from causal.ordering.horizon import Horizons
from causal.ordering.link import InboundLink
from causal.ordering.settlement import Settlement
from causal.ordering.stability import Stability
from causal.ordering.stamp import Stamp
from causal.testing.exploration.times import class_of

LEFT_OUT: dict[type, frozenset[str]] = {
    # Constant, or said in another place of the same engine; `changes` and `pruned_at` are said by `_engine`.
    Engine: frozenset({"config", "hlc", "context", "contexts", "settlement", "departures"}),
    CausalContext: frozenset({"__weakref__", "_size", "number", "pruned_at"}),
    Settlement: frozenset({"changes", "outbound"}),
    Stability: frozenset({"_settlement", "_outbound", "_me"}),
    # What is remembered to save work: `_subject` with its `_ordering`, `_merged`, `_shared`.
    Delivery: frozenset({"settlement", "_ordering_of", "_subject", "_ordering"}),
    # How often something happened decides nothing; a set that is kept sorted says no more than the links.
    Horizons: frozenset({"_settlement", "waits", "asked"}),
    SendCounts: frozenset({"_entries_max", "_me", "_merged", "_shared"}),
    Heard: frozenset({"_me", "_hlc"}),
    # Decides only when bytes are counted anew; is only shown.
    InboundLink: frozenset({"bytes_most", "skew_ms"}),
}

TIMES: dict[type, frozenset[str]] = {
    CausalContext: frozenset({"ages"}),
    InboundLink: frozenset({"heard"}),
    SenderFrame: frozenset({"past"}),
}
"""Timestamps: left out where nothing compares them."""

NAMES: dict[tuple[type, tuple[str, ...], bool], list[str]] = {}
"""What `names_of` has found."""

_timed: ContextVar[bool] = ContextVar("timed", default=False)
_in_turn: ContextVar[bool] = ContextVar("in_turn", default=False)


def canonical_of(value: Any, *, timed: bool, in_turn: bool = False) -> Hashable:
    """A hashable value that is equal for two states if they are the same; `timed`: also by their timestamps, if the
    clocks are `in_turn` by the classes of these."""
    tokens = _timed.set(timed), _in_turn.set(in_turn)
    try:
        return canonical(value)
    finally:
        _timed.reset(tokens[0])
        _in_turn.reset(tokens[1])


def canonical(value: Any) -> Hashable:
    """The same for a part of such a state."""
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
    timed = _timed.get()
    names = NAMES.get((kind, own, timed))
    if names is None:
        names = NAMES[kind, own, timed] = _names_of(kind, own, timed)
    return names


def _names_of(kind: type, own: tuple[str, ...], timed: bool) -> list[str]:
    slots = [name for each in kind.__mro__ for name in getattr(each, "__slots__", ())]
    times = frozenset[str]() if timed else TIMES.get(kind, frozenset())
    return sorted({*slots, *own} - LEFT_OUT.get(kind, frozenset()) - times)


def _itself(value: Any) -> Hashable:
    return value  # type: ignore[no-any-return]


def _number(value: int) -> Hashable:
    return class_of(value) if _in_turn.get() else value


def _sequence(value: Iterable[Any]) -> Hashable:
    return tuple([canonical(each) for each in value])


def _mapping(value: dict[Any, Any]) -> Hashable:
    return frozenset([(canonical(key), canonical(each)) for key, each in value.items()])


def _set(value: Iterable[Any]) -> Hashable:
    return frozenset([canonical(each) for each in value])


def _stamp(value: Stamp) -> Hashable:
    return (
        value.previous,
        canonical(value.timestamp) if _timed.get() else value.timestamp >> 16,
        canonical(value.after),
        canonical(value.elsewhere),
        canonical(value.clock),
        canonical(value.horizon),
        canonical(value.closed),
    )


def _engine(value: Engine) -> Hashable:
    pruned = value.context.pruned_at == value.settlement.changes
    parts = [getattr(value, name) for name in names_of(Engine, tuple(vars(value)))]
    hlc = value.hlc.last_int if _timed.get() and not _in_turn.get() else 0
    return (pruned, hlc, canonical(value.context), canonical(value.settlement), *map(canonical, parts))


FORMS: dict[type, Callable[[Any], Hashable]] = {
    int: _number,
    NodeId: _itself,
    Dot: _itself,
    Stamp: _stamp,
    Engine: _engine,
    SharedClock: lambda value: _mapping(dict(value)),
    HybridClock: lambda value: value.drift_max_ms,
}

GENERAL_FORMS: tuple[tuple[tuple[type, ...], Callable[[Any], Hashable]], ...] = (
    ((int, str, bytes, type(None)), _itself),
    ((tuple, list, deque, SortedList), _sequence),
    ((dict, MappingProxyType), _mapping),
    ((set, frozenset), _set),
)
"""Of a type met for the first time, by what it is derived from."""
