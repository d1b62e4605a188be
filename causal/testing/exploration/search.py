"""Breadth first through all worlds of a scenario."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from causal.testing.exploration.rest import at_rest
from causal.testing.exploration.scenarios import Scenario
from causal.testing.exploration.world import State, World, describe

EACH = 4096
"""Worlds between two reports of progress."""


@dataclass(slots=True)
class Found:
    """What an exploration has found."""

    scenario: Scenario
    complete: bool = False
    states: int = 0
    """Distinct worlds."""
    steps: int = 0
    """Steps from one world to another."""
    rests: int = 0
    """Worlds in which nothing more happens by itself."""
    depth: int = 0
    """The fewest steps after which no new world is found."""
    sites: int = 0
    """Distinct states of single engines with their callers."""
    engine_steps: int = 0
    """Inputs that were given to an engine."""
    violations: list[str] = field(default_factory=list)
    path: list[str] = field(default_factory=list)
    """The shortest way to a violation, step by step."""


class Search:
    """One exploration. `each` hears now and then of what is found so far, and of how many worlds wait."""

    def __init__(
        self,
        scenario: Scenario,
        each: Callable[[Found, int], None] = lambda *_: None,
        convicting: frozenset[str] | None = None,
    ) -> None:
        self.world = World(scenario, convicting)
        self.found = Found(scenario)
        self._each = each
        self._before: dict[State, State | None] = {}
        """World → the one it was first found from."""

    def run(self, states_max: int | None = None) -> Found:
        """Explore until all worlds are known, one breaks the guarantee, or there are `states_max` of them."""
        collecting = gc.isenabled()
        gc.disable()  # millions of tuples, none in a cycle: the collector would look at all of them again and again
        try:
            self._run(states_max or sys.maxsize)
        finally:
            if collecting:
                gc.enable()
        self._count()
        return self.found

    def _run(self, states_max: int) -> None:
        first = self.world.start()
        self._before[first] = None
        level = [first]
        while level and not self.found.violations and len(self._before) < states_max:
            level = self._next(level)
        self.found.complete = not level and not self.found.violations

    def _next(self, level: list[State]) -> list[State]:
        world, before, found = self.world, self._before, self.found
        actions_of, faults_of, after, verdict = world.actions, world.faults, world.after, world.verdict
        fresh: list[State] = []
        for at, state in enumerate(level):
            if not at % EACH:
                self._count()
                self._each(self.found, len(level) - at + len(fresh))
            actions = actions_of(state)
            if not actions:
                found.rests += 1
                if self._blame(state, verdict(at_rest(world, state))):
                    return fresh
            actions += faults_of(state)
            found.steps += len(actions)
            for action in actions:
                new = after(state, action)
                if new not in before:
                    before[new] = state
                    fresh.append(new)
                    if self._blame(new, verdict(new)):
                        return fresh
        if fresh:
            found.depth += 1
        return fresh

    def _blame(self, state: State, violations: tuple[str, ...]) -> bool:
        found, broken = self.found, self.world.broken
        if violations or broken:
            found.violations = [*violations, *broken]
            found.path = self._path(state)
        return bool(found.violations)

    def _path(self, state: State) -> list[str]:
        words: list[str] = []
        while (former := self._before[state]) is not None:
            actions = [*self.world.actions(former), *self.world.faults(former)]
            words.append(next(describe(self.world, a) for a in actions if self.world.after(former, a) == state))
            state = former
        return words[::-1]

    def _count(self) -> None:
        found = self.found
        found.states = len(self._before)
        found.sites = len(self.world.sites)
        found.engine_steps = self.world.steps_taken


def explore(scenario: Scenario, *, convicting: frozenset[str] | None = None) -> Found:
    """All worlds of a scenario, or the first that breaks the guarantee. `convicting`: see `World`."""
    return Search(scenario, convicting=convicting).run()
