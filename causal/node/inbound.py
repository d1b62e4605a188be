"""The receiver's end of the links: whoever dials this node."""

from __future__ import annotations

import asyncio
import logging
import time

from causal.errors import ClockDriftError, ProtocolError, RefusedError, RemoteError, TransportError
from causal.node.core import Core, now_ms
from causal.node.idle import Heartbeat, Idle, ended_by_silence
from causal.node.outbound import HANDSHAKE_SECONDS, reason, silence_max, stopped
from causal.ordering import NodeId
from causal.ordering.frames import Hello, Refusal, RefusalCode, SenderFrame
from causal.ordering.link import InboundLink
from causal.transport.base import Connection
from causal.wire.codec import ReceiverEncoder, SenderDecoder, VersionError

log = logging.getLogger("causal")

EPISODE_SECONDS = 60.0
"""An error that comes again within this time is not logged again."""

ERRORS_MAX = 100
"""Names whose last refusal is remembered: anybody can make up names."""

STRANGERS_MAX = 64
"""Streams on which no Hello has come yet. One more ends the oldest of them: a true peer says Hello at once."""

REPORTS_WAITING_MAX = 4096
"""Things to say to a sender beyond one for each message of its credit, before it is read any further."""


class InboundStream:
    """One accepted stream of a sender that was welcomed."""

    def __init__(self, sender: NodeId, connection: Connection) -> None:
        self.sender = sender
        self.connection = connection
        self.since = time.monotonic()
        self.wake = asyncio.Event()
        self.encoder = ReceiverEncoder()
        self.writing = False
        """Whether a frame is on its way to the transport."""
        self.telling = False
        """Whether nothing is read until the sender has taken in more of what it is told."""
        self.told = asyncio.Event()
        """Set when a frame has been handed to the transport, and when none will be any more."""
        self.broken = False


