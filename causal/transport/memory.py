"""A network inside one process, whose weather is programmed: delay, jitter, cuts, duplicates for each link.

For tests and simulations. Everything is decided by the seed and by the order of calls, so that a run repeats
exactly on an event loop that does; time is the loop's, there are no threads. An address is any text, usually
the listening node's name; the weather is set for a pair of *transport* names, the dialler's first.

Frames of one stream never overtake each other. Links are independent, so delays reorder messages across them.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass, field
from random import Random

from causal.errors import ClosedError, ConfigurationError, TransportError
from causal.transport.base import FRAME_BYTES_MAX, Accept
from causal.transport.serving import Serving

BUFFER_FRAMES = 256
"""Frames of one direction that may be on their way or unread; then `send` waits."""

BUFFER_BYTES = 2 * FRAME_BYTES_MAX
"""The same in bytes; one frame is always allowed."""


@dataclass(slots=True)
class _Weather:
    """What happens to streams that one transport dials to another."""

    seconds: float = 0.0
    jitter: float = 0.0
    duplicate: float = 0.0
    cut: bool = False
    dialled: int = 0
    pipes: set[_Pipe] = field(default_factory=set)


class MemoryNetwork:
    """Joins the transports made by it; see the module for what can be programmed."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._weather: dict[tuple[str, str], _Weather] = {}
        self._listeners: dict[str, MemoryListener] = {}
        self._ports = 0

    def transport(self, name: str) -> MemoryTransport:
        """A member of the network; `name` is what `delay`, `cut` and the others call it."""
        return MemoryTransport(self, name)

    def delay(self, source: str, target: str, seconds: float, jitter: float = 0.0) -> None:
        """Let each frame of the streams that `source` dials to `target` take `seconds` plus at most `jitter`.

        Holds in both directions of these streams, for frames sent after the call and for dialling.
        """
        for value in (seconds, jitter):
            if not (math.isfinite(value) and value >= 0):
                raise ConfigurationError(f"a delay is a finite number of seconds from 0, not {value!r}")
        weather = self._between(source, target)
        weather.seconds, weather.jitter = seconds, jitter

    def cut(self, source: str, target: str) -> None:
        """Break the streams that `source` has dialled to `target`, with what is in flight; let dials fail.

        Streams in the other sense, dialled by `target`, live on: cut both pairs to part two nodes.
        """
        weather = self._between(source, target)
        weather.cut = True
        for pipe in list(weather.pipes):
            pipe.fail(f"the link {source} → {target} is cut")

    def heal(self, source: str, target: str) -> None:
        """Let `source` dial `target` again."""
        self._between(source, target).cut = False

    def duplicate(self, source: str, target: str, probability: float) -> None:
        """Deliver frames from `source` to `target` twice with this probability; never a stream's first."""
        if not 0 <= probability <= 1:
            raise ConfigurationError(f"a probability is from 0 to 1, not {probability!r}")
        self._between(source, target).duplicate = probability

    def _between(self, source: str, target: str) -> _Weather:
        return self._weather.setdefault((source, target), _Weather())

    def _bind(self, listener: MemoryListener, address: str) -> str:
        if address.endswith(":0"):
            self._ports += 1
            address = f"{address[:-2]}:{self._ports}"
        if not address or address in self._listeners:
            problem = "is taken" if address else "is empty"
            raise ConfigurationError(f"cannot listen at {address!r}: the address {problem}")
        self._listeners[address] = listener
        return address

    async def _dial(self, source: str, address: str) -> MemoryConnection:
        listener = self._listeners.get(address)
        if listener is None:
            raise TransportError(f"nobody listens at {address!r}")
        weather = self._between(source, listener.name)
        if weather.seconds:
            await asyncio.sleep(weather.seconds)
        if weather.cut:
            raise TransportError(f"the link {source} → {listener.name} is cut")
        if self._listeners.get(address) is not listener:
            raise TransportError(f"nobody listens at {address!r} any more")
        weather.dialled += 1
        seed = f"{self.seed}/{source}/{listener.name}/{weather.dialled}"
        up = _Pipe(weather, Random(f"{seed}/up"), duplicates=True)
        down = _Pipe(weather, Random(f"{seed}/down"), duplicates=False)
        listener.serve(MemoryConnection(outward=down, inward=up))
        return MemoryConnection(outward=up, inward=down)


class MemoryTransport:
    """One node's access to a `MemoryNetwork`; implements `causal.transport.base.Transport`."""

    def __init__(self, network: MemoryNetwork, name: str) -> None:
        self.name = name
        self._network = network
        self._dialled: set[MemoryConnection] = set()
        self._listeners: list[MemoryListener] = []
        self._closed = False

    async def dial(self, address: str) -> MemoryConnection:
        """See `Transport.dial`; takes the link's delay once."""
        self._check_open()
        connection = await self._network._dial(self.name, address)
        if self._closed:
            await connection.close()
            self._check_open()
        self._dialled = {dialled for dialled in self._dialled if dialled.is_open}
        self._dialled.add(connection)
        return connection

    async def listen(self, address: str, accept: Accept) -> MemoryListener:
        """See `Transport.listen`; an address that ends in `:0` becomes one that is free."""
        self._check_open()
        listener = MemoryListener(self._network, self.name, address, accept)
        self._listeners.append(listener)
        return listener

    async def close(self) -> None:
        """See `Transport.close`."""
        self._closed = True
        for connection in self._dialled:
            await connection.close()
        for listener in self._listeners:
            await listener.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError(f"the transport of {self.name} is closed")


