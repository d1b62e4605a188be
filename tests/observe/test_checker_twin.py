"""The checker agrees with its slow twin on random histories, right and wrong ones."""

from __future__ import annotations

from itertools import pairwise

import pytest

from causal.observe.checker import check
from causal.observe.report import Report, Spread
from tests.observe.histories import Generator
from tests.observe.twin import Judgement, Twin

pytestmark = pytest.mark.simulation

SEEDS = 60
ALL = 10_000
CONCURRENCY = 2


def judged_by_both(
    seed: int, trust: float, *, declared: bool = False, context: bool = False
) -> tuple[Report, Judgement, Twin]:
    events = Generator(seed, trust=trust, context=context).events
    twin = Twin(events)
    report = check(events, declared=declared, concurrency=CONCURRENCY, show=ALL)
    return report, twin.judge(declared=declared, concurrency=CONCURRENCY), twin


@pytest.mark.parametrize("declared", [False, True], ids=["all", "declared"])
@pytest.mark.parametrize("trust", [1.0, 0.9, 0.5])
@pytest.mark.parametrize("context", [False, True], ids=["process", "context"])
def test_checker_random_histories_agrees_with_its_slow_twin(trust: float, declared: bool, context: bool) -> None:
    seen = Counts()
    for seed in range(SEEDS):
        report, judgement, _ = judged_by_both(seed, trust, declared=declared, context=context)
        where = f"seed {seed}, trust {trust}, declared {declared}"
        found = {(each.node, each.incarnation, each.earlier, each.later) for each in report.violations}
        assert found == judgement.violations, where
        assert report.violation_count == len(judgement.violations), where
        excused = {(each.node, each.incarnation, each.earlier, each.later) for each in report.excused}
        assert excused == judgement.excused, where
        assert report.excused_count == len(judgement.excused), where
        late = {(node, incarnation, later) for node, incarnation, _, later in judgement.excused}
        assert report.excused_deliveries == len(late), where
        assert report.doubled_count == len(judgement.doubled), where
        assert report.misdelivered_count == len(judgement.misdelivered), where
        assert {(each.id, each.node) for each in report.unsettled} == judgement.unsettled, where
        assert report.held == Spread.of(judgement.held_ns), where
        assert report.beyond_ready == Spread.of(judgement.beyond_ready_ns), where
        seen.add(judgement)
    seen.require(broken=trust < 1.0)


class Counts:
    """How often each finding occurred: a comparison of empty sets would prove nothing."""

    def __init__(self) -> None:
        self.found: dict[str, int] = {}

    def add(self, judgement: Judgement) -> None:
        for name in Judgement.__dataclass_fields__:
            self.found[name] = self.found.get(name, 0) + len(getattr(judgement, name))

    def require(self, *, broken: bool) -> None:
        wrong = {"violations", "doubled", "misdelivered"}
        if broken:
            assert min(self.found.values()) > 0, self.found
        else:
            assert {name: self.found[name] for name in wrong} == dict.fromkeys(wrong, 0)
            assert min(count for name, count in self.found.items() if name not in wrong) > 0, self.found


def test_violation_path_random_histories_is_the_shortest_and_real() -> None:
    paths = 0
    for seed in range(SEEDS):
        report, _, twin = judged_by_both(seed, 0.5)
        for violation in report.violations:
            path = violation.path
            assert (path[0].event, path[0].id) == ("send", violation.earlier)
            assert (path[-1].event, path[-1].id) == ("send", violation.later)
            assert len(path) - 1 == twin.follows[violation.earlier][violation.later], f"seed {seed}"
            for step, following in pairwise(path):
                places = [
                    next(
                        index
                        for index, event in enumerate(twin.events)
                        if (event.event, event.id, event.node) == (each.event, each.id, each.node)
                    )
                    for each in (step, following)
                ]
                assert places[0] < places[1]
                assert step.id == following.id or step.node == following.node
            paths += 1
    assert paths > 100


def test_violation_path_in_context_scope_is_real() -> None:
    paths = 0
    for seed in range(SEEDS):
        report, _, twin = judged_by_both(seed, 0.5, context=True)
        for violation in report.violations:
            path = violation.path
            assert (path[0].event, path[0].id) == ("send", violation.earlier), f"seed {seed}"
            assert (path[-1].event, path[-1].id) == ("send", violation.later)
            for step, following in pairwise(path):
                if following.event == "deliver":
                    assert step.id == following.id
                else:
                    assert following.id in twin.follows[step.id]
            paths += 1
    assert paths > 100


def test_checker_events_grouped_by_process_says_the_same_as_mixed() -> None:
    for seed in range(20):
        events = Generator(seed, trust=0.7).events
        grouped = sorted(events, key=lambda event: (event.node, -event.incarnation))
        mixed, apart = check(events, show=ALL).to_dict(), check(grouped, show=ALL).to_dict()
        for report in (mixed, apart):
            for examples in report["examples"].values():
                examples.sort(key=str)
        assert mixed == apart, f"seed {seed}"
