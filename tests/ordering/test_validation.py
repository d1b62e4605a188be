"""What a receiver refuses, and that a refusal changes nothing (faults A13, E4, E6, G4 to G6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from causal.errors import ClockDriftError, ProtocolError
from causal.ordering import Arrival, Dot, EngineConfig, NodeId
from causal.ordering.frames import Base, Hello, SenderFrame, StableNumber
from causal.ordering.stamp import Copy, Dots, Stamp
from tests.ordering.links import START_MS, Net, Station, copy_of, refused, stamp

S1, S2, S3 = NodeId("S1", 1), NodeId("S2", 1), NodeId("S3", 1)


@pytest.fixture
def net() -> Net:
    """S2 has sent one message; it has delivered 1 of S1's, holds 2, and knows of a gap before 5."""
    net = Net("S1", "S2", "S3", config=EngineConfig(dots_max=8))
    s1, s2, _ = net
    s2.send("S1")
    for _ in range(5):
        s1.send("S2")
    (frame,) = net.take("S1", "S2")
    net.deliver("S1", "S2", SenderFrame(number=2, copies=(*frame.copies[:2], frame.copies[4])))
    s2.handle(Dot("S1", 1, 1))
    return net


def arrives(station: Station, *copies: Copy, number: int = 3) -> None:
    station.note(station.engine.arrived(S1, SenderFrame(number=number, copies=copies), START_MS))


BAD_STAMPS: Mapping[str, tuple[int, Stamp, str]] = {
    "a13_sequence_0": (0, stamp(0), "cannot follow"),
    "a13_negative_sequence": (-1, stamp(0), "cannot follow"),
    "a13_negative_previous": (3, stamp(-1), "cannot follow"),
    "a13_following_itself": (3, stamp(3), "cannot follow"),
    "a13_following_a_later_one": (3, stamp(4), "cannot follow"),
    "a13_depending_on_itself": (3, stamp(2, after={S1: 3}), "depends on itself or on a later one"),
    "a13_depending_on_a_later_one": (3, stamp(2, after={S1: 4}), "depends on itself or on a later one"),
    "a13_depending_on_what_this_node_never_sent": (3, stamp(2, after={S2: 2}), "what was never sent"),
    "g4_depending_on_this_nodes_message_2_62": (3, stamp(2, after={S2: 2**62}), "what was never sent"),
    "a13_depending_on_sequence_0": (3, stamp(2, after={S3: 0}), "impossible dot S3/1/0"),
    "a13_depending_on_a_negative_sequence": (3, stamp(2, after={S3: -4}), "impossible dot"),
    "a13_carrying_sequence_0": (3, stamp(2, elsewhere={"S3": {S3: 0}}), "impossible dot"),
    "a13_carrying_a_later_one_of_its_own": (3, stamp(2, elsewhere={"S3": {S1: 4}}), "impossible dot"),
    "a13_carrying_what_this_node_never_sent": (3, stamp(2, elsewhere={"S3": {S2: 2}}), "impossible dot"),
    "a13_depending_on_itself_among_others": (3, stamp(2, after={S1: frozenset({1, 3})}), "depends on itself"),
    "horizon_after_itself": (3, stamp(2)._replace(horizon=stamp(2).timestamp + 1), "lies after it"),
    "closed_dot_that_is_not_listed": (
        3,
        stamp(2, elsewhere={"S3": {S3: 4}})._replace(closed={"S3": {S3: 5}}),
        "does not list",
    ),
    "closed_dot_for_a_destination_that_is_not_listed": (3, stamp(2)._replace(closed={"S3": {S3: 5}}), "does not list"),
    "f4_carrying_for_nobody": (3, stamp(2, elsewhere={"": {S1: 2}}), "destination without a name"),
    "e_clock_that_does_not_count_it": (3, stamp(2, clock={S3: 1}), "does not count"),
    "e_clock_that_counts_another": (3, stamp(2, clock={S1: 4}), "does not count"),
    "g4_clock_that_counts_what_this_node_never_sent": (3, stamp(2, clock={S1: 3, S2: 2}), "never sent"),
    "a13_gap_that_contradicts_the_chain": (3, stamp(1), "another one does already"),
    "a13_gap_from_a_taken_place": (7, stamp(4), "another one does already"),
}


