"""The real engine under many seeds: the guarantee, liveness, exactly once, needless holds, clocks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

import pytest

from causal.testing import simulator
from causal.testing.figures import EXPECTED
from causal.testing.simulator import Result, attempt, main, silent_figures, simulate, simulate_many

CORE_SEEDS = range(6)
CI_SEEDS = range(1200)
FOUND = (207187, 333693, 334316, 343339, 406603, 407664)
"""Seeds beyond those of CI that have shown a defect, of the engine or of its judge: a process that nobody lets in
sends to itself what follows a token; a clock that is set forward makes the time pass in which senders may dial (twice);
a node that takes another incarnation must be dialled again; what was given up is on its way (twice)."""


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


@pytest.mark.simulation
@pytest.mark.parametrize("seed", FOUND)
def test_seeds_that_found_something_show_no_violation(seed: int) -> None:
    assert simulate(seed).violations == []


@pytest.mark.simulation
@pytest.mark.timeout(120)
def test_token_made_before_a_run_took_a_later_incarnation_keeps_the_order() -> None:
    observed = 0
    for seed in range(300):
        result = simulate(seed, crashes=1, tokens=0.9, links=1.0)
        assert result.violations == [], seed
        observed += result.tally["token of a former incarnation observed"]
        if observed >= 3:
            return
    pytest.fail(f"only {observed} in 300 runs")


@pytest.mark.simulation
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


def fails_from_seed_30(seed: int) -> Result:
    """Stands for runs of an engine with a defect; at the top level, so that other processes find it."""
    return Result(seed, ["lost: something"] if seed >= 30 else [], Counter(runs=1))


@pytest.fixture
def defect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "simulate", fails_from_seed_30)


@pytest.mark.usefixtures("defect")
def test_command_line_for_many_seeds_stops_at_the_first_that_fails_with_the_line_that_repeats_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--seeds", "0:100", "--jobs", "1"]) == 1
    printed = capsys.readouterr()
    assert "python -m causal.testing.simulator --seed 30   # lost: something\n" in printed.out
    assert "stopped at the first seed that fails; --keep-going goes on\n" in printed.out
    assert re.search(r"^ +31  runs$", printed.out, re.MULTILINE)
    assert printed.out.endswith("\n1 violations\n")
    assert "never happened" not in printed.out  # of seeds that were not run nobody can tell
    assert "--seed 30" in printed.err
    assert re.search(r"\d+ seeds/s +1 violations", printed.err)


@pytest.mark.usefixtures("defect")
def test_command_line_that_keeps_going_runs_all_seeds_and_counts_those_that_fail(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--seeds", "0:100", "--jobs", "1", "--keep-going"]) == 1
    printed = capsys.readouterr().out
    assert re.search(r"^ +100  runs$", printed, re.MULTILINE)
    assert printed.endswith("70 violations\n")


def test_command_line_for_many_seeds_without_a_violation_succeeds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    used = Counter(dict.fromkeys(EXPECTED, 1))
    monkeypatch.setattr(simulator, "simulate", lambda seed: Result(seed, tally=used))
    assert main(["--seeds", "0:3", "--jobs", "1"]) == 0
    assert capsys.readouterr().out.endswith("0 violations\n")


@pytest.mark.parametrize("seeds", ["", "5", "5:5", "7:3", "a:b"])
def test_command_line_for_seeds_that_are_none_says_the_form(seeds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--seeds", seeds])
    assert left.value.code == 2
    assert "is not first:end with at least one seed, such as 0:100000" in capsys.readouterr().err


def test_exception_in_a_run_is_a_violation_of_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(seed: int) -> Result:
        raise KeyError(seed)

    monkeypatch.setattr(simulator, "simulate", broken)
    assert attempt(7).violations == ["exception: KeyError(7)"]


@pytest.mark.simulation
def test_seeds_on_several_processes_stop_at_the_first_that_fails() -> None:
    seen: list[int] = []
    result = simulate_many(
        range(10_000_000), 2, lambda result: seen.append(result.seed), run=fails_from_seed_30, keep_going=False
    )
    assert len(result.violations) == 1
    assert seen[-1] >= 30
    assert len(seen) < 1000


def test_command_line_for_many_seeds_says_which_rules_were_not_exercised(capsys: pytest.CaptureFixture[str]) -> None:
    # Two seeds cannot exercise everything: that is no proof, and says so.
    assert main(["--seeds", "0:2", "--jobs", "1"]) == 1
    assert "never happened: " in capsys.readouterr().out
