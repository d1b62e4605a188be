"""How far a sender has come, where no clock says it: by what it lists, and by a few counts on its frames."""

from __future__ import annotations

from dataclasses import replace

import pytest

from causal.clock import HybridClock
from causal.errors import ConfigurationError
from causal.ordering import Dot, EngineConfig, NodeId
from causal.ordering.frames import SenderFrame
from causal.ordering.heard import CLAIMS_MAX, HEARD_MAX, LOOKS_MAX, Claims, Heard
from causal.ordering.output import HEARD_MOST
from causal.ordering.scope import Scope
from causal.ordering.stamp import Copy
from tests.ordering.links import START_MS, Net, carried, stamp

WITHOUT_CLOCKS = EngineConfig(clock_entries_max=0)
ME, SENDER = NodeId("S1", 1), NodeId("S2", 1)
S4, S5 = NodeId("S4", 1), NodeId("S5", 1)


def copy_at(timestamp: int, seq: int = 1, **listed: object) -> Copy:
    return Copy(seq, stamp(timestamp=timestamp, **listed), "s", b"")  # type: ignore[arg-type]


def heard(*counts: tuple[NodeId, int]) -> Heard:
    """Each noted one tick after the one before, the first at 1 ms."""
    hlc = HybridClock(drift_max_ms=500)
    found = Heard(ME, hlc)
    for now_ms, each in enumerate(counts, 1):
        hlc.tick_int(now_ms)
        found.note([each])
    return found


def told_of_one_to_s4(net: Net) -> Dot:
    """S1 tells S2 of a message to S4, and S3 what follows on that: S4 has handled it."""
    cause = net["S1"].send("S4")
    carried(net, "S1", "S2")
    assert net["S2"].pending["S4"] == {cause}
    net.carry("S1", "S4")
    net["S4"].handle(cause)
    return cause


def test_chained_dot_that_is_listed_counts_all_that_its_origin_sent_before() -> None:
    net = Net("S1", "S2", "S3", "S4", config=WITHOUT_CLOCKS)
    told_of_one_to_s4(net)
    carried(net, "S1", "S4")  # S4 has followed S1 so far
    later = net["S1"].send("S3")
    carried(net, "S1", "S4")
    assert net["S4"].pending["S3"] == {later}
    carried(net, "S4", "S2")  # lists the later one, to S3, and none of S1 to S4
    assert "S4" not in net["S2"].pending


def test_own_number_of_a_chained_sender_counts_what_it_sent_before() -> None:
    net = Net("S1", "S2", "S3", "S4", config=WITHOUT_CLOCKS)
    effect = net["S2"].send("S4")
    carried(net, "S2", "S3")
    assert net["S3"].pending["S4"] == {effect}
    net.carry("S2", "S4")
    net["S4"].handle(effect)
    net.answer("S2", "S4")
    report = net["S2"].send("S3")
    (frame,) = net.take("S2", "S3")
    net.deliver("S2", "S3", replace(frame, stable=()))
    net["S3"].handle(report)
    assert "S4" not in net["S3"].pending


def test_count_on_a_frame_goes_for_what_is_not_listed_any_more() -> None:
    net = Net("S1", "S2", "S3", "S4", config=WITHOUT_CLOCKS)
    carried(net, "S3", "S4")  # without a clock: S4's own does not say all from here on
    cause = told_of_one_to_s4(net)
    (frame,) = carried(net, "S4", "S2")
    assert frame.heard == (cause,)
    assert "S4" not in net["S2"].pending
    (frame,) = carried(net, "S4", "S2")
    assert frame.heard == (), "said once"


def test_frame_adds_no_count_where_none_is_wanted_or_a_clock_says_it() -> None:
    for config in (EngineConfig(clock_entries_max=0, heard_max=0), EngineConfig()):
        net = Net("S1", "S2", "S3", "S4", config=config)
        carried(net, "S3", "S4")
        told_of_one_to_s4(net)
        assert [frame.heard for frame in carried(net, "S4", "S2")] == [()]


def test_newest_counts_come_first_and_as_many_as_are_wanted() -> None:
    many = [(NodeId(f"N{number}", 1), 7) for number in range(5)]
    found = heard(*many, (many[0][0], 8), (many[1][0], 6), (ME, 9))
    late = (copy_at(1 << 40),)
    assert found.fresh("peer", late, 2) == (Dot("N0", 1, 8), Dot("N4", 1, 7))
    assert found.fresh("peer", late, 2) == (Dot("N3", 1, 7), Dot("N2", 1, 7))
    assert found.fresh("other", late, 1) == (Dot("N0", 1, 8),)
    assert found.fresh("peer", late, 2) == (Dot("N1", 1, 7),)
    assert found.fresh("peer", (), 2) == ()


def test_what_copies_list_is_not_counted_beside_them() -> None:
    found = heard((S4, 3), (S5, 5))
    listing = copy_at(1 << 40, after={S4: 2}, elsewhere={"S3": {S5: 5, SENDER: frozenset({4})}})
    assert found.fresh("peer", (listing,), 8) == (Dot("S4", 1, 3),)


