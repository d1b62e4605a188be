"""Writes down small histories by hand: one line of a test for each event."""

from __future__ import annotations

from causal.observe.event import TraceEvent

MS = 1_000_000


class Chronicle:
    """Events in the order in which they are told. Times are in ms; each event is 1 ms after the last one."""

    def __init__(self) -> None:
        self.events: list[TraceEvent] = []
        self.now_ms = 1_000.0

    def tell(self, event: str, node: str, identity: str, **fields: object) -> Chronicle:
        """`node` is a name, or name/incarnation; `at` in ms sets the clock."""
        name, _, incarnation = node.partition("/")
        at = fields.pop("at", self.now_ms + 1)
        assert isinstance(at, int | float)
        self.now_ms = at
        if event != "send":
            fields.setdefault("ordering", "causal")
        if event == "deliver":
            fields.setdefault("attempt", 1)
        self.events.append(
            TraceEvent(
                at=int(at * MS),
                node=name,
                incarnation=int(incarnation or 1),
                event=event,
                id=identity,
                sender=identity.split("/", maxsplit=1)[0],
                subject="order.placed",
                **fields,  # type: ignore[arg-type]
            )
        )
        return self

    def send(self, identity: str, *to: str, **fields: object) -> Chronicle:
        return self.tell("send", identity.rsplit("/", 1)[0], identity, to=to, **fields)

    def receive(self, node: str, identity: str, **fields: object) -> Chronicle:
        return self.tell("receive", node, identity, **fields)

    def deliver(self, node: str, identity: str, **fields: object) -> Chronicle:
        return self.tell("deliver", node, identity, **fields)

    def settle(self, node: str, identity: str, **fields: object) -> Chronicle:
        return self.tell("settle", node, identity, **fields)

    def handle(self, node: str, identity: str, **fields: object) -> Chronicle:
        """Receive, start and settle."""
        return self.receive(node, identity, **fields).deliver(node, identity).settle(node, identity)


def triangle() -> Chronicle:
    """S1 sends S1/1/1 to S2 and S3; S2 handles it and sends S2/1/1 to S3. What S3 does is left open."""
    return Chronicle().send("S1/1/1", "S2", "S3").handle("S2", "S1/1/1").send("S2/1/1", "S3")
