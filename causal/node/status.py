"""What a node says of itself: one JSON-able snapshot, from which an operator can tell why something waits."""

from __future__ import annotations

import dataclasses
import time
from itertools import islice
from typing import Any

from causal.node.core import Core
from causal.node.inbound import InboundStreams
from causal.node.outbound import OutboundStreams
from causal.node.strands import Handling
from causal.ordering import Arrival, NodeId
from causal.ordering.context import CausalContext, merged
from causal.ordering.link import Received
from causal.ordering.stamp import dots_of, size_of

LISTED_MAX = 100
"""Messages listed in each part of a status; `…_total` counts all."""


def snapshot(
    core: Core, outbound: dict[str, OutboundStreams], inbound: InboundStreams, address: str | None
) -> dict[str, Any]:
    """The state of a node now. Durations are in seconds, ages since the message came (or was sent)."""
    engine, runner = core.engine, core.runner
    held = sorted(engine.delivery.held, key=lambda arrival: arrival.received_ns)
    unsettled = core.own.unsettled
    retrying = list(runner.retrying.values())
    whole = merged(engine.contexts)
    return {
        "name": core.me.name,
        "incarnation": core.me.incarnation,
        "address": address,
        "held": [_held(core, arrival) for arrival in held[:LISTED_MAX]],
        "held_total": len(held),
        "ready_total": len(runner.ready),
        "running": [_running(handling) for handling in runner.begun[:LISTED_MAX]],
        "running_total": len(runner.begun),
        "retrying": [_retrying(handling) for handling in retrying[:LISTED_MAX]],
        "retrying_total": len(retrying),
        "unsettled": [_unsettled(core, dot) for dot in unsettled[:LISTED_MAX]],
        "unsettled_total": len(unsettled),
        "sends_waiting": len(core.room),
        "sends_waited": core.room.waited,
        "context": {name: list(map(str, islice(dots_of(dots), LISTED_MAX))) for name, dots in whole.pending.items()},
        "bounded": _bounded(core, whole),
        "links": {
            "out": {peer: _outbound(core, streams) for peer, streams in outbound.items()},
            "in": _inbound(core, inbound),
        },
        "incarnations": dict(engine.settlement.latest),
        "dead_letters": {"kept": len(core.dead_letters), "total": core.dead_letters.total},
        "counters": {"sent": engine.last_seq, **dataclasses.asdict(core.counters)},
        "stamps": {
            "copies": sum(streams.stamp_copies for streams in outbound.values()),
            "bytes": sum(streams.stamp_bytes for streams in outbound.values()),
        },
    }


def _bounded(core: Core, whole: CausalContext) -> dict[str, Any]:
    """How full stamps are, and what it costs that some dots did not fit. `horizon`: seconds that it lies back."""
    engine, horizons = core.engine, core.engine.delivery.horizons
    return {
        "dependencies_max": engine.config.dependencies_max,
        "pending": max((size_of(context.pending) for context in engine.contexts), default=0),
        "folded": engine.stamping.folded,
        "horizon_age_s": time.time() - (whole.horizon >> 16) / 1000 if whole.horizon else None,
        "waits": horizons.waits,
        "questions": horizons.asked,
        "waiting": sum(1 for _ in horizons),
    }


def _held(core: Core, arrival: Arrival) -> dict[str, Any]:
    """A message in the hold-back queue: what it waits for, whose that is, and where that one stands."""
    awaited, sender = arrival.waits_for, arrival.waits_past
    owner = awaited.origin if awaited is not None else sender
    assert owner is not None
    link = core.engine.settlement.inbound.get(owner)
    if awaited is None:
        stage = _stage_of_link(core, owner)
    elif link is None:
        stage = "not received, and no link from its sender yet"
    else:
        stage = "received, not settled" if awaited.seq in link.unsettled else "not received"
    return {
        "id": str(arrival.dot),
        "from": arrival.origin.name,
        "subject": arrival.copy.subject,
        "waits_for": f"the link from {owner}" if awaited is None else str(awaited),
        "owner": owner.name,
        "stage": stage,
        "hint": _hint(core, owner, awaited is not None and link is not None and awaited.seq in link.unsettled),
        "since_s": _since(arrival),
    }


