"""The events of a run, replayed in an order in which each send comes before what was done with its message.

Among the orders that fit, the one nearest to wall time is taken, only because few messages are then in flight
at a time. The result is the same for each of them.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from causal.observe.event import TraceError
from causal.observe.history import DELIVER, DROP, RECEIVE, SEND, SETTLE, UNSENT, History, Process, Where
from causal.observe.judge import Judge, Verdicts, verdicts_of
from causal.observe.pasts import Pasts
from causal.observe.waits import Waits

Progress = Callable[[int, int], None]
"""Told now and then how many events of how many have been replayed."""

_PROGRESS_EVERY = 2_000
_RECEIVED, _STARTED, _SETTLED = range(3)
_Turn = tuple[int, int, int]
"""Wall clock and position of a process's next event, and its index: the smallest goes next."""


class _Member:
    """One process as it stands at its position in the replay."""

    __slots__ = (
        "attempts",
        "context",
        "contexts",
        "index",
        "none",
        "open",
        "position",
        "process",
        "states",
        "unordered",
        "verdicts",
        "waits",
    )

    def __init__(self, index: int, process: Process, unordered: set[int], verdicts: Verdicts, waits: Waits) -> None:
        self.index = index
        self.process = process
        self.unordered = unordered
        self.verdicts = verdicts
        self.waits = waits
        self.position = 0
        self.context = 0
        """Set: everything that the next send follows. In context scope there are several."""
        self.contexts: dict[int | str, int] = {}
        """Context or key → what it follows, as long as it is used again."""
        self.open = 0
        """Set: addressed here and settled neither here nor in an earlier incarnation."""
        self.none = 0
        """Set: addressed here, with ordering `none` here."""
        self.states: dict[int, int] = {}
        self.attempts: dict[int, int] = {}

    def causal(self, messages: int) -> int:
        """Those of a set whose ordering here is not `none`."""
        return messages & ~self.none if self.none else messages

    def past_at(self, where: Where) -> int:
        """What its context, and whatever has its key, follows."""
        past = self.contexts.get(where.context, 0)
        return past if where.key is None else past | self.contexts.get(where.key, 0)

    def follow(self, where: Where, position: int, past: int) -> None:
        """From here on its context, and whatever has its key, follows all this."""
        for name in (where.context, where.key):
            if name is not None:
                self.contexts.pop(name, None)
                if self.process.last_uses.get(name, -1) > position:
                    self.contexts[name] = past


