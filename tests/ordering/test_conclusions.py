"""A dot that can never come is named once by each teller: its destination's word on it is final, and remembered."""

from __future__ import annotations

from causal.ordering import Dot, NodeId, VerdictKind
from causal.ordering.settlement import CONCLUDED_MAX
from causal.ordering.tokens import observe, token_of
from tests.ordering.links import Net


def lost_at_s3(net: Net) -> Dot:
    """S1 sends a cause to S3, which never arrives, tells S2 and S4 of it, and starts anew."""
    s1, s2, _, s4 = net
    cause, to_s2, to_s4 = s1.send("S3"), s1.send("S2"), s1.send("S4")
    net.carry("S1", "S2")
    net.carry("S1", "S4")
    s2.handle(to_s2)
    s4.handle(to_s4)
    net.restart("S1")
    net.connect("S1", "S3")
    return cause


def deliver(net: Net, sender: str, message: Dot) -> VerdictKind:
    net.carry(sender, "S3")
    if not net["S3"].ready:
        net.heartbeat()  # what a lost message had followed may come from anybody: all links have to be past it
    assert net["S3"].handle_all() == [message]
    return net["S3"].arrivals[message].verdict.kind


def test_message_after_one_that_was_answered_as_lost_is_inside_the_guarantee_again() -> None:
    net = Net("S1", "S2", "S3", "S4")
    cause = lost_at_s3(net)
    s2, s3 = net["S2"], net["S3"]
    first = s2.send("S3")
    assert deliver(net, "S2", first) is VerdictKind.LOST
    assert s3.arrivals[first].verdict.missing == (cause,)
    answer = net.answer("S2", "S3")
    assert answer is not None
    assert answer.lost == (cause,)
    assert deliver(net, "S2", s2.send("S3")) is VerdictKind.ORDERED


def test_lost_dot_that_many_copies_name_is_answered_once_a_frame() -> None:
    net = Net("S1", "S2", "S3", "S4")
    cause = lost_at_s3(net)
    # The second comes in by S2's handler of a message of S4, which names the cause as well. (By its clock S2 would know
    # that its first message stands for the cause; but it has observed a token.)
    engine = net["S2"].engine
    observe(engine, engine.context, token_of(engine, engine.context), net.now_ms)
    first = net["S2"].send("S3")
    again = net["S4"].send("S2")
    net.carry("S4", "S2")
    net["S2"].handle(again)
    second = net["S2"].send("S3")
    net.carry("S2", "S3")
    assert net["S3"].handle_all() == [first]
    net.answer("S4", "S3")
    net.carry("S4", "S3")  # S4 is past whatever the lost message may have followed
    assert net["S3"].handle_all() == [second]
    assert {net["S3"].arrivals[each].verdict.missing for each in (first, second)} == {(cause,)}
    answer = net.answer("S2", "S3")
    assert answer is not None
    assert answer.lost == (cause,)


def test_lost_dot_named_again_by_one_who_has_not_heard_is_not_taken_up_again() -> None:
    net = Net("S1", "S2", "S3", "S4")
    cause = lost_at_s3(net)
    s2, s4 = net["S2"], net["S4"]
    deliver(net, "S2", s2.send("S3"))
    net.answer("S2", "S3")
    news = s4.send("S2")
    assert cause in s4.pending["S3"], "S4 does not know yet"
    net.carry("S4", "S2")
    s2.handle(news)
    assert cause not in s2.pending.get("S3", ())
    # S4 has counted one more message of S1 than S2 had: that might have been lost as well, and is told once.
    assert deliver(net, "S2", s2.send("S3")) is VerdictKind.UNSURE
    assert deliver(net, "S2", s2.send("S3")) is VerdictKind.ORDERED


def test_words_of_a_destination_are_remembered_up_to_a_bound_the_latest_longest() -> None:
    net = Net("S1", "S2")
    settlement = net["S1"].engine.settlement
    origins = [Dot("S9", number, 1).origin for number in range(1, CONCLUDED_MAX + 2)]
    for origin in origins[:-1]:
        settlement.conclude("S2", origin, 7, chained=True)
    settlement.conclude("S2", origins[0], 5, chained=True)  # an older word about it: it stays 7, and is the latest
    settlement.conclude("S2", origins[-1], 7, chained=True)
    assert settlement.is_settled("S2", origins[0], 7)
    assert not settlement.is_settled("S2", origins[0], 8)
    assert not settlement.is_settled("S2", origins[1], 7), "the oldest goes first"
    assert not settlement.is_settled("S1", origins[0], 7)


def test_peers_are_all_told_once_each_connected_one_has_taken_in_that_its_message_is_settled() -> None:
    net = Net("S1", "S2", "S3")
    s1, s2, s3 = net
    assert s1.engine.stability.all_told
    dots = [s1.send("S2"), s1.send("S3")]
    for station, dot in zip((s2, s3), dots, strict=True):
        net.carry("S1", station.me.name)
        station.handle(dot)
        net.answer("S1", station.me.name)
    assert not s1.engine.unsettled
    assert not s1.engine.stability.all_told, "settled, but neither of them knows"
    net.carry("S1", "S2", heartbeat=True)
    net.answer("S1", "S2", heartbeat=True)
    assert not s1.engine.stability.all_told
    net.cut("S1", "S3")
    assert s1.engine.stability.all_told, "who is not there cannot be told"


def test_words_about_losses_are_remembered_of_a_bounded_number_of_incarnations() -> None:
    settlement = Net("S1", "S2")["S1"].engine.settlement
    for number in range(CONCLUDED_MAX + 1):
        settlement.conclude("S2", NodeId("S9", number), 1, chained=False, lost=True)
    assert not settlement.is_lost("S2", NodeId("S9", 0), 1), "an older word would be given again"
    assert settlement.is_lost("S2", NodeId("S9", 1), 1)
    assert len(settlement.losers["S2"]) == CONCLUDED_MAX
