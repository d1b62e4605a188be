"""Tokens: order over ways that the library cannot see."""

from __future__ import annotations

from typing import Any

import pytest

from causal.errors import ClockDriftError, TokenError
from causal.ordering import Dot, NodeId
from causal.ordering.stamp import Dots
from causal.ordering.tokens import Token, observe, renamed, token_of
from tests.ordering.links import START_MS, Net, refused

NAMES = ("S1", "S2", "S3")


@pytest.mark.parametrize("context", [(), ("S1",), ("S2",), NAMES])
def test_what_follows_an_observed_token_follows_what_it_was_made_of(context: tuple[str, ...]) -> None:
    net = Net(*NAMES, context=context)
    s1, s2, s3 = net
    request, reader = s1.engine.contexts.open(), s2.engine.contexts.open()
    slow = s1.send("S3", context=request)
    observe(s2.engine, reader, token_of(s1.engine, request), net.now_ms)
    later = s2.send("S3", context=reader)
    net.carry("S2", "S3")
    assert s3.held == {later: slow}


def test_token_lists_nothing_that_is_settled() -> None:
    net = Net(*NAMES, context=NAMES)
    s1 = net["S1"]
    request = s1.engine.contexts.open()
    s1.send("S3", context=request)
    assert token_of(s1.engine, request).pending == {"S3": {s1.me: frozenset((1,))}}
    net.settle()
    assert token_of(s1.engine, request).pending == {}


def test_loss_that_only_a_token_names_is_told_to_whatever_follows_it() -> None:
    """S1's message to S3 is lost with its incarnation; S3 reads of it beside a row, and sends to itself."""
    net = Net(*NAMES, connect=False)
    s1, _, s3 = net
    lost = s1.send("S3")
    s1.send("S2")
    token = token_of(s1.engine, s1.engine.context)
    net.restart("S1")
    net.connect("S1", "S3")
    observe(s3.engine, s3.engine.context, token, net.now_ms)
    note = s3.send("S3")
    assert s3.ready[note].verdict.missing == (lost,)
    s3.handle(note)
    coming = Dot("S9", 1, 1)
    observe(s3.engine, s3.engine.context, Token(token.timestamp, {"S3": {coming.origin: 1}}, None), net.now_ms)
    assert s3.arrivals[s3.send("S3")].waits_for == coming, "it may still come"


def test_message_that_a_token_names_and_that_can_still_come_is_waited_for_and_not_called_lost() -> None:
    net = Net(*NAMES)
    s1, _, s3 = net
    slow = s1.send("S3")
    s1.send("S2")
    observe(s3.engine, s3.engine.context, token_of(s1.engine, s1.engine.context), net.now_ms)
    note = s3.send("S3")
    assert s3.held == {note: slow}
    net.carry("S1", "S3")
    s3.handle(slow)
    assert s3.ready[note].verdict.ordered


def test_timestamp_after_an_observed_token_is_later_than_it_though_the_clock_is_behind() -> None:
    net = Net(*NAMES)
    s1, s2, _ = net
    s1.engine.send(["S3"], "s", b"", START_MS + 400)
    token = token_of(s1.engine, s1.engine.context)
    observe(s2.engine, s2.engine.context, token, START_MS)
    assert s2.engine.hlc.tick_int(START_MS) > token.timestamp


def test_clock_after_an_observed_token_counts_what_it_counts() -> None:
    net = Net(*NAMES)
    s1, s2, _ = net
    s1.send("S3")
    observe(s2.engine, s2.engine.context, token_of(s1.engine, s1.engine.context), net.now_ms)
    m2 = s2.send("S3")
    assert s2.engine.outbound["S3"].outbox[m2.seq].stamp.clock == {s1.me: 1, s2.me: 1}


def test_e4_token_of_a_clock_too_far_ahead_is_refused_and_nothing_is_merged() -> None:
    net = Net(*NAMES, context=NAMES)
    s1, s2, _ = net
    request, reader = s1.engine.contexts.open(), s2.engine.contexts.open()
    s1.send("S3", context=request)
    token = token_of(s1.engine, request)._replace(timestamp=START_MS + 501 << 16)
    with refused(s2.engine, ClockDriftError, "501 ms ahead"):
        observe(s2.engine, reader, token, START_MS)
    assert reader.pending == {}


@pytest.mark.parametrize(
    ("dots", "clock", "match"),
    [
        ({NodeId("S2", 1): 2}, None, "S2/1/2, which was never sent"),
        ({NodeId("S2", 1): frozenset((1,))}, None, "otherwise than its scope"),
        ({NodeId("S1", 1): 1}, None, "otherwise than its scope"),
        ({NodeId("S9", number): 1 for number in range(1, 4098)}, None, "lists 4097 dots"),
        ({}, {NodeId("S2", 1): 2}, "never sent"),
    ],
)
def test_token_that_cannot_be_true_is_refused_and_nothing_is_merged(
    dots: Dots, clock: dict[NodeId, int] | None, match: str
) -> None:
    net = Net(*NAMES, context=("S1",))
    s2 = net["S2"]
    s2.send("S3")
    with refused(s2.engine, TokenError, match):
        observe(s2.engine, s2.engine.context, Token(START_MS << 16, {"S3": dots} if dots else {}, clock), START_MS)


