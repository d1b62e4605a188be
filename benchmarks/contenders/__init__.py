"""The ways to get messages from one process to another, each with a receiver and a sender of one form."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

from benchmarks.tally import Tally


class Sender(Protocol):
    """The sending side of a contender, connected. Numbers of messages count up by one from call to call."""

    async def flood(self, messages: int, body: bytes) -> int:
        """Send so many as fast as it goes, and return once all are acknowledged; the number of the first."""

    async def post(self, body: bytes) -> int:
        """Send one without waiting for its acknowledgement; its number."""

    async def drain(self) -> None:
        """Return once all that was posted is acknowledged. Raises whatever went wrong with one of them."""


class Side(Protocol):
    """A module of this package."""

    receiver: Callable[[Tally, int], AbstractAsyncContextManager[str]]
    """Takes messages and has the tally note each; gives the address for the sender."""
    sender: Callable[[str, int], AbstractAsyncContextManager[Sender]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way, and how many messages travel as one unit (product: as it likes)."""

    title: str
    module: str
    frame: int
    warm_up: int
    """Messages before those that count: connected, caches warm, and a first idea of the speed."""

    def load(self) -> Side:
        """Its module; only the processes of a contender load what it needs."""
        return cast(Side, import_module(f"benchmarks.contenders.{self.module}"))


CONTENDERS = {
    "product": Contender(title="causal, Node to Node", module="product", frame=0, warm_up=10_000),
    "bare": Contender(title="(a) bare stream, 512 a frame", module="stream", frame=512, warm_up=102_400),
    "single": Contender(title="(b) bare stream, one a frame", module="stream", frame=1, warm_up=2_000),
    "unary": Contender(title="(c) unary calls", module="unary", frame=1, warm_up=1_000),
    "jetstream": Contender(title="(d) JetStream, async publish", module="jetstream", frame=1, warm_up=2_000),
    "packed": Contender(title="(d) JetStream, 128 packed in one", module="jetstream", frame=128, warm_up=25_600),
}