def _hint(core: Core, owner: NodeId, is_here: bool) -> str | None:
    """What an operator can do about a message that waits for what somebody sends who is not there."""
    link = core.engine.settlement.inbound.get(owner)
    if is_here or owner.name == core.me.name or (link is not None and link.connected):
        return None
    return f"start {owner.name}; if it stays away: node.evict({owner.name!r})"


def _stage_of_link(core: Core, sender: NodeId) -> str:
    """Why a copy under its horizon waits for this sender, in words."""
    if sender == core.me:
        return "senders may not have dialled since this node started"
    link = core.engine.settlement.inbound.get(sender)
    if link is None:
        return "its sender has not dialled since this node started"
    return "asked whether more is to come" if link.connected else "the link is down"


def _since(arrival: Arrival) -> float:
    return (time.monotonic_ns() - arrival.received_ns) / 1e9


def _running(handling: Handling) -> dict[str, Any]:
    return {
        "id": str(handling.arrival.dot),
        "subject": handling.arrival.copy.subject,
        "attempt": handling.attempt,
        "since_s": time.monotonic() - handling.since if handling.since else 0.0,
    }


def _retrying(handling: Handling) -> dict[str, Any]:
    return {
        "id": str(handling.arrival.dot),
        "subject": handling.arrival.copy.subject,
        "attempt": handling.attempt,
        "error": handling.error,
        "again_in_s": max(0.0, (handling.retry_at or 0.0) - time.monotonic()),
        "since_s": _since(handling.arrival),
    }


def _unsettled(core: Core, dot: Any) -> dict[str, Any]:
    copies = [link.outbox[dot.seq] for link in core.engine.outbound.values() if dot.seq in link.outbox]
    sent_ms = copies[0].stamp.timestamp >> 16
    return {
        "id": str(dot),
        "subject": copies[0].subject,
        "at": core.own.unsettled_at(dot),
        "since_s": max(0.0, time.time() - sent_ms / 1000),
    }


def _outbound(core: Core, streams: OutboundStreams) -> dict[str, Any]:
    link = core.engine.outbound[streams.peer]
    return {
        "state": streams.state,
        "since_s": time.monotonic() - streams.since,
        "address": streams.address,
        "incarnation": link.incarnation,
        "queued": len(link.outbox.keys() - link.in_flight.keys() - link.given_up.keys()),
        "in_flight": len(link.in_flight),
        "unsettled": len(link.outbox) - len(link.given_up),
        "given_up": len(link.given_up),
        "hint": None
        if streams.state == "open" or len(link.outbox) == len(link.given_up)
        else f"start {streams.peer}; if it stays away: node.give_up({streams.peer!r})",
        "unsettled_bytes": link.outbox_bytes,
        "credit": max(0, link.window_messages - len(link.in_flight)),
        "error": None if streams.error is None else str(streams.error),
        "attempts": streams.attempts,
    }


def _gap(received: Received) -> list[int]:
    """Messages of a link that are known to be missing: those of a base, and the last of each gap."""
    last = (seq for seq in received._next if seq > received.to and seq not in received.beyond)
    return sorted({*received.missing, *last})[:LISTED_MAX]


def _inbound(core: Core, inbound: InboundStreams) -> dict[str, Any]:
    links: dict[str, Any] = {}
    for origin, link in core.engine.settlement.inbound.items():
        if origin == core.me or (core.engine.settlement.is_gone(origin) and not link.unsettled):
            continue
        stream = inbound.live.get(origin.name)
        live = stream is not None and stream.sender == origin
        links[str(origin)] = {
            "state": "open" if live else "gone" if core.engine.settlement.is_gone(origin) else "closed",
            "since_s": time.monotonic() - stream.since if stream is not None and live else None,
            "received_to": link.received.to,
            "unsettled": len(link.unsettled),
            "skew_ms": link.skew_ms,
            "gap": _gap(link.received),
        }
    for name, (error, at) in inbound.errors.items():
        links[name] = {"state": "refused", "error": str(error), "error_age_s": time.monotonic() - at}
    return links
