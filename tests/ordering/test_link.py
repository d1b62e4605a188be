"""The ends of a link: what has been received, against a slow twin; credit; resuming."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal.errors import ProtocolError
from causal.ordering import NodeId
from causal.ordering.frames import Welcome
from causal.ordering.link import REPORTS_MAX, InboundLink, OutboundLink, Received
from tests.ordering.links import copy_of


class SlowReceived:
    """The twin: the set of the link's messages that are here, and of those ever asked for."""

    def __init__(self, chain: list[int], base: int, missing: set[int]) -> None:
        self.chain = chain
        self.base = base
        self.here = {seq for seq in chain if seq <= base} - missing
        self.asked: set[int] = set()

    def shown(self) -> set[int]:
        """What a receiver can tell to be missing: past the base and before something that is here."""
        last = max(self.here, default=0)
        return {seq for seq in self.chain if self.base < seq < last} - self.here


@given(
    steps=st.lists(st.integers(1, 3), min_size=1, max_size=9),
    start=st.integers(0, 9),
    absent=st.sets(st.integers(0, 8)),
    order=st.randoms(use_true_random=False),
)
def test_received_agrees_with_a_set_of_seqs_whatever_the_order(
    steps: list[int], start: int, absent: set[int], order: Random
) -> None:
    chain = [sum(steps[: place + 1]) for place in range(len(steps))]
    base = chain[start - 1] if 0 < start <= len(chain) else 0
    missing = {chain[place] for place in absent if place < len(chain) and chain[place] <= base}
    received, twin = Received(base, set(missing)), SlowReceived(chain, base, missing)
    arriving = [seq for seq in chain if seq not in twin.here] * 2
    order.shuffle(arriving)
    for seq in arriving:
        assert (seq in received) == (seq in twin.here)
        if seq in received:
            continue
        previous = chain[chain.index(seq) - 1] if chain.index(seq) else 0
        gap = received.add(seq, previous)
        twin.here.add(seq)
        if gap is not None:
            asked = {one for one in chain if gap[0] <= one <= gap[1]}
            assert not asked & twin.here, "only what is missing is asked for"
            twin.asked |= asked
        assert twin.shown() <= twin.asked, "all that is missing has been asked for"
        told = Received(received.to, set(received.missing), set(received.beyond))
        assert [one in told for one in chain] == [one in twin.here for one in chain], "as Welcome says it"
    assert (received.to, received.missing, received.beyond) == (chain[-1], set(), set())


def test_gaps_of_several_messages_are_the_exact_ranges_between_what_is_here() -> None:
    received = Received()
    assert received.add(2, 0) is None
    assert received.add(9, 7) == (3, 7)
    assert received.add(20, 14) == (10, 14)
    assert received.add(14, 9) is None, "it was asked for already, and closes on to 9"
    assert received.add(5, 4) == (3, 4)
    assert received.add(7, 5) is None
    assert received.add(4, 2) is None
    assert (received.to, received.beyond) == (20, set())


@pytest.mark.parametrize(
    ("first", "second"),
    [((3, 0), (4, 2)), ((3, 0), (5, 0)), ((5, 3), (6, 3)), ((5, 3), (4, 3))],
)
def test_a13_two_messages_that_follow_the_same_one_are_refused(first: tuple[int, int], second: tuple[int, int]) -> None:
    received = Received()
    received.add(*first)
    with pytest.raises(ProtocolError, match="another one does already"):
        received.check([copy_of(*second)])
    with pytest.raises(ProtocolError, match="another one does already"):
        received.add(*second)


def test_check_of_a_chain_in_any_order_refuses_nothing_and_changes_nothing() -> None:
    received = Received(2, {1})
    received.add(6, 5)
    copies = [copy_of(1), copy_of(6, 5), copy_of(9, 6), copy_of(5, 3), copy_of(3, 2), copy_of(9, 6)]
    received.check(copies)
    assert (received.to, received.missing, received.beyond) == (2, {1}, {6})
    for copy in copies:
        if copy.seq not in received:
            received.add(copy.seq, copy.stamp.previous)
    assert (received.to, received.missing, received.beyond) == (9, set(), set())


