"""Context scope: whose past a message follows, by handler, request, key and name; and that all of it is forgotten."""

from __future__ import annotations

import copy
import gc
from dataclasses import replace

import pytest

from causal.errors import BackpressureError, ConfigurationError, ProtocolError, UnknownDotError
from causal.ordering import Dot, Engine, EngineConfig, NodeId, Ordering, Output, VerdictKind
from causal.ordering.context import CausalContext, merged
from causal.ordering.contexts import LOOKS_A_TICK, REMEMBERED_BY_THE_WAY, Follows
from causal.ordering.frames import Hello, Refusal, RefusalCode, Welcome
from causal.ordering.reincarnation import reincarnate
from causal.ordering.scope import Scope
from causal.ordering.settlement import CONCLUDED_MAX
from causal.ordering.stamp import Dots, Stamp
from tests.ordering.links import START_MS, Net, Station, only, refused

NAMES = ("S1", "S2", "S3")


def stamp_of(sender: Station, dot: Dot, peer: str) -> Stamp:
    return sender.engine.outbound[peer].outbox[dot.seq].stamp


def single(station: Station, *seqs: int) -> dict[NodeId, frozenset[int]]:
    return {station.me: frozenset(seqs)}  # as the stamps of a node in context scope name its messages


# -- sends -------------------------------------------------------------------------------------------------------------


def test_sends_from_two_contexts_do_not_follow_each_other() -> None:
    net = Net(*NAMES, context=NAMES)
    s1, s2, _ = net
    one, other = s1.engine.contexts.open(), s1.engine.contexts.open()
    m1 = s1.send("S2", context=one)
    m2 = s1.send("S2", context=other)
    m3 = s1.send("S2", context=one)
    assert [stamp_of(s1, m, "S2").after for m in (m1, m2, m3)] == [{}, {}, single(s1, 1)]
    net.carry("S1", "S2")
    assert list(s2.ready) == [m1, m2]
    assert s2.held == {m3: m1}


def test_send_without_context_follows_nothing_and_nothing_follows_it() -> None:
    net = Net(*NAMES, context=NAMES)
    s1 = net["S1"]
    m1, m2 = s1.send("S2"), s1.send("S2")
    assert [stamp_of(s1, m, "S2").after for m in (m1, m2)] == [{}, {}]


def test_multicast_from_a_context_names_itself_and_what_it_follows_at_its_siblings() -> None:
    net = Net(*NAMES, context=NAMES)
    s1 = net["S1"]
    context = s1.engine.contexts.open()
    s1.send("S3", context=context)
    m2 = s1.send("S2", "S3", context=context)
    assert stamp_of(s1, m2, "S2").elsewhere == {"S3": single(s1, 1, 2)}
    assert stamp_of(s1, m2, "S3").after == single(s1, 1)
    assert context.pending == {"S2": single(s1, 2), "S3": single(s1, 2)}


def test_a1_triangle_through_a_handler_in_context_scope_is_held() -> None:
    net = Net(*NAMES, context=NAMES)
    s1, s2, s3 = net
    request = s1.engine.contexts.open()
    m1 = s1.send("S3", context=request)
    m2 = s1.send("S2", context=request)
    net.carry("S1", "S2")
    m3 = s2.send("S3", context=s2.begin(m2))
    net.carry("S2", "S3")
    assert s3.held == {m3: m1}
    net.carry("S1", "S3")
    assert s3.handle_all() == [m1, m3]


def test_handlers_of_unrelated_messages_follow_only_their_own() -> None:
    net = Net(*NAMES, context=("S1", "S2"))
    s1, s2, s3 = net
    m1 = s1.send("S3")  # slow
    one, other = s1.send("S2", after=[m1]), s1.send("S2")
    net.carry("S1", "S2")
    contexts = {m: s2.begin(m) for m in (one, other)}
    follower = s2.send("S3", context=contexts[one])
    stranger = s2.send("S3", context=contexts[other])
    net.carry("S2", "S3")
    assert list(s3.ready) == [stranger]
    assert s3.held == {follower: m1}


