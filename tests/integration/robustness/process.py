"""Starts processes of `program.py`, and reads from the kernel how much memory they take."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tests.integration.workload.swarm import ROOT, START_S, Program, _alive

MIB = 1024 * 1024
QUICK = {"heartbeat_interval": 0.05, "reconnect_first": 0.01, "reconnect_max": 0.2, "silence_max": 1.0}


class Process(Program):
    """One run of the program. `address` is where its node listens."""

    address = ""
    incarnation = 0
    base_bytes = 0
    """What it took in memory before it was told to do anything."""

    async def start(self, argument: dict[str, Any], settings: dict[str, Any]) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CAUSAL_")}
        environment |= {f"CAUSAL_{name.upper()}": str(value) for name, value in {**QUICK, **settings}.items()}
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.integration.robustness.program", json.dumps(argument)),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=environment | {"CAUSAL_NAME": self.name},
            cwd=ROOT,
            process_group=0,
        )
        _alive.add(self.process.pid)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._listening = asyncio.gather(self._hear(self.process.stdout), self._keep(self.process.stderr))
        self.address = await self.hear("ready", START_S)
        self.incarnation = self.facts["incarnation"]
        self.base_bytes = self.memory("VmRSS")

    def memory(self, field: str) -> int:
        """Bytes of `VmRSS` (now) or `VmHWM` (at most so far), also of a process that is stopped."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"the kernel does not tell {field}")

    @property
    def growth_mib(self) -> float:
        """How much more memory it has taken, at most, than before it did anything."""
        return (self.memory("VmHWM") - self.base_bytes) / MIB


async def launched(
    stack: AsyncExitStack, name: str, argument: dict[str, Any] | None = None, **settings: Any
) -> Process:
    """A running process that ends with the stack."""
    process = Process(name)
    stack.push_async_callback(_end, process)
    await process.start(argument or {}, settings)
    return process


async def _end(process: Process) -> None:
    if hasattr(process, "process") and process.returncode is None:
        process.process.kill()
        await process.ended()