@pytest.mark.parametrize("case", BAD_STAMPS)
def test_stamp_that_no_correct_sender_makes_is_refused_and_changes_nothing(net: Net, case: str) -> None:
    seq, bad, match = BAD_STAMPS[case]
    with refused(net["S2"].engine, ProtocolError, match):
        arrives(net["S2"], Copy(seq, bad, "s", b""))


@pytest.mark.parametrize("case", BAD_STAMPS)
def test_frame_with_one_bad_stamp_behind_good_ones_is_refused_whole(net: Net, case: str) -> None:
    seq, bad, match = BAD_STAMPS[case]
    good = copy_of(6, 5), copy_of(3, 2) if seq != 3 else copy_of(8, 6)
    with refused(net["S2"].engine, ProtocolError, match):
        arrives(net["S2"], *good, Copy(seq, bad, "s", b""))


def test_two_messages_of_one_frame_that_contradict_each_other_are_refused_whole(net: Net) -> None:
    with refused(net["S2"].engine, ProtocolError, "another one does already"):
        arrives(net["S2"], copy_of(3, 2), copy_of(4, 2))


def test_g6_stamp_with_more_dots_than_the_limit_is_refused_and_one_at_it_is_not(net: Net) -> None:
    origins = [NodeId(f"X{number}", 1) for number in range(9)]
    after = dict.fromkeys(origins[:4], 1)
    nine = stamp(2, after=after, elsewhere={"S3": dict.fromkeys(origins[4:9], 1)})
    with refused(net["S2"].engine, ProtocolError, "lists 9 dots, more than 8"):
        arrives(net["S2"], Copy(3, nine, "s", b""))
    eight = stamp(2, after=after, elsewhere={"S3": dict.fromkeys(origins[4:8], 1)})
    arrives(net["S2"], Copy(3, eight, "s", b""))
    assert 3 in net["S2"].engine.settlement.inbound[S1].unsettled


def test_closed_dots_that_are_listed_and_a_horizon_before_the_message_are_accepted(net: Net) -> None:
    stranger = NodeId("S9", 1)
    several: Mapping[str, Dots] = {"S3": {stranger: frozenset({4, 5}), S1: 2}}
    good = stamp(2, elsewhere=several)._replace(horizon=1, closed={"S3": {stranger: frozenset({5}), S1: 2}})
    arrives(net["S2"], Copy(3, good, "s", b""))
    assert 3 in net["S2"].engine.settlement.inbound[S1].unsettled


def test_e4_g5_timestamp_a_year_ahead_is_refused_and_nothing_of_the_frame_is_kept(net: Net) -> None:
    ahead = START_MS + 365 * 24 * 3600 * 1000
    poisoned = Copy(6, stamp(5, timestamp=ahead << 16), "s", b"")
    with refused(net["S2"].engine, ClockDriftError, "synchronise the clocks"):
        arrives(net["S2"], copy_of(3, 2), poisoned, copy_of(4, 3))
    arrives(net["S2"], copy_of(3, 2))
    assert net["S2"].engine.hlc.last.milliseconds <= START_MS


def test_e5_timestamp_of_long_ago_is_accepted(net: Net) -> None:
    arrives(net["S2"], Copy(3, stamp(2, timestamp=1), "s", b""))
    assert 3 in net["S2"].engine.settlement.inbound[S1].unsettled


def test_e6_what_is_sent_after_a_delivery_has_the_larger_timestamp() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    net.now_ms += 400
    ask = s1.send("S2")
    net.carry("S1", "S2")
    net.now_ms -= 400  # S2's clock is behind
    s2.handle(ask)
    reply = s2.send("S1")
    net.carry("S2", "S1")
    assert s1.arrivals[reply].copy.stamp.timestamp > s2.arrivals[ask].copy.stamp.timestamp


