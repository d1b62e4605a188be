"""The two ends of a link: what a sender keeps for one receiver, and a receiver for one sender."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import accumulate

from causal.clock.hybrid import TIMESTAMP_MAX
from causal.errors import ProtocolError
from causal.ordering.dot import Dot, NodeId
from causal.ordering.frames import Base, ReceiverFrame, StableNumber, Welcome
from causal.ordering.heard import Claims
from causal.ordering.holdback import Arrival
from causal.ordering.scope import Scope
from causal.ordering.stamp import Copy
from causal.ordering.weight import weight_of

DIGESTS_MAX = 1024
"""How many settled messages of a link are remembered by digest, to tell a duplicate from a reused dot."""
STAMP_BYTES = 64
"""Bytes of a frame for what every copy has in it, beyond its weight."""
REPORTS_MAX = 1024
"""Stable numbers, questions and answers in one frame; what does not fit is said, or asked again, later."""


class OutboundLink:
    """What this node keeps for one receiver: unsettled copies, and where the present stream stands.

    Invariant: `outbox` and `queue` are in the order of sending, so in HLC order; a copy leaves the outbox only when the
    receiver says that it is settled there. `queue` and `in_flight` belong to the present stream and die with it.
    """

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.incarnation: int | None = None
        """The receiver's incarnation at its last Welcome, None before the first."""
        self.process = 0
        """The process that it was then."""
        self.connected = False
        self.last_sent = 0
        """`seq` of the last message on this link, the next one's `previous`."""
        self.outbox: dict[int, Copy] = {}
        self.outbox_bytes = 0
        self.given_up: dict[int, int] = {}
        """Those in the outbox of which nothing is left but the stamp: no handler will run for them. And what each
        weighs at a receiver that has it with its payload."""
        self.queue: deque[int] = deque()
        """What is to be put on the present stream, in order."""
        self.in_flight: dict[int, int] = {}
        """What is on the present stream and not settled → its weight."""
        self.in_flight_bytes = 0
        self.window_messages = 0
        self.window_bytes = 0
        self.needs_base = False
        self.frames_sent = 0
        self.told: dict[NodeId, int] = {}
        """Origins whose dots this receiver was given, with the highest: it is owed their stable numbers."""
        self.owed: set[NodeId] = set()
        """Those of `told` whose stable number has moved since it was last put on this stream."""
        self.announced: dict[NodeId, tuple[int, StableNumber]] = {}
        """Origin → (frame of this stream that carried its stable number last, that number)."""
        self.questions: set[Dot] = set()
        self.chains_asked: set[NodeId] = set()
        """Origins in process scope whose dots have been asked about on this stream."""
        self.asked_past = 0
        """The timestamp past which the receiver wants this link to be, on the present stream; 0: no question."""

    def obstacle(self, size: int, messages_max: int, bytes_max: int) -> str | None:
        """Why a payload of `size` bytes does not fit into the outbox, in words; one message always does."""
        count = len(self.outbox) - len(self.given_up)
        if count and (count >= messages_max or self.outbox_bytes + size > bytes_max):
            return f"outbox of {self.peer} is full ({count} unsettled, {self.outbox_bytes} bytes)"
        return None

    def enqueue(self, copy: Copy) -> None:
        """Give a copy its place on the link."""
        self.outbox[copy.seq] = copy
        self.outbox_bytes += len(copy.payload)
        self.last_sent = copy.seq
        if self.connected:
            self.queue.append(copy.seq)

    def settle(self, seqs: Iterable[int]) -> list[int]:
        """The receiver settled these messages. Returns those that were unsettled here until now."""
        fresh = []
        outbox, in_flight = self.outbox, self.in_flight
        for seq in seqs:
            copy = outbox.pop(seq, None)
            if copy is None:
                continue
            fresh.append(seq)
            self.outbox_bytes -= len(copy.payload)
            self.in_flight_bytes -= in_flight.pop(seq, 0)
        for seq in fresh if self.given_up else ():
            self.given_up.pop(seq, None)
        return fresh

    def resume(self, welcome: Welcome) -> list[int]:
        """Begin a stream where the receiver says that it stands; returns what it has settled meanwhile."""
        if self.incarnation != welcome.receiver.incarnation:
            self.told.clear()  # a new incarnation has been told nothing
        self.incarnation, self.process = welcome.receiver.incarnation, welcome.process
        self.connected = True
        self.window_messages, self.window_bytes = welcome.window_messages, welcome.window_bytes
        self.needs_base = not welcome.known
        received = Received(welcome.received_to, set(welcome.missing), set(welcome.beyond))
        unsettled = set(welcome.unsettled)
        settled = []
        for seq, copy in self.outbox.items():
            if not welcome.known or seq not in received:
                self.queue.append(seq)
            elif seq in unsettled:
                self.in_flight[seq] = max(weight_of(copy), self.given_up.get(seq, 0))
            else:
                settled.append(seq)
        self.in_flight_bytes = sum(self.in_flight.values())
        self.owed = set(self.told)
        return settled

    def reset(self) -> None:
        """The stream is gone; what was in flight on it counts as not sent."""
        self.connected = False
        self.queue.clear()
        self.in_flight.clear()
        self.in_flight_bytes = 0
        self.frames_sent = 0
        self.owed.clear()
        self.announced.clear()
        self.questions.clear()
        self.chains_asked.clear()
        self.asked_past = 0

    def resend(self, gaps: Sequence[tuple[int, int]]) -> None:
        """The receiver saw gaps: put exactly these messages of the link before what is later on it. O(n · log(n))."""
        begun = sorted(gaps)
        ends = list(accumulate((last for _, last in begun), max))
        again = [seq for seq in self.in_flight if (at := bisect_left(begun, (seq + 1,))) and seq <= ends[at - 1]]
        for seq in sorted(again, reverse=True):
            self.in_flight_bytes -= self.in_flight.pop(seq)
            self.queue.appendleft(seq)
        if len(self.queue) > len(again) and again and self.queue[len(again)] < max(again):
            self.queue = deque(sorted(self.queue))

    def take(self, messages_max: int, bytes_max: int) -> list[Copy]:
        """The next copies for the stream, within the receiver's credit; at least one if it allows any.

        Bytes are those that the copies weigh, against `bytes_max` for one frame.
        """
        copies: list[Copy] = []
        size, left = 0, self.window_messages - len(self.in_flight)
        queue, outbox, in_flight = self.queue, self.outbox, self.in_flight
        while queue and len(copies) < messages_max:
            copy = outbox.get(queue[0])
            if copy is None:  # settled while it waited to be sent again
                queue.popleft()
                continue
            weight = weight_of(copy)
            full = left <= 0 or self.in_flight_bytes + weight > self.window_bytes
            if full and in_flight:
                break
            size += weight + STAMP_BYTES
            if copies and size > bytes_max:
                break
            queue.popleft()
            in_flight[copy.seq] = weight
            self.in_flight_bytes += weight
            left -= 1
            copies.append(copy)
        return copies

    def has_credit(self) -> bool:
        """Whether something is queued and the receiver has room for it."""
        return self._first() is not None

    def past(self, latest: int) -> int:
        """The timestamp up to which all of this link is on the stream; `latest` if all is, later ones being later."""
        copy = self._queued()
        return latest if copy is None else copy.stamp.timestamp - 1

    def _first(self) -> Copy | None:
        """The copy that is first in the queue, if the receiver has room for it."""
        copy = self._queued()
        if copy is None or not self.in_flight:
            return copy
        full = len(self.in_flight) >= self.window_messages or self.in_flight_bytes + weight_of(copy) > self.window_bytes
        return None if full else copy

    def _queued(self) -> Copy | None:
        """The copy that is first in the queue."""
        while self.queue:
            copy = self.outbox.get(self.queue[0])
            if copy is not None:
                return copy
            self.queue.popleft()  # settled while it waited to be sent again
        return None

    def base(self) -> Base:
        """The starting point for a receiver that knows nothing of this incarnation."""
        return Base(last=self.last_sent, unsettled=tuple(self.outbox))


