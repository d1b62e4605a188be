"""What the bytes of a frame are spent on: the real encoder's frame, taken apart by protobuf and MessagePack alone.

Whatever is in a frame has a place here, or `KeyError` says that the format has grown: the parts and the payloads
always add up to the frame.
"""

from __future__ import annotations

from typing import NamedTuple

from google.protobuf.message import Message
from msgspec.msgpack import Decoder, Encoder

from causal.wire.v1 import frames_pb2 as pb

ORDERING, CLOCK, ORIGINS, REPORTS, FRAMING, PAYLOAD = range(6)

PARTS = ("ordering", "clock", "origins", "reports", "framing")
"""*ordering*: after, elsewhere, previous, HLC, horizon, and what may not be folded. *clock*: the vector clock.
*origins*: definitions of the names of origins and destinations, once in a stream. *reports*: stable numbers and
questions. *framing*: the number of the message, its subject, and the headers of rows and frames."""

ROW = {
    "seq": FRAMING,
    "previous": ORDERING,
    "timestamp": ORDERING,
    "after": ORDERING,
    "elsewhere": ORDERING,
    "clock": CLOCK,
    "subject": FRAMING,
    "payload": PAYLOAD,
    "horizon": ORDERING,
    "closed": ORDERING,
}
"""The elements of a row, in their order (frames.proto, section 5)."""

FIELDS = {
    "number": FRAMING,
    "origins": ORIGINS,
    "destinations": ORIGINS,
    "subjects": FRAMING,
    "base": FRAMING,
    "stable": REPORTS,
    "questions": REPORTS,
}
"""The fields of a frame beside its rows."""

_ROW_PARTS = tuple(ROW.values())
_encode = Encoder().encode
_decode = Decoder().decode


class FrameParts(NamedTuple):
    """Bytes of one frame."""

    frame: list[int]
    """By part, of what the messages in the frame share, or of a frame without messages."""
    messages: list[list[int]]
    """By part, of each message's row; the last one is the payload."""
    total: int

    @property
    def sums(self) -> list[int]:
        """By part, of the whole frame."""
        return [sum(part) for part in zip(self.frame, *self.messages, strict=True)]


def frame_parts(data: bytes) -> FrameParts:
    """The parts of a `SenderToReceiver` frame. Raises `KeyError` or `ValueError` if it has something unknown."""
    frame = pb.SenderToReceiver.FromString(data).frame
    shared = [0] * 6
    messages = _rows(frame.copies) if frame.copies else []
    size = len(data)
    for field, _ in frame.ListFields():
        if field.name != "copies":
            bytes_of_field = _size_of_field(frame, field.name)
            shared[FIELDS[field.name]] += bytes_of_field
            size -= bytes_of_field
    # What is left: the tags and lengths of the frame and of its rows.
    shared[FRAMING] += size - sum(sum(parts) for parts in messages)
    return FrameParts(shared, messages, len(data))


def _size_of_field(frame: Message, name: str) -> int:
    before = frame.ByteSize()
    frame.ClearField(name)
    return before - frame.ByteSize()


def _rows(data: bytes) -> list[list[int]]:
    messages = []
    for row in _decode(data):
        parts = [0] * 6
        for place, element in zip(_ROW_PARTS, row, strict=True):
            if place == PAYLOAD:
                parts[PAYLOAD] += len(element)
                parts[FRAMING] += len(_encode(element)) - len(element)
            else:
                parts[place] += len(_encode(element))
        messages.append(parts)
    return messages