def test_token_from_far_away_names_origins_that_are_not_known_here() -> None:
    net = Net(*NAMES)
    s2, far = net["S2"], NodeId("far", 7)
    token = Token(START_MS << 16, {"S3": {far: 4}}, {far: 4})
    observe(s2.engine, s2.engine.context, token, net.now_ms)
    assert s2.engine.context.pending == {"S3": {far: 4}}


def test_token_of_a_node_that_has_sent_nothing_has_the_clock_of_what_it_handled() -> None:
    net = Net(*NAMES)
    s1, s2, _ = net
    assert token_of(s2.engine, s2.engine.context).clock == {}
    message = s1.send("S2", "S3")
    net.carry("S1", "S2")
    s2.begin(message)
    assert token_of(s2.engine, s2.engine.context).clock == {s1.me: 1}


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"horizon": (START_MS << 16) + 1}, "lies after it"),
        ({"closed": {"S3": {NodeId("S9", 1): 4}}}, "does not list"),
        ({"closed": {"S3": {NodeId("S9", 1): 4}}, "pending": {"S3": {NodeId("S9", 1): 4}}}, None),
        ({"closed": {"S3": {NodeId("S9", 1): 4}}, "pending": {"S3": {NodeId("S8", 1): 4}}}, "does not list"),
    ],
)
def test_token_with_an_impossible_horizon_or_closed_dots_is_refused(changed: dict[str, Any], match: str | None) -> None:
    net = Net(*NAMES)
    token = Token(START_MS << 16, {}, None)._replace(**changed)
    if match is None:
        observe(net["S1"].engine, net["S1"].engine.context, token, START_MS)
        assert net["S1"].engine.context.closed == {"S3": {NodeId("S9", 1): 4}}
        return
    with pytest.raises(TokenError, match=match):
        observe(net["S1"].engine, net["S1"].engine.context, token, START_MS)


# -- folded ------------------------------------------------------------------------------------------------------------


def test_token_of_fewer_dots_folds_the_oldest_and_its_context_goes_on_as_it_was() -> None:
    net = Net(*NAMES, "S4", context=NAMES)
    s1 = net["S1"]
    request = s1.engine.contexts.open()
    for to in ("S3", "S4", "S2"):
        s1.send(to, context=request)
        net.now_ms += 1
    whole = token_of(s1.engine, request)
    assert set(whole.pending) == {"S2", "S3", "S4"}
    assert (whole.horizon, token_of(s1.engine, request, 3)) == (0, whole)
    token = token_of(s1.engine, request, 1)
    assert token.pending == {"S2": {s1.me: frozenset((3,))}}
    assert token.horizon == s1.engine.outbound["S4"].outbox[2].stamp.timestamp
    assert token_of(s1.engine, request) == whole


def test_what_follows_a_folded_token_waits_for_what_it_stands_for() -> None:
    net = Net(*NAMES)
    s1, s2, s3 = net
    slow = s1.send("S3")
    token = token_of(s1.engine, s1.engine.context, 0)
    assert (token.pending, token.horizon > 0) == ({}, True)
    observe(s2.engine, s2.engine.context, token, net.now_ms)
    later = s2.send("S3")
    net.carry("S2", "S3")
    assert s3.ready == {}
    assert [arrival.dot for arrival in s3.engine.delivery.held] == [later]
    net.settle()
    assert s3.handled == [slow, later]


def test_dots_for_a_peer_that_was_never_reached_are_not_folded_into_a_token() -> None:
    net = Net(*NAMES, connect=False)
    s1 = net["S1"]
    s1.send("S2", "S3")
    net.connect("S1", "S2")
    token = token_of(s1.engine, s1.engine.context, 0)
    assert token.pending == token.closed == {"S3": {s1.me: 1}}


# -- of a former incarnation -------------------------------------------------------------------------------------------


def test_token_of_a_former_incarnation_names_the_dots_under_which_its_messages_go_on() -> None:
    former, now, other = NodeId("S1", 1), NodeId("S1", 6), NodeId("S2", 1)
    token = Token(9, {"S3": {former: 4, other: 2}}, {former: 5, other: 2}, 7, {"S3": {former: 4}})
    assert renamed(token, [former], now) == Token(
        9, {"S3": {now: 4, other: 2}}, {now: 5, other: 2}, 7, {"S3": {now: 4}}
    )
    assert renamed(token, [], now) is token
    assert renamed(token._replace(clock=None), [former], now).clock is None
