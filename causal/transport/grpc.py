"""Streams over gRPC: one call of `causal.wire.v1.Causal/Link` for each connection, raw frames as its messages.

The frames are bytes to gRPC, too: whoever owns the connection encodes and decodes them, once. Each dial has a
channel of its own, so that gRPC's reconnecting (its back-off is shared by all channels to an address) never
delays ours; a call is never retried. TLS has its place where channels and ports are opened, in `_open_channel`
and `GrpcListener.start`.

Three habits of grpc.aio are answered here. A read that is cancelled cancels the call: so a task of the
connection reads ahead, and `receive` waits for that. A call that is dropped stays alive (grpc#43462): so every
call is cancelled and every channel closed, whatever happens. A client's half-close and its death look alike to
a server that reads: a death is followed by a cancellation, which is given a moment to come.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from causal.errors import ClosedError, ConfigurationError, TransportError
from causal.transport.base import FRAME_BYTES_MAX, Accept
from causal.transport.serving import Serving

METHOD = "/causal.wire.v1.Causal/Link"

DIAL_SECONDS_MAX = 5.0
"""A dial to an address that does not answer fails after this time; to one that refuses, at once."""

CLOSE_SECONDS_MAX = 0.5
"""How long a close lets the other side take note before the call is cancelled."""

READ_AHEAD_FRAMES = 64
"""Frames read before somebody asks for them: one is decoded while the next comes in. Not more to gain: it is
what a dialler that closes can rely on to arrive at a listener that is slow."""

READ_AHEAD_BYTES = 1024 * 1024
"""The same in bytes; one frame is always read."""

_CANCELLATION_SECONDS = 0.02
"""How long after the last frame the news may come that the dialler did not end the stream but died."""

_BOTH_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_send_message_length", FRAME_BYTES_MAX),
    ("grpc.max_receive_message_length", FRAME_BYTES_MAX),
]
_CHANNEL_OPTIONS: list[tuple[str, Any]] = [
    *_BOTH_OPTIONS,
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    # Peers are addressed directly: a proxy for the way to the internet is not on this one.
    ("grpc.enable_http_proxy", 0),
]
_SERVER_OPTIONS: list[tuple[str, Any]] = [
    *_BOTH_OPTIONS,
    # With it, a second process could take the same port and half of the streams without anybody noticing.
    ("grpc.so_reuseport", 0),
]

# What grpc.aio raises for a call that is over, in one way or another.
_GRPC_ERRORS = (grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError)


if TYPE_CHECKING:  # These are generic to the type checker only.
    Call = grpc.aio.StreamStreamCall[bytes, bytes]
    Context = grpc.aio.ServicerContext[bytes, bytes]
    Method = grpc.RpcMethodHandler[bytes, bytes]
    Behaviour = Callable[[object, Context], Awaitable[None]]


class GrpcTransport:
    """Implements `causal.transport.base.Transport`; addresses are `host:port`, `[v6]:port` for IPv6."""

    def __init__(self) -> None:
        self._dialled: set[DialledConnection] = set()
        self._listeners: set[GrpcListener] = set()
        self._closed = False

    async def dial(self, address: str) -> DialledConnection:
        """See `Transport.dial`. When it returns the listener has answered: the stream is open at both ends."""
        self._check_open()
        channel = _open_channel(address)
        call: Call = channel.stream_stream(METHOD)()
        try:
            await _answered(call, address)
            self._check_open()
        except BaseException:
            call.cancel()
            await channel.close()
            raise
        connection = DialledConnection(channel, call, self._dialled.discard)
        self._dialled.add(connection)
        return connection

    async def listen(self, address: str, accept: Accept) -> GrpcListener:
        """See `Transport.listen`; port 0 is any that is free."""
        self._check_open()
        listener = GrpcListener(accept)
        self._listeners.add(listener)
        await listener.start(address)
        return listener

    async def close(self) -> None:
        """See `Transport.close`; takes some 3 seconds at most."""
        self._closed = True
        closing = [connection.close() for connection in self._dialled]
        closing += [listener.close() for listener in self._listeners]
        await asyncio.gather(*closing)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("the transport is closed")


class GrpcListener:
    """A server with one method; implements `causal.transport.base.Listener`."""

    def __init__(self, accept: Accept) -> None:
        self._serving = Serving(accept)
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        return self._serving.address

    async def start(self, address: str) -> None:
        """Bind and accept. Raises `ConfigurationError`."""
        host, colon, port = address.rpartition(":")
        if not (host and colon and port.isascii() and port.isdigit()):
            raise ConfigurationError(f"cannot listen at {address!r}: an address is host:port, the port may be 0")
        server = grpc.aio.server(options=_SERVER_OPTIONS)
        server.add_generic_rpc_handlers((_Handler(self._serve),))
        try:
            bound = server.add_insecure_port(address)
        except RuntimeError as error:
            raise ConfigurationError(f"cannot listen at {address!r}: {error}") from error
        self._serving.address = f"{host}:{bound}"
        self._server = server
        await server.start()

    async def close(self) -> None:
        """See `Listener.close`; takes some 3 seconds at most."""
        server, self._server = self._server, None
        if server is not None:
            stopping = asyncio.create_task(server.stop(CLOSE_SECONDS_MAX))  # From now on nobody gets in.
            await self._serving.close()
            await stopping

    async def _serve(self, _: object, context: Context) -> None:
        await context.send_initial_metadata(())  # The dialler waits for it.
        if self._server is None:
            return  # Nobody would close it: the stopping server would cancel it, and print a traceback.
        connection = AcceptedConnection(context)
        self._serving.start(connection)
        await connection.run()


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
        except _GRPC_ERRORS as error:
            raise TransportError(f"the stream is broken: {_said_by(error)}") from error
        except asyncio.CancelledError as error:
            # gRPC says this, too, when the *call* has been cancelled and not the task that waits for it.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise TransportError("the stream was closed while a frame was waiting for room") from error
        finally:
            self._sending = False

    async def receive(self) -> bytes | None:
        """See `Connection.receive`."""
        if self._reader is not None:
            raise RuntimeError("another task is waiting in receive()")
        while not self._arrived:
            if self._closed:
                raise TransportError("the stream is closed")
            if self._failure is not None:
                raise TransportError(f"the stream is broken: {_said_by(self._failure)}") from self._failure
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
            raise TransportError(f"the stream is broken: {_said_by(self._failure)}") from self._failure
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
                with suppress(TimeoutError, asyncio.CancelledError, *_GRPC_ERRORS):
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
        except _GRPC_ERRORS as error:
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
        self._writing: asyncio.Future[None] | None = None

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
        if self._writing is not None:
            self._writing.cancel()

    async def _write(self, frame: bytes) -> None:
        # As a task, because only a task can be given up: the call stays, and its write with it, until the
        # dialler reads or goes.
        self._writing = asyncio.ensure_future(self._context.write(frame))
        try:
            await self._writing
        finally:
            self._writing = None

    async def _read_to_the_end(self) -> None:
        try:
            await self._read_ahead()
        except _GRPC_ERRORS as error:
            self._end(error)

    async def _read(self) -> bytes | None:
        frame = await self._context.read()
        return frame if isinstance(frame, bytes) else None


class _Handler(grpc.GenericRpcHandler):
    """Knows one method, and neither parses nor serialises."""

    def __init__(self, serve: Behaviour) -> None:
        self._method: Method = grpc.stream_stream_rpc_method_handler(serve)

    def service(self, details: grpc.HandlerCallDetails) -> Method | None:
        return self._method if details.method == METHOD else None


def _open_channel(address: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)


async def _answered(call: Call, address: str) -> None:
    """Wait until the listener has sent its initial metadata. Raises `TransportError`."""
    try:
        async with asyncio.timeout(DIAL_SECONDS_MAX):
            await call.initial_metadata()
            if call.done():  # What came is not an answer, but what a call that has failed has in its place.
                problem = f"{(await call.code()).name}: {await call.details()}"
                raise TransportError(f"cannot open a stream to {address}: {problem}")
    except TimeoutError as error:
        raise TransportError(f"no answer from {address} within {DIAL_SECONDS_MAX} s") from error
    except _GRPC_ERRORS as error:
        raise TransportError(f"cannot open a stream to {address}: {_said_by(error)}") from error


def _said_by(error: BaseException) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return str(error) or type(error).__name__


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
