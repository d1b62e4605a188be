"""The messages of a frame as columns of MessagePack, the hot path of the wire.

`[clocks, seqs, previous, base, clock, subjects, payloads, ticks, after, elsewhere, horizons, closed]`; frames.proto,
section 5, says what is in them. What the messages of a frame have in common is said once, so a run of messages that
only follow each other costs a few bytes each. Nothing is said by reference to another frame.

Columns are read by a decoder that is made for their types: it checks types, ranges and counts while it reads, before
anything is allocated for them, at the price of an untyped decoder. (Measured, ns a message of 256 bytes: a row for
each message 440, columns 110; untyped rows with the checks in Python 1.6 times the rows. Writing takes a fifth of
what `msgpack` takes for the same bytes.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Annotated, Any, TypeVar

from msgspec import Meta, Struct
from msgspec.msgpack import Decoder, Encoder

from causal.ordering.counts import SharedClock
from causal.ordering.dot import NodeId
from causal.ordering.stamp import NO_DOTS, NO_PENDING, Clock, Copy, Dots, Pending, Stamp
from causal.wire.intern import (
    ReadNames,
    ReadOrigins,
    ReadSubjects,
    WrittenNames,
    WrittenOrigins,
    WrittenSubjects,
    checked_subject,
)
from causal.wire.limits import DOTS_MAX, FRAME_DOTS_MAX, ROWS_MAX, TIMESTAMP_END
from causal.wire.rows import (
    MALFORMED,
    ClockPairs,
    DotPairs,
    Elsewhere,
    Number,
    Timestamp,
    check_size,
    count_pairs,
    dot_pairs,
    elsewhere_rows,
    protocol_error,
    read_clock,
    read_dots,
    read_elsewhere,
)

T = TypeVar("T")

_LENGTH = Meta(max_length=ROWS_MAX)


class Columns(Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """What a frame's messages have. Of the last five any number may be left out at the end, as if empty."""

    clocks: Annotated[list[ClockPairs], _LENGTH]
    seqs: Annotated[list[Number], _LENGTH]
    previous: Annotated[list[Number], _LENGTH]
    base: Timestamp
    clock: Annotated[list[Number | ClockPairs | None], _LENGTH]
    subjects: Annotated[list[Number | str], _LENGTH]
    payloads: Annotated[list[bytes], _LENGTH]
    ticks: Annotated[list[Timestamp], _LENGTH] = []
    after: Annotated[list[DotPairs | None], _LENGTH] = []
    elsewhere: Annotated[list[Elsewhere], _LENGTH] = []
    horizons: Annotated[list[Timestamp], _LENGTH] = []
    closed: Annotated[list[Elsewhere], _LENGTH] = []


_encoder = Encoder()
_decoder = Decoder(Columns)
_new = tuple.__new__


def write_copies(
    copies: Sequence[Copy], origins: WrittenOrigins, destinations: WrittenNames, subjects: WrittenSubjects
) -> bytes:
    """The columns of a frame's messages; what the tables lack is defined in them. O(values written).

    `copies` is not empty.
    """
    seqs, stamps, names, payloads = zip(*copies, strict=True)
    previous, timestamps, afters, elsewheres, clocks, horizons, closed = zip(*stamps, strict=True)
    base = min(timestamps)
    writer = origins.writer
    after = [
        None if went_before and len(dots) == 1 and dots.get(writer) == went_before else dot_pairs(dots, origins)
        for dots, went_before in zip(afters, previous, strict=True)
    ]
    elsewhere = [elsewhere_rows(each, origins, destinations) for each in elsewheres] if any(elsewheres) else ()
    common, counted = _write_clocks(clocks, origins)
    subject = names[0]
    same = names.count(subject) == len(names)
    columns = [
        common,
        seqs,
        previous[:1] if previous[1:] == seqs[:-1] else previous,
        base,
        counted,
        (subjects[subject],) if same else [subjects[name] for name in names],
        payloads,
        [timestamp - base for timestamp in timestamps] if max(timestamps) > base else (),
        after if any(each is not None for each in after) else (),
        elsewhere,
        horizons if any(horizons) else (),
        [elsewhere_rows(each, origins, destinations) for each in closed] if any(closed) else (),
    ]
    while not columns[-1]:  # stops at the payloads at the latest
        columns.pop()
    return _encoder.encode(columns)


