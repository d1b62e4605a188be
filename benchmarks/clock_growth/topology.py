"""Who can send to whom, how services are called, and which links are slow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

Links = list[list[int]]
"""For each service the services that it sends to, in ascending order."""

OUT_DEGREES = ((0.0, 1), (0.5, 4), (0.9, 13), (0.99, 93), (1.0, 150))
IN_DEGREES = ((0.0, 1), (0.5, 2), (0.9, 12), (0.99, 70), (1.0, 110))
"""(quantile, degree) of a large production system; p50, p90 and p99 are given, the ends are chosen. The few
services that everybody calls get whatever in-degree makes both sums equal."""

SLOW_SHARE = 0.02
SLOW_TIMES = 20

_AREAS = (
    "auth",
    "billing",
    "catalog",
    "checkout",
    "delivery",
    "identity",
    "inventory",
    "payment",
    "pricing",
    "search",
    "stock",
)
_KINDS = ("api", "batch", "cache", "events", "gateway", "index", "ledger", "rules", "store", "sync", "view", "worker")


def names_of(services: int, random: Random) -> list[str]:
    """A distinct name of 12 to 20 characters for each service, as systems with many services have them."""
    return [
        f"{f'{random.choice(_AREAS)}-{random.choice(_KINDS)}'[:15]}-{number:0{random.choice((3, 4))}}"
        for number in range(services)
    ]


def production(services: int, random: Random) -> Links:
    """A directed graph with the degrees above, as far as `services` allow; no other structure, so with cycles.

    Stubs are matched at random, the services with most out-links first: each takes distinct targets, a target with
    a probability that grows with the in-links that it still lacks (Efraimidis and Spirakis 2006 for the draw).
    """
    out_degrees = _shuffled(_degrees(services, OUT_DEGREES), random)
    lacking = _shuffled(_with_sum(_degrees(services, IN_DEGREES), sum(out_degrees), services - 1), random)
    links: Links = [[] for _ in range(services)]
    for source in sorted(range(services), key=lambda service: -out_degrees[service]):
        keys = {
            target: random.random() ** (1 / left) if (left := lacking[target]) > 0 else -random.random()
            for target in range(services)
            if target != source
        }
        chosen = sorted(keys, key=keys.__getitem__, reverse=True)[: out_degrees[source]]
        for target in chosen:
            lacking[target] -= 1
        links[source] = sorted(chosen)
    return links


def slow_links(links: Links, random: Random) -> set[tuple[int, int]]:
    """2 % of the links, which take 20 times as long, there and back."""
    every = [(source, target) for source, targets in enumerate(links) for target in targets]
    return set(random.sample(every, math.floor(SLOW_SHARE * len(every) + 0.5)))


def _degrees(services: int, quantiles: Sequence[tuple[float, int]]) -> list[int]:
    """One degree for each service, in ascending order: the quantiles joined by straight lines of the logarithm."""
    degrees = []
    for rank in range(services):
        share = (rank + 0.5) / services
        above = next(place for place, (quantile, _) in enumerate(quantiles) if quantile >= share)
        (low, low_degree), (high, high_degree) = quantiles[above - 1], quantiles[above]
        part = (share - low) / (high - low)
        degree = low_degree * (high_degree / low_degree) ** part
        degrees.append(min(services - 1, math.floor(degree + 0.5)))
    return degrees


def _with_sum(degrees: list[int], wanted: int, most: int) -> list[int]:
    """The degrees with that sum, by changing the largest: 1 in 100 evenly, and the next ones if that is not enough."""
    degrees = list(degrees)
    several = max(1, len(degrees) // 100)
    for end in range(len(degrees), 0, -several):
        group = range(max(0, end - several), end)
        for place in group:
            missing = wanted - sum(degrees)
            share = math.ceil(missing / (end - place)) if missing > 0 else math.floor(missing / (end - place))
            degrees[place] = min(most, max(1, degrees[place] + share))
        if sum(degrees) == wanted:
            break
    return degrees


def _shuffled(values: list[int], random: Random) -> list[int]:
    random.shuffle(values)
    return values
