"""Whether unrelated messages wait for each other: 64 senders, one receiver, handlers of 10 ms, real gRPC.

Each sender's messages follow one another, so at most one of them is handled at a time; those of two senders are
unrelated. The receiver with the default concurrency is compared with one of `concurrency=1`, and the traces of every
run are judged by the independent checker. Senders share one process, the receiver has its own.

Then the same as 64 unrelated requests through one gateway: in process scope each of its messages follows all that it
sent before, so one is handled at a time; in context scope those of one request follow one another, and no others.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.command import Say, add_common, finish, rounds_of
from benchmarks.figures import BenchmarkError, Spread, Target, ratio
from benchmarks.pair import ROOT
from causal import Message, Node, context
from causal.observe.checker import check
from causal.observe.event import TraceEvent
from causal.observe.trace import read_trace

SENDERS = 64
HANDLER_S = 0.010
CONCURRENCY = 64

GAIN = Target(name="parallelism: throughput / that of concurrency=1", at_least=30.0)
GATEWAY = Target(name="parallelism: one gateway in context scope / in process scope", at_least=30.0)
CORRECT = Target(name="parallelism: violations", at_most=0.0)

_RECEIVER = "receiver"
_SUBJECT = "bench.work"
_START_MAX_S = 30.0
_SETTLED_MAX_S = 60.0


async def receive(folder: Path, concurrency: int) -> None:
    """The receiver's process: says its address, and handles messages until its standard input ends."""
    node = Node(_RECEIVER, listen="127.0.0.1:0", concurrency=concurrency, trace=folder / "receiver.jsonl")

    @node.on(_SUBJECT)
    async def work(message: Message) -> None:
        await asyncio.sleep(HANDLER_S)

    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with node:
        sys.stdout.write(f"{node.address}\n")
        sys.stdout.flush()
        await lines.read()