def _write_clocks(
    clocks: Sequence[Clock | None], origins: WrittenOrigins
) -> tuple[list[list[int]], list[int | list[int] | None]]:
    """What the clocks have in common, and the column; one entry stands for all if they are the same."""
    common: list[list[int]] = []
    written: list[int | list[int] | None] = []
    others: Clock | None = None
    for clock in clocks:
        if type(clock) is SharedClock:
            if clock.others is not others:
                others = clock.others
                common.append(count_pairs(others, origins))
            written.append(len(common) - 1)
        else:
            written.append(None if clock is None else count_pairs(clock, origins))
    shared = len(common) == 1 and written.count(0) == len(written)
    return common, written[:1] if shared or not any(clock is not None for clock in clocks) else written


def read_copies(data: bytes, origins: ReadOrigins, destinations: ReadNames, subjects: ReadSubjects) -> tuple[Copy, ...]:
    """The messages of a frame. Raises `ProtocolError`. O(bytes)."""
    try:
        may_list_too_many = len(data) > 2 * DOTS_MAX  # a dot takes two bytes at least
        return _read(_decoder.decode(data), origins, destinations, subjects, count_dots=may_list_too_many)
    except MALFORMED as error:
        raise protocol_error("copies", error) from error


def _read(
    columns: Columns, origins: ReadOrigins, destinations: ReadNames, subjects: ReadSubjects, *, count_dots: bool
) -> tuple[Copy, ...]:
    seqs, previous, base, count = columns.seqs, columns.previous, columns.base, len(columns.seqs)
    if columns.after or columns.elsewhere or columns.closed:
        _check_dots(columns)
    clocks, sender = _read_common(columns.clocks, origins), origins[0]
    if len(previous) == 1:
        previous = previous + seqs[:-1]
    if base + max(columns.ticks, default=0) >= TIMESTAMP_END:
        raise ValueError("a timestamp is at or past 2^64")
    names = [checked_subject(name) if isinstance(name, str) else subjects[name] for name in columns.subjects]
    copies = []
    for seq, before, tick, follows, spread, counted, subject, payload, horizon, unfolded in zip(
        seqs,
        previous,
        _filled(columns.ticks, count, 0),
        _filled(columns.after, count, None),
        _filled(columns.elsewhere, count, ()),
        _one_or_all(columns.clock, count),
        _one_or_all(names, count),
        columns.payloads,
        _filled(columns.horizons, count, 0),
        _filled(columns.closed, count, ()),
        strict=True,
    ):
        if before >= seq:
            raise ValueError(f"message {seq} says that {before} went before it")
        if follows is not None:
            dots: Dots = read_dots(follows, origins) if follows else NO_DOTS
        elif before:
            dots = {sender: before}
        else:
            raise ValueError(f"message {seq} is the first of a chain and says that it follows one")
        if isinstance(counted, int):
            said: Clock | None = SharedClock(clocks[counted], sender, seq)
        else:
            said = None if counted is None else read_clock(counted, origins)
        others: Pending = read_elsewhere(spread, origins, destinations) if spread else NO_PENDING
        unclosed: Pending = read_elsewhere(unfolded, origins, destinations) if unfolded else NO_PENDING
        # As `Stamp(…)` and `Copy(…)`, in half the time: their own __new__ are Python functions.
        stamp = _new(Stamp, (before, base + tick, dots, others, said, horizon, unclosed))
        if count_dots and (others or unclosed):
            check_size(stamp)
        copies.append(_new(Copy, (seq, stamp, subject, payload)))
    return tuple(copies)


def _check_dots(columns: Columns) -> None:
    """Raise `ValueError` for a frame that lists more than `FRAME_DOTS_MAX` dots, before any of them is made."""
    numbers = sum([len(each) for each in columns.after if each is not None])
    for column in (columns.elsewhere, columns.closed):
        numbers += sum([len(flat) for rows in column for _, flat in rows])
    if (dots := numbers // 2) > FRAME_DOTS_MAX:
        raise ValueError(f"a frame lists {dots} dots, more than {FRAME_DOTS_MAX}")


def _filled(column: list[T], count: int, usual: Any) -> Iterable[Any]:
    """A column, or the usual value for each message if it is left out."""
    return column or repeat(usual, count)


def _one_or_all(column: list[T], count: int) -> Iterable[T]:
    """A column, or its one value for each message."""
    return repeat(column[0], count) if len(column) == 1 else column


def _read_common(rows: Sequence[list[int]], origins: ReadOrigins) -> list[dict[NodeId, int]]:
    """What the clocks of a frame have in common. Raises `KeyError` or `ValueError`."""
    clocks = [read_clock(pairs, origins) for pairs in rows]
    if any(node.name == origins[0].name for clock in clocks for node in clock):
        raise ValueError("a clock has two entries of a name")
    return clocks
