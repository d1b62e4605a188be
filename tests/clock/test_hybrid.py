"""The hybrid logical clock: narrated tables, its laws, and a twin that holds the causal past as sets."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from enum import IntEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal.clock import HybridClock, HybridTimestamp
from causal.clock.hybrid import COUNTER_MAX, MILLISECONDS_MAX, TIMESTAMP_MAX
from causal.errors import ClockDriftError, ConfigurationError

NOW = 1_700_000_000_000
HOUR = 3_600_000
FULL = COUNTER_MAX
REFUSED = "refused"

Pair = tuple[int, int]
STORY: list[tuple[str, Pair | None, int, Pair | str]] = [
    # what happens                                    remote           physical  the clock then
    ("starts behind, takes the physical time", None, NOW, (NOW, 0)),
    ("E6 again in the same millisecond", None, NOW, (NOW, 1)),
    ("E6 and again", None, NOW, (NOW, 2)),
    ("a millisecond later the counter starts anew", None, NOW + 1, (NOW + 1, 0)),
    ("E1 physical time goes back one hour", None, NOW + 1 - HOUR, (NOW + 1, 1)),
    ("E5 a remote from long ago moves the counter only", (NOW - HOUR, 9), NOW + 1, (NOW + 1, 2)),
    ("E5 a remote of the epoch as well", (0, 0), NOW + 1, (NOW + 1, 3)),
    ("a remote of the same millisecond, ahead in the counter", (NOW + 1, 40), NOW + 1, (NOW + 1, 41)),
    ("a remote of the same millisecond, behind in the counter", (NOW + 1, 7), NOW + 1, (NOW + 1, 42)),
    ("a remote ahead within the drift is followed", (NOW + 400, 3), NOW + 1, (NOW + 400, 4)),
    ("a remote at the drift is followed", (NOW + 501, 0), NOW + 1, (NOW + 501, 1)),
    ("a remote just past the drift is refused", (NOW + 502, 0), NOW + 1, REFUSED),
    ("E4 a remote a year ahead is refused", (NOW + 8760 * HOUR, 0), NOW + 1, REFUSED),
    ("nothing of the refused was merged", None, NOW + 1, (NOW + 501, 2)),
    ("what this clock gave out itself is taken back", (NOW + 501, 2), NOW - HOUR, (NOW + 501, 3)),
    ("physical time has caught up: larger than all", (NOW + 501, 9), NOW + 502, (NOW + 502, 0)),
    ("E7 a remote with a full counter carries", (NOW + 502, FULL), NOW + 502, (NOW + 503, 0)),
    ("E7 a full counter in the next step too", (NOW + 503, FULL - 1), NOW + 502, (NOW + 503, FULL)),
    ("E7 a tick carries into the milliseconds", None, NOW + 502, (NOW + 504, 0)),
    ("a physical time equal to the carried one", None, NOW + 504, (NOW + 504, 1)),
]


def test_hybrid_clock_in_a_narrated_life_reads_as_told() -> None:
    clock = HybridClock(drift_max_ms=500)
    for what, remote, now_ms, expected in STORY:
        before = clock.last
        try:
            reading = clock.merge(HybridTimestamp(*remote), now_ms) if remote else clock.tick(now_ms)
        except ClockDriftError:
            assert expected == REFUSED, what
            assert clock.last == before, what
        else:
            assert reading == expected, what
            assert clock.last == reading > before, what
            assert clock.last_int == int(reading), what


# Three processes, each with a physical clock of its own that may be set forward and back.
STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),  # the process
        st.one_of(st.none(), st.integers(0, 40)),  # a local event, or the receipt of some event's message
        st.integers(-3, 6),  # by how much the physical clock moved since
    ),
    max_size=60,
)


@dataclass
class Event:
    stamp: HybridTimestamp
    now_ms: int
    past: frozenset[int] = field(repr=False)


def run(steps: list[tuple[int, int | None, int]], counter: int = 0) -> list[Event]:
    """A history, with the causal past of each event as the set of the events in it, itself included."""
    clocks = [HybridClock(drift_max_ms=10**6, last=HybridTimestamp(0, counter)) for _ in range(3)]
    now = [100, 103, 97]
    past: list[frozenset[int]] = [frozenset()] * 3
    events: list[Event] = []
    for process, sent, moved in steps:
        now[process] = max(0, now[process] + moved)
        if sent is None or not events:
            stamp = clocks[process].tick(now[process])
        else:
            message = events[sent % len(events)]
            stamp = clocks[process].merge(message.stamp, now[process])
            past[process] |= message.past
        past[process] |= {len(events)}
        events.append(Event(stamp, now[process], past[process]))
    return events


@given(STEPS)
def test_hybrid_clock_in_any_history_respects_happened_before(
    steps: list[tuple[int, int | None, int]],
) -> None:
    events = run(steps)
    for number, event in enumerate(events):
        for earlier in event.past - {number}:
            assert events[earlier].stamp < event.stamp


@given(STEPS)
def test_hybrid_clock_in_any_history_is_the_largest_physical_time_of_the_past(
    steps: list[tuple[int, int | None, int]],
) -> None:
    # Theorems 2 and 3 of the paper: l is the largest physical time in the causal past, so it is ahead of the
    # physical clock here by no more than another's clock is; c is at most the number of events of that l.
    events = run(steps)
    for event in events:
        past = [events[number] for number in event.past]
        assert event.stamp.milliseconds == max(other.now_ms for other in past)
        alike = [other for other in past if other.stamp.milliseconds == event.stamp.milliseconds]
        assert event.stamp.counter < len(alike)


INPUTS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.tuples(st.integers(0, 900), st.sampled_from([0, 1, FULL - 1, FULL]))),
        st.integers(0, 900),
    ),
    max_size=40,
)


@given(INPUTS, st.integers(0, 300))
def test_hybrid_clock_with_any_input_only_grows_and_stays_within_the_drift(
    inputs: list[tuple[Pair | None, int]], drift_max_ms: int
) -> None:
    clock = HybridClock(drift_max_ms=drift_max_ms)
    now_max = carried = 0
    for remote, now_ms in inputs:
        before = clock.last
        ahead_ms = remote[0] - now_ms if remote and remote > before else 0
        now_max = max(now_max, now_ms)
        if remote and ahead_ms > drift_max_ms:
            with pytest.raises(ClockDriftError):
                clock.merge(HybridTimestamp(*remote), now_ms)
            assert clock.last == before
            continue
        after = clock.merge(HybridTimestamp(*remote), now_ms) if remote else clock.tick(now_ms)
        assert after > before
        if remote:
            assert after > remote
        assert after.milliseconds >= now_ms
        carried += after.counter == 0
        assert after.milliseconds <= now_max + drift_max_ms + carried


@given(STEPS)
def test_e7_counter_close_to_full_keeps_happened_before(steps: list[tuple[int, int | None, int]]) -> None:
    frozen = [(process, sent, -1000) for process, sent, _ in steps]
    events = run(frozen, counter=FULL - 3)
    for number, event in enumerate(events):
        assert all(events[earlier].stamp < event.stamp for earlier in event.past - {number})
    assert all(0 <= event.stamp.counter <= FULL for event in events)


def test_e1_physical_time_back_an_hour_is_never_seen() -> None:
    clock = HybridClock()
    stamps = [clock.tick(NOW)]
    stamps += [clock.tick(NOW - HOUR + step) for step in range(100)]
    stamps.append(clock.merge(HybridTimestamp(NOW - HOUR), NOW - HOUR + 100))
    assert stamps == sorted(set(stamps))
    assert {stamp.milliseconds for stamp in stamps} == {NOW}
    assert clock.tick(NOW + 1) == (NOW + 1, 0)


def test_e1_own_stamp_after_physical_time_went_back_is_not_taken_for_drift() -> None:
    clock = HybridClock(drift_max_ms=500)
    sent = clock.tick(NOW)
    assert clock.merge(sent, NOW - HOUR) == (NOW, 1)


def test_e4_remote_a_year_ahead_is_refused_and_not_merged() -> None:
    clock = HybridClock(drift_max_ms=500)
    before = clock.tick(NOW)
    year = 365 * 24 * HOUR
    with pytest.raises(ClockDriftError) as refusal:
        clock.merge(HybridTimestamp(NOW + year, 3), NOW)
    assert (refusal.value.ahead_ms, refusal.value.drift_max_ms) == (year, 500)
    assert clock.last == before
    assert clock.tick(NOW) == (NOW, 1)


def test_e5_remote_from_the_past_is_accepted_at_any_age() -> None:
    clock = HybridClock(drift_max_ms=0)
    clock.tick(NOW)
    for age in (1, 1000, HOUR, NOW):
        assert clock.merge(HybridTimestamp(NOW - age, FULL), NOW).milliseconds == NOW


def test_e6_equal_physical_time_counts_up() -> None:
    clock = HybridClock()
    assert [clock.tick(NOW) for _ in range(4)] == [(NOW, counter) for counter in range(4)]
    assert clock.merge(HybridTimestamp(NOW, 3), NOW) == (NOW, 4)


def test_e7_counter_full_carries_into_the_milliseconds() -> None:
    clock = HybridClock(last=HybridTimestamp(NOW, FULL - 1))
    assert [clock.tick(NOW) for _ in range(3)] == [(NOW, FULL), (NOW + 1, 0), (NOW + 1, 1)]


def test_e7_clock_at_its_end_raises_and_does_not_wrap() -> None:
    last = HybridTimestamp(MILLISECONDS_MAX, FULL)
    clock = HybridClock(last=last)
    with pytest.raises(OverflowError):
        clock.tick(NOW)
    with pytest.raises(OverflowError):
        clock.merge(HybridTimestamp(NOW), NOW)
    assert clock.last == last


class Small(IntEnum):
    ONE = 1


NO_INTEGERS = [True, 1.0, float("nan"), float("inf"), "1", None, Small.ONE]


@pytest.mark.parametrize("now_ms", NO_INTEGERS)
def test_e9_physical_time_that_is_no_integer_is_refused(now_ms: object) -> None:
    clock = HybridClock()
    with pytest.raises(TypeError, match="now_ms"):
        clock.tick(now_ms)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="now_ms"):
        clock.merge(HybridTimestamp(1), now_ms)  # type: ignore[arg-type]
    assert clock.last == (0, 0)


@pytest.mark.parametrize("now_ms", [-1, MILLISECONDS_MAX + 1, 2**64])
def test_e9_physical_time_out_of_range_is_refused(now_ms: int) -> None:
    clock = HybridClock()
    with pytest.raises(ValueError, match="now_ms"):
        clock.tick(now_ms)
    with pytest.raises(ValueError, match="now_ms"):
        clock.merge(HybridTimestamp(1), now_ms)
    assert clock.last == (0, 0)


@pytest.mark.parametrize("value", NO_INTEGERS)
def test_e9_remote_that_is_no_integer_is_refused(value: object) -> None:
    clock = HybridClock()
    with pytest.raises(TypeError):
        clock.merge_int(value, NOW)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        HybridTimestamp(value)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        HybridTimestamp(0, value)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        HybridTimestamp.from_int(value)  # type: ignore[arg-type]
    assert clock.last == (0, 0)


@pytest.mark.parametrize("value", [-1, TIMESTAMP_MAX + 1])
def test_e9_remote_out_of_range_is_refused(value: int) -> None:
    clock = HybridClock()
    with pytest.raises(ValueError, match="remote"):
        clock.merge_int(value, NOW)
    with pytest.raises(ValueError, match="milliseconds"):
        HybridTimestamp(value)
    with pytest.raises(ValueError, match="counter"):
        HybridTimestamp(0, value)
    with pytest.raises(ValueError, match="timestamp"):
        HybridTimestamp.from_int(value)
    assert clock.last == (0, 0)


@pytest.mark.parametrize("drift_max_ms", [-1, 0.5, True, None, float("nan")])
def test_hybrid_clock_with_an_impossible_drift_is_refused(drift_max_ms: object) -> None:
    with pytest.raises(ConfigurationError, match="drift_max_ms"):
        HybridClock(drift_max_ms=drift_max_ms)  # type: ignore[arg-type]


TIMESTAMPS = st.builds(HybridTimestamp, st.integers(0, MILLISECONDS_MAX), st.integers(0, FULL))


@given(TIMESTAMPS, TIMESTAMPS)
def test_hybrid_timestamp_any_two_sort_alike_in_both_forms(a: HybridTimestamp, b: HybridTimestamp) -> None:
    assert (a < b) == (int(a) < int(b))
    assert (a == b) == (int(a) == int(b))


@given(TIMESTAMPS)
def test_hybrid_timestamp_any_value_survives_its_64_bit_form(timestamp: HybridTimestamp) -> None:
    assert HybridTimestamp.from_int(int(timestamp)) == timestamp
    assert 0 <= int(timestamp) <= TIMESTAMP_MAX
    assert type(HybridTimestamp.from_int(int(timestamp))) is HybridTimestamp
    assert pickle.loads(pickle.dumps(timestamp)) == timestamp


def test_hybrid_timestamp_layout_is_48_bits_of_milliseconds_then_16_of_counter() -> None:
    assert int(HybridTimestamp(1, 2)) == 65_538
    assert HybridTimestamp(7) == HybridTimestamp(7, 0)
    assert repr(HybridTimestamp(1, 2)) == "HybridTimestamp(milliseconds=1, counter=2)"


def test_hybrid_clock_shown_tells_its_state() -> None:
    text = "HybridClock(drift_max_ms=250, last=HybridTimestamp(milliseconds=7, counter=1))"
    assert repr(HybridClock(250, HybridTimestamp(7, 1))) == text


def test_e3_clock_that_ran_eight_hours_ahead_and_was_mended_is_usable_at_once_and_never_goes_back() -> None:
    clock = HybridClock(drift_max_ms=500)
    eight_hours = 8 * 3_600_000
    ahead = clock.tick(NOW + eight_hours)
    after = [clock.tick(NOW + step) for step in range(3)]
    assert [int(each) for each in after] == [int(ahead) + step for step in (1, 2, 3)]
    assert clock.merge(HybridTimestamp(NOW + 100, 0), NOW) > after[-1], "others are taken in as ever"
    assert clock.tick(NOW + eight_hours + 1) == HybridTimestamp(NOW + eight_hours + 1, 0)


def test_e8_drift_of_zero_refuses_what_is_ahead_and_recovers_with_the_first_look_at_the_time() -> None:
    """A virtual machine was stopped for a minute: it refuses its peers until its clock is right, and then none."""
    clock = HybridClock(drift_max_ms=0)
    clock.tick(NOW)
    with pytest.raises(ClockDriftError):
        clock.merge(HybridTimestamp(NOW + 60_000, 0), NOW)
    for step in range(100):
        assert clock.merge(HybridTimestamp(NOW + 60_000, step), NOW + 60_000).milliseconds == NOW + 60_000
