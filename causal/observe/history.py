"""The events of a run in columns: what the checker reads, at some twenty bytes an event."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from causal.observe.event import TraceError, TraceEvent
from causal.ordering.dot import Dot, NodeId

SEND, RECEIVE, DUPLICATE, DELIVER, SETTLE, DROP = range(6)
_KINDS = {
    "send": SEND,
    "receive": RECEIVE,
    "duplicate": DUPLICATE,
    "deliver": DELIVER,
    "settle": SETTLE,
    "drop": DROP,
}
UNSENT = -1


class Where(NamedTuple):
    """Where in a process in context scope something happens: what is sent follows its context and its key."""

    context: int
    key: str | None


class Process:
    """One incarnation of a node and its events in program order; a position is an index into the columns."""

    __slots__ = ("attempts", "follows", "id", "kinds", "last_uses", "messages", "missing", "places", "times")

    def __init__(self, node: NodeId) -> None:
        self.id = node
        self.kinds = bytearray()
        self.messages = array("q")
        self.times = array("q")
        """Wall clock of the node in ns."""
        self.missing: dict[int, tuple[int, ...]] = {}
        """Position → the messages that the verdict of the event names."""
        self.attempts: dict[int, int] = {}
        """Position of a deliver → its attempt, where that is not the first."""
        self.places: dict[int, Where] = {}
        """Position of a send or a deliver → where it happens; empty in process scope."""
        self.last_uses: dict[int | str, int] = {}
        """Context or key → the last position that needs what it follows."""
        self.follows: dict[int, tuple[int, ...]] = {}
        """Position of a send → the messages that it follows by name or by a token."""


class History:
    """All events of a run. A message is a number here, given at its first mention; `ids` has its text."""

    def __init__(self) -> None:
        self.processes: list[Process] = []
        self.ids: list[str] = []
        self.origins = array("q")
        """Message → index of the process that sent it, or `UNSENT` if no trace has its send."""
        self.positions = array("q")
        """Message → position of its send in its origin."""
        self.destinations: list[tuple[str, ...]] = []
        """Message → names that it is addressed to, each once."""
        self.subjects: list[str] = []
        self.unordered: dict[str, set[int]] = {}
        """Node name → messages whose ordering there is `none`."""
        self._numbers: dict[str, int] = {}
        self._indices: dict[tuple[str, int], int] = {}
        self._texts: dict[str, str] = {}
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}

    @classmethod
    def of(cls, events: Iterable[TraceEvent]) -> History:
        """The history of events in which each incarnation's own are in program order, whatever their mixture.

        Raises `TraceError` if a message is sent twice or out of sequence, or mentioned though nobody sent it.
        """
        history = cls()
        for event in events:
            history._add(event)
        history._require_sends()
        return history

    @property
    def messages(self) -> int:
        """How many were sent."""
        return len(self.origins) - self.origins.count(UNSENT)

    def is_sent(self, message: int) -> bool:
        """Whether a trace has its send."""
        return self.origins[message] != UNSENT

    @property
    def incarnations(self) -> Mapping[str, list[int]]:
        """Node name → indices of its processes, the earliest incarnation first."""
        named: dict[str, list[int]] = {}
        for index in sorted(range(len(self.processes)), key=lambda each: self.processes[each].id):
            named.setdefault(self.processes[index].id.name, []).append(index)
        return named

    def _add(self, event: TraceEvent) -> None:
        index = self._index(event.node, event.incarnation)
        process = self.processes[index]
        message = self._number(event.id)
        position = len(process.kinds)
        if event.event == "send":
            self._add_send(event, index, message, position)
        process.kinds.append(_KINDS[event.event])
        process.messages.append(message)
        process.times.append(event.at)
        if event.missing:
            process.missing[position] = tuple(map(self._number, event.missing))
        if event.event == "deliver" and event.attempt is not None and event.attempt > 1:
            process.attempts[position] = event.attempt
        if event.context is not None and event.event in ("send", "deliver"):
            process.places[position] = Where(event.context, event.key)
            if event.event == "send":
                process.last_uses[event.context] = position
            if event.key is not None:
                process.last_uses[event.key] = position
        if event.follows:
            process.follows[position] = tuple(map(self._number, event.follows))
        if event.ordering == "none":
            self.unordered.setdefault(event.node, set()).add(message)

    def _add_send(self, event: TraceEvent, index: int, message: int, position: int) -> None:
        if self.origins[message] != UNSENT:
            raise TraceError(
                f"{event.id} is sent twice: two runs in one file, or the same file given twice? Give each trace once"
            )
        names = tuple(dict.fromkeys(event.to or ()))
        self.origins[message] = index
        self.positions[message] = position
        # Equal values are shared: there are few of them and many messages.
        self.destinations[message] = self._names.setdefault(names, names)
        self.subjects[message] = self._texts.setdefault(event.subject, event.subject)

    def _index(self, name: str, incarnation: int) -> int:
        index = self._indices.get((name, incarnation))
        if index is None:
            index = self._indices[name, incarnation] = len(self.processes)
            self.processes.append(Process(NodeId(name, incarnation)))
        return index

    def _number(self, identity: str) -> int:
        number = self._numbers.get(identity)
        if number is None:
            number = self._numbers[identity] = len(self.ids)
            self.ids.append(identity)
            self.origins.append(UNSENT)
            self.positions.append(UNSENT)
            self.destinations.append(())
            self.subjects.append("")
        return number

    def _require_sends(self) -> None:
        """Each message that a node got must have a send, or its past is unknown and nothing can be proved."""
        for process in self.processes:
            sequence = 0
            for kind, message in zip(process.kinds, process.messages, strict=True):
                if kind != SEND:
                    if self.origins[message] == UNSENT:
                        raise self._never_sent(process.id, self.ids[message])
                    continue
                dot = Dot.parse(self.ids[message])
                if dot.seq <= sequence:
                    raise TraceError(
                        f"{dot} is sent after seq {sequence} of {process.id}: "
                        "its lines are not in program order; give each trace as it was written"
                    )
                sequence = dot.seq

    def _never_sent(self, node: NodeId, identity: str) -> TraceError:
        origin = Dot.parse(identity).origin
        if (origin.name, origin.incarnation) in self._indices:
            return TraceError(
                f"{node} has {identity}, but {origin} never sent it: "
                "the trace of the sender is incomplete or of another run"
            )
        missing = sorted(
            {
                str(Dot.parse(self.ids[message]).origin)
                for process in self.processes
                for kind, message in zip(process.kinds, process.messages, strict=True)
                if kind != SEND and self.origins[message] == UNSENT
            }
            - {str(process.id) for process in self.processes}
        )
        return TraceError(
            f"{node} has {identity}, but its sender's trace is not among the files: "
            f"add the trace of {', '.join(missing)}"
        )
