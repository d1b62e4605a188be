"""Messages and stable numbers as MessagePack rows, the hot path of the wire.

A row is `[seq, previous, timestamp, after, elsewhere, clock, subject, payload, horizon, closed]`; frames.proto,
section 5, says what is in it. Rows are read by a decoder that is made for their type: it checks types, ranges and
counts while it reads, before anything is allocated for them, at the price of an untyped decoder. (Untyped
decoding with the checks in Python was measured at 1.6 times the cost, and lets a frame of nested arrays
become 50 times its size in memory; writing takes a fifth of what `msgpack` takes for the same bytes.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, TypeVar

from msgspec import Meta
from msgspec.msgpack import Decoder, Encoder

from causal.errors import ProtocolError
from causal.ordering.dot import NodeId
from causal.ordering.frames import StableNumber
from causal.ordering.stamp import NO_DOTS, NO_PENDING, Copy, Dots, Pending, Seqs, Stamp, count_of, size_of
from causal.wire.intern import (
    ReadNames,
    ReadOrigins,
    WrittenNames,
    WrittenOrigins,
    checked_name,
    checked_subject,
)
from causal.wire.limits import (
    CLOCK_ENTRIES_MAX,
    COPY_FORMAT,
    DOTS_MAX,
    LAGGING_MAX,
    NUMBER_END,
    PAIRS_MAX,
)
from causal.wire.v1 import frames_pb2 as pb

Number = Annotated[int, Meta(ge=0, lt=NUMBER_END)]
Timestamp = Annotated[int, Meta(ge=0)]  # MessagePack has no integer past 2^64 - 1.
DotPairs = Annotated[list[Number], Meta(max_length=2 * DOTS_MAX)]
ClockPairs = Annotated[list[Number], Meta(max_length=2 * CLOCK_ENTRIES_MAX)]
LaggingPairs = Annotated[list[Number], Meta(max_length=2 * LAGGING_MAX)]
Elsewhere = Annotated[list[tuple[Number, DotPairs]], Meta(max_length=DOTS_MAX)]

Row = tuple[Number, Number, Timestamp, DotPairs, Elsewhere, ClockPairs | None, str, bytes, Timestamp, Elsewhere]
StableRow = tuple[Number, Number, LaggingPairs]
OriginRow = tuple[str, Number, Number]
SingleCopy = tuple[
    Annotated[list[OriginRow], Meta(max_length=DOTS_MAX + CLOCK_ENTRIES_MAX + 1)],
    Annotated[list[str], Meta(max_length=DOTS_MAX)],
    Row,
]

Key = TypeVar("Key")

# What reading rows raises inside: the typed decoder's refusals and bad UTF-8 (both ValueError), our own, and
# looking up what is not defined.
MALFORMED = (ValueError, LookupError)

_encoder = Encoder()
_stable_decoder = Decoder(Annotated[list[StableRow], Meta(max_length=PAIRS_MAX)])
_single_decoder = Decoder(SingleCopy)


def write_stable(reports: Sequence[StableNumber], origins: WrittenOrigins, destinations: WrittenNames) -> bytes:
    """Stable numbers as rows; what the tables lack is defined in them."""
    rows = []
    for report in reports:
        lagging: list[int] = []
        for name, seq in report.lagging.items():
            lagging += (destinations[name], seq)
        rows.append((origins[report.origin], report.upto, lagging))
    return _encoder.encode(rows)


def read_stable(data: bytes, origins: ReadOrigins, destinations: ReadNames) -> tuple[StableNumber, ...]:
    """The stable numbers of a frame. Raises `ProtocolError`."""
    try:
        return tuple(
            StableNumber(origin=origins[origin], upto=upto, lagging=read_pairs(lagging, destinations))
            for origin, upto, lagging in _stable_decoder.decode(data)
        )
    except MALFORMED as error:
        raise protocol_error("stable", error) from error


def encode_copy(origin: NodeId, copy: Copy) -> bytes:
    """One message by itself, with its origin and all that its stamp names inside: for stores and brokers."""
    origins, destinations = WrittenOrigins(origin), WrittenNames()
    seq, (previous, timestamp, after, elsewhere, clock, horizon, closed), subject, payload = copy
    row = (
        seq,
        previous,
        timestamp,
        dot_pairs(after, origins),
        elsewhere_rows(elsewhere, origins, destinations),
        None if clock is None else count_pairs(clock, origins),
        subject,
        payload,
        horizon,
        elsewhere_rows(closed, origins, destinations),
    )
    named = [(node.name, node.incarnation, pb.SCOPE_PROCESS) for node in origins]
    return bytes((COPY_FORMAT,)) + _encoder.encode((named, list(destinations), row))


def decode_copy(data: bytes) -> tuple[NodeId, Copy]:
    """What `encode_copy` wrote. Raises `ProtocolError` if it is of another format, or malformed."""
    if data[:1] != bytes((COPY_FORMAT,)):
        raise ProtocolError(f"a message of format {data[:1].hex() or 'none'}: only {COPY_FORMAT} is known")
    try:
        named, names, row = _single_decoder.decode(memoryview(data)[1:])
        origins, destinations = ReadOrigins(), ReadNames()
        for name, incarnation, scope in named:
            origins.add(name, incarnation, scope)
        for name in names:
            destinations[len(destinations)] = checked_name(name)
        if len(set(origins.values())) != len(named) or len(set(names)) != len(names):
            raise ProtocolError("a message names an origin or a destination twice")
        return origins[0], read_row(row, origins, destinations)
    except MALFORMED as error:
        raise protocol_error("message", error) from error


def read_pairs(flat: Sequence[int], table: Mapping[int, Key]) -> dict[Key, int]:
    """`[index, count, …]` as a mapping. Raises `KeyError` or `ValueError`: undefined, twice, odd, zero."""
    if len(flat) == 2 and flat[1]:  # the usual case: a chain's `after`, and the clock of a sender that only sends
        return {table[flat[0]]: flat[1]}
    if len(flat) % 2:
        raise ValueError("a list of pairs has an odd length")
    each = iter(flat)
    counts = {}
    for index in each:  # Half the time of a comprehension over zip: this runs twice for each message.
        counts[table[index]] = next(each)
    if 2 * len(counts) != len(flat):
        raise ValueError("an index comes twice in a list")
    if 0 in counts.values():
        raise ValueError("a count is 0")
    return counts


def dot_pairs(dots: Dots, origins: WrittenOrigins) -> list[int]:
    """`[2 · origin index (+ 1 if not chained), seq, …]`."""
    flat: list[int] = []
    for origin, seqs in dots.items():
        entry = 2 * origins[origin]
        if isinstance(seqs, int):
            flat += (entry, seqs)
        else:
            for seq in sorted(seqs):
                flat += (entry + 1, seq)
    return flat


def read_dots(flat: Sequence[int], origins: ReadOrigins) -> Dots:
    """What `_dots` wrote. Raises `KeyError` or `ValueError`: undefined, odd, zero, twice, or both chained and not."""
    if not flat:
        return NO_DOTS
    if len(flat) == 2 and flat[1]:  # the usual case
        entry, seq = flat
        return {origins[entry >> 1]: frozenset((seq,)) if entry & 1 else seq}
    if len(flat) % 2:
        raise ValueError("a list of dots has an odd length")
    dots: dict[NodeId, Seqs] = {}
    single: dict[NodeId, list[int]] = {}
    each = iter(flat)
    for entry in each:
        origin, seq = origins[entry >> 1], next(each)
        if not seq:
            raise ValueError("a dot has the number 0")
        if entry & 1:
            single.setdefault(origin, []).append(seq)
        elif origin in dots:
            raise ValueError("an index comes twice in a list")
        else:
            dots[origin] = seq
    for origin, seqs in single.items():
        if origin in dots:
            raise ValueError("the dots of an origin are both chained and not")
        dots[origin] = frozenset(seqs)
        if len(set(seqs)) != len(seqs):
            raise ValueError("a dot comes twice in a list")
    return dots


def count_pairs(counts: Mapping[NodeId, int], origins: WrittenOrigins) -> list[int]:
    """A clock as `[origin index, count, …]`."""
    pairs: list[int] = []
    for origin, count in counts.items():
        pairs += (origins[origin], count)
    return pairs


def elsewhere_rows(
    elsewhere: Pending, origins: WrittenOrigins, destinations: WrittenNames
) -> list[tuple[int, list[int]]]:
    """Dots by destination, as in `elsewhere` of a message."""
    return [(destinations[name], dot_pairs(dots, origins)) for name, dots in elsewhere.items() if dots]


def read_clock(pairs: Sequence[int], origins: ReadOrigins) -> dict[NodeId, int]:
    """A clock. Raises `KeyError` or `ValueError`."""
    clock = read_pairs(pairs, origins)
    if not origins.names_are_distinct and len({node.name for node in clock}) != len(clock):
        raise ValueError("a clock has two entries of a name")
    return clock


def read_row(row: Row, origins: ReadOrigins, destinations: ReadNames) -> Copy:
    """The message of a row by itself. Raises `KeyError` or `ValueError`."""
    seq, previous, timestamp, after, elsewhere, clock, subject, payload, horizon, closed = row
    if previous >= seq:
        raise ValueError(f"message {seq} says that {previous} went before it")
    stamp = Stamp(
        previous,
        timestamp,
        read_dots(after, origins),
        read_elsewhere(elsewhere, origins, destinations),
        None if clock is None else read_clock(clock, origins),
        horizon,
        read_elsewhere(closed, origins, destinations),
    )
    check_size(stamp)
    return Copy(seq, stamp, checked_subject(subject), payload)


def read_elsewhere(rows: Sequence[tuple[int, list[int]]], origins: ReadOrigins, destinations: ReadNames) -> Pending:
    """What `elsewhere_rows` wrote. Raises `KeyError` or `ValueError`."""
    if not rows:
        return NO_PENDING
    elsewhere = {destinations[destination]: read_dots(flat, origins) for destination, flat in rows}
    if len(elsewhere) != len(rows):
        raise ValueError("a destination comes twice in a stamp")
    if not all(elsewhere.values()):
        raise ValueError("a destination is named without dots")
    return elsewhere


def check_size(stamp: Stamp) -> None:
    """Raise `ValueError` for a stamp that lists more than `DOTS_MAX` dots."""
    if (dots := count_of(stamp.after) + size_of(stamp.elsewhere)) > DOTS_MAX or size_of(stamp.closed) > DOTS_MAX:
        raise ValueError(f"a stamp lists {dots} dots, more than {DOTS_MAX}")


def protocol_error(field: str, error: Exception) -> ProtocolError:
    if isinstance(error, KeyError):
        return ProtocolError(f"{field}: index {error} is not defined on this stream")
    return ProtocolError(f"{field}: {error}")
