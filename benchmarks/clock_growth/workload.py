"""Who sends what to whom: fixed before anything runs, so that every variant carries out the same plan.

A *request* enters the system at a service and at a time, which follow from the rate alone (open loop). It sends
messages; the handler of each sends further ones, and so on. When a handler runs depends on the variant, what it
sends does not. Delays are drawn beforehand too, for each copy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import NamedTuple

from benchmarks.clock_growth.topology import Links, names_of, production, slow_links

DELAY_US = 1000
"""The mean one-way delay of a link that is not slow, in µs of virtual time."""
DEPTH_MAX = 6
"""Messages that follow one another in a request, at most."""
TREE_SERVICES = (2, 13)
COPIES = (2, 8)
"""Destinations of a multicast, if there are so many services."""
FOLLOWING = ((0, 0.55), (1, 0.30), (2, 0.15))
"""How many messages a handled message causes, with the probabilities: 0.6 in the mean."""
CHAIN = 0.6
"""The probability that a handled message causes one, where none causes two. (Of two that go to the same service, the
second follows the first, rightly.)"""


SLOW_LINKS, SLOW_HOPS = "links", "hops"
"""What is slow in a network: 2 % of the links, 20 times, there and back; or 1 % of all frames, each for itself, on any
link (a garbage collection, a lost packet sent again). What is behind a slow frame on its link waits for it."""
SLOW_HOP_SHARE = 0.01
SLOW_HOP_TIMES = (20, 70)


def delay_of_hop(random: Random, slow: str) -> float:
    """What one frame takes, as a multiple of what its link takes in the mean."""
    if slow == SLOW_HOPS and random.random() < SLOW_HOP_SHARE:
        return random.uniform(*SLOW_HOP_TIMES)
    return random.uniform(0.5, 1.5)


class Planned(NamedTuple):
    """One message, and what its handlers send."""

    number: int
    """From 0, in the order in which the plan was drawn: roughly that of sending."""
    to: tuple[int, ...]
    delays: tuple[float, ...]
    """One-way delay of each copy, as a multiple of what its link takes in the mean."""
    then: tuple[tuple[Planned, ...], ...]
    """For each destination what its handler sends."""


class Request(NamedTuple):
    """Something enters the system from outside."""

    at_us: int
    service: int
    sends: tuple[Planned, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that one cell does."""

    names: list[str]
    requests: list[Request]
    links: set[tuple[int, int]]
    """(sender, receiver) of the links that the plan uses."""
    slow: set[tuple[int, int]]
    """Those of them that are slow."""
    slow_hops: bool
    """Whether single frames are slow instead."""
    messages: int

    def peers(self, service: int) -> list[int]:
        return [receiver for sender, receiver in sorted(self.links) if sender == service]


