"""The gRPC transport: the contract, over real sockets, and what only it has to keep."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from causal.testing.contracts.transport import TransportContract, TransportPair
from causal.transport.grpc import GrpcTransport

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
