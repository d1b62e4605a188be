"""A second process with the name of a node, started in the same millisecond: what an operator does by mistake.

It sends and handles as the first does, and for a while the address of the first may lead to it. In the end the
operator has read what the links say, and stops it. Where each of the two has been let in by somebody, the first is
started again as well: third nodes cannot tell their messages apart. One of them may then hold messages in a circle,
as it takes the dot of one process for that of the other, and has to be started again too.
"""

from __future__ import annotations

from collections.abc import Iterable

from causal.testing.history import History
from causal.testing.member import EPOCH_MS, MakeEngine, Member
from causal.testing.network import MS, Network
from causal.testing.work import Draw


class Twin(Member):
    """The second process. Once it is stopped it stays so."""

    def __init__(
        self, first: Member, network: Network, history: History, draw: Draw, make_engine: MakeEngine, strict: bool
    ) -> None:
        self.first = first
        self._begins = network.random.choice((0, 50 * MS))
        """Before it, it dials nobody: of two processes that dial at once each is let in by some."""
        self._resolved = False
        place = f"{first.name}'"
        history.add_twin(first.name, place)
        super().__init__(first.name, first.peers, network, history, draw, make_engine, strict, place)

    def listen(self) -> None:
        """From now on whoever dials the name gets this process."""
        if self.up:
            self._lead_address_to(self)

    def listen_no_more(self) -> None:
        """Whoever dials the name gets the first process again."""
        if self._network.endpoints[self.name] is self:
            self._lead_address_to(self.first)

    def _lead_address_to(self, process: Member) -> None:
        self._network.endpoints[self.name] = process
        for stream in list(self._network.streams):
            if stream.receiver.name == self.name:
                stream.tear()

    def _dial(self, peer: str) -> None:
        if self._timeline.now < self._begins:
            self._soon(self._begins - self._timeline.now, self._dial, peer)
        else:
            super()._dial(peer)

    def fenced(self, later: int) -> None:
        """Somebody has let this process in, and now another has the name: nothing is left but to go."""
        self._network.tally["twin fenced"] += 1
        self._leave()

    def _leave(self) -> None:
        if self.up:
            self.listen_no_more()
            self.stop()
            self._history.crashed(self.name, self.incarnation, self.place)

    def _reincarnate(self, incarnation: int) -> None:
        self._network.tally["twin takes over"] += 1
        super()._reincarnate(incarnation)

    def resolve(self) -> None:
        """The operator does what the links say; to be called until all is at rest."""
        self._leave()
        if self._history.split and not self._resolved:
            self._resolved = True
            self._network.tally["twins both let in"] += 1
            self._start_again(self.first)

    def free(self, members: Iterable[Member]) -> None:
        """The operator starts again what stands still."""
        for member in members:
            if self._history.split and len(member.engine.delivery.holdback):
                self._network.tally["started again for twins that were both let in"] += 1
                self._start_again(member)

    def _start_again(self, member: Member) -> None:
        if member.up:
            member.crash()
            later = max(self.incarnation, member.incarnation, EPOCH_MS) + 1
            self._timeline.after(1 * MS, member.restart, later)
