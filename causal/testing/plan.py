"""What happens in one simulated run: everything that a seed decides before it begins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any

SUBJECTS = ("order", "payment", "stock", "audit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The size, the workload and the faults of a run. Shares are probabilities; times in ms of virtual time."""

    seed: int
    nodes: int
    links: float
    """Share of directed links that exist, besides a ring: not everybody sends to everybody."""
    messages: int
    """Sent by clients, outside handlers; what handlers send comes on top."""
    duration_ms: int
    """Length of the phase with faults."""
    fan_out: float
    """Share of sends that are multicasts."""
    chain: float
    """Share of handlers that send something in turn."""
    none_subjects: int
    """Of `SUBJECTS`, how many are `none`; each node chooses its own."""
    handler_ms: int
    """Longest duration of a handler."""
    concurrency: int
    failing: float
    """Share of handler runs that fail and are retried."""
    dropped: float
    """Share of messages that are dead-lettered while they wait."""
    slow_links: float
    repeated: float
    lost: float
    """Share of frames lost while their stream goes on for a while."""
    torn: int
    """How many times some stream breaks."""
    cuts: int
    cut_ms: int
    crashes: int
    """Restarts without a store."""
    window_messages: int
    window_bytes: int
    outbox_messages: int
    frame_messages: int
    dots_max: int
    clock_entries_max: int
    skew_ms: int
    """Clocks are wrong by up to this, and may step back by up to as much."""
    racing: bool
    """Whether some clock is too far ahead for a while: its messages are refused until it is mended."""
    wire: bool
    """Whether frames go through their real encoding."""
    heartbeat_ms: int
    garbage_after_ms: int
    dependencies_max: int
    """Dots that a stamp may list before the oldest are folded into its horizon."""
    late_links_ms: int
    """How long after its start a node may take to dial a peer for the first time."""
    links_known_ms: int
    """How long after a start a receiver holds what has a horizon until all senders have dialled."""
    context_scope: float
    """Share of nodes in context scope."""
    keys: int
    """Different keys of messages; 0: none have any."""
    after: float
    """Share of sends that name a message which they follow."""
    heard_max: int
    """Counts of other origins that a frame adds where clocks are left out."""
    tokens: float
    """Share of client sends before which some token is observed, and after which one is made."""
    leaves: int = 0
    """How often some node leaves in good order."""
    evictions: int = 0
    """How often some node is evicted by another."""
    gifts: int = 0
    """How often some node gives up what is unsettled for another."""
    twin: bool = False
    """Whether a second process with the name of the first node starts in the same millisecond."""
    twin_listens: bool = False
    """Whether the address of the first node leads to that process for a while."""

    @classmethod
    def of(cls, seed: int, **overrides: Any) -> Plan:
        """The plan of a seed. About one run in four is without each kind of fault, so that kinds stand out."""
        random, scopes = Random(f"plan {seed}"), Random(f"scopes {seed}")

        def some(share: float, value: Any, otherwise: Any) -> Any:
            return value if random.random() < share else otherwise

        plan = cls(
            seed=seed,
            nodes=random.choice((3, 3, 4, 4, 5, 6)),
            links=some(0.4, random.random() / 2, 1.0),
            messages=random.randint(12, 36),
            duration_ms=random.choice((200, 400, 800)),
            fan_out=random.choice((0.1, 0.3, 0.6)),
            chain=random.choice((0.3, 0.5, 0.7)),
            none_subjects=random.choice((0, 0, 1, 2)),
            handler_ms=random.choice((0, 5, 20, 50)),
            concurrency=random.choice((1, 2, 8, 64)),
            failing=some(0.5, 0.15, 0.0),
            dropped=some(0.3, 0.1, 0.0),
            slow_links=some(0.75, 0.25, 0.0),
            repeated=some(0.5, 0.1, 0.0),
            lost=some(0.4, 0.03, 0.0),
            torn=some(0.6, random.randint(1, 8), 0),
            cuts=some(0.4, random.randint(1, 3), 0),
            cut_ms=some(0.2, 1300, 150),
            crashes=some(0.5, random.randint(1, 3), 0),
            window_messages=some(0.4, random.randint(1, 3), 4096),
            window_bytes=some(0.2, random.randint(4, 40), 1 << 20),
            outbox_messages=some(0.25, random.randint(1, 4), 10_000),
            frame_messages=some(0.3, random.randint(1, 2), 512),
            dots_max=some(0.15, random.randint(5, 10), 4096),
            clock_entries_max=some(0.15, random.randint(1, 4), 64),
            skew_ms=some(0.6, 120, 0),
            racing=some(0.1, True, False),
            wire=some(0.15, True, False),
            heartbeat_ms=random.choice((20, 40, 80)),
            garbage_after_ms=random.choice((60, 200)),
            dependencies_max=some(0.4, random.choice((0, 0, 1, 2, 4, 16)), 64),
            late_links_ms=some(0.25, 150, 10),
            links_known_ms=random.choice((100, 400, 1500)),
            context_scope=scopes.choice((0.0, 0.0, 0.5, 1.0)),
            keys=scopes.choice((0, 0, 1, 3)),
            after=scopes.choice((0.0, 0.0, 0.1)),
            tokens=scopes.choice((0.0, 0.0, 0.2)),
            heard_max=scopes.choice((0, 1, 8, 8)),
        )
        unasked = not plan.crashes and not plan.lost and not plan.tokens and random.random() < 0.7
        if random.random() < 0.1:
            plan = replace(plan, twin=True, twin_listens=random.random() < 0.5)
        else:
            people = Random(f"people {seed}")
            plan = replace(
                plan,
                leaves=people.choice((0, 0, 0, 1, 2)),
                evictions=people.choice((0, 0, 0, 0, 1)),
                gifts=people.choice((0, 0, 0, 0, 2)),
            )
        plan = replace(plan, **overrides)
        if plan.leaves or plan.evictions or plan.gifts:
            plan = replace(plan, twin=False, twin_listens=False)  # one kind of mistake at a time
        unasked = unasked and not (plan.crashes or plan.lost or plan.tokens or plan.leaves or plan.evictions)
        if unasked and not plan.twin and "garbage_after_ms" not in overrides:
            # Nobody is gone, no stable number gets lost, no dot comes by a way on which none follows: so contexts must
            # get empty without any question.
            plan = replace(plan, garbage_after_ms=60_000)
        return plan
