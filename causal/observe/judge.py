"""Deliveries that started before a predecessor was settled: broken order, or excused by a verdict."""

from __future__ import annotations

from dataclasses import dataclass

from causal.observe.history import DELIVER, UNSENT, History
from causal.observe.pasts import Pasts
from causal.observe.paths import shortest_path
from causal.observe.report import Excused, Violation


@dataclass(frozen=True, slots=True)
class _Suspect:
    """A delivery at a position of a process, and the predecessors that were not settled there."""

    process: int
    position: int
    message: int
    unsettled: int


class Verdicts:
    """What the verdicts at one process have named so far, those of the node's earlier incarnations included.

    What a message that never came had itself followed is unknown to the process, so a verdict excuses the
    message that it names and the whole past of it.
    """

    def __init__(self, pasts: Pasts) -> None:
        self._pasts = pasts
        self._excused = 0
        self._named: list[int] = []

    def name(self, message: int) -> None:
        self._named.append(message)

    def excused(self) -> tuple[int, tuple[int, ...]]:
        """The set excused so far, and the messages named whose sends have not been replayed yet."""
        named, self._named = self._named, []
        for message in named:
            if self._pasts.is_sent(message):
                self._excused |= self._pasts.upto(message)
            else:
                self._named.append(message)
        return self._excused, tuple(self._named)


class Judge:
    """Counts pairs out of order and remembers up to `show` of them, at least one of each delivery first."""

    def __init__(self, history: History, pasts: Pasts, show: int) -> None:
        self.violation_count = 0
        self.early_deliveries = 0
        self.excused_count = 0
        self.excused_deliveries = 0
        self.excused: list[Excused] = []
        self._history = history
        self._pasts = pasts
        self._show = show
        self._deferred: list[tuple[_Suspect, int, tuple[int, ...]]] = []
        self._found: list[tuple[_Suspect, int]] = []
        self._found_more: list[tuple[_Suspect, int]] = []

    def suspect(self, process: int, position: int, message: int, unsettled: int, verdicts: Verdicts) -> None:
        """A handler started while the predecessors in `unsettled` (not empty) were not settled."""
        suspect = _Suspect(process, position, message, unsettled)
        excused, unsent = verdicts.excused()
        if unsent:
            self._deferred.append((suspect, excused, unsent))
        else:
            self._judge(suspect, excused)

    def finish(self) -> None:
        """Judge what had to wait for the rest of the replay."""
        for suspect, excused, named in self._deferred:
            for message in named:
                excused |= self._pasts.upto(message)
            self._judge(suspect, excused)
        self._deferred.clear()

    def violations(self) -> tuple[Violation, ...]:
        """The remembered violations with their paths: one search of the history for each."""
        found = (self._found + self._found_more)[: self._show]
        return tuple(self._violation(suspect, earlier) for suspect, earlier in found)

    def _judge(self, suspect: _Suspect, excused: int) -> None:
        broken = suspect.unsettled & ~excused
        forgiven = suspect.unsettled & excused
        self.violation_count += broken.bit_count()
        self.excused_count += forgiven.bit_count()
        self.early_deliveries += bool(broken)
        self.excused_deliveries += bool(forgiven)
        for count, earlier in enumerate(self._pasts.latest(broken)):
            found = self._found_more if count else self._found
            if len(found) >= self._show:
                break
            found.append((suspect, earlier))
        for earlier in self._pasts.latest(forgiven):
            if len(self.excused) >= self._show:
                break
            node = self._history.processes[suspect.process].id
            self.excused.append(
                Excused(
                    node=node.name,
                    incarnation=node.incarnation,
                    earlier=self._history.ids[earlier],
                    later=self._history.ids[suspect.message],
                )
            )

    def _violation(self, suspect: _Suspect, earlier: int) -> Violation:
        history, process = self._history, self._history.processes[suspect.process]
        return Violation(
            node=process.id.name,
            incarnation=process.id.incarnation,
            earlier=history.ids[earlier],
            earlier_subject=history.subjects[earlier],
            earlier_was=self._state(suspect, earlier),
            later=history.ids[suspect.message],
            later_subject=history.subjects[suspect.message],
            at=process.times[suspect.position],
            path=shortest_path(history, earlier, suspect.message),
        )

    def _state(self, suspect: _Suspect, earlier: int) -> str:
        process = self._history.processes[suspect.process]
        state = "not received"
        for position in range(suspect.position):
            if process.messages[position] == earlier:
                if process.kinds[position] == DELIVER:
                    return "running"
                state = "not started"
        return state


def verdicts_of(history: History, pasts: Pasts) -> list[Verdicts]:
    """For each process what its verdicts have named before its first event: those of earlier incarnations."""
    verdicts = [Verdicts(pasts) for _ in history.processes]
    for indices in history.incarnations.values():
        told: list[int] = []
        for index in indices:
            for message in told:
                verdicts[index].name(message)
            for named in history.processes[index].missing.values():
                told.extend(message for message in named if history.origins[message] != UNSENT)
    return verdicts
