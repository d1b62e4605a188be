"""The oracle of the random workload on histories written by hand: it must be able to say no."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.workload.judge import Life, Pair, Place, Step, judge, lives_of_trace, quantile
from tests.integration.workload.plan import Plan

A, B, C = "S1/10/1", "S1/10/2", "S2/20/1"
MS = 1_000_000


def triangle(*at_s3: Step) -> list[Life]:
    """S1 sends A to S3 and B to S2; S2 handles B and sends C to S3: A → B → C."""
    return [
        Life("S1", 10, [Step(1 * MS, "send", A, ("S3",)), Step(2 * MS, "send", B, ("S2",))]),
        Life(
            "S2",
            20,
            [
                Step(3 * MS, "receive", B),
                Step(3 * MS, "start", B),
                Step(4 * MS, "send", C, ("S3",)),
                Step(5 * MS, "end", B),
            ],
        ),
        Life("S3", 30, list(at_s3)),
    ]


def handled(id_: str, receive: int, start: int, end: int) -> list[Step]:
    return [Step(receive * MS, "receive", id_), Step(start * MS, "start", id_), Step(end * MS, "end", id_)]


def test_judge_of_a_held_effect_measures_its_wait_and_finds_nothing() -> None:
    c_received, c_started, c_ended = handled(C, 10, 32, 33)
    findings = judge(triangle(c_received, *handled(A, 20, 21, 30), c_started, c_ended))
    assert findings.failures == {}
    assert (findings.messages, findings.copies, findings.starts) == (3, 3, 3)
    assert findings.held_ms == [22.0]
    assert sorted(findings.beyond_ready_ms) == [0.0, 1.0, 2.0]
    assert findings.running_max == 1


def test_judge_of_an_effect_before_its_cause_names_both() -> None:
    findings = judge(triangle(*handled(C, 10, 11, 12), *handled(A, 20, 21, 30)))
    assert findings.violations == [Pair("S3", A, C)]


def test_judge_of_an_effect_while_its_cause_is_still_handled_names_both() -> None:
    a_received, a_started, a_ended = handled(A, 8, 9, 30)
    findings = judge(triangle(a_received, a_started, *handled(C, 10, 11, 12), a_ended))
    assert findings.violations == [Pair("S3", A, C)]


def test_judge_of_a_message_without_its_delivery_calls_it_lost() -> None:
    findings = judge(triangle(*handled(A, 20, 21, 30)))
    assert findings.lost == [Place(C, "S3")]


def test_judge_of_a_message_started_again_after_its_end_calls_it_doubled() -> None:
    findings = judge(triangle(*handled(A, 20, 21, 30), Step(31 * MS, "start", A)))
    assert findings.doubled == [Place(A, "S3/30")]


def test_judge_of_a_message_at_a_node_it_is_not_for_says_so() -> None:
    findings = judge(triangle(*handled(B, 20, 21, 30), *handled(A, 31, 31, 31)))
    assert findings.misdelivered == [Place(B, "S3")]


def test_judge_of_a_verdict_excuses_what_it_names_if_its_sender_is_gone() -> None:
    received, _, ended = handled(C, 10, 11, 12)
    lives = triangle(received, Step(11 * MS, "start", C, missing=(A,)), ended)
    alive = judge(lives)
    assert (alive.violations, alive.excused) == ([], [Pair("S3", A, C)])
    assert alive.false_verdicts == [Place(A, "S3/30")]
    assert alive.lost == [Place(A, "S3")]
    gone = judge([*lives, Life("S1", 11, [Step(50 * MS, "send", "S1/11/1", ("S1",)), *handled("S1/11/1", 51, 51, 51)])])
    assert gone.failures == {}
    assert gone.perished == [Place(A, "S3")]
    assert gone.named == {"S3/30": [A]}


def test_judge_of_an_excuse_that_explains_nothing_says_so() -> None:
    """S1 sends A to S3, tells S2 of it (B), sends L to S3, and dies: L stands for A at S1, but not at S2."""
    lost = "S1/10/3"
    lives = triangle(*handled("S2/20/2", 9, 9, 9))
    lives[0].steps.append(Step(3 * MS, "send", lost, ("S3",)))
    lives[1].steps.insert(0, Step(1 * MS, "send", "S2/20/2", ("S3",)))
    lives[2].steps += [Step(10 * MS, "receive", C), Step(11 * MS, "start", C, missing=(lost,)), Step(12 * MS, "end", C)]
    lives.append(Life("S1", 11, [Step(50 * MS, "send", "S1/11/1", ("S1",)), *handled("S1/11/1", 51, 51, 51)]))
    assert judge(lives).unexplained == []  # A came before L on the link and never settled: named with it
    late = [Life(life.node, life.incarnation, list(life.steps)) for life in lives]
    late[2].steps += handled(A, 20, 21, 22)
    assert judge(late).excused == judge(late).unexplained == [Pair("S3", A, C)]


def test_judge_of_a_message_of_the_gone_that_came_calls_it_lost_if_it_never_settles() -> None:
    lives = triangle(Step(20 * MS, "receive", A), *handled(C, 21, 22, 23))
    later = Life("S1", 11, [Step(50 * MS, "send", "S1/11/1", ("S1",)), *handled("S1/11/1", 51, 51, 51)])
    assert judge([*lives, later]).lost == [Place(A, "S3")]


def test_trace_torn_by_a_kill_is_read_without_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "S1.jsonl"
    path.write_text(
        '{"at":1,"node":"S1","incarnation":10,"event":"send","id":"S1/10/1","to":["S2"],"subject":"x"}\n{"at":2,"no'
    )
    assert lives_of_trace("S1", path) == [Life("S1", 10, [Step(1, "send", "S1/10/1", ("S2",))])]


@pytest.mark.parametrize(("share", "value"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0)])
def test_quantile_of_a_hundred_values_is_the_one_that_share_does_not_exceed(share: float, value: float) -> None:
    assert quantile([float(number) for number in range(100, 0, -1)], share) == value


def test_plan_of_a_seed_is_the_same_every_time_and_has_every_shape_of_send() -> None:
    plan = Plan(seed=3, seconds=20.0, rate=4.0)
    expected = plan.expected()
    assert expected == Plan(seed=3, seconds=20.0, rate=4.0).expected()
    assert expected != Plan(seed=4, seconds=20.0, rate=4.0).expected()
    assert plan.cuts() == Plan(seed=3, seconds=20.0, rate=4.0).cuts() != []
    assert any(len(to) > 1 for _, to in expected.values())
    assert any(to == (sender,) for sender, to in expected.values())
    assert max(cable.high_ms for cable in plan.cables()) == 300.0
