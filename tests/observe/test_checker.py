"""Each way to break the guarantee is refuted, each thing that is no break is not."""

from __future__ import annotations

import time

import pytest

from causal.observe.checker import check
from causal.observe.event import TraceError
from causal.observe.report import Report
from tests.observe.chronicle import Chronicle, triangle


def pairs(report: Report) -> list[tuple[str, str, str]]:
    return [(each.node, each.earlier, each.later) for each in report.violations]


def test_a1_triangle_in_causal_order_is_proved() -> None:
    report = check(triangle().handle("S3", "S1/1/1").handle("S3", "S2/1/1").events)
    assert report.proved
    assert (report.messages, report.copies, report.deliveries) == (2, 3, 3)


def test_a1_triangle_later_delivered_first_is_refuted_with_its_path() -> None:
    report = check(triangle().handle("S3", "S2/1/1").handle("S3", "S1/1/1").events)
    assert not report.proved
    assert pairs(report) == [("S3", "S1/1/1", "S2/1/1")]
    (violation,) = report.violations
    assert violation.earlier_was == "not received"
    steps = [(step.event, step.node, step.id) for step in violation.path]
    assert steps == [("send", "S1", "S1/1/1"), ("deliver", "S2", "S1/1/1"), ("send", "S2", "S2/1/1")]


def test_a17_handler_started_before_predecessor_settled_is_refuted() -> None:
    told = triangle().receive("S3", "S1/1/1").deliver("S3", "S1/1/1").handle("S3", "S2/1/1")
    report = check(told.settle("S3", "S1/1/1").events)
    assert pairs(report) == [("S3", "S1/1/1", "S2/1/1")]
    assert report.violations[0].earlier_was == "running"


def test_violation_earlier_received_and_waiting_says_not_started() -> None:
    report = check(triangle().receive("S3", "S1/1/1").handle("S3", "S2/1/1").events)
    assert report.violations[0].earlier_was == "not started"


def test_check_messages_of_one_sender_out_of_order_is_refuted() -> None:
    told = Chronicle().send("S1/1/1", "S2").send("S1/1/2", "S2").handle("S2", "S1/1/2").handle("S2", "S1/1/1")
    (violation,) = check(told.events).violations
    assert [(step.event, step.id) for step in violation.path] == [("send", "S1/1/1"), ("send", "S1/1/2")]


def test_check_send_of_running_handler_follows_its_message() -> None:
    told = Chronicle().send("S1/1/1", "S2", "S3").receive("S2", "S1/1/1").deliver("S2", "S1/1/1")
    told.send("S2/1/1", "S2", cause="S1/1/1").receive("S2", "S2/1/1").deliver("S2", "S2/1/1")
    report = check(told.settle("S2", "S1/1/1").settle("S2", "S2/1/1").events)
    assert pairs(report) == [("S2", "S1/1/1", "S2/1/1")]


def test_a14_concurrent_messages_in_any_order_are_proved() -> None:
    told = Chronicle().send("S1/1/1", "S3").send("S2/1/1", "S3")
    assert check(told.handle("S3", "S2/1/1").handle("S3", "S1/1/1").events).proved


def test_a11_message_addressed_elsewhere_is_not_waited_for() -> None:
    told = Chronicle().send("S1/1/1", "S2").handle("S2", "S1/1/1").send("S2/1/1", "S3")
    assert check(told.handle("S3", "S2/1/1").events).proved


def test_check_received_but_not_delivered_brings_no_past() -> None:
    told = Chronicle().send("S1/1/1", "S2", "S3").receive("S2", "S1/1/1").send("S2/1/1", "S3")
    assert check(told.handle("S3", "S2/1/1").handle("S3", "S1/1/1").events).proved


def test_check_dropped_predecessor_counts_as_settled() -> None:
    told = triangle().receive("S3", "S1/1/1").tell("drop", "S3", "S1/1/1").handle("S3", "S2/1/1")
    report = check(told.events)
    assert report.proved
    assert report.dropped == 1


def test_check_dropped_message_brings_no_past() -> None:
    told = Chronicle().send("S1/1/1", "S2", "S3").tell("drop", "S2", "S1/1/1").send("S2/1/1", "S3")
    assert check(told.handle("S3", "S2/1/1").handle("S3", "S1/1/1").events).proved


def test_check_unordered_subject_counts_unless_declared() -> None:
    told = triangle().deliver("S3", "S2/1/1", ordering="none", verdict="unordered")
    told.settle("S3", "S2/1/1", ordering="none").handle("S3", "S1/1/1")
    assert check(told.events).violation_count == 1
    assert check(told.events, declared=True).proved


