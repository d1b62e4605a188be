"""The simulated network: virtual time, and streams that are slow, torn, cut, and repeat what they carried.

What a stream promises is what `causal.transport` promises, and nothing more: whole frames in order, and any
prefix of what was sent may have arrived when it breaks, in each direction. Two faults go beyond it, since a later
transport may have them: a frame that comes twice (the second time late), and a frame that is lost while the
stream goes on; such a stream breaks a little later. Everything is drawn from one seeded generator.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from causal.ordering.dot import NodeId
from causal.ordering.frames import Hello, ReceiverFrame, ReceiverToSender, SenderFrame, SenderToReceiver
from causal.ordering.tokens import Token
from causal.testing.facts import Past
from causal.testing.plan import Plan

MS = 1000
"""Microseconds, the unit of virtual time."""
Frame = SenderToReceiver | ReceiverToSender


class Timeline:
    """Virtual time in µs and what is due; events of one moment happen in the order in which they were set."""

    def __init__(self) -> None:
        self.now = 0
        self._count = 0
        self._due: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []

    def after(self, delay: int, act: Callable[..., None], *arguments: Any) -> None:
        """Have `act(*arguments)` called `delay` µs from now."""
        self._count += 1
        heapq.heappush(self._due, (self.now + delay, self._count, act, arguments))

    def run(self, until: int) -> None:
        """Let everything happen that is due up to `until`, and let time stand there."""
        due = self._due
        while due and due[0][0] <= until:
            self.now, _, act, arguments = heapq.heappop(due)
            act(*arguments)
        self.now = until


class Endpoint(Protocol):
    """What the network knows of a node: its two ends of streams. `run` counts its starts."""

    name: str
    place: str
    """What tells it from another process with its name."""
    run: int
    up: bool

    def heard(self, stream: Stream, frame: SenderToReceiver) -> None:
        """A frame from a sender."""

    def answered(self, stream: Stream, frame: ReceiverToSender) -> None:
        """A frame from a receiver that this node dialled."""

    def ended(self, stream: Stream, *, as_sender: bool) -> None:
        """This end has noticed that the stream is broken."""


class Pipe:
    """One direction of a stream."""

    def __init__(self, stream: Stream, deliver: Callable[[Any], None], ended: Callable[[], None]) -> None:
        self._stream = stream
        self._deliver = deliver
        self._ended = ended
        self._last_at = 0
        self._sent = 0
        self._arrived = 0
        self._limit: int | None = None
        """How many frames arrive in all, once the stream is broken."""

    def send(self, frame: Frame) -> None:
        """Put a frame on the way; into nothing if the stream is broken."""
        if self._limit is not None:
            return
        network = self._stream.network
        now = network.timeline.now
        self._last_at = max(self._last_at, now + network.delay(self._stream) + self._stream.late)
        self._sent += 1
        if isinstance(frame, SenderFrame | ReceiverFrame) and network.faulty:
            random, plan = network.random, network.plan
            if random.random() < plan.repeated:
                again = self._last_at - now + random.randrange(30 * MS)
                network.timeline.after(again, self._arrive_again, frame)
            if random.random() < plan.lost and getattr(frame, "base", None) is None:
                network.tally["frame lost"] += 1
                network.timeline.after(random.randrange(20 * MS, 150 * MS), network.tear, self._stream)
                return
        network.timeline.after(self._last_at - now, self._arrive, self._sent, frame)

    def tear(self, arriving: int | None) -> None:
        """Of what is on its way only the first `arriving` frames arrive (None: all); then the end notices."""
        in_flight = self._sent - self._arrived
        self._limit = self._sent if arriving is None else self._arrived + min(arriving, in_flight)
        network = self._stream.network
        if self._limit < self._sent:
            network.tally["frames lost with the stream"] += 1
        last = max(self._last_at - network.timeline.now, 0)
        network.timeline.after(last + network.random.randrange(20 * MS), self._ended)

    def in_flight(self) -> int:
        return self._sent - self._arrived

    def _arrive(self, number: int, frame: Frame) -> None:
        if self._limit is None or number <= self._limit:
            self._arrived = number
            self._deliver(frame)

    def _arrive_again(self, frame: Frame) -> None:
        if self._limit is None:
            self._stream.network.tally["frame repeated"] += 1
            self._deliver(frame)


class Codec:
    """The real encoding of one stream: what comes out is what a peer would read."""

    def __init__(self) -> None:
        from causal.wire.codec import ReceiverDecoder, ReceiverEncoder, SenderDecoder, SenderEncoder

        self._sender, self._receiver = SenderEncoder(), ReceiverEncoder()
        self._of_sender, self._of_receiver = SenderDecoder(), ReceiverDecoder()

    def down(self, frame: SenderToReceiver) -> SenderToReceiver:
        """A sender's frame, written and read."""
        return self._of_sender.decode(self._sender.encode(frame))

    def up(self, frame: ReceiverToSender) -> ReceiverToSender:
        """A receiver's frame, written and read."""
        return self._of_receiver.decode(self._receiver.encode(frame))


