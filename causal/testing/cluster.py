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
from causal.node.config import NodeConfig
from causal.node.node import Node
from causal.observe.checker import check
from causal.observe.report import Report
from causal.observe.trace import MemoryTrace
from causal.transport.memory import MemoryNetwork

_POLL_SECONDS = 0.002


class Cluster:
    """Runs nodes on an in-memory network; `async with` enters and leaves all of them.

    Each node reaches those that it names in `peers` (their addresses do not matter here), or all others if it
    names none. `seed` decides about jitter and duplicates. Raises `ConfigurationError` for a name given twice
    or a peer that is not in the cluster.

    Leaving the block waits for all nodes together, for the longest `drain_timeout` among them; after an
    exception nothing is waited for.
    """

    def __init__(self, *nodes: Node, seed: int = 0) -> None:
        self.nodes = {node.name: node for node in nodes}
        if len(self.nodes) < len(nodes):
            raise ConfigurationError("two nodes of a cluster have the same name")
        self.trace = MemoryTrace()
        """All events of all nodes, in the order in which they happened."""
        self._network = MemoryNetwork(seed)
        self._stack = AsyncExitStack()
        self._configs = {node.name: self._config(node) for node in nodes}
        for name in self.nodes:
            self._join(name)

    def _config(self, node: Node) -> NodeConfig:
        others = [name for name in self.nodes if name != node.name]
        if strangers := set(node.config.peers) - set(others):
            raise ConfigurationError(f"peers of {node.name} are not in the cluster: {', '.join(sorted(strangers))}")
        peers = {name: _address(name) for name in node.config.peers or others}
        # insecure: no machine but this one can reach an address that exists only here
        return dataclasses.replace(node.config, listen=_address(node.name), peers=peers, insecure=True)

    def _join(self, name: str) -> None:
        self.nodes[name].join(self._network.transport(name), self._configs[name], self.trace)

    async def __aenter__(self) -> Self:
        async with self._stack as entered:
            for node in self.nodes.values():
                await entered.enter_async_context(node)
            self._stack = entered.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        quiet = False
        try:
            # All together, before the first one leaves: the others may still have something for it.
            quiet = kind is None and await self._quiet(max(c.drain_timeout for c in self._configs.values()))
        finally:
            if not quiet:
                for node in self.nodes.values():
                    node.config = dataclasses.replace(node.config, drain_timeout=0.0)
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
        return self._known(source), self._known(target)

    def _known(self, name: str) -> str:
        if name not in self.nodes:
            raise ConfigurationError(f"{name!r} is not in the cluster: {', '.join(self.nodes)}")
        return name

    # -- restarts ----------------------------------------------------------------------------------------------

    async def crash(self, name: str) -> None:
        """End a node as `kill -9` would: nothing is drained, and what it had in memory is lost.

        The `Node` object refuses everything with `ClosedError` until `restart`. Not from a handler of that node.
        """
        node = self.nodes[self._known(name)]
        if node.is_running:
            await node.crash()

    async def restart(self, name: str) -> None:
        """Start a node again, after a crash if it still runs: a new incarnation of the same `Node` object, with
        the same handlers. What your handlers keep outside the node stays: clear it if your service would lose it.
        """
        await self.crash(name)
        self._join(name)
        await self.nodes[name].__aenter__()

    # -- judgement ---------------------------------------------------------------------------------------------

    async def settled(self, timeout: float = 10.0) -> None:
        """Return once everything sent so far, and all that it caused, is settled everywhere.

        Raises `TimeoutError` after `timeout` seconds, with what each node holds or has not settled.
        """
        if not await self._quiet(timeout):
            raise TimeoutError(f"not settled within {timeout} s: {'; '.join(map(_busy_with, self._busy))}")

    async def _quiet(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while self._busy:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return True

    @property
    def _busy(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.is_running and not node.idle]

    def check(self, *, declared: bool = False) -> Report:
        """Recompute happened-before from the history and judge every delivery by it.

        All subjects are judged as causal, so that a test shows what an ordering of "none" would cost;
        `declared` leaves out the pairs of which one has that ordering. Returns the report; raises
        `AssertionError` that names the first violation with its path, `TraceError` if nothing was delivered.
        """
        report = check(self.trace.events, declared=declared)
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


def _address(name: str) -> str:
    return f"{name}:1"


def _busy_with(node: Node) -> str:
    status = node.status()
    held = ", ".join(f"{h['id']} waits for {h['waits_for']}" for h in status["held"][:3])
    unsettled = ", ".join(f"{u['id']} at {'/'.join(u['at'])}" for u in status["unsettled"][:3])
    retried = ", ".join(f"{r['id']} ({r['error']})" for r in status["retrying"][:3])
    return f"{node.name}: held [{held}], unsettled [{unsettled}], retried [{retried}]"
