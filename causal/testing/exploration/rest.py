"""What must be true of a world in which nothing more happens by itself."""

from __future__ import annotations

from causal.testing.exploration.site import Input
from causal.testing.exploration.times import PAUSE_MS
from causal.testing.exploration.world import State, World

BEATS_MAX = 12
"""Rounds of heartbeats until all contexts must be empty."""


def at_rest(world: World, state: State) -> State:
    """Judge a world at rest: all is settled and nothing held; after heartbeats, every context is empty.

    Returns the world in the end; its `verdict` says what is wrong.
    """
    ended = _end(world, state, context=False)
    if world.verdict(ended):
        return ended
    now_ms = world.now_ms(state)
    beaten = list(state)
    for _ in range(BEATS_MAX):
        if not any(world.site(site).pending() for site in beaten[: len(world.names)]):
            break
        for place in range(len(world.names)):
            world.apply(beaten, place, Input("beat"), now_ms)
        _carry_all(world, beaten, now_ms)
        if world.scenario.crashes:
            now_ms += PAUSE_MS  # dots on which nobody is left to report are asked about only then
    return _end(world, tuple(beaten), context=True)


def _carry_all(world: World, beaten: list[int], now_ms: int) -> None:
    while actions := world.actions(tuple(beaten)):
        action = actions[0]
        if action.direction >= 0:
            world.take_off(beaten, action)
        world.apply(beaten, action.place, action.given, now_ms)


def _end(world: World, state: State, *, context: bool) -> State:
    sites = [world.site(site) for site in state[: len(world.names)]]
    runs = tuple((site.name, site.engine.me.incarnation) for site in sites)
    reasons = tuple(reason for site in sites for reason in site.unrest(context=context))
    new = list(state)
    world.hear(new, (("ends", runs, reasons),))
    return tuple(new)
