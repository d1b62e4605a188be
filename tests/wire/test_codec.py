"""Frames there and back, the counting of stamp bytes, and the bytes themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal.errors import InvalidNameError, ProtocolError
from causal.ordering.dot import Dot, NodeId
from causal.ordering.frames import (
    Base,
    Hello,
    ReceiverFrame,
    ReceiverToSender,
    Refusal,
    RefusalCode,
    SenderFrame,
    SenderToReceiver,
    StableNumber,
    Welcome,
)
from causal.ordering.names import NAME_BYTES_MAX, SUBJECT_BYTES_MAX, validate_name
from causal.ordering.stamp import Copy, Stamp
from causal.wire import intern
from causal.wire.codec import (
    ReceiverDecoder,
    ReceiverEncoder,
    SenderDecoder,
    SenderEncoder,
    TableFullError,
    decode_copy,
    encode_copy,
)
from causal.wire.limits import DETAIL_CHARS_MAX, NUMBER_END, PROCESS_END, SUBJECTS_INTERNED_MAX, TIMESTAMP_END
from causal.wire.v1 import frames_pb2 as pb

S1 = NodeId("S1", 1_764_000_000_001)
S2 = NodeId("S2", 1_764_000_000_002)
S3 = NodeId("S3", 1_764_000_000_003)
HELLO = Hello(sender=S1, receiver="S2")
WELCOME = Welcome(
    receiver=S2,
    known=True,
    received_to=9,
    missing=(3, 7),
    beyond=(12,),
    unsettled=(2, 12),
    window_messages=4096,
    window_bytes=64 << 20,
)


def is_name(text: str) -> bool:
    try:
        return validate_name(text) == text
    except InvalidNameError:
        return False


names: st.SearchStrategy[str] = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="/"), min_size=1, max_size=12
).filter(is_name)
subjects = st.lists(st.from_regex(r"[a-zé日]{1,6}", fullmatch=True), min_size=1, max_size=4).map(".".join)
seqs = st.integers(1, NUMBER_END - 1)
counts_from_zero = st.integers(0, NUMBER_END - 1)
processes = st.integers(0, PROCESS_END - 1)
nodes = st.builds(NodeId, names, counts_from_zero)
dot_sets = st.dictionaries(nodes, seqs, max_size=3)
dots = st.builds(Dot, names, counts_from_zero, seqs)
clocks = st.lists(st.tuples(nodes, seqs), max_size=4, unique_by=lambda entry: entry[0].name).map(dict)


@st.composite
def copies(draw: st.DrawFn) -> Copy:
    seq = draw(seqs)
    stamp = Stamp(
        previous=draw(st.integers(0, seq - 1)),
        timestamp=draw(st.integers(0, TIMESTAMP_END - 1)),
        after=draw(dot_sets),
        elsewhere=draw(st.dictionaries(names, st.dictionaries(nodes, seqs, min_size=1, max_size=2), max_size=2)),
        clock=draw(st.none() | clocks),
    )
    return Copy(seq, stamp, draw(subjects), draw(st.binary(max_size=40)))


@st.composite
def bases(draw: st.DrawFn) -> Base:
    last = draw(counts_from_zero)
    return Base(last=last, unsettled=tuple(draw(st.lists(st.integers(1, last), max_size=4)) if last else ()))


stable_numbers = st.builds(
    StableNumber, origin=nodes, upto=counts_from_zero, lagging=st.dictionaries(names, seqs, max_size=3)
)
tuples_of_seqs = st.lists(seqs, max_size=5).map(tuple)
sender_frames = st.builds(
    SenderFrame,
    number=seqs,
    base=st.none() | bases(),
    copies=st.lists(copies(), max_size=2).map(tuple),
    stable=st.lists(stable_numbers, max_size=2).map(tuple),
    questions=st.lists(dots, max_size=2).map(tuple),
    heard=st.lists(dots, max_size=2).map(tuple),
    exhaustive=st.booleans(),
    past=st.integers(0, 2**64 - 1),
).map(lambda frame: frame if frame.copies else replace(frame, exhaustive=False, heard=()))
receiver_frames = st.builds(
    ReceiverFrame,
    received=counts_from_zero,
    settled=tuples_of_seqs,
    resend=st.lists(st.tuples(seqs, seqs).map(lambda pair: (min(pair), max(pair))), max_size=3).map(tuple),
    answers=st.lists(dots, max_size=3).map(tuple),
    watch=st.dictionaries(nodes, counts_from_zero, max_size=3),
    lost=st.lists(dots, max_size=3).map(tuple),
    ask_past=st.integers(0, 2**64 - 1),
)
refusals = st.builds(
    Refusal,
    code=st.sampled_from(RefusalCode),
    detail=st.text(st.characters(codec="utf-8"), max_size=60),
    incarnation=counts_from_zero,
)


@st.composite
def welcomes(draw: st.DrawFn) -> Welcome:
    received_to = draw(st.integers(0, NUMBER_END - 2))
    return Welcome(
        receiver=draw(nodes),
        known=draw(st.booleans()),
        received_to=received_to,
        missing=tuple(draw(st.lists(st.integers(1, received_to), max_size=3)) if received_to else ()),
        beyond=tuple(draw(st.lists(st.integers(received_to + 1, NUMBER_END - 1), max_size=3))),
        unsettled=draw(tuples_of_seqs),
        window_messages=draw(counts_from_zero),
        window_bytes=draw(counts_from_zero),
        process=draw(processes),
    )


def sent(frames: Sequence[SenderToReceiver]) -> list[SenderToReceiver]:
    """The frames after a way through one stream's encoder and decoder."""
    encoder, decoder = SenderEncoder(), SenderDecoder()
    return [decoder.decode(encoder.encode(frame)) for frame in frames]


