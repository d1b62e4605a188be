"""What happened in a run, read from the traces of its nodes while they are being written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from causal.observe.event import TraceEvent, from_json

PLACED, PAID, SHIPPED = "order.placed", "order.paid", "order.shipped"


class TraceTail:
    """Reads a file of JSON Lines that another process appends to; a line counts once it is whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._lines = 0
        self._rest = b""

    def read(self) -> Iterator[TraceEvent]:
        """The events added since the last call. Raises `TraceError` for a line that is none."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                block = file.read()
        except FileNotFoundError:
            return  # its node has not started yet
        self._offset += len(block)
        *whole, self._rest = (self._rest + block).split(b"\n")
        for line in whole:
            self._lines += 1
            yield from_json(line, str(self.path), self._lines)


@dataclass(slots=True)
class Arrival:
    """One message at one of its destinations. Times are wall ns; one machine has one clock."""

    received_at: int | None = None
    delivered_at: int | None = None
    """Start of the first run of its handler."""
    place: int = 0
    """Its place in the order of first deliveries at this node, from 1; 0 while it is not delivered."""
    settled_at: int | None = None
    held_s: float = 0.0
    """What the node itself measured between receive and deliver."""
    settlements: int = 0


@dataclass(frozen=True, slots=True)
class Early:
    """A payment that S3 saw before the order that it pays."""

    payment: str
    order: str
    by_ms: float | None
    """How much before; None while the order is not there yet."""


@dataclass(slots=True)
class Ledger:
    """All events of a run so far, and the tables that answer the demo's questions about it.

    Invariant: `arrivals` has an entry for each copy of each message sent, and for each copy seen.
    """

    events: list[TraceEvent] = field(default_factory=list)
    sent: dict[str, TraceEvent] = field(default_factory=dict)
    arrivals: dict[tuple[str, str], Arrival] = field(default_factory=dict)
    """(node, message) → its arrival there."""
    _deliveries: dict[str, list[TraceEvent]] = field(default_factory=dict)

    def add(self, event: TraceEvent) -> None:
        self.events.append(event)
        if event.event == "send":
            self.sent[event.id] = event
            for name in event.to or ():
                self.arrivals.setdefault((name, event.id), Arrival())
            return
        arrival = self.arrivals.setdefault((event.node, event.id), Arrival())
        if event.event == "receive" and arrival.received_at is None:
            arrival.received_at = event.at
        elif event.event == "deliver" and arrival.delivered_at is None:
            deliveries = self._deliveries.setdefault(event.node, [])
            deliveries.append(event)
            arrival.delivered_at, arrival.place = event.at, len(deliveries)
            arrival.held_s = event.held_for or 0.0
        elif event.event in ("settle", "drop"):
            arrival.settled_at = arrival.settled_at or event.at
            arrival.settlements += 1

    def deliveries(self, node: str) -> list[TraceEvent]:
        """The first delivery of each message at a node, in the order in which its handlers started."""
        return self._deliveries.get(node, [])

    def sends(self, subject: str) -> list[TraceEvent]:
        return [event for event in self.sent.values() if event.subject == subject]

    def seen(self, node: str, subject: str) -> int:
        """How many messages of a subject a node's handlers have seen."""
        return sum(event.subject == subject for event in self.deliveries(node))

    def holds_ms(self, node: str, subject: str) -> list[float]:
        """How long a node held back each message of a subject that it had to hold back, by its own measure."""
        deliveries = (event for event in self.deliveries(node) if event.subject == subject)
        return [event.held_for * 1000 for event in deliveries if event.held_for]

    def held(self, node: str) -> list[str]:
        """What a node has received and not delivered yet."""
        return [
            id
            for (name, id), arrival in self.arrivals.items()
            if name == node and arrival.received_at is not None and arrival.place == 0 and arrival.settled_at is None
        ]

    def unsettled(self, prefix: str = "") -> int:
        """Copies of messages, of subjects with this prefix, that were sent and have not settled."""
        return sum(
            arrival.settled_at is None and id in self.sent and self.sent[id].subject.startswith(prefix)
            for (_, id), arrival in self.arrivals.items()
        )

    def doubled(self) -> int:
        """Copies that settled more than once."""
        return sum(arrival.settlements > 1 for arrival in self.arrivals.values())

    def delivered_between(self, start: int, end: int) -> int:
        """Copies whose handler started within a span of wall time, ns."""
        return sum(start <= event.at <= end for deliveries in self._deliveries.values() for event in deliveries)

    def early(self, node: str = "S3") -> list[Early]:
        """The payments that a node saw before their order, in the order in which it saw them.

        A payment names its order as its cause (the message in whose handler it was sent). Payments whose send
        has not been read yet are left for the next call. O(deliveries).
        """
        found = []
        for event in self.deliveries(node):
            payment = self.sent.get(event.id) if event.subject == PAID else None
            if payment is None or payment.cause is None:
                continue
            order = self.arrivals.get((node, payment.cause))
            paid = self.arrivals[node, event.id]
            if order is None or order.place == 0:
                found.append(Early(event.id, payment.cause, None))
            elif order.place > paid.place:
                found.append(Early(event.id, payment.cause, ((order.delivered_at or 0) - event.at) / 1e6))
        return found
