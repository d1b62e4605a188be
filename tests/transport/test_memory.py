"""The in-memory transport: the contract, and the weather of its network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from causal.errors import ConfigurationError, TransportError
from causal.testing.contracts.transport import Serving, TransportContract, TransportPair, soon
from causal.transport.base import Connection
from causal.transport.memory import BUFFER_FRAMES, MemoryNetwork


@dataclass(kw_only=True)
class MemoryPair(TransportPair):
    network: MemoryNetwork

    async def sever(self) -> None:
        self.network.cut("S1", "S2")


def memory_pair() -> MemoryPair:
    network = MemoryNetwork()
    return MemoryPair(
        network=network,
        dialler=network.transport("S1"),
        listener=network.transport("S2"),
        address="S2:0",
        nobody="S3",
    )


class TestMemoryTransport(TransportContract):
    @asynccontextmanager
    async def pair(self) -> AsyncIterator[TransportPair]:
        yield memory_pair()


@pytest.mark.simulation
class TestMemoryTransportWithDelay(TransportContract):
    """Everything again when frames take a while: what is in flight must behave as what is buffered."""

    @asynccontextmanager
    async def pair(self) -> AsyncIterator[TransportPair]:
        pair = memory_pair()
        pair.network.delay("S1", "S2", 0.0005, jitter=0.001)
        yield pair


@asynccontextmanager
async def joined(network: MemoryNetwork, target: str = "S2") -> AsyncIterator[tuple[Connection, Connection]]:
    """A stream from S1 to a node that listens at its own name."""
    serving = Serving()
    dialler, listener = network.transport("S1"), network.transport(target)
    await listener.listen(target, serving)
    dialled = await soon(dialler.dial(target))
    yield dialled, await serving.accepted()
    serving.over.set()
    await dialler.close()
    await listener.close()


async def test_delay_of_a_link_holds_frames_in_both_directions_at_least_that_long() -> None:
    network = MemoryNetwork()
    clock = asyncio.get_running_loop().time
    async with joined(network) as (dialled, accepted):
        network.delay("S1", "S2", 0.03, jitter=0.01)
        for source, target in ((dialled, accepted), (accepted, dialled)):
            start = clock()
            await source.send(b"a")
            await source.send(b"b")
            assert [await soon(target.receive()), await soon(target.receive())] == [b"a", b"b"]
            assert clock() - start >= 0.03


async def test_delay_of_one_link_lets_another_overtake_it() -> None:
    network = MemoryNetwork()
    arrived: asyncio.Queue[str] = asyncio.Queue()

    async def note(source: str, connection: Connection) -> None:
        assert await connection.receive() is not None
        arrived.put_nowait(source)

    async with joined(network, "S2") as (slow, at_s2), joined(network, "S3") as (quick, at_s3):
        network.delay("S1", "S2", 0.03)
        noting = [asyncio.create_task(note("slow", at_s2)), asyncio.create_task(note("quick", at_s3))]
        await slow.send(b"first")
        await quick.send(b"second")
        assert [await soon(arrived.get()), await soon(arrived.get())] == ["quick", "slow"]
        await asyncio.gather(*noting)


async def test_delay_that_shrinks_does_not_let_frames_of_one_stream_overtake() -> None:
    network = MemoryNetwork()
    async with joined(network) as (dialled, accepted):
        network.delay("S1", "S2", 0.03)
        await dialled.send(b"first")
        network.delay("S1", "S2", 0.0)
        await dialled.send(b"second")
        assert [await soon(accepted.receive()), await soon(accepted.receive())] == [b"first", b"second"]


async def test_cut_breaks_the_streams_of_that_pair_only_and_heal_lets_it_dial_again() -> None:
    network = MemoryNetwork()
    serving = Serving()
    nodes = {name: network.transport(name) for name in ("S1", "S2", "S3")}
    for name, node in nodes.items():
        await node.listen(name, serving)
    cut = await nodes["S1"].dial("S2")
    reverse = await nodes["S2"].dial("S1")
    other = await nodes["S1"].dial("S3")
    network.cut("S1", "S2")
    with pytest.raises(TransportError, match="S1 → S2 is cut"):
        await cut.receive()
    with pytest.raises(TransportError, match="S1 → S2 is cut"):
        await cut.send(b"x")
    with pytest.raises(TransportError, match="S1 → S2 is cut"):
        await nodes["S1"].dial("S2")
    await reverse.send(b"x")
    await other.send(b"x")
    network.heal("S1", "S2")
    await (await nodes["S1"].dial("S2")).send(b"x")
    serving.over.set()
    for node in nodes.values():
        await node.close()


async def test_cut_loses_what_is_in_flight_also_behind_a_close() -> None:
    network = MemoryNetwork()
    async with joined(network) as (dialled, accepted):
        network.delay("S1", "S2", 60.0)
        await dialled.send(b"lost")
        await dialled.close()
        network.cut("S1", "S2")
        with pytest.raises(TransportError, match="is cut"):
            await soon(accepted.receive())


async def test_cut_while_a_dial_is_on_its_way_fails_it() -> None:
    network = MemoryNetwork()
    serving = Serving()
    dialler, listener = network.transport("S1"), network.transport("S2")
    await listener.listen("S2", serving)
    network.delay("S1", "S2", 0.01)
    dialling = asyncio.create_task(dialler.dial("S2"))
    await asyncio.sleep(0)
    network.cut("S1", "S2")
    with pytest.raises(TransportError, match="is cut"):
        await soon(dialling)
    assert serving.connections.empty()
    await listener.close()


async def test_duplicate_repeats_frames_to_the_listener_but_never_the_first_and_none_back() -> None:
    network = MemoryNetwork()
    network.duplicate("S1", "S2", 1.0)
    async with joined(network) as (dialled, accepted):
        for number in range(3):
            await dialled.send(bytes([number]))
            await accepted.send(bytes([number]))
        await dialled.close()
        assert [await accepted.receive() for _ in range(6)] == [b"\0", b"\1", b"\1", b"\2", b"\2", None]
    async with joined(MemoryNetwork()) as (dialled, accepted):
        await accepted.send(b"a")
        await accepted.send(b"b")
        assert [await dialled.receive(), await dialled.receive()] == [b"a", b"b"]


async def duplicates_of_a_run(seed: int) -> list[bytes | None]:
    network = MemoryNetwork(seed)
    network.duplicate("S1", "S2", 0.5)
    async with joined(network) as (dialled, accepted):
        for number in range(40):
            await dialled.send(bytes([number]))
        await dialled.close()
        received = []
        while (frame := await accepted.receive()) is not None:
            received.append(frame)
        return list(received)


async def test_network_of_the_same_seed_repeats_a_run_and_another_does_not() -> None:
    first = await duplicates_of_a_run(1)
    assert await duplicates_of_a_run(1) == first
    assert await duplicates_of_a_run(2) != first


async def test_buffer_bounds_the_frames_that_are_in_flight() -> None:
    network = MemoryNetwork()
    async with joined(network) as (dialled, accepted):
        network.delay("S1", "S2", 60.0)
        for _ in range(BUFFER_FRAMES):
            await dialled.send(b"")
        waiting = asyncio.create_task(dialled.send(b""))
        await asyncio.sleep(0)
        assert not waiting.done()
        with pytest.raises(RuntimeError, match="another task"):
            await dialled.send(b"")
        waiting.cancel()
        receiving = asyncio.create_task(accepted.receive())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task"):
            await accepted.receive()
        receiving.cancel()


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_delay_that_is_no_duration_is_refused(seconds: float) -> None:
    with pytest.raises(ConfigurationError):
        MemoryNetwork().delay("S1", "S2", seconds)
    with pytest.raises(ConfigurationError):
        MemoryNetwork().delay("S1", "S2", 0.0, jitter=seconds)
    with pytest.raises(ConfigurationError):
        MemoryNetwork().duplicate("S1", "S2", seconds)


async def test_listen_at_an_empty_address_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is empty"):
        await MemoryNetwork().transport("S1").listen("", Serving())
