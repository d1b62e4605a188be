"""Nodes for tests: quick heartbeats, the in-memory network, and waiting for a condition instead of for a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from causal.node import Message, Node, Policy
from causal.node.payload import encode_payload
from causal.observe.trace import TraceEvent
from causal.ordering.dot import Dot, NodeId
from causal.ordering.frames import Base, Hello, ReceiverToSender, SenderFrame
from causal.ordering.stamp import Copy, Stamp
from causal.testing.cluster import Cluster
from causal.wire.codec import ReceiverDecoder, SenderEncoder

QUICK = {"heartbeat_interval": 0.005, "reconnect_first": 0.001, "reconnect_max": 0.01, "drain_timeout": 2.0}
AT_ONCE = Policy(retry_first=0.001, retry_max=0.002)
"""Hardly a pause between two attempts."""


def quick(name: str, **settings: Any) -> Node:
    """A node that notices everything within milliseconds."""
    return Node(name, **{**QUICK, **settings})


async def until(condition: Callable[[], object], what: str = "the condition", seconds: float = 5.0) -> None:
    """Return as soon as the condition holds; fail after the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        await asyncio.sleep(0.001)


async def turns(count: int = 20) -> None:
    """Let everything that can go on without time passing go on."""
    for _ in range(count):
        await asyncio.sleep(0)


class Collector:
    """A handler that keeps the messages in the order of their deliveries."""

    def __init__(self, node: Node, pattern: str = ">", **settings: Any) -> None:
        self.messages: list[Message] = []
        node.on(pattern, **settings)(self.take)

    async def take(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def bodies(self) -> list[Any]:
        return [message.body for message in self.messages]

    def __len__(self) -> int:
        return len(self.messages)


class Gate:
    """A handler that notes who has come in and holds everybody until it is opened."""

    def __init__(self, node: Node, pattern: str = ">", **settings: Any) -> None:
        self.entered: list[Any] = []
        self.left: list[Any] = []
        self.open = asyncio.Event()
        self.most_at_a_time = 0
        node.on(pattern, **settings)(self.take)

    async def take(self, message: Message) -> None:
        self.entered.append(message.body)
        self.most_at_a_time = max(self.most_at_a_time, len(self.entered) - len(self.left))
        await self.open.wait()
        self.left.append(message.body)


def lines(cluster: Cluster, node: str) -> list[TraceEvent]:
    """The trace of one node of a cluster."""
    return [event for event in cluster.trace.events if event.node == node]


def told(cluster: Cluster, node: str) -> list[tuple[str, str]]:
    """(event, subject) of one node, in its program order."""
    return [(event.event, event.subject) for event in lines(cluster, node)]


def out(node: Node, peer: str) -> dict[str, Any]:
    """What a node says of its link to a peer."""
    link: dict[str, Any] = node.status()["links"]["out"][peer]
    return link


class RawSender:
    """A sender made by hand, that says on its stream whatever a test wants it to."""

    def __init__(self, cluster: Cluster, name: str = "P", incarnation: int = 5) -> None:
        self.id = NodeId(name, incarnation)
        self.transport = cluster._network.transport(name)
        self._encoder, self._decoder = SenderEncoder(), ReceiverDecoder()
        self._frames = 0

    async def greet(self, target: str, receiver: str | None = None) -> ReceiverToSender | None:
        """Dial a node and say Hello; returns its answer."""
        self.connection = await self.transport.dial(f"{target}:1")
        await self.connection.send(self._encoder.encode(Hello(sender=self.id, receiver=receiver or target)))
        return await self.hear()

    async def hear(self) -> ReceiverToSender | None:
        data = await asyncio.wait_for(self.connection.receive(), 5)
        return None if data is None else self._decoder.decode(data)

    async def say(self, *copies: Copy, base: bool = False, questions: tuple[Dot, ...] = ()) -> None:
        """Send one frame, as the first one with the base that a sender without history states."""
        self._frames += 1
        start = Base(last=0, unsettled=()) if base else None
        await self.connection.send(
            self._encoder.encode(SenderFrame(number=self._frames, base=start, copies=copies, questions=questions))
        )

    def copy(
        self, seq: int, *, after: Mapping[NodeId, int] | None = None, ahead_ms: int = 0, subject: str = "a"
    ) -> Copy:
        """Its message `seq` on a link that carries all of them, after these dots."""
        stamp = Stamp(
            previous=seq - 1,
            timestamp=((time.time_ns() // 1_000_000 + ahead_ms) << 16) + seq % 65536,
            after=after or {},
            elsewhere={},
            clock={self.id: seq},
        )
        return Copy(seq, stamp, subject, encode_payload(seq, None, None, 1000))
