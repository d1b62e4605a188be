"""An oracle of its own for the random workload: happened-before as sets of messages, and nothing of `causal`.

A message's past is the set of messages sent before it in Lamport's sense: those that its process had sent, and
those that handlers had started there with, each with its own past. Of a node in context scope: only those of its
context, or about its key, as the trace says. A set is an integer with one bit a message.
It reads the nodes' traces (JSON Lines), or the journals that the application itself wrote.
"""

from __future__ import annotations

import json
import math
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

NEEDLESS_MS = 5.0


class Step(NamedTuple):
    """One event of one process. `kind`: "send", "receive", "start", "end"."""

    at: int
    kind: str
    id: str
    to: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """On a start: what its verdict names."""
    context: int | None = None
    """On a send or a start in context scope: which context."""
    key: str | None = None


@dataclass(slots=True)
class Life:
    """One incarnation of a node, with its events in program order."""

    node: str
    incarnation: int
    steps: list[Step] = field(default_factory=list)

    @property
    def id(self) -> str:
        return f"{self.node}/{self.incarnation}"


_TRACE_KINDS = {"send": "send", "receive": "receive", "deliver": "start", "settle": "end", "drop": "end"}


def lives_of_trace(node: str, path: Path) -> list[Life]:
    """The incarnations in one node's trace file, in their order."""
    lives: dict[int, Life] = {}
    for line in _lines(path):
        kind = _TRACE_KINDS.get(line["event"])
        if kind is not None:
            life = lives.setdefault(line["incarnation"], Life(node, line["incarnation"]))
            named = tuple(line.get("missing") or ())
            to = tuple(line.get("to") or ())
            step = Step(line["at"], kind, line["id"], to, named, line.get("context"), line.get("key"))
            life.steps.append(step)
    return [lives[incarnation] for incarnation in sorted(lives)]


def lives_of_journal(node: str, path: Path) -> list[Life]:
    """The same from the application's journal, which knows of no receipt."""
    lives: dict[int, Life] = {}
    for line in _lines(path):
        life = lives.setdefault(line["incarnation"], Life(node, line["incarnation"]))
        life.steps.append(Step(line["at"], line["event"], line["id"], tuple(line["to"])))
    return [lives[incarnation] for incarnation in sorted(lives)]