class Received:
    """Which messages of a link have been received: a prefix, what is missing in it, and what lies beyond a gap."""

    __slots__ = ("_next", "beyond", "missing", "to")

    def __init__(self, to: int = 0, missing: set[int] | None = None, beyond: set[int] | None = None) -> None:
        self.to = to
        """All of the link up to here, but for `missing`."""
        self.missing = missing if missing is not None else set()
        self.beyond = beyond if beyond is not None else set()
        self._next: dict[int, int] = {}
        """`previous` → seq of what lies beyond a gap, to close it by walking."""

    def __contains__(self, seq: int) -> bool:
        return (seq <= self.to and seq not in self.missing) or seq in self.beyond

    def check(self, copies: Sequence[Copy]) -> None:
        """Raise `ProtocolError` if `add` would for one of these copies, in this order. Nothing changes."""
        if not self.beyond and self._follow(copies):
            return
        trial = Received(self.to, set(self.missing), set(self.beyond))
        trial._next = dict(self._next)
        for copy in copies:
            if copy.seq not in trial:
                trial.add(copy.seq, copy.stamp.previous)

    def _follow(self, copies: Sequence[Copy]) -> bool:
        """The usual case: each copy follows the one before it, and the first what is here."""
        to = self.to
        for copy in copies:
            if copy.stamp.previous != to:
                return False
            to = copy.seq
        return True

    def add(self, seq: int, previous: int) -> tuple[int, int] | None:
        """Note a message that is not in yet; returns the gap that it shows for the first time, if any.

        Raises `ProtocolError` if `previous` contradicts what came before.
        """
        if seq <= self.to:
            self.missing.remove(seq)
            return None
        if previous < self.to or previous in self._next:
            raise ProtocolError(f"message {seq} claims to follow {previous}, but another one does already")
        if previous == self.to:
            self.to = seq
            while self.to in self._next:
                self.to = self._next.pop(self.to)
                self.beyond.remove(self.to)
            return None
        gap = None
        if previous not in self.beyond:
            below = max((known for known in self.beyond if known < previous), default=self.to)
            gap = (below + 1, previous)
        self.beyond.add(seq)
        self._next[previous] = seq
        return gap


