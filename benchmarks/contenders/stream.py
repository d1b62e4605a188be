"""A bare bidirectional stream of grpc.aio: no schema, no acknowledgement but one at the end, nothing kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from benchmarks.contenders.rows import frames, pack, unpack
from benchmarks.figures import BenchmarkError
from benchmarks.tally import Tally

_PATH = "/bench.Bare/Stream"


@asynccontextmanager
async def receiver(tally: Tally, frame: int) -> AsyncIterator[str]:
    """Decodes each frame and notes its messages; answers an empty frame with how many there have been."""

    async def serve(_: Any, context: Any) -> None:
        received = 0
        while (data := await context.read()) is not grpc.aio.EOF:
            messages = unpack(data, tally.note)
            received += messages
            if not messages:
                await context.write(received.to_bytes(8, "little"))

    server = grpc.aio.server()
    handler: Any = grpc.stream_stream_rpc_method_handler(serve)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Bare", {"Stream": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


class StreamSender:
    """Writes frames of so many messages to one call."""

    def __init__(self, call: Any, frame: int) -> None:
        self._call = call
        self._frame = frame
        self._sent = 0

    async def flood(self, messages: int, body: bytes) -> int:
        first = self._sent
        write = self._call.write
        for start, count in frames(first, messages, self._frame):
            await write(pack(start, count, body))
        self._sent += messages
        await self.drain()
        return first

    async def post(self, body: bytes) -> int:
        await self._call.write(pack(self._sent, 1, body))
        self._sent += 1
        return self._sent - 1

    async def drain(self) -> None:
        await self._call.write(pack(0, 0, b""))
        answer = await self._call.read()
        received = -1 if answer is grpc.aio.EOF else int.from_bytes(answer, "little")
        if received != self._sent:
            raise BenchmarkError(f"the bare stream has {received} of {self._sent} messages")


@asynccontextmanager
async def sender(address: str, frame: int) -> AsyncIterator[StreamSender]:
    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.stream_stream(_PATH)()
        try:
            yield StreamSender(call, frame)
        finally:
            call.cancel()
