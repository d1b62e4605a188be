"""NATS JetStream: a real server of its own, file storage, nats-py, push consumer that acknowledges each message."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import nats
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, StorageType

from benchmarks.contenders.broker import server
from benchmarks.contenders.rows import frames, pack, unpack
from benchmarks.tally import Tally

_SUBJECT = "bench.message"
_ACKS_OPEN_MAX = 4096
"""Deliveries without an acknowledgement: the product's window, the server's own default is 1,000."""
_PACKED_OPEN_MAX = 512
"""The same of packed ones, 17 MB: at 64 MB unread a server takes its client for slow and hangs up, and what was under
way comes again after 30 s."""


@asynccontextmanager
async def receiver(tally: Tally, frame: int) -> AsyncIterator[str]:
    """Owns the server, so that it cannot stay behind alone."""

    async def handle(message: Msg) -> None:
        unpack(message.data, tally.note)

    async with server() as address:
        connection = await nats.connect(address)
        try:
            stream = connection.jetstream()
            await stream.add_stream(name="bench", subjects=[_SUBJECT], storage=StorageType.FILE)
            config = ConsumerConfig(max_ack_pending=_ACKS_OPEN_MAX if frame == 1 else _PACKED_OPEN_MAX)
            await stream.subscribe(_SUBJECT, cb=handle, config=config)
            yield address
        finally:
            await connection.close()


class JetStreamSender:
    """Publishes asynchronously; an acknowledgement says that the server has the message."""

    def __init__(self, stream: JetStreamContext, frame: int) -> None:
        self._stream = stream
        self._frame = frame
        self._sent = 0
        self._open: list[asyncio.Future[Any]] = []

    async def flood(self, messages: int, body: bytes) -> int:
        first = self._sent
        self._sent += messages
        for start, count in frames(first, messages, self._frame):
            self._open.append(await self._stream.publish_async(_SUBJECT, pack(start, count, body)))
        await self.drain()
        return first

    async def post(self, body: bytes) -> int:
        self._open.append(await self._stream.publish_async(_SUBJECT, pack(self._sent, 1, body)))
        self._sent += 1
        return self._sent - 1

    async def drain(self) -> None:
        await self._stream.publish_async_completed()
        published, self._open = self._open, []
        for future in published:
            future.result()


@asynccontextmanager
async def sender(address: str, frame: int) -> AsyncIterator[JetStreamSender]:
    connection = await nats.connect(address)
    try:
        yield JetStreamSender(connection.jetstream(), frame)
    finally:
        await connection.close()
