"""One of the three services as a child process: started, fed, listened to, stopped, and never left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

import causal

LINE_BYTES_MAX = 4 * 1024 * 1024
"""The longest line that a child may say; a status with everything held is the longest."""

STDERR_LINES_MAX = 40
SAID_MAX = 1_000


class DemoError(Exception):
    """The run is invalid: it says nothing for or against the guarantee. The text says what went wrong."""


class Child:
    """A program of the `services` package beside this installation of `causal`.

    It lives no longer than this process: it stops when its standard input ends, and `stop` or `kill` end it
    earlier. It runs in a session of its own, so Ctrl-C in the terminal reaches the demo alone.
    """

    def __init__(self, name: str, program: str) -> None:
        self.name = name
        self.program = program
        self.said: deque[dict[str, Any]] = deque(maxlen=SAID_MAX)
        """What it has said on standard output lately, one object a line."""
        self.facts: dict[str, Any] = {}
        """The last value that it said under each name."""
        self.stderr: deque[str] = deque(maxlen=STDERR_LINES_MAX)
        self._heard = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._listeners: list[asyncio.Task[None]] = []

    @property
    def returncode(self) -> int | None:
        """None before the start and while it runs; negative if a signal ended it."""
        return None if self._process is None else self._process.returncode

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self, arguments: list[str], settings: dict[str, str]) -> None:
        """Start the program. `settings` are `CAUSAL_…` variables; those of this process are not passed on."""
        root = Path(causal.__file__).parent.parent
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CAUSAL_")}
        # With -P the current directory is not searched: a package of the user's that is called `services`
        # must not run in the place of ours.
        environment |= settings | {"PYTHONPATH": str(root)}
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", f"services.{self.program}", "--until-eof", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LINE_BYTES_MAX,
            env=environment,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._listeners = [
            asyncio.create_task(self._hear(self._process.stdout)),
            asyncio.create_task(self._keep(self._process.stderr)),
        ]

    def feed(self, line: str) -> None:
        """Give it one line of standard input."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    async def wait_for(self, fact: str, timeout: float) -> Any:
        """Wait until it says this, and return it. Raises `DemoError` if it ends or says nothing in time."""
        try:
            async with asyncio.timeout(timeout):
                while fact not in self.facts:
                    self.require_alive()
                    self._heard.clear()
                    await self._heard.wait()
                return self.facts[fact]
        except TimeoutError:
            raise DemoError(f"{self.name} did not say `{fact}` within {timeout:.0f} s") from None

    async def hear(self, fact: str, timeout: float) -> Any:
        """Like `wait_for`, but for the next time that it says this."""
        self.facts.pop(fact, None)
        return await self.wait_for(fact, timeout)

    async def status(self, timeout: float = 5.0) -> dict[str, Any]:
        """What its node reports of itself now."""
        self.require_alive()
        self.facts.pop("status", None)
        assert self._process is not None
        self._process.send_signal(signal.SIGUSR1)
        status: dict[str, Any] = await self.wait_for("status", timeout)
        return status

    def require_alive(self) -> None:
        """Raises `DemoError` with what it wrote on standard error if it has ended."""
        if self.returncode is not None:
            raise DemoError(self.obituary())

    def obituary(self) -> str:
        errors = "\n".join(self.stderr) or "(nothing on standard error)"
        return f"{self.name} ({self.program}) ended with exit code {self.returncode}:\n{errors}"

    def kill(self) -> None:
        """End it at once, as a crash does; any number of times."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def stop(self, timeout: float) -> None:
        """Ask it to stop, wait, and kill it if it does not.

        Raises `DemoError` if it had to be killed or ended otherwise than with exit code 0.
        """
        if self._process is None:
            return
        if self.returncode is None:
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), timeout)
        except TimeoutError:
            self.kill()
            await self.gone()
            raise DemoError(f"{self.name} did not stop within {timeout:.0f} s of SIGTERM") from None
        await self.gone()
        if self.returncode != 0:
            raise DemoError(self.obituary())

    async def gone(self) -> None:
        """Wait until it has ended and all that it said has been heard."""
        if self._process is not None:
            await self._process.wait()
            await asyncio.gather(*self._listeners)

    async def _hear(self, lines: asyncio.StreamReader) -> None:
        try:
            async for line in lines:
                with suppress(ValueError):
                    said = json.loads(line)
                    if isinstance(said, dict):
                        self.said.append(said)
                        self.facts |= said
                        self._heard.set()
        finally:
            await self._ended()

    async def _keep(self, lines: asyncio.StreamReader) -> None:
        async for line in lines:
            self.stderr.append(line.decode(errors="replace").rstrip())

    async def _ended(self) -> None:
        """Wake whoever waits for a word of it, once its last words are here."""
        assert self._process is not None
        await self._process.wait()
        await asyncio.wait(self._listeners[1:])
        self._heard.set()