def test_message_before_the_base_is_refused() -> None:
    net = Net("S1", "S2", connect=False)
    net.connect("S1", "S2")
    with refused(net["S2"].engine, ProtocolError, "before its base"):
        arrives(net["S2"], copy_of(1), number=1)


@pytest.mark.parametrize(("last", "unsettled"), [(-1, ()), (3, (4,)), (3, (0,))])
def test_base_that_contradicts_itself_is_refused(last: int, unsettled: tuple[int, ...]) -> None:
    net = Net("S1", "S2", connect=False)
    net.connect("S1", "S2")
    with refused(net["S2"].engine, ProtocolError, "cannot have messages outside it"):
        net["S2"].engine.arrived(S1, SenderFrame(number=1, base=Base(last=last, unsettled=unsettled)), START_MS)


def test_first_frame_whose_messages_contradict_its_base_is_refused_whole() -> None:
    net = Net("S1", "S2", connect=False)
    net.connect("S1", "S2")
    frame = SenderFrame(number=1, base=Base(last=3, unsettled=(2,)), copies=(copy_of(2, 1), copy_of(5, 2)))
    with refused(net["S2"].engine, ProtocolError, "another one does already"):
        net["S2"].engine.arrived(S1, frame, START_MS)


def test_second_base_of_an_incarnation_changes_nothing_that_is_here(net: Net) -> None:
    link = net["S2"].engine.settlement.inbound[S1]
    frame = SenderFrame(number=3, base=Base(last=40, unsettled=(7,)), copies=(copy_of(3, 2),))
    net["S2"].note(net["S2"].engine.arrived(S1, frame, START_MS))
    assert (link.received.to, link.received.missing, link.received.beyond) == (3, set(), {5})


@pytest.mark.parametrize(
    ("report", "match"),
    [
        (StableNumber(origin=S2, upto=1, lagging={}), "what only S2/1 can know"),
        (StableNumber(origin=S3, upto=-1, lagging={}), "impossible exceptions"),
        (StableNumber(origin=S3, upto=3, lagging={"S2": 0}), "impossible exceptions"),
        (StableNumber(origin=S3, upto=3, lagging={"S2": 4}), "impossible exceptions"),
    ],
)
def test_stable_number_that_cannot_be_is_refused(net: Net, report: StableNumber, match: str) -> None:
    with refused(net["S2"].engine, ProtocolError, match):
        net["S2"].engine.arrived(S1, SenderFrame(number=3, copies=(copy_of(3, 2),), stable=(report,)), START_MS)


@pytest.mark.parametrize("dot", [Dot("S1", 1, 1), Dot("S2", 1, 2)])
def test_question_that_the_asker_answers_better_itself_is_refused(net: Net, dot: Dot) -> None:
    with refused(net["S2"].engine, ProtocolError, "asks about"):
        net["S2"].engine.arrived(S1, SenderFrame(number=3, questions=(dot,)), START_MS)


def test_count_of_messages_that_were_never_sent_is_refused(net: Net) -> None:
    frame = SenderFrame(number=3, copies=(copy_of(3, 2),), heard=(Dot("S3", 1, 9), Dot("S2", 1, 2)))
    with refused(net["S2"].engine, ProtocolError, "never sent"):
        net["S2"].engine.arrived(S1, frame, START_MS)


def test_sender_that_exceeds_its_credit_is_refused_and_a_duplicate_does_not_count() -> None:
    net = Net("S1", "S2", config=EngineConfig(window_messages=2))
    s2 = net["S2"]
    arrives(s2, copy_of(1), copy_of(2, 1), number=2)
    arrives(s2, copy_of(2, 1), copy_of(1), copy_of(2, 1))
    with refused(s2.engine, ProtocolError, "exceeds its credit of 2"):
        arrives(s2, copy_of(1), copy_of(3, 2))


