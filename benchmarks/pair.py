"""A contender's two processes, new for each round, and the batches that go from one to the other."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from benchmarks.contenders import CONTENDERS
from benchmarks.figures import BenchmarkError

ROOT = Path(__file__).resolve().parent.parent

_START_MAX_S = 30.0
_BATCH_MAX_S = 120.0
_LATE_MAX_S = 10.0
"""How long the receiver may take after the sender has everything acknowledged."""
_STOP_MAX_S = 15.0
_KILL_AFTER_S = 5.0
_LINE_BYTES_MAX = 1024 * 1024

Role = Literal["sender", "receiver"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiled:
    """Which process of a pair is profiled, and the path that its files begin with."""

    role: Role
    stem: Path


class Worker:
    """One process of `benchmarks.worker`."""

    def __init__(self, what: str, process: asyncio.subprocess.Process, errors: IO[bytes]) -> None:
        self._what = what
        self._process = process
        self._errors = errors

    async def ask(self, timeout_s: float, **command: Any) -> dict[str, Any]:
        """Its answer to one line. Raises `BenchmarkError` if it fails or takes longer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(timeout_s):
                self._process.stdin.write(json.dumps(command).encode() + b"\n")
                await self._process.stdin.drain()
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise BenchmarkError(f"{self._what} does not answer within {timeout_s:.0f} s: {command}") from None
        except ConnectionError:
            line = b""
        answer: dict[str, Any] = json.loads(line) if line else {"error": f"it has ended\n{self._last_words()}"}
        if "error" in answer:
            raise BenchmarkError(f"{self._what}: {answer['error']}")
        return answer

    async def close(self) -> None:
        """End its input and wait for its end. Raises `BenchmarkError` if that takes too long or is not in order."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_STOP_MAX_S):
                await self._process.wait()
        except TimeoutError:
            raise BenchmarkError(f"{self._what} does not end within {_STOP_MAX_S:.0f} s") from None
        if self._process.returncode:
            raise BenchmarkError(f"{self._what} ended with {self._process.returncode}:\n{self._last_words()}")

    async def kill(self) -> None:
        """End it in bounded time, whatever it does; any number of times.

        At first politely: a process that is killed at once leaves a server that it has started behind.
        """
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_KILL_AFTER_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def _last_words(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode("utf-8", "replace")[-4000:]


@asynccontextmanager
async def worker(role: Role, contender: str, **settings: Any) -> AsyncIterator[tuple[Worker, dict[str, Any]]]:
    """Start a process and take its greeting; end it in good order unless something else has gone wrong."""
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.worker", role, contender),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            limit=_LINE_BYTES_MAX,
            start_new_session=True,  # Ctrl-C reaches the benchmark alone, which then ends its processes
        )
        started = Worker(f"{role} of {contender}", process, errors)
        try:
            yield started, await started.ask(_START_MAX_S, **settings)
            await started.close()
        finally:
            await started.kill()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one batch of messages took. All of it has arrived, each message once."""

    messages: int
    seconds: float
    """From the first send to the last acknowledgement at the sender, or, where the acknowledgement is a third
    party's, to the last message at the receiver if that is later."""
    seconds_from_first: float
    """The same from the receiver's first message: it leaves out what a sender does before it sends anything, which
    for one that fills a buffer first is a good part of a batch."""
    sender_cpu_us: float
    """CPU time of the sending process, all its threads, for each message."""
    receiver_cpu_us: float
    latency_us: dict[str, float] | None
    """From the time a message was due to be sent to its handler's start."""
    late_us: dict[str, float] | None
    """How late the load itself was: from the time a message was due to the call that sends it."""
    posted_per_s: float | None

    @property
    def per_second(self) -> float:
        return self.messages / self.seconds


class Pair:
    """A receiver and a sender that is connected to it."""

    def __init__(self, contender: str, sender: Worker, receiver: Worker) -> None:
        self.contender = contender
        self._sender = sender
        self._receiver = receiver

    async def flood(self, messages: int, *, profiled: bool = False) -> Batch:
        """As fast as it goes. Raises `BenchmarkError` unless each message arrives once."""
        return await self._batch("flood", messages, timed=False, profiled=profiled)

    async def paced(self, messages: int, rate: int, *, profiled: bool = False) -> Batch:
        """So many a second, whatever becomes of them. Raises `BenchmarkError` unless each arrives once."""
        return await self._batch("paced", messages, timed=True, profiled=profiled, rate=rate)

    async def _batch(self, do: str, messages: int, *, timed: bool, profiled: bool, **more: Any) -> Batch:
        await self._receiver.ask(_START_MAX_S, do="expect", messages=messages, timed=timed, profiled=profiled)
        sent = await self._sender.ask(_BATCH_MAX_S, do=do, messages=messages, profiled=profiled, **more)
        came = await self._receiver.ask(_LATE_MAX_S + _START_MAX_S, do="result", within_s=_LATE_MAX_S)
        require_all(self.contender, messages, sent["first"], came)
        ended_ns = max(sent["ended_ns"], came["last_ns"])
        return Batch(
            messages=messages,
            seconds=(ended_ns - sent["began_ns"]) / 1e9,
            seconds_from_first=(ended_ns - came["first_ns"]) / 1e9,
            sender_cpu_us=sent["cpu_ns"] / 1e3 / messages,
            receiver_cpu_us=came["cpu_ns"] / 1e3 / messages,
            latency_us=came.get("latency_us"),
            late_us=sent.get("late_us"),
            posted_per_s=messages / sent["posted_s"] if "posted_s" in sent else None,
        )


def require_all(contender: str, messages: int, first: int, came: dict[str, Any]) -> None:
    """Raise `BenchmarkError` unless the receiver counted each message once, numbered from `first`."""
    if came["messages"] != messages:
        raise BenchmarkError(f"{contender}: {came['messages']} of {messages} messages have arrived")
    expected = messages * first + messages * (messages - 1) // 2
    if came["total"] != expected:
        raise BenchmarkError(f"{contender}: the messages' numbers add up to {came['total']}, not to {expected}")
    if came["wrong_bodies"]:
        raise BenchmarkError(f"{contender}: a body has another size than was sent")


@asynccontextmanager
async def pair(contender: str, profile: Profiled | None = None) -> AsyncIterator[Pair]:
    """The two processes of a contender, connected; they end with the block."""
    if contender not in CONTENDERS:
        raise BenchmarkError(f"no contender is called {contender!r}; there are {', '.join(CONTENDERS)}")

    def settings(role: Role) -> dict[str, Any]:
        return {"profile": str(profile.stem)} if profile is not None and profile.role == role else {}

    async with AsyncExitStack() as processes:
        receiver, greeting = await processes.enter_async_context(worker("receiver", contender, **settings("receiver")))
        sending = worker("sender", contender, address=greeting["address"], **settings("sender"))
        sender, _ = await processes.enter_async_context(sending)
        yield Pair(contender, sender, receiver)
