"""Why one message precedes another: the shortest chain of sends and deliveries between them."""

from __future__ import annotations

from causal.observe.history import DELIVER, History
from causal.observe.report import Step

_Hop = tuple[int, "_Hop | None"]
"""A message of the chain, and the hop after it, towards the later message."""


def shortest_path(history: History, earlier: int, later: int) -> tuple[Step, ...]:
    """The steps from the send of `earlier` to the send of `later`, both included; empty if there is no path.

    Breadth-first, from the later message back: whoever sent a message had started the handlers before it in
    its process. Each event is looked at once, so the cost is linear in the history.
    """
    level: list[_Hop] = [(later, None)]
    seen = {later}
    explored: dict[int, int] = {}
    while level:
        for hop in level:
            if _sent_before(history, earlier, hop[0]):
                return _steps(history, (earlier, hop), by_delivery=False)
        following: list[_Hop] = []
        for hop in level:
            for message in _delivered_before(history, hop[0], explored):
                if message == earlier:
                    return _steps(history, (earlier, hop), by_delivery=True)
                if message not in seen:
                    seen.add(message)
                    following.append((message, hop))
        level = following
    return ()


def _sent_before(history: History, earlier: int, later: int) -> bool:
    same = history.origins[earlier] == history.origins[later]
    return same and history.positions[earlier] < history.positions[later]


def _delivered_before(history: History, message: int, explored: dict[int, int]) -> list[int]:
    """The messages delivered in the sender's process before it sent this one, each looked at only once."""
    index = history.origins[message]
    start, end = explored.get(index, 0), history.positions[message]
    if end <= start:
        return []
    explored[index] = end
    process = history.processes[index]
    return [process.messages[at] for at in range(start, end) if process.kinds[at] == DELIVER]


def _steps(history: History, first: _Hop, *, by_delivery: bool) -> tuple[Step, ...]:
    steps = []
    hop: _Hop | None = first
    delivered = by_delivery
    while hop is not None:
        message, following = hop
        steps.append(_step(history, "send", history.origins[message], message))
        if delivered and following is not None:
            steps.append(_step(history, "deliver", history.origins[following[0]], message))
        # Only the first hop can be one of program order: a prefix of a process has all its sends in it.
        delivered = True
        hop = following
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
