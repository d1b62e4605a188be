"""The four runs of the demo. Each starts fresh processes, and reads what they did from their own reports."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import causal
from causal.cli.demo.child import DemoError
from causal.cli.demo.ledger import PAID, PLACED, SHIPPED, Ledger
from causal.cli.demo.numbers import Comparison, Cut, OneMessage
from causal.cli.demo.proxy import Delay
from causal.cli.demo.shop import Setting, Shop
from causal.observe.checker import check

SLOW = Delay(20, 120, share=0.1)
"""S1→S3 in the comparison: every tenth chunk is late, and then the way over S2 is the shorter one."""
SLOWLY = Delay(1200, 1200)
"""S1→S3 for the one message: long enough to watch."""
QUICK = Delay(1, 4)
"""S1→S3 before and after the cable is pulled."""

ORDERS_PER_S = 110
CUT_AFTER_ORDERS = 50
CUT_S = 1.0
SETTLE_TIMEOUT_S = 20.0

VIOLATIONS_SHOWN = 60
"""Violations of which the checker gives the path: enough for one between a payment and its own order."""

LABELS = {PLACED: "A", PAID: "B", SHIPPED: "C"}


@dataclass(slots=True)
class Stage:
    """A run as it stands: what the screen draws."""

    shop: Shop
    orders: int
    """How many will be placed."""
    cable: str = ""
    """How S1→S3 is now, in words."""
    waits_for: str = ""
    """In the run of one message: the dot that S3 says B waits for."""

    @property
    def clocks(self) -> dict[str, dict[str, int]]:
        """Label → the vector clock of the last such message, as the handlers that got it said."""
        return {
            LABELS[said["handled"]]: said["clock"]
            for child in self.shop.children.values()
            for said in child.said
            if said.get("handled") in LABELS
        }

    @property
    def ledger(self) -> Ledger:
        return self.shop.ledger


Draw = Callable[[Stage], None]
"""Called many times a second while a run goes on."""


def read_orders(seed: int) -> list[dict[str, Any]]:
    """The 200 orders that ship with the services, in an order that the seed decides."""
    path = Path(causal.__file__).parent.parent / "services" / "data" / "orders.jsonl"
    orders = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    random.Random(seed).shuffle(orders)
    return orders


async def compare(setting: Setting, draw: Draw) -> Comparison:
    """All orders, one after another; only `setting.ordering` tells two such runs apart."""
    orders = await asyncio.to_thread(read_orders, setting.seed)
    start = time.monotonic()
    async with opened(setting, draw, len(orders), str(setting.delay)) as stage:
        shop, ledger = stage.shop, stage.ledger
        await place(shop, orders)
        settled = await shop.until(lambda: is_over(ledger, len(orders)), SETTLE_TIMEOUT_S)
        stock = await shop.children["S3"].hear("counted", SETTLE_TIMEOUT_S)
        stamps = [status["stamps"] for status in (await shop.statuses()).values()]
        await shop.end(in_good_order=settled)
    early = ledger.early()
    holds = ledger.holds_ms("S3", PAID)
    return Comparison(
        ordering=setting.ordering,
        orders=len(orders),
        messages=len(ledger.sent),
        payments=ledger.seen("S3", PAID),
        early=len(early),
        payments_held=len(holds),
        payments_hold_median_ms=statistics.median(holds) if holds else 0.0,
        locked_away=stock["reserved"],
        stamp_bytes_mean=sum(s["bytes"] for s in stamps) / max(1, sum(s["copies"] for s in stamps)),
        lost=ledger.unsettled(),
        example=max(early, key=lambda each: each.by_ms or 0.0, default=None),
        seconds=time.monotonic() - start,
        report=check(ledger.events, show=VIOLATIONS_SHOWN),
    )


async def follow_one(setting: Setting, draw: Draw) -> OneMessage:
    """One order on fresh nodes: A to S2 and S3 at once, B from S2 to S3, C from S3 to S1."""
    orders = await asyncio.to_thread(read_orders, setting.seed)
    async with opened(setting, draw, 1, str(setting.delay)) as stage:
        shop, ledger = stage.shop, stage.ledger
        shop.place(orders[0])
        # B is held while S3 has it and has not delivered it; S3 is asked what it waits for.
        if not await shop.until(lambda: bool(ledger.held("S3")) or is_over(ledger, 1), SETTLE_TIMEOUT_S):
            raise DemoError(f"B did not reach S3 within {SETTLE_TIMEOUT_S:.0f} s")
        if ledger.held("S3"):
            held = (await shop.children["S3"].status())["held"]
            stage.waits_for = held[0]["waits_for"] if held else ""
        over = await shop.until(lambda: is_over(ledger, 1), SETTLE_TIMEOUT_S)
        await shop.end(in_good_order=over)
        draw(stage)
    labels = [LABELS[event.subject] for event in ledger.deliveries("S3")]
    payments, placed = ledger.sends(PAID), ledger.sends(PLACED)
    return OneMessage(
        clocks=stage.clocks,
        held_ms=ledger.arrivals["S3", payments[0].id].held_s * 1000 if payments else 0.0,
        waited_for=stage.waits_for,
        awaited=placed[0].id if placed else "",
        order_at_s3=tuple(labels),
        report=check(ledger.events),
    )


async def pull_cable(setting: Setting, draw: Draw) -> Cut:
    """Orders go on while the connection from S1 to S3 is broken and refused for a while."""
    orders = await asyncio.to_thread(read_orders, setting.seed)
    async with opened(setting, draw, len(orders), "plugged in") as stage:
        shop, ledger = stage.shop, stage.ledger
        await place(shop, orders[:CUT_AFTER_ORDERS])
        await shop.until(lambda: is_over(ledger, CUT_AFTER_ORDERS), SETTLE_TIMEOUT_S)
        shop.proxy.cut()
        cut_at, loop = time.time_ns(), asyncio.get_running_loop()
        until = loop.time() + CUT_S
        stage.cable = "PULLED"
        meanwhile = orders[CUT_AFTER_ORDERS : CUT_AFTER_ORDERS + round(CUT_S * ORDERS_PER_S)]
        await place(shop, meanwhile)
        await shop.tick(until - loop.time())
        shop.read()
        waiting = ledger.held("S3")
        healed_at = time.time_ns()
        shop.proxy.heal()
        stage.cable = "plugged in again"
        await place(shop, orders[CUT_AFTER_ORDERS + len(meanwhile) :])
        settled = await shop.until(lambda: is_over(ledger, len(orders)), SETTLE_TIMEOUT_S)
        await shop.end(in_good_order=settled)
    released_at = max((ledger.arrivals["S3", id].delivered_at or 0 for id in waiting), default=0)
    reconnected_at = min((at for at in shop.proxy.accepted_at if at >= healed_at), default=healed_at)
    return Cut(
        seconds=(healed_at - cut_at) / 1e9,
        delivered_meanwhile=ledger.delivered_between(cut_at, healed_at),
        waiting=len(waiting),
        reconnected_ms=(reconnected_at - healed_at) / 1e6,
        released_ms=max(0.0, (released_at - reconnected_at) / 1e6),
        lost=ledger.unsettled(),
        doubled=ledger.doubled(),
        report=check(ledger.events),
    )


@asynccontextmanager
async def opened(setting: Setting, draw: Draw, orders: int, cable: str) -> AsyncIterator[Stage]:
    """The three services, up and connected, drawn as time passes."""
    shop = Shop(setting, lambda: draw(stage))
    stage = Stage(shop, orders, cable)
    async with shop:
        await shop.connected()
        yield stage


async def place(shop: Shop, orders: Sequence[dict[str, Any]]) -> None:
    """Place orders at random moments, `ORDERS_PER_S` on average; the seed decides the moments."""
    loop = asyncio.get_running_loop()
    pauses = random.Random(f"{shop.setting.seed} pauses {len(orders)}")
    due = loop.time()
    for order in orders:
        shop.place(order)
        due += pauses.uniform(0.2, 1.8) / ORDERS_PER_S
        await shop.tick(due - loop.time())


def is_over(ledger: Ledger, orders: int) -> bool:
    """Whether so many orders were placed, paid and shipped, and all that is settled everywhere."""
    return len(ledger.sends(SHIPPED)) >= orders and not ledger.unsettled("order.")
