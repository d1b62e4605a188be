"""The slow obvious twin of the checker: an explicit graph of events, and a search from each message."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from causal.observe.event import TraceEvent

Pair = tuple[str, str, str]
"""Node, earlier message, later message."""


@dataclass
class Judgement:
    violations: set[tuple[str, int, str, str]]
    excused: set[tuple[str, int, str, str]]
    doubled: set[Pair | tuple[str, int, str]]
    misdelivered: set[tuple[str, int, str]]
    unsettled: set[tuple[str, str]]
    held_ns: list[int]
    beyond_ready_ns: list[int]


class Twin:
    def __init__(self, events: list[TraceEvent]) -> None:
        self.events = events
        self.sends = {event.id: event for event in events if event.event == "send"}
        self.members = sorted({(event.node, event.incarnation) for event in events})
        self.follows = {identity: self.reached_from(identity) for identity in self.sends}

    def of(self, member: tuple[str, int]) -> list[TraceEvent]:
        return [event for event in self.events if (event.node, event.incarnation) == member]

    def next_to(self, event: TraceEvent) -> Iterator[TraceEvent]:
        """A send leads to its deliveries, and to sends that name it; a send or a delivery leads to all later sends of
        its process. In context scope: to later sends and first deliveries in its context, or with its key."""
        place = next(index for index, each in enumerate(self.events) if each is event)
        for later in self.events[place + 1 :]:
            same = (later.node, later.incarnation) == (event.node, event.incarnation)
            named = event.event == "send" and event.id in later.follows
            if event.context is None:
                related = later.event == "send"
            else:
                related = later.event == "send" or later.attempt == 1
                related = related and (later.context == event.context or later.key == event.key is not None)
            if named or (same and related):
                yield later
        if event.event == "send":
            yield from (each for each in self.events if each.event == "deliver" and each.id == event.id)

    def reached_from(self, identity: str) -> dict[str, int]:
        """Messages whose send follows this one's, with the fewest steps to them, by breadth-first search."""
        found: dict[str, int] = {}
        level, steps, seen = [self.sends[identity]], 0, {id(self.sends[identity])}
        while level:
            steps += 1
            following = []
            for event in level:
                for each in self.next_to(event):
                    if id(each) not in seen:
                        seen.add(id(each))
                        following.append(each)
                        if each.event == "send":
                            found[each.id] = steps
            level = following
        return found

    def judge(self, *, declared: bool, concurrency: int) -> Judgement:
        judgement = Judgement(set(), set(), set(), set(), set(), [], [])
        for member in self.members:
            self.judge_member(member, judgement, declared=declared)
            self.judge_waits(member, judgement, concurrency=concurrency)
        names = {name for name, _ in self.members}
        for identity, send in self.sends.items():
            for name in set(send.to or ()) & names:
                if not any(self.is_end(event, identity) for event in self.events if event.node == name):
                    judgement.unsettled.add((identity, name))
        return judgement

    def is_end(self, event: TraceEvent, identity: str) -> bool:
        return event.id == identity and event.event in ("settle", "drop")

    def is_none(self, name: str, identity: str) -> bool:
        return any(event.node == name and event.id == identity and event.ordering == "none" for event in self.events)

    def earlier_lives(self, member: tuple[str, int]) -> list[TraceEvent]:
        return [event for event in self.events if event.node == member[0] and event.incarnation < member[1]]

    def missing_at(self, member: tuple[str, int], index: int, identity: str) -> set[str]:
        """Predecessors of a message addressed to a process and not settled when it is at an event."""
        before = self.earlier_lives(member) + self.of(member)[:index]
        return {
            earlier
            for earlier, send in self.sends.items()
            if identity in self.follows[earlier]
            and member[0] in (send.to or ())
            and not any(self.is_end(event, earlier) for event in before)
        }

    def judge_member(self, member: tuple[str, int], judgement: Judgement, *, declared: bool) -> None:
        mine = self.of(member)
        started: dict[str, int] = {}
        ended: set[str] = set()
        for index, event in enumerate(mine):
            key = (*member, event.id)
            if event.event in ("settle", "drop"):
                if event.id in ended:
                    judgement.doubled.add(key)
                ended.add(event.id)
            if event.event != "deliver":
                continue
            attempt = event.attempt or 1
            if event.id in ended or attempt <= started.get(event.id, 0):
                judgement.doubled.add(key)
            elif event.id not in started:
                if member[0] not in (self.sends[event.id].to or ()):
                    judgement.misdelivered.add(key)
                self.judge_start(member, index, judgement, declared=declared)
            started[event.id] = max(attempt, started.get(event.id, 0))

    def judge_start(self, member: tuple[str, int], index: int, judgement: Judgement, *, declared: bool) -> None:
        mine = self.of(member)
        event = mine[index]
        told = {
            dot for each in self.earlier_lives(member) + mine[: index + 1] for dot in each.missing if dot in self.sends
        }
        for earlier in self.missing_at(member, index, event.id):
            none = self.is_none(member[0], earlier) or self.is_none(member[0], event.id)
            if declared and none:
                continue
            excused = any(dot == earlier or dot in self.follows[earlier] for dot in told)
            pairs = judgement.excused if excused else judgement.violations
            pairs.add((*member, earlier, event.id))

    def judge_waits(self, member: tuple[str, int], judgement: Judgement, *, concurrency: int) -> None:
        mine = self.of(member)
        for index, event in enumerate(mine):
            first = (
                next(each for each in mine if each.event == "deliver" and each.id == event.id)
                if (event.event == "deliver")
                else None
            )
            before = mine[:index]
            if first is not event or any(self.is_end(each, event.id) for each in before):
                continue
            received = [at for at, each in enumerate(before) if each.event == "receive" and each.id == event.id]
            if not received or self.is_none(member[0], event.id):
                continue
            ready = next(
                (
                    at
                    for at in range(received[0], index)
                    if all(self.is_none(member[0], dot) for dot in self.missing_at(member, at + 1, event.id))
                ),
                None,
            )
            waited = event.at - mine[received[0]].at
            if ready is None:
                if event.missing:
                    judgement.held_ns.append(waited)
                continue
            if ready > received[0]:
                judgement.held_ns.append(waited)
            if all(self.running(mine[: at + 1]) < concurrency for at in range(ready, index)):
                judgement.beyond_ready_ns.append(event.at - mine[ready].at)

    def running(self, before: list[TraceEvent]) -> int:
        """Messages whose handler has started and that are not settled."""
        live: set[str] = set()
        ended: set[str] = set()
        for event in before:
            if event.event == "deliver" and event.id not in ended:
                live.add(event.id)
            elif event.event in ("settle", "drop"):
                live.discard(event.id)
                ended.add(event.id)
        return len(live)
