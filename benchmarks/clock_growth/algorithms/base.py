"""What an algorithm has to say, so that it can be run on a history."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal, NamedTuple

from causal.ordering import NodeId


class Encoding(NamedTuple):
    """One way to write an algorithm's messages down."""

    name: str
    title: str
    part: Literal["ordering", "clock"]
    """Whether its metadata orders messages, or only compares them."""


class Size(NamedTuple):
    """Bytes of one copy's metadata."""

    metadata: int
    names: int = 0
    """Definitions of names, once in a stream."""


class Algorithm(ABC):
    """The state of all services. Messages and services are numbers from 0; a message is known by its number.

    The history calls: `send`, then for each destination `start` and `settle`. One that `orders` says by
    `requirements` what a copy waits for, in terms of `progress`.
    """

    encodings: ClassVar[tuple[Encoding, ...]]
    orders: ClassVar[bool] = False

    def __init__(self, nodes: Sequence[NodeId]) -> None:
        self.services = len(nodes)
        self.progress: list[list[int]] = [[0] * self.services for _ in nodes] if self.orders else []
        """For each service, by origin: how far it has settled what that one sent to it."""

    @abstractmethod
    def send(self, service: int, number: int, to: tuple[int, ...]) -> list[tuple[Size, ...]]:
        """A service sends; for each copy its size in each encoding."""

    @abstractmethod
    def start(self, service: int, number: int) -> None:
        """Whatever the service sends from now on follows this message."""

    def requirements(self, service: int, number: int) -> Iterable[tuple[int, int]]:
        """(origin, least `progress` here) that this copy waits for."""
        return ()

    def settle(self, service: int, number: int) -> int | None:
        """The handler has ended; the origin whose progress this changes, if it orders."""
        return None

    def counts(self, service: int) -> list[int] | None:
        """How many messages of each service the next one follows; None if the algorithm cannot tell."""
        return None

    @abstractmethod
    def words(self, service: int) -> tuple[int, ...]:
        """Numbers that the service must keep, in each encoding, as in the paper."""
