"""What people do to a simulated system: nodes leave in good order, are evicted, and what waits for them is given up.

Of those that leave, some come back as a later incarnation, as after an update. The others stay away: in the end the
operator evicts them everywhere and gives up what waits for them, so that all can come to rest without them. One that is
evicted while it lives is refused from then on, and starts anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from causal.testing.history import History
from causal.testing.member import Member
from causal.testing.network import MS, Network

PATIENCE_MS = 120
"""How long a node that leaves waits for what it has sent, at most."""


class Operator:
    """Decides by its own generator, so that runs in which it does nothing are the same as without it."""

    def __init__(self, members: Mapping[str, Member], network: Network, history: History) -> None:
        self._members = members
        self._network = network
        self._history = history
        self._random = Random(f"operator {network.plan.seed}")
        self.away: set[str] = set()
        """Names of those that have left, or are about to, and stay away."""

    def schedule(self, length: int) -> None:
        """Set what is to be done in the phase with faults, `length` µs long."""
        plan, after = self._network.plan, self._network.timeline.after
        for act, times in ((self._have_leave, plan.leaves), (self._evict, plan.evictions), (self._give_up, plan.gifts)):
            for _ in range(times):
                after(self._random.randrange(length), act)

    def _have_leave(self) -> None:
        name = self._random.choice(sorted(self._members))
        member = self._members[name]
        if not member.up or member.leaving:
            return
        stays = len(self.away) < len(self._members) - 2 and self._random.random() < 0.5
        comes_back = None if stays else self._random.randrange(150 * MS)
        if stays:
            self.away.add(name)
        member.leave(self._random.randint(1, PATIENCE_MS) * MS, self._random.random() < 0.8, comes_back)

    def _evict(self) -> None:
        """Whoever dials this member can be evicted by it: it will hear of that, and start anew."""
        member = self._members[self._random.choice(sorted(self._members))]
        senders = [name for name, other in sorted(self._members.items()) if member.name in other.peers and other.up]
        if member.up and senders:
            member.evict(self._random.choice(senders))

    def _give_up(self) -> None:
        member = self._members[self._random.choice(sorted(self._members))]
        if member.up:
            member.give_up(self._random.choice(member.peers))

    def finish(self) -> None:
        """All is well again: do without those that stay away. To be called until all is at rest."""
        for name in sorted(self.away):
            away = self._members[name]
            if away.up:
                continue  # it still waits for what it has sent
            if not away.missed:
                away.missed = True
                self._network.tally["stays away"] += 1
                self._history.crashed(name, away.incarnation + 1)
            for member in self._members.values():
                if member.up:
                    member.evict(name, away.incarnation)
                    if name in member.peers:
                        member.give_up(name)