def test_count_that_came_after_a_stamp_does_not_go_with_it() -> None:
    found = heard((S4, 3), (S5, 5))
    between = (1 << 16) + 1  # S4 was heard of at 1 ms, S5 at 2 ms
    assert found.fresh("peer", (copy_at(1 << 40), copy_at(between)), 8) == (Dot("S4", 1, 3),)
    assert found.fresh("peer", (copy_at(1 << 16),), 8) == ()


def test_claims_go_for_the_stamps_they_came_with_and_later_ones() -> None:
    claims = Claims(SENDER)
    claims.note(SenderFrame(number=1, copies=(copy_at(20, 2), copy_at(30, 3)), heard=(Dot("S4", 1, 9),)))
    assert claims.followed(copy_at(10, 1), Scope.PROCESS)[0] == {SENDER: 1}
    assert claims.followed(copy_at(30, 3, after={S5: 4}), Scope.PROCESS)[0] == {SENDER: 3, S4: 9, S5: 4}
    assert claims.followed(copy_at(20, 2, after={S5: 2}), Scope.PROCESS)[0] == {SENDER: 2, S5: 2}, (
        "earlier than the last"
    )
    counts, news = claims.followed(copy_at(40, 5), Scope.PROCESS)
    assert counts == {SENDER: 5, S4: 9, S5: 4}
    assert news == [(SENDER, 5)]


def test_sender_in_context_scope_speaks_for_one_stamp_at_a_time() -> None:
    claims = Claims(SENDER)
    listing = copy_at(20, 2, after={SENDER: frozenset({1}), S4: 3})
    claims.note(SenderFrame(number=1, copies=(listing,), heard=(Dot("S5", 1, 9),)))
    assert claims.followed(listing, Scope.CONTEXT) == ({S4: 3}, [(S4, 3)])
    assert claims.followed(copy_at(30, 3), Scope.CONTEXT) == ({}, [])


def test_counts_without_copies_are_not_believed() -> None:
    claims = Claims(SENDER)
    claims.note(SenderFrame(number=1, heard=(Dot("S4", 1, 9),)))
    assert claims.followed(copy_at(30, 3), Scope.PROCESS)[0] == {SENDER: 3}
    assert claims.exhaustive


def test_f9_counts_of_many_short_lived_origins_are_bounded() -> None:
    origins = [NodeId(f"N{number}", 1) for number in range(HEARD_MAX + 10)]
    found, claims = heard(), Claims(SENDER)
    for number, origin in enumerate(origins, 1):
        found.note([(origin, 1)])
        claims.followed(copy_at(number, number, after={origin: 1}), Scope.PROCESS)
    assert len(found) == HEARD_MAX
    assert (found.count_of(origins[0]), found.count_of(origins[-1])) == (0, 1)
    assert len(claims.followed(copy_at(1 << 20, 1 << 20), Scope.PROCESS)[0]) <= HEARD_MAX + 1
    assert len(found.fresh("peer", (copy_at(1 << 40),), HEARD_MAX)) == LOOKS_MAX


def test_g12_counts_of_frames_that_are_never_handled_are_bounded() -> None:
    claims = Claims(SENDER)
    for number in range(1, CLAIMS_MAX + 2):
        count = Dot(f"N{number}", 1, 1)
        claims.note(SenderFrame(number=number, copies=(copy_at(number, number),), heard=(count,)))
    counts, _ = claims.followed(copy_at(1 << 40, 1 << 20), Scope.PROCESS)
    assert len(counts) == CLAIMS_MAX + 1
    assert NodeId("N1", 1) not in counts


def test_more_counts_than_a_receiver_takes_are_refused_in_the_settings() -> None:
    with pytest.raises(ConfigurationError, match=f"heard_max is {HEARD_MOST + 1}: at most {HEARD_MOST}"):
        EngineConfig(heard_max=HEARD_MOST + 1)
    assert EngineConfig(heard_max=HEARD_MOST).heard_max == HEARD_MOST


def test_counts_hold_in_a_system_of_both_scopes() -> None:
    net = Net("S1", "S2", "S3", "S4", context=["S3"])
    carried(net, "S3", "S4")  # S4 is not exhaustive from here on: its clock says nothing
    cause = told_of_one_to_s4(net)
    net.now_ms = START_MS + 5
    (frame,) = carried(net, "S4", "S2")
    assert not frame.exhaustive
    assert frame.heard == (cause,)
    assert "S4" not in net["S2"].pending


def test_own_messages_are_not_counted_under_a_later_incarnation_either() -> None:
    found, later = heard((SENDER, 1)), NodeId(ME.name, 2)
    found.rename(later)
    found.note([(later, 3), (SENDER, 4)])
    assert (found.count_of(later), found.count_of(SENDER)) == (0, 4)
