"""Happened-before as sets of messages: no clock, no stamp. A set is the bits of an integer.

For m1 → m2 and a service d that both are addressed to, the handler of m2 may start at d only when m1 is settled there
(Lamport 1978 for →). And a copy that is held must be held for a reason: it goes free with its own arrival, or with
the settlement of something that it follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.clock_growth.algorithms.costs import list_header
from benchmarks.clock_growth.algorithms.costs import number as cost_of

VIOLATIONS_SHOWN = 5


class Past:
    """What the next message of a context follows."""

    __slots__ = ("bits",)

    def __init__(self, bits: int = 0) -> None:
        self.bits = bits


@dataclass(slots=True)
class _Sent:
    """A message that is not settled at some destination."""

    past: int
    service: int
    seq: int
    to_settle: int


class Oracle:
    """Watches one run and notes every violation of the guarantee, in words.

    `process_scope`: a service has one past; otherwise each request and each handler run has its own.
    A step costs O(messages / 64).
    """

    def __init__(self, services: int, *, process_scope: bool) -> None:
        self._process_scope = process_scope
        self._pasts = [Past() for _ in range(services)]
        self._addressed = [0] * services
        self._settled = [0] * services
        self._sent_by = [0] * services
        self._sent: dict[int, _Sent] = {}
        self._unsettled = 0
        """The messages of `_sent`, as a set."""
        self._needless: set[tuple[int, int]] = set()
        self.violations = 0
        self.shown: list[str] = []
        """The first of the violations, in words."""

    def request(self, service: int) -> Past:
        """A request enters from outside."""
        return self._pasts[service] if self._process_scope else Past()

    def sent(self, service: int, past: Past, number: int, to: tuple[int, ...]) -> None:
        bit = 1 << number
        self._sent_by[service] |= bit
        self._sent[number] = _Sent(past.bits, service, self._sent_by[service].bit_count(), len(to))
        self._unsettled |= bit
        for destination in to:
            self._addressed[destination] |= bit
        past.bits |= bit

    def missing(self, service: int, number: int) -> int:
        """What must be settled here before this message starts, and is not: a set."""
        return self._sent[number].past & self._addressed[service] & ~self._settled[service]

    def held(self, service: int, number: int) -> None:
        """The copy has arrived and may not start yet."""
        if not self.missing(service, number):
            self._needless.add((service, number))

    def released(self, service: int, number: int, trigger: int | None) -> None:
        """The copy may start: with its own arrival, as `trigger` has settled here, or (None) for another reason."""
        if missing := self.missing(service, number):
            self.violations += 1
            if len(self.shown) < VIOLATIONS_SHOWN:
                earlier = missing.bit_length() - 1
                self.shown.append(f"message {number} starts at service {service} before message {earlier}")
        elif trigger is None or not (trigger == number or self._sent[number].past >> trigger & 1):
            self._needless.add((service, number))

    @property
    def needless(self) -> int:
        """Copies that were held, or held longer, although nothing that they follow was missing."""
        return len(self._needless)

    def started(self, service: int, number: int) -> Past:
        """Its handler starts; the past of what that sends."""
        past = self._sent[number].past | 1 << number
        if not self._process_scope:
            return Past(past)
        own = self._pasts[service]
        own.bits |= past
        return own

    def settled(self, service: int, number: int) -> None:
        self._settled[service] |= 1 << number
        sent = self._sent[number]
        sent.to_settle -= 1
        if not sent.to_settle:
            self._unsettled &= ~(1 << number)
            del self._sent[number]

    def counts(self, past: Past) -> list[int]:
        """How many messages of each service are in that past: what an exact clock of sends must say."""
        return [(past.bits & sent).bit_count() for sent in self._sent_by]

    def ideal(self, past: Past) -> int:
        """Bytes of the next message's dependencies, if its sender knew at once of every settlement.

        For each destination, the messages that are not settled there, but for those that another one of them
        follows; written as in our rows, the number of a service being its index.
        """
        size = 0
        pending = past.bits & self._unsettled
        for destination, addressed in enumerate(self._addressed):
            here = pending & addressed & ~self._settled[destination]
            if here:
                members = [(1 << number, self._sent[number]) for number in _members(here)]
                for _, sent in members:
                    here &= ~sent.past
                left = [sent for bit, sent in members if here & bit]
                dots = sum(cost_of(2 * sent.service) + cost_of(sent.seq) for sent in left)
                size += 1 + cost_of(destination) + list_header(2 * len(left)) + dots
        return size


def _members(messages: int) -> Iterator[int]:
    while messages:
        lowest = messages & -messages
        yield lowest.bit_length() - 1
        messages ^= lowest
