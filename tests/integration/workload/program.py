"""One process of the random workload, on the public API alone: `python -m tests.integration.workload.program`.

The node is described by the `CAUSAL_…` variables, the workload by one JSON argument. Commands are JSON lines on
standard input (`begin`, `settle`, `status`), answers JSON lines on standard output; the process ends at SIGINT,
SIGTERM, or when standard input ends. It keeps a journal of its own, beside the node's trace.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Coroutine
from typing import Any
from zlib import crc32

from causal import Dot, Message, Node, context
from tests.integration.workload.plan import Plan, Send

SUBJECT = "work.step"


class Journal:
    """What the application itself did, in its program order: one line, one system call."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, event: str, dot: Dot, token: str, incarnation: int, to: tuple[str, ...] = ()) -> None:
        line = {
            "at": time.time_ns(),
            "event": event,
            "id": str(dot),
            "token": token,
            "incarnation": incarnation,
            "to": to,
        }
        os.write(self._descriptor, json.dumps(line).encode() + b"\n")


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


class Worker:
    """One node, what it sends of its own accord, and what its handler does."""

    def __init__(self, node: Node, plan: Plan, journal: Journal, tasks: asyncio.TaskGroup) -> None:
        self.node = node
        self.plan = plan
        self.journal = journal
        self.running: list[asyncio.Task[None]] = []
        self._tasks = tasks

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """What fails here ends the process, with its traceback."""
        self.running.append(self._tasks.create_task(coroutine))

    async def handle(self, message: Message) -> None:
        token, depth = message.body["token"], message.body["depth"]
        self.journal.write("start", message.id, token, self.node.incarnation)
        script = self.plan.script(self.node.name, token, depth, message.sender)
        await asyncio.sleep(script.before_ms / 1000)
        for send in script.sends:
            await self.send(send)
        await asyncio.sleep(script.after_ms / 1000)
        self.journal.write("end", message.id, token, self.node.incarnation)

    async def send(self, send: Send) -> None:
        number = crc32(send.token.encode())
        key = f"account {number % 7}" if number % 3 == 0 else None
        dot = await self.node.send(send.to, SUBJECT, {"token": send.token, "depth": send.depth}, key=key)
        # The outbox has room throughout, so `send` did not wait and nothing has come between it and this line.
        self.journal.write("send", dot, send.token, self.node.incarnation, send.to)

    async def send_roots(self, elapsed: float) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time() - elapsed
        for root in self.plan.roots(self.node.name):
            if root.due < elapsed:
                continue  # sent by an earlier run of this node
            if (left := begun + root.due - loop.time()) > 0:
                await asyncio.sleep(left)
            async with context():  # a request by itself, where the scope tells requests apart
                await self.send(root.send)
        say(roots_sent=True)

    async def settle(self, seconds: float) -> None:
        try:
            await self.node.settled(timeout=seconds)
        except TimeoutError as error:
            say(settled={"error": str(error), "status": self.node.status()})
        else:
            say(settled={"error": None, "status": self.node.status()})

    async def obey(self) -> None:
        """Carry out commands until standard input ends: nobody is left who would want this process."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        try:
            while line := await reader.readline():
                match json.loads(line):
                    case {"begin": elapsed}:
                        self.start(self.send_roots(elapsed))
                    case {"settle": seconds}:
                        await self.settle(seconds)
                    case {"status": _}:
                        say(status=self.node.status())
        finally:
            pipe.close()
        self.node.stop()


async def main(given: dict[str, Any]) -> None:
    node = Node.from_env()
    tasks = asyncio.TaskGroup()
    worker = Worker(node, Plan(**given["plan"]), Journal(given["journal"]), tasks)
    node.on("work.>", ordering=given["ordering"])(worker.handle)
    async with node, tasks:
        worker.start(worker.obey())
        running = tasks.create_task(node.run())
        await asyncio.sleep(0)  # from now on a signal makes it leave; before, it would be a KeyboardInterrupt
        say(ready=node.address, incarnation=node.incarnation)
        await running
        for task in worker.running:
            task.cancel()
    say(left=True)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