def test_another_run_of_a_handler_goes_on_in_the_context_of_the_first() -> None:
    net = Net(*NAMES, context=NAMES)
    s1, s2, _ = net
    m1 = s1.send("S2")
    net.carry("S1", "S2")
    arrival = s2.ready.pop(m1)
    s2.engine.start(arrival)
    first = s2.engine.contexts.of(arrival)
    s2.send("S3", context=first)
    s2.engine.start(arrival)
    assert s2.engine.contexts.of(arrival) is first
    s2.finish(m1)
    assert arrival.context is None


def test_what_comes_back_while_the_handler_runs_waits_for_it() -> None:
    net = Net(*NAMES, context=NAMES)
    s1, s2, _ = net
    m1 = s1.send("S2")
    net.carry("S1", "S2")
    m2 = s2.send("S2", context=s2.begin(m1))
    assert s2.held == {m2: m1}
    s2.finish(m1)
    assert list(s2.ready) == [m2]


def test_what_is_settled_leaves_every_context_at_its_next_send() -> None:
    net = Net(*NAMES, context=NAMES)
    s1 = net["S1"]
    contexts = [s1.engine.contexts.open() for _ in range(3)]
    for context in contexts:
        s1.send("S2", context=context)
    net.settle()
    assert [stamp_of(s1, s1.send("S2", context=context), "S2").after for context in contexts] == [{}] * 3


# -- keys --------------------------------------------------------------------------------------------------------------


def test_messages_with_a_key_follow_each_other_across_contexts_and_others_do_not() -> None:
    net = Net(*NAMES, context=NAMES)
    s1, s2, _ = net
    update = s1.send("S2", key="profile 1")
    stranger = s1.send("S2", key="profile 2")
    delete = s1.send("S2", key="profile 1")
    net.carry("S1", "S2")
    assert list(s2.ready) == [update, stranger]
    assert s2.held == {delete: update}


def test_key_is_followed_with_all_that_its_last_message_followed() -> None:
    net = Net(*NAMES, context=NAMES)
    s1, _, s3 = net
    request = s1.engine.contexts.open()
    slow = s1.send("S3", context=request)
    s1.send("S2", context=request, key="k")
    last = s1.send("S3", key="k")
    assert stamp_of(s1, last, "S3").after == single(s1, slow.seq)
    assert s3.held == {}


def test_send_with_a_key_takes_its_history_into_the_context() -> None:
    net = Net(*NAMES, context=NAMES)
    s1 = net["S1"]
    first = s1.send("S3", key="k")
    request = s1.engine.contexts.open()
    s1.send("S2", context=request, key="k")
    assert stamp_of(s1, s1.send("S3", context=request), "S3").after == single(s1, first.seq)


def test_handler_of_a_message_with_a_key_follows_what_was_handled_about_it_before() -> None:
    net = Net(*NAMES, context=NAMES)
    s1, s2, s3 = net
    one = s1.engine.contexts.open()
    slow, m1 = s1.send("S3", context=one), s1.send("S2", context=one)
    net.carry("S1", "S2")
    s2.begin(m1, "k")
    m2 = s1.send("S2")
    net.carry("S1", "S2")
    m3 = s2.send("S3", context=s2.begin(m2, "k"))
    net.carry("S2", "S3")
    assert s3.held == {m3: slow}


def test_process_scope_takes_no_notice_of_keys() -> None:
    net = Net(*NAMES)
    s1 = net["S1"]
    s1.send("S2", key="k")
    assert len(s1.engine.contexts) == 0
    assert s1.engine.contexts.open() is s1.engine.context


def many_keys(count: int) -> int:
    """So many messages, each with a key of its own and settled soon; returns how many were remembered at most."""
    engine = Engine(NodeId("S1", 1), ["S2"], lambda subject: Ordering.CAUSAL, EngineConfig(scope=Scope.CONTEXT))
    link, largest = engine.outbound["S2"], 0
    for number in range(count):
        dot, output = engine.send(["S2"], "s", b"", START_MS, follows=Follows(key=f"account {number}"))
        if number >= 10:
            engine._settled_at(link, [dot.seq - 10], output)
        largest = max(largest, len(engine.contexts))
    engine._settled_at(link, list(engine._unsettled), Output())
    engine.tick(START_MS)
    assert len(engine.contexts) == 0
    return largest