class MemoryListener:
    """An address of the network; implements `causal.transport.base.Listener`."""

    def __init__(self, network: MemoryNetwork, name: str, address: str, accept: Accept) -> None:
        self.name = name
        self._network = network
        self._serving = Serving(accept)
        self._serving.address = network._bind(self, address)

    @property
    def address(self) -> str:
        return self._serving.address

    def serve(self, connection: MemoryConnection) -> None:
        """Start serving one accepted connection."""
        self._serving.start(connection)

    async def close(self) -> None:
        """See `Listener.close`; takes 2 seconds at most."""
        if self._network._listeners.get(self.address) is self:
            del self._network._listeners[self.address]
        await self._serving.close()


class MemoryConnection:
    """One side of a stream; implements `causal.transport.base.Connection`."""

    def __init__(self, *, outward: _Pipe, inward: _Pipe) -> None:
        self._outward = outward
        self._inward = inward

    @property
    def is_open(self) -> bool:
        """Whether neither side has closed and nothing has broken."""
        return self._outward.is_open and self._inward.is_open

    async def send(self, frame: bytes) -> None:
        """See `Connection.send`; a cancelled call has sent nothing."""
        if len(frame) > FRAME_BYTES_MAX:
            raise ValueError(f"a frame of {len(frame)} bytes is over the limit of {FRAME_BYTES_MAX}")
        await self._outward.put(frame)

    @property
    def at_hand(self) -> bool:
        """See `Connection.at_hand`."""
        return self._inward.at_hand

    async def receive(self) -> bytes | None:
        """See `Connection.receive`."""
        return await self._inward.get()

    async def close(self) -> None:
        """See `Connection.close`; what was sent still arrives, what was sent to this side does not."""
        self._outward.end()
        self._inward.fail("the stream is closed")


class _Pipe:
    """One direction: a bounded queue of frames, some of them not there yet.

    Invariant: frames are due in the order in which they were put, and leave `_flying` in that order, by one
    timer. (A timer for each would let two frames that are due together overtake: a heap is not stable.)
    """

    def __init__(self, weather: _Weather, random: Random, *, duplicates: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._weather = weather
        self._random = random
        self._duplicates = duplicates
        self._flying: deque[tuple[float, bytes | None]] = deque()
        self._arrived: deque[bytes | None] = deque()
        self._bytes = 0
        self._put = 0
        self._last_due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._ended = False
        self._failure: str | None = None
        weather.pipes.add(self)

    @property
    def is_open(self) -> bool:
        return not self._ended and self._failure is None

    @property
    def at_hand(self) -> bool:
        return bool(self._arrived)

    async def put(self, frame: bytes) -> None:
        if self._writer is not None:
            raise RuntimeError("another task is waiting in send()")
        while self._open_but_full(len(frame)):
            self._writer = self._loop.create_future()
            try:
                await self._writer
            finally:
                self._writer = None
        self._launch(frame)
        self._put += 1
        # Never the first frame: it opens the protocol, and a network that repeats it repeats the connection.
        probability = self._weather.duplicate if self._duplicates and self._put > 1 else 0.0
        if probability and self._random.random() < probability:
            self._launch(frame)

    async def get(self) -> bytes | None:
        if self._reader is not None:
            raise RuntimeError("another task is waiting in receive()")
        while not self._arrived:
            if self._failure is not None:
                raise TransportError(self._failure)
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        frame = self._arrived[0]
        if frame is not None:  # The end stays, for every later call.
            self._arrived.popleft()
            self._bytes -= len(frame)
            _wake(self._writer)
        return frame

    def end(self) -> None:
        """Nothing more is put; what flies still arrives, and then the end."""
        if self.is_open:
            self._ended = True
            self._launch(None)
            _wake(self._writer)

    def fail(self, reason: str) -> None:
        """Break: what has not been taken is lost. A pipe that has already ended or failed stays as it is."""
        if self._failure is not None or (self._ended and not self._flying):
            return
        self._failure = reason
        self._weather.pipes.discard(self)
        self._flying.clear()
        self._arrived.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        _wake(self._reader)
        _wake(self._writer)

    def _open_but_full(self, size: int) -> bool:
        if self._failure is not None:
            raise TransportError(self._failure)
        if self._ended:
            raise TransportError("the stream is closed")
        waiting = len(self._flying) + len(self._arrived)
        return waiting >= BUFFER_FRAMES or (waiting > 0 and self._bytes + size > BUFFER_BYTES)

    def _launch(self, frame: bytes | None) -> None:
        if frame is not None:
            self._bytes += len(frame)
        delay = self._weather.seconds
        if self._weather.jitter:
            delay += self._random.uniform(0, self._weather.jitter)
        if not delay and not self._flying:
            self._arrive(frame)
            return
        self._last_due = max(self._last_due, self._loop.time() + delay)
        self._flying.append((self._last_due, frame))
        if self._timer is None:
            self._timer = self._loop.call_at(self._last_due, self._land)

    def _land(self) -> None:
        self._timer = None
        now = self._loop.time()
        while self._flying and self._flying[0][0] <= now:
            self._arrive(self._flying.popleft()[1])
        if self._flying:
            self._timer = self._loop.call_at(self._flying[0][0], self._land)

    def _arrive(self, frame: bytes | None) -> None:
        self._arrived.append(frame)
        if frame is None:
            self._weather.pipes.discard(self)
        _wake(self._reader)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
