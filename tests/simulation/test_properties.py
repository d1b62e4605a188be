"""The properties of the core suite, each for ten times as many examples."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.simulation
@pytest.mark.timeout(300)
def test_properties_of_the_core_suite_hold_for_many_examples() -> None:
    marked = "hypothesis and not simulation and not integration"
    command = [sys.executable, "-m", "pytest", "-q", "-m", marked, "--hypothesis-profile=thorough", "tests"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
