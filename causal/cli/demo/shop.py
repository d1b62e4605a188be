"""The three services as a running whole: processes, the slow cable, and their traces as they grow."""

from __future__ import annotations

import asyncio
import json
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from causal.cli.demo.child import Child, DemoError
from causal.cli.demo.ledger import Ledger, TraceTail
from causal.cli.demo.proxy import Delay, Proxy

PROGRAMS = {"S1": "orders", "S2": "payments", "S3": "shipping"}
TICK_S = 0.02
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 8.0
START_ATTEMPTS = 3

PORTS = range(20_000, 32_000)
"""Below the range from which systems take ports for outgoing connections, which may come and go meanwhile."""


DIRECT = Delay()


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a run of the three services is made of."""

    folder: Path
    """Where the traces go."""
    ordering: str = "causal"
    seed: int = 1
    delay: Delay = DIRECT
    """Of the bytes from S1 to S3. Everything else is direct."""
    count_every_s: float = 0.05
    """How often S3 tells S1 and S2 its stock, which follows no order; 0 for never."""


class Shop:
    """S1, S2 and S3 as processes, with the proxy between S1 and S3: `async with` starts them and ends them.

    However the block is left, no process stays: it is stopped after success, killed after anything else.
    """

    def __init__(self, setting: Setting, on_tick: Callable[[], None] = lambda: None) -> None:
        self.setting = setting
        self.ledger = Ledger()
        self.children = {name: Child(name, program) for name, program in PROGRAMS.items()}
        self.addresses: dict[str, str] = {}
        self.proxy = Proxy("", delay=setting.delay, seed=setting.seed)
        self._on_tick = on_tick
        self._tails = [TraceTail(self.trace_of(name)) for name in PROGRAMS]

    def trace_of(self, name: str) -> Path:
        return self.setting.folder / f"{name}.jsonl"

    async def __aenter__(self) -> Self:
        try:
            self.setting.folder.mkdir(parents=True, exist_ok=True)
            for name in PROGRAMS:
                self.trace_of(name).unlink(missing_ok=True)
        except OSError as error:
            raise DemoError(f"no traces can be written to {self.setting.folder}: {error.strerror}") from error
        try:
            await self._start()
        except BaseException:
            await self._kill()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self.stop()
        finally:
            await self._kill()

    async def start(self, name: str) -> None:
        """Start one service (again), and wait until it says that it is up."""
        await self._spawn(name)
        await self.children[name].wait_for("ready", START_TIMEOUT_S)

    async def stop(self) -> None:
        """Stop all in good order: S3 first, for what it sent of its own accord can then still settle."""
        for name in ("S3", "S2", "S1"):
            await self.children[name].stop(STOP_TIMEOUT_S)
        self.read()

    async def connected(self) -> None:
        """Wait until every service is through to all its peers. Raises `DemoError` if one is not in time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_TIMEOUT_S
        while True:
            links = {name: status["links"]["out"] for name, status in (await self.statuses()).items()}
            closed = [
                f"{name}→{peer}: {link['error']}"
                for name, peers in links.items()
                for peer, link in peers.items()
                if link["state"] != "open"
            ]
            if not closed:
                return
            if loop.time() > deadline:
                raise DemoError(f"not connected within {START_TIMEOUT_S:.0f} s: {'; '.join(closed)}")
            await self.tick()

    async def end(self, *, in_good_order: bool) -> None:
        """Stop all; with `in_good_order` False at once, for what is unsettled would be waited for in vain."""
        if in_good_order:
            await self.stop()
        else:
            await self._kill_children()
            self.read()

    async def statuses(self) -> dict[str, dict[str, Any]]:
        """Name → what that node reports of itself now."""
        reported = await asyncio.gather(*(child.status() for child in self.children.values()))
        return dict(zip(self.children, reported, strict=True))

    def place(self, order: dict[str, Any]) -> None:
        """Give S1 an order to place."""
        self.children["S1"].feed(json.dumps(order))

    def read(self) -> None:
        """Take in what the nodes have traced since the last time."""
        for tail in self._tails:
            for event in tail.read():
                self.ledger.add(event)

    async def tick(self, seconds: float = TICK_S) -> None:
        """Let this much time pass, with the ledger and the screen kept up to date."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        while True:
            for child in self.children.values():
                child.require_alive()
            self.read()
            self._on_tick()
            left = due - loop.time()
            await asyncio.sleep(max(0.0, min(TICK_S, left)))
            if left <= TICK_S:
                return

    async def until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Let time pass until the condition holds; False if it does not within `timeout` seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while not condition():
            if loop.time() > deadline:
                return False
            await self.tick()
        return True

    async def _start(self) -> None:
        await self.proxy.start()
        for attempt in range(1, START_ATTEMPTS + 1):
            self._assign_addresses()
            try:
                # Spawned one by one: a cancelled spawn has ended its process when it raises, so none is lost.
                for name in PROGRAMS:
                    await self._spawn(name)
                for child in self.children.values():
                    await child.wait_for("ready", START_TIMEOUT_S)
                return
            except DemoError:
                # Somebody else may have taken a port since it was found free; nothing else is retried.
                await self._kill_children()
                if attempt == START_ATTEMPTS or all(map(_is_free, self.addresses.values())):
                    raise

    async def _spawn(self, name: str) -> None:
        child = self.children[name] = Child(name, PROGRAMS[name])
        await child.start(self._arguments(name), self._settings(name))

    def _assign_addresses(self) -> None:
        self.addresses = dict(zip(PROGRAMS, _free_addresses(len(PROGRAMS)), strict=True))
        self.proxy.target = self.addresses["S3"]

    def _settings(self, name: str) -> dict[str, str]:
        peers = {
            "S1": {"S2": self.addresses["S2"], "S3": self.proxy.address},
            "S2": {"S3": self.addresses["S3"]},
            "S3": {"S1": self.addresses["S1"], "S2": self.addresses["S2"]},
        }[name]
        return {
            "CAUSAL_NAME": name,
            "CAUSAL_LISTEN": self.addresses[name],
            "CAUSAL_PEERS": ",".join(f"{peer}={address}" for peer, address in peers.items()),
            "CAUSAL_TRACE": str(self.trace_of(name)),
        }

    def _arguments(self, name: str) -> list[str]:
        own = {
            "S1": ["--input", "-", "--rate", "0"],
            "S2": [],
            "S3": ["--count-every", str(self.setting.count_every_s)],
        }[name]
        return ["--ordering", self.setting.ordering, *own]

    async def _kill(self) -> None:
        await self._kill_children()
        await self.proxy.close()

    async def _kill_children(self) -> None:
        for child in self.children.values():
            child.kill()
        for child in self.children.values():
            await child.gone()


def _free_addresses(count: int) -> list[str]:
    candidates = [f"127.0.0.1:{port}" for port in random.SystemRandom().sample(PORTS, 200)]
    free = [address for address in candidates if _is_free(address)][:count]
    if len(free) < count:
        raise DemoError("no free ports on 127.0.0.1")
    return free


def _is_free(address: str) -> bool:
    host, port = address.split(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return False
    return True
