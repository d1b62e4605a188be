"""What must hold of an engine between any two of its steps, checked from its state.

Each check says in words what is wrong; none of them is what proves the guarantee (that is `history.py`): they
find a defect near its cause.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator

from causal.ordering.dot import NodeId
from causal.ordering.engine import Engine
from causal.ordering.holdback import Arrival
from causal.ordering.link import InboundLink, OutboundLink
from causal.ordering.stamp import NO_DOTS, Dots, without_seqs

REMEMBERED = 64
"""Mappings of a context that are watched for mutation, newest first."""


class Invariants:
    """The invariants of one engine; keeps copies of what must not change."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._seen: deque[tuple[Dots, Dots]] = deque(maxlen=REMEMBERED)
        self._ids: set[int] = set()

    def broken(self) -> list[str]:
        """What does not hold now, in words. O(state)."""
        return [f"{self._engine.me}: {text}" for text in self._found()]

    def _found(self) -> Iterator[str]:
        engine = self._engine
        yield from _hold_back(engine)
        counts: Counter[int] = Counter()
        for link in engine.outbound.values():
            if link.outbox:
                counts.update(list(link.outbox))
            yield from _outbound(engine, link)
        if counts != engine._unsettled:
            yield f"unsettled is {engine._unsettled}, outboxes say {dict(counts)}"
        for inbound in engine.settlement.inbound.values():
            yield from _inbound(inbound)
        yield from self._mutated()

    def _mutated(self) -> Iterator[str]:
        for dots, copy in self._seen:
            if dots != copy:
                yield f"a mapping of the context was changed in place: {copy} is now {dots}"
        for context in self._engine.contexts:
            if {to: set(dots) for to, dots in context.pending.items()} != {
                to: set(ages) for to, ages in context.ages.items()
            }:
                yield f"pending is {context.pending}, ages are {context.ages}"
            for to, shut in context.closed.items():
                for origin, seqs in shut.items():
                    if without_seqs(seqs, context.pending.get(to, NO_DOTS).get(origin)) is not None:
                        yield f"{origin}/{seqs} for {to} is closed and not pending"
        for dots in [dots for context in self._engine.contexts for dots in context.pending.values()]:
            if id(dots) not in self._ids:
                if len(self._seen) == REMEMBERED:
                    self._ids.discard(id(self._seen[0][0]))
                self._seen.append((dots, dict(dots)))
                self._ids.add(id(dots))
            if not dots:
                yield "the context has a destination for which nothing is pending"


def is_bounded(engine: Engine, arrival: Arrival) -> bool:
    """Whether a held copy, or what it waits for, has a horizon: that may make it wait for what it does not follow."""
    inbound = engine.settlement.inbound
    while not arrival.horizon:
        if arrival.held_under is None or (link := inbound.get(arrival.held_under[0])) is None:
            return False
        awaited = link.unsettled.get(arrival.held_under[1])
        if awaited is None or awaited.copy.stamp.timestamp >= arrival.copy.stamp.timestamp:
            return False  # it is later only where a rule is taken away, and then they may wait in circles
        arrival = awaited
    return True


def kept_of_the_gone(engine: Engine, *, asked: bool) -> Iterator[str]:
    """What is kept of senders that are gone, beside their records: at rest nothing (F9).

    `asked`: somebody still asks about messages of theirs, so that stable numbers are on their way.
    """
    settlement, horizons, holdback = engine.settlement, engine.delivery.horizons, engine.delivery.holdback
    kept: dict[str, Iterable[NodeId]] = {
        "a link of": settlement.inbound,
        "a stable number of": settlement.stable,
        "something on its way out of": settlement.going,
        "what waits for": {**holdback._waiting, **holdback._absent, **horizons._waiting, **horizons._unvouched},
    }
    for peer, link in engine.outbound.items():
        if link.connected and not asked:
            kept |= {f"told {peer} of": link.told, f"owed {peer} of": link.owed, f"announced {peer} of": link.announced}
    for what, origins in kept.items():
        if gone := [str(origin) for origin in origins if settlement.is_gone(origin)]:
            yield f"keeps {what} {', '.join(sorted(gone))}, which is gone"