def reported(frames: Sequence[ReceiverToSender]) -> list[ReceiverToSender]:
    encoder, decoder = ReceiverEncoder(), ReceiverDecoder()
    return [decoder.decode(encoder.encode(frame)) for frame in frames]


def message(seq: int = 5, subject: str = "order.paid", payload: bytes = b"payload") -> Copy:
    stamp = Stamp(
        previous=seq - 1,
        timestamp=(1_764_000_000_123 << 16) + 7,
        after={S1: seq - 2, S3: 4},
        elsewhere={"S3": {S1: seq, S2: 8}},
        clock={S1: seq, S2: 8, S3: 4},
    )
    return Copy(seq, stamp, subject, payload)


@pytest.mark.simulation
@pytest.mark.timeout(120)
@given(sender=nodes, receiver=names, process=processes, frames=st.lists(sender_frames, max_size=2))
def test_sender_frames_of_a_stream_come_back_as_they_were(
    sender: NodeId, receiver: str, process: int, frames: list[SenderFrame]
) -> None:
    stream: list[SenderToReceiver] = [Hello(sender=sender, receiver=receiver, process=process), *frames]
    assert sent(stream) == stream


@pytest.mark.simulation
@given(welcome=welcomes(), frames=st.lists(receiver_frames, max_size=3), refusal=refusals)
def test_receiver_frames_of_a_stream_come_back_as_they_were(
    welcome: Welcome, frames: list[ReceiverFrame], refusal: Refusal
) -> None:
    stream: list[ReceiverToSender] = [welcome, *frames, refusal]
    assert reported(stream) == stream


@given(refusal=refusals)
def test_refusal_in_place_of_welcome_comes_back_as_it_was(refusal: Refusal) -> None:
    assert reported([refusal]) == [refusal]


@pytest.mark.simulation
@given(origin=nodes, copy=copies())
def test_single_copy_comes_back_with_its_origin(origin: NodeId, copy: Copy) -> None:
    assert decode_copy(encode_copy(origin, copy)) == (origin, copy)


def test_heartbeats_with_nothing_in_them_come_back_as_they_were() -> None:
    assert sent([HELLO, SenderFrame(number=1)])[1] == SenderFrame(number=1)
    assert reported([WELCOME, ReceiverFrame(received=0)])[1] == ReceiverFrame(received=0)


