"""The judge of a simulated run: happened-before from the history alone, as sets; no clock, stamp or context.

Every message has a number, which its payload says (not even its dot is taken for its identity); a set of messages is
the bits of an integer. `past` of a process is what its next message follows: what it sent and whatever it has started
to handle, with their pasts (Lamport 1978).

In context scope a message follows less: what its *thread* (a handler's runs, a client's session) has, and what was sent
or handled at the same node about the same key. Clocks are of the whole process in either scope, so both are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from causal.ordering.dot import Dot, NodeId
from causal.ordering.stamp import Stamp
from causal.ordering.verdict import Ordering
from causal.testing.clocks import wrong_clocks
from causal.testing.facts import OF_A_SPLIT, Past, Place, Sent


class History:
    """Hears of everything that nodes do, and notes each violation of the guarantee in words.

    A node goes by the name of its place: its own, or that of a twin, which is a second process with its name. Where
    not both of them have been met under one incarnation, all is judged; else what others make of their dots is not.
    """

    def __init__(self, names: Sequence[str], ordering_of: Callable[[str, str], Ordering]) -> None:
        self.messages: list[Sent] = []
        self.violations: list[str] = []
        self.tally: Counter[str] = Counter()
        self.places = {name: Place() for name in names}
        self.split = False
        """Whether two processes have been met under one name and incarnation, each by somebody."""
        self._processes = {name: [name] for name in names}
        """Name, or place of a process → the places of all processes that have the name."""
        self._met: dict[NodeId, str] = {}
        self._runs_as: dict[str, int] = {}
        """Process → its incarnation, if that is not the one it began with."""
        self._ordering_of = ordering_of
        self._by_dot: dict[Dot, list[Sent]] = {}
        """The messages that had this dot, the last one last: what engines name, they name by dots."""
        self._of: dict[tuple[str, NodeId], int] = {}
        """What each incarnation of each process has sent."""
        self._claimed = 0
        """What its sender has counted as settled."""
        self._released: dict[tuple[str, int], tuple[dict[str, int], bool]] = {}
        """Process and message → the senders that it had heard when it released the message, and whether the time for
        them to dial was over."""

    def add_twin(self, name: str, place: str) -> None:
        """There is a second process with this name."""
        self._processes[name].append(place)
        self._processes[place] = self._processes[name]
        self.places[place] = Place(restarted=True)  # whoever had a link open to the name did so before it came

    def blame(self, text: str) -> None:
        """Note a violation, unless it may come of two processes that pass for one."""
        kind = text.partition(":")[0]
        if self.split and kind in OF_A_SPLIT:
            self.tally[f"excused by two processes of one name: {kind}"] += 1
        else:
            self.violations.append(text)

    def destinations(self, dot: Dot) -> tuple[str, ...]:
        """Whom a message was sent to."""
        return self._by_dot[dot][-1].destinations

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
        process: str = "",
        *,
        thread: object = None,
        key: int | None = None,
        after: Sequence[int] = (),
    ) -> None:
        """A process sends the next message; its number is how many were sent before.

        `thread` (and `key`): in context scope, who sends it. `after`: the numbers of messages that it names.
        """
        process = process or dot.name
        origin = self.places[process]
        for number in after:
            origin.follow(thread, self.past_with(number))
        past = origin.past_of(thread, key)
        bit = 1 << len(self.messages)
        sent = Sent(dot, process, run, bit, past, origin.seen, thread is not None, destinations, stamp)
        self.messages.append(sent)
        self._by_dot.setdefault(dot, []).append(sent)
        origin.follow(thread, Past(past | bit, origin.seen | bit))
        if key is not None and thread is not None:
            origin.keys[key] = past | bit
        self._of[process, dot.origin] = self._of.get((process, dot.origin), 0) | sent.bit
        for name in destinations:
            for each in self._processes[name]:
                place = self.places[each]
                place.addressed |= sent.bit
                if self._ordering_of(name, subject) is Ordering.CAUSAL:
                    place.causal |= sent.bit
                own_of_another = name == dot.name and each != process
                gone_to = max(place.latest.get(dot.name, 0) - 1, place.evicted.get(dot.name, -1))
                if own_of_another or dot.incarnation <= gone_to:
                    self._lose(place, sent.bit)

    def _places(self, name: str, sent: Sent) -> list[Place]:
        """Where a message for a name can be handled; one to oneself never leaves its process."""
        processes = [sent.process] if name == sent.dot.name else self._processes[name]
        return [self.places[process] for process in processes]

    def met(self, node: NodeId, process: str) -> None:
        """Somebody has a stream with this process, under this incarnation."""
        if self._met.setdefault(node, process) != process:
            self.split = True

    def received(self, name: str, number: int) -> None:
        """A copy has come in for the first time in this incarnation of the receiver."""
        sent, place = self._known(name, number), self.places[name]
        if sent is not None:
            if place.received & sent.bit:
                self.blame(f"doubled: {name} took {sent.dot} in twice")
            place.received |= sent.bit

    def released(self, name: str, number: int, *, late: bool) -> None:
        """A message waits for nothing more, perhaps for a free handler: whoever dials from now on comes too late.

        `late`: the time is over in which this node waits for senders of its former incarnation.
        """
        self._released[name, number] = (dict(self.places[name].dialled), late)

    def doubted(self, name: str, number: int, *, unsure: bool) -> None:
        """A message is released, and says that something before it may be missing."""
        sent, place = self._known(name, number), self.places[name]
        place.hinted |= place.lost_ever if unsure else 0
        if sent is not None:  # it tells of senders that are gone, not of messages
            for lost in self.messages_of(place.lost_ever):
                if self._of[lost.process, lost.dot.origin] & sent.past:
                    place.named |= lost.bit

    def past_with(self, number: int) -> Past:
        """A message and what it follows."""
        sent = self.messages[number]
        return Past(sent.past | sent.bit, sent.seen | sent.bit)

    def past_of(self, name: str, thread: object) -> Past:
        """What a token stands for that is made here and now."""
        place = self.places[name]
        return Past(place.past_of(thread, None), place.seen)

    def observed(self, name: str, thread: object, past: Past) -> None:
        """A token is observed that was made with this past."""
        self.places[name].follow(thread, past)

    def started(
        self,
        name: str,
        number: int,
        *,
        ordered: bool,
        bounded: bool = False,
        thread: object = None,
        key: int | None = None,
    ) -> None:
        """A handler starts; `ordered`: its verdict claims the guarantee in full, `bounded`: it had a horizon. Its
        retries have the same `thread`."""
        sent, place = self._known(name, number), self.places[name]
        if sent is None:
            return
        if place.finished & sent.bit:
            self.blame(f"doubled: {name} handles {sent.dot} again after it was settled")
        if place.running & sent.bit:
            self.blame(f"doubled: two handlers of {name} run for {sent.dot} at the same time")
        for other in self._processes[name]:
            handled = self.places[other].running | self.places[other].finished
            if other != name and handled & sent.bit and self._runs_as.get(other) == self._runs_as.get(name):
                self.blame(f"doubled: {name} handles {sent.dot}, and so has {other} as the same incarnation")
        if place.causal & sent.bit:
            self._judge_order(name, place, sent, ordered, bounded)
        place.running |= sent.bit
        again = thread in place.threads
        place.follow(thread, self.past_with(number))
        if thread is not None and key is not None and not again:
            place.threads[thread] = place.keys[key] = place.past_of(thread, key)

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
            known = [sent for sent in self._by_dot.get(dot, ()) if place.addressed & sent.bit]
            if not known:
                self.blame(f"false alarm: {name} misses {dot}, which was never sent to it")
                continue
            sent = known[-1]
            place.named |= sent.bit
            if place.finished & sent.bit:
                self.blame(f"false alarm: {name} calls {dot} lost, which it has settled")
            elif not place.lost & sent.bit:
                self.blame(f"false alarm: {name} calls {dot} lost, which can still come")

    def stated(self, name: str, origin: NodeId, last: int, unsettled: Sequence[int], process: str = "") -> None:
        """A sender has told a receiver that knows nothing of it where they stand."""
        place = self.places[name]
        theirs = self._of.get((process or origin.name, origin), 0)
        for sent in self.messages_of(place.addressed & theirs):
            if sent.dot.seq <= last and sent.dot.seq not in unsettled:
                place.told_settled |= sent.bit
                if not self._is_finished(name, sent):
                    self.blame(f"lost: {origin} tells {name} that {sent.dot} is settled there, and it is not")

    def heard(self, name: str, sender: NodeId) -> None:
        """A node has met this incarnation of a sender: it knows that earlier ones are gone."""
        place = self.places[name]
        place.dialled[sender.name] = max(sender.incarnation, place.dialled.get(sender.name, 0))
        place.met[sender] = None
        if sender.incarnation <= place.latest.get(sender.name, 0):
            return
        place.latest[sender.name] = sender.incarnation
        self._lose_before(place, sender.name, sender.incarnation)

    def evicted(self, name: str, sender: NodeId) -> None:
        """An operator tells a node that this incarnation of a sender is gone."""
        place = self.places[name]
        place.evicted[sender.name] = sender.incarnation
        self._lose_before(place, sender.name, sender.incarnation + 1)

    def _lose_before(self, place: Place, name: str, incarnation: int) -> None:
        for sent in self.messages:
            origin = sent.dot.origin
            if origin.name == name and origin.incarnation < incarnation:
                self._lose(place, sent.bit & place.addressed & ~place.received & ~place.told_settled)

    def given_up(self, name: str, dot: Dot) -> None:
        """A copy has come in that its sender has given up: dropped at once."""
        number = self._by_dot[dot][-1].bit.bit_length() - 1
        self.received(name, number)
        self.finished(name, number)

    def crashed(self, name: str, incarnation: int, process: str = "") -> None:
        """A node starts again as this incarnation and knows nothing."""
        process = process or name
        self._runs_as[process] = incarnation
        old = self.places[process]
        self.places[process] = Place(
            addressed=old.addressed,
            causal=old.causal,
            finished_ever=old.finished_ever,
            lost_ever=old.lost_ever,
            named=old.named,
            restarted=True,
        )
        self._lose_own(NodeId(name, incarnation), process)

    def _lose_own(self, me: NodeId, process: str) -> None:
        """What other incarnations sent to themselves can never come, even of one that has a higher number."""
        place = self.places[process]
        place.latest[me.name] = place.dialled[me.name] = me.incarnation
        for sent in self.messages_of(place.addressed):
            if sent.dot.name == me.name and sent.dot.incarnation != me.incarnation:
                self._lose(place, sent.bit)

    def renamed(self, former: NodeId, later: NodeId, stamps: Mapping[int, Stamp], process: str = "") -> None:
        """A process that nobody has accepted yet takes a later incarnation, with all it has sent: by seq."""
        process = process or later.name
        self._runs_as[process] = later.incarnation
        self.places[process].dialled = {later.name: later.incarnation}  # all others must dial again
        bits = self._of.pop((process, former), 0)
        for place in self.places.values():  # who knew a later incarnation than the former took it for gone
            place.lost &= ~bits
            place.lost_ever &= ~bits
        for sent in self.messages_of(bits):
            self._by_dot[sent.dot].remove(sent)
            sent.dot = Dot(later.name, later.incarnation, sent.dot.seq)
            sent.stamp = stamps[sent.dot.seq]
            self._by_dot.setdefault(sent.dot, []).append(sent)
            self._of[process, later] = self._of.get((process, later), 0) | sent.bit
        for place in self.places.values():
            if later.incarnation < place.latest.get(later.name, 0):
                self._lose(place, bits & place.addressed & ~place.received & ~place.told_settled)
        self._lose_own(later, process)

    def _lose(self, place: Place, bits: int) -> None:
        place.lost, place.lost_ever = place.lost | bits, place.lost_ever | bits

    def _known(self, name: str, number: int) -> Sent | None:
        if number >= len(self.messages) or not self.places[name].addressed >> number & 1:
            self.blame(f"invented: {name} has message {number}, which was never sent to it")
            return None
        return self.messages[number]

    # -- judgements --------------------------------------------------------------------------------------------

    def _judge_order(self, name: str, place: Place, sent: Sent, ordered: bool, bounded: bool) -> None:
        early = sent.past & place.addressed & place.causal
        for process in self._processes[name]:  # another one may have had the name before
            early &= ~self.places[process].finished_ever
        if not early:
            return
        missing = early & ~place.lost_ever
        if missing:
            for other in self.messages_of(missing & ~self._excused(name, place, sent, missing, bounded)):
                self.blame(f"order: {name} starts {sent.dot} before {other.dot} is settled")
        self.tally["started after a loss"] += 1
        if ordered and (losses := list(self.messages_of(sent.past & place.lost_ever))):
            self.tally["started after a loss that an earlier verdict named"] += 1
            if any(place.named & (lost.bit | self._followers(lost) & sent.past) for lost in losses):
                return
            if place.can_know_of(losses):
                self.blame(f"silent: {name} starts {sent.dot}, and no verdict has told of what is lost before it")
            else:
                self.tally["silent, and cannot be known"] += 1

    def _excused(self, name: str, place: Place, sent: Sent, missing: int, bounded: bool) -> int:
        """Of what is missing, what this node could not know of: its sender had not dialled in this run when the message
        was released.

        That is so for what a lost message had followed, and after a restart for what a horizon stands in for.
        """
        strangers = before_lost = 0
        dialled, late = self._released.get((name, sent.bit.bit_length() - 1), (place.dialled, True))
        for other in self.messages_of(missing):
            if other.dot.incarnation > dialled.get(other.dot.name, 0):
                strangers |= other.bit
        for lost in self.messages_of(sent.past & place.lost_ever if strangers else 0):
            before_lost |= lost.past & strangers
        unknown = strangers & ~before_lost if bounded and place.restarted and late else 0
        self.tally["excused: preceded a lost one, and its sender never dialled"] += before_lost.bit_count()
        self.tally["excused: its sender has not dialled since a restart"] += unknown.bit_count()
        return before_lost | unknown

    def _followers(self, first: Sent) -> int:
        return sum(sent.bit for sent in self.messages if sent.past & first.bit)

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
        awaited = [] if waits_for is None else self._by_dot.get(waits_for, [])
        if awaited and not any(each.bit & sent.past for each in awaited):
            self.blame(f"held needlessly: {name} holds {sent.dot} for {waits_for}, which is unrelated")

    def judge_settled(self, dot: Dot, process: str = "") -> None:
        """A sender claims that its message is settled at all destinations."""
        sent = [sent for sent in self._by_dot[dot] if sent.process == (process or dot.name)][-1]
        self._claimed |= sent.bit
        for name in sent.destinations:
            if not self._is_finished(name, sent):
                self.blame(f"claim: {dot} counts as settled at its sender, and is not at {name}")

    def _is_finished(self, name: str, sent: Sent) -> bool:
        return any(place.finished_ever & sent.bit for place in self._places(name, sent))

    def judge_complete(self, runs: dict[str, int]) -> None:
        """At the end: all is settled that was sent and not lost, or counts so. `runs`: the starts that go on."""
        for sent in self.messages:
            going_on = runs.get(sent.process) == sent.run
            for name in sent.destinations:
                if name not in runs and not self._claimed & sent.bit:
                    continue
                received = any(place.received & sent.bit for place in self._places(name, sent))
                if (received or going_on or self._claimed & sent.bit) and not self._is_finished(name, sent):
                    self.blame(f"lost: {sent.dot} was never settled at {name}")

    def judge_clocks(self, entries_max: int) -> None:
        """At the end: vector clocks tell exactly what happened before what, and HLCs agree with it."""
        for sent in self.messages:
            for text in wrong_clocks(sent, list(self.messages_of(sent.seen)), entries_max):
                self.blame(f"clock: {text}")