class Stream:
    """One dialled connection: frames of the sender go down, those of the receiver come up.

    Both ends belong to one run of their node; what arrives for an earlier run is nobody's.
    """

    def __init__(self, network: Network, sender: Endpoint, receiver: Endpoint) -> None:
        self.network = network
        self.sender = sender
        self.receiver = receiver
        self.origin: NodeId | None = None
        """Who dialled, as the receiver was told."""
        self.broken = False
        self.late = 0
        """µs that frames of this stream take in addition."""
        self._sender_run = sender.run
        self._receiver_run: int | None = None
        self._down = Pipe(self, self._heard, self._ended_below)
        self._up = Pipe(self, self._answered, self._ended_above)
        self._codec = Codec() if network.plan.wire else None

    def down(self, frame: SenderToReceiver) -> None:
        """Send to the receiver."""
        self._down.send(frame if self._codec is None else self._codec.down(frame))

    def up(self, frame: ReceiverToSender) -> None:
        """Send to the sender."""
        self._up.send(frame if self._codec is None else self._codec.up(frame))

    def tear(self, *, gently: bool = False) -> None:
        """Break the stream. Gently: all that is on its way still arrives (an end said good-bye)."""
        if self.broken:
            return
        self.broken = True
        self.network.streams.pop(self, None)
        for pipe in (self._down, self._up):
            pipe.tear(None if gently else self.network.random.randint(0, pipe.in_flight()))

    def _heard(self, frame: SenderToReceiver) -> None:
        if isinstance(frame, Hello):
            if self._sender_run != self.sender.run:
                self.network.tally["hello of a run that is over"] += 1
            self._receiver_run = self.receiver.run
            self.origin = frame.sender
        if not self.receiver.up or self.receiver.run != self._receiver_run:
            self.tear()
            return
        self.receiver.heard(self, frame)

    def _answered(self, frame: ReceiverToSender) -> None:
        if self.sender.up and self.sender.run == self._sender_run:
            self.sender.answered(self, frame)

    def _ended_below(self) -> None:
        if self.receiver.up and self.receiver.run == self._receiver_run:
            self.receiver.ended(self, as_sender=False)

    def _ended_above(self) -> None:
        if self.sender.up and self.sender.run == self._sender_run:
            self.sender.ended(self, as_sender=True)


class Network:
    """Who can reach whom, how slowly, and what goes wrong on the way. Links are reordered among each other."""

    def __init__(self, plan: Plan, timeline: Timeline, random: Random, tally: Counter[str]) -> None:
        self.plan = plan
        self.timeline = timeline
        self.random = random
        self.tally = tally
        self.faulty = True
        self.endpoints: dict[str, Endpoint] = {}
        self.streams: dict[Stream, None] = {}
        self.tokens: list[tuple[Token, Past]] = []
        """What clients have stored, and what it stands for as the history knows it."""
        self._cut: Counter[frozenset[str]] = Counter()
        self._base_delay: dict[tuple[str, str], int] = {}

    def delay(self, stream: Stream) -> int:
        """µs that the next frame takes; a link has a typical delay, and some are 20 times as slow."""
        link = stream.sender.name, stream.receiver.name
        base = self._base_delay.get(link)
        if base is None:
            base = self.random.randint(100, 3 * MS)
            if self.random.random() < self.plan.slow_links:
                base *= 20
            self._base_delay[link] = base
        return int(base * (0.5 + self.random.random()))

    def dial(self, sender: Endpoint, peer: str) -> Stream | None:
        """A new stream, or None if nobody can be reached there now."""
        receiver = self.endpoints[peer]
        if not receiver.up or self._cut[frozenset((sender.name, peer))]:
            return None
        stream = Stream(self, sender, receiver)
        self.streams[stream] = None
        return stream

    def tear(self, stream: Stream) -> None:
        """Break one stream, by accident."""
        if not stream.broken:
            self.tally["stream torn"] += 1
            stream.tear()

    def tear_any(self) -> None:
        """Break some stream."""
        if self.streams:
            self.tear(self.random.choice(list(self.streams)))

    def tear_all_of(self, gone: Endpoint, *, gently: bool = False) -> None:
        """A node is gone: its streams break, in the middle of whatever they carried; or after it, gently."""
        for stream in list(self.streams):
            if gone in (stream.sender, stream.receiver):
                stream.tear(gently=gently)

    def cut(self, one: str, other: str, duration: int) -> None:
        """Neither can reach the other for `duration` µs."""
        self.tally["link cut"] += 1
        pair = frozenset((one, other))
        self._cut[pair] += 1
        for stream in list(self.streams):
            if pair == {stream.sender.name, stream.receiver.name}:
                stream.tear()
        self.timeline.after(duration, self._mend, pair)

    def heal(self) -> None:
        """From now on nothing goes wrong any more; what has gone wrong is mended as usual."""
        self.faulty = False

    def _mend(self, pair: frozenset[str]) -> None:
        self._cut[pair] -= 1