class InboundStreams:
    """The live stream of each sender: at most one a name, the newest. Frames of a replaced one are not read."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._closed = False
        self.live: dict[str, InboundStream] = {}
        self._strangers: dict[Connection, None] = {}
        """Accepted, and no Hello yet; the oldest first."""
        self.errors: dict[str, tuple[RemoteError, float]] = {}
        """Name → why a stream of that name was ended, and when that was last so (by the monotonic clock).

        What ended a welcomed stream is forgotten once a frame is accepted; what was wrong with a Hello stays, as
        another stream of the same name may be well."""

    async def accept(self, connection: Connection) -> None:
        """Serve one stream until it ends. Returns; what the sender did wrong is told to it and logged.

        Raises what is no fault of the sender: a trace that cannot be written, or a defect of this library.
        """
        decoder = SenderDecoder()
        try:
            hello = None if self._closed else await self._hello(connection, decoder)
            if hello is not None and not self._closed:
                await self._serve(hello, connection, decoder)
        except TransportError as error:
            log.debug("inbound stream: %s", error)
        except RemoteError as error:
            log.error("inbound stream refused: %s", error)
            await _refuse(connection, ReceiverEncoder(), error)

    @property
    def all_reported(self) -> bool:
        """Whether every settlement has been handed to the stream of its sender, where there is one."""
        return self._core.engine.all_reported and not any(stream.writing for stream in self.live.values())

    def break_all(self) -> None:
        """This node has another incarnation: who dialled the former one must dial again."""
        for stream in self.live.values():
            stream.wake.set()
        self.live.clear()
        self._core.report_wakes.clear()

    def break_off(self, sender: NodeId) -> None:
        """This sender has been evicted: its next frame ends its stream."""
        stream = self.live.get(sender.name)
        if stream is not None and stream.sender.incarnation <= sender.incarnation:
            stream.wake.set()
            del self.live[sender.name]
            del self._core.report_wakes[sender.name]

    async def close(self) -> None:
        """End all streams, and take no others; what was said on them has been handed to the transport."""
        self._closed = True
        for stream in list(self.live.values()):
            await stream.connection.close()

    async def _hello(self, connection: Connection, decoder: SenderDecoder) -> Hello | None:
        self._strangers[connection] = None
        try:
            if len(self._strangers) > STRANGERS_MAX:
                oldest = next(iter(self._strangers))
                del self._strangers[oldest]
                await oldest.close()
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                data = await connection.receive()
        except TimeoutError:
            raise TransportError("a stream without Hello") from None
        finally:
            self._strangers.pop(connection, None)
        if data is None:
            return None
        hello = decoder.decode(data)
        if not isinstance(hello, Hello):
            raise ProtocolError("a stream must begin with Hello")
        return hello

    async def _serve(self, hello: Hello, connection: Connection, decoder: SenderDecoder) -> None:
        core, name = self._core, hello.sender.name
        stream = InboundStream(hello.sender, connection)
        answer, output = core.engine.greeted(hello, now_ms())
        if isinstance(answer, Refusal):
            self._note(name, RefusedError(answer.code, answer.detail))
            await _say(connection, stream.encoder.encode(answer))
            return
        replaced = self.live.get(name)
        self.live[name] = stream
        core.report_wakes[name] = stream.wake
        writer: asyncio.Task[None] | None = None
        try:
            core.apply(output)
            if replaced is not None:
                if replaced.sender != hello.sender:
                    log.warning("%s takes the place of %s, which is still connected", hello.sender, replaced.sender)
                await replaced.connection.close()
            await connection.send(stream.encoder.encode(answer))
            writer = asyncio.create_task(self._write(stream))
            await self._read(stream, decoder)
        except RemoteError as error:
            self._note(name, error)
            if writer is not None:
                await stopped(writer)
            await _refuse(connection, stream.encoder, error)
        finally:
            if writer is not None:
                writer.cancel()  # before any await: a second cancellation must not leave it behind
            if self.live.get(name) is stream:
                del self.live[name]
                del core.report_wakes[name]
                core.engine.hung_up(hello.sender)
            core.progress.set()  # what could not be reported need not be waited for
            if writer is not None:
                await stopped(writer)

    def _note(self, name: str, error: RemoteError) -> None:
        """Show it in the status; log it once an episode, though its figures may differ each time."""
        now = time.monotonic()
        former, at = self.errors.pop(name, (None, 0.0))
        if reason(former) != reason(error) or now - at > EPISODE_SECONDS:
            log.error("link from %s: %s", name, error)
        self.errors[name] = (error, now)
        while len(self.errors) > ERRORS_MAX:
            del self.errors[next(iter(self.errors))]

    def _mended(self, name: str) -> None:
        if name in self.errors and not isinstance(self.errors[name][0], RefusedError):
            del self.errors[name]

    async def _read(self, stream: InboundStream, decoder: SenderDecoder) -> None:
        core, silence, connection = self._core, silence_max(self._core), stream.connection
        try:
            async with ended_by_silence(silence) as idle:
                while (data := await connection.receive()) is not None:
                    idle.touch()
                    if self.live.get(stream.sender.name) is not stream:
                        return
                    frame = decoder.decode(data)
                    if not isinstance(frame, SenderFrame):
                        raise ProtocolError(f"{stream.sender} sent a second Hello")
                    core.apply(core.engine.arrived(stream.sender, frame, now_ms()), frame.copies)
                    self._mended(stream.sender.name)
                    if frame.farewell:
                        return
                    await self._told(stream, idle)
                    if connection.at_hand:
                        await asyncio.sleep(0)  # others come first
        except TimeoutError:
            if stream.telling:
                raise TransportError(f"{stream.sender} has not read for {silence:.1f} s") from None
            raise TransportError(f"nothing heard from {stream.sender} for {silence:.1f} s") from None

    async def _told(self, stream: InboundStream, idle: Idle) -> None:
        """Return once the sender has taken in what it is told, but for what its credit allows to be on its way.

        Only one that repeats messages or questions, and does not read, is waited for: else that would pile up.
        """
        link = self._core.engine.settlement.inbound.get(stream.sender)
        most = self._core.config.window_messages + REPORTS_WAITING_MAX
        while link is not None and _to_be_told(link) > most:
            if stream.broken or self.live.get(stream.sender.name) is not stream:
                return
            stream.told.clear()
            stream.telling = True
            await stream.told.wait()
            stream.telling = False
            idle.touch()

    async def _write(self, stream: InboundStream) -> None:
        """Report settlements as they come, several at a time; after a silence, a heartbeat."""
        core, wake = self._core, stream.wake
        try:
            with Heartbeat(core.config.heartbeat_interval, wake) as heartbeat:
                while self.live.get(stream.sender.name) is stream:
                    wake.clear()
                    frame = core.engine.report(stream.sender, heartbeat=heartbeat.take())
                    if frame is None:
                        await wake.wait()
                        continue
                    stream.writing = True
                    await stream.connection.send(stream.encoder.encode(frame))
                    stream.writing = False
                    heartbeat.touch()
                    stream.told.set()
                    core.progress.set()
        except Exception:
            stream.broken = True
            stream.told.set()
            await stream.connection.close()  # the reader must not stay behind alone
            raise


def _to_be_told(link: InboundLink) -> int:
    return len(link.to_report) + len(link.answers) + len(link.lost) + len(link.gaps)


async def _refuse(connection: Connection, encoder: ReceiverEncoder, error: RemoteError) -> None:
    code = RefusalCode.PROTOCOL
    if isinstance(error, ClockDriftError):
        code = RefusalCode.CLOCK_DRIFT
    elif isinstance(error, VersionError):
        code = RefusalCode.VERSION
    try:
        await _say(connection, encoder.encode(Refusal(code=code, detail=str(error))))
    except TransportError:
        log.debug("the refusal did not get through")


async def failing(error: Exception) -> None:
    """Raise what a stream has failed with, in a task of its own."""
    raise error


async def _say(connection: Connection, last: bytes) -> None:
    """Send the last frame of a stream, to somebody who perhaps does not read."""
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            await connection.send(last)
    except TimeoutError:
        raise TransportError("the other side does not read") from None
