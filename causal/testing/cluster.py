"""`Cluster`: your own nodes on a network inside the test, whose weather the test makes.

    async def test_payment_never_overtakes_its_order() -> None:
        orders, payments, shipping = Node("S1"), Node("S2"), Node("S3")
        …handlers…
        async with Cluster(orders, payments, shipping) as cluster:
            cluster.delay("S1", "S3", 0.05)
            await orders.send(["S2", "S3"], "order.placed", {"id": 1})
            await cluster.settled()
            cluster.check()

The nodes are the real ones, engine, codec and all; only the network is another. Delays take real time.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from causal.errors import ConfigurationError
from causal.node.node import Node
from causal.observe.checker import check
from causal.observe.report import Report
from causal.observe.trace import MemoryTrace
from causal.transport.memory import MemoryNetwork


class Cluster:
    """Runs nodes on an in-memory network; `async with` enters and leaves all of them.

    Each node reaches those that it names in `peers` (their addresses do not matter here), or all others if it
    names none. `seed` decides about jitter and duplicates. Raises `ConfigurationError` for a name given twice
    or a peer that is not in the cluster.
    """

    def __init__(self, *nodes: Node, seed: int = 0) -> None:
        self.nodes = {node.name: node for node in nodes}
        if len(self.nodes) < len(nodes):
            raise ConfigurationError("two nodes of a cluster have the same name")
        self.trace = MemoryTrace()
        """All events of all nodes, in the order in which they happened."""
        self._network = MemoryNetwork(seed)
        self._stack = AsyncExitStack()
        for node in nodes:
            others = [name for name in self.nodes if name != node.name]
            if strangers := set(node.config.peers) - set(others):
                raise ConfigurationError(f"peers of {node.name} are not in the cluster: {sorted(strangers)}")
            node.join(
                self._network.transport(node.name),
                dataclasses.replace(
                    node.config, listen=node.name, peers={name: name for name in node.config.peers or others}
                ),
                self.trace,
            )

    async def __aenter__(self) -> Self:
        for node in self.nodes.values():
            await self._stack.enter_async_context(node)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)

    # -- weather -----------------------------------------------------------------------------------------------

    def delay(self, source: str, target: str, seconds: float, jitter: float = 0.0) -> None:
        """From now on a frame on the link from `source` to `target` takes `seconds` and up to `jitter` more."""
        self._network.delay(*self._link(source, target), seconds, jitter)

    def duplicate(self, source: str, target: str, probability: float = 1.0) -> None:
        """From now on the link from `source` to `target` delivers frames twice with this probability."""
        self._network.duplicate(*self._link(source, target), probability)

    def cut(self, source: str, target: str) -> Cut:
        """Cut the link from `source` to `target` at once, with what is on it; it stays so until `heal`.

        Also as `with cluster.cut("S1", "S3"): …`, which heals at the end of the block.
        """
        self._network.cut(*self._link(source, target))
        return Cut(self, source, target)

    def heal(self, source: str, target: str) -> None:
        """End a cut; the link reconnects by itself."""
        self._network.heal(*self._link(source, target))

    def _link(self, source: str, target: str) -> tuple[str, str]:
        for name in (source, target):
            if name not in self.nodes:
                raise ConfigurationError(f"{name!r} is not in the cluster: {', '.join(self.nodes)}")
        return source, target

    # -- judgement ---------------------------------------------------------------------------------------------

    async def settled(self, timeout: float = 10.0) -> None:
        """Return once everything sent so far, and all that it caused, is settled everywhere.

        Raises `TimeoutError` after `timeout` seconds, with what each node holds or has not settled.
        """
        deadline = time.monotonic() + timeout
        while busy := [node for node in self.nodes.values() if not node.idle]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"not settled within {timeout} s: {'; '.join(map(_busy_with, busy))}")
            await asyncio.sleep(0.002)

    def check(self) -> Report:
        """Recompute happened-before from the history and judge every delivery by it, all subjects as causal.

        Returns the report; raises `AssertionError` that names the first violation with its path.
        """
        report = check(self.trace.events)
        if not report.proved:
            raise AssertionError(report.describe())
        return report


class Cut:
    """A cut link, as a context manager that heals it."""

    def __init__(self, cluster: Cluster, source: str, target: str) -> None:
        self._cluster = cluster
        self._link = (source, target)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._cluster.heal(*self._link)


def _busy_with(node: Node) -> str:
    status = node.status()
    held = ", ".join(f"{h['id']} waits for {h['waits_for']}" for h in status["held"][:3])
    unsettled = ", ".join(f"{u['id']} at {'/'.join(u['at'])}" for u in status["unsettled"][:3])
    retried = ", ".join(f"{r['id']} ({r['error']})" for r in status["retrying"][:3])
    return f"{node.name}: held [{held}], unsettled [{unsettled}], retried [{retried}]"