@asynccontextmanager
async def _receiver(folder: Path, concurrency: int) -> AsyncIterator[str]:
    """The receiver in a process of its own; ended in good order, so that its trace is whole."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.parallelism", "--receive", str(folder), str(concurrency)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_START_MAX_S):
            address = (await process.stdout.readline()).decode().strip()
        if not address:
            raise BenchmarkError("the receiver does not start")
        yield address
        process.stdin.close()
        async with asyncio.timeout(_START_MAX_S):
            await process.wait()
    except TimeoutError:
        raise BenchmarkError("the receiver does not start, or does not end") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def measure(
    concurrency: int, messages: int, senders: int = SENDERS, gateway: str | None = None
) -> dict[str, Any]:
    """One run: each sender sends `messages`. Raises `BenchmarkError` unless each is delivered once and settled.

    `gateway`: the senders are requests to one node, in this scope.
    """
    with tempfile.TemporaryDirectory(prefix="causal-bench-") as name:
        folder = Path(name)
        async with _receiver(folder, concurrency) as address:
            if gateway is None:
                seconds = await _send(folder, address, messages, senders)
            else:
                seconds = await _send_through(gateway, folder, address, messages, senders)
        report = check(_events(folder), concurrency=concurrency)
    total = senders * messages
    senders = senders if gateway is None else 1
    clean = not (report.doubled_count or report.unsettled_count or report.misdelivered_count)
    # Each sender sends one more before the clock runs, to be connected.
    if report.deliveries != total + senders or not clean:
        raise BenchmarkError(f"of {total + senders} messages {report.deliveries} were delivered, or some twice")
    return {"messages": total, "per_second": total / seconds, "violations": report.violation_count}


async def _send(folder: Path, address: str, messages: int, senders: int) -> float:
    """Seconds from the first send of the batch until all of it is settled."""
    names = [f"S{number}" for number in range(1, senders + 1)]
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(
                Node(name, peers={_RECEIVER: address}, trace=folder / f"{name}.jsonl", drain_timeout=1.0)
            )
            for name in names
        ]
        await _send_each(nodes, 1)
        began = time.perf_counter()
        await _send_each(nodes, messages)
        return time.perf_counter() - began


async def _send_each(nodes: Iterable[Node], messages: int) -> None:
    async def work(node: Node) -> None:
        for number in range(messages):
            await node.send(_RECEIVER, _SUBJECT, number)
        await node.settled(timeout=_SETTLED_MAX_S)

    async with asyncio.TaskGroup() as tasks:
        for node in nodes:
            tasks.create_task(work(node))


async def _send_through(scope: str, folder: Path, address: str, messages: int, requests: int) -> float:
    """The same, from as many requests to one gateway, each with a context of its own."""
    trace = folder / "gateway.jsonl"
    async with Node("gateway", scope=scope, peers={_RECEIVER: address}, trace=trace, drain_timeout=1.0) as node:

        async def request() -> None:
            async with context():
                for number in range(messages):
                    await node.send(_RECEIVER, _SUBJECT, number)

        await node.send(_RECEIVER, _SUBJECT)  # to be connected
        await node.settled(timeout=_SETTLED_MAX_S)
        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(requests):
                tasks.create_task(request())
        await node.settled(timeout=_SETTLED_MAX_S)
        return time.perf_counter() - began


def _events(folder: Path) -> Iterator[TraceEvent]:
    warnings: list[str] = []
    for path in sorted(folder.glob("*.jsonl")):
        yield from read_trace(path, warnings)
    if warnings:
        raise BenchmarkError(f"a trace is torn: {warnings[0]}")


async def run(*, rounds: int, messages: int = 40, senders: int = SENDERS, say: Say = lambda _: None) -> dict[str, Any]:
    """Both settings in turn, `rounds` times; one handler at a time gets fewer messages, as it takes longer."""
    sizes = {CONCURRENCY: messages, 1: max(1, messages // 16)}
    runs: dict[int, list[dict[str, Any]]] = {concurrency: [] for concurrency in sizes}
    for turn in range(rounds):
        for concurrency, each in sizes.items():
            say(f"parallelism: round {turn + 1} of {rounds}, concurrency={concurrency}")
            runs[concurrency].append(await measure(concurrency, each, senders))
    through = await _run_gateway(sizes, rounds, senders, say)
    rates = {concurrency: [run["per_second"] for run in several] for concurrency, several in runs.items()}
    scopes = {scope: [run["per_second"] for run in several] for scope, several in through.items()}
    all_runs = [*runs.values(), *through.values()]
    violations = Spread.of(float(run["violations"]) for several in all_runs for run in several)
    worst = Spread(median=violations.most, least=violations.least, most=violations.most, rounds=violations.rounds)
    return {
        "senders": senders,
        "handler_ms": HANDLER_S * 1e3,
        "concurrency": {
            str(concurrency): {
                "messages": [run["messages"] for run in several],
                "messages_per_s": Spread.of(rates[concurrency]).to_dict(),
            }
            for concurrency, several in runs.items()
        },
        "gateway": {
            scope: {
                "messages": [run["messages"] for run in several],
                "messages_per_s": Spread.of(scopes[scope]).to_dict(),
            }
            for scope, several in through.items()
        },
        "violations": int(violations.most),
        "targets": [
            GAIN.judge(ratio(rates[CONCURRENCY], rates[1])),
            GATEWAY.judge(ratio(scopes["context"], scopes["process"])),
            CORRECT.judge(worst),
        ],
    }


async def _run_gateway(sizes: dict[int, int], rounds: int, senders: int, say: Say) -> dict[str, list[dict[str, Any]]]:
    """One gateway in either scope in turn; process scope gets fewer messages, as it takes longer."""
    runs: dict[str, list[dict[str, Any]]] = {"context": [], "process": []}
    for turn in range(rounds):
        for scope, several in runs.items():
            say(f"parallelism: round {turn + 1} of {rounds}, one gateway in {scope} scope")
            messages = sizes[CONCURRENCY if scope == "context" else 1]
            several.append(await measure(CONCURRENCY, messages, senders, gateway=scope))
    return runs


def main(arguments: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(prog="python -m benchmarks.parallelism", description=__doc__)
    add_common(parser, rounds=3)
    parser.add_argument("--receive", nargs=2, metavar=("FOLDER", "CONCURRENCY"), help="be the receiver of a run")
    given = parser.parse_args(arguments)
    if given.receive:
        asyncio.run(receive(Path(given.receive[0]), int(given.receive[1])))
        return 0
    messages = 20 if given.quick else 40
    return finish(
        "parallelism", given, lambda say: asyncio.run(run(rounds=rounds_of(given), messages=messages, say=say))
    )


if __name__ == "__main__":
    raise SystemExit(main())
