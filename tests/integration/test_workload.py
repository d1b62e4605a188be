"""The random workload: five processes, real gRPC, slow and broken cables; judged by an oracle of its own.

`WORKLOAD_SEED` and `WORKLOAD_SECONDS` in the environment choose another run: messages, destinations, handler
times, delays and cuts all come from the seed (which bytes a cut hits is up to the machine).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from causal.observe.checker import check
from causal.observe.report import Report
from causal.observe.trace import read_trace
from tests.integration.workload.judge import NEEDLESS_MS, Findings, judge, quantile, tokens_of_journals
from tests.integration.workload.plan import Plan
from tests.integration.workload.swarm import ROOT, Swarm

pytestmark = [pytest.mark.integration, pytest.mark.timeout(150)]

SEED = int(os.environ.get("WORKLOAD_SEED", "1"))
SECONDS = float(os.environ.get("WORKLOAD_SECONDS", "20"))


async def command(traces: list[Path]) -> tuple[int, dict[str, Any]]:
    """`causal check --json` as a user runs it: its exit code and its object."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "causal", "check", "--json", *map(str, traces)),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, json.loads(output)


def product_report(traces: list[Path]) -> Report:
    warnings: list[str] = []
    return check((event for path in traces for event in read_trace(path, warnings)), show=1_000_000)


def require_agreement(findings: Findings, report: Report) -> None:
    """Two oracles that share no line of code say the same of one run."""
    assert (report.messages, report.copies, report.deliveries) == (
        findings.messages,
        findings.copies,
        findings.starts,
    )
    assert (report.violation_count, report.excused_count) == (len(findings.violations), len(findings.excused))
    assert {(v.node, v.earlier, v.later) for v in report.violations} == set(findings.violations)
    assert report.unsettled_count == len(findings.lost) + len(findings.perished)
    assert report.doubled_count == len(set(findings.doubled))
    assert report.misdelivered_count == len(findings.misdelivered)
    assert report.held.count == len(findings.held_ms)
    assert report.held_needlessly == sum(wait > NEEDLESS_MS for wait in findings.beyond_ready_ms)


def show(capsys: pytest.CaptureFixture[str], title: str, figures: dict[str, Any]) -> None:
    with capsys.disabled():
        print(f"\n{title} (WORKLOAD_SEED={SEED}): {json.dumps(figures)}")


@pytest.mark.parametrize("scope", ["process", "context", "mixed"])
async def test_workload_random_over_slow_and_cut_links_keeps_the_guarantee(
    scope: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = Plan(seed=SEED, seconds=SECONDS if scope == "process" else SECONDS / 2, rate=4.0)
    scoped = {"process": (), "context": plan.names, "mixed": plan.names[::2]}[scope]
    async with Swarm(plan, tmp_path, context=scoped) as swarm:
        swarm.begin()
        async with asyncio.TaskGroup() as together:
            together.create_task(swarm.pull_cables())
            together.create_task(swarm.roots_sent())
        statuses = await swarm.drained()
        await swarm.contexts(lambda context: not context)
        cuts, stderr = swarm.cuts_made, {name: program.stderr for name, program in swarm.programs.items()}
    assert not any(stderr.values()), stderr
    # Every message of the plan was sent, once, to where the plan says, and nothing else was.
    assert tokens_of_journals(swarm.journal_of(name) for name in plan.names) == plan.expected()
    findings = judge(swarm.lives())
    counted = [status["counters"] for status in statuses.values()]
    duplicates = sum(each.get("duplicates", 0) for each in counted)
    show(capsys, f"random workload, {scope} scope", findings.summary() | {"cuts": cuts, "duplicates": duplicates})
    assert findings.failures == {}
    assert (findings.excused, findings.perished) == ([], [])
    assert findings.starts == findings.copies
    assert quantile(findings.beyond_ready_ms, 0.99) <= NEEDLESS_MS
    assert findings.running_max < 64  # handlers were free throughout, so every wait counts
    # The run was one in which order had to be worked for.
    assert cuts >= plan.seconds / plan.cut_every
    assert len(findings.held_ms) > findings.starts / (20 if scope == "process" else 100)
    # What the application saw for itself, without the nodes' traces, says the same; it knows of no contexts.
    seen = judge(swarm.lives_of_application())
    assert (seen.violations if scope == "process" else [], seen.lost, seen.doubled) == ([], [], [])
    assert seen.starts == findings.starts
    require_agreement(findings, product_report(swarm.traces))
    code, said = await command(swarm.traces)
    assert (code, said["proved"], said["violations"]) == (0, True, 0)
    assert (said["doubled"], said["unsettled"], said["misdelivered"]) == (0, 0, 0)
    assert said["deliveries"] == findings.starts


@pytest.mark.parametrize("bound", [0, 4])
async def test_workload_with_bounded_stamps_keeps_the_guarantee(
    bound: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hardly a dot is named: horizons stand in for them. Nothing is out of order, and everything arrives."""
    plan = Plan(seed=SEED, seconds=SECONDS / 2, rate=4.0)
    async with Swarm(plan, tmp_path, dependencies_max=bound) as swarm:
        swarm.begin()
        async with asyncio.TaskGroup() as together:
            together.create_task(swarm.pull_cables())
            together.create_task(swarm.roots_sent())
        statuses = await swarm.drained()
        await swarm.contexts(lambda context: not context)
        stderr = {name: program.stderr for name, program in swarm.programs.items()}
    assert not any(stderr.values()), stderr
    findings = judge(swarm.lives())
    bounded = [status["bounded"] for status in statuses.values()]
    figures = {name: sum(each[name] for each in bounded) for name in ("folded", "waits", "questions", "waiting")}
    stamps = [status["stamps"] for status in statuses.values()]
    size = sum(each["bytes"] for each in stamps) / sum(each["copies"] for each in stamps)
    show(capsys, f"bounded at {bound}", findings.summary() | figures | {"stamp_bytes": round(size, 1)})
    # A message may wait for what it does not follow (`over_5_ms` counts it): all else must hold.
    assert findings.failures == {}
    assert (findings.excused, findings.perished) == ([], [])
    assert findings.starts == findings.copies
    assert sum(status["counters"]["unsure"] for status in statuses.values()) == 0
    assert figures["folded"] > findings.starts / 10
    assert figures["waiting"] == 0
    assert all(each["dependencies_max"] == bound for each in bounded)


async def test_workload_without_ordering_is_refuted_by_both_oracles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The control: the same processes and cables, and the order is broken; so the oracles can tell."""
    plan = Plan(seed=SEED, seconds=4.0, rate=5.0)
    async with Swarm(plan, tmp_path, ordering="none") as swarm:
        swarm.begin()
        await swarm.roots_sent()
        await swarm.drained()
    findings = judge(swarm.lives())
    show(capsys, "without ordering", findings.summary())
    assert findings.failures.keys() == {"violations"}
    assert judge(swarm.lives_of_application()).violations
    report = product_report(swarm.traces)
    assert report.violation_count == len(findings.violations)
    assert {(v.node, v.earlier, v.later) for v in report.violations} == set(findings.violations)
    code, said = await command(swarm.traces)
    assert (code, said["proved"], said["violations"]) == (1, False, len(findings.violations))
