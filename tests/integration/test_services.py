"""The three services as processes: killed, stopped and started again in the middle of a run, everything heals."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from causal.cli.demo import shop as shop_module
from causal.cli.demo.ledger import PAID, PLACED, SHIPPED
from causal.cli.demo.phases import is_over, place, read_orders
from causal.cli.demo.proxy import Delay
from causal.cli.demo.shop import Setting, Shop
from causal.observe.checker import check
from services import orders as orders_service

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

ROOT = Path(orders_service.__file__).parent.parent
BATCH = 40
DEADLINE_S = 25.0


@asynccontextmanager
async def open_shop(folder: Path) -> AsyncIterator[Shop]:
    async with Shop(Setting(folder=folder, delay=Delay(5, 40))) as shop:
        await shop.connected()
        yield shop


def shipped_ids(shop: Shop) -> set[int]:
    """The orders that S1 has heard of as shipped, in whichever of its runs."""
    return {said["order"] for said in shop.children["S1"].said if said.get("handled") == SHIPPED}


async def crash(shop: Shop, name: str) -> None:
    child = shop.children.pop(name)  # so that nobody minds that it is gone
    child.kill()
    await child.gone()


async def finish(shop: Shop, orders: list[dict[str, Any]]) -> None:
    """Wait until these orders are shipped and nothing is held anywhere; then the guarantee must have held."""
    ids = {order["id"] for order in orders}
    assert await shop.until(lambda: ids <= shipped_ids(shop), DEADLINE_S), await shop.statuses()
    await wait_for_rest(shop)
    shop.read()
    report = check(shop.ledger.events)
    assert report.proved, report.to_dict()
    assert report.doubled_count == 0


async def wait_for_rest(shop: Shop) -> None:
    """Nothing is held or retried: what a crash has left behind must not wait for ever."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DEADLINE_S
    while True:
        statuses = await shop.statuses()
        if not any(status["held_total"] or status["retrying_total"] for status in statuses.values()):
            return
        assert loop.time() < deadline, statuses
        await shop.tick()


@pytest.mark.parametrize("name", ["S2", "S3"])
async def test_service_killed_and_started_again_heals(tmp_path: Path, name: str) -> None:
    orders = read_orders(1)
    async with open_shop(tmp_path) as shop:
        await place(shop, orders[:BATCH])
        await crash(shop, name)
        await place(shop, orders[BATCH : 2 * BATCH])
        await shop.start(name)
        await place(shop, orders[2 * BATCH : 3 * BATCH])
        await finish(shop, orders[BATCH : 3 * BATCH])
        incarnations = {event.incarnation for event in shop.ledger.events if event.node == name}
    assert len(incarnations) == 2


async def test_orders_killed_and_started_again_heals(tmp_path: Path) -> None:
    orders = read_orders(2)
    async with open_shop(tmp_path) as shop:
        await place(shop, orders[:BATCH])
        await crash(shop, "S1")
        await shop.start("S1")
        await place(shop, orders[BATCH : 2 * BATCH])
        await finish(shop, orders[BATCH : 2 * BATCH])


async def test_orders_killed_with_the_cable_out_leaves_lost_orders_and_blocks_nobody(tmp_path: Path) -> None:
    """What S1 could not get to S3 died with it; its payments, held at S3, are released with a verdict."""
    orders = read_orders(3)
    async with open_shop(tmp_path) as shop:
        await place(shop, orders[:BATCH])
        shop.proxy.cut()
        await place(shop, orders[BATCH : 2 * BATCH])
        assert await shop.until(lambda: len(shop.ledger.held("S3")) > 0, DEADLINE_S)
        await crash(shop, "S1")
        shop.proxy.heal()
        await shop.start("S1")
        await place(shop, orders[2 * BATCH : 3 * BATCH])
        await finish(shop, orders[2 * BATCH : 3 * BATCH])
        lost = [event for event in shop.ledger.events if event.event == "deliver" and event.verdict == "lost"]
    assert lost
    assert all(event.node == "S3" and event.missing for event in lost)


async def test_service_stopped_in_good_order_and_started_again_loses_nothing(tmp_path: Path) -> None:
    orders = read_orders(4)
    async with open_shop(tmp_path) as shop:
        await place(shop, orders[:BATCH])
        child = shop.children.pop("S2")
        await child.stop(DEADLINE_S)
        await place(shop, orders[BATCH : 2 * BATCH])
        await shop.start("S2")
        await finish(shop, orders[: 2 * BATCH])
        ledger = shop.ledger
    assert len(ledger.sends(PLACED)) == len(ledger.sends(PAID)) == len(ledger.sends(SHIPPED)) == 2 * BATCH


async def test_services_without_ordering_let_payments_overtake_their_orders(tmp_path: Path) -> None:
    """The control: the same shop, the same cable, and the order is broken."""
    orders = read_orders(5)
    async with Shop(Setting(folder=tmp_path, ordering="none", delay=Delay(60, 120))) as shop:
        await shop.connected()
        await place(shop, orders[:BATCH])
        assert await shop.until(lambda: is_over(shop.ledger, BATCH), DEADLINE_S)
        await shop.stop()
        early = shop.ledger.early()
    assert early
    assert not check(shop.ledger.events).proved


async def test_services_whose_port_is_taken_meanwhile_start_on_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = [[f"127.0.0.1:{taken.getsockname()[1]}", *shop_module._free_addresses(2)]]
        found.append(shop_module._free_addresses(3))
        monkeypatch.setattr(shop_module, "_free_addresses", lambda count: found.pop(0))
        async with open_shop(tmp_path) as running:
            await place(running, read_orders(6)[:3])
            assert await running.until(lambda: is_over(running.ledger, 3), DEADLINE_S)
    assert not found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_service_alone_stops_on_a_signal_with_exit_code_0(tmp_path: Path, number: signal.Signals) -> None:
    """No peer is up: it starts all the same, and leaves without an error."""
    trace = tmp_path / "S2.jsonl"
    command = [sys.executable, "-m", "services.payments", "--listen", "127.0.0.1:0", "--trace", str(trace)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ
    ) as process:
        assert process.stdout is not None
        assert "ready" in process.stdout.readline()
        process.send_signal(number)
        _, errors = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, errors) == (0, "")


def test_service_until_eof_stops_when_standard_input_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "services.shipping", "--listen", "127.0.0.1:0", "--until-eof"]
    ended = subprocess.run(
        [*command, "--count-every", "0"], input="", capture_output=True, text=True, cwd=ROOT, timeout=DEADLINE_S,
        check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
