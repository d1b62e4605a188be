"""The set-up keeps its promises: what the coverage counts, and what no file may contain."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parent.parent

EXCUSED = """
from typing import TYPE_CHECKING

def told(x: int) -> int:
    if x:  # pragma: no branch
        return 1
    return 2  # pragma: no cover

if TYPE_CHECKING:
    import os

told(1)
"""


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, cwd=cwd, capture_output=True, text=True, timeout=25, check=False)


def test_coverage_excuse_in_the_source_is_not_honoured(tmp_path: Path) -> None:
    (tmp_path / "excused.py").write_text(EXCUSED)
    config = f"--rcfile={ROOT / 'pyproject.toml'}"
    coverage = (sys.executable, "-m", "coverage")
    made = run(*coverage, "run", config, "--source=.", "excused.py", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    report = run(*coverage, "json", config, "--fail-under=0", "-o", "-", cwd=tmp_path)
    measured = json.loads(report.stdout)["files"]["excused.py"]
    assert measured["missing_lines"] == [7, 10]
    assert [5, 7] in measured["missing_branches"]
    assert measured["excluded_lines"] == []


def test_make_help_names_each_public_target() -> None:
    shown = run("make", "-s", "help")
    assert shown.returncode == 0, shown.stderr
    named = set(re.findall(r"^  make (\S+)", shown.stdout, re.MULTILINE))
    assert {"help", "demo", "test", "test-core", "check", "proto", "clean"} <= named


def test_make_with_a_python_that_is_too_old_says_what_is_needed(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml"):
        (tmp_path / name).write_text((ROOT / name).read_text("utf-8"))
    old = tmp_path / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    for target in ("demo", "test", "check"):
        made = run("make", "-s", target, f"PYTHON={old}", cwd=tmp_path)
        assert made.returncode != 0
        assert "Python 3.11 or newer is needed" in made.stderr
        assert not (tmp_path / ".venv").exists()


def test_ci_run_is_executable() -> None:
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_files_name_no_place_of_one_machine() -> None:
    # A home folder, or the host of a package registry, would make the clone work in one place only.
    forbidden = re.compile(r"/(?:home|root|Users)/\w|--(?:extra-)?index-url|--find-links")
    kinds = {".py", ".toml", ".md", ".proto", ".yml", ""}
    paths = [path for path in ROOT.iterdir() if path.name != ".coverage"]
    for folder in ("causal", "services", "benchmarks", "protos", ".ci"):
        paths += (ROOT / folder).rglob("*")
    kinds = {".py", ".toml", ".md", ".proto", ".yml", ""}
    texts = {path: path.read_text("utf-8") for path in paths if path.is_file() and path.suffix in kinds}
    assert ROOT / "Makefile" in texts
    assert not [path for path, text in texts.items() if forbidden.search(text)]
