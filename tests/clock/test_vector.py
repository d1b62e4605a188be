"""The vector clock: its laws, against a twin that holds the causal past as a set of events."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from enum import IntEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal.clock import Relation, VectorClock
from causal.clock.vector import COUNT_MAX

NAMES = ("S1", "S2", "S3", "S4")
# Few names and small counts, so that all four relations are met often.
ENTRIES = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 3))
CLOCKS = ENTRIES.map(VectorClock)


def past_of(clock: VectorClock) -> set[tuple[str, int]]:
    """The slow twin: the events themselves, instead of their number."""
    return {(name, event) for name in NAMES for event in range(clock[name])}


def relation_of(mine: set[tuple[str, int]], theirs: set[tuple[str, int]]) -> Relation:
    if mine == theirs:
        return Relation.SAME
    if mine < theirs:
        return Relation.BEFORE
    return Relation.AFTER if mine > theirs else Relation.CONCURRENT


@given(CLOCKS, CLOCKS)
def test_compare_any_two_clocks_agrees_with_sets_of_events(a: VectorClock, b: VectorClock) -> None:
    assert a.compare(b) is relation_of(past_of(a), past_of(b))


@given(CLOCKS, CLOCKS)
def test_compare_the_other_way_round_is_the_reverse(a: VectorClock, b: VectorClock) -> None:
    reverse = {Relation.BEFORE: Relation.AFTER, Relation.AFTER: Relation.BEFORE}
    assert b.compare(a) is reverse.get(a.compare(b), a.compare(b))


@given(CLOCKS, CLOCKS)
def test_merge_any_two_clocks_is_the_union_of_their_events(a: VectorClock, b: VectorClock) -> None:
    assert past_of(a.merge(b)) == past_of(a) | past_of(b)


@given(CLOCKS, CLOCKS, CLOCKS)
def test_merge_in_any_grouping_gives_the_same(a: VectorClock, b: VectorClock, c: VectorClock) -> None:
    assert a.merge(b).merge(c) == a.merge(b.merge(c))


@given(CLOCKS, CLOCKS)
def test_merge_in_either_order_gives_the_same(a: VectorClock, b: VectorClock) -> None:
    assert a.merge(b) == b.merge(a)


@given(CLOCKS, CLOCKS)
def test_merge_again_changes_nothing(a: VectorClock, b: VectorClock) -> None:
    assert a.merge(a) == a
    assert a.merge(b).merge(b) == a.merge(b)


@given(CLOCKS, st.sampled_from(NAMES))
def test_advance_any_name_is_one_event_later_and_leaves_the_original(a: VectorClock, name: str) -> None:
    before = dict(a)
    later = a.advance(name)
    assert later.compare(a) is Relation.AFTER
    assert past_of(later) - past_of(a) == {(name, a[name])}
    assert dict(a) == before


@given(ENTRIES)
def test_a9_absent_entry_equals_an_entry_of_zero(entries: dict[str, int]) -> None:
    full = VectorClock({name: entries.get(name, 0) for name in NAMES})
    sparse = VectorClock({name: count for name, count in entries.items() if count})
    assert full == sparse
    assert hash(full) == hash(sparse)
    assert full.compare(sparse) is Relation.SAME
    assert set(full) == {name for name in NAMES if entries.get(name)}


def test_a9_absent_entry_reads_as_zero_everywhere() -> None:
    clock = VectorClock({"S1": 1, "S2": 0})
    assert clock["S2"] == clock["S9"] == clock.get("S9", 7) == 0
    assert "S1" in clock
    assert "S2" not in clock
    assert len(clock) == 1
    assert list(clock.items()) == [("S1", 1)]


def test_vector_clock_of_the_three_services_reads_as_in_the_design() -> None:
    a = VectorClock().advance("S1")
    b = a.advance("S2")
    c = b.advance("S3")
    assert [str(clock) for clock in (a, b, c)] == ["{S1:1}", "{S1:1, S2:1}", "{S1:1, S2:1, S3:1}"]
    assert repr(b) == "VectorClock({'S1': 1, 'S2': 1})"
    assert c == {"S1": 1, "S2": 1, "S3": 1}
    assert [a.compare(c), c.compare(a), b.compare(b)] == [Relation.BEFORE, Relation.AFTER, Relation.SAME]
    assert a.compare(VectorClock({"S2": 1})) is Relation.CONCURRENT


@given(CLOCKS, CLOCKS)
def test_merge_leaves_both_clocks_as_they_were(a: VectorClock, b: VectorClock) -> None:
    before = dict(a), dict(b)
    a.merge(b)
    assert (dict(a), dict(b)) == before


def test_vector_clock_changed_source_keeps_its_value() -> None:
    entries = {"S1": 1}
    clock = VectorClock(entries)
    entries["S1"] = 5
    assert clock["S1"] == 1


def test_vector_clock_copied_and_pickled_is_equal() -> None:
    clock = VectorClock({"S1": 1})
    assert copy.deepcopy(clock) == clock
    assert pickle.loads(pickle.dumps(clock)) == clock


def test_vector_clock_written_to_refuses() -> None:
    clock = VectorClock({"S1": 1})
    with pytest.raises(TypeError):
        clock["S1"] = 2  # type: ignore[index]
    with pytest.raises(AttributeError):
        clock.extra = 1  # type: ignore[attr-defined]


def test_vector_clock_sorted_refuses_to_invent_an_order() -> None:
    with pytest.raises(TypeError):
        sorted([VectorClock({"S1": 1}), VectorClock({"S2": 1})])  # type: ignore[type-var]


class Small(IntEnum):
    ONE = 1


@pytest.mark.parametrize("count", [True, False, 1.0, float("nan"), float("inf"), "1", None, Small.ONE])
def test_e9_count_that_is_no_integer_is_refused(count: object) -> None:
    with pytest.raises(TypeError, match="count of 'S1'"):
        VectorClock({"S1": count})  # type: ignore[dict-item]


@pytest.mark.parametrize("count", [-1, COUNT_MAX + 1, 2**64])
def test_e9_count_out_of_range_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="count of 'S1'"):
        VectorClock({"S1": count})


def test_e9_count_at_its_maximum_is_taken_and_never_passed() -> None:
    clock = VectorClock({"S1": COUNT_MAX - 1}).advance("S1")
    assert clock["S1"] == COUNT_MAX
    with pytest.raises(ValueError, match="count of 'S1'"):
        clock.advance("S1")


@pytest.mark.parametrize("name", [1, None, b"S1", ("S1",)])
def test_vector_clock_name_that_is_no_text_is_refused(name: object) -> None:
    with pytest.raises(TypeError, match="name of a vector clock's entry"):
        VectorClock({name: 1})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="name of a vector clock's entry"):
        VectorClock().advance(name)  # type: ignore[arg-type]


@pytest.mark.parametrize("operation", [VectorClock.merge, VectorClock.compare])
def test_vector_clock_with_a_plain_mapping_is_refused(
    operation: Callable[[VectorClock, object], object],
) -> None:
    with pytest.raises(TypeError, match="with a VectorClock, not with"):
        operation(VectorClock(), {"S1": 1})
