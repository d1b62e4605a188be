"""The processes of a random workload, the bad cables between them, and the hand that pulls and kills."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import causal
from causal.cli.demo.proxy import Delay, Proxy
from tests.integration.workload.judge import Life, lives_of_journal, lives_of_trace
from tests.integration.workload.plan import Cut, Plan

ROOT = Path(causal.__file__).parent.parent
LINE_BYTES_MAX = 4 * 1024 * 1024
START_S = 20.0
SETTLE_S = 40.0
POLL_S = 0.05
PORTS = range(20_000, 32_000)
"""Below the range of outgoing connections: a port must still be free when its process is started again."""

_alive: set[int] = set()


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


@atexit.register
def _leave_nobody_behind() -> None:
    for pid in _alive:
        _kill_group(pid)


class Program:
    """One run of the workload's program as a process in a group of its own.

    The group is in the session of the tests: should they die, a process that is stopped (SIGSTOP) is then
    orphaned and ended by the kernel, and one that runs ends because its standard input does.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.facts: dict[str, Any] = {}
        """The last value that it said under each name."""
        self.stderr = ""
        self._heard = asyncio.Event()

    async def start(self, argument: dict[str, Any], settings: dict[str, str]) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CAUSAL_")}
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.integration.workload.program", json.dumps(argument)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LINE_BYTES_MAX,
            env=environment | settings,
            cwd=ROOT,
            process_group=0,
        )
        _alive.add(self.process.pid)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._listening = asyncio.gather(self._hear(self.process.stdout), self._keep(self.process.stderr))
        await self.hear("ready", START_S)

    @property
    def returncode(self) -> int | None:
        return self.process.returncode

    def tell(self, **command: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")

    async def hear(self, fact: str, seconds: float) -> Any:
        """Wait until it says this, and return it once; an error with all it wrote if it ends before."""
        try:
            async with asyncio.timeout(seconds):
                while fact not in self.facts:
                    assert self.returncode is None, f"{self.name} ended with {self.returncode}:\n{self.stderr}"
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            raise AssertionError(f"{self.name} did not say {fact!r} within {seconds} s\n{self.stderr}") from None
        return self.facts.pop(fact)

    async def status(self) -> dict[str, Any]:
        self.tell(status=True)
        status: dict[str, Any] = await self.hear("status", START_S)
        return status

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def ended(self, seconds: float = START_S) -> int:
        """Wait until it has ended and all that it said has been heard; returns its exit code."""
        async with asyncio.timeout(seconds):
            code = await self.process.wait()
            await self._listening
        _alive.discard(self.process.pid)
        return code

    async def _hear(self, lines: asyncio.StreamReader) -> None:
        async for line in lines:
            self.facts |= json.loads(line)
            self._heard.set()
        await self.process.wait()
        self._heard.set()

    async def _keep(self, lines: asyncio.StreamReader) -> None:
        async for line in lines:
            self.stderr += line.decode()


class Swarm:
    """All processes of a plan, each directed link through a proxy of its own. `async with` starts and ends them.

    However the block is left, no process stays.
    """

    def __init__(
        self, plan: Plan, folder: Path, *, ordering: str = "causal", context: Collection[str] = (), **settings: float
    ) -> None:
        self.plan = plan
        self.folder = folder
        self.ordering = ordering
        self.context = context
        """Names of the nodes in context scope."""
        self.settings = {f"CAUSAL_{name.upper()}": str(value) for name, value in settings.items()}
        self.programs: dict[str, Program] = {}
        self.ended: list[Program] = []
        """Runs that were killed or have left."""
        self.proxies: dict[tuple[str, str], Proxy] = {}
        self.cuts_made = 0
        self._addresses = dict(zip(plan.names, free_addresses(len(plan.names)), strict=True))
        self._begun = 0.0

    async def __aenter__(self) -> Self:
        try:
            for number, cable in enumerate(self.plan.cables()):
                proxy = Proxy(
                    self._addresses[cable.receiver],
                    delay=Delay(cable.low_ms, cable.high_ms),
                    delay_back=Delay(0, cable.back_ms),
                    seed=self.plan.seed * 1000 + number,
                )
                await proxy.start()
                self.proxies[cable.sender, cable.receiver] = proxy
            await asyncio.gather(*map(self.start, self.plan.names))
        except BaseException:
            await self._end_all()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._end_all()

    async def _end_all(self) -> None:
        programs = [program for program in self.programs.values() if hasattr(program, "process")]
        for program in programs:
            _kill_group(program.process.pid)
        for program in programs:
            await program.ended()
        for proxy in self.proxies.values():
            await proxy.close()

    # -- processes ---------------------------------------------------------------------------------------------

    async def start(self, name: str) -> None:
        """Start a node, for the first time or again, and wait until it listens."""
        program = self.programs[name] = Program(name)
        peers = [f"{receiver}={proxy.address}" for (sender, receiver), proxy in self.proxies.items() if sender == name]
        await program.start(
            {"plan": asdict(self.plan), "journal": str(self.journal_of(name)), "ordering": self.ordering},
            {
                "CAUSAL_NAME": name,
                "CAUSAL_LISTEN": self._addresses[name],
                "CAUSAL_PEERS": ",".join(peers),
                "CAUSAL_TRACE": str(self.trace_of(name)),
                "CAUSAL_SCOPE": "context" if name in self.context else "process",
                **self.settings,
            },
        )

    def begin(self, names: Iterable[str] | None = None) -> None:
        """Let nodes send what they send of their own accord; one that was restarted goes on from now."""
        self._begun = self._begun or time.monotonic()
        for name in names or self.plan.names:
            self.programs[name].tell(begin=self.elapsed)

    @property
    def elapsed(self) -> float:
        """Seconds since the first `begin`."""
        return time.monotonic() - self._begun

    async def kill(self, name: str) -> None:
        """SIGKILL, as a crash of the process."""
        self.programs[name].signal(signal.SIGKILL)
        await self._gone(name)

    async def leave(self, name: str, number: signal.Signals, seconds: float) -> int:
        """Ask a process to leave; returns its exit code."""
        self.programs[name].signal(number)
        return await self._gone(name, seconds)

    async def _gone(self, name: str, seconds: float = START_S) -> int:
        code = await self.programs[name].ended(seconds)
        self.ended.append(self.programs.pop(name))
        return code

    async def freeze(self, name: str, seconds: float) -> None:
        """Stop a process in its tracks, and let it go on."""
        program = self.programs[name]
        program.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            program.signal(signal.SIGCONT)

    # -- cables ------------------------------------------------------------------------------------------------

    async def pull_cables(self) -> None:
        """Make every cut of the plan at its time."""
        async with asyncio.TaskGroup() as cuts:
            for cut in self.plan.cuts():
                cuts.create_task(self._cut(cut))

    async def _cut(self, cut: Cut) -> None:
        proxy = self.proxies[cut.sender, cut.receiver]
        await asyncio.sleep(max(0.0, cut.due - self.elapsed))
        self.cuts_made += proxy.open > 0
        proxy.cut(silent=cut.silent)
        await asyncio.sleep(cut.seconds)
        proxy.heal()

    # -- at the end --------------------------------------------------------------------------------------------

    async def roots_sent(self) -> None:
        """Wait until every node has sent what it sends of its own accord."""
        seconds = self.plan.seconds + SETTLE_S
        await asyncio.gather(*(program.hear("roots_sent", seconds) for program in self.programs.values()))

    async def drained(self) -> dict[str, dict[str, Any]]:
        """Wait until nothing is under way any more; returns the last statuses.

        A node that has settled all may be given more by another one's handler, so it is over only when two
        rounds in a row find every node at rest and nothing sent or handled between them.
        """
        before: list[tuple[int, int]] = []
        deadline = time.monotonic() + SETTLE_S
        while True:
            for program in self.programs.values():
                program.tell(settle=SETTLE_S)
            answers = await asyncio.gather(*(p.hear("settled", SETTLE_S + START_S) for p in self.programs.values()))
            errors = [answer["error"] for answer in answers if answer["error"]]
            assert not errors, errors
            statuses = dict(zip(self.programs, (answer["status"] for answer in answers), strict=True))
            totals = ("held_total", "ready_total", "running_total", "retrying_total", "unsettled_total")
            busy = {name: {t: s[t] for t in totals if s[t]} for name, s in statuses.items()}
            done = [(s["counters"].get("sent", 0), s["counters"].get("settled", 0)) for s in statuses.values()]
            if not any(busy.values()) and done == before:
                return statuses
            assert time.monotonic() < deadline, (busy, statuses)
            before = done
            await asyncio.sleep(POLL_S)

    async def contexts(self, empty: Callable[[dict[str, list[str]]], bool]) -> dict[str, dict[str, list[str]]]:
        """Wait until every node's causal context counts as empty; returns what is in them."""
        deadline = time.monotonic() + START_S
        while True:
            contexts = {name: (await p.status())["context"] for name, p in self.programs.items()}
            if all(map(empty, contexts.values())):
                return contexts
            assert time.monotonic() < deadline, contexts
            await asyncio.sleep(POLL_S)

    def trace_of(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"

    def journal_of(self, name: str) -> Path:
        return self.folder / f"{name}.journal"

    @property
    def traces(self) -> list[Path]:
        return [self.trace_of(name) for name in self.plan.names]

    def lives(self) -> list[Life]:
        """What the nodes' traces say."""
        return [life for name in self.plan.names for life in lives_of_trace(name, self.trace_of(name))]

    def lives_of_application(self) -> list[Life]:
        """What the application itself wrote."""
        return [life for name in self.plan.names for life in lives_of_journal(name, self.journal_of(name))]


async def until(condition: Callable[[], Awaitable[bool]], seconds: float, what: str) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(POLL_S)


def free_addresses(count: int) -> list[str]:
    """Loopback addresses whose ports nobody uses now."""
    free: list[str] = []
    for port in random.SystemRandom().sample(PORTS, 200):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            free.append(f"127.0.0.1:{port}")
        if len(free) == count:
            return free
    raise AssertionError("no free ports on 127.0.0.1")
