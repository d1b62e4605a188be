"""The sender's end of a link: dials a peer for ever, and keeps the stream busy."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import suppress

from causal.errors import CausalError, ProtocolError, RefusedError, RemoteError, TransportError
from causal.node.core import Core, now_ms
from causal.node.idle import Heartbeat, ended_by_silence
from causal.ordering.farewell import farewell
from causal.ordering.frames import ReceiverFrame, Refusal, RefusalCode, Welcome
from causal.transport.base import Connection, Transport
from causal.wire.codec import ReceiverDecoder, SenderEncoder

log = logging.getLogger("causal")

HANDSHAKE_SECONDS = 5.0
"""How long the other end may take for its first frame."""


class OutboundStreams:
    """One peer's streams, one after the other. A peer that is down, or not up yet, is normal."""

    def __init__(self, core: Core, transport: Transport, peer: str, address: str) -> None:
        self.core = core
        self.peer = peer
        self.address = address
        self.state = "connecting"
        self.since = time.monotonic()
        self.error: CausalError | None = None
        """Why the last stream ended, until the peer has accepted a frame of the present one."""
        self._logged: object = None
        """The reason that was logged last, until then: a broken stream in between makes it no news."""
        self.attempts = 0
        """Attempts in a row of which no frame was accepted."""
        self.stamp_bytes = 0
        self.stamp_copies = 0
        self._leaving = self._broken_off = False
        self._over = asyncio.Event()
        """Set once this node, which leaves, has nothing more to say or to hear on these streams."""
        self._transport = transport
        self._link = core.engine.outbound[peer]

    async def run(self) -> None:
        """Dial, serve the stream until it breaks, and again, with a jittered pause that grows to a bound."""
        while True:
            try:
                await self._serve()
            except (TransportError, RemoteError) as error:
                self._note(error)
            if self._leaving:
                self._over.set()
                return
            pause = self.core.config.reconnect_first * 2 ** min(self.attempts, 16)
            self.attempts += 1
            await asyncio.sleep(min(pause, self.core.config.reconnect_max) * random.uniform(0.5, 1.0))

    async def leave(self, seconds: float) -> None:
        """Say goodbye, if there is a stream and the peer has settled all; it then hangs up. Dial no more.

        Returns after `seconds` at the latest. No handler must run any more, and nothing may be sent.
        """
        self._leaving = True
        self.core.transmit_wakes[self.peer].set()
        if self.state == "open":
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._over.wait()

    def break_off(self) -> None:
        """The peer has been evicted: the stream ends."""
        self._broken_off = True
        self.core.transmit_wakes[self.peer].set()

    def _enter(self, state: str) -> None:
        if state != self.state:
            self.state, self.since = state, time.monotonic()

    def _note(self, error: CausalError) -> None:
        """A peer that is away is normal and goes to the status; what somebody must mend goes to the log, once."""
        if not isinstance(error, TransportError) and reason(error) != self._logged:
            log.error("link to %s at %s: %s", self.peer, self.address, error)
            self._logged = reason(error)
        self.error = error
        self._enter("connecting")

    async def _serve(self) -> None:
        """One stream. It ends by raising `TransportError` or `RemoteError`."""
        connection = await self._transport.dial(self.address)
        encoder, decoder = SenderEncoder(), ReceiverDecoder()
        writer: asyncio.Task[None] | None = None
        try:
            hello = self.core.engine.hello(self.peer)
            await connection.send(encoder.encode(hello))
            welcome = await self._welcome(connection, decoder)
            if hello.sender != self.core.me:
                raise TransportError("the incarnation has changed meanwhile")
            self.core.apply(self.core.engine.welcomed(self.peer, welcome))
            self._broken_off = False
            self._enter("open")
            writer = asyncio.create_task(self._write(connection, encoder))
            await self._read(connection, decoder)
        finally:
            if writer is not None:
                writer.cancel()  # before any await: a second cancellation must not leave it behind
            self.core.engine.disconnected(self.peer)
            self.core.progress.set()  # who is not connected need not be told
            await connection.close()
            if writer is not None:
                await stopped(writer)

    async def _welcome(self, connection: Connection, decoder: ReceiverDecoder) -> Welcome:
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                data = await connection.receive()
        except TimeoutError:
            raise TransportError(f"{self.peer} at {self.address} does not answer") from None
        answer = None if data is None else decoder.decode(data)
        if isinstance(answer, Welcome):
            return answer
        if isinstance(answer, Refusal):
            if answer.code is RefusalCode.STALE_INCARNATION:
                self.core.overtake(answer.incarnation)
            raise RefusedError(answer.code, answer.detail)
        if answer is None:
            raise TransportError(f"{self.peer} at {self.address} hung up")
        raise ProtocolError(f"{self.peer} must answer Hello with Welcome or Refusal")

    async def _read(self, connection: Connection, decoder: ReceiverDecoder) -> None:
        core, silence = self.core, silence_max(self.core)
        try:
            async with ended_by_silence(silence) as idle:
                while (data := await connection.receive()) is not None:
                    idle.touch()
                    frame = decoder.decode(data)
                    if isinstance(frame, Refusal):
                        raise RefusedError(frame.code, frame.detail)
                    if not isinstance(frame, ReceiverFrame):
                        raise ProtocolError(f"{self.peer} sent a second Welcome")
                    core.apply(core.engine.reported(self.peer, frame, now_ms()))
                    core.progress.set()
                    if frame.received:
                        self.attempts, self.error, self._logged = 0, None, None
                    if connection.at_hand:
                        await asyncio.sleep(0)  # others come first
        except TimeoutError:
            raise TransportError(f"nothing heard from {self.peer} for {silence:.1f} s") from None
        raise TransportError(f"{self.peer} closed the stream")

    async def _write(self, connection: Connection, encoder: SenderEncoder) -> None:
        """Send whatever is queued at once, without waiting for more; after a silence, a heartbeat."""
        core, wake = self.core, self.core.transmit_wakes[self.peer]
        counted_bytes = counted_copies = 0
        try:
            with Heartbeat(core.config.heartbeat_interval, wake) as heartbeat:
                while True:
                    wake.clear()
                    if self._leaving:
                        await self._say_goodbye(connection, encoder)
                        return
                    if self._broken_off:
                        raise TransportError(f"{self.peer} has been evicted")
                    frame = core.engine.transmit(self.peer, now_ms(), heartbeat=heartbeat.take())
                    if frame is None:
                        await wake.wait()
                        continue
                    data = encoder.encode(frame)
                    self.stamp_bytes += encoder.stamp_bytes - counted_bytes
                    self.stamp_copies += encoder.copies - counted_copies
                    counted_bytes, counted_copies = encoder.stamp_bytes, encoder.copies
                    await connection.send(data)
                    heartbeat.touch()
                    if self._link.has_credit():
                        await asyncio.sleep(0)  # others come first
        except Exception:
            await connection.close()  # the reader must not stay behind alone
            raise

    async def _say_goodbye(self, connection: Connection, encoder: SenderEncoder) -> None:
        frame = farewell(self.core.engine, self.peer, now_ms())
        if frame is None:
            self._over.set()
        else:
            await connection.send(encoder.encode(frame))


async def stopped(task: asyncio.Task[None]) -> None:
    """Cancel a task of one's own and see it end; a broken stream is no news, anything else is raised."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, TransportError):
        raise error


def reason(error: CausalError | None) -> object:
    """What tells errors apart for the log: their text has figures that change with each attempt."""
    return error.code if isinstance(error, RefusedError) else type(error)


def silence_max(core: Core) -> float:
    """Seconds without a frame after which a stream counts as broken."""
    return core.config.silence_seconds
