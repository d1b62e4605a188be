"""The checker of traces judges simulated runs too: two oracles that share no code must come to the same verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from causal.observe.checker import check
from causal.observe.event import TraceEvent
from causal.ordering.dot import Dot, NodeId
from causal.ordering.stamp import Stamp
from causal.testing.facts import Past
from causal.testing.history import History
from causal.testing.plan import Plan
from causal.testing.simulator import Simulation
from tests.simulation.mutants import MUTANTS

pytestmark = pytest.mark.simulation


class Traced(History):
    """A history that also writes the trace which real nodes would have written."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.events: list[TraceEvent] = []
        self._subjects: list[str] = []
        self._incarnations: dict[str, int] = {}
        self._attempts: Counter[tuple[str, int, int]] = Counter()
        self._missing: tuple[str, ...] = ()
        self._at = 0
        self._observed: dict[tuple[NodeId, object], int] = {}
        """Node and thread → what it has observed since its last send."""
        self._contexts: dict[tuple[NodeId, object], int] = {}

    def write(self, event: str, name: str, number: int, **more: Any) -> None:
        self._at += 1_000
        sent, subject = self.messages[number], self._subjects[number]
        ordering = None if event == "send" else str(self._ordering_of(name, subject))
        line = TraceEvent(
            at=self._at,
            node=name,
            incarnation=self._incarnations[name],
            event=event,
            id=str(sent.dot),
            sender=sent.dot.name,
            subject=subject,
            ordering=ordering,
        )
        self.events.append(replace(line, **more))

    def sent(
        self,
        dot: Dot,
        run: int,
        destinations: tuple[str, ...],
        subject: str,
        stamp: Stamp,
        process: str = "",
        *,
        thread: object = None,
        key: int | None = None,
        after: Sequence[int] = (),
    ) -> None:
        super().sent(dot, run, destinations, subject, stamp, process, thread=thread, key=key, after=after)
        self._subjects.append(subject)
        self._incarnations[dot.name] = dot.incarnation
        named = [str(self.messages[number].dot) for number in after]
        named += [str(sent.dot) for sent in self.messages_of(self._observed.pop((dot.origin, thread), 0))]
        place = self._place(dot.origin, thread, key)
        self.write("send", dot.name, len(self._subjects) - 1, to=destinations, follows=tuple(named), **place)

    def observed(self, name: str, thread: object, past: Past) -> None:
        super().observed(name, thread, past)
        place = NodeId(name, self._incarnations[name]), thread
        self._observed[place] = self._observed.get(place, 0) | past.order

    def _place(self, node: NodeId, thread: object, key: int | None) -> dict[str, Any]:
        if thread is None:
            return {}
        number = self._contexts.setdefault((node, thread), len(self._contexts) + 1)
        return {"context": number, "key": None if key is None else str(key)}

    def received(self, name: str, number: int) -> None:
        super().received(name, number)
        self.write("receive", name, number)

    def named(self, name: str, dots: Sequence[Dot]) -> None:
        super().named(name, dots)
        self._missing = tuple(map(str, dots))

    def started(
        self,
        name: str,
        number: int,
        *,
        ordered: bool,
        bounded: bool = False,
        thread: object = None,
        key: int | None = None,
    ) -> None:
        super().started(name, number, ordered=ordered, bounded=bounded, thread=thread, key=key)
        missing, self._missing = self._missing, ()
        run = (name, self._incarnations[name], number)
        self._attempts[run] += 1
        verdict = "ordered" if ordered else "lost" if missing else "unsure"
        place = self._place(NodeId(name, self._incarnations[name]), thread, key)
        self.write("deliver", name, number, verdict=verdict, missing=missing, attempt=self._attempts[run], **place)

    def finished(self, name: str, number: int) -> None:
        handled = self.places[name].running >> number & 1
        super().finished(name, number)
        self.write("settle" if handled else "drop", name, number)

    def crashed(self, name: str, incarnation: int, process: str = "") -> None:
        super().crashed(name, incarnation, process)
        self._incarnations[name] = incarnation

    def renamed(self, former: NodeId, later: NodeId, stamps: Mapping[int, Stamp], process: str = "") -> None:
        super().renamed(former, later, stamps, process)
        self._incarnations[later.name] = later.incarnation
        for parts in (self._observed, self._contexts):
            for node, thread in [place for place in parts if place[0] == former]:
                parts[later, thread] = parts.pop((node, thread))
        for place, event in enumerate(self.events):
            if (event.node, event.incarnation) == former:
                dot, *follows = [self._renamed(text, former, later) for text in (event.id, *event.follows)]
                self.events[place] = replace(event, incarnation=later.incarnation, id=dot, follows=tuple(follows))

    def _renamed(self, text: str, former: NodeId, later: NodeId) -> str:
        dot = Dot.parse(text)
        return str(dot._replace(incarnation=later.incarnation)) if dot.origin == former else text


def simulated(plan: Plan, *, strict: bool = True) -> Traced:
    simulation = Simulation(plan, strict=strict, make_history=Traced)
    for member in simulation.members.values():
        simulation.history._incarnations[member.name] = member.incarnation  # type: ignore[attr-defined]
    simulation.run()
    assert isinstance(simulation.history, Traced)
    return simulation.history


def excused_at(history: Traced, name: str) -> set[str]:
    """What is lost at a node, and what the lost ones followed."""
    place = history.places[name]
    bits = place.lost_ever
    for sent in history.messages_of(place.lost_ever):
        bits |= sent.past
    return {str(sent.dot) for sent in history.messages_of(bits)}


@pytest.mark.parametrize("seed", range(12))
def test_both_judges_acquit_the_engine(seed: int) -> None:
    history = simulated(Plan.of(seed, twin=False))  # the dots of a twin would need a trace of their own
    report = check(history.events, declared=True, show=1000)
    assert history.violations == []
    # The trace does not say when a node has learned that a message is lost, unless a verdict names it.
    excused = {place: excused_at(history, place) for place in history.places}
    assert [each.describe() for each in report.violations if each.earlier not in excused[each.node]] == []
    assert report.doubled_count == report.misdelivered_count == 0
    assert report.messages == len(history.messages)


@pytest.mark.parametrize("name", ["drops_elsewhere", "forgets_the_own_dot_of_a_running_handler"])
def test_both_judges_convict_a_mutant_of_the_same_deliveries(name: str) -> None:
    with MUTANTS[name]():
        histories = [simulated(Plan.of(seed, crashes=0, twin=False), strict=False) for seed in range(12)]
    early = 0
    for history in histories:
        found = {text.split(" ")[3] for text in history.violations if text.startswith("order:")}
        report = check(history.events, declared=True, show=1000)
        assert {violation.later for violation in report.violations} == found
        early += len(found)
    assert early
