"""Throughput from one process to another on the loopback interface, beside its alternatives.

`python -m benchmarks.throughput --only product,bare --rounds 3 --json`; with `--profile sender|receiver` a profile
of that process of the first contender is written, and its figures are no good for anything else.
"""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.command import Say, add_common, chosen, finish, rounds_of
from benchmarks.contenders import CONTENDERS
from benchmarks.figures import Spread, Target, ratio
from benchmarks.pair import Batch, Profiled, pair

VOID_BELOW = 100.0
"""The bare stream must be so many times faster than unary calls, or it was not what it should be."""

TARGETS = {
    "bare": Target(name="throughput: product / bare stream of 512", at_least=0.4),
    "single": Target(name="throughput: product / one message a frame", at_least=25.0),
    "unary": Target(name="throughput: product / unary calls", at_least=70.0),
    "jetstream": Target(name="throughput: product / JetStream async publish", at_least=20.0),
}

_MESSAGES_MIN = 200
_MESSAGES_MAX = 2_000_000


async def measure(contender: str, seconds: float, messages: int | None, profile: Profiled | None = None) -> Batch:
    """One round of one contender: new processes, a warm-up, then a batch that takes about so many seconds."""
    entry = CONTENDERS[contender]
    async with pair(contender, profile) as processes:
        warm_up = entry.warm_up if messages is None else min(entry.warm_up, messages)
        warm = await processes.flood(warm_up)
        if messages is None:
            messages = int(min(max(warm.per_second * seconds, _MESSAGES_MIN), _MESSAGES_MAX))
        return await processes.flood(whole_frames(messages, entry.frame), profiled=profile is not None)


def whole_frames(messages: int, frame: int) -> int:
    """So many messages, or a few more, that no frame is shorter than the others."""
    return -(-messages // frame) * frame if frame > 1 else messages


async def run(
    contenders: Sequence[str], *, rounds: int, seconds: float, messages: int | None = None, say: Say = lambda _: None
) -> dict[str, Any]:
    """The contenders in turn, `rounds` times. Raises `BenchmarkError` if one of them loses a message."""
    batches: dict[str, list[Batch]] = {name: [] for name in contenders}
    for turn in range(rounds):
        for name in contenders:
            say(f"throughput: round {turn + 1} of {rounds}, {CONTENDERS[name].title}")
            batches[name].append(await measure(name, seconds, messages))
    return summary(batches)


def summary(batches: dict[str, list[Batch]]) -> dict[str, Any]:
    """Figures of each contender, the product's ratios to the others, the targets, and whether the run is void."""
    rates = {name: [batch.per_second for batch in several] for name, several in batches.items()}
    found: dict[str, Any] = {
        "contenders": {name: _figures(name, several) for name, several in batches.items()},
        "ratios": {},
        "targets": [],
        "void": None,
    }
    for name in [other for other in rates if other != "product"] if "product" in rates else ():
        figure = ratio(rates["product"], rates[name])
        found["ratios"][f"product/{name}"] = figure.to_dict()
        if name in TARGETS:
            found["targets"].append(TARGETS[name].judge(figure))
    if "bare" in rates and "unary" in rates:
        sanity = ratio(rates["bare"], rates["unary"])
        found["ratios"]["bare/unary"] = sanity.to_dict()
        if sanity.median < VOID_BELOW:
            found["void"] = f"the bare stream is only {sanity.median:.0f} × unary calls, not {VOID_BELOW:.0f} ×"
    return found


def _figures(name: str, batches: list[Batch]) -> dict[str, Any]:
    figures: dict[str, Callable[[Batch], float]] = {
        "messages_per_s": lambda batch: batch.per_second,
        "seconds": lambda batch: batch.seconds,
        "seconds_from_first": lambda batch: batch.seconds_from_first,
        "sender_cpu_us": lambda batch: batch.sender_cpu_us,
        "receiver_cpu_us": lambda batch: batch.receiver_cpu_us,
    }
    spreads = {figure: Spread.of(map(of, batches)).to_dict() for figure, of in figures.items()}
    return {"title": CONTENDERS[name].title, "messages": [batch.messages for batch in batches], **spreads}


async def profiled(contender: str, profile: Profiled, seconds: float, messages: int | None) -> dict[str, Any]:
    """One round under the profiler: the files, and figures that are slower than without it."""
    profile.stem.parent.mkdir(parents=True, exist_ok=True)
    batch = await measure(contender, seconds, messages, profile)
    files = [str(profile.stem.with_suffix(suffix)) for suffix in (".txt", ".pstats")]
    return {"profiled": contender, "role": profile.role, "files": files, "figures": _figures(contender, [batch])}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    add_common(parser, rounds=5, only="contenders: " + ", ".join(CONTENDERS))
    parser.add_argument("--seconds", type=float, help="about how long each batch takes (1)")
    parser.add_argument("--messages", type=int, help="messages of a batch, in place of --seconds")
    parser.add_argument("--profile", choices=("sender", "receiver"), help="profile this process instead")
    parser.add_argument("--profile-to", type=Path, help="where its files go, without suffix (build/profile-…)")
    given = parser.parse_args(arguments)
    names = chosen(parser, given.only, CONTENDERS)
    seconds = given.seconds or (0.3 if given.quick else 1.0)
    if given.profile:
        stem = given.profile_to or Path("build") / f"profile-{names[0]}-{given.profile}"
        profile = Profiled(role=given.profile, stem=stem.resolve())
        return finish("profile", given, lambda say: asyncio.run(profiled(names[0], profile, seconds, given.messages)))
    rounds = rounds_of(given)

    def work(say: Say) -> dict[str, Any]:
        return asyncio.run(run(names, rounds=rounds, seconds=seconds, messages=given.messages, say=say))

    return finish("throughput", given, work)


if __name__ == "__main__":
    raise SystemExit(main())
