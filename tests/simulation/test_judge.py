"""The judge and the invariants convict: what each of them says of a run, or a state, that is wrong."""

from __future__ import annotations

import pytest

from causal.ordering import Dot, Engine, NodeId, Ordering
from causal.ordering.stamp import Stamp
from causal.testing.history import History
from causal.testing.invariants import Invariants

S1, S2 = NodeId("S1", 1), NodeId("S2", 1)


def history() -> History:
    """S1 → S3 number 0, S1 → S2 number 1, S2 → S3 number 2: the triangle."""
    found = History(["S1", "S2", "S3"], lambda name, subject: Ordering(subject))
    found.sent(Dot(*S1, 1), 1, ("S3",), "causal", stamp(1))
    found.sent(Dot(*S1, 2), 1, ("S2",), "causal", stamp(2))
    found.received("S2", 1)
    found.started("S2", 1, ordered=True)
    found.sent(Dot(*S2, 1), 1, ("S3",), "causal", stamp(3))
    return found


def stamp(timestamp: int) -> Stamp:
    return Stamp(previous=0, timestamp=timestamp, after={}, elsewhere={}, clock=None)


def test_a1_triangle_in_the_wrong_order_is_a_violation() -> None:
    judge = history()
    judge.started("S3", 2, ordered=True)
    assert judge.violations == ["order: S3 starts S2/1/1 before S1/1/1 is settled"]


def test_triangle_whose_first_message_is_only_received_is_a_violation() -> None:
    judge = history()
    judge.received("S3", 0)
    judge.started("S3", 0, ordered=True)
    judge.started("S3", 2, ordered=True)
    assert judge.violations == ["order: S3 starts S2/1/1 before S1/1/1 is settled"]


def test_triangle_in_order_is_none() -> None:
    judge = history()
    judge.started("S3", 0, ordered=True)
    judge.finished("S3", 0)
    judge.started("S3", 2, ordered=True)
    assert judge.violations == []


def test_message_handled_again_after_it_was_settled_is_a_violation() -> None:
    judge = history()
    for _ in range(2):
        judge.started("S3", 0, ordered=True)
        judge.finished("S3", 0)
    assert judge.violations == ["doubled: S3 handles S1/1/1 again after it was settled"]


def test_message_held_for_one_that_is_settled_is_held_needlessly() -> None:
    judge = history()
    judge.judge_held("S3", 2)
    assert judge.violations == []
    judge.received("S3", 0)
    judge.finished("S3", 0)
    judge.judge_held("S3", 2)
    assert judge.violations == ["held needlessly: S3 holds S2/1/1, and all that precedes it here is settled"]


def test_lost_message_excuses_what_follows_it_and_not_what_is_still_to_come() -> None:
    judge = history()
    judge.heard("S3", NodeId("S1", 2))
    judge.named("S3", [Dot(*S1, 1)])
    judge.started("S3", 2, ordered=False)
    judge.named("S3", [Dot(*S2, 1)])
    assert judge.violations == ["false alarm: S3 calls S2/1/1 lost, which can still come"]


@pytest.mark.parametrize(
    ("dialled", "late", "verdict"),
    [("afterwards", True, []), ("before", True, ["order"]), ("afterwards", False, ["order"])],
)
def test_sender_that_dials_a_restarted_node_too_late_for_a_release_excuses_it(
    dialled: str, late: bool, verdict: list[str]
) -> None:
    judge = history()
    judge.crashed("S3", 2)
    judge.heard("S3", S2)
    if dialled == "before":
        judge.heard("S3", S1)
    judge.released("S3", 2, late=late)
    judge.heard("S3", S1)
    judge.started("S3", 2, ordered=False, bounded=True)
    assert [text.partition(":")[0] for text in judge.violations] == verdict


def test_message_that_was_never_settled_is_lost_unless_its_sender_has_crashed() -> None:
    judge = history()
    judge.judge_complete({"S1": 2, "S2": 1, "S3": 1})
    assert judge.violations == ["lost: S1/1/2 was never settled at S2", "lost: S2/1/1 was never settled at S3"]


def of_two_processes() -> History:
    """S1 and its twin have each sent their message 1 to S2."""
    judge = History(["S1", "S2"], lambda name, subject: Ordering(subject))
    judge.add_twin("S1", "S1'")
    for process in ("S1", "S1'"):
        judge.sent(Dot(*S1, 1), 1, ("S2",), "causal", stamp(1), process)
    judge.met(S1, "S1")
    return judge


