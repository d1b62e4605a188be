"""The judge of a simulated run: happened-before from the history alone, as sets; no clock, stamp or context.

Every message has a number, which its payload says (so that not even its dot is taken for its identity), and a
set of messages is the bits of an integer. `past` of a process is what its next
message follows: what it sent and whatever it has started to handle, with their pasts (Lamport 1978).

In context scope a message follows less: what its *thread* (a handler's runs, a client's session) has, and what was sent
or handled at the same node about the same key. Clocks are of the whole process in either scope, so both are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from causal.ordering.dot import Dot, NodeId
from causal.ordering.stamp import Stamp
from causal.ordering.verdict import Ordering


@dataclass(slots=True)
class Sent:
    """One message as the judge knows it."""

    dot: Dot
    run: int
    """Which start of its origin sent it."""
    bit: int
    past: int
    """What it must come after."""
    seen: int
    """What its process had sent and seen, and these their processes, whatever the scopes: what clocks count."""
    scoped: bool
    """Whether it was sent in context scope."""
    destinations: tuple[str, ...]
    stamp: Stamp
    """For `judge_clocks` only."""


@dataclass(slots=True)
class Past:
    """What something follows: for the order, and for clocks."""

    order: int
    seen: int


@dataclass(slots=True)
class Place:
    """One name as a destination. The first fields are of its present incarnation, the others of all of them."""

    past: int = 0
    """In process scope: what it follows."""
    seen: int = 0
    threads: dict[object, int] = field(default_factory=dict)
    """In context scope: what each thread follows."""
    keys: dict[int, int] = field(default_factory=dict)
    received: int = 0
    running: int = 0
    finished: int = 0
    told_settled: int = 0
    """What senders have stated to be settled here already (base)."""
    lost: int = 0
    """What it knows that it can never get."""
    latest: dict[str, int] = field(default_factory=dict)
    """Senders heard, with their latest incarnation."""

    addressed: int = 0
    causal: int = 0
    """Of what is addressed here, the messages that are ordered here."""
    finished_ever: int = 0
    lost_ever: int = 0
    named: int = 0
    """What some verdict here has named as lost."""


class History:
    """Hears of everything that nodes do, and notes each violation of the guarantee in words."""

    def __init__(self, names: Sequence[str], ordering_of: Callable[[str, str], Ordering]) -> None:
        self.messages: list[Sent] = []
        self.violations: list[str] = []
        self.tally: Counter[str] = Counter()
        self.places = {name: Place() for name in names}
        self._ordering_of = ordering_of
        self._by_dot: dict[Dot, Sent] = {}
        """The last message that had this dot: what engines name, they name by dots."""
        self._of: dict[NodeId, int] = {}
        """What each origin has sent."""

    def blame(self, text: str) -> None:
        """Note a violation."""
        self.violations.append(text)

    def destinations(self, dot: Dot) -> tuple[str, ...]:
        """Whom a message was sent to."""
        return self._by_dot[dot].destinations

    def messages_of(self, bits: int) -> Iterator[Sent]:
        """The messages of a set."""
        while bits:
            low = bits & -bits
            yield self.messages[low.bit_length() - 1]
            bits ^= low

    # -- what nodes do -----------------------------------------------------------------------------------------

    def sent(
        self,
        dot: Dot,
        run: int,
        destinations: tuple[str, ...],
        subject: str,
        stamp: Stamp,
        thread: object = None,
        key: int | None = None,
        after: Sequence[int] = (),
    ) -> None:
        """A process sends the next message; its number is how many were sent before.

        `thread` (and `key`): in context scope, who sends it. `after`: the numbers of messages that it names.
        """
        origin = self.places[dot.name]
        for number in after:
            self._follow(origin, thread, self.past_with(number))
        past = self._past_of(origin, thread, key)
        bit = 1 << len(self.messages)
        sent = Sent(dot, run, bit, past, origin.seen, thread is not None, destinations, stamp)
        self.messages.append(sent)
        self._by_dot[dot] = sent
        self._follow(origin, thread, Past(past | bit, origin.seen | bit))
        if key is not None and thread is not None:
            origin.keys[key] = past | bit
        self._of[dot.origin] = self._of.get(dot.origin, 0) | sent.bit
        for name in destinations:
            place = self.places[name]
            place.addressed |= sent.bit
            if self._ordering_of(name, subject) is Ordering.CAUSAL:
                place.causal |= sent.bit
            if dot.incarnation < place.latest.get(dot.name, 0):
                self._lose(place, sent.bit)

    def received(self, name: str, number: int) -> None:
        """A copy has come in for the first time in this incarnation of the receiver."""
        sent, place = self._known(name, number), self.places[name]
        if sent is not None:
            if place.received & sent.bit:
                self.blame(f"doubled: {name} took {sent.dot} in twice")
            place.received |= sent.bit

    def past_with(self, number: int) -> Past:
        """A message and what it follows."""
        sent = self.messages[number]
        return Past(sent.past | sent.bit, sent.seen | sent.bit)

    def past_of(self, name: str, thread: object) -> Past:
        """What a token stands for that is made here and now."""
        place = self.places[name]
        return Past(self._past_of(place, thread, None), place.seen)

    def observed(self, name: str, thread: object, past: Past) -> None:
        """A token is observed that was made with this past."""
        self._follow(self.places[name], thread, past)

    def _past_of(self, place: Place, thread: object, key: int | None) -> int:
        if thread is None:
            return place.past
        return place.threads.get(thread, 0) | (0 if key is None else place.keys.get(key, 0))

    def _follow(self, place: Place, thread: object, past: Past) -> None:
        place.seen |= past.seen
        if thread is None:
            place.past |= past.order
        else:
            place.threads[thread] = place.threads.get(thread, 0) | past.order

    def started(self, name: str, number: int, *, ordered: bool, thread: object = None, key: int | None = None) -> None:
        """A handler starts; `ordered`: its verdict claims the guarantee in full. Its retries have the same `thread`."""
        sent, place = self._known(name, number), self.places[name]
        if sent is None:
            return
        if place.finished & sent.bit:
            self.blame(f"doubled: {name} handles {sent.dot} again after it was settled")
        if place.running & sent.bit:
            self.blame(f"doubled: two handlers of {name} run for {sent.dot} at the same time")
        if place.causal & sent.bit:
            self._judge_order(name, place, sent, ordered)
        place.running |= sent.bit
        again = thread in place.threads
        self._follow(place, thread, self.past_with(number))
        if thread is not None and key is not None and not again:
            place.threads[thread] = place.keys[key] = self._past_of(place, thread, key)

    def failed(self, name: str, number: int) -> None:
        """A handler has raised; it will run again."""
        self.places[name].running &= ~(1 << number)

    def finished(self, name: str, number: int) -> None:
        """A handler has returned, or the message is dropped at this node: it is settled."""
        sent, place = self._known(name, number), self.places[name]
        if sent is not None:
            place.running &= ~sent.bit
            place.finished |= sent.bit
            place.finished_ever |= sent.bit

    def named(self, name: str, dots: Sequence[Dot]) -> None:
        """A message has been released although these can never come, and says so."""
        place = self.places[name]
        for dot in dots:
            sent = self._by_dot.get(dot)
            if sent is None or not place.addressed & sent.bit:
                self.blame(f"invented: {name} misses {dot}, which was never sent to it")
                continue
            place.named |= sent.bit
            if place.finished & sent.bit:
                self.blame(f"false alarm: {name} calls {dot} lost, which it has settled")
            elif not place.lost & sent.bit:
                self.blame(f"false alarm: {name} calls {dot} lost, which can still come")

    def stated(self, name: str, origin: NodeId, last: int, unsettled: Sequence[int]) -> None:
        """A sender has told a receiver that knows nothing of it where they stand."""
        place = self.places[name]
        for sent in self.messages_of(place.addressed):
            if sent.dot.origin == origin and sent.dot.seq <= last and sent.dot.seq not in unsettled:
                place.told_settled |= sent.bit
                if not place.finished_ever & sent.bit:
                    self.blame(f"lost: {origin} tells {name} that {sent.dot} is settled there, and it is not")

    def heard(self, name: str, sender: NodeId) -> None:
        """A node has met this incarnation of a sender: it knows that earlier ones are gone."""
        place = self.places[name]
        if sender.incarnation <= place.latest.get(sender.name, 0):
            return
        place.latest[sender.name] = sender.incarnation
        for sent in self.messages:
            origin = sent.dot.origin
            if origin.name == sender.name and origin.incarnation < sender.incarnation:
                self._lose(place, sent.bit & place.addressed & ~place.received & ~place.told_settled)

    def crashed(self, name: str, incarnation: int) -> None:
        """A node starts again as this incarnation and knows nothing."""
        old = self.places[name]
        self.places[name] = Place(
            addressed=old.addressed,
            causal=old.causal,
            finished_ever=old.finished_ever,
            lost_ever=old.lost_ever,
            named=old.named,
        )
        self._lose_own(NodeId(name, incarnation))

    def _lose_own(self, me: NodeId) -> None:
        """What other incarnations sent to themselves can never come, even of one that has a higher number."""
        place = self.places[me.name]
        place.latest[me.name] = me.incarnation
        for sent in self.messages_of(place.addressed):
            if sent.dot.name == me.name and sent.dot.incarnation != me.incarnation:
                self._lose(place, sent.bit)

    def renamed(self, former: NodeId, later: NodeId, stamps: Mapping[int, Stamp]) -> None:
        """A process that nobody has accepted yet takes a later incarnation, with all it has sent: by seq."""
        bits = self._of.pop(former, 0)
        for place in self.places.values():  # who knew a later incarnation than the former took it for gone
            place.lost &= ~bits
            place.lost_ever &= ~bits
        for sent in self.messages_of(bits):
            del self._by_dot[sent.dot]
            sent.dot = Dot(later.name, later.incarnation, sent.dot.seq)
            sent.stamp = stamps[sent.dot.seq]
            self._by_dot[sent.dot] = sent
            self._of[later] = self._of.get(later, 0) | sent.bit
        self._lose_own(later)

    def _lose(self, place: Place, bits: int) -> None:
        place.lost |= bits
        place.lost_ever |= bits

    def _known(self, name: str, number: int) -> Sent | None:
        if number >= len(self.messages) or not self.places[name].addressed >> number & 1:
            self.blame(f"invented: {name} has message {number}, which was never sent to it")
            return None
        return self.messages[number]

    # -- judgements --------------------------------------------------------------------------------------------

    def _judge_order(self, name: str, place: Place, sent: Sent, ordered: bool) -> None:
        early = sent.past & place.addressed & place.causal & ~place.finished_ever
        if not early:
            return
        missing = early & ~place.lost_ever
        if missing:
            # Whoever follows a lost message cannot know what that one followed, but for its own origin's messages.
            excused = 0
            for lost in self.messages_of(sent.past & place.lost_ever):
                excused |= lost.past if lost.scoped else lost.past & ~self._of.get(lost.dot.origin, 0)
            for other in self.messages_of(missing & ~excused):
                self.blame(f"order: {name} starts {sent.dot} before {other.dot} is settled")
            self.tally["excused: preceded a lost one"] += (missing & excused).bit_count()
            self.tally["excused: preceded a lost one that an earlier verdict named"] += ordered
        self.tally["started after a loss"] += 1
        if ordered:
            self.tally["started after a loss that an earlier verdict named"] += 1
            for lost in self.messages_of(sent.past & place.lost_ever):
                if place.named & (lost.bit | self._followers(lost) & sent.past):
                    return
            self.tally["silent"] += 1

    def _followers(self, first: Sent) -> int:
        bits = 0
        for sent in self.messages:
            if sent.past & first.bit:
                bits |= sent.bit
        return bits

    def judge_held(self, name: str, number: int, waits_for: Dot | None = None) -> None:
        """A message is held at this moment: something that it must wait for has to be missing, and what it waits for
        has to be something that it follows."""
        sent, place = self._known(name, number), self.places[name]
        if sent is None:
            return
        coming = ~place.received & ~place.told_settled & ~place.lost
        unfinished = place.received & place.causal & ~place.finished
        if not sent.past & place.addressed & (coming | unfinished):
            self.blame(f"held needlessly: {name} holds {sent.dot}, and all that precedes it here is settled")
        awaited = None if waits_for is None else self._by_dot.get(waits_for)
        if awaited is not None and not awaited.bit & sent.past:
            self.blame(f"held needlessly: {name} holds {sent.dot} for {awaited.dot}, which is unrelated")

    def judge_settled(self, dot: Dot) -> None:
        """A sender claims that its message is settled at all destinations."""
        sent = self._by_dot[dot]
        for name in sent.destinations:
            if not self.places[name].finished_ever & sent.bit:
                self.blame(f"claim: {dot} counts as settled at its sender, and is not at {name}")

    def judge_complete(self, runs: dict[str, int]) -> None:
        """At the end: all that was sent and not lost is settled. `runs`: the last start of each name."""
        for sent in self.messages:
            for name in sent.destinations:
                place = self.places[name]
                due = place.received & sent.bit or runs[sent.dot.name] == sent.run
                if due and not place.finished_ever & sent.bit:
                    self.blame(f"lost: {sent.dot} was never settled at {name}")

    def judge_clocks(self, entries_max: int) -> None:
        """At the end: vector clocks tell exactly what happened before what, and HLCs agree with it.

        A name of which a past has two incarnations is left out: a clock counts its latest only.
        """
        for later in self.messages:
            past = list(self.messages_of(later.seen))
            names = {sent.dot.name for sent in past} | {later.dot.name}
            if any(sent.stamp.timestamp >= later.stamp.timestamp for sent in past):
                self.blame(f"clock: the timestamp of {later.dot} is not after all of its past")
            clock = later.stamp.clock
            if (clock is None) != (len(names) > entries_max):
                self.blame(f"clock: {later.dot} has {len(names)} origins in its past, and clock {clock}")
            if clock is not None:
                self._judge_clock(later, clock, past)

    def _judge_clock(self, later: Sent, clock: object, past: list[Sent]) -> None:
        assert isinstance(clock, dict)
        counts: dict[str, dict[int, int]] = {}
        for sent in (*past, later):
            seqs = counts.setdefault(sent.dot.name, {})
            seqs[sent.dot.incarnation] = max(seqs.get(sent.dot.incarnation, 0), sent.dot.seq)
        said = {origin: count for origin, count in clock.items() if len(counts.get(origin.name, ())) < 2}
        true = {
            NodeId(name, incarnation): seq
            for name, seqs in counts.items()
            if len(seqs) == 1
            for incarnation, seq in seqs.items()
        }
        if said != true:
            self.blame(f"clock: {later.dot} says {said}, and its past is {true}")
