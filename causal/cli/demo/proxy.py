"""A TCP proxy with a bad cable in it: it delays without reordering bytes, it can be cut, and it heals."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

CHUNK_BYTES_MAX = 64 * 1024
"""The most that is read, and so delayed, at once."""

CHUNKS_MAX = 256
"""Chunks under way in one direction; past it nothing more is read, and TCP holds the sender back."""


@dataclass(frozen=True, slots=True)
class Delay:
    """How late a chunk of bytes is, drawn evenly between two bounds in ms, and how many chunks are late at all.

    A late chunk keeps those behind it waiting, as a lost packet does with TCP.
    """

    low_ms: float = 0.0
    high_ms: float = 0.0
    share: float = 1.0

    def draw(self, source: random.Random) -> float:
        """Seconds. Takes two numbers from the source, whatever comes of them."""
        is_late, late_ms = source.random() < self.share, source.uniform(self.low_ms, self.high_ms)
        return late_ms / 1000 if is_late else 0.0

    def __str__(self) -> str:
        spread = f"{self.low_ms:.0f}"
        if self.high_ms > self.low_ms:
            spread += f"–{self.high_ms:.0f}"
        how_many = "" if self.share == 1 else f" for one chunk in {1 / self.share:.0f}"
        return f"{spread} ms late{how_many}"


class Proxy:
    """A listening address in front of another one.

    Bytes towards the target are under way for `delay`, which may be changed at any time; those that come
    back for `delay_back`. In each direction of each connection the bytes keep their order, and the k-th chunk
    of the n-th connection always draws the same number for the same seed (where a chunk ends is up to TCP).

    `cut` breaks what is open and refuses what is new, until `heal`. All of it runs in one event loop.
    """

    def __init__(
        self, target: str, *, delay: Delay | None = None, delay_back: Delay | None = None, seed: int = 0
    ) -> None:
        self.target = target
        self.delay = delay or Delay()
        self.delay_back = delay_back or Delay()
        self.seed = seed
        self.accepted_at: list[int] = []
        """When each connection was let through, wall ns."""
        self.refused = 0
        """Connections that were refused, ever: cut, or nobody at the target."""
        self._cut = False
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """Where to dial in place of the target. Raises `RuntimeError` before `start`."""
        if self._server is None:
            raise RuntimeError("the proxy is not listening")
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    @property
    def accepted(self) -> int:
        """Connections that were let through, ever."""
        return len(self.accepted_at)

    @property
    def open(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    @property
    def is_cut(self) -> bool:
        return self._cut

    async def start(self) -> str:
        """Listen on a free loopback port; returns the address."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self.address

    def cut(self, *, silent: bool = False) -> None:
        """Pull the cable. New connections are refused from now on.

        What is open is reset at once; with `silent` both ends are told nothing, as when a firewall forgets a
        connection: bytes vanish, and the connection is reset by `heal`.
        """
        self._cut = True
        for connection in list(self._connections):
            if silent:
                connection.swallow = True
            else:
                connection.reset()

    def heal(self) -> None:
        """Put the cable back: new connections get through; those that lost bytes are reset."""
        self._cut = False
        for connection in list(self._connections):
            if connection.swallow:
                connection.reset()

    async def close(self) -> None:
        """Stop listening and reset what is open; any number of times."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for connection in list(self._connections):
            connection.reset()
        if self._serving:
            await asyncio.wait(self._serving)
        await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            await self._serve_end(_End(reader, writer))
        finally:
            self._serving.discard(task)

    async def _serve_end(self, near: _End) -> None:
        far = None if self._cut else await self._dial()
        if far is None or self._cut or self._server is None:
            self.refused += 1
            near.reset()
            if far is not None:
                far.reset()
            return
        self.accepted_at.append(time.time_ns())
        there = random.Random(f"{self.seed} there {self.accepted}")
        back = random.Random(f"{self.seed} back {self.accepted}")
        connection = _Connection(near, far, lambda: self.delay.draw(there), lambda: self.delay_back.draw(back))
        self._connections.add(connection)
        try:
            await connection.closed()
        finally:
            self._connections.discard(connection)

    async def _dial(self) -> _End | None:
        host, port = self.target.rsplit(":", 1)
        try:
            return _End(*await asyncio.open_connection(host, int(port)))
        except OSError:
            return None


class _End:
    """One of the two sockets of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def reset(self) -> None:
        """Close so that the peer gets a reset and not an orderly end; any number of times."""
        if not self.writer.transport.is_closing():
            at_once = struct.pack("ii", 1, 0)
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        self.writer.transport.abort()


class _Connection:
    """Both directions of one connection, until both have ended or it is reset."""

    def __init__(self, near: _End, far: _End, there: Callable[[], float], back: Callable[[], float]) -> None:
        self.swallow = False
        """Bytes vanish from now on."""
        self._ends = (near, far)
        self._carrying = asyncio.create_task(self._carry_both(there, back))

    def reset(self) -> None:
        self._carrying.cancel()
        for end in self._ends:
            end.reset()

    async def closed(self) -> None:
        """Returns when the connection is over; leaving it early resets the connection."""
        try:
            await asyncio.wait([self._carrying])
        finally:
            self.reset()

    async def _carry_both(self, there: Callable[[], float], back: Callable[[], float]) -> None:
        near, far = self._ends
        try:
            async with asyncio.TaskGroup() as tasks:
                for source, sink, draw in ((near, far, there), (far, near, back)):
                    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_MAX)
                    tasks.create_task(self._take(source, under_way, draw))
                    tasks.create_task(self._give(sink, under_way))
        except* OSError:
            pass  # one end broke: the reset that follows tells the other

    async def _take(
        self, source: _End, under_way: asyncio.Queue[tuple[float, bytes]], draw: Callable[[], float]
    ) -> None:
        due = 0.0
        chunk = b" "
        while chunk:
            chunk = await source.reader.read(CHUNK_BYTES_MAX)
            # Never before what was read earlier: a cable does not let bytes overtake each other.
            due = max(due, asyncio.get_running_loop().time() + draw())
            await under_way.put((due, chunk))

    async def _give(self, sink: _End, under_way: asyncio.Queue[tuple[float, bytes]]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, chunk = await under_way.get()
            if (left := due - loop.time()) > 0:
                await asyncio.sleep(left)
            if self.swallow:
                continue
            if not chunk:
                sink.writer.write_eof()
                return
            sink.writer.write(chunk)
            await sink.writer.drain()
