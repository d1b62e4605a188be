"""The encoding of every contender but the product: MessagePack, a list of `[number, body]`.

msgspec and not msgpack, although both write the same bytes: it packs twice as fast, so the comparison is the harder.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[tuple[int, bytes]]).decode


def pack(first: int, messages: int, body: bytes) -> bytes:
    """So many messages with one body, numbered from `first`."""
    return _encode([(number, body) for number in range(first, first + messages)])


def unpack(data: bytes, note: Callable[[int, bytes], None]) -> int:
    """Decode all and run `note` on each; how many there were."""
    rows = _decode(data)
    for number, body in rows:
        note(number, body)
    return len(rows)


def frames(first: int, messages: int, frame: int) -> list[tuple[int, int]]:
    """(number of its first message, messages) of each frame, the last one shorter."""
    end = first + messages
    return [(start, min(frame, end - start)) for start in range(first, end, frame)]
