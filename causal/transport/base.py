"""What a transport promises: ordered, whole frames over a stream that either works or says that it is broken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

FRAME_BYTES_MAX = 4 * 1024 * 1024
"""The largest frame in bytes that a transport carries; a larger one is refused by its sender and its receiver."""


class Connection(Protocol):
    """One bidirectional stream of frames between a sender (who dialled) and a receiver.

    Guarantee: frames arrive whole, in order and at most once; any prefix of what was sent may have arrived when
    the stream breaks. No frame is durable. Either side may close; the other then gets `None` from `receive`
    (closed in good order) or `TransportError` (broken).
    """

    async def send(self, frame: bytes) -> None:
        """Hand over one frame; returns when the stream has room for it (back-pressure), not when it arrived.

        Raises `TransportError` if the stream is closed or broken, `ValueError` past `FRAME_BYTES_MAX`.
        One caller at a time.
        """

    @property
    def at_hand(self) -> bool:
        """Whether `receive` would return a frame at once, so that its caller may keep others from their turn."""

    async def receive(self) -> bytes | None:
        """The next frame, or None when the other side has closed. Raises `TransportError` if broken.

        One caller at a time; cancelling it loses no frame that a later call would not return.
        """

    async def close(self) -> None:
        """End the stream: at once, in bounded time, any number of times, never raising for a dead peer."""


class Listener(Protocol):
    """An open listening address."""

    @property
    def address(self) -> str:
        """The address as a peer can dial it; a port asked for as 0 is resolved."""

    async def close(self) -> None:
        """Stop accepting and close what was accepted, in bounded time, any number of times."""


Accept = Callable[[Connection], Awaitable[None]]
"""Serves one accepted connection; when it returns or raises, the transport closes the connection."""


class Transport(Protocol):
    """Dials and listens. All of it in one event loop; nothing is opened before the first call."""

    async def dial(self, address: str) -> Connection:
        """Open a stream. Raises `TransportError` if there is nobody at the address within a bounded time."""

    async def listen(self, address: str, accept: Accept) -> Listener:
        """Accept streams at an address; raises `ConfigurationError` if it cannot be bound."""

    async def close(self) -> None:
        """Close every listener and connection, in bounded time, any number of times."""