@given(
    before=st.lists(st.tuples(st.integers(1, 7), st.integers(0, 6)), max_size=4),
    frame=st.lists(st.tuples(st.integers(1, 7), st.integers(0, 6)), max_size=4),
)
def test_check_refuses_a_frame_exactly_if_adding_it_one_by_one_would(
    before: list[tuple[int, int]], frame: list[tuple[int, int]]
) -> None:
    received, added = Received(), Received()
    for seq, previous in before:
        if accepts(received, seq, previous):
            accepts(added, seq, previous)
    copies = [copy_of(seq, previous) for seq, previous in frame if previous < seq]
    refused = False
    for copy in copies:
        if copy.seq not in added:
            refused = refused or not accepts(added, copy.seq, copy.stamp.previous)
    try:
        received.check(copies)
    except ProtocolError:
        assert refused
    else:
        assert not refused


def accepts(received: Received, seq: int, previous: int) -> bool:
    """Add a message if it is one that can be; whether it was."""
    if previous >= seq or seq in received:
        return False
    try:
        received.add(seq, previous)
    except ProtocolError:
        return False
    return True


def link_with(*sizes: int, window: tuple[int, int] = (100, 1_000_000)) -> OutboundLink:
    """An open link with a message of each of these sizes, sent while it was open."""
    link = OutboundLink("S2")
    link.resume(welcome(window=window))
    for seq, size in enumerate(sizes, 1):
        link.enqueue(copy_of(seq, seq - 1, bytes(size)))
    return link


def welcome(
    *,
    known: bool = True,
    to: int = 0,
    missing: tuple[int, ...] = (),
    beyond: tuple[int, ...] = (),
    unsettled: tuple[int, ...] = (),
    window: tuple[int, int] = (100, 1_000_000),
    incarnation: int = 1,
) -> Welcome:
    return Welcome(
        receiver=NodeId("S2", incarnation),
        known=known,
        received_to=to,
        missing=missing,
        beyond=beyond,
        unsettled=unsettled,
        window_messages=window[0],
        window_bytes=window[1],
    )


def taken(link: OutboundLink, messages_max: int = 100, bytes_max: int = 1_000_000) -> list[int]:
    return [copy.seq for copy in link.take(messages_max, bytes_max)]


def test_credit_by_messages_is_used_up_and_comes_back_with_settlements() -> None:
    link = link_with(1, 1, 1, 1, window=(2, 100))
    assert taken(link) == [1, 2]
    assert not link.has_credit()
    assert taken(link) == []
    assert link.settle([1]) == [1]
    assert link.has_credit()
    assert taken(link) == [3]


def test_credit_by_bytes_stops_before_the_message_that_would_exceed_it() -> None:
    link = link_with(60, 60, 30, window=(9, 100))
    assert taken(link) == [1]
    assert not link.has_credit(), "there is room for 40 bytes, and the next one has 60"
    link.settle([1])
    assert taken(link) == [2, 3]
    assert link.in_flight_bytes == 90


def test_message_larger_than_the_credit_goes_alone() -> None:
    link = link_with(500, 1, window=(9, 100))
    assert taken(link) == [1]
    assert not link.has_credit()
    link.settle([1])
    assert taken(link) == [2]


def test_frame_is_bounded_by_messages_and_by_bytes() -> None:
    link = link_with(*[100] * 10)
    assert taken(link, messages_max=3) == [1, 2, 3]
    assert taken(link, bytes_max=400) == [4, 5]
    assert taken(link, bytes_max=1) == [6], "one is always allowed"


def test_message_settled_while_it_waits_to_be_sent_again_is_not_sent() -> None:
    link = link_with(10, 10)
    taken(link)
    link.resend([(1, 2)])
    assert list(link.queue) == [1, 2]
    link.settle([1])
    assert taken(link) == [2]
    link.resend([(2, 2)])
    link.settle([2])
    assert not link.has_credit()
    assert (link.outbox_bytes, link.in_flight_bytes, link.in_flight) == (0, 0, {})


