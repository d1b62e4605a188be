"""The direction from receiver to sender: Welcome or Refusal, then acknowledgements and requests.

Each object belongs to one stream. See frames.proto for what the bytes mean and what is checked.
"""

from __future__ import annotations

from itertools import chain

from causal.errors import ProtocolError
from causal.ordering.dot import NodeId
from causal.ordering.frames import ReceiverFrame, ReceiverToSender, Refusal, RefusalCode, Welcome
from causal.wire.fields import (
    checked_number,
    checked_process,
    parse,
    read_dots,
    read_origin_pairs,
    read_seqs,
    write_dots,
)
from causal.wire.intern import ReadOrigins, WrittenOrigins, checked_count, origin_of
from causal.wire.limits import DETAIL_CHARS_MAX, SEQS_MAX
from causal.wire.v1 import frames_pb2 as pb

_CODES = {
    RefusalCode.STALE_INCARNATION: pb.Refusal.STALE_INCARNATION,
    RefusalCode.WRONG_RECEIVER: pb.Refusal.WRONG_RECEIVER,
    RefusalCode.OWN_NAME: pb.Refusal.OWN_NAME,
    RefusalCode.PROTOCOL: pb.Refusal.PROTOCOL,
    RefusalCode.CLOCK_DRIFT: pb.Refusal.CLOCK_DRIFT,
    RefusalCode.VERSION: pb.Refusal.VERSION,
    RefusalCode.NAME_TAKEN: pb.Refusal.NAME_TAKEN,
}
_CODES_READ: dict[int, RefusalCode] = {number: code for code, number in _CODES.items()}


class ReceiverEncoder:
    """Writes the receiver's frames of one stream, Welcome (or Refusal, and nothing more) first."""

    def __init__(self) -> None:
        self._origins: WrittenOrigins | None = None

    def encode(self, frame: ReceiverToSender) -> bytes:
        """One frame. Raises `TableFullError` when the stream has to be replaced; nothing was written then."""
        match frame:
            case ReceiverFrame():
                return self._encode_frame(frame)
            case Welcome():
                return self._encode_welcome(frame)
            case Refusal():
                detail = frame.detail
                if len(detail) > DETAIL_CHARS_MAX:
                    detail = detail[: DETAIL_CHARS_MAX - 1] + "…"
                refusal = pb.Refusal(code=_CODES[frame.code], detail=detail, incarnation=frame.incarnation)
                return pb.ReceiverToSender(refusal=refusal).SerializeToString()

    def _encode_welcome(self, welcome: Welcome) -> bytes:
        assert self._origins is None, "Welcome comes once in a stream"
        self._origins = WrittenOrigins(welcome.receiver)
        written = pb.Welcome(
            receiver=origin_of(welcome.receiver, 0),
            known=welcome.known,
            received_to=welcome.received_to,
            missing=welcome.missing,
            beyond=welcome.beyond,
            unsettled=welcome.unsettled,
            window_messages=welcome.window_messages,
            window_bytes=welcome.window_bytes,
            process=welcome.process,
        )
        return pb.ReceiverToSender(welcome=written).SerializeToString()

    def _encode_frame(self, frame: ReceiverFrame) -> bytes:
        origins = self._origins
        assert origins is not None, "Welcome comes first in a stream"
        message = pb.ReceiverToSender()
        written = message.frame
        written.SetInParent()  # A heartbeat may have nothing but zeros in it.
        written.received = frame.received
        written.settled.extend(frame.settled)
        written.resend.extend(chain.from_iterable(frame.resend))
        if frame.answers:
            written.answers.extend(write_dots(frame.answers, origins))
        if frame.lost:
            written.lost.extend(write_dots(frame.lost, origins))
        written.ask_past = frame.ask_past
        for origin, seq in frame.watch.items():
            written.watch.extend((origins[origin], seq))
        written.origins.extend(origins.fresh)
        data = message.SerializeToString()
        origins.fresh.clear()
        return data


class ReceiverDecoder:
    """Reads the receiver's frames of one stream."""

    def __init__(self) -> None:
        self._origins = ReadOrigins()

    def decode(self, data: bytes) -> ReceiverToSender:
        """One frame. Raises `ProtocolError`; after that the stream cannot be read any further."""
        message = parse(pb.ReceiverToSender, data)
        kind = message.WhichOneof("kind")
        if kind == "frame":
            return self._read_frame(message.frame)
        if kind == "welcome":
            return self._read_welcome(message.welcome)
        if kind == "refusal":
            return _read_refusal(message.refusal)
        raise ProtocolError("a frame with nothing in it that this version knows")

    def _read_welcome(self, welcome: pb.Welcome) -> Welcome:
        if self._origins:
            raise ProtocolError("a second Welcome on a stream")
        if welcome.receiver.index != 0:
            raise ProtocolError(f"the receiver has index {welcome.receiver.index} in Welcome, not 0")
        self._origins.define([welcome.receiver])
        received_to = checked_number(welcome.received_to, "received_to", least=0)
        return Welcome(
            receiver=self._origins[0],
            known=welcome.known,
            received_to=received_to,
            missing=read_seqs(welcome.missing, "missing", most=received_to),
            beyond=read_seqs(welcome.beyond, "beyond", least=received_to + 1),
            unsettled=read_seqs(welcome.unsettled, "unsettled"),
            window_messages=checked_number(welcome.window_messages, "window_messages", least=0),
            window_bytes=checked_number(welcome.window_bytes, "window_bytes", least=0),
            process=checked_process(welcome.process),
        )

    def _read_frame(self, frame: pb.ReceiverFrame) -> ReceiverFrame:
        if not self._origins:
            raise ProtocolError("a frame before Welcome")
        self._origins.define(frame.origins)
        return ReceiverFrame(
            received=checked_number(frame.received, "received", least=0),
            settled=read_seqs(frame.settled, "settled"),
            resend=_read_ranges(frame),
            answers=read_dots(frame.answers, self._origins, "answers") if frame.answers else (),
            lost=read_dots(frame.lost, self._origins, "lost") if frame.lost else (),
            watch=self._read_watch(frame) if frame.watch else {},
            ask_past=frame.ask_past,
        )

    def _read_watch(self, frame: pb.ReceiverFrame) -> dict[NodeId, int]:
        pairs = read_origin_pairs(frame.watch, self._origins, "watch")
        watch = {origin: checked_number(seq, "watch", least=0) for origin, seq in pairs}
        if len(watch) != len(pairs):
            raise ProtocolError("watch: an origin comes twice")
        return watch


def _read_ranges(frame: pb.ReceiverFrame) -> tuple[tuple[int, int], ...]:
    checked_count(frame.resend, SEQS_MAX, "resend")
    each = iter(read_seqs(frame.resend, "resend"))
    try:
        ranges = tuple(zip(each, each, strict=True))
    except ValueError as error:
        raise ProtocolError("resend: a list of pairs has an odd length") from error
    for first, last in ranges:
        if first > last:
            raise ProtocolError(f"resend: from {first} to {last}")
    return ranges


def _read_refusal(refusal: pb.Refusal) -> Refusal:
    code = _CODES_READ.get(refusal.code)
    if code is None:
        raise ProtocolError(f"a refusal for reason {refusal.code}, which this version does not know")
    if len(refusal.detail) > DETAIL_CHARS_MAX:
        raise ProtocolError(f"a refusal's detail has {len(refusal.detail)} characters")
    incarnation = checked_number(refusal.incarnation, "incarnation", least=0)
    return Refusal(code=code, detail=refusal.detail, incarnation=incarnation)