def test_many_keys_leave_nothing_behind_and_little_at_a_time() -> None:
    assert many_keys(2_000) < REMEMBERED_BY_THE_WAY + 100


@pytest.mark.simulation
@pytest.mark.timeout(120)
def test_million_keys_leave_nothing_behind_and_little_at_a_time() -> None:
    assert many_keys(1_000_000) < REMEMBERED_BY_THE_WAY + 100


def test_key_that_is_not_settled_is_looked_at_for_ever_and_stays() -> None:
    net = Net(*NAMES, context=NAMES)
    s1 = net["S1"]
    kept = s1.send("S2", key="kept")
    for number in range(50):
        s1.send("S3", key=f"gone {number}")
    for _ in range(3):
        net.carry("S1", "S3")
        net["S3"].handle_all()
        net.answer("S1", "S3")
        s1.tick()
    assert len(s1.engine.contexts) == 1
    assert stamp_of(s1, s1.send("S2", key="kept"), "S2").after == single(s1, kept.seq)


def test_tick_looks_at_a_bounded_number_of_what_is_remembered() -> None:
    net = Net(*NAMES, context=NAMES)
    s1 = net["S1"]
    sent = [s1.send("S2", key=str(number)) for number in range(2 * LOOKS_A_TICK)]
    assert len(s1.engine.contexts) == 2 * LOOKS_A_TICK
    s1.engine._settled_at(s1.engine.outbound["S2"], [dot.seq for dot in sent], Output())
    s1.tick()
    assert len(s1.engine.contexts) == LOOKS_A_TICK
    s1.tick()
    assert len(s1.engine.contexts) == 0


def test_key_whose_history_was_merged_into_nothing_is_forgotten_at_once() -> None:
    net = Net(*NAMES, context=NAMES)
    s1, s2, _ = net
    s1.send("S2", subject="none", key="k")
    net.carry("S1", "S2")
    for dot in list(s2.ready):
        s2.begin(dot, "k")  # an unordered message that is passed already: nothing need wait for it
    assert len(s2.engine.contexts) == 0


# -- messages by name --------------------------------------------------------------------------------------------------


def test_send_after_an_own_message_follows_it_and_what_it_followed_though_it_is_settled() -> None:
    net = Net(*NAMES, context=NAMES)
    s1, s2, s3 = net
    request = s1.engine.contexts.open()
    slow, second = s1.send("S3", context=request), s1.send("S2", context=request)
    net.carry("S1", "S2")
    s2.handle(second)
    net.answer("S1", "S2")
    last = s1.send("S3", after=[second])
    assert stamp_of(s1, last, "S3").after == single(s1, slow.seq)
    assert s3.held == {}


def test_send_after_a_message_handled_here_follows_what_its_handler_started_with() -> None:
    net = Net(*NAMES, context=NAMES)
    s1, s2, s3 = net
    request = s1.engine.contexts.open()
    slow, m2 = s1.send("S3", context=request), s1.send("S2", context=request)
    net.carry("S1", "S2")
    s2.begin(m2)
    s2.finish(m2)
    m3 = s2.send("S3", after=[m2])
    net.carry("S2", "S3")
    assert s3.held == {m3: slow}


def test_send_after_a_message_that_waits_here_follows_it() -> None:
    for context in ((), NAMES):
        net = Net(*NAMES, context=context)
        s1, s2, _ = net
        request = s1.engine.contexts.open()
        slow, m2 = s1.send("S3", context=request), s1.send("S2", context=request)
        net.carry("S1", "S2")
        m3 = s2.send("S2", "S3", after=[m2])
        assert s2.held == {m3: m2}
        net.carry("S2", "S3")
        assert net["S3"].held == {m3: slow}


def test_send_after_what_is_settled_with_its_past_follows_nothing() -> None:
    for context in ((), NAMES):
        net = Net(*NAMES, context=context)
        s1, s2, _ = net
        m1 = s1.send("S2")
        net.settle()
        assert stamp_of(s1, s1.send("S2", after=[m1]), "S2").after == {}
        assert stamp_of(s2, s2.send("S3", after=[m1]), "S3").after == {}


