"""Identities: a node's running member and the messages that it sends."""

from __future__ import annotations

from typing import NamedTuple


class NodeId(NamedTuple):
    """One running member: its configured name and the incarnation of this run (ms of its start)."""

    name: str
    incarnation: int

    def __str__(self) -> str:
        return f"{self.name}/{self.incarnation}"


class Dot(NamedTuple):
    """A message's identity: its origin and the origin's count of sends, from 1.

    One dot per message, also for a multicast. `str()` is `name/incarnation/seq`, the form used in traces.
    The tuple order is by origin, then by `seq`: it is a sorting order, not the causal one.
    """

    name: str
    incarnation: int
    seq: int

    @property
    def origin(self) -> NodeId:
        return NodeId(self.name, self.incarnation)

    def __str__(self) -> str:
        return f"{self.name}/{self.incarnation}/{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Dot:
        """The dot that `str()` wrote. Raises `ValueError` if it is not of that form."""
        name, incarnation, seq = text.rsplit("/", 2)
        return cls(name, int(incarnation), int(seq))
