"""The two sides of a stream over gRPC, and how each of them ends.

Three habits of grpc.aio are answered here. A read that is cancelled cancels the call: so a task of the
connection reads ahead, and `receive` waits for that. A call that is dropped stays alive (grpc#43462): so every
call is cancelled and every channel closed, whatever happens. A client's half-close and its death look alike to
a server that reads: a death is followed by a cancellation, which is given a moment to come.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from causal.errors import TransportError
from causal.transport.base import FRAME_BYTES_MAX

CLOSE_SECONDS_MAX = 0.5
"""How long a close lets the other side take note before the call is cancelled."""

READ_AHEAD_FRAMES = 64
"""Frames read before somebody asks for them: one is decoded while the next comes in. Not more to gain: it is
what a dialler that closes can rely on to arrive at a listener that is slow."""

READ_AHEAD_BYTES = 1024 * 1024
"""The same in bytes; one frame is always read."""

_CANCELLATION_SECONDS = 0.02
"""How long after the last frame the news may come that the dialler did not end the stream but died."""

# What grpc.aio raises for a call that is over, in one way or another.
GRPC_ERRORS = (grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError)

if TYPE_CHECKING:  # These are generic to the type checker only.
    Call = grpc.aio.StreamStreamCall[bytes, bytes]
    Context = grpc.aio.ServicerContext[bytes, bytes]


class _Connection(ABC):
    """What both sides share: frames read ahead, and how a stream ends.

    Invariant: once `_ended` or `_failure` is set, nothing is added to `_arrived`; a `receive` gives what is in
    there first.
    """

    def __init__(self) -> None:
        self._arrived: deque[bytes] = deque()
        self._arrived_bytes = 0
        self._reader: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._sending = False
        self._closed = False
        self._ended = False
        self._failure: Exception | None = None

    async def send(self, frame: bytes) -> None:
        """See `Connection.send`; a cancelled call may or may not have sent, and may have broken the stream."""
        if len(frame) > FRAME_BYTES_MAX:
            raise ValueError(f"a frame of {len(frame)} bytes is over the limit of {FRAME_BYTES_MAX}")
        if self._sending:
            raise RuntimeError("another task is waiting in send()")
        self._check_writable()
        self._sending = True
        try:
            await self._write(frame)
        except GRPC_ERRORS as error:
            raise TransportError(f"the stream is broken: {said_by(error)}") from error
        except asyncio.CancelledError as error:
            # gRPC says this, too, when the *call* has been cancelled and not the task that waits for it.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise TransportError("the stream was closed while a frame was waiting for room") from error
        finally:
            self._sending = False

    @property
    def at_hand(self) -> bool:
        """See `Connection.at_hand`."""
        return bool(self._arrived)

    async def receive(self) -> bytes | None:
        """See `Connection.receive`."""
        if self._reader is not None:
            raise RuntimeError("another task is waiting in receive()")
        while not self._arrived:
            if self._closed:
                raise TransportError("the stream is closed")
            if self._failure is not None:
                raise TransportError(f"the stream is broken: {said_by(self._failure)}") from self._failure
            if self._ended:
                return None
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        frame = self._arrived.popleft()
        self._arrived_bytes -= len(frame)
        _wake(self._room)
        return frame

    @abstractmethod
    async def _write(self, frame: bytes) -> None: ...

    @abstractmethod
    async def _read(self) -> bytes | None: ...

    async def _read_ahead(self) -> None:
        """Read until the other side ends the stream, as far ahead as is allowed."""
        while (frame := await self._read()) is not None:
            if self._closed:
                continue  # Only the end is of interest.
            self._arrived.append(frame)
            self._arrived_bytes += len(frame)
            _wake(self._reader)
            while self._is_full() and not self._closed:
                self._room = asyncio.get_running_loop().create_future()
                await self._room

    def _is_full(self) -> bool:
        return len(self._arrived) >= READ_AHEAD_FRAMES or self._arrived_bytes >= READ_AHEAD_BYTES

    def _check_writable(self) -> None:
        if self._closed:
            raise TransportError("the stream is closed")
        if self._failure is not None:
            raise TransportError(f"the stream is broken: {said_by(self._failure)}") from self._failure
        if self._ended:
            raise TransportError("the other side has closed the stream")

    def _end(self, failure: Exception | None = None) -> None:
        """Nothing more will arrive: the other side has closed, or the stream is broken."""
        if not self._ended and self._failure is None:
            self._ended, self._failure = failure is None, failure
            _wake(self._reader)

    def _shut(self) -> None:
        """This side has closed."""
        self._closed = True
        self._arrived.clear()
        self._arrived_bytes = 0
        _wake(self._reader)
        _wake(self._room)


class DialledConnection(_Connection):
    """The dialler's side: a call, and the channel that it has for itself."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        call: Call,
        on_closed: Callable[[DialledConnection], None],
    ) -> None:
        super().__init__()
        self._channel = channel
        self._call = call
        self._frames = call.__aiter__()  # Reading with read() loses what is unread once the status is in.
        self._on_closed = on_closed
        self._reading = asyncio.create_task(self._read_to_the_end(), name="read from a listener")
        self._closing: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """See `Connection.close`: 0.5 s for the listener to take note, then the call is cancelled."""
        self._shut()
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="close a stream")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        try:
            # A send that waits for room stands before the end of the stream: there can be no orderly one.
            if not self._sending and not self._call.done():
                with suppress(TimeoutError, asyncio.CancelledError, *GRPC_ERRORS):
                    async with asyncio.timeout(CLOSE_SECONDS_MAX):
                        await self._call.done_writing()
                        await asyncio.wait({self._reading})
        finally:
            self._call.cancel()
            self._reading.cancel()
            await self._channel.close()
            await asyncio.wait({self._reading})
            self._on_closed(self)

    async def _read_to_the_end(self) -> None:
        try:
            await self._read_ahead()
        except GRPC_ERRORS as error:
            self._end(error)
        except asyncio.CancelledError:
            self._end(TransportError("the call was cancelled"))
        else:
            self._end()

    async def _write(self, frame: bytes) -> None:
        await self._call.write(frame)
        if self._call.done():  # A write that waits while the listener ends the stream in good order does not raise.
            raise TransportError("the other side has closed the stream")

    async def _read(self) -> bytes | None:
        return await anext(self._frames, None)


