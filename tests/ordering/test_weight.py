"""What copies weigh against credit, and that both ends of a link count the same."""

from __future__ import annotations

import tracemalloc

import pytest

from causal.errors import ProtocolError
from causal.ordering import EngineConfig, NodeId
from causal.ordering.counts import SharedClock
from causal.ordering.frames import Hello, SenderFrame
from causal.ordering.stamp import Copy, Dots, Stamp, listed
from causal.ordering.weight import CLOCK_ENTRIES_FREE, total_weight, weight_of
from causal.wire.codec import SenderDecoder, SenderEncoder
from causal.wire.rows import decode_copy, encode_copy
from tests.ordering.links import START_MS, Net, refused, snapshot, stamp

S1 = NodeId("S1", 1)
STRANGERS = [NodeId(f"X{number}", 1) for number in range(100)]
MANY = dict.fromkeys(STRANGERS, 1)


def copy_with(made: Stamp, seq: int = 1, payload: bytes = b"12345") -> Copy:
    return Copy(seq, made, "s", payload)


@pytest.mark.parametrize(
    "usual",
    [
        stamp(),
        stamp(after={S1: 7}),
        stamp(clock={S1: 1}),
        stamp(after={S1: 7}, clock=dict.fromkeys(STRANGERS[:CLOCK_ENTRIES_FREE], 1)),
        stamp()._replace(clock=SharedClock(dict.fromkeys(STRANGERS[:CLOCK_ENTRIES_FREE], 1), S1, 1)),
    ],
)
def test_copy_of_a_chain_weighs_what_its_payload_does(usual: Stamp) -> None:
    assert weight_of(copy_with(usual)) == 5


@pytest.mark.parametrize(
    ("long", "weight"),
    [
        (stamp(after={S1: frozenset({7})}), 256 + 128),
        (stamp(after={S1: frozenset({7, 8, 9})}), 256 + 3 * 128),
        (stamp(after=MANY), 100 * 128),
        (stamp(elsewhere={"S3": {S1: 7}}), 128 + 384),
        (stamp(elsewhere={"S3": {S1: 7}})._replace(closed={"S3": {S1: 7}}), 2 * (128 + 384)),
        (stamp(clock=MANY), 36 * 64),
        (stamp()._replace(clock=SharedClock(MANY, S1, 1)), 36 * 64),
        (stamp(after=MANY)._replace(clock=None), 100 * 128),
    ],
)
def test_copy_with_a_long_stamp_weighs_more_by_what_that_takes_in_memory(long: Stamp, weight: int) -> None:
    assert weight_of(copy_with(long)) == 5 + weight


def test_weight_is_at_least_what_decoded_dots_take_in_memory() -> None:
    sets: Dots = {origin: frozenset({number}) for number, origin in enumerate(STRANGERS, 1000)}
    each = {f"D{number}": {origin: frozenset({number + 5000})} for number, origin in enumerate(STRANGERS)}
    for made in (stamp(after=MANY), stamp(after=sets), stamp(elsewhere={"D": MANY}), stamp(elsewhere=each)):
        data = encode_copy(S1, copy_with(made._replace(clock={S1: 1})))
        decode_copy(data)
        tracemalloc.start()
        try:
            _, copy = decode_copy(data)
            pairs = listed(copy.stamp.after)
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        names = 100 * 2 * 130  # origins and destinations, which the messages of a stream have in common
        assert taken - names <= weight_of(copy), (made, len(pairs))


def test_weight_is_the_same_at_both_ends_of_a_stream() -> None:
    copies = (
        copy_with(stamp(clock=MANY, after=MANY)._replace(clock={**MANY, S1: 1})),
        copy_with(stamp(1)._replace(clock=SharedClock(MANY, S1, 2)), 2),
        copy_with(stamp(2, elsewhere={"S3": {S1: frozenset({2, 3})}, "S4": MANY}), 3),
    )
    encoder, decoder = SenderEncoder(), SenderDecoder()
    decoder.decode(encoder.encode(Hello(sender=S1, receiver="S2")))
    read = decoder.decode(encoder.encode(SenderFrame(number=1, copies=copies)))
    assert isinstance(read, SenderFrame)
    assert list(map(weight_of, read.copies)) == list(map(weight_of, copies))


def test_g6_sender_whose_stamps_are_long_stops_at_the_credit_of_bytes() -> None:
    """Three destinations that nobody reaches: what is sent to S2 names all that is unsettled at them."""
    config = EngineConfig(window_bytes=16_384, dependencies_max=4096)
    net = Net("S1", "S2", peers={"S1": ["S2", "A", "B", "C"]}, config=config, connect=False)
    s1 = net["S1"]
    net.connect("S1", "S2")
    for _ in range(20):
        s1.send("A", "B", "C")
        s1.send("S2")
    taken = [copy for frame in net.take("S1", "S2", heartbeat=True) for copy in frame.copies]
    link = s1.engine.outbound["S2"]
    assert len(taken) == 5  # each more than 2 · 3 · 512: elsewhere, and closed, since none of the three has been open
    assert link.in_flight_bytes == total_weight(taken) <= 16_384 < total_weight(taken) + weight_of(link.outbox[12])
    assert not link.has_credit()


def test_g6_receiver_refuses_more_dots_than_its_credit_of_bytes_stands_for() -> None:
    net = Net("S1", "S2", config=EngineConfig(window_bytes=100_000))
    s2 = net["S2"].engine
    link = s2.settlement.inbound[S1]

    def flood(seq: int, number: int) -> SenderFrame:
        made = stamp(seq - 1, after=MANY, timestamp=(START_MS << 16) + seq)
        return SenderFrame(number=number, copies=(copy_with(made, seq, b""),))

    for seq in range(1, 8):
        s2.arrived(S1, flood(seq, seq + 1), net.now_ms)
    assert total_weight(arrival.copy for arrival in link.unsettled.values()) == 7 * 100 * 128
    with refused(s2, ProtocolError, "exceeds its credit of 100000 bytes"):
        s2.arrived(S1, flood(8, 9), net.now_ms)
    assert snapshot(link.bytes_most) == 7 * 100 * 128
