"""The gRPC transport: the contract, over real sockets, and what only it has to keep."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import grpc.aio
import pytest

from causal.errors import ConfigurationError, TransportError
from causal.testing.contracts.transport import SECONDS_MAX, Serving, TransportContract, TransportPair, soon
from causal.transport import grpc as grpc_transport
from causal.transport.base import FRAME_BYTES_MAX, Connection
from causal.transport.grpc import METHOD, GrpcTransport
from causal.transport.grpc_connection import AcceptedConnection, DialledConnection
from causal.wire.v1 import frames_pb2, link_pb2, link_pb2_grpc

pytestmark = pytest.mark.integration


@dataclass
class Cable:
    """A TCP proxy that can be pulled: both of its sockets are reset."""

    host: str
    port: int
    ends: set[asyncio.StreamWriter] = field(default_factory=set)

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self.host, self.port)
        self.ends |= {writer, far_writer}
        await asyncio.gather(self.pass_on(reader, far_writer), self.pass_on(far_reader, writer))

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    def pull(self) -> None:
        for end in self.ends:
            end.transport.abort()


@dataclass(kw_only=True)
class GrpcPair(TransportPair):
    cables: list[tuple[asyncio.Server, Cable]] = field(default_factory=list)

    async def route(self, address: str) -> str:
        host, _, port = address.rpartition(":")
        cable = Cable(host, int(port))
        server = await asyncio.start_server(cable.carry, "127.0.0.1", 0)
        self.cables.append((server, cable))
        return f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def sever(self) -> None:
        for _, cable in self.cables:
            cable.pull()


@asynccontextmanager
async def grpc_pair() -> AsyncIterator[GrpcPair]:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # Bound and not listening: nobody can be there.
        pair = GrpcPair(
            dialler=GrpcTransport(),
            listener=GrpcTransport(),
            address="127.0.0.1:0",
            nobody=f"127.0.0.1:{unused.getsockname()[1]}",
        )
        yield pair
        await pair.sever()
        for server, _ in pair.cables:
            server.close()
            await server.wait_closed()


class TestGrpcTransport(TransportContract):
    @asynccontextmanager
    async def pair(self) -> AsyncIterator[TransportPair]:
        async with grpc_pair() as pair:
            yield pair


async def test_method_is_the_one_of_the_published_service() -> None:
    service = link_pb2.DESCRIPTOR.services_by_name["Causal"]
    assert f"/{service.full_name}/{service.methods_by_name['Link'].name}" == METHOD


async def test_client_generated_from_the_proto_can_speak_to_a_listener() -> None:
    serving, transport = Serving(), GrpcTransport()
    listener = await transport.listen("127.0.0.1:0", serving)
    async with grpc.aio.insecure_channel(listener.address) as channel:
        call = link_pb2_grpc.CausalStub(channel).Link()
        hello = frames_pb2.SenderToReceiver(hello=frames_pb2.Hello(version=1, receiver="S2"))
        await call.write(hello)
        accepted = await serving.accepted()
        frame = await soon(accepted.receive())
        assert frame is not None
        assert frames_pb2.SenderToReceiver.FromString(frame) == hello
        refusal = frames_pb2.ReceiverToSender(refusal=frames_pb2.Refusal(detail="no"))
        await accepted.send(refusal.SerializeToString())
        await accepted.close()
        assert await soon(call.read()) == refusal
        assert await soon(call.read()) is grpc.aio.EOF
        assert await soon(call.code()) == grpc.StatusCode.OK
    serving.over.set()
    await transport.close()


async def test_g7_frame_of_a_foreign_client_over_the_limit_ends_its_stream_and_no_other() -> None:
    serving, transport = Serving(), GrpcTransport()
    listener = await transport.listen("127.0.0.1:0", serving)
    dialled = await transport.dial(listener.address)
    bystander = await serving.accepted()
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(listener.address, options=options) as channel:
        call: grpc.aio.StreamStreamCall[bytes, bytes] = channel.stream_stream(METHOD)()
        await soon(call.initial_metadata())
        accepted = await serving.accepted()
        await call.write(bytes(FRAME_BYTES_MAX + 1))
        with pytest.raises(TransportError):
            await soon(accepted.receive())
        assert await soon(call.code()) != grpc.StatusCode.OK
    await dialled.send(b"still here")
    assert await soon(bystander.receive()) == b"still here"
    serving.over.set()
    await transport.close()


async def test_dial_of_a_port_that_accepts_and_never_answers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_transport, "DIAL_SECONDS_MAX", 0.3)
    transport = GrpcTransport()
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        pytest.raises(TransportError, match=r"no answer from .* within 0\.3 s"),
    ):
        await soon(transport.dial(f"127.0.0.1:{mute.getsockname()[1]}"))
    await transport.close()


async def test_dial_of_a_grpc_server_without_the_service_is_an_error_with_the_reason() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    transport = GrpcTransport()
    try:
        with pytest.raises(TransportError, match="UNIMPLEMENTED"):
            # gRPC may say so only after it has said that the call has begun: then the first frame never comes.
            await soon((await soon(transport.dial(f"127.0.0.1:{port}"))).receive())
    finally:
        await transport.close()
        await server.stop(None)


async def test_dial_again_after_many_refusals_finds_the_listener_at_once() -> None:
    """gRPC's own back-off after 20 refusals would be over a minute."""
    transport, serving = GrpcTransport(), Serving()
    listener = await transport.listen("127.0.0.1:0", serving)
    await listener.close()
    for _ in range(20):
        with pytest.raises(TransportError):
            await soon(transport.dial(listener.address))
    await transport.listen(listener.address, serving)
    async with asyncio.timeout(2.0):
        await transport.dial(listener.address)
    serving.over.set()
    await transport.close()


@pytest.mark.parametrize("address", ["", "127.0.0.1", ":7001", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:-1"])
async def test_listen_at_what_is_no_address_is_refused_with_the_form(address: str) -> None:
    with pytest.raises(ConfigurationError, match="host:port"):
        await GrpcTransport().listen(address, Serving())


async def test_listen_at_a_port_of_another_process_is_refused() -> None:
    with (
        socket.create_server(("127.0.0.1", 0), reuse_port=True) as other,
        pytest.raises(ConfigurationError, match="cannot listen at"),
    ):
        await GrpcTransport().listen(f"127.0.0.1:{other.getsockname()[1]}", Serving())


def connections_alive() -> int:
    gc.collect()
    kinds = (DialledConnection, AcceptedConnection, grpc.aio.Channel, grpc.aio.Call)
    return sum(isinstance(each, kinds) for each in gc.get_objects())


async def test_reconnects_leave_no_connection_call_or_channel_in_memory() -> None:
    before = connections_alive()

    async def echo(connection: Connection) -> None:
        while (frame := await connection.receive()) is not None:
            await connection.send(frame)

    transport = GrpcTransport()
    listener = await transport.listen("127.0.0.1:0", echo)
    for number in range(50):
        await call_once(transport, listener.address, bytes([number]))
    async with asyncio.timeout(SECONDS_MAX):
        while connections_alive() > before:  # noqa: ASYNC110  # the collector tells nobody
            await asyncio.sleep(0.01)
    await transport.close()


async def call_once(transport: GrpcTransport, address: str, frame: bytes) -> None:
    dialled = await transport.dial(address)
    await dialled.send(frame)
    assert await soon(dialled.receive()) == frame
    await dialled.close()