class _Drawing:
    """Draws a plan; numbers its messages."""

    def __init__(self, services: int, links: Links, random: Random, slow: str) -> None:
        self.services = services
        self.links = links
        self.random = random
        self.slow = slow
        self.count = 0

    def message(self, to: tuple[int, ...], follow: Callable[[int], tuple[Planned, ...]]) -> Planned:
        number = self.count
        self.count += 1
        delays = tuple(delay_of_hop(self.random, self.slow) for _ in to)
        return Planned(number, to, delays, tuple(follow(service) for service in to))

    def several(self, chance: float = 1.0) -> int:
        """How many messages a handled copy causes; only with that probability any."""
        if self.random.random() >= chance:
            return 0
        values, weights = zip(*FOLLOWING, strict=True)
        return int(self.random.choices(values, weights)[0])

    def chained(self, sender: int, depth: int = 1) -> Planned:
        """As `unicast`, but nothing causes two messages."""

        def follow(service: int) -> tuple[Planned, ...]:
            goes_on = depth < DEPTH_MAX and self.random.random() < CHAIN
            return (self.chained(service, depth + 1),) if goes_on else ()

        return self.message((self.random.choice(self.links[sender]),), follow)

    def unicast(self, sender: int, depth: int = 1) -> Planned:
        """To one of the services that the sender has a link to, each as likely."""
        return self.message((self.random.choice(self.links[sender]),), lambda service: self._next(service, depth))

    def _next(self, service: int, depth: int) -> tuple[Planned, ...]:
        count = self.several() if depth < DEPTH_MAX else 0
        return tuple(self.unicast(service, depth + 1) for _ in range(count))

    def multicast(self, sender: int, depth: int = 1) -> Planned:
        """To 2 to 8 others. Copies cause a multicast seldom enough that a message causes as many as a unicast."""
        others = self.links[sender]
        count = min(self.random.randint(*COPIES), len(others))

        def follow(service: int) -> tuple[Planned, ...]:
            several = self.several(1 / count) if depth < DEPTH_MAX else 0
            return tuple(self.multicast(service, depth + 1) for _ in range(several))

        return self.message(tuple(self.random.sample(others, count)), follow)

    def tree(self, root: int) -> tuple[Planned, ...]:
        """A request that 2 to 13 services handle, the first of them included; each sends on in its handler."""
        services, depths = [root], [0]
        children: list[list[int]] = [[]]
        for place in range(1, self.random.randint(*TREE_SERVICES)):
            parent = self.random.choice([above for above, depth in enumerate(depths) if depth < DEPTH_MAX])
            services.append(self.random.choice(self.links[services[parent]]))
            depths.append(depths[parent] + 1)
            children.append([])
            children[parent].append(place)

        def sends(place: int) -> tuple[Planned, ...]:
            return tuple(self.message((services[child],), partial(follow, child)) for child in children[place])

        def follow(place: int, _: int) -> tuple[Planned, ...]:
            return sends(place)

        return sends(0)


def _complete(services: int, _: Random) -> Links:
    return [[other for other in range(services) if other != service] for service in range(services)]


class Workload(NamedTuple):
    title: str
    links: Callable[[int, Random], Links]
    draw: Callable[[_Drawing, int], tuple[Planned, ...]]


WORKLOADS = {
    "uniform": Workload("uniform unicast", _complete, lambda drawing, service: (drawing.unicast(service),)),
    "graph": Workload("production degrees", production, lambda drawing, service: (drawing.unicast(service),)),
    "chains": Workload("production degrees, chains", production, lambda drawing, service: (drawing.chained(service),)),
    "trees": Workload("request trees", _complete, lambda drawing, service: drawing.tree(service)),
    "multicast": Workload("multicast 2–8", _complete, lambda drawing, service: (drawing.multicast(service),)),
}


def plan(workload: str, services: int, rate: float, messages: int, seed: int, slow: str = SLOW_LINKS) -> Plan:
    """About that many messages at `rate` messages per one-way delay and service (requests arrive at random); `slow`:
    what is slow in the network, `SLOW_LINKS` or `SLOW_HOPS`."""
    random = Random(f"{workload} {services} {rate} {seed}")
    kind = WORKLOADS[workload]
    links = kind.links(services, random)
    drawing = _Drawing(services, links, random, slow)
    drawn: list[tuple[int, tuple[Planned, ...]]] = []
    while drawing.count < messages:
        service = random.randrange(services)
        drawn.append((service, kind.draw(drawing, service)))
    gap_us = DELAY_US * drawing.count / (rate * services * len(drawn))
    requests, at_us = [], 0.0
    for service, sends in drawn:
        at_us += random.expovariate(1 / gap_us)
        requests.append(Request(math.floor(at_us), service, sends))
    used = {pair for request in requests for pair in _pairs(request.service, request.sends)}
    always = slow_links(links, random) & used if slow == SLOW_LINKS else set()
    return Plan(
        names=names_of(services, random),
        requests=requests,
        links=used,
        slow=always,
        slow_hops=slow == SLOW_HOPS,
        messages=drawing.count,
    )


def _pairs(sender: int, sends: tuple[Planned, ...]) -> set[tuple[int, int]]:
    pairs = set()
    for planned in sends:
        for receiver, then in zip(planned.to, planned.then, strict=True):
            pairs.add((sender, receiver))
            if then:
                pairs |= _pairs(receiver, then)
    return pairs
