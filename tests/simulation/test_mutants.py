"""Every rule that is taken away is missed within 200 seeds by one judge for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from causal.testing.plan import Plan
from causal.testing.simulator import Simulation
from tests.simulation.mutants import MUTANTS

SEEDS_MAX = 200
ACQUITTED = 50
"""Seeds of each kind of run in which nothing may be found without a mutant."""
WITHOUT_CLOCKS = {"clock_entries_max": 1, "messages": 36, "nodes": 5, "chain": 0.7}
WHERE: dict[str, dict[str, Any]] = {
    "a_dropped_message_takes_its_verdict_with_it": {
        "crashes": 3,
        "cuts": 3,
        "dropped": 0.5,
        "chain": 0.7,
        "messages": 36,
        "none_subjects": 0,
        "dependencies_max": 64,
    },
    "counts_what_is_given_up_as_settled": {"gifts": 6, "cuts": 3, "chain": 0.7},
    "forgets_what_came_of_one_that_is_gone": {"leaves": 2, "crashes": 2, "chain": 0.7},
    "says_goodbye_while_something_is_unsettled": {"leaves": 2, "slow_links": 0.25, "chain": 0.7},
    "says_that_all_is_settled_everywhere_where_it_is_not": {"leaves": 2, "slow_links": 0.25, "chain": 0.7},
    "settles_what_is_given_up_out_of_turn": {"gifts": 12, "cuts": 3, "chain": 0.7},
    "takes_all_of_one_that_is_gone_for_settled": {"leaves": 2, "crashes": 3, "cuts": 3, "chain": 0.7},
    "waits_for_one_that_is_evicted": {"leaves": 2},
    "a_message_named_is_followed_without_what_it_follows": {"after": 0.3, "context_scope": 1.0},
    "an_own_message_named_is_not_followed_unless_it_is_remembered": {"after": 0.3, "context_scope": 1.0},
    "believes_a_past_behind_a_lost_frame": {"dependencies_max": 0, "lost": 0.05},
    "folds_dots_whose_link_is_closed": {"dependencies_max": 0, "late_links_ms": 150, "links_known_ms": 100},
    "believes_of_an_earlier_stamp_what_came_with_a_later_one": WITHOUT_CLOCKS,
    "forgets_what_came_before_a_loss": {"crashes": 3, "cuts": 3, "dependencies_max": 64, "messages": 36, "chain": 0.7},
    "knows_all_links_from_the_start": {
        "dependencies_max": 0,
        "crashes": 3,
        "late_links_ms": 150,
        "links_known_ms": 1500,
    },
    # A ring, through which tokens name what no stable number follows.
    "nobody_asks_on_about_garbage": {"links": 0.0, "nodes": 6, "tokens": 0.5, "garbage_after_ms": 60},
    "says_that_stamps_follow_what_came_after_them": WITHOUT_CLOCKS,
    "stays_exhaustive_whatever_it_handles": {"context_scope": 0.5, "messages": 36, "nodes": 5, "chain": 0.7},
    "takes_a_clock_entry_for_any_incarnation": {"dependencies_max": 0, "crashes": 3},
    "takes_the_contexts_of_a_sender_for_one": {**WITHOUT_CLOCKS, "context_scope": 0.5, "tokens": 0.1},
    "takes_messages_that_stand_each_for_itself_for_a_chain": {**WITHOUT_CLOCKS, "context_scope": 0.5},
    "takes_every_sender_for_exhaustive": {"context_scope": 0.5, "messages": 36, "nodes": 5, "chain": 0.7},
    "what_a_message_carries_for_others_is_not_remembered": {"after": 0.3, "context_scope": 1.0},
}
"""Rules that have something to do in one of some hundred or thousand runs only, and of which kind those are."""
KINDS = frozenset(
    {"order", "lost", "not at rest", "doubled", "held needlessly", "false alarm", "invented", "clock", "silent"}
)
"""What convicts: the judgements of the history by what handlers saw. Errors that the engine raises do not, nor its
invariants, nor (though it would be quicker) that a sender counts as settled what is not."""


@pytest.mark.simulation
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught_by_the_general_judge(name: str, say: Callable[[str], None]) -> None:
    with MUTANTS[name]():
        for seed in range(SEEDS_MAX):
            violations = Simulation(Plan.of(seed, **WHERE.get(name, {})), strict=False).run().violations
            found = [text for text in violations if text.partition(":")[0] in KINDS]
            if found:
                say(f"{name:50} caught by seed {seed:3}: {found[0][:90]}")
                return
    pytest.fail(f"{name} was not caught within {SEEDS_MAX} seeds")


def test_engine_without_a_mutant_is_acquitted_under_the_same_conditions() -> None:
    for seed in range(3):
        assert Simulation(Plan.of(seed), strict=False).run().violations == []


@pytest.mark.simulation
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", WHERE)
def test_engine_without_a_mutant_is_acquitted_where_rare_mutants_are_looked_for(name: str) -> None:
    for seed in range(ACQUITTED):
        assert Simulation(Plan.of(seed, **WHERE[name]), strict=False).run().violations == [], seed