def test_check_unordered_predecessor_counts_unless_declared() -> None:
    told = triangle().handle("S3", "S2/1/1").deliver("S3", "S1/1/1", ordering="none")
    assert check(told.events).violation_count == 1
    assert check(told.events, declared=True).proved


def test_check_settled_twice_is_doubled() -> None:
    told = Chronicle().send("S1/1/1", "S2").handle("S2", "S1/1/1").settle("S2", "S1/1/1")
    report = check(told.events)
    assert not report.proved
    assert [(each.id, each.node) for each in report.doubled] == [("S1/1/1", "S2")]


def test_a2_delivered_again_after_settlement_is_doubled_once() -> None:
    told = Chronicle().send("S1/1/1", "S2").handle("S2", "S1/1/1")
    report = check(told.deliver("S2", "S1/1/1").settle("S2", "S1/1/1").events)
    assert report.doubled_count == 1
    assert report.deliveries == 1


def test_check_started_again_at_the_same_attempt_is_doubled() -> None:
    told = Chronicle().send("S1/1/1", "S2").receive("S2", "S1/1/1").deliver("S2", "S1/1/1")
    assert check(told.deliver("S2", "S1/1/1").settle("S2", "S1/1/1").events).doubled_count == 1


def test_a15_handler_retried_until_it_returns_is_one_delivery() -> None:
    told = Chronicle().send("S1/1/1", "S2").receive("S2", "S1/1/1").deliver("S2", "S1/1/1")
    told.deliver("S2", "S1/1/1", attempt=2).deliver("S2", "S1/1/1", attempt=3).settle("S2", "S1/1/1")
    report = check(told.events)
    assert report.proved
    assert (report.deliveries, report.retries) == (1, 2)


def test_check_delivered_to_another_node_is_refuted() -> None:
    report = check(Chronicle().send("S1/1/1", "S2").handle("S3", "S1/1/1").events)
    assert not report.proved
    assert [(each.id, each.node) for each in report.misdelivered] == [("S1/1/1", "S3")]


def test_check_restarted_node_delivers_again_is_no_double() -> None:
    told = Chronicle().send("S1/1/1", "S2").receive("S2", "S1/1/1").deliver("S2", "S1/1/1")
    report = check(told.handle("S2/2", "S1/1/1").events)
    assert report.proved
    assert (report.incarnations, report.unsettled_count) == (3, 0)


def test_check_settled_by_an_earlier_incarnation_is_settled() -> None:
    assert check(triangle().handle("S3", "S1/1/1").handle("S3/2", "S2/1/1").events).proved


def test_check_started_by_an_earlier_incarnation_is_not_settled() -> None:
    told = triangle().receive("S3", "S1/1/1").deliver("S3", "S1/1/1").handle("S3/2", "S2/1/1")
    assert check(told.events).violation_count == 1


def test_check_settled_by_a_later_incarnation_is_not_settled_for_an_earlier_one() -> None:
    told = triangle().handle("S3", "S2/1/1").handle("S3/2", "S1/1/1")
    assert check(told.events).violation_count == 1


def test_check_restarted_sender_has_an_empty_past() -> None:
    told = Chronicle().send("S1/1/1", "S2").send("S1/2/1", "S2")
    assert check(told.handle("S2", "S1/2/1").handle("S2", "S1/1/1").events).proved


def lost_in_the_middle() -> Chronicle:
    """S1/1/1 → S2/1/1 → S4/1/1, all for S3; neither of the first two ever comes to S3."""
    return triangle().send("S2/1/2", "S4").handle("S4", "S2/1/2").send("S4/1/1", "S3")


def test_check_verdict_names_what_is_missing_excuses_it_and_its_past() -> None:
    told = lost_in_the_middle().receive("S3", "S4/1/1")
    report = check(told.deliver("S3", "S4/1/1", verdict="lost", missing=("S2/1/1",)).events)
    assert report.proved
    assert {(each.earlier, each.later) for each in report.excused} == {("S1/1/1", "S4/1/1"), ("S2/1/1", "S4/1/1")}
    assert (report.excused_count, report.excused_deliveries) == (2, 1)
    assert report.describe().endswith("causally precedes it, but for 2 pairs that a verdict excuses")