def test_send_after_messages_between_others_follows_them_where_they_are_pending() -> None:
    for context in (("S2",), NAMES):
        net = Net(*NAMES, context=context)
        s1, s2, s3 = net
        request = s1.engine.contexts.open()
        slow, m2 = s1.send("S3", context=request), s1.send("S2", context=request)
        net.carry("S1", "S2")
        running = s2.begin(m2)
        assert running.pending["S3"]
        m3 = s2.send("S3", after=[slow])
        net.carry("S2", "S3")
        assert s3.held == {m3: slow}


@pytest.mark.parametrize("scope", [(), NAMES])
def test_send_after_a_message_nobody_here_knows_is_refused_and_changes_nothing(scope: tuple[str, ...]) -> None:
    net = Net(*NAMES, context=scope)
    s1 = net["S1"]
    m1 = s1.send("S2")
    for unknown in (Dot("S1", 1, 2), Dot("S1", 1, 0), Dot("S2", 1, 1), Dot("S9", 7, 1)):
        with refused(s1.engine, UnknownDotError, str(unknown)):
            s1.send("S2", after=[m1, unknown], context=None)


# -- what others know and say ------------------------------------------------------------------------------------------


def test_single_dot_is_settled_by_its_stable_number_and_by_nothing_said_of_a_later_one() -> None:
    net = Net("S1", "S2", "S3", "S4", context=("S1", "S2", "S3", "S4"))
    s1, s2, s3, _ = net
    request = s1.engine.contexts.open()
    to_s3, later = s1.send("S3"), s1.send("S3")
    m3 = s1.send("S2", after=[to_s3], context=request)
    net.carry("S1", "S2")
    net.carry("S1", "S3")
    context = s2.begin(m3)
    s3.handle(later)
    net.answer("S1", "S3")
    net.heartbeat()
    s2.tick()
    assert context.pending["S3"] == single(s1, to_s3.seq)  # what came after it is settled, itself is not
    s3.handle(to_s3)
    s2.finish(m3)
    net.settle()
    assert context.pending == {}


def test_copy_that_lost_a_single_dot_waits_for_what_the_lost_one_may_have_followed() -> None:
    net = Net(*NAMES, context=NAMES)
    s1, s2, s3 = net
    first, lost = s1.send("S3"), s1.send("S3")
    m3 = s1.send("S2", after=[lost])
    net.carry("S1", "S2")
    m4 = s2.send("S3", context=s2.begin(m3))
    (frame,) = net.take("S1", "S3")
    net.deliver("S1", "S3", only(frame, first))
    net.carry("S2", "S3")
    assert s3.held == {m4: lost}
    net.restart("S1")
    net.connect("S1", "S3")
    assert set(s3.ready) == {first}  # nobody knows any more that the lost one did not follow it
    s3.handle(first)
    assert set(s3.ready) == {m4}
    assert s3.arrivals[m4].verdict.kind is VerdictKind.LOST


def test_answer_about_a_single_dot_goes_for_that_one_alone() -> None:
    net = Net(*NAMES, context=NAMES, config=EngineConfig(garbage_after_ms=1000))
    s1, s2, _ = net
    one, other = s1.send("S3"), s1.send("S3")
    m3 = s1.send("S2", after=[one, other])
    net.carry("S1", "S2")
    context = s2.begin(m3)
    net.restart("S1")  # nobody will tell S2 what becomes of them
    net.connect("S1", "S3")
    assert context.pending["S3"] == {one.origin: frozenset((1, 2))}
    s2.engine.settlement.conclude("S3", one.origin, 2, chained=False)
    s2.engine.contexts.prune(context)
    assert context.pending["S3"] == {one.origin: frozenset((1,))}
    for _ in range(3):
        net.now_ms += 1000
        s2.tick()
        net.carry("S2", "S3")
        net.answer("S2", "S3")
    s2.engine.contexts.prune(context)
    assert "S3" not in context.pending


