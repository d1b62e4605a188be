"""The bytes of fixed frames: whoever changes the wire by accident sees it here.

A failure means that the frames of this build are not those of the last one. If that is meant, frames.proto says so
too, and the protocol has a new version.
"""

from __future__ import annotations

from causal.ordering.counts import SharedClock
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
from causal.ordering.stamp import Copy, Stamp
from causal.wire.codec import (
    ReceiverDecoder,
    ReceiverEncoder,
    SenderDecoder,
    SenderEncoder,
    decode_copy,
    encode_copy,
)

PAST = (1_764_000_000_200 << 16) + 3
S1 = NodeId("S1", 1_764_000_000_001)
S2 = NodeId("S2", 1_764_000_000_002)
S3 = NodeId("S3", 1_764_000_000_003)


def copy_of(seq: int, payload: bytes) -> Copy:
    stamp = Stamp(
        previous=seq - 1,
        timestamp=(1_764_000_000_123 << 16) + 7,
        after={S1: seq - 2, S3: 4},
        elsewhere={"S3": {S1: seq, S2: 8}},
        clock={S1: seq, S2: 8, S3: 4},
    )
    return Copy(seq, stamp, "order.paid", payload)


def bounded_copy() -> Copy:
    """One that follows its predecessor only, and has dots that stand each for itself, a horizon and a closed dot."""
    stamp = Stamp(
        previous=6,
        timestamp=(1_764_000_000_124 << 16) + 1,
        after={S1: 6},
        elsewhere={"S3": {S1: 7, S2: frozenset({8, 300})}},
        clock=SharedClock({S3: 4}, S1, 7),
        horizon=1_764_000_000_000 << 16,
        closed={"S3": {S2: frozenset({300})}},
    )
    return Copy(7, stamp, "order.paid", b"")


def test_bytes_of_fixed_sender_frames_have_not_changed() -> None:
    golden: list[tuple[SenderToReceiver, str]] = [
        (
            Hello(sender=S1, receiver="S2", process=2**62 + 3),
            "0a1c0801120b120253311881d0dfb4ab331a025332210300000000000040",
        ),
        (
            SenderFrame(
                number=1,
                base=Base(last=4, unsettled=(2, 4)),
                copies=(copy_of(5, b"payload"), copy_of(6, b""), bounded_copy()),
                stable=(StableNumber(origin=S3, upto=7, lagging={"S1": 3}),),
                questions=(Dot("S3", S3.incarnation, 9),),
                past=PAST,
            ),
            (
                "12d7010801120d0801120253331883d0dfb4ab33120d0802120253321882d0dfb4ab331a04120253"
                "331a06080112025331220c120a6f726465722e706169642a06080412020204327a9c919201049305"
                "06079104cf019ab697e87b000793960005020801049600060208010400910093c4077061796c6f61"
                "64c400c400930000cdfffa9394000302049400040204c09391920094000504089192009400060408"
                "919200960007050805cd012c930000cf019ab697e80000009390909192009205cd012c3a07919301"
                "0792010342020109488380a0c6fed2adcd01"
            ),
        ),
        (SenderFrame(number=2), "12020802"),
        (
            SenderFrame(number=3, copies=(copy_of(7, b""),), exhaustive=True, heard=(Dot("S3", S3.incarnation, 4),)),
            (
                "12360803322c9a9091079106cf019ab697e87b00079196000702080104910091c400909194000502"
                "0491919200940007040860016a020104"
            ),
        ),
    ]
    encoder, decoder = SenderEncoder(), SenderDecoder()
    for frame, data in golden:
        assert encoder.encode(frame).hex() == data
        assert decoder.decode(bytes.fromhex(data)) == frame


def test_bytes_of_fixed_receiver_frames_have_not_changed() -> None:
    golden: list[tuple[ReceiverToSender, str]] = [
        (
            Welcome(
                receiver=S2,
                known=True,
                received_to=9,
                missing=(3, 7),
                beyond=(12,),
                unsettled=(2, 12),
                window_messages=4096,
                window_bytes=64 << 20,
                process=2**62 + 5,
            ),
            "0a2d0a0b120253321882d0dfb4ab3310011809220203072a010c3202020c3880204080808020490500000000000040",
        ),
        (
            ReceiverFrame(
                received=300,
                settled=(5, 6),
                resend=((7, 9), (12, 12)),
                answers=(Dot("S3", S3.incarnation, 9),),
                watch={S3: 11, S1: 0},
                lost=(Dot("S3", S3.incarnation, 8),),
                ask_past=PAST,
            ),
            (
                "1a4308ac02120d0801120253331883d0dfb4ab33120d0802120253311881d0dfb4ab331a02050622"
                "0407090c0c2a0201093204010b02003a020108408380a0c6fed2adcd01"
            ),
        ),
        (ReceiverFrame(received=0), "1a00"),
        (Refusal(code=RefusalCode.NAME_TAKEN, detail="stop one"), "120c0807120873746f70206f6e65"),
        (
            Refusal(code=RefusalCode.STALE_INCARNATION, detail="a later one is here", incarnation=S1.incarnation),
            "121e0801121361206c61746572206f6e6520697320686572651881d0dfb4ab33",
        ),
    ]
    encoder, decoder = ReceiverEncoder(), ReceiverDecoder()
    for frame, data in golden:
        assert encoder.encode(frame).hex() == data
        assert decoder.decode(bytes.fromhex(data)) == frame


def test_bytes_of_a_fixed_single_copy_have_not_changed() -> None:
    data = (
        "01939393a25331cf0000019ab697e8010093a25333cf0000019ab697e8030093a25332cf0000019a"
        "b697e8020091a253339a0504cf019ab697e87b000794000302049192009400050408960005020801"
        "04aa6f726465722e70616964c4077061796c6f61640090"
    )
    assert encode_copy(S1, copy_of(5, b"payload")).hex() == data
    assert decode_copy(bytes.fromhex(data)) == (S1, copy_of(5, b"payload"))