def test_check_verdict_names_another_message_excuses_nothing_after_it() -> None:
    told = lost_in_the_middle().deliver("S3", "S4/1/1", verdict="lost", missing=("S1/1/1",))
    report = check(told.events)
    assert pairs(report) == [("S3", "S2/1/1", "S4/1/1")]
    assert (report.excused_count, report.excused_deliveries, report.early_deliveries) == (1, 1, 1)


def test_check_verdict_after_the_delivery_excuses_nothing_before() -> None:
    told = lost_in_the_middle().handle("S3", "S4/1/1").send("S4/1/2", "S3")
    report = check(told.deliver("S3", "S4/1/2", verdict="lost", missing=("S2/1/1",)).events)
    assert report.violation_count == 2
    assert report.excused_count == 2


def test_check_verdict_at_another_node_excuses_nothing() -> None:
    told = triangle().deliver("S4", "S2/1/1", verdict="lost", missing=("S1/1/1",))
    assert check(told.handle("S3", "S2/1/1").events).violation_count == 1


def test_check_verdict_of_an_earlier_incarnation_excuses_later_ones() -> None:
    told = lost_in_the_middle().deliver("S3", "S4/1/1", verdict="lost", missing=("S2/1/1",))
    told.settle("S3", "S4/1/1").send("S4/1/2", "S3")
    report = check(told.handle("S3/2", "S4/1/2").events)
    assert report.proved
    assert "S4/1/2" in {each.later for each in report.excused}


def test_check_never_settled_is_counted_and_does_not_refute() -> None:
    report = check(Chronicle().send("S1/1/1", "S2", "S3").handle("S2", "S1/1/1").receive("S3", "S1/1/1").events)
    assert report.proved
    assert [(each.id, each.node) for each in report.unsettled] == [("S1/1/1", "S3")]


def test_check_destination_without_trace_is_named_in_a_warning() -> None:
    report = check(Chronicle().send("S1/1/1", "S2", "S3").handle("S2", "S1/1/1").events)
    assert report.unsettled_count == 0
    assert any("S3" in warning for warning in report.warnings)


def test_check_duplicates_are_counted_and_harmless() -> None:
    told = Chronicle().send("S1/1/1", "S2").handle("S2", "S1/1/1").tell("duplicate", "S2", "S1/1/1")
    report = check(told.events)
    assert report.proved
    assert report.duplicates == 1


def test_held_predecessor_settles_later_is_measured_from_receive_to_start() -> None:
    told = triangle().receive("S3", "S2/1/1", at=2_000).receive("S3", "S1/1/1", at=2_050)
    told.deliver("S3", "S1/1/1", at=2_051).settle("S3", "S1/1/1", at=2_060).deliver("S3", "S2/1/1", at=2_062)
    report = check(told.events)
    assert (report.held.count, report.held.median) == (1, 62.0)
    assert (report.beyond_ready.count, report.beyond_ready.maximum) == (3, 2.0)
    assert report.held_needlessly == 0


def test_held_ready_long_before_start_is_held_needlessly() -> None:
    told = triangle().receive("S3", "S2/1/1", at=2_000).handle("S3", "S1/1/1")
    report = check(told.deliver("S3", "S2/1/1", at=2_020).events)
    assert report.held_needlessly == 1
    assert report.beyond_ready.maximum == 17.0
    assert check(told.events, needless_ms=17).held_needlessly == 0


def test_held_while_all_handlers_are_busy_is_not_needless() -> None:
    told = Chronicle().send("S1/1/1", "S3").send("S2/1/1", "S3").receive("S3", "S1/1/1").deliver("S3", "S1/1/1")
    told.receive("S3", "S2/1/1").settle("S3", "S1/1/1", at=2_000).deliver("S3", "S2/1/1", at=2_001)
    assert check(told.events, concurrency=1).held_needlessly == 0
    assert check(told.events, concurrency=2).held_needlessly == 1


def test_held_unordered_delivery_is_neither_held_nor_needless() -> None:
    told = triangle().receive("S3", "S2/1/1", ordering="none").handle("S3", "S1/1/1")
    report = check(told.deliver("S3", "S2/1/1", at=5_000, ordering="none").events)
    assert report.held.count == report.held_needlessly == 0


def test_held_unordered_predecessor_is_not_waited_for() -> None:
    told = triangle().receive("S3", "S1/1/1", ordering="none").deliver("S3", "S1/1/1", ordering="none")
    report = check(told.handle("S3", "S2/1/1").events)
    assert report.held.count == 0
    assert report.beyond_ready.count == 2


def test_held_wall_clock_steps_back_is_never_negative() -> None:
    told = triangle().receive("S3", "S2/1/1", at=9_000).handle("S3", "S1/1/1", at=2_000)
    assert check(told.deliver("S3", "S2/1/1").events).held.maximum == 0


