"""The real engine in every order in which things can happen, for a few nodes and messages."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from causal.testing.exploration.__main__ import CHANGED, line_of, main
from causal.testing.exploration.judge import Judge
from causal.testing.exploration.scenarios import ALL, DEEP, QUICK, SIBLINGS, TRIANGLE, Message, Scenario, named
from causal.testing.exploration.search import explore
from causal.testing.exploration.site import DOWN, UP, Input, Parcel, Site
from causal.testing.exploration.times import PAUSE_MS, START_MS, class_of, time_in_turn
from causal.testing.exploration.world import Action, State, World
from tests.simulation.mutants import MUTANTS
from tests.simulation.test_mutants import KINDS

pytestmark = pytest.mark.simulation


@pytest.mark.timeout(120)
@pytest.mark.parametrize("scenario", QUICK, ids=lambda scenario: scenario.name)
def test_a1_every_interleaving_keeps_the_order_and_comes_to_rest(
    scenario: Scenario, say: Callable[[str], None]
) -> None:
    found = explore(scenario)
    say(line_of(found, 0.0).rpartition(",")[0])
    assert found.violations == [], found.path
    assert found.complete
    assert found.rests > 0
    assert found.states == scenario.states, f"the number of distinct states has changed: {CHANGED}"


def test_quick_scenarios_have_one_of_three_nodes_and_three_messages_with_100_000_states() -> None:
    scenario = named("cycle")
    assert (len(scenario.nodes), len(scenario.messages), scenario.repeated) == (3, 3, 1)
    assert any(len(message.to) > 1 for message in scenario.messages)
    assert scenario.states >= 100_000


def test_number_of_states_of_every_scenario_is_known() -> None:
    assert [scenario.name for scenario in (*QUICK, *DEEP) if not scenario.states] == []


def test_a3_every_interleaving_of_a_multicast_a_message_after_it_and_a_duplicate_keeps_the_order() -> None:
    found = explore(named("siblings"))
    assert found.violations == [], found.path
    assert (found.complete, found.states) == (True, named("siblings").states), CHANGED


# -- what it would miss ------------------------------------------------------------------------------------------


def small(messages: tuple[Message, ...], **faults: int) -> Scenario:
    return Scenario(name="small", messages=messages, states=0, crashing=ALL, **faults)  # type: ignore[arg-type]


CAUGHT_BY = {
    "acknowledges_on_receipt": small(TRIANGLE),
    "acknowledges_a_held_duplicate": small(TRIANGLE, repeated=1),
    "acknowledges_what_is_held_when_a_stream_begins": small(TRIANGLE, torn=1),
    "drops_elsewhere": small(TRIANGLE),
    "forgets_the_siblings_of_a_multicast": small(SIBLINGS),
    "looks_again_at_the_head_only": small(named("fan").messages),
    "forgets_the_own_dot_of_a_running_handler": small(named("boomerang").messages),
    "settles_none_messages_out_of_turn": small(named("none").messages),
    "settles_dropped_messages_out_of_turn": small(named("dropped").messages, dropped=1),
    "reuses_dots_after_a_restart": small(TRIANGLE, crashes=1),
    "knows_of_no_loss": small(TRIANGLE, crashes=1),
    "stable_number_runs_ahead_of_a_destination": small(TRIANGLE),
    "stable_number_forgets_who_lags": small(SIBLINGS, pauses=1, beats=1),
    "a_resend_recomputes_the_stamp": small(TRIANGLE, torn=1),
    "waits_for_handlers_of_none_messages": small(named("none").messages),
}
"""Mutant → the smallest scenario that catches it. The others need more messages, or more time, than fit here."""


@pytest.mark.parametrize("name", CAUGHT_BY)
def test_mutant_is_caught_by_the_exploration(name: str) -> None:
    with MUTANTS[name]():
        found = explore(CAUGHT_BY[name], convicting=KINDS)
    assert found.violations
    assert {text.partition(":")[0] for text in found.violations} <= KINDS
    assert found.path, "the way to it is told"


def test_engine_without_a_mutant_is_acquitted_by_the_smallest_scenarios() -> None:
    for scenario in (small(TRIANGLE), small(SIBLINGS), small(TRIANGLE, repeated=1), small(TRIANGLE, torn=1)):
        found = explore(scenario, convicting=KINDS)
        assert (found.complete, found.violations) == (True, [])


def test_violation_is_told_with_the_shortest_way_to_it() -> None:
    with MUTANTS["drops_elsewhere"]():
        found = explore(small(TRIANGLE), convicting=KINDS)
    assert found.violations == ["order: S3 starts S2/1/1 before S1/1/1 is settled"]
    sends = [step for step in found.path if " send " in step]
    assert [step.split()[0] for step in sends] == ["S1", "S1", "S2"]
    assert found.path[-1].startswith("S3 start ")
    assert not found.complete


IN_TURN = (
    "forgets_the_horizon_of_what_it_handles",
    "waits_for_no_link",
    "waits_for_nothing_received_before_its_horizon",
    "asks_no_idle_link",
)
"""Mutants that timestamps give away in the smallest bounded scenario."""


@pytest.mark.parametrize("name", IN_TURN)
def test_clocks_in_turn_convict_the_mutants_that_standing_ones_do_by_as_short_a_way_and_in_fewer_states(
    name: str,
) -> None:
    standing = small(TRIANGLE, dependencies_max=0)
    with MUTANTS[name]():
        found, in_turn = (explore(each, convicting=KINDS) for each in (standing, replace(standing, in_turn=True)))
    assert in_turn.violations
    assert {text.partition(":")[0] for text in in_turn.violations} == {
        text.partition(":")[0] for text in found.violations
    }
    assert len(in_turn.path) == len(found.path)
    assert in_turn.states < found.states


def test_class_of_a_timestamp_says_between_which_messages_it_lies_and_nothing_else() -> None:
    def class_at(ms: int, counter: int) -> int:
        return class_of(START_MS + ms << 16 | counter)

    assert class_at(2, 0) == class_at(2, 7) == class_at(2, 65_534), "ticked after the first send, before the second"
    before, just_before, second = class_at(2, 5), class_at(2, 65_535), class_at(3, 0)
    assert class_at(1, 0) < before < just_before < second < class_at(4, 0)
    assert class_of(START_MS + 2) == class_of(START_MS + 5), "physical times, no pause between them"
    assert class_of(START_MS + PAUSE_MS + 2) != class_of(START_MS + 2)
    assert class_of(12) == 12


# -- whether states that count as the same are the same ----------------------------------------------------------


class Replay:
    """A twin of the world that merges and remembers nothing: live engines, frames in queues, one run."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.sites = {name: Site(name, 1, scenario) for name in scenario.nodes}
        self.queues: dict[tuple[str, str, int], deque[Parcel]] = {
            (*link, direction): deque() for link in scenario.links for direction in (DOWN, UP)
        }
        self.judge = Judge(scenario)

    def do(self, name: str, given: Input) -> None:
        parcel = None
        if given.verb == "heard":
            parcel = self.queues[given.peer, name, DOWN].popleft()
        elif given.verb == "answered":
            parcel = self.queues[name, given.peer, UP].popleft()
        so_far = sum(len(site.sent) for site in self.sites.values())
        now_ms = time_in_turn(so_far, sends=given.verb == "send") if self.scenario.in_turn else START_MS
        effects = self.sites[name].do(given, parcel, self.scenario, now_ms)
        for peer, direction, sent in effects.sent:
            self.queues[(name, peer, DOWN) if direction == DOWN else (peer, name, UP)].append(sent)
        self.judge.hear(tuple(effects.events))


