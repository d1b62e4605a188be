"""The matrix: Raynal, Schiper and Toueg 1991, "The causal ordering abstraction and a simple way to implement it"."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from benchmarks.clock_growth.algorithms.base import Algorithm, Encoding, Size
from benchmarks.clock_growth.algorithms.costs import list_header, others
from benchmarks.clock_growth.algorithms.costs import number as cost_of
from benchmarks.clock_growth.algorithms.knowledge import InTransit
from causal.ordering import NodeId


class _Row:
    """SENT[i] as its owner has ever had it: after each of its sends, whom it had sent how much."""

    def __init__(self, services: int) -> None:
        self.sends: dict[int, list[int]] = {}
        """Receiver → which of the owner's sends went to it, in ascending order."""
        self.dense = [services]
        """After so many sends: bytes of all counts."""
        self.sparse = [0]
        """After so many sends: bytes of [receiver, count] for each count that is not 0."""
        self.filled = [0]
        """After so many sends: counts that are not 0."""

    def note_send(self, to: tuple[int, ...]) -> int:
        version = len(self.dense)
        dense, sparse, filled = self.dense[-1], self.sparse[-1], self.filled[-1]
        for receiver in to:
            sends = self.sends.setdefault(receiver, [])
            count = len(sends)
            sends.append(version)
            grown = cost_of(count + 1) - cost_of(count)
            dense += grown
            sparse += grown if count else cost_of(receiver) + cost_of(1)
            filled += not count
        self.dense.append(dense)
        self.sparse.append(sparse)
        self.filled.append(filled)
        return version

    def count(self, receiver: int, version: int) -> int:
        sends = self.sends.get(receiver)
        return bisect_right(sends, version) if sends else 0


class Matrix(Algorithm):
    """SENT[i][j]: how many messages i has sent to j, as far as is known; every message carries all of it.

    A message for j waits until, for each k, as many messages of k are settled at j as its SENT[k][j] says.

    Only i changes row i, so what anybody knows of it is the row as it was after some send of i. A matrix is kept as
    these n numbers, which is exact; what is counted is the matrix itself: *dense*, all n² counts; *non-zero*, for
    each row that has any its number and its pairs [receiver, count].
    """

    encodings = (
        Encoding("matrix", "RST matrix, dense", "ordering"),
        Encoding("matrix-sparse", "RST matrix, non-zero entries", "ordering"),
    )
    orders = True

    def __init__(self, nodes: Sequence[NodeId]) -> None:
        super().__init__(nodes)
        self._rows = [_Row(self.services) for _ in nodes]
        self._known = [[0] * self.services for _ in nodes]
        """Of each service: which version of each row it knows."""
        self._dense = [self.services**2] * self.services
        self._sparse = [0] * self.services
        self._filled = [0] * self.services
        self._filled_rows = [0] * self.services
        self._senders: list[list[int]] = [[] for _ in nodes]
        """Who has ever sent to a service."""
        self._transit: InTransit[tuple[list[int], int]] = InTransit()

    def send(self, service: int, number: int, to: tuple[int, ...]) -> list[tuple[Size, ...]]:
        known, row = self._known[service], self._rows[service]
        dense = list_header(self.services**2) + self._dense[service] + others(to)
        sparse = list_header(self._filled_rows[service]) + self._sparse[service] + others(to)
        before = known.copy()
        for receiver in to:
            if receiver not in row.sends:
                self._senders[receiver].append(service)
        version = row.note_send(to)
        self._learn(service, service, version)
        self._transit.put(number, service, (before, version), 2 * len(to))
        return [(Size(dense), Size(sparse))] * len(to)

    def _learn(self, service: int, place: int, version: int) -> None:
        known, row = self._known[service][place], self._rows[place]
        self._dense[service] += row.dense[version] - row.dense[known]
        self._sparse[service] += row.sparse[version] - row.sparse[known]
        self._filled[service] += row.filled[version] - row.filled[known]
        self._sparse[service] -= list_header(2 * row.filled[known]) if known else 0
        self._sparse[service] += list_header(2 * row.filled[version])
        if not known:
            self._filled_rows[service] += 1
            self._sparse[service] += cost_of(place)
        self._known[service][place] = version

    def requirements(self, service: int, number: int) -> Iterator[tuple[int, int]]:
        _, (before, _) = self._transit.look(number)
        for sender in self._senders[service]:
            count = self._rows[sender].count(service, before[sender])
            if count:
                yield sender, count

    def start(self, service: int, number: int) -> None:
        origin, (before, version) = self._transit.take(number)
        known = self._known[service]
        for place, (mine, theirs) in enumerate(zip(known, before, strict=True)):
            if theirs > mine:
                self._learn(service, place, theirs)
        if version > known[origin]:
            self._learn(service, origin, version)

    def settle(self, service: int, number: int) -> int:
        origin, _ = self._transit.take(number)
        self.progress[service][origin] += 1
        return origin

    def counts(self, service: int) -> list[int]:
        return self._known[service].copy()

    def words(self, service: int) -> tuple[int, ...]:
        delivered = self.services
        return self.services**2 + delivered, 2 * self._filled[service] + self._filled_rows[service] + delivered
