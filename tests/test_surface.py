"""The public names, and what it costs to load them."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import causal

ROOT = Path(__file__).resolve().parent.parent

NAMES = [
    "BackpressureError",
    "BodyError",
    "CausalError",
    "ClockDriftError",
    "ClosedError",
    "ConfigurationError",
    "Dot",
    "GivenUpError",
    "HandlerError",
    "HybridClock",
    "HybridTimestamp",
    "InvalidNameError",
    "LocalError",
    "Message",
    "Node",
    "OrderingError",
    "Policy",
    "ProtocolError",
    "RefusedError",
    "Relation",
    "RemoteError",
    "SubjectError",
    "TokenError",
    "TransportError",
    "UnknownDestinationError",
    "UnknownDotError",
    "VectorClock",
    "Verdict",
    "__version__",
    "context",
    "observe",
    "token",
]
HEAVY = ("grpc", "google.protobuf", "asyncio", "sqlite3")


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter: what this one has loaded does not count."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False
    )


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after a statement; its output is not looked at."""
    listing = "import sys; print('\\nLOADED', *sys.modules)"
    run = python("-c", f"import atexit\natexit.register(lambda: exec({listing!r}))\n{statement}")
    assert "\nLOADED " in run.stdout, run.stderr
    assert "Traceback" not in run.stderr, run.stderr
    return set(run.stdout.rpartition("\nLOADED ")[2].split())


def test_surface_exports_are_these_and_no_others() -> None:
    assert causal.__all__ == NAMES
    assert dir(causal) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_surface_every_name_loads(name: str) -> None:
    assert getattr(causal, name) is vars(causal)[name]


def test_surface_every_error_is_public() -> None:
    errors = importlib.import_module("causal.errors")
    public = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.CausalError)
    }
    assert public <= set(causal.__all__)


def test_surface_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nod'"):
        causal.Nod  # noqa: B018 (the access is the test)


def test_surface_version_is_that_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert causal.__version__ == project["version"]


def test_import_causal_loads_nothing_heavy() -> None:
    assert not loaded_by("import causal").intersection(HEAVY)


def test_import_of_the_clocks_loads_nothing_heavy() -> None:
    assert not loaded_by("from causal import HybridClock, VectorClock, CausalError").intersection(HEAVY)


@pytest.mark.integration
def test_cli_help_loads_nothing_heavy_and_names_its_commands() -> None:
    program = "import sys; sys.argv = ['causal', '--help']\nfrom causal.cli.__main__ import main\nmain()"
    loaded = loaded_by(program)
    assert "causal.cli.__main__" in loaded
    assert not loaded.intersection(HEAVY)
    shown = python("-m", "causal.cli", "--help")
    assert shown.returncode == 0, shown.stderr
    assert "demo" in shown.stdout
    assert "check" in shown.stdout
