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
*origins*: definitions of the names of origins and destinations, once in a stream. *reports*: stable numbers,
questions, and how far the link has come. *framing*: the number of the message, its subject, and the headers of columns
and frames."""

COLUMNS = {
    "clocks": CLOCK,
    "seqs": FRAMING,
    "previous": ORDERING,
    "base": ORDERING,
    "clock": CLOCK,
    "subjects": FRAMING,
    "payloads": PAYLOAD,
    "ticks": ORDERING,
    "after": ORDERING,
    "elsewhere": ORDERING,
    "horizons": ORDERING,
    "closed": ORDERING,
}
"""The columns of a frame's messages, in their order (frames.proto, section 5)."""

FIELDS = {
    "number": FRAMING,
    "origins": ORIGINS,
    "destinations": ORIGINS,
    "subjects": FRAMING,
    "base": FRAMING,
    "stable": REPORTS,
    "questions": REPORTS,
    "past": REPORTS,
    "exhaustive": REPORTS,
    "heard": CLOCK,
}
"""The fields of a frame beside its columns."""

_COLUMN_PARTS = tuple(COLUMNS.values())
_encode = Encoder().encode
_decode = Decoder().decode


class FrameParts(NamedTuple):
    """Bytes of one frame."""

    frame: list[int]
    """By part, of what the messages in the frame share, or of a frame without messages."""
    messages: list[list[int]]
    """By part, of each message's entries in the columns; the last one is the payload."""
    total: int

    @property
    def sums(self) -> list[int]:
        """By part, of the whole frame."""
        return [sum(part) for part in zip(self.frame, *self.messages, strict=True)]


def frame_parts(data: bytes) -> FrameParts:
    """The parts of a `SenderToReceiver` frame. Raises `KeyError` or `ValueError` if it has something unknown."""
    frame = pb.SenderToReceiver.FromString(data).frame
    shared = [0] * 6
    messages = _messages(frame.copies, shared) if frame.copies else []
    for field, _ in frame.ListFields():
        if field.name != "copies":
            shared[FIELDS[field.name]] += _size_of_field(frame, field.name)
    # What is left: the tags and lengths of the frame and of its columns.
    shared[FRAMING] += len(data) - sum(shared) - sum(sum(parts) for parts in messages)
    return FrameParts(shared, messages, len(data))


def _size_of_field(frame: Message, name: str) -> int:
    before = frame.ByteSize()
    frame.ClearField(name)
    return before - frame.ByteSize()


def _messages(data: bytes, shared: list[int]) -> list[list[int]]:
    """By part, what each message has in the columns; what it has in common with others is added to `shared`."""
    columns = _decode(data)
    if len(columns) > len(_COLUMN_PARTS):
        raise ValueError(f"{len(columns)} columns, and only {len(_COLUMN_PARTS)} are known")
    messages = [[0] * 6 for _ in columns[1]]
    for part, column in zip(_COLUMN_PARTS, columns, strict=False):  # any number may be left out at the end
        entries = column if isinstance(column, list) else [column]
        own = len(entries) == len(messages)
        for message, entry in zip(messages if own else [shared] * len(entries), entries, strict=True):
            size = len(_encode(entry))
            if part == PAYLOAD:
                message[PAYLOAD] += len(entry)
                message[FRAMING] += size - len(entry)
            else:
                message[part] += size
    return messages
