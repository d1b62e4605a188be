"""What every transport must do (`causal.transport.base`), as tests that any implementation can run.

Subclass `TransportContract`, say how to make a `TransportPair`, and run it under pytest with pytest-asyncio
in auto mode:

    class TestMyTransport(TransportContract):
        @asynccontextmanager
        async def pair(self) -> AsyncIterator[TransportPair]:
            yield MyPair(...)

Each test also checks that it leaves no task behind.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import pytest

from causal.errors import ClosedError, ConfigurationError, TransportError
from causal.transport.base import FRAME_BYTES_MAX, Connection, Listener, Transport

Result = TypeVar("Result")

SECONDS_MAX = 10.0
"""How long a test waits for anything that must happen soon."""

DIAL_SECONDS_MAX = 6.0
"""A dial ends within this time, whatever is at the address."""

CLOSE_SECONDS_MAX = 5.0
"""A close ends within this time, whatever the other side does."""


@dataclass(kw_only=True)
class TransportPair(ABC):
    """Two transports that can reach each other, and the means to break what is between them."""

    dialler: Transport
    listener: Transport
    address: str
    """Where `listener` can listen any number of times: a port asked for as 0, or the like."""
    nobody: str
    """Where nobody listens."""

    async def route(self, address: str) -> str:
        """The address by which `dialler` reaches `address` so that `sever` can break the stream."""
        return address

    @abstractmethod
    async def sever(self) -> None:
        """Break every stream opened by way of `route`, as a network does: no side says goodbye."""


@dataclass
class Serving:
    """An `Accept` that hands each accepted connection to the test and keeps it until the test is over."""

    connections: asyncio.Queue[Connection] = field(default_factory=asyncio.Queue)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, connection: Connection) -> None:
        self.connections.put_nowait(connection)
        await self.over.wait()

    async def accepted(self) -> Connection:
        return await soon(self.connections.get())


async def soon(awaitable: Awaitable[Result]) -> Result:
    """Wait for what must happen; a `TimeoutError` fails the test."""
    async with asyncio.timeout(SECONDS_MAX):
        return await awaitable


async def until_failing(connection: Connection) -> None:
    """Send small frames until the stream says that it is broken: it may need one or two to notice."""
    while True:
        await connection.send(b"?")
        await asyncio.sleep(0)


async def fill(connection: Connection, frame: bytes, total_bytes_max: int) -> asyncio.Task[None]:
    """Send `frame` until a call of `send` waits for room; that call, still waiting, is returned."""
    for _ in range(total_bytes_max // len(frame)):
        sending = asyncio.create_task(connection.send(frame))
        done, _ = await asyncio.wait({sending}, timeout=0.15)
        if not done:
            return sending
        sending.result()
    pytest.fail(f"send never waited: {total_bytes_max} bytes were taken although nobody reads")


class TransportContract(ABC):
    """The suite. One test, one clause of the contract."""

    @abstractmethod
    def pair(self) -> AbstractAsyncContextManager[TransportPair]:
        """Make a pair and close it: what it still holds open afterwards counts as leaked."""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[tuple[TransportPair, Listener, Serving]]:
        """A pair of which one listens. At the end both are closed, and no task may be left."""
        before = asyncio.all_tasks()
        serving = Serving()
        async with self.pair() as pair:
            listener = await pair.listener.listen(pair.address, serving)
            try:
                yield pair, listener, serving
            finally:
                serving.over.set()
                await soon(pair.dialler.close())
                await soon(pair.listener.close())
        if left := asyncio.all_tasks() - before:
            _, left = await asyncio.wait(left, timeout=SECONDS_MAX)
        assert not left, f"tasks left behind: {left}"

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[tuple[Connection, Connection, TransportPair]]:
        """A stream's two sides: the dialler's, the listener's."""
        async with self.serving() as (pair, listener, serving):
            dialled = await soon(pair.dialler.dial(await pair.route(listener.address)))
            yield dialled, await serving.accepted(), pair

    async def test_frames_of_every_size_arrive_whole_and_in_order_in_both_directions(self) -> None:
        sizes = [0, 1, 2, 127, 128, 65_535, 65_536, 1_000_000, FRAME_BYTES_MAX, 3]
        frames = [bytes([number]) * size for number, size in enumerate(sizes)]

        async def exchange(source: Connection, target: Connection) -> list[bytes | None]:
            async def send_all() -> None:
                for frame in frames:
                    await source.send(frame)

            sending = asyncio.create_task(send_all())
            received = [await soon(target.receive()) for _ in frames]
            await sending
            return received

        async with self.stream() as (dialled, accepted, _):
            up, down = await asyncio.gather(exchange(dialled, accepted), exchange(accepted, dialled))
            assert up == frames
            assert down == frames

    async def test_frame_that_is_at_hand_is_received_without_another_turn_of_the_loop(self) -> None:
        async with self.stream() as (dialled, accepted, _):
            assert not accepted.at_hand
            await dialled.send(b"here")
            async with asyncio.timeout(SECONDS_MAX):
                while not accepted.at_hand:  # noqa: ASYNC110  # it tells nobody
                    await asyncio.sleep(0)
            receiving = accepted.receive()
            with pytest.raises(StopIteration) as returned:
                receiving.send(None)
            assert returned.value.value == b"here"
            assert not accepted.at_hand

    async def test_many_small_frames_arrive_once_each_and_in_order(self) -> None:
        async with self.stream() as (dialled, accepted, _):

            async def send_all() -> None:
                for number in range(2_000):
                    await dialled.send(number.to_bytes(4, "big"))

            sending = asyncio.create_task(send_all())
            received = [await soon(accepted.receive()) for _ in range(2_000)]
            await sending
            assert received == [number.to_bytes(4, "big") for number in range(2_000)]

    async def test_send_while_nobody_reads_waits_for_room_until_somebody_does(self) -> None:
        frame = b"x" * 262_144
        async with self.stream() as (dialled, accepted, _):
            sending = await fill(dialled, frame, 16 * FRAME_BYTES_MAX)
            while not sending.done():
                assert await soon(accepted.receive()) == frame
            await sending

    async def test_streams_of_one_pair_do_not_hold_each_other_up(self) -> None:
        async with self.serving() as (pair, listener, serving):
            stuck = await soon(pair.dialler.dial(listener.address))
            unread = await serving.accepted()
            waiting = await fill(stuck, b"x" * 262_144, 16 * FRAME_BYTES_MAX)
            others = [await soon(pair.dialler.dial(listener.address)) for _ in range(5)]
            accepted = [await serving.accepted() for _ in others]
            for number, connection in enumerate(others):
                await soon(connection.send(bytes([number])))
            received = await soon(asyncio.gather(*(connection.receive() for connection in accepted)))
            assert set(received) == {bytes([number]) for number in range(5)}
            assert not waiting.done()
            await soon(unread.close())
            await soon(asyncio.wait([waiting]))
            with pytest.raises(TransportError):  # that one may still have found room as the stream ended
                await soon(until_failing(stuck))

    @pytest.mark.parametrize("side", ["dialler", "listener"])
    async def test_close_after_sending_lets_the_frames_arrive_and_then_none(self, side: str) -> None:
        async with self.stream() as (dialled, accepted, _):
            closing, other = (dialled, accepted) if side == "dialler" else (accepted, dialled)
            for number in range(3):
                await closing.send(bytes([number]))
            await closing.close()
            assert [await soon(other.receive()) for _ in range(5)] == [b"\x00", b"\x01", b"\x02", None, None]

    @pytest.mark.parametrize("side", ["dialler", "listener"])
    async def test_send_after_the_other_side_has_closed_raises(self, side: str) -> None:
        async with self.stream() as (dialled, accepted, _):
            closing, other = (dialled, accepted) if side == "dialler" else (accepted, dialled)
            await closing.close()
            assert await soon(other.receive()) is None
            with pytest.raises(TransportError):
                await soon(until_failing(other))

    @pytest.mark.parametrize("side", ["dialler", "listener"])
    async def test_own_close_ends_a_waiting_receive_and_every_later_call(self, side: str) -> None:
        async with self.stream() as (dialled, accepted, _):
            closing = dialled if side == "dialler" else accepted
            waiting = asyncio.create_task(closing.receive())
            await asyncio.sleep(0)
            await closing.close()
            for receiving in (waiting, closing.receive()):
                with pytest.raises(TransportError):
                    await soon(receiving)
            with pytest.raises(TransportError):
                await soon(closing.send(b"late"))

    @pytest.mark.parametrize("side", ["dialler", "listener"])
    async def test_own_close_ends_a_send_that_waits_for_room(self, side: str) -> None:
        async with self.stream() as (dialled, accepted, _):
            closing = dialled if side == "dialler" else accepted
            waiting = await fill(closing, b"x" * 262_144, 16 * FRAME_BYTES_MAX)
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await closing.close()
            with pytest.raises(TransportError):
                await soon(waiting)

    @pytest.mark.parametrize("side", ["dialler", "listener"])
    async def test_close_is_bounded_and_can_be_repeated(self, side: str) -> None:
        async with self.stream() as (dialled, accepted, pair):
            closing, other = (dialled, accepted) if side == "dialler" else (accepted, dialled)
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await asyncio.gather(closing.close(), closing.close())
                await closing.close()
                await other.close()
                await pair.sever()
                await closing.close()
                await other.close()

    async def test_severed_stream_raises_on_both_sides_and_still_closes(self) -> None:
        async with self.stream() as (dialled, accepted, pair):
            waiting = [asyncio.create_task(side.receive()) for side in (dialled, accepted)]
            await asyncio.sleep(0)
            await pair.sever()
            for receiving in waiting:
                with pytest.raises(TransportError):
                    await soon(receiving)
            for side in (dialled, accepted):
                with pytest.raises(TransportError):
                    await soon(until_failing(side))
                with pytest.raises(TransportError):
                    await soon(side.receive())
                async with asyncio.timeout(CLOSE_SECONDS_MAX):
                    await side.close()

    async def test_receive_that_is_cancelled_loses_no_frame(self) -> None:
        async with self.stream() as (dialled, accepted, _):
            received: list[bytes | None] = []
            for number in range(50):
                waiting = asyncio.create_task(accepted.receive())
                await asyncio.sleep(0)
                await dialled.send(bytes([number]))
                for _ in range(number % 7):  # Cancel before, while and after the frame comes in.
                    await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.wait({waiting})
                if not waiting.cancelled():
                    received.append(waiting.result())
            while len(received) < 50:
                received.append(await soon(accepted.receive()))
            assert received == [bytes([number]) for number in range(50)]

    async def test_frame_over_the_limit_is_refused_and_the_stream_goes_on(self) -> None:
        async with self.stream() as (dialled, accepted, _):
            for source, target in ((dialled, accepted), (accepted, dialled)):
                with pytest.raises(ValueError, match=str(FRAME_BYTES_MAX)):
                    await source.send(bytes(FRAME_BYTES_MAX + 1))
                await source.send(b"small")
                assert await soon(target.receive()) == b"small"

    async def test_dial_where_nobody_listens_raises_soon(self) -> None:
        async with self.serving() as (pair, _, _):
            async with asyncio.timeout(DIAL_SECONDS_MAX):
                with pytest.raises(TransportError):
                    await pair.dialler.dial(pair.nobody)

    async def test_dial_that_is_cancelled_leaves_no_stream(self) -> None:
        async with self.serving() as (pair, listener, _):
            for turns in range(12):
                dialling = asyncio.create_task(pair.dialler.dial(listener.address))
                for _ in range(turns):
                    await asyncio.sleep(0)
                dialling.cancel()
                await asyncio.wait({dialling})
                if not dialling.cancelled():
                    await dialling.result().close()

    async def test_listener_asked_for_any_port_says_which_it_got(self) -> None:
        async with self.serving() as (pair, first, _):
            serving = Serving()
            second = await pair.listener.listen(pair.address, serving)
            assert second.address not in (first.address, pair.address)
            dialled = await soon(pair.dialler.dial(second.address))
            await dialled.send(b"here")
            assert await soon((await serving.accepted()).receive()) == b"here"
            serving.over.set()

    async def test_listen_at_an_address_that_is_taken_is_refused(self) -> None:
        async with self.serving() as (pair, listener, serving):
            with pytest.raises(ConfigurationError):
                await pair.listener.listen(listener.address, serving)
            with pytest.raises(ConfigurationError):
                await pair.dialler.listen(listener.address, serving)
            await soon(pair.dialler.dial(listener.address))

    async def test_listener_that_closes_ends_its_streams_and_frees_its_address(self) -> None:
        async with self.serving() as (pair, listener, serving):
            dialled = await soon(pair.dialler.dial(listener.address))
            await serving.accepted()
            serving.over.set()
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await asyncio.gather(listener.close(), listener.close())
            assert await soon(dialled.receive()) is None
            with pytest.raises(TransportError):
                await soon(pair.dialler.dial(listener.address))
            again = Serving()
            await pair.listener.listen(listener.address, again)
            await soon(pair.dialler.dial(listener.address))
            await again.accepted()
            again.over.set()

    async def test_listener_close_does_not_wait_for_one_who_serves_for_ever(self) -> None:
        async with self.serving() as (pair, listener, serving):
            await soon(pair.dialler.dial(listener.address))
            await serving.accepted()
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await listener.close()

    @pytest.mark.parametrize("problem", [None, TransportError("gone"), RuntimeError("defect")])
    async def test_accept_that_returns_or_raises_closes_its_connection(self, problem: Exception | None) -> None:
        reported: list[BaseException] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, facts: reported.append(facts["exception"]))

        async def accept(connection: Connection) -> None:
            await connection.send(b"bye")
            if problem is not None:
                raise problem

        async with self.serving() as (pair, _, _):
            listener = await pair.listener.listen(pair.address, accept)
            dialled = await soon(pair.dialler.dial(listener.address))
            assert [await soon(dialled.receive()) for _ in range(2)] == [b"bye", None]
        assert reported == ([problem] if isinstance(problem, RuntimeError) else [])

    async def test_transport_that_closes_ends_what_it_dialled_and_dials_no_more(self) -> None:
        async with self.serving() as (pair, listener, serving):
            dialled = await soon(pair.dialler.dial(listener.address))
            accepted = await serving.accepted()
            async with asyncio.timeout(CLOSE_SECONDS_MAX):
                await asyncio.gather(pair.dialler.close(), pair.dialler.close())
            assert await soon(accepted.receive()) is None
            with pytest.raises(TransportError):
                await dialled.send(b"late")
            with pytest.raises(ClosedError):
                await pair.dialler.dial(listener.address)
            with pytest.raises(ClosedError):
                await pair.dialler.listen(pair.address, serving)

    async def test_fifty_reconnects_leave_no_task_behind(self) -> None:
        async with self.serving() as (pair, listener, serving):
            before = asyncio.all_tasks()
            for number in range(50):
                dialled = await soon(pair.dialler.dial(listener.address))
                accepted = await serving.accepted()
                await dialled.send(bytes([number]))
                assert await soon(accepted.receive()) == bytes([number])
                await dialled.close()
                await accepted.close()
            serving.over.set()
            # Counted, not compared: what serves the listener itself may be another task than before.
            async with asyncio.timeout(SECONDS_MAX):
                while len(asyncio.all_tasks()) > len(before):  # noqa: ASYNC110  # tasks of grpc tell nobody
                    await asyncio.sleep(0)
