"""What became of a node's own messages: who waits for which to be settled, and which were given up."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from causal.errors import GivenUpError
from causal.node.letters import DeadLetter, DeadLetters
from causal.node.message import Message
from causal.node.payload import decode_payload
from causal.node.waiting import Settlements
from causal.ordering import Arrival, Dot, Engine, Ordering
from causal.ordering.giving_up import give_up, is_waited_for, left_to_wait_for

log = logging.getLogger("causal")

GIVEN_UP_MAX = 100_000
"""Own messages of which it is remembered that they were given up, for those who ask whether they are settled."""


class OwnMessages:
    """The messages that this node has sent, as far as they are unsettled or given up."""

    def __init__(self, engine: Engine, dead_letters: DeadLetters) -> None:
        self._engine = engine
        self._dead_letters = dead_letters
        self.settlements = Settlements()
        self.given_up: dict[int, list[str]] = {}
        """Given up lately → the destinations at which they were."""

    async def settled(self, seqs: Iterable[int] | None, timeout: float | None) -> None:
        """Return once none of these messages (None: of all that are not given up) is unsettled.

        `TimeoutError` names those that still are, `GivenUpError` those that were given up.
        """
        self._refuse_given_up(() if seqs is None else seqs)
        unsettled = [dot.seq for dot in self._engine.unsettled] if seqs is None else seqs
        waited_for = set(left_to_wait_for(self._engine, unsettled))
        before = {seq: len(self.given_up.get(seq, ())) for seq in waited_for}
        if left := await self.settlements.wait(waited_for, timeout):
            self._refuse_given_up(seq for seq in left if len(self.given_up.get(seq, ())) > before[seq])
            raise TimeoutError(f"not settled within {timeout} s: {self.describe([self._dot(seq) for seq in left])}")

    def look_again(self) -> None:
        """Something is settled: who waits only for what has been given up elsewhere waits no more. O(waited for)."""
        for seq in self.settlements.waited_for if self.given_up else ():
            if not is_waited_for(self._engine, seq):
                self.settlements.forgo(seq)

    def _dot(self, seq: int) -> Dot:
        return Dot(*self._engine.me, seq)

    def _refuse_given_up(self, seqs: Iterable[int]) -> None:
        given_up = {self._dot(seq): self.given_up[seq] for seq in seqs if seq in self.given_up}
        if given_up:
            raise GivenUpError(given_up)

    @property
    def all_settled(self) -> bool:
        """Whether none is unsettled, but for those that were given up. O(links)."""
        return not any(len(link.outbox) > len(link.given_up) for link in self._engine.outbound.values())

    @property
    def unsettled(self) -> list[Dot]:
        """Those that are unsettled somewhere where they were not given up, oldest first."""
        unsettled = self._engine.unsettled
        if not any(link.given_up for link in self._engine.outbound.values()):
            return unsettled
        return [dot for dot in unsettled if is_waited_for(self._engine, dot.seq)]

    def describe(self, dots: Sequence[Dot], shown: int = 10) -> str:
        """Unsettled dots with the destinations that have not settled them, in words."""
        words = [f"{dot} at {', '.join(self.unsettled_at(dot))}" for dot in dots[:shown]]
        more = f" and {len(dots) - shown} more" if len(dots) > shown else ""
        return "; ".join(words) + more

    def unsettled_at(self, dot: Dot) -> list[str]:
        """The destinations that have not settled a message, but for those at which it was given up."""
        links = self._engine.outbound.values()
        return [link.peer for link in links if dot.seq in link.outbox and dot.seq not in link.given_up]

    def give_up(self, peer: str) -> list[Dot]:
        """Give up what is unsettled for a peer: it goes to the dead letters, and whoever waits for it is told."""
        copies = give_up(self._engine, peer)
        for copy in copies:
            arrival = Arrival(self._engine.me, copy, Ordering.NONE, ())
            message = Message(arrival, *decode_payload(copy.payload), 0.0, 0)
            reason = f"given up while {peer} was away"
            self._dead_letters.append(DeadLetter(arrival.dot, copy.subject, reason, message))
            self.given_up.setdefault(copy.seq, []).append(peer)
        while len(self.given_up) > GIVEN_UP_MAX:
            del self.given_up[next(iter(self.given_up))]
        if copies:
            log.warning("%s: %d messages for %s have been given up", self._engine.me.name, len(copies), peer)
        seqs = [copy.seq for copy in copies]
        self.settlements.give_up(seqs)
        return [self._dot(seq) for seq in seqs]
