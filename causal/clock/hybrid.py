"""The hybrid logical clock: 64 bits that agree with happened-before and stay near physical time.

Kulkarni, Demirbas, Madappa, Avva, Leone 2014, "Logical physical clocks and consistent snapshots in globally
distributed databases".

A timestamp is (l, c): l the largest physical time seen in the causal past, in milliseconds since the Unix
epoch, and c a counter that orders events of the same l. Packed as l·2¹⁶ + c, the rules of the paper become
one: *the next value is the physical time, if that is larger than all values seen, else the largest of them
plus one*. A full counter then carries into the milliseconds by itself and never wraps; the price is that l
may run ahead of every physical clock, by one millisecond for each 65,536 events in it.

HAZARD: l is bounded only while physical clocks are right within some ε. A remote value far ahead would drag
this clock, and all that hear from it, along with it for good. So `merge` refuses what is more than
`drift_max_ms` ahead of the physical clock here. What is not ahead of *this clock* is never refused: merging
it moves nothing, and a node whose physical clock was set back must still take what it sent to itself.
"""

from __future__ import annotations

from typing import NamedTuple

from causal.errors import ClockDriftError, ConfigurationError

COUNTER_BITS = 16
MILLISECONDS_MAX = 2**48 - 1
"""The largest physical time in milliseconds since the epoch: a day in the year 10889."""
COUNTER_MAX = 2**COUNTER_BITS - 1
TIMESTAMP_MAX = 2**64 - 1
"""The largest timestamp in its 64-bit form."""


def _next(timestamp: int) -> int:
    if timestamp >= TIMESTAMP_MAX:
        raise OverflowError("the hybrid logical clock is at the last timestamp that 64 bits can say")
    return timestamp + 1


def _check(what: str, value: int, limit: int) -> None:
    # `type` and not `isinstance`: True is an int too.
    if type(value) is not int:
        raise TypeError(f"{what} is an int, not {value!r}")
    if not 0 <= value <= limit:
        raise ValueError(f"{what} is {value}, outside 0 … {limit}")


class _Fields(NamedTuple):
    milliseconds: int
    counter: int


class HybridTimestamp(_Fields):
    """A reading of a hybrid logical clock: milliseconds since the Unix epoch, and a counter within them.

    If one event happened before another, its timestamp is smaller; the converse does not hold. `int()` is the
    64-bit form (48 bits of milliseconds, 16 of counter), which sorts alike.
    """

    __slots__ = ()

    def __new__(cls, milliseconds: int, counter: int = 0) -> HybridTimestamp:
        """Raises `TypeError` if either is not an int, `ValueError` outside 48 and 16 bits."""
        _check("milliseconds", milliseconds, MILLISECONDS_MAX)
        _check("counter", counter, COUNTER_MAX)
        return super().__new__(cls, milliseconds, counter)

    def __int__(self) -> int:
        return self.milliseconds << COUNTER_BITS | self.counter

    @classmethod
    def from_int(cls, value: int) -> HybridTimestamp:
        """The timestamp of a 64-bit form. Raises `TypeError` or `ValueError` if it is not one."""
        _check("timestamp", value, TIMESTAMP_MAX)
        return cls._make((value >> COUNTER_BITS, value & COUNTER_MAX))


BEGINNING = HybridTimestamp(0, 0)


class HybridClock:
    """A hybrid logical clock, told the physical time (`now_ms`, since the Unix epoch) with each event.

    Every result is larger than all results before it and all timestamps merged so far, whatever the physical
    clock does. When a call raises, the clock is as it was. The `_int` forms speak the 64-bit form of
    timestamps; they are for callers who stamp every message.

    Not safe for threads: one owner calls it.
    """

    __slots__ = ("_last", "drift_max_ms")

    def __init__(self, drift_max_ms: int = 500, last: HybridTimestamp = BEGINNING) -> None:
        """A clock whose next results are larger than `last`.

        `drift_max_ms`: how far ahead of the physical clock here a merged timestamp may be, in milliseconds.
        500 is well above what NTP leaves between machines, and well below what people notice as a wrong time;
        0 suits nodes that share one physical clock. Raises `ConfigurationError` if it is not an int from 0.
        """
        if type(drift_max_ms) is not int or drift_max_ms < 0:
            raise ConfigurationError(f"drift_max_ms is an int of 0 or more (milliseconds), not {drift_max_ms!r}")
        self.drift_max_ms = drift_max_ms
        self._last = int(last)

    @property
    def last(self) -> HybridTimestamp:
        """The largest timestamp given out or merged so far."""
        return HybridTimestamp.from_int(self._last)

    @property
    def last_int(self) -> int:
        """`last` in its 64-bit form."""
        return self._last

    def tick(self, now_ms: int) -> HybridTimestamp:
        """The timestamp of a local or a send event.

        Raises `TypeError` or `ValueError` if `now_ms` is not an int of 48 bits, `OverflowError` past the last
        timestamp that 64 bits can say.
        """
        return HybridTimestamp.from_int(self.tick_int(now_ms))

    def merge(self, remote: HybridTimestamp, now_ms: int) -> HybridTimestamp:
        """The timestamp of the receipt of a message that was sent at `remote`.

        Raises `ClockDriftError` if `remote` is more than `drift_max_ms` ahead of `now_ms` (and ahead of this
        clock), and what `tick` raises.
        """
        return HybridTimestamp.from_int(self.merge_int(int(remote), now_ms))

    def tick_int(self, now_ms: int) -> int:
        """`tick`, with the result in its 64-bit form."""
        if type(now_ms) is not int or not 0 <= now_ms <= MILLISECONDS_MAX:
            _check("now_ms", now_ms, MILLISECONDS_MAX)
        physical = now_ms << COUNTER_BITS
        last = self._last
        self._last = stamp = physical if physical > last else _next(last)
        return stamp

    def merge_int(self, remote: int, now_ms: int) -> int:
        """`merge`, with `remote` and the result in their 64-bit form; `remote` is checked like `now_ms`."""
        if type(now_ms) is not int or not 0 <= now_ms <= MILLISECONDS_MAX:
            _check("now_ms", now_ms, MILLISECONDS_MAX)
        if type(remote) is not int or not 0 <= remote <= TIMESTAMP_MAX:
            _check("remote", remote, TIMESTAMP_MAX)
        physical = now_ms << COUNTER_BITS
        latest = self._last
        if remote > latest:
            ahead_ms = (remote >> COUNTER_BITS) - now_ms
            if ahead_ms > self.drift_max_ms:
                raise ClockDriftError(ahead_ms, self.drift_max_ms)
            latest = remote
        self._last = stamp = physical if physical > latest else _next(latest)
        return stamp

    def __repr__(self) -> str:
        return f"HybridClock(drift_max_ms={self.drift_max_ms}, last={self.last!r})"