def tokens_of_journals(paths: Iterable[Path]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Token → (sender, destinations), of everything that was sent. A token that was sent twice raises."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for path in paths:
        for line in _lines(path):
            if line["event"] == "send":
                assert line["token"] not in found, line["token"]
                found[line["token"]] = (line["id"].rsplit("/", 2)[0], tuple(line["to"]))
    return found


def _lines(path: Path) -> list[dict[str, Any]]:
    """Every line; a last one without its newline was torn by a kill and says nothing."""
    text = path.read_text()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


class Pair(NamedTuple):
    """At a node, `later` started while `earlier`, which precedes it, was not settled there."""

    node: str
    earlier: str
    later: str


class Place(NamedTuple):
    """A message at a node (or at one incarnation of it)."""

    id: str
    node: str


@dataclass(slots=True)
class Findings:
    """What came of a run."""

    messages: int = 0
    copies: int = 0
    starts: int = 0
    violations: list[Pair] = field(default_factory=list)
    excused: list[Pair] = field(default_factory=list)
    """Out of order, but a verdict at the node had named the earlier message, or one that follows it."""
    unexplained: list[Pair] = field(default_factory=list)
    """Of the excused: those where news of the earlier message had reached the later one by a way on which no
    lost message stood for it."""
    lost: list[Place] = field(default_factory=list)
    """Never settled although its sender lived on, or although it had come to a process that did."""
    perished: list[Place] = field(default_factory=list)
    """Never settled, and gone with the memory of a process that was killed."""
    doubled: list[Place] = field(default_factory=list)
    """Started or ended twice in one incarnation."""
    misdelivered: list[Place] = field(default_factory=list)
    named: dict[str, list[str]] = field(default_factory=dict)
    """Incarnation → the messages that its verdicts name, in order."""
    false_verdicts: list[Place] = field(default_factory=list)
    """Named as lost although its sender lives on, or although it was settled by that very incarnation."""
    held_ms: list[float] = field(default_factory=list)
    beyond_ready_ms: list[float] = field(default_factory=list)
    """From ready (the later of receive and last settlement of a predecessor here) to start, of all starts."""
    running_max: int = 0
    """The most handlers that ran at a time at one node."""

    @property
    def failures(self) -> dict[str, Sequence[Pair | Place]]:
        """What must not be in any run, under its name; empty after a good one."""
        found: dict[str, Sequence[Pair | Place]] = {
            "violations": self.violations,
            "unexplained": self.unexplained,
            "lost": self.lost,
            "doubled": self.doubled,
            "misdelivered": self.misdelivered,
            "false_verdicts": self.false_verdicts,
        }
        return {name: pairs for name, pairs in found.items() if pairs}

    def summary(self) -> dict[str, Any]:
        return {
            "messages": self.messages,
            "copies": self.copies,
            "deliveries": self.starts,
            "violations": len(self.violations),
            "excused": len(self.excused),
            "lost": len(self.lost),
            "perished": len(self.perished),
            "doubled": len(self.doubled),
            "misdelivered": len(self.misdelivered),
            "held": len(self.held_ms),
            "held_p50_ms": round(quantile(self.held_ms, 0.5), 1),
            "held_p99_ms": round(quantile(self.held_ms, 0.99), 1),
            "beyond_ready_p50_ms": round(quantile(self.beyond_ready_ms, 0.5), 3),
            "beyond_ready_p99_ms": round(quantile(self.beyond_ready_ms, 0.99), 3),
            "beyond_ready_max_ms": round(max(self.beyond_ready_ms, default=0.0), 3),
            "over_5_ms": sum(wait > NEEDLESS_MS for wait in self.beyond_ready_ms),
            "handlers_at_once": self.running_max,
        }


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of all does not exceed; 0.0 of none."""
    ordered = sorted(values)
    return ordered[math.ceil(round(share * len(ordered), 9)) - 1] if ordered else 0.0


def judge(lives: Iterable[Life]) -> Findings:
    """Replay the lives so that each send comes before what was done with its message, and judge each start."""
    return _Court(list(lives)).judge()


class _Court:
    def __init__(self, lives: list[Life]) -> None:
        self.findings = Findings()
        self.lives = lives
        sends = [(life, step) for life in lives for step in life.steps if step.kind == "send"]
        self.bit = {step.id: 1 << index for index, (_, step) in enumerate(sends)}
        self.ids = [step.id for _, step in sends]
        self.to = {step.id: step.to for _, step in sends}
        self.past: dict[str, int] = {}
        """Message → what was sent before it, of the sends replayed so far."""
        names = {life.node for life in lives}
        self.addressed = {
            name: sum(self.bit[id_] for id_, to in self.to.items() if name in to) for name in sorted(names)
        }
        self.settled = dict.fromkeys(names, 0)
        """By name, over all incarnations."""
        self.named = {name: set[str]() for name in names}
        self.order: list[tuple[Life, Step]] = []
        """Sends, starts and ends in the order of the replay."""
        self.last = {name: max(life.incarnation for life in lives if life.node == name) for name in names}

    def judge(self) -> Findings:
        by_name: dict[str, deque[_Replayed]] = {}
        for life in sorted(self.lives, key=lambda life: life.incarnation):
            by_name.setdefault(life.node, deque()).append(_Replayed(self, life))
        while by_name:
            moved = False
            for name, replayed in list(by_name.items()):
                while replayed and replayed[0].advance():
                    moved = True
                    if replayed[0].finished:
                        replayed.popleft()
                if not replayed:
                    del by_name[name]
                    moved = True
            assert moved, f"no order of events is possible: {[r[0].next_step for r in by_name.values()]}"
        self._count()
        for name, named in self.named.items():
            if named:
                self._require_explanations(name, named)
        return self.findings

    def _require_explanations(self, name: str, named: set[str]) -> None:
        """Judge the starts at `name` again, with the only excuse that exact mode has.

        A message to `name` stands for everything that its sender knew to be on the way there before. So where it
        is lost, that is forgotten at its sender from then on; but what others had heard of it before is not.
        """
        lost = self._never_came(name, named)
        context = dict.fromkeys((life.id for life in self.lives), 0)
        past: dict[str, int] = {}
        settled = 0
        for life, step in self.order:
            if step.kind == "send":
                past[step.id] = context[life.id]
                kept = 0 if step.id in lost else context[life.id]
                context[life.id] = kept | self.bit[step.id]
            elif step.kind == "start":
                if life.node == name:
                    early = past[step.id] & self.addressed[name] & ~settled
                    self.findings.unexplained += [
                        Pair(name, earlier, step.id) for earlier in self.messages_of(early) if earlier not in lost
                    ]
                context[life.id] |= past[step.id] | self.bit[step.id]
            elif life.node == name:
                settled |= self.bit[step.id]

    def _never_came(self, name: str, named: set[str]) -> set[str]:
        """What verdicts at `name` name, and what its senders had sent there before and what never settled: of one
        sender the last message is named for all."""
        last: dict[str, int] = {}
        for id_ in named:
            origin, seq = id_.rsplit("/", 1)
            last[origin] = max(last.get(origin, 0), int(seq))
        lost = set(named)
        for id_ in self.messages_of(self.addressed[name] & ~self.settled[name]):
            origin, seq = id_.rsplit("/", 1)
            if int(seq) <= last.get(origin, 0):
                lost.add(id_)
        return lost

    def _count(self) -> None:
        findings = self.findings
        findings.messages = len(self.to)
        findings.copies = sum(len(set(to)) for to in self.to.values())
        at_the_end = {
            (life.node, step.id)
            for life in self.lives
            if life.incarnation == self.last[life.node]
            for step in life.steps
            if step.kind == "receive"
        }
        for id_, to in self.to.items():
            for name in set(to):
                if self.settled[name] & self.bit[id_]:
                    continue
                perished = self.is_gone(id_) and (name, id_) not in at_the_end
                (findings.perished if perished else findings.lost).append(Place(id_, name))

    def is_gone(self, id_: str) -> bool:
        name, incarnation, _ = id_.rsplit("/", 2)
        return int(incarnation) != self.last.get(name)

    def messages_of(self, members: int) -> list[str]:
        found = []
        while members:
            low = members & -members
            found.append(self.ids[low.bit_length() - 1])
            members ^= low
        return found


class _Replayed:
    """One life on its way through the replay."""

    def __init__(self, court: _Court, life: Life) -> None:
        self.court = court
        self.life = life
        self.position = 0
        self.context = 0
        """What the next send follows."""
        self.contexts: dict[int | str | None, int] = {}
        """In context scope: what the next send in a context follows, and the next one with a key."""
        self.running: set[str] = set()
        self.ended: set[str] = set()
        self.received: dict[str, int] = {}
        self.ready: dict[str, int] = {}
        self.waiting: dict[str, int] = {}
        """Received, and the predecessors addressed here that are not settled here."""

    @property
    def next_step(self) -> Step:
        return self.life.steps[self.position]

    @property
    def finished(self) -> bool:
        return self.position == len(self.life.steps)

    def advance(self) -> bool:
        """Replay as many steps as can be; whether there was any."""
        begun = self.position
        while not self.finished:
            step = self.next_step
            if step.kind != "send" and step.id in self.court.to and step.id not in self.court.past:
                break
            assert step.id in self.court.to, f"{self.life.id}: {step.id} was never sent"
            getattr(self, f"_{step.kind}")(step)
            if step.kind != "receive":
                self.court.order.append((self.life, step))
            self.position += 1
        return self.position > begun

    def _send(self, step: Step) -> None:
        self.court.past[step.id] = past = self._past(step)
        self._follow(step, past | self.court.bit[step.id])

    def _past(self, step: Step) -> int:
        if step.context is None:
            return self.context
        return self.contexts.get(step.context, 0) | (0 if step.key is None else self.contexts.get(step.key, 0))

    def _follow(self, step: Step, past: int) -> None:
        if step.context is None:
            self.context |= past
            return
        self.contexts[step.context] = past
        if step.key is not None:
            self.contexts[step.key] = past

    def _receive(self, step: Step) -> None:
        court, node = self.court, self.life.node
        self.received[step.id] = step.at
        missing = court.past[step.id] & court.addressed[node] & ~court.settled[node]
        if missing:
            self.waiting[step.id] = missing
        else:
            self.ready[step.id] = step.at

    def _start(self, step: Step) -> None:
        court, node, findings = self.court, self.life.node, self.court.findings
        if step.id in self.running or step.id in self.ended:
            findings.doubled.append(Place(step.id, self.life.id))
        if node not in court.to[step.id]:
            findings.misdelivered.append(Place(step.id, node))
        findings.starts += 1
        self._note_verdict(step)
        self._judge_order(step)
        self._measure(step)
        self.running.add(step.id)
        findings.running_max = max(findings.running_max, len(self.running))
        self._follow(step, self._past(step) | court.past[step.id] | court.bit[step.id])

    def _note_verdict(self, step: Step) -> None:
        court = self.court
        for id_ in step.missing:
            court.named[self.life.node].add(id_)
            court.findings.named.setdefault(self.life.id, []).append(id_)
            if not court.is_gone(id_) or id_ in self.ended:
                court.findings.false_verdicts.append(Place(id_, self.life.id))

    def _judge_order(self, step: Step) -> None:
        court, node = self.court, self.life.node
        early = court.past[step.id] & court.addressed[node] & ~court.settled[node]
        if not early:
            return
        excuse = 0
        for id_ in court.named[node]:
            # A verdict names messages whose sends have been replayed: they are in the past of this one.
            excuse |= court.bit.get(id_, 0) | court.past.get(id_, 0)
        found = court.findings
        for forgiven, pairs in ((early & excuse, found.excused), (early & ~excuse, found.violations)):
            pairs += [Pair(node, earlier, step.id) for earlier in court.messages_of(forgiven)]

    def _measure(self, step: Step) -> None:
        received, ready = self.received.get(step.id), self.ready.get(step.id)
        if received is None or ready is None:
            return
        self.court.findings.beyond_ready_ms.append((step.at - ready) / 1e6)
        if ready > received:
            self.court.findings.held_ms.append((step.at - received) / 1e6)

    def _end(self, step: Step) -> None:
        court = self.court
        if step.id in self.ended:
            court.findings.doubled.append(Place(step.id, self.life.id))
        self.running.discard(step.id)
        self.ended.add(step.id)
        bit = court.bit[step.id]
        court.settled[self.life.node] |= bit
        for waiting, missing in list(self.waiting.items()):
            if not missing & ~bit:
                del self.waiting[waiting]
                self.ready[waiting] = step.at
            elif missing & bit:
                self.waiting[waiting] = missing & ~bit


def times_settled(lives: Iterable[Life]) -> Counter[Place]:
    """How often each message was settled at each node, over all its incarnations."""
    return Counter(Place(step.id, life.node) for life in lives for step in life.steps if step.kind == "end")
