"""The vector clock by differences: Singhal and Kshemkalyani 1992, "An efficient implementation of vector clocks"."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.clock_growth.algorithms.base import Algorithm, Encoding, Size
from benchmarks.clock_growth.algorithms.costs import list_header
from benchmarks.clock_growth.algorithms.costs import number as cost_of
from causal.ordering import NodeId

Entries = list[tuple[int, int]]


class DifferentialClock(Algorithm):
    """To each receiver only the entries that have changed since the last message to it: needs links in order.

    `last_update[k]` (LU in the paper) is the own count when entry k changed last, `last_sent[j]` (LS) the own
    count at the last message to j. Entries are kept in the order of their last change, so that a send costs
    O(what it carries).
    """

    encodings = (Encoding("differential-clock", "differential vector clock", "clock"),)

    def __init__(self, nodes: Sequence[NodeId]) -> None:
        super().__init__(nodes)
        self._clocks: list[dict[int, int]] = [{} for _ in nodes]
        """By service; the entry that changed last is the last one."""
        self._last_update: list[dict[int, int]] = [{} for _ in nodes]
        self._last_sent: list[dict[int, int]] = [{} for _ in nodes]
        self._carried: dict[tuple[int, int], Entries] = {}

    def send(self, service: int, number: int, to: tuple[int, ...]) -> list[tuple[Size, ...]]:
        own = self._clocks[service].get(service, 0) + 1
        self._raise(service, service, own, own)
        sizes: list[tuple[Size, ...]] = []
        for receiver in to:
            entries = self._changed(service, receiver)
            self._carried[receiver, number] = entries
            self._last_sent[service][receiver] = own
            counted = sum(cost_of(place) + cost_of(count) for place, count in entries)
            sizes.append((Size(list_header(2 * len(entries)) + counted),))
        return sizes

    def _changed(self, service: int, receiver: int) -> Entries:
        clock, last_update = self._clocks[service], self._last_update[service]
        last_sent = self._last_sent[service].get(receiver, -1)
        entries = []
        for place in reversed(clock):
            if last_update[place] <= last_sent:
                break
            entries.append((place, clock[place]))
        return entries

    def start(self, service: int, number: int) -> None:
        clock = self._clocks[service]
        own = clock.get(service, 0)
        for place, count in self._carried.pop((service, number)):
            if count > clock.get(place, 0):
                # One more than the own count: it is told with the next send, which is that one.
                self._raise(service, place, count, own + 1)

    def _raise(self, service: int, place: int, count: int, at: int) -> None:
        clock = self._clocks[service]
        clock.pop(place, None)  # to the end
        clock[place] = count
        self._last_update[service][place] = at

    def counts(self, service: int) -> list[int]:
        clock = self._clocks[service]
        return [clock.get(place, 0) for place in range(self.services)]

    def words(self, service: int) -> tuple[int, ...]:
        return (3 * self.services,)
