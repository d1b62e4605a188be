"""S2, payments: takes the money for each order, and tells S3 that it is paid.

$ python -m services.payments
"""

from __future__ import annotations

import argparse
import asyncio

from causal import Message
from services import program


async def serve(options: argparse.Namespace) -> None:
    node = program.open_node(options)
    paid: set[int] = set()

    @node.on("order.placed", ordering=options.ordering)
    async def take_payment(message: Message) -> None:
        order = message.body
        if order["id"] in paid:
            return  # S1 was started again and placed it a second time: nobody pays twice
        await asyncio.sleep(options.bank_ms / 1000)
        payment = {"id": order["id"], "item": order["item"], "quantity": order["quantity"]}
        # Sent while the order is being handled, so it follows the order: S3 gets the order first.
        await node.send("S3", "order.paid", payment, key=str(order["id"]))
        paid.add(order["id"])
        program.say_handled(message, order=order["id"], cents=order["cents"])

    @node.on("stock.counted", ordering=options.ordering)
    async def note_stock(message: Message) -> None:
        program.say_handled(message, stock=message.body)

    async def work() -> None:
        program.announce(node, options)
        await program.stop_at_eof(options)

    async with node, asyncio.TaskGroup() as tasks:
        working = tasks.create_task(work())
        await node.run()  # until SIGTERM or SIGINT
        working.cancel()


def main() -> None:
    parser = program.options("S2: take payments", name="S2", listen="127.0.0.1:7002", peers="S3=127.0.0.1:7003")
    parser.add_argument("--bank-ms", type=float, default=2.0, help="how long the bank takes (2)")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
