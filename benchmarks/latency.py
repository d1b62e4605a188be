"""Latency at a given rate, open loop: from when a message was due to be sent to the start of its handler.

A message that had to wait because an earlier one was slow counts the wait (no coordinated omission). How late the
load itself was is a column of its own, and part of every latency.
`python -m benchmarks.latency --only product,unary --rates 1000 --json`
"""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from benchmarks.command import Say, add_common, chosen, finish, rounds_of
from benchmarks.contenders import CONTENDERS
from benchmarks.figures import Spread, Target, ratio
from benchmarks.pair import Batch, pair

COMPARED = ("product", "unary", "jetstream")
RATES = (1_000, 10_000)
SHARES = ("p50", "p99", "p99.9", "max")

P50 = Target(name="latency at 1,000/s: p50 of product / unary calls", at_most=1.0)
P99 = Target(name="latency at 1,000/s: p99 of product / JetStream", at_most=0.5)

_SATURATED_BELOW = 0.95
"""A contender that posts less than this share of the rate cannot keep up with it; its latencies only grow."""
_WARM_UP_S = 0.5
_MESSAGES_MAX = 10_000
"""Of a round, so that a contender which cannot keep up does not take for ever."""


async def measure(contender: str, rate: int, seconds: float) -> Batch:
    """One round: new processes, a warm-up at the same rate, then the messages that count."""
    seconds = min(seconds, _MESSAGES_MAX / rate)
    async with pair(contender) as processes:
        await processes.paced(max(1, int(rate * min(_WARM_UP_S, seconds))), rate)
        return await processes.paced(max(1, int(rate * seconds)), rate)


async def run(
    contenders: Sequence[str], rates: Sequence[int], *, rounds: int, seconds: float, say: Say = lambda _: None
) -> dict[str, Any]:
    """The contenders in turn at each rate, `rounds` times. Raises `BenchmarkError` if one loses a message."""
    batches: dict[int, dict[str, list[Batch]]] = {rate: {name: [] for name in contenders} for rate in rates}
    for turn in range(rounds):
        for rate in rates:
            for name in contenders:
                say(f"latency: round {turn + 1} of {rounds}, {rate:,} messages/s, {CONTENDERS[name].title}")
                batches[rate][name].append(await measure(name, rate, seconds))
    return {
        "rates": {str(rate): _figures(rate, at_rate) for rate, at_rate in batches.items()},
        "targets": _targets(batches.get(1_000, {})),
    }


def _figures(rate: int, batches: dict[str, list[Batch]]) -> dict[str, Any]:
    found = {}
    for name, several in batches.items():
        posted = Spread.of(batch.posted_per_s or 0.0 for batch in several)
        found[name] = {
            "title": CONTENDERS[name].title,
            "messages": [batch.messages for batch in several],
            "posted_per_s": posted.to_dict(),
            "saturated": posted.median < _SATURATED_BELOW * rate,
            "latency_us": {share: _spread(several, share).to_dict() for share in SHARES},
            "load_late_us": {share: Spread.of(_late(batch)[share] for batch in several).to_dict() for share in SHARES},
        }
    return found


def _targets(batches: dict[str, list[Batch]]) -> list[dict[str, Any]]:
    judged = []
    for target, share, other in ((P50, "p50", "unary"), (P99, "p99", "jetstream")):
        if "product" in batches and other in batches:
            ours, theirs = _spread(batches["product"], share), _spread(batches[other], share)
            judged.append(target.judge(ratio(ours.rounds, theirs.rounds)))
    return judged


def _spread(batches: list[Batch], share: str) -> Spread:
    return Spread.of(_latency(batch)[share] for batch in batches)


def _latency(batch: Batch) -> dict[str, float]:
    assert batch.latency_us is not None
    return batch.latency_us


def _late(batch: Batch) -> dict[str, float]:
    assert batch.late_us is not None
    return batch.late_us


def main(arguments: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    add_common(parser, rounds=3, only="contenders: " + ", ".join(COMPARED))
    parser.add_argument("--rates", default=",".join(map(str, RATES)), help="messages a second, with commas")
    parser.add_argument("--seconds", type=float, help="how long each round takes (3)")
    given = parser.parse_args(arguments)
    names = chosen(parser, given.only, [name for name in CONTENDERS if name != "packed"] if given.only else COMPARED)
    rates = [int(rate) for rate in given.rates.split(",")]
    seconds = given.seconds or (0.5 if given.quick else 3.0)

    def work(say: Say) -> dict[str, Any]:
        return asyncio.run(run(names, rates, rounds=rounds_of(given), seconds=seconds, say=say))

    return finish("latency", given, work)


if __name__ == "__main__":
    raise SystemExit(main())