@pytest.mark.parametrize(
    "name", ["x" * NAME_BYTES_MAX, "é" * (NAME_BYTES_MAX // 2), "日本", "a.b", "*", "😀", "e\u0301", "\u00e9"]
)
def test_f4_odd_and_longest_names_are_carried_exactly(name: str) -> None:
    node, subject = NodeId(name, 1), "x" * SUBJECT_BYTES_MAX
    stamp = Stamp(0, 1, {node: 1}, {name: {node: 2}}, {node: 2})
    frame = SenderFrame(number=1, copies=(Copy(1, stamp, subject, b""),))
    hello = Hello(sender=S1, receiver=name)
    assert sent([hello, frame]) == [hello, frame]
    assert decode_copy(encode_copy(node, frame.copies[0])) == (node, frame.copies[0])


def test_definition_is_written_once_and_used_by_every_later_frame() -> None:
    encoder, decoder = SenderEncoder(), SenderDecoder()
    decoder.decode(encoder.encode(HELLO))
    first = encoder.encode(SenderFrame(number=1, copies=(message(5),)))
    second = encoder.encode(SenderFrame(number=2, copies=(message(6),)))
    assert b"S3" in first
    assert b"order.paid" in first
    assert b"S3" not in second
    assert b"order.paid" not in second
    assert decoder.decode(first) == SenderFrame(number=1, copies=(message(5),))
    assert decoder.decode(second) == SenderFrame(number=2, copies=(message(6),))


def test_a2_frame_that_arrives_twice_is_read_twice_the_same() -> None:
    encoder, decoder = SenderEncoder(), SenderDecoder()
    decoder.decode(encoder.encode(HELLO))
    data = encoder.encode(SenderFrame(number=1, copies=(message(),)))
    assert decoder.decode(data) == decoder.decode(data)


def test_tables_die_with_the_stream_and_the_next_one_writes_them_anew() -> None:
    for _ in range(2):
        assert sent([HELLO, SenderFrame(number=1, copies=(message(),))])[1] == SenderFrame(
            number=1, copies=(message(),)
        )
    encoder, other = SenderEncoder(), SenderDecoder()
    encoder.encode(HELLO)
    encoder.encode(SenderFrame(number=1, copies=(message(),)))
    other.decode(SenderEncoder().encode(HELLO))
    with pytest.raises(ProtocolError, match="not defined on this stream"):
        other.decode(encoder.encode(SenderFrame(number=2, copies=(message(),))))


def test_definitions_of_a_frame_that_could_not_be_encoded_go_with_the_next() -> None:
    encoder, decoder = SenderEncoder(), SenderDecoder()
    decoder.decode(encoder.encode(HELLO))
    broken = message()._replace(seq=2**64)
    with pytest.raises(OverflowError):
        encoder.encode(SenderFrame(number=1, copies=(broken,)))
    assert (encoder.copies, encoder.stamp_bytes) == (0, 0)
    frame = SenderFrame(number=1, copies=(message(),))
    assert decoder.decode(encoder.encode(frame)) == frame


def test_table_that_is_full_is_a_typed_error_and_leaves_the_stream_usable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intern, "TABLE_MAX", 2)
    encoder, decoder = SenderEncoder(), SenderDecoder()
    decoder.decode(encoder.encode(HELLO))
    with pytest.raises(TableFullError, match="origins is full"):
        encoder.encode(SenderFrame(number=1, questions=(Dot("a", 1, 1), Dot("b", 1, 1))))
    three = StableNumber(origin=S1, upto=1, lagging={"x": 1, "y": 1, "z": 1})
    with pytest.raises(TableFullError, match="destinations is full"):
        encoder.encode(SenderFrame(number=1, stable=(three,)))
    frame = SenderFrame(number=1, questions=(Dot("a", 1, 1),))
    assert decoder.decode(encoder.encode(frame)) == frame


def test_subjects_past_the_interned_ones_go_in_full_and_do_not_count_as_stamp() -> None:
    encoder, decoder = SenderEncoder(), SenderDecoder()
    decoder.decode(encoder.encode(HELLO))
    stamp = Stamp(0, 1, {}, {}, None)
    for start in range(0, SUBJECTS_INTERNED_MAX + 200, 200):
        batch = tuple(Copy(1, stamp, f"order.{number}", b"") for number in range(start, start + 200))
        assert decoder.decode(encoder.encode(SenderFrame(number=1, copies=batch))) == SenderFrame(
            number=1, copies=batch
        )
    before = encoder.stamp_bytes
    late = Copy(1, stamp, "order." + "x" * 100, b"")
    encoder.encode(SenderFrame(number=2, copies=(late,)))
    assert encoder.stamp_bytes - before < 20


def test_stamp_bytes_are_the_rows_without_payload_plus_the_definitions_of_origins() -> None:
    encoder = SenderEncoder()
    encoder.encode(HELLO)
    payload = b"x" * 1000
    encoder.encode(SenderFrame(number=1, copies=(message(5, payload=payload),)))
    assert encoder.copies == 1
    base = message().stamp.timestamp
    columns = [[], [5], [4], base, [[0, 5, 2, 8, 1, 4]], [0], [payload], [], [[0, 3, 2, 4]], [[[0, [0, 5, 4, 8]]]]]
    definitions = [
        pb.Origin(index=1, name="S3", incarnation=S3.incarnation),
        pb.Origin(index=2, name="S2", incarnation=S2.incarnation),
        pb.Name(index=0, name="S3"),
    ]
    expected = len(msgpack.packb(columns)) - 1000 + sum(each.ByteSize() for each in definitions)
    assert encoder.stamp_bytes == expected
    encoder.encode(SenderFrame(number=2, copies=(message(6, payload=payload),) * 2))
    assert encoder.copies == 3
    after, elsewhere, clock = [0, 4, 2, 4], [[0, [0, 6, 4, 8]]], [0, 6, 2, 8, 1, 4]
    two = [[], [6] * 2, [5] * 2, base, [clock] * 2, [0], [payload] * 2, [], [after] * 2, [elsewhere] * 2]
    assert encoder.stamp_bytes == expected + len(msgpack.packb(two)) - 2000


def test_detail_of_a_refusal_is_shortened_by_its_writer() -> None:
    (refusal,) = reported([Refusal(code=RefusalCode.PROTOCOL, detail="é" * 5000)])
    assert refusal == Refusal(code=RefusalCode.PROTOCOL, detail="é" * (DETAIL_CHARS_MAX - 1) + "…")


def test_rows_can_be_read_by_any_messagepack_reader() -> None:
    encoder = SenderEncoder()
    encoder.encode(HELLO)
    data = encoder.encode(SenderFrame(number=1, copies=(message(),)))
    written = pb.SenderToReceiver.FromString(data).frame
    timestamp, clock = (1_764_000_000_123 << 16) + 7, [0, 5, 2, 8, 1, 4]
    after, elsewhere = [0, 3, 2, 4], [[0, [0, 5, 4, 8]]]
    columns = [[], [5], [4], timestamp, [clock], [0], [b"payload"], [], [after], [elsewhere]]
    assert msgpack.unpackb(written.copies) == columns
    assert [(each.index, each.name, each.incarnation) for each in written.origins] == [(1, *S3), (2, *S2)]
