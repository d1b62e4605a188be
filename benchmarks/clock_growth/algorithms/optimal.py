"""The optimal algorithm: Kshemkalyani and Singhal 1998, "Necessary and sufficient conditions on information for
causal message ordering and their optimal implementation"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.clock_growth.algorithms.base import Algorithm, Encoding, Size
from benchmarks.clock_growth.algorithms.costs import list_header, numbers, others
from benchmarks.clock_growth.algorithms.costs import number as cost_of
from benchmarks.clock_growth.algorithms.knowledge import InTransit
from causal.ordering import NodeId

Destinations = frozenset[int]
NOBODY: Destinations = frozenset()


class Entries:
    """Of one origin: its count at a send → the destinations about which that message is still worth telling.

    Never changed, only replaced, since logs and messages share them. The highest count stays even when nothing is left
    of it: it says that everything before it that is not listed is known to be delivered, or guaranteed to be.
    """

    __slots__ = ("latest", "listed", "size", "targets")

    def __init__(self, listed: Mapping[int, Destinations]) -> None:
        self.latest = max(listed)
        self.listed = {count: dests for count, dests in listed.items() if dests or count == self.latest}
        self.targets = NOBODY.union(*self.listed.values())
        """All destinations in it."""
        each = (cost_of(count) + list_header(len(dests)) + numbers(dests) for count, dests in self.listed.items())
        self.size = list_header(2 * len(self.listed)) + sum(each)
        """Bytes, without the origin."""

    def without(self, destinations: Destinations) -> Entries:
        """Nothing of this is owed to those destinations any more."""
        if self.targets.isdisjoint(destinations):
            return self
        return Entries({count: dests - destinations for count, dests in self.listed.items()})

    def adding(self, count: int, destinations: Destinations) -> Entries:
        """And one message more."""
        return Entries({**self.listed, count: destinations})

    def merged(self, told: Entries) -> Entries:
        """What both lists hold: a message that one of them knows of and does not list is done with."""
        if self is told or self.listed == told.listed:
            return self
        both: dict[int, Destinations] = {}
        for count, destinations in self.listed.items():
            if (other := told.listed.get(count)) is not None:
                both[count] = destinations & other
            elif count > told.latest:
                both[count] = destinations
        both.update((count, dests) for count, dests in told.listed.items() if count > self.latest)
        return Entries(both)


Log = dict[int, Entries]


class Optimal(Algorithm):
    """A log of messages, each with the destinations for which it is not known that it is delivered there, nor
    guaranteed by the message that followed it to the same destination; every message carries what of the log is
    necessary for its receiver.

    No acknowledgements: what is delivered becomes known by messages alone.
    """

    encodings = (Encoding("optimal", "Kshemkalyani–Singhal optimal", "ordering"),)
    orders = True

    def __init__(self, nodes: Sequence[NodeId]) -> None:
        super().__init__(nodes)
        self._counts = [0] * self.services
        self._logs: list[Log] = [{} for _ in nodes]
        self._transit: InTransit[tuple[int, Destinations, dict[int, Log]]] = InTransit()

    def send(self, service: int, number: int, to: tuple[int, ...]) -> list[tuple[Size, ...]]:
        self._counts[service] = count = self._counts[service] + 1
        log, destinations = self._logs[service], frozenset(to)
        carried: dict[int, Log] = {receiver: {} for receiver in to}
        for origin, entries in log.items():
            if entries.targets.isdisjoint(destinations):
                for log_carried in carried.values():
                    log_carried[origin] = entries
                continue
            # What this message is told to wait for need not be told again: whoever follows it, follows that.
            for receiver, log_carried in carried.items():
                log_carried[origin] = entries.without(destinations - {receiver})
            log[origin] = entries.without(destinations)
        sizes: list[tuple[Size, ...]] = []
        for told in carried.values():
            listed = sum([cost_of(origin) + entries.size for origin, entries in told.items()])
            sizes.append((Size(cost_of(count) + others(to) + list_header(len(told)) + listed),))
        _add(log, service, count, destinations)
        self._transit.put(number, service, (count, destinations, carried), 2 * len(to))
        return sizes

    def requirements(self, service: int, number: int) -> Iterator[tuple[int, int]]:
        _, (_, _, carried) = self._transit.look(number)
        for origin, entries in carried[service].items():
            if service in entries.targets:
                yield from ((origin, count) for count, dests in entries.listed.items() if service in dests)

    def start(self, service: int, number: int) -> None:
        origin, (count, destinations, carried) = self._transit.take(number)
        log, here = self._logs[service], frozenset((service,))
        told = {who: entries.without(here) for who, entries in carried[service].items()}
        # The message itself stays owed to this service until its handler has ended.
        _add(told, origin, count, destinations)
        for who, entries in told.items():
            known = log.get(who)
            log[who] = entries if known is None else known.merged(entries)

    def settle(self, service: int, number: int) -> int:
        origin, (count, _, _) = self._transit.take(number)
        log = self._logs[service]
        entries = log[origin]
        if service in entries.listed.get(count, NOBODY):
            log[origin] = entries.adding(count, entries.listed[count] - {service})
        progress = self.progress[service]
        progress[origin] = max(progress[origin], count)
        return origin

    def words(self, service: int) -> tuple[int, ...]:
        listed = sum(
            1 + sum(1 + len(dests) for dests in entries.listed.values()) for entries in self._logs[service].values()
        )
        return (listed + self.services,)


def _add(log: Log, origin: int, count: int, destinations: Destinations) -> None:
    known = log.get(origin)
    log[origin] = Entries({count: destinations}) if known is None else known.adding(count, destinations)
