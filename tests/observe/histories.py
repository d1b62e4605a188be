"""Random histories of a few nodes, right and wrong ones, for the checker and its slow twin."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from causal.observe.event import TraceEvent

NAMES = ("A", "B", "C", "D")
MS = 1_000_000


@dataclass
class Copy:
    """One copy under way to a node, or waiting there."""

    id: str
    to: str
    attempt: int = 0
    place: dict[str, Any] = field(default_factory=dict)
    """In context scope: context and key of its handler."""


@dataclass
class Member:
    """One incarnation of a node, as the generator knows it."""

    name: str
    incarnation: int
    seq: int = 0
    past: set[str] = field(default_factory=set)
    inbox: list[Copy] = field(default_factory=list)
    running: list[Copy] = field(default_factory=list)
    scoped: bool = False
    contexts: dict[int, set[str]] = field(default_factory=dict)
    """In context scope: each context's past, those of clients and of handlers."""
    keys: dict[str, set[str]] = field(default_factory=dict)
    handled: dict[str, int] = field(default_factory=dict)


class Generator:
    """Plays a random run. `trust` is the probability that a delivery keeps the rule; 1.0 gives valid runs.

    It keeps explicit sets of message ids, one for each message and node, to know what the rule demands.
    """

    def __init__(self, seed: int, *, trust: float, steps: int = 110, context: bool = False) -> None:
        self.random = random.Random(seed)
        self.scoped = frozenset(self.random.sample(NAMES, self.random.choice([2, 3, 4]))) if context else frozenset()
        self.trust = trust
        self.events: list[TraceEvent] = []
        self.now = 1_000 * MS
        self.pasts: dict[str, set[str]] = {}
        self.to: dict[str, tuple[str, ...]] = {}
        self.settled: dict[str, set[str]] = {name: set() for name in NAMES}
        self.told: dict[str, list[str]] = {name: [] for name in NAMES}
        self.unordered = {name: self.random.random() < 0.25 for name in NAMES}
        self.flight: list[Copy] = []
        self.members = {name: Member(name, 1, scoped=name in self.scoped) for name in NAMES}
        actions = [self.send, self.receive, self.receive, self.start, self.start, self.end, self.end]
        for _ in range(steps):
            self.random.choice(actions)(self.members[self.random.choice(NAMES)])
            if self.random.random() < 0.03:
                self.restart(self.random.choice(NAMES))
        for _ in range(200):
            member = self.members[self.random.choice(NAMES)]
            self.random.choice([self.receive, self.start, self.end])(member)

    def write(self, member: Member, event: str, identity: str, **fields: object) -> None:
        self.now += self.random.choice([1, 1, 2, 7]) * MS
        ordering = None
        if event not in ("send", "duplicate"):
            ordering = "none" if self.is_unordered(member.name, identity) else "causal"
        self.events.append(
            TraceEvent(
                at=self.now,
                node=member.name,
                incarnation=member.incarnation,
                event=event,
                id=identity,
                sender=identity.split("/", maxsplit=1)[0],
                subject="s",
                ordering=ordering,
                **fields,  # type: ignore[arg-type]
            )
        )

    def is_unordered(self, name: str, identity: str) -> bool:
        return self.unordered[name] and int(identity.rsplit("/", 1)[1]) % 3 == 0

    def send(self, member: Member) -> None:
        member.seq += 1
        identity = f"{member.name}/{member.incarnation}/{member.seq}"
        names = tuple(self.random.sample(NAMES, self.random.choice([1, 1, 2, 3])))
        self.to[identity] = names
        follows = tuple(self.random.sample(sorted(self.pasts), 1)) if self.scoped and self.chance(0.1) else ()
        named = {other for dot in follows for other in (dot, *self.pasts[dot])}
        if member.scoped:
            known = sorted(member.contexts)
            number = self.random.choice(known) if known and self.chance(0.7) else self.new_context(member)
            place = {"context": number, "key": self.random.choice("xyz") if self.chance(0.3) else None}
            self.pasts[identity] = self.past_at(member, place) | named
            self.note(member, place, self.pasts[identity] | {identity})
        else:
            place = {}
            self.pasts[identity] = member.past | named
            member.past |= {identity, *named}
        self.write(member, "send", identity, to=names, follows=follows, **place)
        self.flight += [Copy(identity, name) for name in names]

    def chance(self, share: float) -> bool:
        return bool(self.pasts) and self.random.random() < share

    def new_context(self, member: Member) -> int:
        number = len(member.contexts) + 1
        member.contexts[number] = set()
        return number

    def past_at(self, member: Member, place: dict[str, Any]) -> set[str]:
        return member.contexts[place["context"]] | member.keys.get(place["key"], set())

    def note(self, member: Member, place: dict[str, Any], past: set[str]) -> None:
        member.contexts[place["context"]] = set(past)
        if place["key"] is not None:
            member.keys[place["key"]] = set(past)

    def receive(self, member: Member) -> None:
        mine = [copy for copy in self.flight if copy.to == member.name]
        if not mine:
            return
        copy = self.random.choice(mine)
        self.flight.remove(copy)
        self.write(member, "receive", copy.id)
        member.inbox.append(copy)
        if self.random.random() < 0.1:
            self.write(member, "duplicate", copy.id)

    def missing(self, member: Member, identity: str) -> set[str]:
        addressed = {other for other in self.pasts[identity] if member.name in self.to[other]}
        return addressed - self.settled[member.name]

    def start(self, member: Member) -> None:
        if not member.inbox:
            return
        copy = self.random.choice(member.inbox)
        missing = self.missing(member, copy.id)
        verdict: dict[str, object] = {"verdict": "ordered"}
        if missing and self.random.random() < self.trust:
            never = tuple(
                other for other in sorted(missing) if not self.is_coming(other, member) and self.random.random() < 0.8
            )
            if not missing <= self.excused_by([*self.told[member.name], *never]):
                return
            verdict = {"verdict": "lost", "missing": never}
            self.told[member.name] += never
        if self.random.random() > self.trust and self.random.random() < 0.2:
            self.misplace(copy)
        member.inbox.remove(copy)
        if self.random.random() < 0.05:
            self.write(member, "drop", copy.id, **verdict)
            self.settled[member.name].add(copy.id)
            return
        copy.attempt = 1
        if member.scoped:
            copy.place = self.place_of(member, copy.id)
            self.write(member, "deliver", copy.id, attempt=1, **verdict, **copy.place)
            self.note(member, copy.place, self.pasts[copy.id] | {copy.id} | self.past_at(member, copy.place))
        else:
            self.write(member, "deliver", copy.id, attempt=1, **verdict)
            member.past |= self.pasts[copy.id] | {copy.id}
        member.running.append(copy)

    def place_of(self, member: Member, identity: str) -> dict[str, Any]:
        """A new context for a handler; one that is delivered twice, which must not be, stays in the first."""
        first = member.handled.get(identity)
        if first is not None:
            return {"context": first, "key": None}
        member.handled[identity] = self.new_context(member)
        return {"context": member.handled[identity], "key": self.random.choice("xyz") if self.chance(0.3) else None}

    def excused_by(self, named: list[str]) -> set[str]:
        return {other for dot in named for other in (dot, *self.pasts[dot])}

    def misplace(self, copy: Copy) -> None:
        """The copy comes a second time, or to a node that it was never meant for."""
        self.flight.append(Copy(copy.id, self.random.choice(NAMES)))

    def end(self, member: Member) -> None:
        if not member.running:
            return
        copy = self.random.choice(member.running)
        if self.random.random() < 0.2:
            copy.attempt += 1
            self.write(member, "deliver", copy.id, attempt=copy.attempt, **copy.place)
            return
        member.running.remove(copy)
        self.write(member, "settle", copy.id)
        self.settled[member.name].add(copy.id)

    def is_coming(self, identity: str, member: Member) -> bool:
        copies = [*self.flight, *member.inbox, *member.running]
        return any(copy.id == identity and copy.to == member.name for copy in copies)

    def restart(self, name: str) -> None:
        """The node loses its state; what it had not settled is sent again, what it had sent may be lost."""
        old = self.members[name]
        self.members[name] = Member(name, old.incarnation + 1, scoped=old.scoped)
        self.flight += [Copy(copy.id, name) for copy in (*old.inbox, *old.running)]
        own = [copy for copy in self.flight if copy.id.startswith(f"{name}/")]
        for copy in own:
            if self.random.random() < 0.5:
                self.flight.remove(copy)
