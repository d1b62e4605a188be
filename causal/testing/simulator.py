"""Runs of the real engine under a seeded network, in virtual time: `python -m causal.testing.simulator --seed N`.

A run has a phase with faults, judged for safety, and then a phase in which all is well again, judged for
liveness: everything that is not lost is settled, nothing is held, every context is empty. The same seed gives
the same run, in any process.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from random import Random
from typing import Any
from zlib import crc32

from causal.ordering.context import merged
from causal.ordering.dot import NodeId
from causal.ordering.engine import Engine
from causal.testing.figures import EXPECTED
from causal.testing.history import History
from causal.testing.member import MakeEngine, Member
from causal.testing.network import MS, Network, Timeline
from causal.testing.operator import Operator
from causal.testing.plan import SUBJECTS, Plan
from causal.testing.twin import Twin

SETTLE_MS = 20_000
"""How long a healed run may take until it is at rest, in ms of virtual time."""
HANDLER_SENDS = 3
"""Messages that handlers may send for each one of a client, so that a run ends."""


@dataclass(slots=True)
class Result:
    """What came of one seed, or of several."""

    seed: int
    violations: list[str] = field(default_factory=list)
    tally: Counter[str] = field(default_factory=Counter)
    digest: int = 0
    """The same for each run of the same seed."""


class Simulation:
    """One run. `strict`: errors of the engine and its broken invariants count as violations too."""

    def __init__(
        self,
        plan: Plan,
        make_engine: MakeEngine = Engine,
        *,
        strict: bool = True,
        make_history: type[History] = History,
    ) -> None:
        self.plan = plan
        self.random = Random(f"run {plan.seed}")
        self.tally: Counter[str] = Counter()
        self.timeline = Timeline()
        self.network = Network(plan, self.timeline, self.random, self.tally)
        names = [f"S{number}" for number in range(1, plan.nodes + 1)]
        self.history = make_history(names, lambda name, subject: self.members[name].ordering_of(subject))
        self.members: dict[str, Member] = {}
        for name in names:
            peers, draw = self._peers(name, names), partial(self._handler_draws, name)
            member = Member(name, peers, self.network, self.history, draw, make_engine, strict)
            self.members[name] = member
            self.network.endpoints[name] = member
        self.twin: Twin | None = None
        if plan.twin:
            first, draw = self.members[names[0]], partial(self._handler_draws, names[0])
            self.twin = Twin(first, self.network, self.history, draw, make_engine, strict)
        self.operator = Operator(self.members, self.network, self.history)
        self._names = names
        self._sends_left = HANDLER_SENDS * plan.messages

    def run(self) -> Result:
        """Run it to the end."""
        plan = self.plan
        self._schedule()
        self.timeline.run(plan.duration_ms * MS)
        self._heal()
        self._settle()
        self.history.judge_clocks(plan.clock_entries_max)
        self.tally.update(self.history.tally)
        last = [(str(sent.dot), sent.past) for sent in self.history.messages]
        return Result(plan.seed, self.history.violations, self.tally, crc32(repr((last, self.timeline.now)).encode()))

    def _peers(self, name: str, names: list[str]) -> list[str]:
        after = names[(names.index(name) + 1) % len(names)]
        others = (other for other in names if other != name)
        return [other for other in others if other == after or self.random.random() < self.plan.links]

    def _schedule(self) -> None:
        plan, random, after = self.plan, self.random, self.timeline.after
        length = plan.duration_ms * MS
        for _ in range(plan.messages):
            after(random.randrange(length), self._client_sends)
        for _ in range(plan.torn):
            after(random.randrange(length), self.network.tear_any)
        for _ in range(plan.cuts):
            one, other = random.sample(self._names, 2)
            after(random.randrange(length), self.network.cut, one, other, random.randint(1, plan.cut_ms) * MS)
        for _ in range(plan.crashes):
            after(random.randrange(length), self._crash)
        if plan.skew_ms:
            for _ in range(3):
                after(random.randrange(length), self._step_back)
        if plan.racing:
            after(random.randrange(length), self._race)
        self.operator.schedule(length)
        if self.twin is not None:
            self._schedule_twin(self.twin, length)

    def _schedule_twin(self, twin: Twin, length: int) -> None:
        random, after = self.random, self.timeline.after
        for _ in range(self.plan.messages // 2):
            after(random.randrange(length), self._twin_sends, twin)
        if self.plan.twin_listens:
            begin = random.randrange(length)
            after(begin, twin.listen)
            after(random.randrange(begin, length), twin.listen_no_more)

    def _twin_sends(self, twin: Twin) -> None:
        twin.send(*self._draw(twin.name))

    def _client_sends(self) -> None:
        name = self.random.choice(self._names)
        self.members[name].send(*self._draw(name))

    def _draw(self, name: str) -> tuple[list[str], str]:
        random = self.random
        count = random.choice((2, 2, 3, 4)) if random.random() < self.plan.fan_out else 1
        names = [name, *self.members[name].peers]
        return [random.choice(names) for _ in range(count)], random.choice(SUBJECTS)

    def _handler_draws(self, name: str) -> tuple[list[str], str] | None:
        self._sends_left -= 1
        return self._draw(name) if self._sends_left > 0 else None

    def _crash(self) -> None:
        member = self.members[self.random.choice(self._names)]
        if self.random.random() < 0.7:  # rather one with much that can get lost
            member = max(self.members.values(), key=lambda each: len(each.engine.unsettled) if each.up else -1)
        if not member.up:
            return
        member.crash()
        # A clock may have gone back, so that the next incarnation is not the higher one: peers will say so, if they
        # know. Where none does, who waits for a dot of the former incarnation waits until the next restart.
        others = [self.members[name] for name in self._names if name != member.name]
        known = all(other.knows(member.name) == member.incarnation for other in others)
        back = known and self.plan.crashes == 1 and self.random.random() < 0.5
        step = self.random.randint(1, 1_000_000)  # no clock shows the millisecond of an earlier start again
        incarnation = member.incarnation + (-step if back else step)
        self.timeline.after(self.random.randrange(100 * MS), member.restart, incarnation)

    def _step_back(self) -> None:
        member = self.members[self.random.choice(self._names)]
        member.skew_ms -= self.random.randint(0, self.plan.skew_ms)
        self.tally["clock steps back"] += 1
        self.timeline.after(self.random.randrange(100 * MS), self._set_right, member)

    def _race(self) -> None:
        member = self.members[self.random.choice(self._names)]
        member.skew_ms += 700
        self.timeline.after(self.random.randrange(100 * MS), self._set_right, member)

    def _set_right(self, member: Member) -> None:
        member.skew_ms = 0

    def _heal(self) -> None:
        self.network.heal()

    def _excused(self, destination: str, origin: NodeId) -> bool:
        """Where not everybody sends to everybody, nobody may be left who could tell of an origin that is gone. And
        nobody can tell of what was to go to one that stays away."""
        away = self.operator.away
        gone = origin.name in away or self.members[origin.name].incarnation != origin.incarnation
        return destination in away or (self.plan.links < 1 and (gone or bool(away)))

    def _settle(self) -> None:
        reasons: list[str] = []
        deadline = self.timeline.now + SETTLE_MS * MS
        if self.twin is not None:
            self.timeline.after(SETTLE_MS // 2 * MS, self.twin.free, list(self.members.values()))
        while self.timeline.now < deadline:
            if self.twin is not None:
                self.twin.resolve()
            self.timeline.run(self.timeline.now + self.plan.heartbeat_ms * MS)
            self.operator.finish()
            there = [member for member in self.members.values() if not member.missed]
            missed = {member.name for member in self.members.values() if member.missed}
            engines = [member.engine for member in there]
            asked = any(merged(engine.contexts).pending or engine.stability.asks_on for engine in engines)
            reasons = [reason for member in there for reason in member.at_rest(self._excused, missed, asked=asked)]
            if not reasons and all(member.up for member in there):
                break
        for reason in reasons:
            self.history.blame(f"not at rest: {reason}")
        self.history.judge_complete({name: member.run for name, member in self.members.items() if not member.missed})
        self.tally["records of senders that are gone"] += sum(
            len(member.engine.settlement.former) for member in self.members.values()
        )
        self.tally["ms until at rest"] += self.timeline.now // MS - self.plan.duration_ms


def simulate(seed: int, **overrides: Any) -> Result:
    """Run one seed, with fields of its `Plan` overridden."""
    return Simulation(Plan.of(seed, **overrides)).run()


def attempt(seed: int) -> Result:
    """Run one seed; what a defect raises is a violation too, so that nobody has to look for its seed."""
    try:
        return simulate(seed)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is said with its seed
        return Result(seed, [f"exception: {error!r}"])


def simulate_many(
    seeds: Iterable[int],
    jobs: int = 1,
    each: Callable[[Result], None] = lambda _: None,
    *,
    keep_going: bool = True,
    run: Callable[[int], Result] = attempt,
) -> Result:
    """Run many seeds; the sum of their tallies, and what was violated with the line that reproduces it.

    `each` is told of every run as it ends, in no particular order. Without `keep_going` the first violation that is
    found is the last. One job runs in this process.
    """
    total = Result(seed=-1)
    with ExitStack() as stack:
        results: Iterable[Result] = map(run, seeds)
        if jobs > 1:  # not by fork: whoever calls may have threads
            results = stack.enter_context(get_context("spawn").Pool(jobs)).imap_unordered(run, seeds, chunksize=10)
        for result in results:
            total.tally.update(result.tally)
            total.digest ^= result.digest
            if result.violations:
                total.violations.append(f"{reproduction(result.seed)}   # {result.violations[0]}")
            each(result)
            if result.violations and not keep_going:
                break
    return total


def simulate_visibly(seeds: range, jobs: int, *, keep_going: bool) -> Result:
    """`simulate_many` with a progress bar on standard error, and each violation as it is found."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    shown = TextColumn("{task.fields[rate]:.0f} seeds/s  {task.fields[violations]} violations")
    with Progress(*columns, shown, console=Console(stderr=True)) as progress:
        task = progress.add_task("seeds", total=len(seeds), rate=0.0, violations=0)
        began, done, found = time.monotonic(), 0, 0

        def each(result: Result) -> None:
            nonlocal done, found
            done += 1
            if result.violations:
                found += 1
                progress.console.print(f"{reproduction(result.seed)}   # {result.violations[0]}", markup=False)
            rate = done / max(time.monotonic() - began, 1e-3)
            progress.update(task, advance=1, rate=rate, violations=found)

        return simulate_many(seeds, jobs, each, keep_going=keep_going)