def test_check_wall_clocks_disagree_says_the_same() -> None:
    told = triangle().handle("S3", "S1/1/1", at=5).handle("S3", "S2/1/1")
    assert check(told.events).proved


def test_check_shows_one_pair_of_each_delivery_first() -> None:
    told = Chronicle()
    for seq in range(1, 5):
        told.send(f"S1/1/{seq}", "S2")
    for seq in (4, 3, 2, 1):
        told.handle("S2", f"S1/1/{seq}")
    report = check(told.events, show=3)
    assert (report.violation_count, report.early_deliveries) == (6, 3)
    assert [violation.later for violation in report.violations] == ["S1/1/4", "S1/1/3", "S1/1/2"]
    assert check(told.events, show=0).violations == ()


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (Chronicle().send("S1/1/1", "S2"), "no delivery"),
        (Chronicle(), "no delivery"),
        (Chronicle().handle("S2", "S1/1/1"), "add the trace of S1/1"),
        (Chronicle().send("S1/2/1", "S2").handle("S2", "S1/1/1"), "add the trace of S1/1"),
        (Chronicle().send("S1/1/1", "S2").handle("S2", "S1/1/2"), "never sent it"),
        (Chronicle().send("S1/1/1", "S2").send("S1/1/1", "S2"), "sent twice"),
        (Chronicle().send("S1/1/2", "S2").send("S1/1/1", "S2"), "not in program order"),
        (Chronicle().send("S1/1/1", "S2").settle("S2", "S1/1/1"), "never started"),
        (
            Chronicle().handle("S1", "S2/1/1").send("S1/1/1", "S2").handle("S2", "S1/1/1").send("S2/1/1", "S1"),
            "contradict",
        ),
        (Chronicle().handle("S1", "S1/1/1").send("S1/1/1", "S1"), "contradict"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_check_impossible_events_are_unusable_with_a_reason(told: Chronicle, reason: str) -> None:
    with pytest.raises(TraceError, match=reason):
        check(told.events)


def test_check_contradiction_names_only_those_in_the_cycle() -> None:
    told = Chronicle().handle("S1", "S2/1/1").send("S1/1/1", "S2").handle("S2", "S1/1/1").send("S2/1/1", "S1")
    told.handle("S3", "S1/1/1")
    with pytest.raises(TraceError) as caught:
        check(told.events)
    assert "S1/1 has S2/1/1" in str(caught.value)
    assert "S2/1 has S1/1/1" in str(caught.value)
    assert "S3" not in str(caught.value)


def test_report_to_dict_has_the_documented_keys() -> None:
    report = check(triangle().handle("S3", "S2/1/1").handle("S3", "S1/1/1").events).to_dict()
    assert set(report) == {
        "proved", "declared", "nodes", "incarnations", "events", "messages", "copies", "deliveries", "retries",
        "duplicates", "dropped", "held", "hold_median_ms", "hold_p99_ms", "hold_max_ms", "held_needlessly",
        "needless_ms", "concurrency", "beyond_ready_measured", "beyond_ready_p99_ms", "beyond_ready_max_ms",
        "violations", "early_deliveries", "excused", "excused_deliveries", "doubled", "misdelivered", "unsettled",
        "examples", "warnings",
    }  # fmt: skip
    assert set(report["examples"]) == {"violations", "excused", "doubled", "misdelivered", "unsettled"}
    assert report["violations"] == 1
    assert report["examples"]["violations"][0]["path"][1] == {
        "event": "deliver", "node": "S2", "incarnation": 1, "id": "S1/1/1", "subject": "order.placed",
    }  # fmt: skip


@pytest.mark.integration
def test_check_twenty_thousand_messages_takes_seconds() -> None:
    told, names, total = Chronicle(), ["S1", "S2", "S3", "S4", "S5"], 20_000
    for number in range(total):
        sender, receiver = names[number % 5], names[(number * 7 + number // 5 + 1) % 5]
        identity = f"{sender}/1/{number // 5 + 1}"
        told.send(identity, receiver).handle(receiver, identity)
    grouped = sorted(told.events, key=lambda event: event.node)
    reported: list[tuple[int, int]] = []
    start = time.perf_counter()
    report = check(grouped, progress=lambda done, of: reported.append((done, of)))
    assert time.perf_counter() - start < 5
    assert report.proved
    assert report.deliveries == total
    assert reported[-1] == (4 * total, 4 * total)
