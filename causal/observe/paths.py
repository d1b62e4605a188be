"""Why one message precedes another: the shortest chain of sends and deliveries between them."""

from __future__ import annotations

from typing import NamedTuple

from causal.observe.history import DELIVER, SEND, History
from causal.observe.report import Step


class _Hop(NamedTuple):
    """A message of the chain, and how it leads to the one after it, towards the later message."""

    message: int
    delivered: bool = False
    """Whether the sender of the next one had started its handler; else it had sent this one itself, or named it."""
    following: _Hop | None = None


def shortest_path(history: History, earlier: int, later: int) -> tuple[Step, ...]:
    """The steps from the send of `earlier` to the send of `later`, both included; empty if there is no path.

    Breadth-first, from the later message back: whoever sent a message had started the handlers before it in
    its process (in context scope: in its context, or about its key). In process scope each event is looked at once,
    so the cost is linear in the history; in context scope once for each message on the way.
    """
    level = [_Hop(later)]
    seen = {later}
    explored: dict[int, int] = {}
    while level:
        for hop in level:
            if _sent_before(history, earlier, hop.message):
                return _steps(history, _Hop(earlier, delivered=False, following=hop))
        following: list[_Hop] = []
        for hop in level:
            before = _before(history, hop.message, explored)
            if earlier in before:
                return _steps(history, _Hop(earlier, before[earlier], hop))
            for message, delivered in before.items():
                if message not in seen:
                    seen.add(message)
                    following.append(_Hop(message, delivered, hop))
        level = following
    return ()


def _is_scoped(history: History, message: int) -> bool:
    return history.positions[message] in history.processes[history.origins[message]].places


def _sent_before(history: History, earlier: int, later: int) -> bool:
    if _is_scoped(history, later):
        return False
    same = history.origins[earlier] == history.origins[later]
    return same and history.positions[earlier] < history.positions[later]


def _before(history: History, message: int, explored: dict[int, int]) -> dict[int, bool]:
    """The messages delivered (or named) in the sender's process before it sent this one, and whether delivered.

    In process scope each is looked at only once, and of those that it sent itself only those named are among them: a
    prefix of a process has all its sends in it. In context scope they are among them, as the chain may go on there.
    """
    if _is_scoped(history, message):
        return _before_in_context(history, message)
    index = history.origins[message]
    start, end = explored.get(index, 0), history.positions[message]
    process = history.processes[index]
    before = dict.fromkeys(process.follows.get(end, ()), False)
    if end > start:
        explored[index] = end
        before |= {
            named: False for at, all_named in process.follows.items() if start <= at < end for named in all_named
        }
        before |= {process.messages[at]: True for at in range(start, end) if process.kinds[at] == DELIVER}
    return _known(history, before)


def _before_in_context(history: History, message: int) -> dict[int, bool]:
    """Back through the process: events in the same contexts, or about the same keys, as those that were found."""
    process = history.processes[history.origins[message]]
    end = history.positions[message]
    contexts, keys, before = set[int](), set[str](), dict[int, bool]()
    for at in range(end, -1, -1):
        place = process.places.get(at)
        if place is None or not (at == end or place.context in contexts or place.key in keys):
            continue
        contexts.add(place.context)
        if place.key is not None:
            keys.add(place.key)
        if at != end:
            before.setdefault(process.messages[at], process.kinds[at] == DELIVER)
        if process.kinds[at] == SEND:
            before |= {named: False for named in process.follows.get(at, ()) if named not in before}
    return _known(history, before)


def _known(history: History, before: dict[int, bool]) -> dict[int, bool]:
    return {message: delivered for message, delivered in before.items() if history.is_sent(message)}


def _steps(history: History, first: _Hop) -> tuple[Step, ...]:
    steps = []
    hop: _Hop | None = first
    while hop is not None:
        steps.append(_step(history, "send", history.origins[hop.message], hop.message))
        if hop.delivered and hop.following is not None:
            steps.append(_step(history, "deliver", history.origins[hop.following.message], hop.message))
        hop = hop.following
    return tuple(steps)


def _step(history: History, event: str, index: int, message: int) -> Step:
    node = history.processes[index].id
    return Step(
        event=event,
        node=node.name,
        incarnation=node.incarnation,
        id=history.ids[message],
        subject=history.subjects[message],
    )
