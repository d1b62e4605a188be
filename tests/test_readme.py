"""The README is true: its examples run as printed, and every command in it is one that a test runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from causal.node.config import NodeConfig
from causal.node.payload import ELEMENTS_MAX

MIB = 1024 * 1024
ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
PYTHON = {match[1]: code for kind, code in BLOCKS if kind == "python" and (match := re.match(r"# (\S+)\n", code))}
COMMANDS = [
    line.split("#")[0].strip() for kind, code in BLOCKS if kind == "sh" for line in code.splitlines() if line.strip()
]
MAKE_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_readme_commands_are_those_that_tests_run() -> None:
    # make demo: tests/integration/test_demo.py; make test: this run; causal check and the two programs: below.
    assert sorted(COMMANDS) == [
        ".venv/bin/causal check s1.jsonl s2.jsonl s3.jsonl",
        ".venv/bin/python orders.py",
        ".venv/bin/python shipping.py",
        "make demo",
        "make test",
        "make test-simulation",
    ]
    assert {command.split()[1] for command in COMMANDS if command.startswith("make")} <= MAKE_TARGETS


def test_readme_links_lead_to_files_that_exist() -> None:
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_readme_limits_are_those_of_the_code() -> None:
    defaults = NodeConfig(name="S1")
    for name, shown in (
        ("body_max_bytes", f"{defaults.body_max_bytes // MIB} MiB of MessagePack"),
        ("dead_letters_bytes", f"{defaults.dead_letters_bytes // MIB} MiB"),
        ("dead_letters_max", f"{defaults.dead_letters_max:,}"),
        ("reconnect_max", f"{defaults.reconnect_max:.0f} s"),
        ("drain_timeout", f"{defaults.drain_timeout:.0f} s"),
    ):
        assert f"`{name}` ({shown})" in README
    assert f"{ELEMENTS_MAX:,} elements" in README


def test_readme_two_terminal_example_has_25_lines_at_most() -> None:
    lines = [line for name in ("shipping.py", "orders.py") for line in PYTHON[name].splitlines()[1:] if line.strip()]
    assert len(lines) <= 25


@pytest.fixture
def terminals(tmp_path: Path) -> dict[str, Path]:
    """The two programs of the README in a folder, on a port that is free here."""
    port = _free_port()
    files = {}
    for name in ("shipping.py", "orders.py"):
        files[name] = tmp_path / name
        files[name].write_text(PYTHON[name].replace("7003", str(port)), encoding="utf-8")
    return files


@pytest.mark.integration
def test_readme_two_terminal_example_delivers_in_order(terminals: dict[str, Path]) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    shipping = subprocess.Popen(
        [sys.executable, str(terminals["shipping.py"])], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        orders = subprocess.run(
            [sys.executable, str(terminals["orders.py"])],
            env=environment,
            timeout=20,
            capture_output=True,
            text=True,
            check=False,
        )
        assert orders.returncode == 0, orders.stderr
    finally:
        shipping.terminate()
        output, _ = shipping.communicate(timeout=20)
    assert shipping.returncode == 0
    lines = output.splitlines()
    assert [line.split()[0] for line in lines] == ["order.placed", "order.paid"]
    assert lines[0].endswith("{S1:1}")
    assert lines[1].endswith("{S1:2}")


@pytest.mark.integration
@pytest.mark.parametrize(("ordering", "outcome"), [("causal", 0), ("none", 1)])
def test_readme_cluster_test_passes_and_fails_under_none(tmp_path: Path, ordering: str, outcome: int) -> None:
    code = PYTHON["test_overtaking.py"]
    assert code.count('ordering="causal"') == 1
    test = tmp_path / "test_overtaking.py"
    test.write_text(code.replace('ordering="causal"', f'ordering="{ordering}"'), encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", str(test)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=25,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == outcome, run.stdout
    if outcome:
        assert "order.placed" in run.stdout
        assert "order.paid" in run.stdout


@pytest.mark.integration
def test_readme_trace_of_the_example_is_proved_by_causal_check(terminals: dict[str, Path], tmp_path: Path) -> None:
    code = terminals["shipping.py"].read_text(encoding="utf-8")
    terminals["shipping.py"].write_text(code.replace('Node("S3", ', 'Node("S3", trace="s3.jsonl", '), encoding="utf-8")
    code = terminals["orders.py"].read_text(encoding="utf-8")
    terminals["orders.py"].write_text(code.replace('Node("S1", ', 'Node("S1", trace="s1.jsonl", '), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    shipping = subprocess.Popen([sys.executable, "shipping.py"], cwd=tmp_path, env=environment)
    try:
        subprocess.run([sys.executable, "orders.py"], cwd=tmp_path, env=environment, timeout=20, check=True)
    finally:
        shipping.terminate()
        shipping.wait(timeout=20)
    command = [sys.executable, "-m", "causal", "check", "s1.jsonl", "s3.jsonl"]
    check = subprocess.run(
        command, cwd=tmp_path, env=environment, timeout=20, capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, check.stdout + check.stderr
    assert "PROVED" in check.stdout


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
