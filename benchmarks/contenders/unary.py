"""Unary calls of grpc.aio, one message each; the reply is the acknowledgement."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from benchmarks.contenders.rows import pack, unpack
from benchmarks.figures import BenchmarkError
from benchmarks.tally import Tally

_PATH = "/bench.Unary/Call"

IN_FLIGHT = 64
"""Calls at a time: one after the other keeps the order, but is slower still. A server that is given thousands
cancels some."""


@asynccontextmanager
async def receiver(tally: Tally, frame: int) -> AsyncIterator[str]:
    async def serve(data: bytes, _: Any) -> bytes:
        unpack(data, tally.note)
        return b""

    server = grpc.aio.server()
    handler: Any = grpc.unary_unary_rpc_method_handler(serve)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Unary", {"Call": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


class UnarySender:
    """Keeps up to `IN_FLIGHT` calls going."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._sent = 0
        self._room = asyncio.Semaphore(IN_FLIGHT)
        self._posted: set[asyncio.Task[None]] = set()
        self._failed: BaseException | None = None

    async def flood(self, messages: int, body: bytes) -> int:
        first = self._sent
        self._sent += messages
        numbers = iter(range(first, self._sent))

        async def work() -> None:
            for number in numbers:
                await self._call(pack(number, 1, body))

        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
        return first

    async def post(self, body: bytes) -> int:
        number = self._sent
        self._sent += 1
        await self._room.acquire()
        task = asyncio.create_task(self._one(pack(number, 1, body)))
        self._posted.add(task)
        task.add_done_callback(self._end)
        return number

    async def drain(self) -> None:
        while self._posted:
            await asyncio.wait(self._posted)
        if self._failed is not None:
            raise BenchmarkError(f"a unary call failed: {self._failed!r}")

    async def _one(self, data: bytes) -> None:
        await self._call(data)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._posted.discard(task)
        self._room.release()
        self._failed = self._failed or (None if task.cancelled() else task.exception())


@asynccontextmanager
async def sender(address: str, frame: int) -> AsyncIterator[UnarySender]:
    async with grpc.aio.insecure_channel(address) as channel:
        yield UnarySender(channel.unary_unary(_PATH))
