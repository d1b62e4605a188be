"""`causal demo` as a user runs it: its numbers, its exit codes, and that nothing of it stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from causal.observe.checker import check
from causal.observe.trace import read_trace

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

COMMAND = [sys.executable, "-m", "causal", "demo"]
DEADLINE_S = 60.0


@contextmanager
def demo(tmp_path: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The demo as a process of its own, whose temporary files go into a folder that we can look into."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = os.environ | {"TMPDIR": str(temporary)}
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def relatives(tmp_path: Path) -> dict[int, str]:
    """Process id → command line of every process that was started with our folder in its environment."""
    found = {}
    mark = str(tmp_path).encode()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it has just ended, or is not ours to look at
    return {pid: command for pid, command in found.items() if command}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def require_nothing_left(tmp_path: Path) -> None:
    until(lambda: not relatives(tmp_path))
    assert list((tmp_path / "temporary").iterdir()) == []


def test_demo_as_json_prints_one_object_with_the_promise_kept_and_leaves_nothing_behind(tmp_path: Path) -> None:
    traces = tmp_path / "traces"
    with demo(tmp_path, "--json", "--seed", "7", "--trace-dir", str(traces)) as process:
        output, errors = process.communicate(timeout=DEADLINE_S)
        assert (process.returncode, errors) == (0, "")
    numbers = json.loads(output)
    assert {part: set(keys) for part, keys in numbers.items()} == {
        "without": {"messages", "early"},
        "with": {"messages", "early", "held", "held_needlessly", "hold_median_ms", "stamp_bytes_mean"},
        "cut": {"delivered_meanwhile", "waiting", "released_ms", "lost", "doubled"},
        "check": {"with_violations", "without_violations"},
    }
    assert numbers["without"]["messages"] >= 600
    assert numbers["without"]["early"] > 0
    assert numbers["with"]["early"] == numbers["check"]["with_violations"] == 0
    assert numbers["with"]["held"] > 0
    assert numbers["with"]["stamp_bytes_mean"] > 0
    assert numbers["check"]["without_violations"] >= numbers["without"]["early"]
    assert numbers["cut"]["waiting"] > 0
    assert numbers["cut"]["delivered_meanwhile"] > 0
    assert numbers["cut"]["lost"] == numbers["cut"]["doubled"] == 0
    require_nothing_left(tmp_path)
    # The traces that it kept say the same to whoever checks them again.
    judged = {
        run.name: check(event for path in run.iterdir() for event in read_trace(path, [])) for run in traces.iterdir()
    }
    assert {run: report.proved for run, report in judged.items()} == {
        "1-without": False,
        "2-causal": True,
        "3-one-message": True,
        "4-cut": True,
    }
    assert judged["2-causal"].messages == numbers["with"]["messages"]


def test_demo_without_a_terminal_prints_plain_lines(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        output, errors = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, errors) == (0, "")
    assert "\x1b" not in output
    assert "payments before their order" in output
    assert "A {S1:1}   B {S1:1, S2:1}   C {S1:1, S2:1, S3:1}" in output
    assert "lost 0, doubled 0" in output
    assert "PROVED" in output
    assert "REFUTED" in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_interrupted_ends_its_services_and_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    with demo(tmp_path, "--json") as process:
        until(lambda: len(relatives(tmp_path)) == 4)
        process.send_signal(number)
        output, errors = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, output, errors) == (128 + number, "", "")
    require_nothing_left(tmp_path)


def delivered(tmp_path: Path) -> bool:
    """Whether a run of the demo has got to its first delivery at S3."""
    return any(b'"deliver"' in path.read_bytes() for path in (tmp_path / "temporary").glob("*/*/S3.jsonl"))


@pytest.mark.parametrize("moment", ["while it starts", "in the middle"])
def test_demo_with_a_service_that_dies_is_invalid_and_says_which(tmp_path: Path, moment: str) -> None:
    with demo(tmp_path, "--json") as process:
        until(lambda: len(relatives(tmp_path)) == 4)
        if moment == "in the middle":
            until(lambda: delivered(tmp_path))
        (payments,) = (pid for pid, command in relatives(tmp_path).items() if "services.payments" in command)
        os.kill(payments, signal.SIGKILL)
        output, errors = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, output) == (2, "")
    assert "S2 (payments) ended with exit code -9" in errors
    require_nothing_left(tmp_path)


def test_demo_killed_outright_leaves_no_process_behind(tmp_path: Path) -> None:
    with demo(tmp_path, "--json") as process:
        until(lambda: len(relatives(tmp_path)) == 4)
        process.kill()
        process.wait()
        until(lambda: not relatives(tmp_path))
