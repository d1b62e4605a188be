"""Happened-before as sets of messages: no clock, no stamp. A set is the bits of an integer.

For m1 → m2 and a service d that both are addressed to, the handler of m2 may start at d only when m1 is settled there
(Lamport 1978 for →). And a copy that is held must be held for a reason: it goes free with the settlement of something
that it follows, or with its own arrival.
"""

from __future__ import annotations

VIOLATIONS_SHOWN = 5


class Past:
    """What the next message of a context follows."""

    __slots__ = ("bits",)

    def __init__(self, bits: int = 0) -> None:
        self.bits = bits


class Oracle:
    """Watches one run and notes every violation of the guarantee, in words.

    `process_scope`: a service has one past; otherwise each request and each handler run has its own.
    A step costs O(messages / 64) words.
    """

    def __init__(self, services: int, *, process_scope: bool) -> None:
        self._process_scope = process_scope
        self._pasts = [Past() for _ in range(services)]
        self._addressed = [0] * services
        self._settled = [0] * services
        self._sent_by = [0] * services
        self._past_of: dict[int, int] = {}
        """Past of each message that some destination has not started to handle."""
        self._to_start: dict[int, int] = {}
        self.violations = 0
        self.shown: list[str] = []
        """The first of the violations, in words."""
        self._needless: set[tuple[int, int]] = set()

    def request(self, service: int) -> Past:
        """A request enters from outside."""
        return self._pasts[service] if self._process_scope else Past()

    def sent(self, service: int, past: Past, number: int, to: tuple[int, ...]) -> None:
        bit = 1 << number
        self._past_of[number] = past.bits
        self._to_start[number] = len(to)
        self._sent_by[service] |= bit
        for destination in to:
            self._addressed[destination] |= bit
        past.bits |= bit

    def missing(self, service: int, number: int) -> int:
        """What must be settled here before this message starts, and is not: a set."""
        return self._past_of[number] & self._addressed[service] & ~self._settled[service]

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
        elif trigger is None or not (self._past_of[number] >> trigger & 1 or trigger == number):
            self._needless.add((service, number))

    @property
    def needless(self) -> int:
        """Copies that were held, or held longer, although nothing that they follow was missing."""
        return len(self._needless)

    def started(self, service: int, number: int) -> Past:
        """Its handler starts; the past of what that sends."""
        past = self._past_of[number] | 1 << number
        left = self._to_start[number] - 1
        if left:
            self._to_start[number] = left
        else:
            del self._to_start[number], self._past_of[number]
        if not self._process_scope:
            return Past(past)
        own = self._pasts[service]
        own.bits |= past
        return own

    def settled(self, service: int, number: int) -> None:
        self._settled[service] |= 1 << number

    def counts(self, past: Past) -> list[int]:
        """How many messages of each service are in that past: what an exact clock of sends must say."""
        return [(past.bits & sent).bit_count() for sent in self._sent_by]