class Replay:
    """One replay of a history; what it found stands in its attributes afterwards."""

    def __init__(self, history: History, *, declared: bool, concurrency: int, show: int) -> None:
        self.deliveries = 0
        self.retries = 0
        self.duplicates = 0
        self.dropped = 0
        self.doubled: dict[tuple[int, int], None] = {}
        """(message, process), in order and each once."""
        self.misdelivered: dict[tuple[int, int], None] = {}
        self._history = history
        self._declared = declared
        self._pasts = Pasts(history)
        self.judge = Judge(history, self._pasts, show)
        self.waits = [
            Waits(process, self._pasts, history.unordered.get(process.id.name, set()), concurrency)
            for process in history.processes
        ]
        self._members = [
            _Member(index, process, history.unordered.get(process.id.name, set()), verdicts, waits)
            for index, (process, verdicts, waits) in enumerate(
                zip(history.processes, verdicts_of(history, self._pasts), self.waits, strict=True)
            )
        ]
        self._named = {
            name: [self._members[index] for index in indices] for name, indices in history.incarnations.items()
        }
        self._settled_first = self._first_settlements()
        self._blocked: dict[int, list[_Member]] = {}
        """Message → processes whose next event needs its send."""

    def run(self, progress: Progress | None) -> None:
        """Replay everything. Raises `TraceError` if no order of the events fits."""
        total = sum(len(member.process.kinds) for member in self._members)
        turns = [_turn(member) for member in self._members]
        heapq.heapify(turns)
        done = 0
        while turns:
            member = self._members[heapq.heappop(turns)[2]]
            while self._step(member, turns):
                done += 1
                if progress is not None and done % _PROGRESS_EVERY == 0:
                    progress(done, total)
                if member.position == len(member.process.kinds):
                    break
                if turns and member.process.times[member.position] > turns[0][0]:
                    heapq.heappush(turns, _turn(member))
                    break
        if self._blocked:
            raise self._contradiction()
        self.judge.finish()

    def unsettled(self) -> list[tuple[int, str]]:
        """(message, destination) for each copy never settled at a destination that has a trace."""
        return [
            (message, name)
            for message in self._pasts.order
            for name in self._history.destinations[message]
            if name in self._named and not any(member.states.get(message) == _SETTLED for member in self._named[name])
        ]

    def _step(self, member: _Member, turns: list[_Turn]) -> bool:
        """Replay the next event of a process; False if it has to wait for a send."""
        position = member.position
        kind, message = member.process.kinds[position], member.process.messages[position]
        if kind == SEND:
            for followed in member.process.follows.get(position, ()):
                if self._history.is_sent(followed) and not self._pasts.is_sent(followed):
                    self._blocked.setdefault(followed, []).append(member)
                    return False
            self._on_send(member, message, position)
            for blocked in self._blocked.pop(message, ()):
                heapq.heappush(turns, _turn(blocked))
        elif not self._pasts.is_sent(message):
            self._blocked.setdefault(message, []).append(member)
            return False
        elif kind == RECEIVE:
            if message not in member.states:
                member.states[message] = _RECEIVED
                member.waits.receive(message, position, member.causal(member.open))
        elif kind == DELIVER:
            self._on_deliver(member, message, position)
        elif kind in (SETTLE, DROP):
            self._on_settle(member, message, position, dropped=kind == DROP)
        else:
            self.duplicates += 1
        member.position = position + 1
        return True

    def _on_send(self, member: _Member, message: int, position: int) -> None:
        named = 0
        for followed in member.process.follows.get(position, ()):
            if self._history.is_sent(followed):
                named |= self._pasts.upto(followed)
        where = member.process.places.get(position)
        if where is None:
            member.context |= named
            alone = self._pasts.add(message, member.context)
            member.context |= alone
        else:
            past = named | member.past_at(where)
            alone = self._pasts.add(message, past)
            member.follow(where, position, past | alone)
        for name in self._history.destinations[message]:
            for destination in self._named.get(name, ()):
                if not self._settled_before(destination, message):
                    destination.open |= alone
                    if message in destination.unordered:
                        destination.none |= alone

    def _on_deliver(self, member: _Member, message: int, position: int) -> None:
        self._note_verdict(member, position)
        state = member.states.get(message)
        attempt = member.process.attempts.get(position, 1)
        if state == _SETTLED or (state == _STARTED and attempt <= member.attempts[message]):
            self.doubled[message, member.index] = None
            return
        member.attempts[message] = attempt
        if state == _STARTED:
            self.retries += 1
            return
        member.states[message] = _STARTED
        self.deliveries += 1
        if member.process.id.name not in self._history.destinations[message]:
            self.misdelivered[message, member.index] = None
        member.waits.start(message, position)
        past = self._pasts.before(message)
        assert past is not None, "a past is kept until the last delivery"
        self._suspect(member, message, position, past & member.open)
        where = member.process.places.get(position)
        if where is None:
            member.context |= self._pasts.upto(message)
        else:
            member.follow(where, position, self._pasts.upto(message) | member.past_at(where))
        self._pasts.delivered(message)

    def _on_settle(self, member: _Member, message: int, position: int, *, dropped: bool) -> None:
        self._note_verdict(member, position)
        state = member.states.get(message)
        if state == _SETTLED:
            self.doubled[message, member.index] = None
            return
        if state == _STARTED:
            member.waits.end(position)
        elif not dropped:
            raise TraceError(
                f"{member.process.id} settles {self._history.ids[message]}, but never started its handler: "
                "the trace is incomplete; give it as it was written"
            )
        self.dropped += dropped
        member.states[message] = _SETTLED
        member.open &= ~(1 << self._pasts.bit(message))
        member.waits.settle(message, position, member.causal(member.open))

    def _suspect(self, member: _Member, message: int, position: int, unsettled: int) -> None:
        if self._declared:
            unsettled = 0 if message in member.unordered else member.causal(unsettled)
        if unsettled:
            self.judge.suspect(member.index, position, message, unsettled, member.verdicts)

    def _note_verdict(self, member: _Member, position: int) -> None:
        for message in member.process.missing.get(position, ()):
            if self._history.origins[message] != UNSENT:
                member.verdicts.name(message)

    def _settled_before(self, member: _Member, message: int) -> bool:
        first = self._settled_first.get((member.process.id.name, message))
        return first is not None and first < member.process.id.incarnation

    def _first_settlements(self) -> dict[tuple[str, int], int]:
        """(name, message) → the first incarnation that settled it, for names with more than one.

        A later incarnation need not deliver those again: the base that the senders tell it leaves them out.
        """
        first: dict[tuple[str, int], int] = {}
        for name, members in self._named.items():
            for member in members if len(members) > 1 else ():
                for kind, message in zip(member.process.kinds, member.process.messages, strict=True):
                    if kind in (SETTLE, DROP):
                        first.setdefault((name, message), member.process.id.incarnation)
        return first

    def _contradiction(self) -> TraceError:
        """Each process that is blocked needs a send of another blocked one: follow them round."""
        needs = {member.index: message for message, members in self._blocked.items() for member in members}
        index = next(iter(needs))
        met: list[int] = []
        while index not in met:
            met.append(index)
            index = self._history.origins[needs[index]]
        chain = "; ".join(
            f"{self._history.processes[each].id} has {self._history.ids[needs[each]]} before it goes on"
            for each in met[met.index(index) :]
        )
        return TraceError(
            f"the traces contradict each other, for no order of their events is possible: {chain}. "
            "Are lines out of order, or files of different runs mixed?"
        )


def _turn(member: _Member) -> _Turn:
    return member.process.times[member.position], member.position, member.index
