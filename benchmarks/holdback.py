"""What holding back costs: ns of CPU a message of the real engine at a receiver (arrived, start, finish).

All messages form one causal chain, the hardest history for a hold-back queue: each waits for exactly the one before
it. Many senders add to it, a frame of a few messages at a time. The same frames then arrive in three orders: as they
were sent; shuffled in windows of 256 messages; fully shuffled, as far as each link keeps its own order, which a
stream always does. Clocks are left out of the stamps (there are more senders than a clock has entries), and so are
dots for other destinations. Each run is a process of its own, so that its memory is its own too.
"""

from __future__ import annotations

import gc
import json
import random
import resource
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.command import Say, add_common, chosen, finish, rounds_of
from benchmarks.figures import BenchmarkError, Spread, Target, ratio
from benchmarks.pair import ROOT
from causal.ordering import Arrival, Engine, EngineConfig, NodeId, Ordering, Output
from causal.ordering.frames import Base, Hello, SenderFrame
from causal.ordering.stamp import Copy, Stamp

ORDERS = ("in_order", "windows_256", "shuffled")
SIZES = (100_000, 1_000_000)
SENDERS = 256
FRAME = 32
"""Messages of one frame, and of one burst of a sender."""
WINDOW = 256

SHUFFLED = Target(name="hold-back: fully shuffled / in order", at_most=6.0)
GROWTH = Target(name="hold-back: ns a message at 1,000,000 / at 100,000", at_most=1.3)

_SEED = 1
_RUN_MAX_S = 240.0
_HEARTBEAT_NS = 100_000_000
_ME = NodeId("receiver", 1)

Frames = list[tuple[NodeId, SenderFrame]]


def sender_of(burst: int, senders: int) -> NodeId:
    return NodeId(f"S{burst % senders}", 1)


