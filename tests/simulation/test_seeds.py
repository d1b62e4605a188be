"""The real engine under many seeds: the guarantee, liveness, exactly once, needless holds, clocks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from causal.testing.simulator import main, silent_figures, simulate, simulate_many

CORE_SEEDS = range(12)
CI_SEEDS = range(1200)


def test_seeds_of_the_core_suite_show_no_violation() -> None:
    violations = [f"seed {seed}: {text}" for seed in CORE_SEEDS for text in simulate(seed).violations]
    assert violations == []


@pytest.mark.simulation
@pytest.mark.timeout(600)
def test_seeds_of_ci_show_no_violation_and_leave_no_rule_unused(say: Callable[[str], None]) -> None:
    began = time.perf_counter()
    jobs = os.cpu_count() or 1
    result = simulate_many(CI_SEEDS, jobs)
    rate = len(CI_SEEDS) / (time.perf_counter() - began) / jobs
    say(f"{len(CI_SEEDS)} seeds, {rate:.0f} a second on each of {jobs} cores, {len(result.violations)} violations")
    for name, count in sorted(result.tally.items()):
        say(f"{count:10}  {name}")
    assert result.violations == []
    assert silent_figures(result.tally) == []


def test_same_seed_in_another_process_repeats_the_run() -> None:
    script = "from causal.testing.simulator import simulate; print([simulate(seed).digest for seed in (0, 3, 8)])"
    here = [simulate(seed).digest for seed in (0, 3, 8)]
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    there = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=20
    )
    assert there.stdout.strip() == str(here)


def test_command_line_for_one_seed_prints_its_plan_and_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "5"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Plan(seed=5, ")
    assert re.search(r"^ +[1-9]\d*  sent$", printed, re.MULTILINE)
    assert printed.endswith("0 violations\n")


def test_command_line_for_many_seeds_says_which_rules_were_not_exercised(capsys: pytest.CaptureFixture[str]) -> None:
    # Two seeds cannot exercise everything: that is no proof, and says so.
    assert main(["--seeds", "0:2", "--jobs", "1"]) == 1
    assert "never happened: " in capsys.readouterr().out
