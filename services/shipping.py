"""S3, shipping: reserves the goods of an order that is placed, and ships them when it is paid.

$ python -m services.shipping
"""

from __future__ import annotations

import argparse
import asyncio

from causal import Message
from services import program


async def serve(options: argparse.Namespace) -> None:
    node = program.open_node(options)
    reserved: dict[int, int] = {}
    shipped: set[int] = set()

    @node.on("order.placed", ordering=options.ordering)
    async def reserve(message: Message) -> None:
        order = message.body
        reserved[order["id"]] = order["quantity"]
        program.say_handled(message, order=order["id"])

    @node.on("order.paid", ordering=options.ordering)
    async def ship(message: Message) -> None:
        order = message.body
        if order["id"] in shipped:
            return  # S2 was killed and paid it a second time: nothing leaves twice
        # In causal order the goods are always there. Without it they may not be reserved yet, and the
        # reservation that comes too late is never taken up: these goods are locked away for ever.
        unreserved = reserved.pop(order["id"], None) is None
        await node.send("S1", "order.shipped", {"id": order["id"]}, key=str(order["id"]))
        shipped.add(order["id"])
        program.say_handled(message, order=order["id"], unreserved=unreserved)

    async def count_stock() -> None:
        """Of no concern to any order: this traffic goes on whatever else has to wait."""
        while options.count_every:
            await asyncio.sleep(options.count_every)
            stock = {"reserved": sum(reserved.values()), "shipped": len(shipped)}
            await node.send(["S1", "S2"], "stock.counted", stock)
            program.say(counted=stock)

    async def work() -> None:
        program.announce(node, options)
        await program.stop_at_eof(options)

    async with node, asyncio.TaskGroup() as tasks:
        working = [tasks.create_task(work()), tasks.create_task(count_stock())]
        await node.run()  # until SIGTERM or SIGINT
        for task in working:
            task.cancel()


def main() -> None:
    parser = program.options(
        "S3: reserve and ship",
        name="S3",
        listen="127.0.0.1:7003",
        peers="S1=127.0.0.1:7001,S2=127.0.0.1:7002",
    )
    parser.add_argument("--count-every", type=float, default=0.5, help="seconds, 0 for never (0.5)")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
