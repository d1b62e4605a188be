"""The clocks of an exploration, and what of their timestamps can change anything.

There are two ways to run the clocks of a scenario in which timestamps are compared (`Scenario.timed`):

- *standing still*: physical time stands (but for pauses), so a hybrid clock counts, as Lamport's. Each interleaving
  has its own timestamps, equal ones too, and a node that restarts begins behind all others.
- *in turn* (`Scenario.in_turn`): physical time is the number of messages sent so far, in all of the world, and every
  clock knows it. The k-th send is at 2k − 1 ms, whatever else happens between it and the next one at 2k ms. So of two
  messages the one sent first has the smaller timestamp, and any other timestamp says after which sends it was made,
  and nothing else.

*In turn* leaves nothing out that clocks in the field can do, but equal timestamps of two messages and clocks that go
back over a restart. A hybrid clock never contradicts happened-before. So take any run whatever, with any skews: its
events, put into the order of their timestamps, are a run in which each node sees the same in the same order, and in
which the timestamps are in turn. And the engine only asks which of two timestamps is larger, at least one of which is a
message's (or the one just before it): a horizon is, and everything else is compared to horizons. So what of a timestamp
can change anything is its *class*: between which two sends it lies. Two states that differ within classes only go on
alike, and count as one.
"""

from __future__ import annotations

from causal.clock import HybridClock
from causal.ordering.engine import Engine

START_MS = 1_700_000_000_000
"""Even, as `PAUSE_MS`: so an odd time is that of a send, whatever came before it."""
PAUSE_MS = 1_500
"""Longer than `stability.LAG_AFTER_MS`: what is unsettled then lags."""

_COUNTER = 0xFFFF


def time_in_turn(sent: int, *, sends: bool) -> int:
    """Physical time in ms after so many sends, or at the next one."""
    return START_MS + 2 * sent + sends


def class_of(number: int) -> int:
    """The class of a number in the state of an engine whose clocks run in turn; small numbers mean themselves."""
    if number < START_MS:
        return number
    if number < START_MS << 16:  # a physical time: what counts is how many pauses came before
        return START_MS + (number - START_MS) // PAUSE_MS
    ms, counter = number >> 16, number & _COUNTER
    if ms & 1 or counter == _COUNTER:
        return number  # a message's own, or just before it: which of them, and after which pause
    return ms << 16


def forget_what_was_ticked(engine: Engine) -> None:
    """The time is later than whatever the clock has shown: it need not remember. (In the state that stands for others
    it may remember what was not yet in theirs.)"""
    engine.hlc = HybridClock(drift_max_ms=engine.hlc.drift_max_ms)
