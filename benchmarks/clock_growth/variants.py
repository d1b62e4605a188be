"""The variants of ours that are compared, and how each is switched on."""

from __future__ import annotations

from dataclasses import dataclass, field

from causal.ordering import Arrival, Engine, EngineConfig, NodeId, Ordering, Output
from causal.ordering.context import CausalContext
from causal.ordering.contexts import Follows
from causal.ordering.scope import Scope

UNBOUNDED = 2**30
"""Larger than anything a run lists or queues: exact mode must show how large stamps get, not wait for room."""


def settings(*, bound: int = UNBOUNDED, scope: Scope = Scope.PROCESS, clock: int = 64, heard: int = 8) -> EngineConfig:
    """The engine's own defaults, with nothing that could stop a sender. All links are known from the start."""
    return EngineConfig(
        dots_max=UNBOUNDED,
        outbox_messages=UNBOUNDED,
        window_messages=UNBOUNDED,
        dependencies_max=bound,
        clock_entries_max=clock,
        heard_max=heard,
        links_known_after_ms=0,
        scope=scope,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to run the engine."""

    name: str
    title: str
    config: EngineConfig = field(default_factory=settings)
    heartbeat_ms: int = 0
    """Silence on a link, in ms, after which its ends send a heartbeat; 0: never, stable numbers ride on messages."""

    @property
    def scope(self) -> str:
        """Whose past messages follow: "process" or "context"."""
        return str(self.config.scope)


PROCESS = Variant(name="process", title="process scope")
"""The base of each cell: its history is the one that the algorithms are run on."""

VARIANTS = {
    variant.name: variant
    for variant in (
        PROCESS,
        Variant(name="process-100", title="process, beats of 100 ms", heartbeat_ms=100),
        Variant(name="process-50", title="process, beats of 50 ms", heartbeat_ms=50),
        Variant(name="process-20", title="process, beats of 20 ms", heartbeat_ms=20),
        Variant(name="process-5", title="process, beats of 5 ms", heartbeat_ms=5),
        Variant(name="process-bare", title="process, no counts added", config=settings(heard=0)),
        Variant(name="process-clock", title="process, whole clock", config=settings(clock=UNBOUNDED)),
        Variant(name="bounded-64", title="process, bound of 64", config=settings(bound=64)),
        Variant(name="bounded-32", title="process, bound of 32", config=settings(bound=32)),
        Variant(name="bounded-16", title="process, bound of 16", config=settings(bound=16)),
        Variant(name="bounded-0", title="process, bound of 0", config=settings(bound=0)),
        Variant(name="bounded-64-50", title="bound of 64, beats of 50 ms", config=settings(bound=64), heartbeat_ms=50),
        Variant(name="bounded-64-5", title="bound of 64, beats of 5 ms", config=settings(bound=64), heartbeat_ms=5),
        Variant(name="bounded-32-50", title="bound of 32, beats of 50 ms", config=settings(bound=32), heartbeat_ms=50),
        Variant(name="bounded-16-50", title="bound of 16, beats of 50 ms", config=settings(bound=16), heartbeat_ms=50),
        Variant(name="bounded-16-5", title="bound of 16, beats of 5 ms", config=settings(bound=16), heartbeat_ms=5),
        Variant(name="context", title="context scope", config=settings(scope=Scope.CONTEXT)),
        Variant(name="context-16", title="context, bound of 16", config=settings(bound=16, scope=Scope.CONTEXT)),
    )
}


def make_engine(variant: Variant, me: NodeId, peers: list[str], now_ms: int) -> Engine:
    engine = Engine(me, peers, lambda _: Ordering.CAUSAL, variant.config)
    engine.tick(now_ms)  # from here on the links that are known are all there are
    return engine


def fresh_context(engine: Engine) -> CausalContext:
    """What a request that enters from outside follows."""
    return engine.contexts.open()


def start(engine: Engine, arrival: Arrival) -> CausalContext:
    """Start a handler; the context of what it sends."""
    engine.start(arrival)
    return engine.contexts.of(arrival)


def send(engine: Engine, context: CausalContext, to: list[str], payload: bytes, now_ms: int) -> tuple[int, Output]:
    """Send from a context; the message's number at its origin, and what the engine asks for."""
    dot, output = engine.send(to, "bench.message", payload, now_ms, urgent=True, follows=Follows(context))
    return dot.seq, output
