"""The product: one node sends, another has an async handler; acknowledged is what has been handled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.tally import Tally
from causal import Message, Node

RECEIVER = "receiver"
SUBJECT = "bench.message"
SETTLED_MAX_S = 60.0


@asynccontextmanager
async def receiver(tally: Tally, frame: int) -> AsyncIterator[str]:
    """A node with its default settings and a causal handler."""
    node = Node(RECEIVER, listen="127.0.0.1:0")

    @node.on(SUBJECT)
    async def handle(message: Message) -> None:
        tally.note(message.id.seq, message.body)

    async with node:
        assert node.address is not None
        yield node.address


class ProductSender:
    """Sends one by one, as a service does; `Node.send` waits when there is no room."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def flood(self, messages: int, body: bytes) -> int:
        send = self._node.send
        first = (await send(RECEIVER, SUBJECT, body)).seq
        for _ in range(messages - 1):
            await send(RECEIVER, SUBJECT, body)
        await self.drain()
        return first

    async def post(self, body: bytes) -> int:
        return (await self._node.send(RECEIVER, SUBJECT, body)).seq

    async def drain(self) -> None:
        await self._node.settled(timeout=SETTLED_MAX_S)


@asynccontextmanager
async def sender(address: str, frame: int) -> AsyncIterator[ProductSender]:
    async with Node("sender", peers={RECEIVER: address}) as node:
        yield ProductSender(node)
