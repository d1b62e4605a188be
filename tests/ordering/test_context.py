"""The causal context: its laws, and that what stamps share is never mutated."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from causal.ordering import NodeId
from causal.ordering.context import CausalContext, joined
from causal.ordering.stamp import Seqs, without_seqs
from tests.ordering.links import Net, snapshot

ORIGINS = [NodeId(name, incarnation) for name in ("S1", "S2") for incarnation in (1, 2)]
dots = st.dictionaries(st.sampled_from(ORIGINS), st.integers(1, 5), max_size=4)
pendings = st.dictionaries(st.sampled_from(["A", "B"]), dots, max_size=2)


def nothing(destination: str, origin: NodeId, seq: int) -> bool:
    return False


def context_of(*several: dict[str, dict[NodeId, int]]) -> CausalContext:
    context = CausalContext()
    for pending in several:
        context.merge(pending, nothing, 7)
    return context


@given(several=st.lists(pendings, max_size=4), order=st.randoms(use_true_random=False))
def test_merge_gives_the_same_in_any_order_and_any_number_of_times(
    several: list[dict[str, dict[NodeId, int]]], order: object
) -> None:
    shuffled = [*several, *several]
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert context_of(*several).pending == context_of(*shuffled).pending


@given(several=st.lists(pendings, min_size=1, max_size=4))
def test_merge_keeps_the_highest_seq_of_each_origin_as_a_set_of_chains_would(
    several: list[dict[str, dict[NodeId, int]]],
) -> None:
    expected: dict[str, dict[NodeId, int]] = {}
    for pending in several:
        for destination, some in pending.items():
            for origin, seq in some.items():
                mine = expected.setdefault(destination, {})
                mine[origin] = max(mine.get(origin, 0), seq)
    assert context_of(*several).pending == expected


@given(one=pendings, other=pendings)
def test_merge_mutates_neither_what_it_takes_in_nor_what_it_has_given_out(
    one: dict[str, dict[NodeId, int]], other: dict[str, dict[NodeId, int]]
) -> None:
    context = context_of(one)
    given_out = dict(context.pending)
    before = snapshot([one, other, given_out])
    context.merge(other, nothing, 7)
    context.prune(lambda destination, origin, seq: seq % 2 == 0)
    context.follow(["A"], ORIGINS[0], 9, 8)
    context.forget("A", ORIGINS[0], 9)
    assert snapshot([one, other, given_out]) == before


@given(one=dots, other=dots)
def test_joined_is_the_first_itself_where_the_second_adds_nothing(
    one: dict[NodeId, int], other: dict[NodeId, int]
) -> None:
    both = joined(one, other)
    assert (both is one) == all(one.get(origin, 0) >= seq for origin, seq in other.items())
    assert joined(both, one) is both
    assert joined(both, other) is both


def test_merge_leaves_out_what_is_known_to_be_settled() -> None:
    context = CausalContext()
    pending = {"A": {ORIGINS[0]: 1, ORIGINS[2]: 2}, "B": {ORIGINS[0]: 1}}
    context.merge(pending, lambda destination, origin, seq: origin == ORIGINS[0], 7)
    assert context.pending == {"A": {ORIGINS[2]: 2}}


def test_send_stands_for_all_that_was_pending_at_its_destinations() -> None:
    context = context_of({"A": {ORIGINS[0]: 1}, "B": {ORIGINS[1]: 2}, "C": {ORIGINS[2]: 3}})
    context.follow(["A", "B"], ORIGINS[3], 7, 8)
    assert context.pending == {"A": {ORIGINS[3]: 7}, "B": {ORIGINS[3]: 7}, "C": {ORIGINS[2]: 3}}


def test_prune_forgets_what_is_settled_and_destinations_without_dots() -> None:
    context = context_of({"A": {ORIGINS[0]: 1, ORIGINS[2]: 2}, "B": {ORIGINS[0]: 1}, "C": {ORIGINS[2]: 1}})
    context.prune(lambda destination, origin, seq: origin == ORIGINS[0])
    assert context.pending == {"A": {ORIGINS[2]: 2}, "C": {ORIGINS[2]: 1}}


def test_prune_that_forgets_nothing_keeps_the_mappings_that_stamps_share() -> None:
    context = context_of({"A": {ORIGINS[0]: 1}})
    shared = context.pending["A"]
    context.prune(nothing)
    assert context.pending["A"] is shared


def test_destination_that_reports_a_dot_takes_away_that_one_and_earlier_ones_only() -> None:
    context = context_of({"A": {ORIGINS[0]: 5, ORIGINS[2]: 5}, "B": {ORIGINS[0]: 5}})
    context.forget("A", ORIGINS[0], 4)
    context.forget("A", ORIGINS[1], 9)
    context.forget("C", ORIGINS[0], 9)
    assert context.pending == {"A": {ORIGINS[0]: 5, ORIGINS[2]: 5}, "B": {ORIGINS[0]: 5}}
    context.forget("A", ORIGINS[0], 5)
    assert context.pending == {"A": {ORIGINS[2]: 5}, "B": {ORIGINS[0]: 5}}


def test_dots_that_stand_each_for_themselves_are_joined_and_forgotten_one_by_one() -> None:
    one, other = {ORIGINS[0]: frozenset({3, 5})}, {ORIGINS[0]: frozenset({5, 9}), ORIGINS[2]: frozenset({1})}
    context = CausalContext()
    context.merge({"A": one}, nothing, 7)
    context.merge({"A": other}, lambda destination, origin, seq: seq == 9, 7)
    assert context.pending == {"A": {ORIGINS[0]: frozenset({3, 5}), ORIGINS[2]: frozenset({1})}}
    context.forget("A", ORIGINS[0], 4)
    assert context.pending["A"][ORIGINS[0]] == frozenset({3, 5})
    context.forget("A", ORIGINS[0], 5)
    assert context.pending["A"] == {ORIGINS[0]: frozenset({3}), ORIGINS[2]: frozenset({1})}
    context.add("A", ORIGINS[0], frozenset({7}), 9)
    context.prune(lambda destination, origin, seq: seq != 7)
    assert context.pending == {"A": {ORIGINS[0]: frozenset({7})}}
    context.forget("A", ORIGINS[0], 7)
    assert context.pending == {}


def test_joined_keeps_every_dot_of_an_origin_that_is_called_chained_and_not() -> None:
    chained, single = {ORIGINS[0]: 5}, {ORIGINS[0]: frozenset({3})}
    assert joined(chained, single) == joined(single, chained) == {ORIGINS[0]: frozenset({3, 5})}
    assert joined(single, {ORIGINS[0]: frozenset({3})}) is single


def test_stamp_taken_before_later_sends_and_deliveries_keeps_its_values() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    s1.send("S2", "S3")
    s1.send("S3")
    s1.send("S2")
    stamps = [copy.stamp for link in s1.engine.outbound.values() for copy in link.outbox.values()]
    before = snapshot(stamps)
    net.carry("S1", "S2")
    s2.handle_all()
    s2.send("S1")
    net.carry("S2", "S1")
    s1.handle_all()
    s1.send("S2", "S3", "S1")
    net.settle()
    assert snapshot(stamps) == before
    assert len(s3.handled) == 3


# -- folding ---------------------------------------------------------------------------------------------------

A, B, C = ORIGINS[0], ORIGINS[1], ORIGINS[2]


def everything(destination: str, origin: NodeId) -> bool:
    return True


def aged(*entries: tuple[str, NodeId, Seqs, int]) -> CausalContext:
    """A context that was told of these, each at its own time."""
    context = CausalContext()
    for destination, origin, seqs, timestamp in entries:
        context.merge({destination: {origin: seqs}}, nothing, timestamp)
    return context


def test_fold_takes_the_oldest_dots_and_the_horizon_reaches_the_latest_of_them() -> None:
    context = aged(("D", A, 1, 30), ("D", B, 1, 10), ("E", A, 1, 20))
    assert context.fold(2, everything) == 2
    assert (context.pending, context.horizon) == ({"D": {A: 1}}, 20)
    assert context.fold(0, everything) == 0
    assert context.fold(9, everything) == 1
    assert (context.pending, context.ages, context.horizon) == ({}, {}, 30)


def test_fold_leaves_closed_dots_and_those_that_may_not_be_folded() -> None:
    context = aged(("D", A, 1, 10), ("E", A, 1, 11))
    context.merge({"D": {B: frozenset({1, 2})}, "E": {B: 4}}, nothing, 12, {"D": {B: frozenset({2})}, "E": {B: 4}})
    assert context.fold(9, lambda destination, origin: origin != A) == 1
    assert context.pending == {"D": {A: 1, B: frozenset({2})}, "E": {A: 1, B: 4}}
    assert (context.closed, context.horizon) == ({"D": {B: frozenset({2})}, "E": {B: 4}}, 12)
    assert context.fold(1, everything) == 1, "what is closed is passed over, and no more is folded than asked for"
    assert context.pending == {"D": {B: frozenset({2})}, "E": {A: 1, B: 4}}


def test_fold_of_a_set_of_dots_takes_all_of_them_at_the_age_of_the_latest() -> None:
    context = aged(("D", A, frozenset({1}), 10), ("D", A, frozenset({2}), 30), ("D", B, 1, 20))
    assert context.fold(2, everything) == 3
    assert context.horizon == 30


def test_age_of_a_dot_is_the_earliest_time_of_whoever_told_of_it() -> None:
    context = aged(("D", A, 1, 30), ("D", A, 1, 20), ("D", A, 1, 40))
    assert context.ages == {"D": {A: 20}}
    context.merge({"D": {A: 2}}, nothing, 25)
    assert context.ages == {"D": {A: 25}}, "a later one of the chain"
    context.merge({"D": {A: 1}}, nothing, 5)
    assert context.ages == {"D": {A: 25}}, "an older one says nothing of that"
    context.merge({"D": {A: 2, B: 1}}, nothing, 22)
    assert context.ages == {"D": {A: 22, B: 22}}, "told of by an older message as well"


closed_seqs = st.one_of(st.integers(1, 3), st.frozensets(st.integers(1, 3), min_size=1))


def dots_in(seqs: Seqs | None) -> set[int]:
    return set() if seqs is None else {seqs} if isinstance(seqs, int) else set(seqs)


@given(
    told=st.lists(
        st.tuples(st.frozensets(st.integers(1, 4), min_size=1), st.frozensets(st.integers(1, 4))),
        min_size=1,
        max_size=4,
    )
)
def test_dot_is_closed_as_long_as_nobody_has_told_that_it_is_open(
    told: list[tuple[frozenset[int], frozenset[int]]],
) -> None:
    context, opened, listed = CausalContext(), set[int](), set[int]()
    for seqs, shut in told:
        shut &= seqs
        context.merge({"D": {A: seqs}}, nothing, 1, {"D": {A: shut}} if shut else {})
        opened |= seqs - shut
        listed |= seqs
    assert dots_in(context.pending["D"][A]) == listed
    assert dots_in(context.closed.get("D", {}).get(A)) == listed - opened


@given(told=st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=1, max_size=5))
def test_chained_dot_is_closed_as_long_as_nobody_has_told_that_it_is_open(told: list[tuple[int, bool]]) -> None:
    context = CausalContext()
    for seq, shut in told:
        context.merge({"D": {A: seq}}, nothing, 1, {"D": {A: seq}} if shut else {})
    highest = max(seq for seq, _ in told)
    closed = all(shut for seq, shut in told if seq == highest)
    assert context.pending == {"D": {A: highest}}
    assert context.closed == ({"D": {A: highest}} if closed else {})


def test_closed_dots_go_with_those_that_are_settled_forgotten_or_carried_by_a_later_message() -> None:
    context = CausalContext()
    several: dict[str, dict[NodeId, Seqs]] = {to: {A: 1, B: frozenset({1, 2})} for to in ("D", "E", "F")}
    context.merge(several, nothing, 1, several)
    context.prune(lambda destination, origin, seq: destination == "D" and seq == 1)
    context.forget("E", B, 2)
    context.follow(["F"], C, 1, 2)
    assert context.closed == {"D": {B: frozenset({2})}, "E": {A: 1, B: frozenset({1})}}
    context.prune(lambda destination, origin, seq: True)
    assert (context.closed, context.pending, context.ages) == ({}, {}, {})


def test_lost_dots_are_replaced_by_the_horizon_and_settled_ones_are_not() -> None:
    context = aged(("D", A, 1, 10), ("D", B, frozenset({1, 2}), 20), ("E", A, 1, 30))
    context.prune(lambda destination, origin, seq: destination == "D" and seq == 1, lambda *_: False)
    assert context.horizon == 0
    context.prune(lambda destination, origin, seq: destination == "D", lambda *_: True)
    assert (context.pending, context.horizon) == ({"E": {A: 1}}, 20)
    context.forget("E", A, 1, lost=True)
    assert (context.pending, context.horizon) == ({}, 30)
    context.merge({"E": {A: 1, B: 2}}, lambda destination, origin, seq: origin == A, 50, {}, lambda *_: True)
    assert (context.pending, context.horizon) == ({"E": {B: 2}}, 50)


@given(one=closed_seqs, other=st.none() | closed_seqs)
def test_without_seqs_takes_the_same_dots_away(one: Seqs, other: Seqs | None) -> None:
    assert dots_in(without_seqs(one, other)) == dots_in(one) - dots_in(other)