class InboundLink:
    """What this node keeps for one incarnation of one sender. Outlives the streams."""

    def __init__(self, origin: NodeId, process: int = 0, scope: Scope = Scope.PROCESS) -> None:
        self.origin = origin
        self.process = process
        """The one process that is let in as this incarnation."""
        self.scope = scope
        """The sender's: whether its dots stand for the earlier ones (process scope), or each for itself."""
        self.claims = Claims(origin)
        self.connected = False
        self.based = False
        """Whether the starting point is known; before that no message is accepted."""
        self.received = Received()
        self.unsettled: dict[int, Arrival] = {}
        self.bytes_most = 0
        """At least what the copies in `unsettled` weigh: counted exactly when it could be more than the credit."""
        self.digests: dict[int, int] = {}
        """Of the last settled messages; those before them are in `_older`, and go when this is full."""
        self._older: dict[int, int] = {}
        self.to_report: list[int] = []
        """Settled and not yet said on the present stream; after a new stream, Welcome says it."""
        self.gaps: list[tuple[int, int]] = []
        self.answers: list[Dot] = []
        self.lost: list[Dot] = []
        self.watch: dict[NodeId, int] = {}
        self.frames_received = 0
        self.frames_in_turn = 0
        """Up to which frame of this stream none is missing: only then is what it says of the past believed."""
        self.heard = 0
        """Everything on this link with a timestamp up to this one has been received. Outlives the streams."""
        self.asking = 0
        """The largest timestamp past which something here waits, or waited, for this link."""
        self.asked = 0
        """The largest of which the sender was asked on this stream."""
        self.skew_ms = 0
        """How far ahead of this node's physical clock the sender was when it was heard last, in ms."""

    @classmethod
    def to_oneself(cls, me: NodeId, scope: Scope) -> InboundLink:
        """A node's link to itself: always open and heard, without credit."""
        link = cls(me, scope=scope)
        link.based = True
        link.heard = TIMESTAMP_MAX
        return link

    def note_frame(self, number: int, past: int) -> None:
        """A frame was taken in, with all that is in it. Its word on the past counts if none before it is missing."""
        self.frames_received = max(self.frames_received, number)
        if number == self.frames_in_turn + 1:
            self.frames_in_turn = number
            self.heard = max(self.heard, past)

    def question(self) -> int:
        """The timestamp of which the sender has to be asked on this stream; 0 if there is none."""
        return self.asking if self.asking > self.heard and self.asking > self.asked else 0

    def welcome(self, me: NodeId, process: int, window_messages: int, window_bytes: int) -> Welcome:
        """Where this receiver stands with the sender, and the credit that it gives."""
        return Welcome(
            receiver=me,
            process=process,
            known=self.based,
            received_to=self.received.to,
            missing=tuple(sorted(self.received.missing)),
            beyond=tuple(sorted(self.received.beyond)),
            unsettled=tuple(self.unsettled),
            window_messages=window_messages,
            window_bytes=window_bytes,
        )

    def report(self, *, heartbeat: bool) -> ReceiverFrame | None:
        """The next frame for the stream; None if there is nothing to say."""
        ask_past = self.question()
        said = (self.to_report, self.gaps, self.answers, self.lost, self.watch)
        if not (heartbeat or ask_past or any(said)):
            return None
        self.asked = max(self.asked, ask_past)
        frame = ReceiverFrame(
            received=self.frames_received,
            settled=tuple(self.to_report),
            resend=tuple(self.gaps),
            answers=tuple(dict.fromkeys(self.answers))[:REPORTS_MAX],
            lost=tuple(dict.fromkeys(self.lost))[:REPORTS_MAX],
            watch=dict(list(self.watch.items())[:REPORTS_MAX]),
            ask_past=ask_past,
        )
        for each in said:
            each.clear()
        return frame

    def start_at(self, base: Base) -> None:
        """Take the starting point that the sender states."""
        self.received = Received(base.last, set(base.unsettled))
        self.based = True

    def remember(self, copy: Copy) -> None:
        """Keep a settled message's digest as long as it is among the last `DIGESTS_MAX`, at most twice as long."""
        if len(self.digests) >= DIGESTS_MAX:
            self._older, self.digests = self.digests, {}
        self.digests[copy.seq] = hash((copy.subject, copy.payload))  # `digest`, without the call

    def remembers(self, seq: int) -> bool:
        """Whether this message is among the last that were settled here."""
        return seq in self.digests or seq in self._older

    def forget_digests(self) -> None:
        """This incarnation is gone: nothing of it comes again."""
        self.digests, self._older = {}, {}

    def contradicts(self, copy: Copy) -> bool:
        """Whether this copy has the dot of a message already received, and yet another content."""
        held = self.unsettled.get(copy.seq)
        if held is not None:
            return digest(held.copy) != digest(copy)
        known = self.digests.get(copy.seq, self._older.get(copy.seq))
        return known is not None and known != digest(copy)

    def reset(self) -> None:
        """The stream is gone; the next Welcome says all of what was still to be reported."""
        self.connected = False
        for said in (self.to_report, self.gaps, self.answers, self.lost, self.watch):
            said.clear()
        self.frames_received = self.frames_in_turn = self.asked = 0


def digest(copy: Copy) -> int:
    """A checksum of subject and payload, valid in this process: finds a dot that was reused by mistake.

    (By intent it could only be reused by its own sender, who gains nothing.)
    """
    return hash((copy.subject, copy.payload))
