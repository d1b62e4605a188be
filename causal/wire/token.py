"""Tokens as bytes. frames.proto, section 7, says what they mean."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta
from msgspec.msgpack import Decoder, Encoder

from causal.errors import ProtocolError, TokenError
from causal.ordering.tokens import Token
from causal.wire.intern import ReadNames, ReadOrigins, WrittenNames, WrittenOrigins, checked_name
from causal.wire.limits import TOKEN_BYTES_MAX, TOKEN_FORMAT
from causal.wire.rows import (
    ClockPairs,
    Elsewhere,
    OriginRow,
    Timestamp,
    count_pairs,
    elsewhere_rows,
    read_clock,
    read_elsewhere,
)

_Read = tuple[
    Annotated[list[OriginRow], Meta(max_length=TOKEN_BYTES_MAX)],
    Annotated[list[str], Meta(max_length=TOKEN_BYTES_MAX)],
    tuple[Timestamp, Elsewhere, ClockPairs | None, Timestamp, Elsewhere],
]
_encoder = Encoder()
_decoder = Decoder(_Read)


def encode_token(token: Token) -> bytes:
    """A token as bytes, with the origins and destinations that it names inside. `decode_token` reads no more than
    `TOKEN_BYTES_MAX` of them."""
    origins, destinations = WrittenOrigins(), WrittenNames()
    row = (
        token.timestamp,
        elsewhere_rows(token.pending, origins, destinations),
        None if token.clock is None else count_pairs(token.clock, origins),
        token.horizon,
        elsewhere_rows(token.closed, origins, destinations),
    )
    named = [(node.name, node.incarnation, 0) for node in origins]
    return bytes((TOKEN_FORMAT,)) + _encoder.encode((named, list(destinations), row))


def decode_token(data: bytes) -> Token:
    """What `encode_token` wrote. Raises `TokenError` for anything else."""
    if not isinstance(data, bytes):
        raise TokenError(f"a token is bytes, not {type(data).__name__}")
    if data[:1] != bytes((TOKEN_FORMAT,)) or len(data) > TOKEN_BYTES_MAX:
        raise TokenError(f"not a token of this version: {len(data)} bytes that begin with {data[:1]!r}")
    try:
        named, names, (timestamp, pending, clock_pairs, horizon, closed) = _decoder.decode(memoryview(data)[1:])
        origins, destinations = ReadOrigins(), ReadNames()
        for name, incarnation, scope in named:
            origins.add(name, incarnation, scope)
        for name in names:
            destinations[len(destinations)] = checked_name(name)
        return Token(
            timestamp,
            read_elsewhere(pending, origins, destinations),
            None if clock_pairs is None else read_clock(clock_pairs, origins),
            horizon,
            read_elsewhere(closed, origins, destinations),
        )
    except (ValueError, LookupError, ProtocolError) as error:
        raise TokenError(f"not a token: {error!r}") from error