def _hold_back(engine: Engine) -> Iterator[str]:
    settlement = engine.settlement
    held = engine.delivery.held
    for arrival in engine.delivery.horizons:
        yield from _under_horizon(engine, arrival)
    for arrival in engine.delivery.holdback:
        dot = arrival.waits_for
        if dot is None or arrival.in_turn or arrival.waits_past is not None:
            yield f"{arrival.dot} is held and waits for nothing, or for two things"
        elif settlement.missing_here(dot.origin, dot.seq) != dot.seq:
            yield f"{arrival.dot} waits for {dot}, which is not missing"
    waiting = [
        arrival for link in settlement.inbound.values() for arrival in link.unsettled.values() if not arrival.in_turn
    ]
    if sorted(map(id, held)) != sorted(map(id, waiting)):
        yield f"held are {[str(a.dot) for a in held]}, not in turn {[str(a.dot) for a in waiting]}"


def _under_horizon(engine: Engine, arrival: Arrival) -> Iterator[str]:
    sender = arrival.waits_past
    if sender is None or not arrival.horizon or arrival.in_turn or arrival.held_under is not None:
        yield f"{arrival.dot} is held under its horizon {arrival.horizon} and waits for {sender}"
        return
    link = engine.settlement.inbound.get(sender)
    if link is None or sender == engine.me:
        if engine.delivery.horizons.complete:
            yield f"{arrival.dot} waits for {sender} to dial, and the time for that is over"
    elif link.heard >= arrival.horizon or engine.settlement.is_gone(sender):
        yield f"{arrival.dot} waits for {sender}, which is past it or gone"
    elif link.asking < arrival.horizon:
        yield f"{arrival.dot} waits for {sender}, which was not asked"


def _outbound(engine: Engine, link: OutboundLink) -> Iterator[str]:
    if not (link.outbox or link.queue or link.in_flight or link.outbox_bytes or link.in_flight_bytes):
        return
    queued = [seq for seq in link.queue if seq in link.outbox]
    if len(set(queued)) < len(queued):
        yield f"to {link.peer}: queued twice: {queued}"
    in_flight = set(link.in_flight)
    if in_flight & set(queued):
        yield f"to {link.peer}: both queued and in flight: {in_flight & set(queued)}"
    placed = in_flight | set(queued)
    if link.connected and placed != set(link.outbox):
        yield f"to {link.peer}: on the stream {placed}, unsettled {list(link.outbox)}"
    if not link.connected and (link.in_flight or link.queue):
        yield f"to {link.peer}: something is on a stream that is gone"
    if list(link.outbox) != sorted(link.outbox) or max(link.outbox, default=0) > link.last_sent:
        yield f"to {link.peer}: outbox out of order: {list(link.outbox)}, last sent {link.last_sent}"
    if link.outbox_bytes != sum(len(copy.payload) for copy in link.outbox.values()):
        yield f"to {link.peer}: outbox_bytes is {link.outbox_bytes}"
    if link.in_flight_bytes != sum(link.in_flight.values()):
        yield f"to {link.peer}: in_flight_bytes is {link.in_flight_bytes}"
    if any(seq not in link.outbox or link.outbox[seq].payload for seq in link.given_up):
        yield f"to {link.peer}: given up {list(link.given_up)}, and gone or with a payload"
    if queued != sorted(queued):
        yield f"to {link.peer}: queued out of order: {queued}"
    stable = engine.settlement.stable.get(engine.me)
    if stable is not None and any(stable.covers(link.peer, seq) for seq in link.outbox):
        yield f"{stable} covers unsettled messages to {link.peer}: {list(link.outbox)}"


def _inbound(link: InboundLink) -> Iterator[str]:
    received = link.received
    if received.missing and any(seq > received.to for seq in received.missing):
        yield f"from {link.origin}: missing {received.missing} past {received.to}"
    if any(seq <= received.to for seq in received.beyond) or set(received._next.values()) != received.beyond:
        yield f"from {link.origin}: {received.beyond} beyond {received.to}, chained {received._next}"
    for seq, arrival in link.unsettled.items():
        if seq not in received:
            yield f"{arrival.dot} is unsettled and was not received"
        if arrival.finished and arrival.in_turn:
            yield f"{arrival.dot} has finished in its turn and is not settled"
        if arrival.in_turn and arrival.waits_for is not None:
            yield f"{arrival.dot} is in turn and waits for {arrival.waits_for}"
    if not link.connected and (link.gaps or link.answers or link.lost or link.watch or link.asked):
        yield f"from {link.origin}: something to say on a stream that is gone"