def test_b6_message_that_counts_as_settled_as_another_processs_one_is_lost() -> None:
    judge = of_two_processes()
    judge.received("S2", 0)
    judge.started("S2", 0, ordered=True)
    judge.finished("S2", 0)
    judge.judge_settled(Dot(*S1, 1), "S1")
    assert judge.violations == []
    judge.judge_settled(Dot(*S1, 1), "S1'")
    assert judge.violations == ["claim: S1/1/1 counts as settled at its sender, and is not at S2"]
    judge.judge_complete({"S1": 1, "S2": 1})
    assert judge.violations[1:] == ["lost: S1/1/1 was never settled at S2"]


def test_b6_process_that_nobody_has_met_may_keep_what_it_has_sent() -> None:
    judge = of_two_processes()
    judge.received("S2", 0)
    judge.finished("S2", 0)
    judge.judge_complete({"S1": 1, "S2": 1})
    assert judge.violations == []


def test_b6_two_processes_that_pass_for_one_excuse_order_and_no_loss() -> None:
    judge = of_two_processes()
    for kind in ("order", "lost"):
        judge.blame(f"{kind}: before")
    assert not judge.split
    judge.met(S1, "S1'")
    assert judge.split
    for kind in ("order", "held needlessly", "lost", "not at rest", "claim", "doubled"):
        judge.blame(f"{kind}: after")
    assert judge.violations == [
        "order: before", "lost: before", "lost: after", "not at rest: after", "claim: after", "doubled: after"
    ]  # fmt: skip


@pytest.mark.parametrize(("incarnation", "violations"), [(None, 1), (2, 0)])
def test_b6_message_that_both_processes_of_an_incarnation_handle_is_doubled(
    incarnation: int | None, violations: int
) -> None:
    judge = of_two_processes()
    judge.sent(Dot(*S2, 1), 1, ("S1",), "causal", stamp(1))
    judge.started("S1", 2, ordered=True)
    if incarnation is not None:  # a restart in between: what is not acknowledged comes again
        judge.crashed("S1", incarnation)
    judge.started("S1'", 2, ordered=True)
    assert judge.violations == ["doubled: S1' handles S2/1/1, and so has S1 as the same incarnation"][:violations]


def test_b6_message_of_a_process_to_itself_never_comes_to_its_twin() -> None:
    judge = of_two_processes()
    judge.sent(Dot(*S1, 2), 1, ("S1",), "causal", stamp(2), "S1'")
    judge.named("S1", [Dot(*S1, 2)])
    judge.finished("S1'", 2)
    judge.judge_settled(Dot(*S1, 2), "S1'")
    assert judge.violations == []


def test_clock_that_is_left_out_without_need_is_a_violation() -> None:
    judge = history()
    judge.judge_clocks(64)
    assert [text.partition(" has ")[0] for text in judge.violations] == [
        "clock: S1/1/1", "clock: S1/1/2", "clock: S2/1/1"
    ]  # fmt: skip


def engine_with_a_message() -> Engine:
    engine = Engine(S1, ["S2"], lambda subject: Ordering.CAUSAL)
    engine.send(["S2"], "order", b"x", 1)
    assert Invariants(engine).broken() == []
    return engine


def test_invariants_notice_bytes_that_do_not_add_up() -> None:
    engine = engine_with_a_message()
    engine.outbound["S2"].outbox_bytes += 1
    assert Invariants(engine).broken() == ["S1/1: to S2: outbox_bytes is 2"]


def test_invariants_notice_an_own_message_that_nobody_counts() -> None:
    engine = engine_with_a_message()
    engine._unsettled.clear()
    assert Invariants(engine).broken() == ["S1/1: unsettled is {}, outboxes say {1: 1}"]


def test_invariants_notice_a_mapping_that_a_stamp_shares_and_somebody_changed() -> None:
    engine = engine_with_a_message()
    invariants = Invariants(engine)
    assert invariants.broken() == []
    dots = engine.context.pending["S2"]
    assert isinstance(dots, dict)
    dots[S2] = 7
    assert "a mapping of the context was changed in place" in [
        text.partition(": ")[2][:45] for text in invariants.broken()
    ]


@pytest.mark.parametrize("incarnation", [4, 9])
def test_dot_of_another_incarnation_of_the_receiver_itself_is_lost_whichever_is_the_higher(incarnation: int) -> None:
    # Seed 1146: a node whose clock went back over a restart waited for ever for what its former self had sent.
    engine = Engine(NodeId("S1", 5), [], lambda subject: Ordering.CAUSAL)
    assert engine.settlement.is_gone(NodeId("S1", incarnation))
    assert not engine.settlement.is_gone(NodeId("S1", 5))
