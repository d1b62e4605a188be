"""The independent oracle: proves or refutes the guarantee of a run from its traces alone.

Happened-before is Lamport's (1978), recomputed from program order and sends: a send follows every earlier
send of its process and every message whose handler started there before; a handler that starts brings the
past of its message with it. A past is a set of messages. None of this library's clocks, stamps or contexts is
looked at, so a defect in them cannot hide itself.

Broken is: at one incarnation of a node the handler of m2 starts while some m1 → m2 that is addressed there is
not settled there. What an earlier incarnation settled counts as settled.
"""

from __future__ import annotations

from collections.abc import Iterable

from causal.observe.event import TraceError, TraceEvent
from causal.observe.history import History
from causal.observe.replay import Progress, Replay
from causal.observe.report import Place, Report, Spread

__all__ = ["Progress", "check"]


def check(
    events: Iterable[TraceEvent],
    *,
    declared: bool = False,
    needless_ms: float = 5.0,
    concurrency: int = 64,
    show: int = 10,
    warnings: Iterable[str] = (),
    progress: Progress | None = None,
) -> Report:
    """Judge a run from the events of all its nodes.

    The events of one incarnation of a node must be in program order; otherwise any mixture will do. Each pair
    of messages is judged as if every subject were causal; `declared` leaves out the pairs of which one is
    delivered with ordering `none`. `needless_ms` and `concurrency` (handlers at a time, the nodes' setting)
    define what was held needlessly, see `Report.beyond_ready`. At most `show` examples of each kind are
    listed. `warnings` are passed on into the report.

    Each event costs one operation on a set of n bits, n being the messages of the run; memory is about n/8
    bytes for each message in flight at a time, and some 20 bytes an event.

    Raises `TraceError` if nothing can be said: no delivery at all, a message without its send, lines out of
    program order, or events that cannot have happened in any order.
    """
    history = History.of(events)
    replay = Replay(history, declared=declared, concurrency=concurrency, show=show)
    replay.run(progress)
    if not replay.deliveries:
        raise TraceError(
            "the traces have no delivery at all, so there is nothing to judge: give the receivers' traces too"
        )
    held = [wait for waits in replay.waits for wait in waits.held]
    beyond_ready = [wait for waits in replay.waits for wait in waits.beyond_ready]
    unsettled = replay.unsettled()
    return Report(
        declared=declared,
        nodes=tuple(sorted(history.incarnations)),
        incarnations=len(history.processes),
        events=sum(len(process.kinds) for process in history.processes),
        messages=history.messages,
        copies=sum(map(len, history.destinations)),
        deliveries=replay.deliveries,
        retries=replay.retries,
        duplicates=replay.duplicates,
        dropped=replay.dropped,
        held=Spread.of(held),
        beyond_ready=Spread.of(beyond_ready),
        needless_ms=needless_ms,
        concurrency=concurrency,
        held_needlessly=sum(wait > needless_ms * 1e6 for wait in beyond_ready),
        violation_count=replay.judge.violation_count,
        early_deliveries=replay.judge.early_deliveries,
        violations=replay.judge.violations(),
        excused_count=replay.judge.excused_count,
        excused_deliveries=replay.judge.excused_deliveries,
        excused=tuple(replay.judge.excused),
        doubled_count=len(replay.doubled),
        doubled=_places(history, replay.doubled, show),
        misdelivered_count=len(replay.misdelivered),
        misdelivered=_places(history, replay.misdelivered, show),
        unsettled_count=len(unsettled),
        unsettled=tuple(Place(id=history.ids[message], node=name) for message, name in unsettled[:show]),
        warnings=(*warnings, *_without_trace(history)),
    )


def _places(history: History, found: Iterable[tuple[int, int]], show: int) -> tuple[Place, ...]:
    """(message, process), as text and cut at `show`."""
    return tuple(
        Place(id=history.ids[message], node=history.processes[index].id.name) for message, index in list(found)[:show]
    )


def _without_trace(history: History) -> list[str]:
    named = {name for names in set(history.destinations) for name in names}
    return [
        f"{name} has no trace here: what was sent to it is not judged"
        for name in sorted(named - set(history.incarnations))
    ]
