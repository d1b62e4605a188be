"""The tasks that serve accepted connections: what every listener owns, whatever it listens to."""

from __future__ import annotations

import asyncio

from causal.errors import TransportError
from causal.transport.base import Accept, Connection

_END_SECONDS_MAX = 0.5
"""How long a close waits for the tasks to end by themselves, and once more when it has cancelled them."""


class Serving:
    """One task for each accepted connection, from `start` until its `Accept` has returned and it is closed."""

    def __init__(self, accept: Accept) -> None:
        self.address = ""
        """Where the connections are accepted; for messages."""
        self._accept = accept
        self._connections: dict[asyncio.Task[None], Connection] = {}

    def start(self, connection: Connection) -> None:
        """Serve one accepted connection."""
        task = asyncio.create_task(self._serve(connection), name=f"serve at {self.address}")
        self._connections[task] = connection
        task.add_done_callback(self._served)

    async def close(self) -> None:
        """Close every connection and see its task off, in a second at most."""
        await asyncio.gather(*(connection.close() for connection in self._connections.values()))
        current = asyncio.current_task()  # Whoever serves a connection may close the listener.
        if tasks := [task for task in self._connections if task is not current]:
            _, late = await asyncio.wait(tasks, timeout=_END_SECONDS_MAX)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=_END_SECONDS_MAX)

    async def _serve(self, connection: Connection) -> None:
        try:
            await self._accept(connection)
        finally:
            await connection.close()

    def _served(self, task: asyncio.Task[None]) -> None:
        del self._connections[task]
        if task.cancelled() or (error := task.exception()) is None or isinstance(error, TransportError):
            return  # A dialler that has gone is nobody's defect: whoever serves it may let that pass through.
        task.get_loop().call_exception_handler(
            {"message": f"serving a connection at {self.address} failed", "exception": error, "task": task}
        )


async def finished(task: asyncio.Task[None]) -> None:
    """Wait until a task that takes a bounded time has ended, also if the waiter is cancelled: then raise that.

    For what must not be left half done. Raises what the task has raised.
    """
    interrupted: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted
    task.result()
