"""What a decoder does with anything that is not a valid frame: `ProtocolError`, and never anything else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal.errors import ProtocolError
from causal.ordering.dot import Dot, NodeId
from causal.ordering.frames import Base, Hello, ReceiverFrame, SenderFrame, StableNumber, Welcome
from causal.ordering.stamp import Copy, Stamp
from causal.wire import limits
from causal.wire.codec import (
    ReceiverDecoder,
    ReceiverEncoder,
    SenderDecoder,
    SenderEncoder,
    VersionError,
    decode_copy,
    encode_copy,
)
from causal.wire.v1 import frames_pb2 as pb

S1 = NodeId("S1", 1_764_000_000_001)
S2 = NodeId("S2", 1_764_000_000_002)
S3 = NodeId("S3", 1_764_000_000_003)
HELLO = Hello(sender=S1, receiver="S2")
WELCOME = Welcome(
    receiver=S2,
    known=True,
    received_to=9,
    missing=(3,),
    beyond=(12,),
    unsettled=(2,),
    window_messages=1,
    window_bytes=1,
)
COPY = Copy(5, Stamp(4, 77, {S3: 4}, {"S3": {S1: 5}}, {S1: 5, S3: 4}), "order.paid", b"payload")
SENDER_FRAME = SenderFrame(
    number=1,
    base=Base(last=4, unsettled=(2,)),
    copies=(COPY,),
    stable=(StableNumber(origin=S3, upto=7, lagging={"S1": 3}),),
    questions=(Dot("S3", S3.incarnation, 9),),
    heard=(Dot("S3", S3.incarnation, 4),),
)
RECEIVER_FRAME = ReceiverFrame(
    received=1, settled=(5,), resend=((7, 9),), answers=(Dot("S3", S3.incarnation, 9),), watch={S3: 11}
)

ROW = ["seq", "previous", "timestamp", "after", "elsewhere", "clock", "subject", "payload", "horizon", "closed"]
FAR = limits.NUMBER_END
TABLE_END = limits.TABLE_MAX


def sender_bytes() -> tuple[bytes, bytes]:
    encoder = SenderEncoder()
    return encoder.encode(HELLO), encoder.encode(SENDER_FRAME)


def receiver_bytes() -> tuple[bytes, bytes]:
    encoder = ReceiverEncoder()
    return encoder.encode(WELCOME), encoder.encode(RECEIVER_FRAME)


def greeted_sender() -> SenderDecoder:
    decoder = SenderDecoder()
    decoder.decode(sender_bytes()[0])
    return decoder


def greeted_receiver() -> ReceiverDecoder:
    decoder = ReceiverDecoder()
    decoder.decode(receiver_bytes()[0])
    return decoder


def decoders() -> list[Callable[[bytes], object]]:
    """Every way in, fresh and in mid-stream."""
    return [
        SenderDecoder().decode,
        greeted_sender().decode,
        ReceiverDecoder().decode,
        greeted_receiver().decode,
        decode_copy,
    ]


def survive(data: bytes) -> None:
    for decode in decoders():
        with contextlib.suppress(ProtocolError):
            decode(data)


def row(**changed: Any) -> list[Any]:
    """A valid row (S1 is 0, S3 is 1), with some of its elements changed."""
    fields: dict[str, Any] = {
        "seq": 5,
        "previous": 4,
        "timestamp": 77,
        "after": [2, 4],
        "elsewhere": [[0, [0, 5]]],
        "clock": [0, 5, 1, 4],
        "subject": 0,
        "payload": b"payload",
        "horizon": 0,
        "closed": [],
    }
    return list((fields | changed).values())


def columns_of(*rows: list[Any], clocks: Any = ()) -> bytes:
    """The columns of messages given as rows, each written in full, and what their clocks have in common."""
    seqs, previous, ticks, after, elsewhere, clock, subjects, payloads, horizons, closed = zip(*rows, strict=True)
    columns = [clocks, seqs, previous, 0, clock, subjects, payloads, ticks, after, elsewhere, horizons, closed]
    packed: bytes = msgpack.packb(columns)
    return packed


def read_rows(*rows: list[Any], clocks: Any = ()) -> tuple[Copy, ...]:
    """The messages of a frame with these rows."""
    return read_columns(columns_of(*rows, clocks=clocks))


def read_columns(packed: bytes) -> tuple[Copy, ...]:
    frame = pb.SenderFrame(number=1, copies=packed)
    frame.origins.add(index=1, name="S3", incarnation=S3.incarnation)
    frame.origins.add(index=2, name="S3", incarnation=S3.incarnation + 1)
    frame.destinations.add(index=0, name="S3")
    frame.destinations.add(index=1, name="S4")
    frame.subjects.add(index=0, name="order.paid")
    decoded = greeted_sender().decode(pb.SenderToReceiver(frame=frame).SerializeToString())
    assert isinstance(decoded, SenderFrame)
    return decoded.copies


def read_frame(**fields: Any) -> object:
    frame = pb.SenderFrame(**({"number": 1} | fields))
    return greeted_sender().decode(pb.SenderToReceiver(frame=frame).SerializeToString())


def read_report(**fields: Any) -> object:
    return greeted_receiver().decode(pb.ReceiverToSender(frame=pb.ReceiverFrame(**fields)).SerializeToString())


def read_welcome(**fields: Any) -> object:
    welcome = pb.Welcome(**({"receiver": pb.Origin(name="S2", incarnation=1)} | fields))
    return ReceiverDecoder().decode(pb.ReceiverToSender(welcome=welcome).SerializeToString())


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_but_protocol_errors(data: bytes) -> None:
    survive(data)


@given(data=st.data())
def test_valid_frames_with_bytes_changed_raise_nothing_but_protocol_errors(data: st.DataObject) -> None:
    valid = data.draw(st.sampled_from([*sender_bytes(), *receiver_bytes(), encode_copy(S1, COPY)]))
    mutated = bytearray(valid)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(mutated)))
        cut = data.draw(st.integers(0, 3))
        mutated[place : place + cut] = data.draw(st.binary(max_size=3))
    survive(bytes(mutated))


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.simulation
@given(columns=st.lists(values | st.lists(values, max_size=3), min_size=11, max_size=12))
def test_columns_of_arbitrary_values_raise_nothing_but_protocol_errors(columns: list[Any]) -> None:
    packed = msgpack.packb(columns)
    for field in ("copies", "stable"):
        with contextlib.suppress(ProtocolError):
            read_frame(**{field: packed})
    survive(b"\x01" + packed)


@given(place=st.sampled_from(ROW), value=values)
def test_valid_row_with_one_value_replaced_raises_nothing_but_protocol_errors(place: str, value: Any) -> None:
    with contextlib.suppress(ProtocolError):
        read_rows(row(**{place: value}))


def test_valid_row_is_read_so_that_the_refusals_below_are_for_their_own_reason() -> None:
    assert read_rows(row()) == (COPY,)


@pytest.mark.parametrize(
    "changed",
    [
        {"seq": 0},
        {"seq": -1},
        {"seq": True},
        {"seq": 5.0},
        {"seq": None},
        {"seq": "5"},
        {"seq": FAR},
        {"seq": 2**62},
        {"previous": 5},
        {"previous": -1},
        {"previous": False},
        {"previous": float("nan")},
        {"timestamp": -1},
        {"timestamp": True},
        {"timestamp": float("nan")},
        {"after": None, "previous": 0},
        {"after": {}},
        {"after": [2]},
        {"after": [2, 0]},
        {"after": [3, 0]},
        {"after": [2, -4]},
        {"after": [2, True]},
        {"after": [2, 4.0]},
        {"after": [2, 2**62]},
        {"after": [2, 4, 3, 5]},
        {"after": [3, 5, 2, 4]},
        {"after": [3, 5, 3, 5]},
        {"horizon": -1},
        {"horizon": None},
        {"closed": None},
        {"closed": [[0, []]]},
        {"closed": [[0, [2, 4]], [0, [2, 4]]]},
        {"after": [9, 4]},
        {"after": [-1, 4]},
        {"after": [1, 4, 1, 4]},
        {"after": [2, 4, 2, 3]},
        {"after": [[1, 4]]},
        {"elsewhere": [[0]]},
        {"elsewhere": [[0, [0, 5], 1]]},
        {"elsewhere": [[9, [0, 5]]]},
        {"elsewhere": [[0, [0, 5]], [0, [1, 2]]]},
        {"elsewhere": [[0, []]]},
        {"elsewhere": [["S3", [0, 5]]]},
        {"elsewhere": {}},
        {"clock": False},
        {"clock": [0, 0]},
        {"clock": [0, 5, 0, 5]},
        {"clock": [1, 4, 2, 4]},
        {"clock": [9, 4]},
        {"subject": 9},
        {"subject": -1},
        {"subject": True},
        {"subject": ""},
        {"subject": "a..b"},
        {"subject": "a.*"},
        {"subject": "a\nb"},
        {"subject": "x" * 257},
        {"subject": b"order.paid"},
        {"payload": "payload"},
        {"payload": None},
    ],
)  # fmt: skip
def test_a13_e9_g4_row_with_a_value_of_wrong_type_or_range_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        read_rows(row(**changed))


@pytest.mark.parametrize(
    "packed",
    [
        b"\xc0",
        b"\x80",
        b"\x90\x90",
        b"\x91" * 100_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xdc\xff\xff" + b"\x98" * 100,
        b"\xdf\xff\xff\xff\xff",
        columns_of(row())[:-1],
        columns_of(row()) + b"\x00",
        msgpack.packb([*msgpack.unpackb(columns_of(row())), 1]),
        columns_of(row(subject=msgpack.ExtType(1, b"x"))),
        b"\x97\x90\x91\x05\x91\x04\x01\x91\xc0\x91\xa3\xed\xa0\x80\x91\xc4\x01x",  # a surrogate within UTF-8
        b"\x97\x90\x91\x05\x91\x04\x01\xdd\xff\xff\xff\xff",
        b"\x97\x90\x91\x05\x91\x04\x01\x91\xc0\x91\x00\x91\xc6\xff\xff\xff\xff",
        b"\x96\x90\x91\x05\x91\x04\x01\x91\xc0\x91\x00",
    ],
)
def test_columns_of_another_shape_are_refused(packed: bytes) -> None:
    with pytest.raises(ProtocolError, match="copies"):
        read_columns(packed)


def flat(count: int) -> list[int]:
    return [number for index in range(count) for number in (index, 1)]


COLUMNS = ["clocks", "seqs", "previous", "base", "clock", "subjects", "payloads", "ticks", "after", "elsewhere"]
COLUMNS += ["horizons", "closed"]


def columns(**changed: Any) -> bytes:
    """Three messages of a chain with what they have in common said once, and some of the columns changed."""
    usual = [[[1, 4]], [5, 6, 8], [4], 7 << 16, [0], [0], [b"a", b"b", b"c"], [0, 1, 5], [], [], [], []]
    packed: bytes = msgpack.packb(list((dict(zip(COLUMNS, usual, strict=True)) | changed).values()))
    return packed


def test_run_of_messages_says_once_what_they_have_in_common() -> None:
    read = read_columns(columns())
    assert [copy.seq for copy in read] == [5, 6, 8]
    assert [copy.stamp.previous for copy in read] == [4, 5, 6]
    assert [dict(copy.stamp.after) for copy in read] == [{S1: 4}, {S1: 5}, {S1: 6}]
    assert [copy.stamp.timestamp - (7 << 16) for copy in read] == [0, 1, 5]
    assert [dict(copy.stamp.clock or {}) for copy in read] == [{S1: seq, S3: 4} for seq in (5, 6, 8)]
    assert [copy.payload for copy in read] == [b"a", b"b", b"c"]


@pytest.mark.parametrize(
    "changed",
    [
        {"seqs": [5, 6]},
        {"seqs": []},
        {"previous": []},
        {"previous": [4, 5]},
        {"previous": [0]},
        {"previous": [4, 5, 8]},
        {"base": 2**64 - 3},
        {"base": -1},
        {"base": None},
        {"ticks": [0, 1]},
        {"after": [None]},
        {"after": [[], []]},
        {"elsewhere": [[]]},
        {"clock": []},
        {"clock": [0, 0]},
        {"clock": [1]},
        {"subjects": []},
        {"subjects": [0, 0]},
        {"payloads": [b"a"]},
        {"horizons": [0]},
        {"closed": [[], []]},
    ],
)
def test_a13_g6_columns_that_do_not_fit_each_other_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="copies"):
        read_columns(columns(**changed))


def test_clocks_that_rows_have_in_common_are_read_with_the_senders_own_entry() -> None:
    first, second = read_rows(row(clock=1), row(seq=6, previous=5, clock=0), clocks=[[], [1, 4]])
    assert first == COPY
    assert second.stamp.clock == {S1: 6}


@pytest.mark.parametrize(
    ("clocks", "match"),
    [
        ([[0, 5]], "two entries of a name"),
        ([[1, 4, 2, 4]], "two entries of a name"),
        ([[1, 0]], "a count is 0"),
        ([[1]], "odd length"),
        ([[9, 4]], "not defined"),
        ([[1, -4]], "copies"),
        ([[]] * (limits.ROWS_MAX + 1), "length"),
        ([flat(limits.CLOCK_ENTRIES_MAX + 1)], "length"),
        ([], "copies"),
        (None, "copies"),
    ],
)
def test_g4_clocks_in_common_of_a_wrong_form_are_refused(clocks: Any, match: str) -> None:
    with pytest.raises(ProtocolError, match=match):
        read_rows(row(clock=0), clocks=clocks)


def test_g6_stamp_past_the_limit_of_dots_is_refused_and_one_at_the_limit_is_not() -> None:
    limit = limits.DOTS_MAX
    origins = [pb.Origin(index=index, name=f"n{index}", incarnation=1) for index in range(1, limit + 1)]
    some = [number for index in range(1, limit + 1) for number in (2 * index, 1)]

    def read(after: list[int], elsewhere: list[Any]) -> object:
        frame = pb.SenderFrame(number=1, copies=columns_of(row(after=after, elsewhere=elsewhere)))
        frame.origins.extend(origins)
        frame.destinations.add(index=0, name="S3")
        frame.subjects.add(index=0, name="a")
        return greeted_sender().decode(pb.SenderToReceiver(frame=frame).SerializeToString())

    assert isinstance(read(some, []), SenderFrame)
    assert isinstance(read(some[:-2], [[0, [2, 1]]]), SenderFrame)
    with pytest.raises(ProtocolError, match="4097 dots"):
        read(some, [[0, [2, 1]]])
    with pytest.raises(ProtocolError, match="length"):
        read([*some, 0, 1], [])


def test_g6_frame_past_the_limit_of_dots_in_all_its_stamps_is_refused_before_any_of_them_is_read() -> None:
    undefined = [number for index in range(1, limits.DOTS_MAX + 1) for number in (2 * index, 1)]
    full = [row(after=undefined, elsewhere=[])] * (limits.FRAME_DOTS_MAX // limits.DOTS_MAX)
    with pytest.raises(ProtocolError, match="not defined"):
        read_rows(*full)
    there = [[0, [2, 1]]]
    for one_more in (row(elsewhere=[]), row(after=[], elsewhere=there), row(after=[], elsewhere=[], closed=there)):
        with pytest.raises(ProtocolError, match="a frame lists 65537 dots, more than 65536"):
            read_rows(*full, one_more)


def test_g6_counts_past_their_limits_are_refused() -> None:
    with pytest.raises(ProtocolError, match="length"):
        read_rows(*[row()] * (limits.ROWS_MAX + 1))
    with pytest.raises(ProtocolError, match="length"):
        read_rows(row(clock=flat(limits.CLOCK_ENTRIES_MAX + 1)))
    with pytest.raises(ProtocolError, match="length"):
        read_rows(row(elsewhere=[[0, []]] * (limits.DOTS_MAX + 1)))
    with pytest.raises(ProtocolError, match="length"):
        read_frame(stable=msgpack.packb([[0, 1, []]] * (limits.PAIRS_MAX + 1)))
    with pytest.raises(ProtocolError, match="length"):
        read_frame(stable=msgpack.packb([[0, 1, [0] * (2 * limits.LAGGING_MAX + 1)]]))
    with pytest.raises(ProtocolError, match="questions"):
        read_frame(questions=[0, 1] * (limits.PAIRS_MAX + 1))
    with pytest.raises(ProtocolError, match="heard"):
        read_frame(heard=[0, 1] * (limits.HEARD_MAX + 1))
    with pytest.raises(ProtocolError, match="definitions"):
        read_frame(subjects=[pb.Name(index=0, name="a")] * (limits.TABLE_MAX + 1))
    too_many = [1] * (limits.SEQS_MAX + 1)
    refusals: list[Callable[[], object]] = [
        lambda: read_report(settled=too_many),
        lambda: read_report(resend=too_many),
        lambda: read_welcome(unsettled=too_many),
        lambda: read_frame(base=pb.Base(last=9, unsettled=too_many)),
    ]
    for refused in refusals:
        with pytest.raises(ProtocolError, match="more than 262144"):
            refused()


@pytest.mark.parametrize(
    "fields",
    [
        {"number": 0},
        {"number": FAR},
        {"base": pb.Base(last=FAR)},
        {"base": pb.Base(last=3, unsettled=[4])},
        {"base": pb.Base(last=3, unsettled=[0])},
        {"questions": [0]},
        {"questions": [0, 0]},
        {"questions": [0, FAR]},
        {"questions": [7, 1]},
        {"heard": [0]},
        {"heard": [0, 0]},
        {"heard": [7, 1]},
        {"stable": msgpack.packb([[7, 1, []]])},
        {"stable": msgpack.packb([[0, -1, []]])},
        {"stable": msgpack.packb([[0, 1, [0, 1]]])},
        {"stable": msgpack.packb([[0, 1]])},
        {"stable": msgpack.packb([[0, True, []]])},
        {"stable": msgpack.packb({})},
        {"origins": [pb.Origin(index=1, name="S3", incarnation=FAR)]},
        {"origins": [pb.Origin(index=1, name="S3", scope=7)]},  # type: ignore[arg-type]
        {"origins": [pb.Origin(index=TABLE_END, name="S3")]},
        {"origins": [pb.Origin(index=0, name="S3")]},
        {"origins": [pb.Origin(index=1, name="S3"), pb.Origin(index=1, name="S3", incarnation=1)]},
        {"destinations": [pb.Name(index=TABLE_END, name="S3")]},
        {"destinations": [pb.Name(index=0, name="S3"), pb.Name(index=0, name="S4")]},
        {"subjects": [pb.Name(index=TABLE_END, name="a")]},
        {"subjects": [pb.Name(index=0, name="a"), pb.Name(index=0, name="b")]},
        {"subjects": [pb.Name(index=0, name="a.*")]},
    ],
)
def test_frame_with_a_field_out_of_range_undefined_or_redefined_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        read_frame(**fields)


@pytest.mark.parametrize("name", ["", "a/b", "a b", "a\nb", "a\0", "x" * 129, "\u200b"])
def test_f4_g14_name_that_is_none_is_refused_wherever_it_comes(name: str) -> None:
    refusals: list[Callable[[], object]] = [
        lambda: SenderDecoder().decode(
            pb.SenderToReceiver(
                hello=pb.Hello(version=1, sender=pb.Origin(name=name), receiver="S2")
            ).SerializeToString()
        ),
        lambda: SenderDecoder().decode(
            pb.SenderToReceiver(
                hello=pb.Hello(version=1, sender=pb.Origin(name="S1"), receiver=name)
            ).SerializeToString()
        ),
        lambda: read_welcome(receiver=pb.Origin(name=name)),
        lambda: read_frame(origins=[pb.Origin(index=1, name=name)]),
        lambda: read_frame(destinations=[pb.Name(index=1, name=name)]),
        lambda: read_report(origins=[pb.Origin(index=1, name=name)]),
        lambda: decode_copy(b"\x01" + msgpack.packb([[[name, 1, 0]], [], row(subject="a")])),
        lambda: decode_copy(b"\x01" + msgpack.packb([[["S1", 1, 0]], [name], row(subject="a")])),
    ]
    for refused in refusals:
        with pytest.raises(ProtocolError, match="node name") as error:
            refused()
        assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "fields",
    [
        {"received": FAR},
        {"settled": [0]},
        {"settled": [FAR]},
        {"resend": [1]},
        {"resend": [3, 2]},
        {"resend": [0, 2]},
        {"answers": [0]},
        {"answers": [9, 1]},
        {"answers": [0, 0]},
        {"watch": [0, 1, 0, 2]},
        {"watch": [0, FAR]},
        {"watch": [9, 1]},
        {"origins": [pb.Origin(index=0, name="S9")]},
    ],
)
def test_report_with_a_field_out_of_range_undefined_or_redefined_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        read_report(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"receiver": pb.Origin(index=1, name="S2")},
        {"received_to": FAR},
        {"received_to": 5, "missing": [6]},
        {"received_to": 5, "missing": [0]},
        {"received_to": 5, "beyond": [5]},
        {"unsettled": [0]},
        {"window_messages": FAR},
        {"window_bytes": FAR},
    ],
)
def test_welcome_with_a_field_out_of_range_is_refused(fields: dict[str, Any]) -> None:
    assert isinstance(read_welcome(), Welcome)
    with pytest.raises(ProtocolError):
        read_welcome(**fields)


@pytest.mark.parametrize(
    "refusal",
    [
        pb.Refusal(),
        pb.Refusal(code=pb.Refusal.VERSION, detail="x" * 1025),
        pb.Refusal(code=pb.Refusal.VERSION, incarnation=FAR),
    ],
)
def test_refusal_without_a_reason_or_out_of_range_is_refused(refusal: pb.Refusal) -> None:
    with pytest.raises(ProtocolError):
        ReceiverDecoder().decode(pb.ReceiverToSender(refusal=refusal).SerializeToString())


@pytest.mark.parametrize("version", [0, 2, 2**32 - 1])
def test_f3_hello_of_an_unknown_version_is_a_typed_error_whatever_else_it_says(version: int) -> None:
    hello = pb.Hello(version=version, sender=pb.Origin(index=5, name="a/b"), receiver="")
    with pytest.raises(VersionError) as refused:
        SenderDecoder().decode(pb.SenderToReceiver(hello=hello).SerializeToString())
    assert refused.value.version == version


def test_process_out_of_range_is_refused_in_hello_and_in_welcome() -> None:
    sender = pb.Origin(name="S1", incarnation=1)
    for process, accepted in ((2**63 - 1, True), (2**63, False)):
        hello = pb.Hello(version=1, sender=sender, receiver="S2", process=process)
        with contextlib.nullcontext() if accepted else pytest.raises(ProtocolError, match=r"below 2\^63"):
            SenderDecoder().decode(pb.SenderToReceiver(hello=hello).SerializeToString())
        with contextlib.nullcontext() if accepted else pytest.raises(ProtocolError, match=r"below 2\^63"):
            read_welcome(process=process)


def test_frames_out_of_their_place_in_a_stream_are_refused() -> None:
    hello, frame = sender_bytes()
    welcome, report = receiver_bytes()
    with pytest.raises(ProtocolError, match="before Hello"):
        SenderDecoder().decode(frame)
    with pytest.raises(ProtocolError, match="second Hello"):
        greeted_sender().decode(hello)
    with pytest.raises(ProtocolError, match="before Welcome"):
        ReceiverDecoder().decode(report)
    with pytest.raises(ProtocolError, match="second Welcome"):
        greeted_receiver().decode(welcome)
    shifted = pb.Hello(version=1, sender=pb.Origin(index=1, name="S1"), receiver="S2")
    with pytest.raises(ProtocolError, match="index 1 in Hello"):
        SenderDecoder().decode(pb.SenderToReceiver(hello=shifted).SerializeToString())


def test_empty_frames_are_refused() -> None:
    for decode in decoders():
        with pytest.raises(ProtocolError):
            decode(b"")


@pytest.mark.parametrize(
    "data",
    [
        encode_copy(S1, COPY)[1:],
        b"\x02" + encode_copy(S1, COPY)[1:],
        encode_copy(S1, COPY) + b"\x00",
        b"\x01" + msgpack.packb([[], [], row(subject="a")]),
        b"\x01" + msgpack.packb([[["S1", 1, 0]], [], row(subject=0, after=[], elsewhere=[], clock=None)]),
        b"\x01" + msgpack.packb([[["S1", 1, 7]], [], row(subject="a", after=[], elsewhere=[], clock=None)]),
        b"\x01" + msgpack.packb([[["S1", FAR, 0]], [], row(subject="a", after=[], elsewhere=[], clock=None)]),
        b"\x01" + msgpack.packb([[["S1", 1, 0]] * 2, [], row(subject="a", after=[], elsewhere=[], clock=None)]),
        b"\x01" + msgpack.packb([[["S1", 1, 0]], ["a", "a"], row(subject="a", after=[], elsewhere=[], clock=None)]),
    ],
)
def test_single_copy_of_another_format_or_inconsistent_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_copy(data)


def test_unknown_fields_of_a_later_version_are_ignored() -> None:
    _, frame = sender_bytes()
    extra = b"\xfa\x07\x03abc"  # field 127, three bytes
    inner = pb.SenderToReceiver.FromString(frame).frame.SerializeToString() + extra
    message = pb.SenderToReceiver(frame=pb.SenderFrame.FromString(inner)).SerializeToString()
    assert extra in message
    assert greeted_sender().decode(message) == SENDER_FRAME