@pytest.fixture
def narrow() -> Station:
    """S2 gives S1 credit for ten bytes, and has eight of them held."""
    s2 = Net("S1", "S2", config=EngineConfig(window_bytes=10))["S2"]
    held = stamp(0, after={S3: 1})
    arrives(s2, Copy(1, held, "s", bytes(5)), copy_of(2, 1, bytes(3)), number=2)
    return s2


def test_g12_sender_that_exceeds_its_credit_of_bytes_is_refused_and_a_duplicate_does_not_count(
    narrow: Station,
) -> None:
    again = Copy(1, stamp(0, after={S3: 1}), "s", bytes(5))
    for _ in range(3):
        arrives(narrow, again)
    arrives(narrow, again, copy_of(3, 2, bytes(2)), copy_of(3, 2, bytes(2)))
    for too_much in ((copy_of(4, 3, bytes(1)),), (again, copy_of(4, 3), copy_of(5, 4, bytes(1)))):
        with refused(narrow.engine, ProtocolError, "exceeds its credit of 10 bytes"):
            arrives(narrow, *too_much)
    arrives(narrow, copy_of(4, 3, b""))
    assert set(narrow.engine.settlement.inbound[S1].unsettled) == {1, 2, 3, 4}


def test_credit_of_bytes_is_there_again_for_what_is_settled_and_for_one_message_of_any_size(narrow: Station) -> None:
    narrow.handle(Dot("S1", 1, 2))
    arrives(narrow, copy_of(3, 2, bytes(5)))
    with refused(narrow.engine, ProtocolError, "exceeds its credit of 10 bytes"):
        arrives(narrow, copy_of(4, 3, bytes(1)))
    narrow.drop(Dot("S1", 1, 1))
    narrow.handle(Dot("S1", 1, 3))
    link = narrow.engine.settlement.inbound[S1]
    assert set(link.unsettled) == {1}, "dropped, and not in turn: it still takes its place"
    with refused(narrow.engine, ProtocolError, "exceeds its credit of 10 bytes"):
        arrives(narrow, copy_of(4, 3, bytes(6)))
    narrow.engine.greeted(Hello(sender=S1, receiver="S2"), START_MS)  # a new stream gives no more
    with refused(narrow.engine, ProtocolError, "exceeds its credit of 10 bytes"):
        arrives(narrow, copy_of(4, 3, bytes(6)), number=1)


def test_one_message_larger_than_all_the_credit_of_bytes_is_taken_alone() -> None:
    s2 = Net("S1", "S2", config=EngineConfig(window_bytes=10))["S2"]
    with refused(s2.engine, ProtocolError, "exceeds its credit of 10 bytes"):
        arrives(s2, copy_of(1, 0, bytes(50)), copy_of(2, 1), number=2)
    arrives(s2, copy_of(1, 0, bytes(50)), number=2)
    s2.handle(Dot("S1", 1, 1))
    arrives(s2, copy_of(2, 1, bytes(50)))
    assert set(s2.engine.settlement.inbound[S1].unsettled) == {2}


class Unlooked(dict[int, Arrival]):
    """Messages that are not looked through one by one."""

    def items(self) -> Any:
        raise AssertionError("looked through without need")


def test_credit_of_bytes_looks_through_what_is_unsettled_only_when_it_could_be_too_much(narrow: Station) -> None:
    link = narrow.engine.settlement.inbound[S1]
    link.unsettled = Unlooked(link.unsettled)
    for seq in range(3, 40):
        arrives(narrow, copy_of(seq, seq - 1))
    with pytest.raises(AssertionError, match="without need"):
        arrives(narrow, copy_of(40, 39, bytes(3)))


def test_own_name_claimed_as_destination_of_anothers_dots_never_counts_as_sent(net: Net) -> None:
    """A hostile stamp says that S2 itself sent something to a node which S2 does not dial: nothing to carry."""
    s2 = net["S2"]
    claim = Copy(6, stamp(5, elsewhere={"S9": {S2: 1}, "S3": {S2: 1}}), "none", b"")
    net.deliver("S1", "S2", SenderFrame(number=3, copies=(claim,)))
    s2.start(Dot("S1", 1, 6))
    assert set(s2.pending) == {"S1"}
