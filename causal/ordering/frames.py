"""The frames of a link as plain values: what the engine says and hears, before any encoding.

A *link* goes from a sender to a receiver that it dials, over one ordered bidirectional stream:

    sender → receiver   Hello, then SenderFrame …
    receiver → sender   Welcome or Refusal, then ReceiverFrame …

Nothing that was in flight survives the stream: the next stream starts with Hello and Welcome, and Welcome says
what has been received and what of it is unsettled, so the sender repeats exactly what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from causal.ordering.dot import Dot, NodeId
from causal.ordering.scope import Scope
from causal.ordering.stamp import Copy


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The first frame of a stream: who dials, and whom it believes to be dialling."""

    sender: NodeId
    receiver: str
    process: int = 0
    """Drawn at random with the incarnation: another process that has the same one has another number."""
    scope: Scope = Scope.PROCESS
    """How the sender's messages follow each other."""


class RefusalCode(StrEnum):
    """Why a receiver refuses a link."""

    STALE_INCARNATION = "stale_incarnation"
    """A later incarnation of the sender is known, or the same of a process that has left; `incarnation` says which."""
    WRONG_RECEIVER = "wrong_receiver"
    """The address dialled belongs to a node of another name; `detail` says which."""
    OWN_NAME = "own_name"
    """The dialling node has the receiver's own name."""
    NAME_TAKEN = "name_taken"
    """Another process has the sender's name and incarnation; it keeps them as long as it is connected."""
    PROTOCOL = "protocol"
    """The sender broke the protocol on this stream."""
    CLOCK_DRIFT = "clock_drift"
    """The sender's clock is too far ahead; the link retries until the clocks agree."""
    VERSION = "version"
    """The sender speaks a version of the protocol that the receiver does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The receiver ends the stream, now or in place of a Welcome, and says why."""

    code: RefusalCode
    detail: str
    incarnation: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """The receiver's answer to Hello: where it stands with this incarnation of the sender."""

    receiver: NodeId
    known: bool
    """False: nothing is known of this incarnation of the sender, which must send its Base first."""
    received_to: int
    """Every message of this link with seq ≤ this has been received, but for those in `missing`."""
    missing: tuple[int, ...]
    beyond: tuple[int, ...]
    """Received although something before them on the link is not."""
    unsettled: tuple[int, ...]
    """Received and not settled yet. What is received and not listed here is settled."""
    window_messages: int
    """Credit: how many messages of this link may be sent and unsettled at a time."""
    window_bytes: int
    """Credit: the same in bytes, as copies weigh (`weight.weight_of`); one message is always allowed."""
    process: int = 0
    """Drawn at random with the receiver's incarnation, as `Hello.process`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """The starting point for a receiver that knows nothing of this incarnation of the sender.

    Messages of this link up to `last` are settled, but for those in `unsettled`, which will be sent.
    """

    last: int
    unsettled: tuple[int, ...]


FINAL = 2**53 - 1
"""As `StableNumber.upto`: the origin has left, and everything that it has ever sent is settled at each destination.
It is past every seq there is: numbers on the wire are below 2^53."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StableNumber:
    """What an origin's messages are known to be settled everywhere, with exceptions.

    Every message of `origin` with seq ≤ `upto` is settled at each of its destinations; at a destination in
    `lagging` only those before the seq given there. So one dead destination does not freeze the rest.
    Two reports join to one that knows what either knew (`settlement.join`), in any order, any number of times.
    """

    origin: NodeId
    upto: int
    lagging: Mapping[str, int]

    def covers(self, destination: str, seq: int) -> bool:
        """Whether this report says that the origin's message `seq` is settled at `destination`."""
        return seq <= self.upto and seq < self.lagging.get(destination, seq + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderFrame:
    """From sender to receiver. With nothing in it, a heartbeat."""

    number: int
    """Counts the sender's frames on this stream, from 1."""
    base: Base | None = None
    copies: tuple[Copy, ...] = ()
    """In the order of the link; a resend first."""
    stable: tuple[StableNumber, ...] = ()
    questions: tuple[Dot, ...] = ()
    """Dots of other origins, addressed to the receiver, that nobody has reported on: settled there?"""
    past: int = 0
    """A timestamp. Every message of this link up to it is on the stream by now, this frame included, or was received
    before: nothing older is still to come. 0: no claim."""
    given_up: tuple[int, ...] = ()
    """Those of `copies` which the sender has given up, while the receiver was away: no payload, and no handler runs for
    them. They settle in turn."""
    farewell: bool = False
    """The sender leaves. All that it ever sent on this link is settled at the receiver, and nothing more comes, in this
    incarnation: this frame is the last. It has no copies."""
    exhaustive: bool = False
    """Whether these copies, and all before them, list whatever their clocks count, unless it is settled or carried by
    what they list (`silence.py`). Only with copies."""
    heard: tuple[Dot, ...] = ()
    """The sender has followed all messages of these origins up to these, before it made the stamps of these copies
    (`heard.py`). Only with copies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverFrame:
    """From receiver to sender. With nothing new in it, a heartbeat."""

    received: int
    """Number of the last SenderFrame of this stream that was processed."""
    settled: tuple[int, ...] = ()
    """Messages of this link that are settled at the receiver: never merely received."""
    resend: tuple[tuple[int, int], ...] = ()
    """Gaps seen: send again the link's messages with first ≤ seq ≤ last."""
    answers: tuple[Dot, ...] = ()
    """Dots asked about that are settled here."""
    lost: tuple[Dot, ...] = ()
    """Dots, asked about or named by a message, that will never come: their incarnation is gone."""
    watch: Mapping[NodeId, int] = field(default_factory=dict)
    """Origins on which this receiver still waits for stable numbers, up to the seq given."""
    ask_past: int = 0
    """Are you past this timestamp? The sender answers with `SenderFrame.past` once it is; 0: no question."""


SenderToReceiver = Hello | SenderFrame
ReceiverToSender = Welcome | Refusal | ReceiverFrame