def walk(world: World, random: Random) -> tuple[list[Action], State]:
    """A run to its end, each step drawn from those that are possible."""
    state, taken = World.start(world), []
    while actions := world.actions(state):
        action = random.choice(actions)
        taken.append(action)
        state = world.after(state, action)
    return taken, state


@pytest.mark.parametrize("in_turn", [False, True])
@pytest.mark.parametrize("messages", [TRIANGLE, SIBLINGS, named("fan").messages, named("none").messages])
def test_run_of_live_engines_ends_in_the_world_that_merged_states_lead_to(
    messages: tuple[Message, ...], in_turn: bool
) -> None:
    dots = 0 if in_turn else 64
    scenario = Scenario(name="replayed", messages=messages, cold=True, in_turn=in_turn, dependencies_max=dots, states=0)
    world = World(scenario)
    for seed in range(25):
        actions, state = walk(world, Random(seed))
        replay = Replay(scenario)
        for action in actions:
            replay.do(world.names[action.place], action.given)
        assert not any(replay.queues.values())
        assert replay.judge.violations == []
        for number, site in zip(state, replay.sites.values(), strict=False):
            assert world.site(number).key() == site.key()
            assert site.unrest(context=False) == []


# -- the command ---------------------------------------------------------------------------------------------------


def test_command_explores_a_scenario_and_prints_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["siblings"]) == 0
    assert re.match(r"siblings +1,720 states, .* 0 violations", capsys.readouterr().out)


def test_command_that_is_stopped_early_proves_nothing_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["siblings", "--states-max", "100"]) == 0
    assert "stopped, not complete" in capsys.readouterr().out


def test_command_for_an_engine_that_is_wrong_prints_the_way_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with MUTANTS["forgets_the_siblings_of_a_multicast"]():
        assert main(["siblings"]) == 1
    assert "S3 start" in capsys.readouterr().out


def test_unknown_scenario_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LookupError, match=r"no scenario 'round'; there are cycle, "):
        named("round")
