"""The causal contexts of one node: a single one in process scope; one a handler, request or task in context scope.

In context scope a message with a key also follows what was sent or handled here about the same key, and one sent
`after` others follows them and all that they follow. So what each message of this node follows is remembered, under
its dot and its key, for as long as anything of it is unsettled: then there is nothing left to wait for.

*Forgetting* is amortised O(1): each message pays for a look at the few entries that were not looked at for
the longest time, and each tick for some more, so that at rest nothing is left behind. What is settled at an entry is
found when it is looked at, by `Settlement`; nothing is scanned at a send.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from causal.errors import UnknownDotError
from causal.ordering.context import CausalContext, IsSettled
from causal.ordering.counts import SendCounts
from causal.ordering.dot import Dot, NodeId
from causal.ordering.heard import Heard, listed
from causal.ordering.holdback import Arrival
from causal.ordering.scope import Scope
from causal.ordering.settlement import Settlement
from causal.ordering.silence import counting, forgotten, unlisted
from causal.ordering.stamp import Clock, Seqs, seqs_of

REMEMBERED_BY_THE_WAY = 1024
"""Entries up to which nothing is looked at but with a tick."""
LOOKS = 2
"""Beyond that, entries looked at for each one that is remembered: more than one, so that they become fewer."""
LOOKS_A_TICK = 1024
"""Entries looked at with each tick, at most: about a millisecond."""

Recalled = str | tuple[NodeId, int]
"""A key, or a message as origin and seq."""


class Follows(NamedTuple):
    """What a send follows."""

    context: CausalContext | None = None
    """None: the process's one; in context scope nothing, and nothing will follow the message but by key or name."""
    key: str | None = None
    """In context scope: also what was sent or handled here about the same key."""
    after: Sequence[Dot] = ()
    """Also these messages, which were sent, received or heard of here, and all that they follow."""


CONTEXT_ALONE = Follows()


