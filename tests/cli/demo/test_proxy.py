"""The demo's cable: what it may do (delay, lose a connection) and what not (reorder, alter)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from causal.cli.demo.proxy import CHUNK_BYTES_MAX, CHUNKS_MAX, Delay, Proxy

pytestmark = pytest.mark.integration

DEADLINE_S = 10.0


@asynccontextmanager
async def echo_server() -> AsyncIterator[str]:
    """An address that sends back what it gets, and ends when the other side ends."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"{host}:{port}"
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def proxied(delay: Delay | None = None, seed: int = 0) -> AsyncIterator[Proxy]:
    async with echo_server() as target:
        proxy = Proxy(target, delay=delay, seed=seed)
        await proxy.start()
        try:
            yield proxy
        finally:
            await proxy.close()


@asynccontextmanager
async def connected(proxy: Proxy) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    host, port = proxy.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def say_and_hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes) -> None:
    writer.write(text)
    assert await asyncio.wait_for(reader.readexactly(len(text)), DEADLINE_S) == text


async def broken(use: Callable[[], Awaitable[bytes]]) -> bool:
    """Whether the connection is over: an end or a reset, within the deadline."""
    try:
        return await asyncio.wait_for(use(), DEADLINE_S) == b""
    except ConnectionError:
        return True


async def until(condition: Callable[[], bool]) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DEADLINE_S
    while not condition():
        assert loop.time() < deadline
        await asyncio.sleep(0.005)


async def test_proxy_with_jitter_keeps_every_byte_in_order() -> None:
    payload = random.Random(7).randbytes(400_000)
    async with proxied(Delay(0, 8)) as proxy, connected(proxy) as (reader, writer):

        async def write() -> None:
            for start in range(0, len(payload), 5_000):
                writer.write(payload[start : start + 5_000])
                await writer.drain()
            writer.write_eof()

        writing = asyncio.create_task(write())
        assert await asyncio.wait_for(reader.read(-1), DEADLINE_S) == payload
        await writing


async def test_proxy_with_a_delay_holds_bytes_back_for_that_long_one_way_only() -> None:
    loop = asyncio.get_running_loop()
    async with proxied(Delay(60, 60)) as proxy, connected(proxy) as (reader, writer):
        before = loop.time()
        await say_and_hear(reader, writer, b"there and back")
        slow = loop.time() - before
        proxy.delay = Delay()
        before = loop.time()
        await say_and_hear(reader, writer, b"there and back")
        fast = loop.time() - before
    assert slow >= 0.06
    assert fast < slow


def test_delay_with_a_share_makes_about_so_many_late_and_the_rest_not_at_all() -> None:
    source = random.Random(3)
    drawn = [Delay(20, 120, share=0.1).draw(source) for _ in range(2_000)]
    late = [seconds for seconds in drawn if seconds]
    assert 140 < len(late) < 260
    assert min(late) >= 0.02


def test_delay_with_the_same_seed_draws_the_same_numbers() -> None:
    first, second, other = (
        [Delay(20, 120).draw(source) for _ in range(50)] for source in map(random.Random, (1, 1, 2))
    )
    assert first == second != other
    assert all(0.02 <= drawn <= 0.12 for drawn in first)


async def test_proxy_cut_resets_what_is_open_and_refuses_what_is_new() -> None:
    async with proxied() as proxy, connected(proxy) as (reader, writer):
        await say_and_hear(reader, writer, b"hello")
        proxy.cut()
        assert await broken(lambda: reader.read(1))
        async with connected(proxy) as (second_reader, _):
            assert await broken(lambda: second_reader.read(1))
        assert (proxy.accepted, proxy.refused) == (1, 1)


async def test_proxy_healed_lets_new_connections_through() -> None:
    async with proxied() as proxy:
        proxy.cut()
        async with connected(proxy) as (reader, _):
            assert await broken(lambda: reader.read(1))
        proxy.heal()
        async with connected(proxy) as (reader, writer):
            await say_and_hear(reader, writer, b"back again")
        await until(lambda: proxy.open == 0)


async def test_proxy_cut_silently_swallows_bytes_and_resets_on_heal() -> None:
    async with proxied() as proxy, connected(proxy) as (reader, writer):
        await say_and_hear(reader, writer, b"hello")
        proxy.cut(silent=True)
        writer.write(b"lost")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.05)
        assert proxy.open == 1
        proxy.heal()
        assert await broken(lambda: reader.read(1))


async def test_proxy_with_nobody_at_the_target_refuses() -> None:
    async with echo_server() as target:
        pass
    proxy = Proxy(target)
    await proxy.start()
    async with connected(proxy) as (reader, _):
        assert await broken(lambda: reader.read(1))
    await until(lambda: proxy.refused == 1)
    await proxy.close()


async def test_proxy_closed_with_bytes_under_way_ends_at_once_and_leaves_no_task() -> None:
    tasks_before = asyncio.all_tasks()
    async with proxied(Delay(60_000, 60_000)) as proxy, connected(proxy) as (reader, writer):
        writer.write(b"still under way when the proxy closes")
        await until(lambda: proxy.open == 1)
        await asyncio.wait_for(proxy.close(), 1.0)
        assert await broken(lambda: reader.read(1))
        await proxy.close()
    await until(lambda: asyncio.all_tasks() == tasks_before)


async def test_proxy_with_a_slow_reader_holds_the_writer_back() -> None:
    async with proxied(Delay(60_000, 60_000)) as proxy, connected(proxy) as (_, writer):
        chunk = bytes(1024 * 1024)
        written = 0
        with suppress(TimeoutError):  # the one way out below the limit: the writer is held back
            while written < 200:
                writer.write(chunk)
                await asyncio.wait_for(writer.drain(), 0.5)
                written += 1
        # What the proxy carries, and what the buffers of two sockets hold besides.
        assert written * len(chunk) <= CHUNKS_MAX * CHUNK_BYTES_MAX + 16 * 1024 * 1024