def test_remembered_single_answers_are_bounded() -> None:
    net = Net(*NAMES, context=NAMES)
    settlement = net["S1"].engine.settlement
    for seq in range(1, CONCLUDED_MAX + 2):
        settlement.conclude("S3", NodeId("S9", 1), seq, chained=False)
    assert len(settlement.concluded_single) == CONCLUDED_MAX
    assert not settlement.is_settled("S3", NodeId("S9", 1), 1)
    assert settlement.is_settled("S3", NodeId("S9", 1), 2)


def test_key_history_of_a_gone_teller_is_asked_about_and_then_forgotten() -> None:
    net = Net(*NAMES, context=NAMES, config=EngineConfig(garbage_after_ms=1000))
    s1, s2, _ = net
    slow = s1.send("S3")
    m2 = s1.send("S2", after=[slow])
    net.carry("S1", "S2")
    s2.begin(m2, "k")
    s2.finish(m2)
    gc.collect()
    net.restart("S1")
    net.connect("S1", "S3")
    assert len(s2.engine.contexts) == 2
    for _ in range(3):
        net.now_ms += 1000
        s2.tick()
        net.carry("S2", "S3")
        net.answer("S2", "S3")
    s2.tick()
    assert len(s2.engine.contexts) == 0


@pytest.mark.parametrize("by", ["after", "key"])
def test_dots_of_others_that_a_send_brings_into_the_context_of_a_handler_leave_it_once_they_are_settled(
    by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("causal.ordering.settlement.CONCLUDED_MAX", 1)
    net = Net(*NAMES, context=NAMES, config=EngineConfig(garbage_after_ms=1000))
    s1, s2, _ = net
    slow, bare = s1.send("S3"), s1.send("S2")
    named = s1.send("S2", after=[slow])
    net.carry("S1", "S2")
    running = s2.begin(bare)  # which follows nothing of others
    s2.begin(named, "k")
    s2.send("S1", context=running, after=[named] if by == "after" else (), key="k" if by == "key" else None)
    assert running.pending["S3"] == single(s1, slow.seq)
    s2.finish(named)
    net.restart("S1")  # without a word on `slow`, of which only S3 can tell now
    net.connect("S1", "S3")
    for _ in range(3):
        net.now_ms += 1000
        s2.tick()
        net.carry("S2", "S3")
        net.answer("S2", "S3")
    # What S3 has said is remembered for so long; a handler may run for longer.
    s2.engine.settlement.conclude("S3", NodeId("S9", 1), 1, chained=False)
    assert s1.me not in running.pending.get("S3", {})


def test_context_that_nobody_holds_any_more_is_not_asked_about() -> None:
    net = Net(*NAMES, context=NAMES)
    s2 = net["S2"]
    context = s2.engine.contexts.open()
    context.add("S3", NodeId("S9", 1), frozenset((1,)), START_MS << 16)
    assert merged(s2.engine.contexts).pending == {"S3": {NodeId("S9", 1): frozenset((1,))}}
    del context
    gc.collect()
    assert merged(s2.engine.contexts).pending == {}


# -- scopes ------------------------------------------------------------------------------------------------------------


def test_nodes_of_both_scopes_mix_and_keep_the_order() -> None:
    for context in ((), ("S1",), ("S2",), ("S1", "S3"), NAMES):
        net = Net(*NAMES, context=context)
        s1, s2, s3 = net
        request = s1.engine.contexts.open()
        m1 = s1.send("S3", context=request)
        m2 = s1.send("S2", context=request)
        net.carry("S1", "S2")
        m3 = s2.send("S3", context=s2.begin(m2))
        s2.finish(m2)
        net.carry("S2", "S3")
        net.carry("S1", "S3")
        assert s3.handle_all() == [m1, m3]
        net.settle()
        for station in net:
            station.tick()
            assert merged(station.engine.contexts).pending == {}
            assert len(station.engine.contexts) == 0


def test_scope_of_an_incarnation_does_not_change() -> None:
    net = Net(*NAMES)
    hello = Hello(sender=net["S1"].me, receiver="S2", scope=Scope.CONTEXT)
    with_error, _ = net["S2"].engine.greeted(hello, START_MS)
    assert isinstance(with_error, Refusal)
    assert with_error.code is RefusalCode.PROTOCOL
    later = Hello(sender=NodeId("S1", 2), receiver="S2", scope=Scope.CONTEXT)
    welcome, _ = net["S2"].engine.greeted(later, START_MS)
    assert isinstance(welcome, Welcome)


@pytest.mark.parametrize("place", ["after", "elsewhere"])
@pytest.mark.parametrize("origin", ["S1", "S2", "S3"])
def test_stamp_that_names_messages_otherwise_than_their_scope_says_is_refused(place: str, origin: str) -> None:
    net = Net(*NAMES, context=("S1",))
    s1, s2, _ = net
    s2.send("S1")
    s1.send("S3")
    m2 = s1.send("S2")
    (frame,) = net.take("S1", "S2")
    wrong: Dots = {net[origin].me: 1 if origin == "S1" else frozenset((1,))}
    (copy,) = frame.copies
    stamp = copy.stamp._replace(after=wrong) if place == "after" else copy.stamp._replace(elsewhere={"S3": wrong})
    bad = replace(frame, copies=(copy._replace(stamp=stamp),))
    with refused(s2.engine, ProtocolError, "otherwise than its scope"):
        net.deliver("S1", "S2", bad)
    net.deliver("S1", "S2", frame)
    assert list(s2.ready) == [m2]


def test_engine_takes_no_text_for_a_scope() -> None:
    with pytest.raises(ConfigurationError, match="scope must be a Scope"):
        EngineConfig(scope="context")  # type: ignore[arg-type]


def test_send_past_the_bound_of_a_stamp_is_refused_and_its_context_is_as_it_was() -> None:
    net = Net(*NAMES, context=NAMES, config=EngineConfig(dots_max=2))
    s1 = net["S1"]
    request = s1.engine.contexts.open()
    first, second = s1.send("S2"), s1.send("S3", key="k")
    with refused(s1.engine, BackpressureError, "stamp would list 3 dots"):
        s1.send("S2", context=request, key="k", after=[first])
    assert request.pending == {}
    net.carry("S1", "S3")
    net["S3"].handle(second)
    net.answer("S1", "S3")
    s1.send("S2", context=request, key="k", after=[first])
    assert set(request.pending) == {"S2"}


def test_node_that_takes_a_later_incarnation_renames_what_it_remembers() -> None:
    net = Net(*NAMES, context=NAMES, connect=False)
    s1 = net["S1"]
    request = s1.engine.contexts.open()
    first = s1.send("S2", context=request, key="k")
    reincarnate(s1.engine, 9)
    assert request.pending == {"S2": {NodeId("S1", 9): frozenset((1,))}}
    by_name = s1.send("S2", after=[first._replace(incarnation=9)])
    by_key = s1.send("S2", key="k")
    assert [stamp_of(s1, m, "S2").after for m in (by_name, by_key)] == [{NodeId("S1", 9): frozenset((1,))}] * 2


def test_send_after_a_message_that_is_stable_follows_nothing_though_it_was_never_here() -> None:
    net = Net(*NAMES, context=NAMES)
    s1, s2, _ = net
    elsewhere, here = s1.send("S3"), s1.send("S2")
    net.carry("S1", "S2")  # whatever S1 sends to S2 from here on comes after it, though it was never sent here
    with refused(s2.engine, UnknownDotError, str(elsewhere)):
        s2.send("S3", after=[elsewhere])
    net.settle()
    net.heartbeat()
    assert stamp_of(s2, s2.send("S3", after=[elsewhere, here]), "S3").after == {}


@pytest.mark.parametrize("context", [(), NAMES])
def test_send_after_an_unordered_message_does_not_wait_for_its_handler_but_follows_its_past(
    context: tuple[str, ...],
) -> None:
    net = Net(*NAMES, context=context)
    s1, s2, s3 = net
    request = s1.engine.contexts.open()
    slow, unordered = s1.send("S3", context=request), s1.send("S2", subject="none", context=request)
    net.carry("S1", "S2")
    m3 = s2.send("S2", "S3", after=[unordered])
    assert list(s2.ready) == [unordered, m3]
    net.carry("S2", "S3")
    assert s3.held == {m3: slow}


def test_handler_of_an_unordered_message_that_follows_nothing_is_not_remembered() -> None:
    net = Net(*NAMES, context=NAMES)
    s1, s2, _ = net
    unordered = s1.send("S2", subject="none")
    net.carry("S1", "S2")
    assert s2.begin(unordered).pending == {}
    assert len(s2.engine.contexts) == 0


def test_copy_has_the_contexts_that_are_open_and_what_is_remembered() -> None:
    net = Net(*NAMES, context=NAMES)
    contexts = net["S1"].engine.contexts
    kept = contexts.open()
    net["S1"].send("S2", context=kept, key="k")
    copied = copy.copy(contexts)
    assert list(copied) == list(contexts)
    assert kept in list(copied)
    del kept
    gc.collect()
    assert len(list(copied)) == len(list(contexts)) == len(contexts)


@pytest.mark.parametrize("scope", [(), NAMES])
@pytest.mark.parametrize("settled", [True, False])
def test_send_after_a_message_that_was_dropped_here_follows_what_it_followed(
    scope: tuple[str, ...], settled: bool
) -> None:
    net = Net(*NAMES, context=scope)
    s1, s2, s3 = net
    request = s1.engine.contexts.open()
    slow = s1.send("S3", context=request)
    before = s1.send("S2", context=request)
    letter = s1.send("S2", context=request)
    net.carry("S1", "S2")
    if settled:
        s2.handle(before)
    s2.drop(letter)
    assert (letter.seq in s2.engine.settlement.inbound[s1.me].unsettled) is not settled
    after = s2.send("S3", context=s2.engine.contexts.open(), after=[letter])
    stamped = s2.engine.outbound["S3"].outbox[after.seq].stamp
    assert stamped.clock is not None
    assert stamped.clock[s1.me] == letter.seq
    net.carry("S2", "S3")
    assert s3.held == {after: slow}


def test_message_that_was_dropped_is_forgotten_once_what_it_followed_is_settled() -> None:
    net = Net(*NAMES)
    s1, s2, _ = net
    s1.send("S3")
    letter = s1.send("S2")
    net.carry("S1", "S2")
    s2.drop(letter)
    unrelated = s2.send("S3")
    assert stamp_of(s2, unrelated, "S3").after == {}, "nothing but what names it follows it"
    assert stamp_of(s2, unrelated, "S3").clock == {s2.me: 1}
    assert (len(s2.engine.contexts), len(s2.engine.contexts._dropped)) == (1, 1)
    net.settle()
    assert (len(s2.engine.contexts), len(s2.engine.contexts._dropped)) == (0, 0)


def test_dropped_message_that_nothing_has_to_wait_for_leaves_nothing_behind() -> None:
    net = Net("S1", "S2")
    s1, s2 = net
    message = s1.send("S2", subject="none")
    net.carry("S1", "S2")
    s2.drop(message)
    assert len(s2.engine.contexts) == 0


def test_merged_contexts_follow_what_each_of_them_follows() -> None:
    one, other = CausalContext(1), CausalContext(2)
    chain, single = NodeId("S1", 1), NodeId("S2", 1)
    one.merge({"S3": {chain: 5, single: frozenset((1, 2))}}, lambda *_: False, 10)
    other.merge({"S3": {chain: 3, single: frozenset((2, 4))}, "S4": {chain: 3}}, lambda *_: False, 10)
    other.reach(7)
    whole = merged([one, other, one])
    assert whole.pending == {"S3": {chain: 5, single: frozenset((1, 2, 4))}, "S4": {chain: 3}}
    assert whole.horizon == 7
    assert one.pending["S3"] == {chain: 5, single: frozenset((1, 2))}, "it is another one"


def test_unordered_message_that_is_dropped_and_follows_nothing_is_not_remembered() -> None:
    net = Net(*NAMES)
    s1, s2, _ = net
    letter = s1.send("S2", subject="none")
    net.carry("S1", "S2")
    s2.drop(letter)
    assert (len(s2.engine.contexts), len(s2.engine.contexts._dropped)) == (0, 0)
