"""A process of a benchmark: one contender's receiver or sender, told what to do by lines of JSON.

`python -m benchmarks.worker receiver|sender CONTENDER`. It ends when its standard input does, so it cannot outlive
whoever started it. Times in its answers are of the machine's monotonic clock, which its processes share.
"""

from __future__ import annotations

import asyncio
import cProfile
import io
import json
import pstats
import selectors
import sys
import time
import traceback
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.contenders import CONTENDERS, Contender, Sender
from benchmarks.figures import BenchmarkError, percentiles
from benchmarks.tally import BODY_BYTES, Tally, timed_body

PROFILE_LINES = 60
_HEAD_START_NS = 20_000_000
"""Between the command and the first message that is due."""

Command = dict[str, Any]
Answer = dict[str, Any]


class Usage:
    """CPU time of this process, all threads, over a batch; with a path, also a profile of the event loop's thread."""

    def __init__(self, profile: Path | None) -> None:
        self._path = profile
        self._profile: cProfile.Profile | None = None
        self._since_ns = 0

    def begin(self, *, profiled: bool) -> None:
        if profiled and self._path is not None:
            self._profile = cProfile.Profile()
            self._profile.enable()
        self._since_ns = time.process_time_ns()

    def end(self) -> int:
        """ns since `begin`; writes the profile, sorted by own time."""
        used = time.process_time_ns() - self._since_ns
        if self._profile is not None and self._path is not None:
            self._profile.disable()
            self._profile.dump_stats(self._path.with_suffix(".pstats"))
            text = io.StringIO()
            pstats.Stats(self._profile, stream=text).sort_stats("tottime").print_stats(PROFILE_LINES)
            self._path.with_suffix(".txt").write_text(text.getvalue(), "utf-8")
            self._profile = None
        return used


class ReceiverSide:
    """Counts what comes in."""

    def __init__(self, tally: Tally, usage: Usage) -> None:
        self._tally = tally
        self._usage = usage

    async def do(self, command: Command) -> Answer:
        """`expect` before a batch, `result` after it: waits until all of it is here, or says what is."""
        if command["do"] == "expect":
            self._tally.expect(command["messages"], timed=command["timed"])
            self._usage.begin(profiled=command["profiled"])
            return {}
        assert command["do"] == "result"
        try:
            async with asyncio.timeout(command["within_s"]):
                await self._tally.done.wait()
        except TimeoutError:
            pass  # what has come in is in the report, and whoever asked compares it
        answer = self._tally.report() | {"cpu_ns": self._usage.end()}
        if self._tally.latencies:
            answer["latency_us"] = percentiles(self._tally.latencies)
        return answer


class SenderSide:
    """Sends, as fast as it goes or at a rate."""

    def __init__(self, sender: Sender, usage: Usage) -> None:
        self._sender = sender
        self._usage = usage

    async def do(self, command: Command) -> Answer:
        """`flood` or `paced`; answers when all is acknowledged, with when that was."""
        self._usage.begin(profiled=command["profiled"])
        answer: Answer = {"began_ns": time.monotonic_ns()}
        if command["do"] == "flood":
            answer["first"] = await self._sender.flood(command["messages"], bytes(BODY_BYTES))
        else:
            assert command["do"] == "paced"
            answer |= await self._pace(command["messages"], command["rate"])
        return answer | {"ended_ns": time.monotonic_ns(), "cpu_ns": self._usage.end()}

    async def _pace(self, messages: int, rate: int) -> Answer:
        """Post each message when it is due, however the ones before it fare; the loop turns between any two."""
        late = array("q")
        first = 0
        start = time.monotonic_ns() + _HEAD_START_NS
        for index in range(messages):
            due = start + index * 1_000_000_000 // rate
            await asyncio.sleep(max(0, due - time.monotonic_ns()) / 1e9)
            late.append(time.monotonic_ns() - due)
            number = await self._sender.post(timed_body(due))
            first = first if index else number
        posted_ns = time.monotonic_ns()
        await self._sender.drain()
        return {"first": first, "late_us": percentiles(late), "posted_s": (posted_ns - start) / 1e9}


@asynccontextmanager
async def _side(role: str, contender: Contender, settings: Command) -> AsyncIterator[tuple[Any, Answer]]:
    """What carries out commands, and what to say first."""
    usage = Usage(Path(settings["profile"]) if settings.get("profile") else None)
    if role == "receiver":
        tally = Tally()
        async with contender.load().receiver(tally, contender.frame) as address:
            yield ReceiverSide(tally, usage), {"address": address}
    else:
        async with contender.load().sender(settings["address"], contender.frame) as sender:
            yield SenderSide(sender, usage), {}


async def serve(role: str, contender: Contender, lines: asyncio.StreamReader) -> None:
    """Take settings, then commands, and answer each by one line; at the end of the lines stop whatever goes on."""
    try:
        settings = json.loads(await lines.readline())
        async with _side(role, contender, settings) as (side, greeting):
            _say(greeting)
            await _answer(side, lines)
    except Exception as error:
        _say({"error": f"{error!r}\n{traceback.format_exc()}"})
        raise


async def _answer(side: ReceiverSide | SenderSide, lines: asyncio.StreamReader) -> None:
    while line := await lines.readline():
        doing = asyncio.create_task(side.do(json.loads(line)))
        more = asyncio.create_task(_end_of(lines))
        await asyncio.wait({doing, more}, return_when=asyncio.FIRST_COMPLETED)
        for task in (doing, more):
            task.cancel()
        await asyncio.wait({doing, more})
        if doing.cancelled():
            return
        _say(doing.result())


async def _end_of(lines: asyncio.StreamReader) -> None:
    """Return when nobody is there any more to be answered: before the answer, nothing else can come."""
    if await lines.read(1):
        raise BenchmarkError("a command before the last one was answered")


def _say(answer: Answer) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def _run(role: str, name: str) -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    await serve(role, CONTENDERS[name], lines)


def _precise_loop() -> asyncio.AbstractEventLoop:
    """The usual loop rounds its waits up to milliseconds (epoll); with select a message is sent when it is due."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def main(arguments: list[str]) -> int:
    """The exit code is 1 after an error, which is in the last line on standard output."""
    role, name = arguments
    with asyncio.Runner(loop_factory=_precise_loop if role == "sender" else None) as runner:
        try:
            runner.run(_run(role, name))
        except BenchmarkError:
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