def arrival_order(order: str, bursts: int, senders: int) -> list[int]:
    """The bursts in the order of their arrival. Those of one sender are never overtaken by its own later ones."""
    if order == "in_order":
        return list(range(bursts))
    chance = random.Random(_SEED)
    if order == "windows_256":
        span = max(1, WINDOW // FRAME)
        slots: list[int] = []
        for start in range(0, bursts, span):
            window = list(range(start, min(start + span, bursts)))
            chance.shuffle(window)
            slots += window
    else:
        slots = list(range(bursts))
        chance.shuffle(slots)
    # The shuffle says which sender's turn it is; what comes is that sender's next burst.
    upcoming = [iter(range(sender, bursts, senders)) for sender in range(senders)]
    return [next(upcoming[slot % senders]) for slot in slots]


def frames_of(messages: int, order: str, senders: int = SENDERS) -> Frames:
    """All frames as they arrive. The chain runs through the bursts, burst i being of sender i modulo `senders`."""
    payload = bytes(256)
    bursts = -(-messages // FRAME)
    arrivals = arrival_order(order, bursts, senders)
    frames = []
    for burst in arrivals:
        origin, nth = sender_of(burst, senders), burst // senders
        copies = []
        for index in range(min(FRAME, messages - burst * FRAME)):
            seq = nth * FRAME + index + 1
            if index:
                after = {origin: seq - 1}
            else:
                earlier = burst - 1
                after = {sender_of(earlier, senders): earlier // senders * FRAME + FRAME} if burst else {}
            timestamp = burst * FRAME + index + 1
            stamp = Stamp(previous=seq - 1, timestamp=timestamp, after=after, elsewhere={}, clock=None)
            copies.append(Copy(seq, stamp, "bench.message", payload))
        base = None if nth else Base(last=0, unsettled=())
        frames.append((origin, SenderFrame(number=nth + 1, base=base, copies=tuple(copies))))
    return frames


def receiver_engine(messages: int) -> Engine:
    """An engine with room for all of the messages at a time."""
    config = EngineConfig(window_messages=messages, window_bytes=messages * 1024, dots_max=messages)
    return Engine(_ME, (), lambda _: Ordering.CAUSAL, config)


class Handling:
    """Handles whatever is ready at once, and looks at what comes of it, in one loop."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.handled = 0
        self.last: Arrival | None = None

    def take(self, output: Output) -> None:
        start, finish = self._engine.start, self._engine.finish
        ready = output.ready
        for arrival in ready:  # the list grows while it is walked
            start(arrival)
            ready += finish(arrival).ready
        self.handled += len(ready)
        if ready:
            self.last = ready[-1]


def measure(messages: int, order: str, senders: int = SENDERS) -> dict[str, Any]:
    """One run in this process. Raises `BenchmarkError` unless each message is handled once."""
    gc.disable()  # only while the input is made, a few times as fast
    frames = frames_of(messages, order, senders)
    engine = receiver_engine(messages)
    for origin in dict.fromkeys(origin for origin, _ in frames):
        engine.greeted(Hello(sender=origin, receiver=_ME.name), 0)
    handling = Handling(engine)
    arrived = held_most = 0
    gc.enable()
    gc.collect()
    gc.freeze()  # what arrives is not the engine's garbage; what the engine makes of it is collected as always
    tick_ns, began = time.perf_counter_ns(), time.process_time_ns()
    for origin, frame in _one_by_one(frames):
        handling.take(engine.arrived(origin, frame, 1))
        arrived += len(frame.copies)
        held_most = max(held_most, arrived - handling.handled)
        now = time.perf_counter_ns()
        if now - tick_ns > _HEARTBEAT_NS:  # as a node does, heartbeat by heartbeat
            tick_ns = now
            engine.tick(1)
    taken = time.process_time_ns() - began
    gc.unfreeze()
    if handling.handled != messages or arrived != messages:
        raise BenchmarkError(f"hold-back {order}: {handling.handled} of {arrived} arrived of {messages} were handled")
    return {
        "messages": messages,
        "ns": taken / messages,
        "held_most": held_most,
        "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _one_by_one(frames: Frames) -> Iterator[tuple[NodeId, SenderFrame]]:
    """Hand over each frame and let go of it, so that what has been handled can be freed."""
    frames.reverse()
    while frames:
        yield frames.pop()


def run(sizes: Sequence[int], orders: Sequence[str], *, rounds: int, say: Say = lambda _: None) -> dict[str, Any]:
    """All orders and sizes in turn, `rounds` times, each in a new process."""
    runs: dict[tuple[int, str], list[dict[str, Any]]] = {(size, order): [] for size in sizes for order in orders}
    for turn in range(rounds):
        for (size, order), several in runs.items():
            say(f"holdback: round {turn + 1} of {rounds}, {size:,} messages {order}")
            several.append(_in_a_process(size, order))
    cases = {size: {order: _figures(runs[size, order]) for order in orders} for size in sizes}
    return {
        "frame_messages": FRAME,
        "senders": SENDERS,
        "sizes": {str(size): at_size for size, at_size in cases.items()},
        "targets": list(_targets(runs, sizes, orders)),
    }


def _figures(several: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "ns": Spread.of(run["ns"] for run in several).to_dict(),
        "held_most": several[0]["held_most"],
        "rss_mb": max(run["rss_mb"] for run in several),
    }


def _targets(
    runs: dict[tuple[int, str], list[dict[str, Any]]], sizes: Sequence[int], orders: Sequence[str]
) -> Iterator[dict[str, Any]]:
    def ns(size: int, order: str) -> list[float]:
        return [run["ns"] for run in runs[size, order]]

    if {"in_order", "shuffled"} <= set(orders):
        for size in sizes:
            judged = SHUFFLED.judge(ratio(ns(size, "shuffled"), ns(size, "in_order")))
            yield judged | {"name": f"{SHUFFLED.name}, {size:,}"}
    if len(sizes) > 1:
        for order in orders:
            judged = GROWTH.judge(ratio(ns(max(sizes), order), ns(min(sizes), order)))
            yield judged | {"name": f"hold-back {order}: ns a message at {max(sizes):,} / at {min(sizes):,}"}


def _in_a_process(messages: int, order: str) -> dict[str, Any]:
    arguments = [sys.executable, "-m", "benchmarks.holdback", "--one", order, str(messages)]
    try:
        process = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=_RUN_MAX_S, check=False)
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"hold-back {order}: {messages:,} messages took over {_RUN_MAX_S:.0f} s") from None
    if process.returncode:
        raise BenchmarkError(f"hold-back {order} of {messages:,}: {process.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(process.stdout)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(prog="python -m benchmarks.holdback", description=__doc__)
    add_common(parser, rounds=2, only="orders: " + ", ".join(ORDERS))
    parser.add_argument("--sizes", help="messages of a run, with commas (100000,1000000; quick: 10000)")
    parser.add_argument("--one", nargs=2, metavar=("ORDER", "MESSAGES"), help="one run, in this process")
    given = parser.parse_args(arguments)
    if given.one:
        sys.stdout.write(json.dumps(measure(int(given.one[1]), given.one[0])) + "\n")
        return 0
    orders = chosen(parser, given.only, ORDERS)
    sizes = [int(size) for size in given.sizes.split(",")] if given.sizes else ([10_000] if given.quick else SIZES)
    return finish("holdback", given, lambda say: run(sizes, orders, rounds=rounds_of(given), say=say))


if __name__ == "__main__":
    raise SystemExit(main())
