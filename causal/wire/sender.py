"""The direction from sender to receiver: Hello, then frames of messages.

Each object belongs to one stream. See frames.proto for what the bytes mean and what is checked.
"""

from __future__ import annotations

from causal.errors import ProtocolError
from causal.ordering.frames import Base, Hello, SenderFrame, SenderToReceiver
from causal.wire.columns import read_copies, write_copies
from causal.wire.fields import checked_number, checked_process, parse, read_dots, read_seqs, write_dots
from causal.wire.intern import (
    ReadNames,
    ReadOrigins,
    ReadSubjects,
    WrittenNames,
    WrittenOrigins,
    WrittenSubjects,
    checked_name,
    checked_scope,
    origin_of,
)
from causal.wire.limits import HEARD_MAX, PROTOCOL_VERSION, SUBJECTS_INTERNED_MAX, VersionError
from causal.wire.rows import read_stable, write_stable
from causal.wire.v1 import frames_pb2 as pb


class SenderEncoder:
    """Writes the sender's frames of one stream, Hello first."""

    def __init__(self) -> None:
        self.copies = 0
        """Messages encoded so far, repetitions included."""
        self.stamp_bytes = 0
        """Bytes spent on ordering them so far: the rows without payloads and subjects, plus the definitions of
        origins and destinations."""
        self._origins: WrittenOrigins | None = None
        self._destinations = WrittenNames()
        self._subjects = WrittenSubjects()

    def encode(self, frame: SenderToReceiver) -> bytes:
        """One frame. Raises `TableFullError` when the stream has to be replaced; nothing was written then."""
        if isinstance(frame, Hello):
            assert self._origins is None, "Hello comes once in a stream"
            self._origins = WrittenOrigins(frame.sender)
            hello = pb.Hello(
                version=PROTOCOL_VERSION,
                sender=origin_of(frame.sender, 0, frame.scope),
                receiver=frame.receiver,
                process=frame.process,
            )
            return pb.SenderToReceiver(hello=hello).SerializeToString()
        return self._encode_frame(frame)

    def _encode_frame(self, frame: SenderFrame) -> bytes:
        origins = self._origins
        assert origins is not None, "Hello comes first in a stream"
        message = pb.SenderToReceiver()
        written = message.frame
        written.number = frame.number
        written.past = frame.past
        written.given_up.extend(frame.given_up)
        if frame.farewell:
            written.farewell = True
        if frame.copies:
            written.exhaustive = frame.exhaustive
            written.heard.extend(write_dots(frame.heard, origins))
            written.copies = write_copies(frame.copies, origins, self._destinations, self._subjects)
        if frame.stable:
            written.stable = write_stable(frame.stable, origins, self._destinations)
        if frame.questions:
            written.questions.extend(write_dots(frame.questions, origins))
        if frame.base is not None:
            written.base.last = frame.base.last
            written.base.unsettled.extend(frame.base.unsettled)
        written.origins.extend(origins.fresh)
        written.destinations.extend(self._destinations.fresh)
        written.subjects.extend(self._subjects.fresh)
        data = message.SerializeToString()
        self._count(frame, written)
        for table in (origins, self._destinations, self._subjects):
            table.fresh.clear()
        return data

    def _count(self, frame: SenderFrame, written: pb.SenderFrame) -> None:
        self.copies += len(frame.copies)
        spent = len(written.copies) - sum([len(copy.payload) for copy in frame.copies])
        if len(self._subjects) >= SUBJECTS_INTERNED_MAX:  # Some may be in the rows in full.
            inline = (copy.subject for copy in frame.copies if copy.subject not in self._subjects)
            spent -= sum(len(subject.encode()) for subject in inline)
        spent += sum(definition.ByteSize() for definition in (*written.origins, *written.destinations))
        self.stamp_bytes += spent


class SenderDecoder:
    """Reads the sender's frames of one stream."""

    def __init__(self) -> None:
        self._origins = ReadOrigins()
        self._destinations = ReadNames()
        self._subjects = ReadSubjects()

    def decode(self, data: bytes) -> SenderToReceiver:
        """One frame. Raises `VersionError` for a Hello of another version, else `ProtocolError`.

        After an error the stream cannot be read any further.
        """
        message = parse(pb.SenderToReceiver, data)
        kind = message.WhichOneof("kind")
        if kind == "frame":
            return self._read_frame(message.frame)
        if kind == "hello":
            return self._read_hello(message.hello)
        raise ProtocolError("a frame with nothing in it that this version knows")

    def _read_hello(self, hello: pb.Hello) -> Hello:
        if hello.version != PROTOCOL_VERSION:
            raise VersionError(hello.version)
        if self._origins:
            raise ProtocolError("a second Hello on a stream")
        if hello.sender.index != 0:
            raise ProtocolError(f"the sender has index {hello.sender.index} in Hello, not 0")
        receiver = checked_name(hello.receiver)
        process = checked_process(hello.process)
        self._origins.define([hello.sender])
        scope = checked_scope(hello.sender.scope)
        return Hello(sender=self._origins[0], receiver=receiver, process=process, scope=scope)

    def _read_frame(self, frame: pb.SenderFrame) -> SenderFrame:
        if not self._origins:
            raise ProtocolError("a frame before Hello")
        origins, destinations, subjects = self._origins, self._destinations, self._subjects
        origins.define(frame.origins)
        destinations.define(frame.destinations)
        subjects.define(frame.subjects)
        return SenderFrame(
            number=checked_number(frame.number, "the number of a frame"),
            base=_read_base(frame.base) if frame.HasField("base") else None,
            copies=read_copies(frame.copies, origins, destinations, subjects) if frame.copies else (),
            stable=read_stable(frame.stable, origins, destinations) if frame.stable else (),
            questions=read_dots(frame.questions, origins, "questions") if frame.questions else (),
            past=frame.past,
            given_up=read_seqs(frame.given_up, "given_up"),
            farewell=frame.farewell,
            exhaustive=frame.exhaustive,
            heard=read_dots(frame.heard, origins, "heard", most=HEARD_MAX) if frame.heard else (),
        )


def _read_base(base: pb.Base) -> Base:
    last = checked_number(base.last, "the last of a base", least=0)
    return Base(last=last, unsettled=read_seqs(base.unsettled, "unsettled", most=last))
