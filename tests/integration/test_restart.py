"""Five processes that are killed, frozen, interrupted and started again in the middle of the random workload."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from causal import Dot
from causal.observe.checker import check
from causal.observe.trace import read_trace
from tests.integration.workload.judge import Findings, judge, quantile, times_settled
from tests.integration.workload.plan import Plan
from tests.integration.workload.swarm import Swarm

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

SEED = int(os.environ.get("WORKLOAD_SEED", "1"))
SILENCE_MAX_S = 1.0
"""Shorter than most freezes, so that the links of a frozen process break and are taken up again."""


def show(capsys: pytest.CaptureFixture[str], title: str, figures: dict[str, Any]) -> None:
    with capsys.disabled():
        print(f"\n{title} (WORKLOAD_SEED={SEED}): {json.dumps(figures)}")


def incarnations(swarm: Swarm) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for life in swarm.lives():
        found.setdefault(life.node, []).append(life.incarnation)
    return found


def gone_only(latest: dict[str, int], context: dict[str, list[str]]) -> bool:
    """Whether a context holds nothing but dots of incarnations that are gone."""
    return all(Dot.parse(text).incarnation < latest[Dot.parse(text).name] for text in dots_of(context))


def dots_of(context: dict[str, list[str]]) -> Iterator[str]:
    for dots in context.values():
        yield from dots


def require_order_but_for_what_was_lost(swarm: Swarm, findings: Findings) -> None:
    """No violation, nothing lost that a living memory held, and each excuse is one that a verdict gives."""
    assert findings.failures == {}
    report = check(event for path in swarm.traces for event in read_trace(path, []))
    assert report.proved, report.to_dict()
    assert (report.excused_count, report.doubled_count) == (len(findings.excused), 0)
    assert report.unsettled_count == len(findings.perished)


async def kill_each(swarm: Swarm, source: random.Random) -> None:
    """Each process in turn: killed, away for a while, started again."""
    names = list(swarm.plan.names)
    source.shuffle(names)
    for name in names:
        await asyncio.sleep(source.uniform(0.6, 1.6))
        await swarm.kill(name)
        await asyncio.sleep(source.uniform(0.1, 0.8))
        await swarm.start(name)
        swarm.begin([name])


async def freeze_some(swarm: Swarm, source: random.Random) -> None:
    """One process at a time stands still for longer than its peers wait for a sign of life, or just not so long."""
    while swarm.elapsed < swarm.plan.seconds - 3:
        await asyncio.sleep(source.uniform(0.5, 1.5))
        name = source.choice(sorted(swarm.programs))
        await swarm.freeze(name, source.uniform(1.0, 2.0))


async def test_restart_of_each_process_by_sigkill_blocks_nobody_and_loses_only_what_died_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = Plan(seed=SEED, seconds=14.0, rate=4.0, delay_max_ms=150.0)
    source = random.Random(f"{SEED} kills")
    async with Swarm(plan, tmp_path, silence_max=SILENCE_MAX_S) as swarm:
        swarm.begin()
        await kill_each(swarm, source)
        await swarm.roots_sent()
        await swarm.drained()
        latest = {name: lives[-1] for name, lives in incarnations(swarm).items()}
        contexts = await swarm.contexts(lambda context: gone_only(latest, context))
    findings = judge(swarm.lives())
    left = sum(1 for context in contexts.values() for _ in dots_of(context))
    again = sum(times - 1 for times in times_settled(swarm.lives()).values())
    verdicts = sum(map(len, findings.named.values()))
    figures = {"lost_verdicts": verdicts, "settled_again_after_a_crash": again, "dots_of_the_gone_left": left}
    show(capsys, "each process killed", findings.summary() | figures)
    assert all(len(lives) == 2 for lives in incarnations(swarm).values())
    require_order_but_for_what_was_lost(swarm, findings)
    assert findings.starts > plan.seconds * plan.rate * len(plan.names)


async def test_restart_none_but_frozen_processes_and_cut_cables_lose_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = Plan(seed=SEED, seconds=10.0, rate=4.0, delay_max_ms=150.0)
    source = random.Random(f"{SEED} freezes")
    async with Swarm(plan, tmp_path, silence_max=SILENCE_MAX_S) as swarm:
        swarm.begin()
        async with asyncio.TaskGroup() as together:
            together.create_task(freeze_some(swarm, source))
            together.create_task(swarm.pull_cables())
            together.create_task(swarm.roots_sent())
        await swarm.drained()
        await swarm.contexts(lambda context: not context)
    findings = judge(swarm.lives())
    show(capsys, "frozen and cut", findings.summary() | {"cuts": swarm.cuts_made})
    require_order_but_for_what_was_lost(swarm, findings)
    assert (findings.excused, findings.perished) == ([], [])
    assert findings.starts == findings.copies


async def test_restart_in_good_order_under_load_loses_nothing_and_leaves_without_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each process in turn is told to leave (Ctrl-C, SIGTERM) while the others go on, and is started again."""
    plan = Plan(seed=SEED, seconds=10.0, rate=4.0, delay_max_ms=100.0)
    took = []
    async with Swarm(plan, tmp_path) as swarm:
        swarm.begin()
        for name, number in zip(plan.names, (signal.SIGINT, signal.SIGTERM) * 3, strict=False):
            begun = swarm.elapsed
            code = await swarm.leave(name, number, seconds=15.0)
            took.append(round(swarm.elapsed - begun, 2))
            assert (code, swarm.ended[-1].stderr) == (0, "")
            await swarm.start(name)
            swarm.begin([name])
        await swarm.roots_sent()
        await swarm.drained()
    findings = judge(swarm.lives())
    again = [place for place, times in times_settled(swarm.lives()).items() if times > 1]
    # What was on the way to a node as it left may name messages that only its former self knows to be settled.
    verdicts = sum(map(len, findings.named.values()))
    figures = {"seconds_to_leave": took, "settled_again": len(again), "lost_verdicts": verdicts}
    show(capsys, "rolling restart", findings.summary() | figures)
    require_order_but_for_what_was_lost(swarm, findings)
    assert (findings.excused, findings.perished) == ([], [])
    assert again == []
    assert quantile(took, 1.0) < 10.0  # nobody ran into drain_timeout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_all_processes_at_rest_leave_at_once_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    plan = Plan(seed=SEED, seconds=1.0, rate=10.0, delay_max_ms=20.0)
    async with Swarm(plan, tmp_path) as swarm:
        swarm.begin()
        await swarm.roots_sent()
        await swarm.drained()
        codes = await asyncio.gather(*(swarm.leave(name, number, seconds=10.0) for name in plan.names))
        said = {program.name: (program.stderr, program.facts.get("left")) for program in swarm.ended}
    assert codes == [0] * len(plan.names)
    assert said == dict.fromkeys(plan.names, ("", True))
    findings = judge(swarm.lives())
    assert findings.starts == findings.copies > 0
    assert findings.failures == {}
