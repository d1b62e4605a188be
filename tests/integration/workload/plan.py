"""What a run of the random workload consists of, all of it drawn from one seed before anything starts.

Each message has a *token*; who handles it draws from seed, token and its own name how long that takes and what
is sent meanwhile. So the whole tree of messages is known beforehand, whatever the network does to it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

NAMES = ("S1", "S2", "S3", "S4", "S5")
DEPTH_MAX = 4
"""Handlers of messages this deep send nothing more: every chain ends."""

WORK_MS_MAX = 50.0
CHILDREN = (0, 1, 2)
CHILDREN_WEIGHTS = (0.5, 0.35, 0.15)
MULTICAST = 0.2
TO_SELF = 0.12
REPLY = 0.3


class Send(NamedTuple):
    """One message to be sent."""

    token: str
    to: tuple[str, ...]
    depth: int


class Root(NamedTuple):
    """A message that no handler causes, and when it is due, in seconds from the beginning of the run."""

    due: float
    send: Send


@dataclass(frozen=True, slots=True)
class Script:
    """What one handler does: it works, sends one message after the other, and works on."""

    before_ms: float
    sends: tuple[Send, ...]
    after_ms: float


@dataclass(frozen=True, slots=True)
class Cable:
    """One directed link: how long bytes are under way on it, in ms."""

    sender: str
    receiver: str
    low_ms: float
    high_ms: float
    back_ms: float


@dataclass(frozen=True, slots=True)
class Cut:
    """A cable is pulled at `due` for `seconds`; a silent cut tells neither end."""

    due: float
    sender: str
    receiver: str
    seconds: float
    silent: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """A run: `rate` roots a second at each node for `seconds`."""

    seed: int
    seconds: float
    rate: float
    delay_max_ms: float = 300.0
    cut_every: float = 2.0
    cuts_at_once: int = 3
    names: tuple[str, ...] = NAMES

    def roots(self, name: str) -> list[Root]:
        """What a node sends of its own accord, in the order of time."""
        source = random.Random(f"{self.seed} roots {name}")
        dues = sorted(source.uniform(0, self.seconds) for _ in range(round(self.rate * self.seconds)))
        return [
            Root(due, Send(f"{name}.{number}", self._destinations(source, name, None), 0))
            for number, due in enumerate(dues, start=1)
        ]

    def script(self, name: str, token: str, depth: int, sender: str) -> Script:
        """What `name` does when it handles this message from `sender`."""
        source = random.Random(f"{self.seed} handler {name} {token}")
        work = source.uniform(0, WORK_MS_MAX)
        before = work * source.random()
        count = source.choices(CHILDREN, CHILDREN_WEIGHTS)[0] if depth < DEPTH_MAX else 0
        sends = tuple(
            Send(f"{token}>{name}.{number}", self._destinations(source, name, sender), depth + 1)
            for number in range(1, count + 1)
        )
        return Script(before, sends, work - before)

    def expected(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Token → (sender, destinations) of every message of a run in which nobody crashes."""
        found: dict[str, tuple[str, tuple[str, ...]]] = {}
        left = [(name, root.send) for name in self.names for root in self.roots(name)]
        while left:
            sender, send = left.pop()
            found[send.token] = (sender, send.to)
            for name in send.to:
                left += [(name, child) for child in self.script(name, send.token, send.depth, sender).sends]
        return found

    def cables(self) -> Iterator[Cable]:
        """Every directed link between two nodes: a third of them fast, the others slow to the bound."""
        source = random.Random(f"{self.seed} cables")
        for sender in self.names:
            for receiver in self.names:
                if sender != receiver:
                    high = source.choice((5.0, self.delay_max_ms / 3, self.delay_max_ms))
                    high = min(high, self.delay_max_ms)
                    yield Cable(sender, receiver, source.uniform(0, high / 2), high, source.uniform(0, high / 5))

    def cuts(self) -> list[Cut]:
        """Some cables, chosen at random, are pulled every `cut_every` seconds."""
        source = random.Random(f"{self.seed} cuts")
        cables = list(self.cables())
        cuts = []
        for turn in range(1, int(self.seconds / self.cut_every)):
            for cable in source.sample(cables, self.cuts_at_once):
                due = turn * self.cut_every + source.uniform(-0.5, 0.5)
                silent = source.random() < 0.25
                cuts.append(Cut(due, cable.sender, cable.receiver, source.uniform(0.05, 1.0), silent))
        return sorted(cuts, key=lambda cut: cut.due)

    def _destinations(self, source: random.Random, name: str, sender: str | None) -> tuple[str, ...]:
        if source.random() < MULTICAST:
            return tuple(source.sample(self.names, source.randint(2, len(self.names) - 1)))
        if source.random() < TO_SELF:
            return (name,)
        if sender is not None and source.random() < REPLY:
            return (sender,)
        return (source.choice([other for other in self.names if other != name]),)
