"""The optimal algorithm: Kshemkalyani and Singhal 1998, "Necessary and sufficient conditions on information for
causal message ordering and their optimal implementation"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.clock_growth.algorithms.base import Algorithm, Encoding, Size
from benchmarks.clock_growth.algorithms.costs import list_header, number as cost_of, numbers, others
from benchmarks.clock_growth.algorithms.knowledge import InTransit
from causal.ordering import NodeId

Destinations = frozenset[int]
Entries = Mapping[int, Destinations]
"""Of one origin: its count at a send → the destinations about which that message is still worth telling. Never
changed, only replaced, since logs and messages share them. The highest count stays even when nothing is left of it:
it says that everything before it that is not listed is known to be delivered, or guaranteed to be."""
Log = dict[int, Entries]

NOBODY: Destinations = frozenset()


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
            if any(not dests.isdisjoint(destinations) for dests in entries.values()):
                # What this message is told to wait for need not be told again: whoever follows it, follows that.
                for receiver in to:
                    spared = destinations - {receiver}
                    carried[receiver][origin] = purged({t: dests - spared for t, dests in entries.items()})
                log[origin] = purged({t: dests - destinations for t, dests in entries.items()})
            else:
                for receiver in to:
                    carried[receiver][origin] = entries
        sizes: list[tuple[Size, ...]] = []
        for receiver in to:
            told = sum(_bytes(origin, entries) for origin, entries in carried[receiver].items())
            sizes.append((Size(cost_of(count) + others(to) + list_header(len(carried[receiver])) + told),))
        log[service] = {**log.get(service, {}), count: destinations}
        self._logs[service][service] = purged(log[service])
        self._transit.put(number, service, (count, destinations, carried), 2 * len(to))
        return sizes

    def requirements(self, service: int, number: int) -> Iterator[tuple[int, int]]:
        _, (_, _, carried) = self._transit.look(number)
        for origin, entries in carried[service].items():
            for count, destinations in entries.items():
                if service in destinations:
                    yield origin, count

    def start(self, service: int, number: int) -> None:
        origin, (count, destinations, carried) = self._transit.take(number)
        told = {who: without(entries, service) for who, entries in carried[service].items()}
        # The message itself stays owed to this service until its handler has ended.
        told[origin] = purged({**told.get(origin, {}), count: destinations})
        log = self._logs[service]
        for who, entries in told.items():
            known = log.get(who)
            log[who] = entries if known is None else merged(known, entries)

    def settle(self, service: int, number: int) -> int:
        origin, (count, _, _) = self._transit.take(number)
        log = self._logs[service]
        entries = log[origin]
        if service in entries.get(count, NOBODY):
            log[origin] = purged({**entries, count: entries[count] - {service}})
        progress = self.progress[service]
        progress[origin] = max(progress[origin], count)
        return origin

    def words(self, service: int) -> tuple[int, ...]:
        log = self._logs[service]
        entries = sum(1 + sum(1 + len(dests) for dests in entries.values()) for entries in log.values())
        return (entries + self.services,)


def purged(entries: Entries) -> Entries:
    """Without those that say nothing any more, but for the latest."""
    latest = max(entries)
    if all(dests or count == latest for count, dests in entries.items()):
        return entries
    return {count: dests for count, dests in entries.items() if dests or count == latest}


def without(entries: Entries, destination: int) -> Entries:
    """Nothing of this is owed to that destination any more."""
    if not any(destination in dests for dests in entries.values()):
        return entries
    return purged({count: dests - {destination} for count, dests in entries.items()})


def merged(known: Entries, told: Entries) -> Entries:
    """What both of one origin's lists hold: a message that one of them knows of and does not list is done with."""
    if known is told or known == told:
        return known
    latest_known, latest_told = max(known), max(told)
    both: dict[int, Destinations] = {}
    for count, destinations in known.items():
        if (other := told.get(count)) is not None:
            both[count] = destinations & other
        elif count > latest_told:
            both[count] = destinations
    for count, destinations in told.items():
        if count not in known and count > latest_known:
            both[count] = destinations
    return purged(both)


def _bytes(origin: int, entries: Entries) -> int:
    listed = sum(cost_of(count) + list_header(len(dests)) + numbers(dests) for count, dests in entries.items())
    return cost_of(origin) + list_header(2 * len(entries)) + listed
