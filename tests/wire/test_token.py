"""Tokens as bytes: what is written is read, and nothing else is."""

from __future__ import annotations

import msgpack
import pytest

from causal.errors import TokenError
from causal.ordering.dot import NodeId
from causal.ordering.tokens import Token
from causal.wire.codec import decode_token, encode_token
from causal.wire.limits import TOKEN_BYTES_MAX, TOKEN_BYTES_MIN

S1, S2 = NodeId("S1", 1_700_000_000_000), NodeId("S2", 7)
TOKEN = Token(
    timestamp=1_700_000_000_000 << 16 | 3,
    pending={"S3": {S1: 5, S2: frozenset((1, 4))}, "S4": {S2: frozenset((9,))}},
    clock={S1: 5, S2: 9},
    horizon=77,
    closed={"S3": {S2: frozenset((4,))}},
)


@pytest.mark.parametrize("token", [TOKEN, TOKEN._replace(clock=None), Token(0, {}, {})])
def test_token_comes_back_as_it_was(token: Token) -> None:
    assert decode_token(encode_token(token)) == token


def test_token_of_the_golden_form_is_read() -> None:
    written = b"\x11" + msgpack.packb([[["S1", 7, 0]], ["S3"], [65536, [[0, [0, 5]]], [0, 6], 0, []]])
    assert decode_token(written) == Token(65536, {"S3": {NodeId("S1", 7): 5}}, {NodeId("S1", 7): 6})
    assert encode_token(decode_token(written)) == written


def test_usual_token_is_small_and_an_empty_one_takes_half_of_the_least() -> None:
    assert len(encode_token(TOKEN)) < 100
    largest = (1 << 64) - 1
    assert len(encode_token(Token(largest, {}, None, largest))) <= TOKEN_BYTES_MIN // 2


DATA = encode_token(TOKEN)
PAIRS = [[["S1", 7, 0]], ["S3"], [1, [], None, 0, []]]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01" + DATA[1:],
        DATA[:-1],
        DATA + b"\x00",
        DATA + b"\x00" * TOKEN_BYTES_MAX,
        "text",
        None,
        b"\x11" + msgpack.packb([*PAIRS[:2], [-1, [], None, 0, []]]),
        b"\x11" + msgpack.packb([*PAIRS[:2], [1, [[1, [0, 5]]], None, 0, []]]),
        b"\x11" + msgpack.packb([*PAIRS[:2], [1, [[0, [2, 5]]], None, 0, []]]),
        b"\x11" + msgpack.packb([*PAIRS[:2], [1, [[0, [0, 0]]], None, 0, []]]),
        b"\x11" + msgpack.packb([*PAIRS[:2], [1, [[0, [0, 5, 1, 6]]], None, 0, []]]),
        b"\x11" + msgpack.packb([[["S/1", 7, 0]], ["S3"], PAIRS[2]]),
        b"\x11" + msgpack.packb([[["S1", 7, 9]], ["S3"], PAIRS[2]]),
        b"\x11" + msgpack.packb([PAIRS[0], ["S\n3"], PAIRS[2]]),
        b"\x11" + msgpack.packb([[["S1", 7, 0], ["S1", 8, 0]], [], [1, [], [0, 1, 1, 1], 0, []]]),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(TokenError):
        decode_token(data)


@pytest.mark.parametrize("length", range(len(DATA)))
def test_token_cut_anywhere_is_refused(length: int) -> None:
    with pytest.raises(TokenError):
        decode_token(DATA[:length])
