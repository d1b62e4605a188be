"""The optimal algorithm once more, step by step as its paper writes it down, on sets; delivery is one moment."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.clock_growth.algorithms import Algorithm, Encoding, Optimal, Size
from benchmarks.clock_growth.algorithms.costs import list_header, numbers, others
from benchmarks.clock_growth.algorithms.costs import number as cost_of
from causal.ordering import NodeId

Entry = tuple[int, int]
Log = dict[Entry, set[int]]


def purge(log: Log) -> None:
    """PURGE_NULL_ENTRIES."""
    for s, t in [entry for entry, dests in log.items() if not dests]:
        if any(other == s and later > t for other, later in log):
            del log[s, t]


class LiteralOptimal(Algorithm):
    """Sizes and requirements only have to agree; nothing here is fast."""

    encodings = (Encoding("literal", "literal", "ordering"),)
    orders = True

    def __init__(self, nodes: Sequence[NodeId]) -> None:
        super().__init__(nodes)
        self.clock = [0] * self.services
        self.log: list[Log] = [{} for _ in nodes]
        self.messages: dict[int, tuple[int, int, set[int], dict[int, Log]]] = {}

    def send(self, service: int, number: int, to: tuple[int, ...]) -> list[tuple[Size, ...]]:
        self.clock[service] += 1
        log, dests, carried = self.log[service], set(to), {}
        for d in to:
            told = {}
            for entry, owed in log.items():
                told[entry] = owed - dests if d not in owed else (owed - dests) | {d}
            purge(told)
            carried[d] = told
        for owed in log.values():
            owed -= dests
        purge(log)
        log[service, self.clock[service]] = set(dests)
        purge(log)
        self.messages[number] = service, self.clock[service], dests, carried
        return [(Size(self._size(carried[d], self.clock[service], to)),) for d in to]

    @staticmethod
    def _size(told: Log, clock: int, to: tuple[int, ...]) -> int:
        origins = {s for s, _ in told}
        size = cost_of(clock) + others(to) + list_header(len(origins))
        for origin in origins:
            entries = {t: dests for (s, t), dests in told.items() if s == origin}
            size += cost_of(origin) + list_header(2 * len(entries))
            size += sum(cost_of(t) + list_header(len(dests)) + numbers(dests) for t, dests in entries.items())
        return size

    def requirements(self, service: int, number: int) -> list[tuple[int, int]]:
        _, _, _, carried = self.messages[number]
        return [entry for entry, dests in carried[service].items() if service in dests]

    def start(self, service: int, number: int) -> None:
        origin, clock, dests, carried = self.messages[number]
        told = {entry: set(owed) for entry, owed in carried[service].items()}
        told[origin, clock] = set(dests)
        for owed in told.values():
            owed.discard(service)
        log = self.log[service]
        gone_told = {(s, t) for s, t in told if (s, t) not in log and any(o == s and t < u for o, u in log)}
        gone_log = {(s, t) for s, t in log if (s, t) not in told and any(o == s and t < u for o, u in told)}
        for entry in gone_told:
            del told[entry]
        for entry in gone_log:
            del log[entry]
        for entry, owed in told.items():
            log[entry] = log[entry] & owed if entry in log else owed
        purge(log)

    def settle(self, service: int, number: int) -> int:
        origin, clock, _, _ = self.messages[number]
        self.progress[service][origin] = max(self.progress[service][origin], clock)
        return origin

    def words(self, service: int) -> tuple[int, ...]:
        return (sum(2 + len(dests) for dests in self.log[service].values()),)


class Both(Optimal):
    """The optimal algorithm, compared at each send and arrival with the literal one."""

    def __init__(self, nodes: Sequence[NodeId]) -> None:
        super().__init__(nodes)
        self.literal = LiteralOptimal(nodes)
        self.compared = 0

    def send(self, service: int, number: int, to: tuple[int, ...]) -> list[tuple[Size, ...]]:
        sizes = super().send(service, number, to)
        assert sizes == self.literal.send(service, number, to)
        self.compared += len(sizes)
        return sizes

    def requirements(self, service: int, number: int) -> list[tuple[int, int]]:  # type: ignore[override]
        mine = list(super().requirements(service, number))
        assert sorted(mine) == sorted(self.literal.requirements(service, number))
        return mine

    def start(self, service: int, number: int) -> None:
        super().start(service, number)
        self.literal.start(service, number)
