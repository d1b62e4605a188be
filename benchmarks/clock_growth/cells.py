"""Which cells a run consists of, and how many messages each gets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from benchmarks.clock_growth.variants import VARIANTS
from benchmarks.clock_growth.workload import DELAY_US, SLOW_HOPS, SLOW_LINKS

SIZES = (3, 10, 30, 100, 300, 1000)
RATES = (0.1, 0.3, 1.0)
HANDLERS_MS = (0, 1, 10)

COVERED_US = 150_000
"""Virtual time that a cell should cover: the slowest answer takes 60 ms, and two fifths are for warming up."""
MESSAGES_LEAST, MESSAGES_MOST = 4_000, 20_000
"""Enough for a p99; and so few that 1,000 services take minutes. With those at rate 1 only 20 ms are covered then:
`drift` says how far from steady a cell is."""

GROWTH = ("process", "context", "bounded-64")
_BEATS = ("", "-50", "-5")
HEARTBEATS = (
    *(f"{name}{beat}" for name in ("process", "bounded-64", "bounded-32", "bounded-16") for beat in _BEATS),
    "process-100",
    "process-20",
)
EVIDENCE = ("process", "process-bare", "process-clock")
"""What stamps say of how far their senders have come: by their dots, by some counts or by a whole clock."""
BOUNDS = ("process", "bounded-64", "bounded-16", "bounded-0")
SCOPES = ("process", "context")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One number of services, workload, rate and handler time, and what is compared in it."""

    services: int
    workload: str = "graph"
    rate: float = 0.1
    """Messages per one-way delay and service."""
    handler_ms: int = 0
    slow: str = SLOW_LINKS
    """What is slow in the network."""
    at_once: int = 0
    """Handlers of a service that run at the same time; 0: as many as may start."""
    messages: int
    variants: tuple[str, ...] = GROWTH
    algorithms: bool = True
    """Whether those of the literature are run, too."""

    @property
    def runs(self) -> int:
        """How often the plan is carried out or replayed, for a progress bar."""
        return len(self.variants) + 4 * self.algorithms


def cell(
    services: int,
    workload: str = "graph",
    rate: float = 0.1,
    handler_ms: int = 0,
    *,
    slow: str = SLOW_LINKS,
    at_once: int = 0,
    messages: int | None = None,
    variants: Sequence[str] = GROWTH,
    algorithms: bool = True,
) -> Cell:
    """A cell with as many messages as it needs, of those variants that there are."""
    covering = int(COVERED_US / DELAY_US * rate * services)
    return Cell(
        services=services,
        workload=workload,
        rate=rate,
        handler_ms=handler_ms,
        slow=slow,
        at_once=at_once,
        messages=messages or min(MESSAGES_MOST, max(MESSAGES_LEAST, covering)),
        variants=tuple(name for name in variants if name in VARIANTS),
        algorithms=algorithms,
    )


def ours(
    services: int,
    variants: Sequence[str] = GROWTH,
    *,
    workload: str = "graph",
    rate: float = 0.1,
    handler_ms: int = 0,
    slow: str = SLOW_LINKS,
    at_once: int = 0,
) -> Cell:
    """A cell without those of the literature."""
    return cell(services, workload, rate, handler_ms, slow=slow, at_once=at_once, variants=variants, algorithms=False)


def busy() -> list[Cell]:
    """Handlers of 10 ms at 70 messages/s a service: any number at once and one at a time; with requests of which the
    handlers send two messages to one service now and then, and with chains, where they never do."""
    return [
        ours(10, SCOPES, workload=workload, rate=0.07, handler_ms=10, at_once=at_once, slow=slow)
        for workload, at_once, slow in (
            ("graph", 0, SLOW_LINKS),
            ("graph", 1, SLOW_LINKS),
            ("chains", 0, SLOW_LINKS),
            ("chains", 1, SLOW_LINKS),
            ("uniform", 1, SLOW_HOPS),
        )
    ]


def joined(cells: Iterable[Cell]) -> list[Cell]:
    """Cells that differ only in what is compared, as one."""
    found: dict[tuple[object, ...], Cell] = {}
    for each in cells:
        key = (each.services, each.workload, each.rate, each.handler_ms, each.slow, each.at_once)
        known = found.get(key, each)
        found[key] = replace(
            known,
            variants=tuple(dict.fromkeys((*known.variants, *each.variants))),
            algorithms=known.algorithms or each.algorithms,
        )
    return [each for each in found.values() if each.variants or each.algorithms]


def whole() -> list[Cell]:
    """All that the figures need: some 20 minutes of one core."""
    slow, fast = 0.1, 1.0
    others = ("uniform", "trees", "multicast")
    return joined(
        (
            *(cell(services, rate=rate) for rate in (slow, fast) for services in SIZES),
            cell(100, rate=0.3),
            *(cell(services, workload, 0.3) for workload in others for services in (10, 100)),
            *(ours(services, rate=rate, handler_ms=1) for rate in (slow, fast) for services in (10, 100)),
            *(ours(1000, ("context",), rate=rate, handler_ms=1) for rate in (slow, fast)),
            *(ours(services, handler_ms=10) for services in (10, 100)),
            *busy(),
            ours(100, HEARTBEATS),
            ours(100, EVIDENCE),
            *(ours(40, BOUNDS, rate=fast, slow=slow) for slow in (SLOW_LINKS, SLOW_HOPS)),
            ours(40, BOUNDS, workload="uniform", rate=fast, slow=SLOW_HOPS),
        )
    )


def brief() -> list[Cell]:
    """A part of it, in a minute or two."""
    return joined((cell(10), cell(100), ours(100, HEARTBEATS)))


def quick() -> list[Cell]:
    """Sizes that show that it works, in seconds."""
    kinds = ((3, "graph", 0), (10, "graph", 1), (10, "trees", 0), (10, "multicast", 0))
    return [cell(count, name, 1.0, handler, messages=300, variants=tuple(VARIANTS)) for count, name, handler in kinds]


def chosen(
    services: Sequence[int],
    workloads: Sequence[str],
    rates: Sequence[float],
    handlers_ms: Sequence[int],
    slow: Sequence[str] = (SLOW_LINKS,),
) -> list[Cell]:
    """Each combination, with all variants but those that only differ in heartbeats."""
    names = tuple(name for name, variant in VARIANTS.items() if not variant.heartbeat_ms)
    return [
        cell(count, workload, rate, handler_ms, slow=what, variants=names)
        for workload in workloads
        for rate in rates
        for handler_ms in handlers_ms
        for what in slow
        for count in services
    ]


def only(cells: Iterable[Cell], variants: Sequence[str], *, algorithms: bool, messages: int | None) -> list[Cell]:
    """The same cells, with less compared in them, or of another length."""
    return [
        replace(
            each,
            variants=tuple(name for name in each.variants if name in variants),
            algorithms=each.algorithms and algorithms,
            messages=messages or each.messages,
        )
        for each in cells
    ]