class Contexts:
    """What the next message follows, for whatever may send it. In process scope there is one context, and nothing is
    remembered.

    Invariant: contexts that are remembered are never changed but by pruning, since keys and messages share them.
    """

    def __init__(self, settlement: Settlement, scope: Scope, counts: SendCounts, heard: Heard) -> None:
        self.single = scope is Scope.PROCESS
        """Whether there is one context for all that the process does."""
        self._counts = counts
        self._heard = heard
        self._process = CausalContext()
        """The one context of process scope; in context scope it stays empty."""
        self._entered: Arrival | None = None
        """A message whose handler has started, if the process's context does not follow it yet."""
        self._settlement = settlement
        self._number = 0
        self._open: WeakValueDictionary[int, CausalContext] = WeakValueDictionary()
        """Contexts that may follow messages of other nodes, as long as somebody can send from them."""
        self._forgotten = 0
        """The latest horizon of what was remembered and is not any more (bounded mode): whatever is looked for here and
        not found may follow all that is older."""
        self._remembered: OrderedDict[Recalled, CausalContext] = OrderedDict()
        """What was not looked at for the longest time goes first."""
        self._dropped: dict[Recalled, Clock | None] = {}
        """The clocks of those that settled without a handler: this process's counts only what was begun."""

    def __getstate__(self) -> dict[str, object]:
        """For copies of a whole engine: whoever can send from a context is copied with it, or it is gone."""
        return {**self.__dict__, "_open": dict(self._open)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _open=WeakValueDictionary(state["_open"]))

    def __len__(self) -> int:
        """How many keys and messages are remembered."""
        return len(self._remembered)

    def __iter__(self) -> Iterator[CausalContext]:
        """Every context there is. O(all of them)."""
        contexts: Iterable[CausalContext] = (self.process,) if self.single else self._open.values()
        return chain(contexts, self._remembered.values())

    @property
    def process(self) -> CausalContext:
        """The one context of process scope.

        Most handlers send nothing, so it follows a message of which nothing is carried to others only when somebody
        looks at it; and never, if the message is settled by then.
        """
        entered = self._entered
        if entered is not None:
            self._entered = None
            self._follow_received(self._process, entered)
        return self._process

    def open(self) -> CausalContext:
        """A new context, which follows nothing; the node's only one in process scope."""
        if self.single:
            return self.process
        self._number += 1
        context = CausalContext(self._number)
        self._open[self._number] = context
        return context

    def keep(self, context: CausalContext) -> None:
        """This context may follow messages of other nodes from now on."""
        if not self.single:
            self._open[context.number] = context
        else:
            assert context is self.process, "there is no other in process scope"

    def seqs(self, seq: int) -> Seqs:
        """An own message, as stamps of this node name it."""
        return seq if self.single else frozenset((seq,))

    # -- sending -----------------------------------------------------------------------------------------------

    def staged(self, follows: Follows) -> CausalContext:
        """Everything that a send follows: its context itself if that is all, else another one, and nothing has changed.

        Raises `UnknownDotError` for a message `after` which it is sent and of which nothing is known here.
        """
        context, key, after = follows
        if self.single:
            context, past = self.process, None
        else:
            past = None if key is None else self._remembered.get(key)
            if context is None:
                context = CausalContext()
        if past is None and not after and (key is None or context.horizon >= self._forgotten):
            return context
        staged = context.copy()
        staged.reach(self._forgotten)
        if past is not None:
            self._absorb(staged, past)
        for dot in after:
            self._follow(staged, dot.origin, dot.seq)
        return staged

    def sent(self, follows: Follows, staged: CausalContext, seq: int, destinations: Sequence[str]) -> None:
        """A message was sent: its context now follows what `staged` does, which is that message and what it follows."""
        if self.single:
            self.process.become(staged)
            return
        if follows.context is not None and staged is not follows.context:
            follows.context.become(staged)
            self.keep(follows.context)
        alone = len(staged.pending) == len(destinations) and not staged.horizon
        if alone and follows.key is None:
            return  # it follows nothing that is not settled when it is
        entry = staged.copy()
        if not alone:
            self._remember((self._settlement.me, seq), entry)
        if follows.key is not None:
            self._remember(follows.key, entry)

    def clocks(self, after: Sequence[Dot]) -> Iterator[tuple[Clock | None, bool]]:
        """The clocks of those messages that have come here and not been started: what follows them counts the same. And
        whether their senders were exhaustive."""
        for dot in after:
            link = self._settlement.inbound.get(dot.origin)
            exhaustive = link is not None and link.claims.exhaustive
            if (dot.origin, dot.seq) in self._dropped:
                yield self._dropped[dot.origin, dot.seq], exhaustive
            arrival = None if link is None else link.unsettled.get(dot.seq)
            if arrival is not None and not arrival.started:
                yield arrival.copy.stamp.clock, exhaustive

    def _follow(self, staged: CausalContext, origin: NodeId, seq: int) -> None:
        settlement = self._settlement
        remembered = self._remembered.get((origin, seq))
        if remembered is not None:
            self._absorb(staged, remembered)
            return
        if origin == settlement.me:
            if not 0 < seq <= max(link.last_sent for link in settlement.outbound.values()):
                raise UnknownDotError(Dot(origin.name, origin.incarnation, seq))
            if not self.single:  # else it is in the process's one context
                self._follow_unsettled(staged, seq)
            return
        link = settlement.inbound.get(origin)
        arrival = None if link is None else link.unsettled.get(seq)
        if link is not None and arrival is not None:
            self._follow_received(staged, arrival)
        elif not (self._follow_as_told(staged, origin, seq) or settlement.is_over(origin, seq)):
            raise UnknownDotError(Dot(origin.name, origin.incarnation, seq))

    def _follow_unsettled(self, staged: CausalContext, seq: int) -> None:
        """Follow an own message of which nothing is remembered: it stands for all that it follows."""
        me = self._settlement.me
        for link in self._settlement.outbound.values():
            copy = link.outbox.get(seq)
            if copy is not None:
                staged.add(link.peer, me, self.seqs(seq), copy.stamp.timestamp)

    def _follow_as_told(self, staged: CausalContext, origin: NodeId, seq: int) -> bool:
        """A message between others, which some contexts here list. What it follows is listed there too, and nobody can
        tell which of it: so all of that is followed."""
        listing = [context for context in self if context.lists(origin, seq)]
        for context in listing:
            self._absorb(staged, context)
        return bool(listing)

    def _follow_received(self, context: CausalContext, arrival: Arrival, is_settled: IsSettled | None = None) -> None:
        """Follow a message that has come here, as long as it is not settled, and all that it follows."""
        stamp = arrival.copy.stamp
        if stamp.elsewhere:
            is_settled, is_lost = is_settled or self._settlement.is_settled, self._settlement.is_lost
            context.merge(stamp.elsewhere, is_settled, stamp.timestamp, stamp.closed, is_lost)
        if stamp.horizon:
            context.reach(stamp.horizon)
        if not arrival.passed:
            origin, settlement = arrival.origin, self._settlement
            seqs = seqs_of(arrival.copy.seq, settlement.inbound[origin].scope)
            context.add(settlement.me.name, origin, seqs, stamp.timestamp)

    def _start_in_process(self, arrival: Arrival) -> None:
        """`_follow_received` by the process's one context, to which the stamp's silence says something as well."""
        process, settlement, counts, me = self.process, self._settlement, self._counts, self._settlement.me
        stamp = arrival.copy.stamp
        if not (process.pending or stamp.elsewhere or stamp.horizon) and counts.exhaustive:
            self._entered = arrival  # there is nothing to forget, and nothing else to follow
            return
        is_settled: IsSettled | None = None
        fresh: Sequence[tuple[NodeId, int]] = ()
        if arrival.origin != me:
            elsewhere = len(process.pending) > (me.name in process.pending)
            if elsewhere or not counts.exhaustive:
                fresh = self._forget_unlisted(arrival)
            if stamp.elsewhere:
                mine = counts.count_of if counts.exhaustive else self._heard.count_of
                is_settled = forgotten(mine, process, me, settlement.is_settled)
        self._follow_received(process, arrival, is_settled)
        if fresh and not counts.exhaustive:
            self._heard.note(fresh)

    def _forget_unlisted(self, arrival: Arrival) -> Sequence[tuple[NodeId, int]]:
        """Forget what the stamp says by its silence; returns what it says of how far its sender has come."""
        stamp, link = arrival.copy.stamp, self._settlement.inbound[arrival.origin]
        if stamp.clock is not None and link.claims.exhaustive:
            count_of, fresh = counting(stamp.clock), [(arrival.origin, arrival.copy.seq), *listed(stamp)]
        else:
            followed, fresh = link.claims.followed(arrival.copy, link.scope)
            count_of = counting(followed)
        self.process.prune(unlisted(count_of, stamp, self.process, self._settlement.me))
        return fresh

    def _absorb(self, context: CausalContext, other: CausalContext) -> None:
        context.absorb(other, self._settlement.is_settled, self._settlement.is_lost)

    # -- handlers ----------------------------------------------------------------------------------------------

    def start(self, arrival: Arrival, key: str | None) -> None:
        """A message's handler starts: what it sends follows the message, and what is remembered about its key."""
        stamp = arrival.copy.stamp
        if self.single:
            if self._entered is not arrival:
                self._start_in_process(arrival)
        elif arrival.context is None and (key is not None or stamp.elsewhere or stamp.horizon):
            self._start(arrival, key)
        # Last, since the process's clock counts what its context has followed.
        exhaustive = self._settlement.inbound[arrival.origin].claims.exhaustive
        self._counts.merge(stamp.clock, exhaustive=exhaustive)

    def _start(self, arrival: Arrival, key: str | None) -> None:
        past = None if key is None else self._remembered.get(key)
        context = self._open_for(arrival, shared=past is not None)
        entry = self._remember((arrival.origin, arrival.copy.seq), context.copy())
        if key is not None:
            context.reach(self._forgotten)
            if past is not None:
                self._absorb(context, past)
            if past is not None or context.horizon > entry.horizon:
                entry = context.copy()
            self._remember(key, entry)

    def of(self, arrival: Arrival) -> CausalContext:
        """The context of a message's handler, once that has started. Another run of it goes on in that of the first.

        Most handlers send nothing: where the message carries nothing for others, it is made when somebody asks for it.
        """
        if self.single:
            return self.process
        return self._open_for(arrival) if arrival.context is None else arrival.context

    def _open_for(self, arrival: Arrival, *, shared: bool = False) -> CausalContext:
        if arrival.copy.stamp.elsewhere or shared:
            context = self.open()
        else:  # it will follow this message and own ones only, of which this node knows by itself
            self._number += 1
            context = CausalContext(self._number)
        arrival.context = context
        self._follow_received(context, arrival)
        return context

    def finished(self, arrival: Arrival) -> None:
        """The message is settled, or will be in its turn."""
        arrival.context = None
        if self._entered is arrival and arrival.passed:
            self._entered = None
        elif arrival.passed and self._process.pending:
            self._process.forget(self._settlement.me.name, arrival.origin, arrival.copy.seq)

    def dropped(self, arrival: Arrival) -> None:
        """A message settles without a handler: only what names it follows it, and all that it follows."""
        context = CausalContext()
        self._follow_received(context, arrival)
        if context.pending:
            recalled = (arrival.origin, arrival.copy.seq)
            self._dropped[recalled] = arrival.copy.stamp.clock
            self._remember(recalled, context)

    # -- forgetting --------------------------------------------------------------------------------------------

    def prune(self, context: CausalContext) -> None:
        """Forget what is settled; what was kept last time stays pending until something more is known."""
        if context is self._process:
            context = self.process
        if context.pending and context.pruned_at != self._settlement.changes:
            context.prune(self._settlement.is_settled, self._settlement.is_lost)
            context.pruned_at = self._settlement.changes

    def tick(self) -> Sequence[CausalContext]:
        """The contexts in which there may be something to ask about: all that are open, some of those remembered."""
        contexts = [self.process] if self.single else list(self._open.values())
        for context in contexts:
            self.prune(context)
        return [*contexts, *self._look(LOOKS_A_TICK)] if self._remembered else contexts

    def _remember(self, recalled: Recalled, entry: CausalContext) -> CausalContext:
        """What follows this message by name, or whatever has this key, follows all this, and not what it did before."""
        if entry.pending:
            self._remembered[recalled] = entry
            self._remembered.move_to_end(recalled)
        else:
            self._remembered.pop(recalled, None)
            self._forget(entry)
        if len(self._remembered) > REMEMBERED_BY_THE_WAY:
            for _ in self._look(LOOKS):
                pass
        return entry

    def _look(self, most: int) -> Iterator[CausalContext]:
        """Look at the entries whose turn it is: those of which all is settled go."""
        remembered = self._remembered
        for _ in range(min(most, len(remembered))):
            recalled, context = remembered.popitem(last=False)
            self.prune(context)
            if context.pending:
                remembered[recalled] = context
                yield context
            else:
                self._dropped.pop(recalled, None)
                self._forget(context)

    def _forget(self, context: CausalContext) -> None:
        self._forgotten = max(self._forgotten, context.horizon)

    def rename(self, old: NodeId, new: NodeId) -> None:
        """This node goes on as another incarnation."""
        for context in {id(context): context for context in self}.values():
            context.rename(old, new)
        for recalled in list(self._remembered):
            context = self._remembered.pop(recalled)
            name = (new, recalled[1]) if isinstance(recalled, tuple) and recalled[0] == old else recalled
            self._remembered[name] = context
