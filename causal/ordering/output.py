"""What the engine asks of its caller, and its limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from causal.errors import ConfigurationError
from causal.ordering.dot import Dot, NodeId
from causal.ordering.holdback import Arrival
from causal.ordering.scope import Scope


@dataclass(slots=True, init=False)
class Output:
    """The effects of one input, in the order in which the caller owes them.

    1. `received`, `duplicates`, `conflicts`, `given_up`: note them (trace, metrics, alarm).
    2. `ready`: start the handler of each with `Engine.start`, in this order as far as there is room, and say
       `Engine.finish` when it has returned. Two of them may run at the same time.
    3. `settled`: own messages that are now settled at all their destinations; whoever waits for them goes on.
    4. `transmit`, `report`: these links have something to say; ask `Engine.transmit` or `Engine.report` for it
       when the stream has room. What was received is reported only after 1.
    """

    received: list[Arrival]
    duplicates: list[Dot]
    """Received again; acknowledged again if settled."""
    conflicts: list[Dot]
    """The dot of a message that is here already, with another content: dropped, and never acknowledged."""
    given_up: Sequence[Arrival]
    """Received, and dropped at once: their sender has given them up."""
    ready: list[Arrival]
    settled: list[Dot]
    transmit: set[str]
    report: set[NodeId]

    def __init__(self) -> None:  # by hand: one is made for each input, and generated code takes twice as long
        self.received = []
        self.duplicates = []
        self.conflicts = []
        self.given_up = ()
        self.ready = []
        self.settled = []
        self.transmit = set()
        self.report = set()


_MAY_BE_0 = ("clock_entries_max", "dependencies_max", "drift_max_ms", "heard_max", "links_known_after_ms")
HEARD_MOST = 256
"""The most that `heard_max` can be: a receiver refuses frames with more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Limits of the engine. Each hit is back-pressure or a typed refusal, never growth or loss."""

    dots_max: int = 4096
    """Dots a stamp may list. A sender past it waits for settlements; a receiver refuses the stamp."""
    dependencies_max: int = 64
    """Dots that a stamp lists before the oldest are folded into its horizon: past this a stamp grows no more, and
    messages may wait for what they do not follow. At 64, services with a few dozen peers hardly ever get there."""
    links_known_after_ms: int = 5000
    """How long after the start a sender that had an open link to an earlier incarnation of this node may take to
    dial again, in ms: some times the longest pause between two attempts of a node (1 s)."""
    clock_entries_max: int = 64
    """Entries of the vector clock in a stamp; a larger clock is left out and comparisons say `NOT_AFTER`."""
    heard_max: int = 8
    """Counts of other origins that a frame adds where vector clocks are left out, up to 256, of about 3 bytes each.
    With 8, frames of a hundred services are smallest: more of them take more than they save in dots."""
    drift_max_ms: int = 500
    """How far ahead of this process's physical clock a remote timestamp may be, in ms."""
    outbox_messages: int = 10_000
    """Unsettled messages of one link at its sender, past which a send waits."""
    outbox_bytes: int = 64 * 1024 * 1024
    """The same in bytes of payload; one message is always allowed."""
    window_messages: int = 4096
    """Credit: unsettled messages of one link that its receiver takes."""
    window_bytes: int = 64 * 1024 * 1024
    """The same in bytes of payload and of stamps with more than one dot (`weight.weight_of`); one message is always
    allowed."""
    frame_messages: int = 512
    """Copies in one frame: past this, batching gains nothing more."""
    frame_bytes: int = 1024 * 1024
    """Payload and stamps of one frame, roughly; one copy is always allowed."""
    garbage_after_ms: int = 60_000
    """How long a dot may be pending without a report before it is asked about, in ms."""
    silence_max_ms: int = 5_000
    """How long a process that was cut off keeps its name from another one with its incarnation, in ms."""
    scope: Scope = Scope.PROCESS
    """Whose past this node's messages follow."""

    def __post_init__(self) -> None:
        if not isinstance(self.scope, Scope):
            raise ConfigurationError(f"scope must be a Scope, not {self.scope!r}")
        for name in self.__slots__:
            if name == "scope":
                continue
            value = getattr(self, name)
            least = 0 if name in _MAY_BE_0 else 1
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigurationError(f"{name} must be a whole number from {least}, not {value!r}")
        if self.heard_max > HEARD_MOST:
            raise ConfigurationError(f"heard_max is {self.heard_max}: at most {HEARD_MOST}")
