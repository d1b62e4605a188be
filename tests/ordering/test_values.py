"""The plain values: dots, verdicts, limits, reports of stable numbers, sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal.errors import ConfigurationError
from causal.ordering import Dot, EngineConfig, NodeId, Verdict, VerdictKind
from causal.ordering.stamp import Dots, dots_of, listed, size_of
from causal.ordering.verdict import ORDERED, UNORDERED

names = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(name=names, incarnation=st.integers(0, 2**53), seq=st.integers(1, 2**53))
def test_dot_written_and_parsed_is_itself(name: str, incarnation: int, seq: int) -> None:
    dot = Dot(name, incarnation, seq)
    assert Dot.parse(str(dot)) == dot


def test_dot_reads_as_name_incarnation_and_seq() -> None:
    assert str(Dot("S1", 17, 4)) == "S1/17/4"
    assert Dot("S1", 17, 4).origin == NodeId("S1", 17)
    assert str(NodeId("S1", 17)) == "S1/17"


@pytest.mark.parametrize("text", ["", "S1", "S1/4", "S1/x/4", "S1/1/", "S1/1/y"])
def test_dot_of_another_form_is_not_parsed(text: str) -> None:
    with pytest.raises(ValueError):
        Dot.parse(text)


def test_dots_sort_by_origin_and_then_by_seq() -> None:
    dots = [Dot("b", 1, 1), Dot("a", 2, 1), Dot("a", 1, 10), Dot("a", 1, 9)]
    assert sorted(dots) == [Dot("a", 1, 9), Dot("a", 1, 10), Dot("a", 2, 1), Dot("b", 1, 1)]


def test_dots_of_a_set_are_named_one_by_one() -> None:
    dots = {NodeId("S1", 1): 4, NodeId("S2", 9): 1}
    assert list(dots_of(dots)) == [Dot("S1", 1, 4), Dot("S2", 9, 1)]
    assert size_of({"S3": dots, "S4": {NodeId("S1", 1): 5}}) == 3
    assert size_of({}) == 0
    single: Dots = {NodeId("S1", 1): frozenset({9, 4}), NodeId("S2", 9): 1}
    assert listed(single) == ((NodeId("S1", 1), 4), (NodeId("S1", 1), 9), (NodeId("S2", 9), 1))
    assert list(dots_of(single)) == [Dot("S1", 1, 4), Dot("S1", 1, 9), Dot("S2", 9, 1)]
    assert size_of({"S3": single, "S4": {}}) == 3


def test_verdict_inside_the_guarantee_is_the_only_one_that_is_ordered() -> None:
    lost = Verdict(VerdictKind.LOST, (Dot("S1", 1, 3),))
    assert [verdict.ordered for verdict in (ORDERED, UNORDERED, lost)] == [True, False, False]


def test_verdict_says_what_can_never_come() -> None:
    assert str(ORDERED) == "ordered"
    assert str(UNORDERED) == "unordered"
    lost = Verdict(VerdictKind.LOST, (Dot("S1", 1, 3), Dot("S2", 1, 1)))
    assert str(lost) == "lost (S1/1/3, S2/1/1 can never come)"


LIMITS = [name for name in EngineConfig.__slots__ if name != "scope"]


@pytest.mark.parametrize("name", LIMITS)
def test_limit_that_is_not_a_whole_number_is_refused(name: str) -> None:
    for value in (-1, 1.5, True, "1", None, float("nan")):
        with pytest.raises(ConfigurationError, match=f"{name} must be a whole number"):
            EngineConfig(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", LIMITS)
def test_limit_of_zero_is_refused_where_nothing_could_move(name: str) -> None:
    if name in ("clock_entries_max", "dependencies_max", "drift_max_ms", "heard_max", "links_known_after_ms"):
        assert getattr(EngineConfig(**{name: 0}), name) == 0  # type: ignore[arg-type]
    else:
        with pytest.raises(ConfigurationError, match=name):
            EngineConfig(**{name: 0})  # type: ignore[arg-type]
