"""What the figures were measured on: no host name, no path."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.figures import BenchmarkError

PACKAGES = ("grpcio", "protobuf", "msgpack", "msgspec", "nats-py")


def describe() -> dict[str, Any]:
    """Cores this process may use, CPU, Python, kernel, packages, and how busy the machine is already."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "cpu": _cpu(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "kernel": f"{platform.system()} {platform.release()}",
        "packages": {name: _version(name) for name in PACKAGES} | {"nats-server": _nats_server()},
        "load_1min": round(os.getloadavg()[0], 2),
    }


def _cpu() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _nats_server() -> str | None:
    from benchmarks.contenders.broker import server_program

    try:
        program = server_program()
    except BenchmarkError:
        return None
    said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    return said.rpartition("v")[2].strip() or None
