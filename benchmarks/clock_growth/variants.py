"""The variants of ours that are compared, and how each is switched on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from causal.ordering import Arrival, Engine, EngineConfig, NodeId, Ordering, Output
from causal.ordering.context import CausalContext

UNBOUNDED = 2**30
"""Larger than anything a run lists or queues: exact mode must show how large stamps get, not wait for room."""


def exact(**limits: int) -> EngineConfig:
    """The engine's own defaults, with nothing that could stop a sender."""
    return EngineConfig(dots_max=UNBOUNDED, outbox_messages=UNBOUNDED, window_messages=UNBOUNDED, **limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to run the engine."""

    name: str
    title: str
    config: EngineConfig = field(default_factory=exact)
    scope: Literal["process", "context"] = "process"
    heartbeat_ms: int = 0
    """Silence on a link, in ms, after which its ends send a heartbeat; 0: never, stable numbers ride on messages."""


PROCESS = Variant(name="process", title="process scope")
"""The base of each cell: its history is the one that the algorithms are run on."""

VARIANTS = {
    variant.name: variant
    for variant in (
        PROCESS,
        Variant(name="process-50", title="process, beats of 50 ms", heartbeat_ms=50),
        Variant(name="process-5", title="process, beats of 5 ms", heartbeat_ms=5),
    )
}


def make_engine(variant: Variant, me: NodeId, peers: list[str]) -> Engine:
    return Engine(me, peers, lambda _: Ordering.CAUSAL, variant.config)


def fresh_context(engine: Engine) -> CausalContext:
    """What a request that enters from outside follows."""
    return engine.context


def start(engine: Engine, arrival: Arrival) -> CausalContext:
    """Start a handler; the context of what it sends."""
    engine.start(arrival)
    return engine.context


def send(engine: Engine, context: CausalContext, to: list[str], payload: bytes, now_ms: int) -> tuple[int, Output]:
    """Send from a context; the message's number at its origin, and what the engine asks for."""
    assert context is engine.context
    dot, output = engine.send(to, "bench.message", payload, now_ms, urgent=True)
    return dot.seq, output
