"""Parsing of frames, and the lists of numbers that they have outside of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from causal.errors import ProtocolError
from causal.ordering.dot import Dot, NodeId
from causal.wire.intern import ReadOrigins, WrittenOrigins, checked_count
from causal.wire.limits import NUMBER_END, PAIRS_MAX, PROCESS_END, SEQS_MAX

Parsed = TypeVar("Parsed", bound=Message)


def parse(kind: type[Parsed], data: bytes) -> Parsed:
    """One protobuf message. Raises `ProtocolError`."""
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise ProtocolError(f"not a frame of protocol version 1: {error}") from error


def checked_number(number: int, what: str, *, least: int = 1) -> int:
    """A number read from outside, from `least` and below 2^53. Raises `ProtocolError`."""
    if not least <= number < NUMBER_END:
        raise ProtocolError(f"{what} is {number}: it must be from {least} and below 2^53")
    return number


def checked_process(process: int) -> int:
    """The number of a process, below 2^63. Raises `ProtocolError`."""
    if process >= PROCESS_END:
        raise ProtocolError(f"a process is {process}: it must be below 2^63")
    return process


def read_seqs(seqs: Sequence[int], what: str, *, least: int = 1, most: int = NUMBER_END - 1) -> tuple[int, ...]:
    """A list of sequence numbers, each within the bounds, in any order. Raises `ProtocolError`."""
    if not seqs:
        return ()
    checked_count(seqs, SEQS_MAX, what)
    if not (min(seqs) >= least and max(seqs) <= most):
        raise ProtocolError(f"{what}: a number is not from {least} to {most}")
    return tuple(seqs)


def write_dots(dots: Sequence[Dot], origins: WrittenOrigins) -> list[int]:
    """`[origin index, seq, …]`; what the table lacks is defined in it."""
    flat: list[int] = []
    for dot in dots:
        flat += (origins[dot.origin], dot.seq)
    return flat


def read_dots(flat: Sequence[int], origins: ReadOrigins, what: str, *, most: int = PAIRS_MAX) -> tuple[Dot, ...]:
    """What `write_dots` wrote, so many dots at most. Raises `ProtocolError`."""
    return tuple(
        Dot(origin.name, origin.incarnation, checked_number(seq, what))
        for origin, seq in read_origin_pairs(flat, origins, what, most)
    )


def read_origin_pairs(
    flat: Sequence[int], origins: ReadOrigins, what: str, most: int = PAIRS_MAX
) -> list[tuple[NodeId, int]]:
    """`[origin index, number, …]`, the numbers unchecked. Raises `ProtocolError`."""
    checked_count(flat, 2 * most, what)
    try:
        each = iter(flat)
        return [(origins[index], number) for index, number in zip(each, each, strict=True)]
    except KeyError as error:
        raise ProtocolError(f"{what}: index {error} is not defined on this stream") from error
    except ValueError as error:
        raise ProtocolError(f"{what}: a list of pairs has an odd length") from error
