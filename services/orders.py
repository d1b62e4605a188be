"""S1, orders: places the orders that it reads, and closes each when it has been shipped.

$ python -m services.orders --input FILE|-

One order is one line of JSON: {"id": 1, "customer": "Ada", "item": "lamp", "quantity": 2, "cents": 9980}
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from causal import Message, Node
from services import program

ORDERS = Path(__file__).parent / "data" / "orders.jsonl"


def parse_order(line: str) -> dict[str, Any]:
    """The order of one line. Raises `ValueError` if the line is not an order."""
    order = json.loads(line)
    if not isinstance(order, dict) or not {"id", "customer", "item", "quantity", "cents"} <= order.keys():
        raise ValueError("an order has id, customer, item, quantity and cents")
    return order


async def place_orders(node: Node, options: argparse.Namespace, unshipped: set[int]) -> None:
    number = placed = 0
    async for line in program.read_lines(options.input):
        number += 1
        if number <= options.skip or not line.strip():
            continue
        try:
            order = parse_order(line)
        except ValueError as error:
            print(f"{options.input}:{number}: left out, {error}", file=sys.stderr, flush=True)
            continue
        unshipped.add(order["id"])
        # One message with two destinations: whatever S2 makes of it comes after it at S3 too.
        await node.send(["S2", "S3"], "order.placed", order, key=str(order["id"]))
        placed += 1
        if options.rate:
            await asyncio.sleep(1 / options.rate)
    program.say(placed=placed)


async def serve(options: argparse.Namespace) -> None:
    node = program.open_node(options)
    unshipped: set[int] = set()

    @node.on("order.shipped", ordering=options.ordering)
    async def close(message: Message) -> None:
        unshipped.discard(message.body["id"])
        program.say_handled(message, order=message.body["id"], unshipped=len(unshipped))

    @node.on("stock.counted", ordering=options.ordering)
    async def note_stock(message: Message) -> None:
        program.say_handled(message, stock=message.body)

    async def work() -> None:
        program.announce(node, options)
        await place_orders(node, options, unshipped)
        await program.stop_at_eof(options)

    async with node, asyncio.TaskGroup() as tasks:
        working = tasks.create_task(work())
        await node.run()  # until SIGTERM or SIGINT
        working.cancel()


def main() -> None:
    parser = program.options(
        "S1: place orders", name="S1", listen="127.0.0.1:7001", peers="S2=127.0.0.1:7002,S3=127.0.0.1:7003"
    )
    parser.add_argument("--input", default=str(ORDERS), help="JSON lines, or - for standard input")
    parser.add_argument("--skip", type=int, default=0, help="lines that an earlier run has already placed")
    parser.add_argument("--rate", type=float, default=20.0, help="orders a second, 0 for no pause (20)")
    options = parser.parse_args()
    if options.input != "-" and not Path(options.input).is_file():
        parser.error(f"--input {options.input}: there is no such file")
    asyncio.run(serve(options))


if __name__ == "__main__":
    main()
