"""The full vector clock: Fidge 1988, Mattern 1989, counting sends. It compares messages and orders nothing."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.clock_growth.algorithms.base import Algorithm, Encoding, Size
from benchmarks.clock_growth.algorithms.costs import definition, list_header
from benchmarks.clock_growth.algorithms.costs import number as cost_of
from benchmarks.clock_growth.algorithms.knowledge import InTransit
from causal.ordering import NodeId


class FullClock(Algorithm):
    """Each message carries one count for each service: O(n) to send and to merge.

    *dense*: all counts, in the order of the services that everybody knows. *named*: as our clocks, [index, count]
    for each service that has sent something, an index being defined with its name once in a stream.
    """

    encodings = (
        Encoding("full-clock", "full vector clock", "clock"),
        Encoding("named-clock", "full vector clock, by names", "clock"),
    )

    def __init__(self, nodes: Sequence[NodeId]) -> None:
        super().__init__(nodes)
        self._nodes = nodes
        self._clocks = [[0] * self.services for _ in nodes]
        self._bytes = [self.services] * self.services
        """Of each clock's counts; a 0 takes one, too."""
        self._entries: list[list[int]] = [[] for _ in nodes]
        """Of each clock the services counted, in the order in which they came in."""
        self._defined: dict[tuple[int, int], int] = {}
        """Stream → how many of its sender's entries have been defined on it."""
        self._transit: InTransit[list[int]] = InTransit()

    def send(self, service: int, number: int, to: tuple[int, ...]) -> list[tuple[Size, ...]]:
        clock = self._clocks[service]
        self._raise(service, service, clock[service] + 1)
        self._transit.put(number, service, clock.copy(), len(to))
        dense = list_header(self.services) + self._bytes[service]
        return [(Size(dense), self._named(service, receiver)) for receiver in to]

    def _named(self, service: int, receiver: int) -> Size:
        entries = self._entries[service]
        defined = self._defined.get((service, receiver), 0)
        self._defined[service, receiver] = len(entries)
        # The sender itself is defined with the stream.
        names = sum(definition(self._nodes[entries[at]], at) for at in range(max(1, defined), len(entries)))
        zeros = self.services - len(entries)
        indices = sum(cost_of(index) for index in range(len(entries)))
        return Size(list_header(2 * len(entries)) + indices + self._bytes[service] - zeros, names)

    def start(self, service: int, number: int) -> None:
        clock = self._clocks[service]
        _, carried = self._transit.take(number)
        for place, (known, count) in enumerate(zip(clock, carried, strict=True)):
            if count > known:
                self._raise(service, place, count)

    def _raise(self, service: int, place: int, count: int) -> None:
        clock = self._clocks[service]
        known = clock[place]
        if not known:
            self._entries[service].append(place)
        self._bytes[service] += cost_of(count) - cost_of(known)
        clock[place] = count

    def counts(self, service: int) -> list[int]:
        return self._clocks[service].copy()

    def words(self, service: int) -> tuple[int, ...]:
        return self.services, 2 * len(self._entries[service])
