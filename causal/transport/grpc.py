"""Streams over gRPC: one call of `causal.wire.v1.Causal/Link` for each connection, raw frames as its messages.

The frames are bytes to gRPC, too: whoever owns the connection encodes and decodes them, once. Each dial has a
channel of its own, so that gRPC's reconnecting (its back-off is shared by all channels to an address) never
delays ours; a call is never retried. TLS has its place where channels and ports are opened, in `_open_channel`
and `GrpcListener.start`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from causal.errors import ClosedError, ConfigurationError, TransportError
from causal.transport.base import FRAME_BYTES_MAX, Accept
from causal.transport.grpc_connection import (
    CLOSE_SECONDS_MAX,
    GRPC_ERRORS,
    AcceptedConnection,
    DialledConnection,
    said_by,
)
from causal.transport.serving import Serving, finished

METHOD = "/causal.wire.v1.Causal/Link"

DIAL_SECONDS_MAX = 5.0
"""A dial to an address that does not answer fails after this time; to one that refuses, at once."""

CONNECTION_SECONDS_MAX = 10.0
"""How long a listener bears a connection on which no stream is open: a dialler opens one at once."""

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
        self._closing: asyncio.Task[None] | None = None

    async def dial(self, address: str) -> DialledConnection:
        """See `Transport.dial`. When it returns the listener has answered: the stream is open at both ends.

        (Of a server without our service gRPC may say so only with the first `receive`, which then raises.)
        """
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
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="close the transport")
        await finished(self._closing)

    async def _close(self) -> None:
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
        idle_ms = int(CONNECTION_SECONDS_MAX * 1000)
        idle = [("grpc.server_handshake_timeout_ms", idle_ms), ("grpc.max_connection_idle_ms", idle_ms)]
        server = grpc.aio.server(options=[*_SERVER_OPTIONS, *idle])
        server.add_generic_rpc_handlers((_Handler(self._serve),))
        try:
            bound = server.add_insecure_port(address)
        except RuntimeError as error:
            raise ConfigurationError(f"cannot listen at {address!r}: {error}") from error
        self._serving.address = f"{host}:{bound}"
        self._server = server
        starting = asyncio.create_task(server.start(), name=f"listen at {address}")
        await finished(starting)  # gRPC cannot be interrupted here: its stop would fail

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
    except GRPC_ERRORS as error:
        raise TransportError(f"cannot open a stream to {address}: {said_by(error)}") from error