def silent_figures(tally: Counter[str]) -> list[str]:
    """The faults and rules that never had anything to do: what runs are then no evidence for."""
    return [name for name in EXPECTED if not tally[name]]


def reproduction(seed: int) -> str:
    """The line that runs a seed again."""
    return f"python -m causal.testing.simulator --seed {seed}"


def main(arguments: list[str] | None = None) -> int:
    """The command line. Exit code 1 for a violation, or many seeds that leave a fault or a rule unused."""
    parser = argparse.ArgumentParser(prog="python -m causal.testing.simulator", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this seed and tell all about it")
    parser.add_argument("--seeds", type=_seeds, default="0:200", help="run these, first:end (default: %(default)s)")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first seed that fails")
    cores = os.cpu_count() or 1
    parser.add_argument("--jobs", type=int, default=cores, help="processes (default: the cores, %(default)s)")
    options = parser.parse_args(arguments)
    never: list[str] = []
    if options.seed is not None:
        result = simulate(options.seed)
        print(Plan.of(options.seed))
    else:
        result = simulate_visibly(options.seeds, options.jobs, keep_going=options.keep_going)
        if result.violations and not options.keep_going:
            print("stopped at the first seed that fails; --keep-going goes on")
        else:
            never = silent_figures(result.tally)
    for name, count in sorted(result.tally.items()):
        print(f"{count:10}  {name}")
    for violation in result.violations:
        print(violation)
    if never:
        print(f"never happened: {', '.join(never)}")
    print(f"{len(result.violations)} violations")
    return 1 if result.violations or never else 0


def _seeds(text: str) -> range:
    first, _, end = text.partition(":")
    try:
        seeds = range(int(first), int(end))
    except ValueError:
        seeds = range(0)
    if not seeds:
        raise argparse.ArgumentTypeError(f"{text!r} is not first:end with at least one seed, such as 0:100000")
    return seeds


if __name__ == "__main__":
    sys.exit(main())
