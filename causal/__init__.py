"""Causal delivery between microservices over gRPC, without a broker.

A message is held back at its receiver until every message that causally precedes it and is addressed to this
receiver is settled. `Node` is the way in; see the README for a first program.

The names below are loaded at first use, so that `import causal` costs neither grpc nor asyncio.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from causal.clock import HybridClock, HybridTimestamp, Relation, VectorClock
    from causal.errors import (
        BackpressureError,
        BodyError,
        CausalError,
        ClockDriftError,
        ClosedError,
        ConfigurationError,
        GivenUpError,
        HandlerError,
        InvalidNameError,
        LocalError,
        OrderingError,
        ProtocolError,
        RefusedError,
        RemoteError,
        SubjectError,
        TokenError,
        TransportError,
        UnknownDestinationError,
        UnknownDotError,
    )
    from causal.node import Message, Node, Policy
    from causal.node.strands import context, observe, token
    from causal.ordering import Dot, Verdict

__version__ = "0.1.0"

__all__ = [
    "BackpressureError",
    "BodyError",
    "CausalError",
    "ClockDriftError",
    "ClosedError",
    "ConfigurationError",
    "Dot",
    "GivenUpError",
    "HandlerError",
    "HybridClock",
    "HybridTimestamp",
    "InvalidNameError",
    "LocalError",
    "Message",
    "Node",
    "OrderingError",
    "Policy",
    "ProtocolError",
    "RefusedError",
    "Relation",
    "RemoteError",
    "SubjectError",
    "TokenError",
    "TransportError",
    "UnknownDestinationError",
    "UnknownDotError",
    "VectorClock",
    "Verdict",
    "__version__",
    "context",
    "observe",
    "token",
]

_HOMES = {
    "causal.clock": ("HybridClock", "HybridTimestamp", "Relation", "VectorClock"),
    "causal.node": ("Message", "Node", "Policy"),
    "causal.node.strands": ("context", "observe", "token"),
    "causal.ordering": ("Dot", "Verdict"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Load a public name from its module, once."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOME_OF.get(name, "causal.errors")), name)
    if name == "observe":
        value = import_module("causal.observe")  # which can be called, from now on: see `causal.node.strands`
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