class AcceptedConnection(_Connection):
    """The listener's side: a call as its handler sees it. The call lasts as long as `run`."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._over = asyncio.Event()
        self._writer: asyncio.Task[object] | None = None
        """Who waits in a write."""

    async def run(self) -> None:
        """Read until either side closes or the dialler dies; when it returns, the dialler is told the end."""
        reading = asyncio.create_task(self._read_to_the_end(), name="read from a dialler")
        over = asyncio.create_task(self._over.wait())
        try:
            await asyncio.wait({reading, over}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({over}, timeout=_CANCELLATION_SECONDS)
            self._end()
        except asyncio.CancelledError:
            self._end(TransportError("the dialler is gone"))
            raise
        finally:
            reading.cancel()
            over.cancel()
            await asyncio.wait({reading, over})

    async def close(self) -> None:
        """See `Connection.close`; waits for nothing."""
        self._shut()
        self._over.set()
        if self._writer is not None:
            self._writer.cancel()
            self._writer = None

    async def _write(self, frame: bytes) -> None:
        # The call stays, and a write with it, until the dialler reads or goes: only whoever waits can be called off.
        # (In place of a task for each write, which costs as much as half of the write.)
        self._writer = writer = asyncio.current_task()
        assert writer is not None
        try:
            await self._context.write(frame)
        except asyncio.CancelledError:
            if self._writer is None:  # it was `close`: for `send`, which looks, that is no cancellation of its caller
                writer.uncancel()
            raise
        finally:
            self._writer = None

    async def _read_to_the_end(self) -> None:
        try:
            await self._read_ahead()
        except GRPC_ERRORS as error:
            self._end(error)

    async def _read(self) -> bytes | None:
        frame: object = await self._context.read()  # bytes, or the mark of the end
        return frame if isinstance(frame, bytes) else None


def said_by(error: BaseException) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return str(error) or type(error).__name__


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
