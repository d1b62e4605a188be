"""One process of the tests of robustness: `python -m tests.integration.robustness.program JSON`.

The node is described by the `CAUSAL_…` variables. Commands are JSON lines on standard input (`flood`, `open`,
`status`, `settle`), answers JSON lines on standard output; it ends at SIGINT, SIGTERM, or with standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from causal import Message, Node
from causal.node import node as node_module


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


class Member:
    """A node whose handlers take `handler_s` seconds once the gate is open, and what it is told to send."""

    def __init__(self, node: Node, handler_s: float, gate_open: bool) -> None:
        self.node = node
        self.handler_s = handler_s
        self.gate = asyncio.Event()
        if gate_open:
            self.gate.set()
        self.handled = 0
        self.accepted = 0
        self.tasks: set[asyncio.Task[None]] = set()

    async def handle(self, message: Message) -> None:
        await self.gate.wait()
        if self.handler_s:
            await asyncio.sleep(self.handler_s)
        self.handled += 1

    async def flood(self, to: str, count: int, size: int, pause: float) -> None:
        """Send messages of `size` bytes as fast as there is room, or every `pause` seconds."""
        for number in range(count):
            await self.node.send(to, "load", [number, bytes(size)])
            self.accepted += 1
            await asyncio.sleep(pause)
        say(flooded=count)

    async def settle(self) -> None:
        await self.node.settled()
        say(settled=self.accepted)

    def obey(self, command: dict[str, Any]) -> None:
        match command:
            case {"flood": given}:
                self._start(self.flood(**given))
            case {"settle": _}:
                self._start(self.settle())
            case {"open": _}:
                self.gate.set()
            case {"status": _}:
                say(status=self.node.status() | {"handled": self.handled, "accepted": self.accepted})

    def _start(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def listen(self) -> None:
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        # This task starts once `run` waits: from now on a signal makes the process leave in good order.
        say(ready=self.node.address, incarnation=self.node.incarnation)
        try:
            while line := await reader.readline():
                self.obey(json.loads(line))
        finally:
            pipe.close()
        self.node.stop()


async def main(given: dict[str, Any]) -> None:
    if "incarnation" in given:  # as if the process had been started in this very millisecond
        setattr(node_module, "new_incarnation", lambda name: given["incarnation"])  # noqa: B010  # mypy knows no other name for it
    node = Node.from_env()
    member = Member(node, given.get("handler_s", 0.0), given.get("gate_open", True))
    node.on(">")(member.handle)
    async with node, asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(member.listen())
        await node.run()
        listening.cancel()
        for task in member.tasks:
            task.cancel()
    say(left=True, accepted=member.accepted, handled=member.handled)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