def test_resend_asked_for_twice_puts_a_message_on_the_stream_once() -> None:
    link = link_with(10, 10, 10)
    taken(link)
    link.resend([(1, 2)])
    link.resend([(1, 2)])
    link.resend([(7, 9)])
    assert link.in_flight_bytes == 10
    assert taken(link) == [1, 2]
    assert link.in_flight_bytes == 30


def test_resend_goes_before_what_was_never_sent() -> None:
    link = link_with(1, 1, 1, 1, window=(3, 100))
    taken(link)
    link.resend([(2, 2)])
    assert taken(link) == [2]
    assert link.in_flight.keys() == {1, 2, 3}


def test_settlement_said_twice_counts_once() -> None:
    link = link_with(10, 20)
    taken(link)
    assert (link.settle([1]), link.settle([1, 9])) == ([1], [])
    assert (link.outbox_bytes, link.in_flight_bytes) == (20, 20)


def test_resume_repeats_exactly_what_is_missing_and_counts_what_is_unsettled_as_in_flight() -> None:
    link = link_with(1, 2, 4, 8, 16)
    taken(link)
    link.reset()
    settled = link.resume(welcome(to=3, missing=(2,), beyond=(5,), unsettled=(3,)))
    assert settled == [1, 5]
    assert list(link.queue) == [2, 4]
    assert (link.in_flight, link.in_flight_bytes) == ({3: 4}, 4)
    assert not link.needs_base


def test_resume_at_a_receiver_that_knows_nothing_repeats_all_that_is_unsettled() -> None:
    link = link_with(1, 1, 1)
    taken(link)
    link.settle([2])
    link.reset()
    assert link.resume(welcome(known=False, to=3, incarnation=2)) == [], "what it says else means nothing"
    assert list(link.queue) == [1, 3]
    assert link.needs_base
    assert (link.base().last, link.base().unsettled) == (3, (1, 3))


def test_messages_sent_while_the_link_is_down_wait_for_the_next_stream() -> None:
    link = link_with()
    link.reset()
    link.enqueue(copy_of(1))
    assert list(link.queue) == []
    link.resume(welcome())
    assert taken(link) == [1]


def test_digests_of_the_last_settled_messages_are_remembered_and_older_ones_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("causal.ordering.link.DIGESTS_MAX", 2)
    link = InboundLink(NodeId("S1", 1))
    for seq in range(1, 6):
        link.remember(copy_of(seq, payload=b"one"))
    again = {seq: link.contradicts(copy_of(seq, payload=b"another")) for seq in range(1, 6)}
    assert again == {1: False, 2: False, 3: True, 4: True, 5: True}, "two at least, twice as many at most"


GAP = st.tuples(st.integers(1, 12), st.integers(0, 5)).map(lambda gap: (gap[0], gap[0] + gap[1]))


@given(st.lists(GAP, max_size=6), st.sets(st.integers(1, 10)))
def test_resend_of_many_gaps_sends_again_what_lies_in_any_of_them(gaps: list[tuple[int, int]], gone: set[int]) -> None:
    link = link_with(*[1] * 10)
    taken(link)
    link.settle(gone)
    link.resend(gaps)
    lost = [seq for seq in range(1, 11) if seq not in gone and any(first <= seq <= last for first, last in gaps)]
    assert taken(link) == lost
    assert link.in_flight_bytes == len(link.in_flight) == 10 - len(gone)


def test_watch_past_the_bound_of_a_frame_is_cut_so_that_no_peer_refuses_it() -> None:
    link = InboundLink(NodeId("S1", 1))
    link.watch = {NodeId(f"X{number}", 1): 1 for number in range(REPORTS_MAX + 1)}
    frame = link.report(heartbeat=False)
    assert frame is not None
    assert len(frame.watch) == REPORTS_MAX
