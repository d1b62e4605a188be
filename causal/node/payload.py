"""Key, headers and body of a message as bytes: MessagePack, encoded once at the send."""

from __future__ import annotations

import datetime as dt
import re
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgpack

from causal.errors import BodyError, ProtocolError

KEY_BYTES_MAX = 256
HEADERS_BYTES_MAX = 16 * 1024
"""All headers of a message together, in bytes of MessagePack: they are for ids and tokens, not for data."""
ELEMENTS_MAX = 131_072
"""Values in a body (with its headers), those inside others and a map's keys counted. As objects they may take 70 times
their bytes: 4 MiB of empty maps are 289 MB."""
COUNTED_FROM = 8 * 1024
"""Bytes up to which nothing is counted: a body has no more elements than bytes."""
_DEPTH_MAX = 256
"""Nesting that MessagePack's C implementation packs safely."""


_PLAIN: bytes = msgpack.packb([None, {}])
"""How a payload begins that has neither key nor headers, as most do."""


class _Local(threading.local):
    """A packer for each thread: making one costs several times what it is used for."""

    def __init__(self) -> None:
        self.packer = msgpack.Packer(datetime=True)


_local = _Local()

_PLAIN_BYTES = len(_PLAIN)

_unpack = msgpack.unpackb
_new = tuple.__new__

_RUN = re.compile(
    rb"(?s:"
    rb"[\x00-\x80\x90\xa0\xc0\xc2\xc3\xe0-\xff]|[\xcc\xd0].|[\xcd\xd1].{2}|[\xca\xce\xd2].{4}|[\xcb\xcf\xd3].{8}|"
    rb"\xd4.{2}|\xd5.{3}|\xd6.{5}|\xd7.{9}|\xd8.{17}|"
    + b"|".join(rb"\x%02x.{%d}" % (0xA0 + size, size) for size in range(1, 32))
    + rb")*+"
)
"""Elements without others in them whose size their first byte tells: skipped in C, any number at a time."""

_LONG = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1)}
_LONG |= {0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}
"""First byte of bytes, extensions and text → (bytes of their length, bytes that it does not count)."""

_LARGE = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
"""First byte of a large list or map → (bytes of its count, elements for each)."""


class Payload(NamedTuple):
    """What the application put into a message."""

    key: str | None
    headers: dict[str, str]
    body: Any


def encode_payload(body: object, key: str | None, headers: Mapping[str, str] | None, body_max_bytes: int) -> bytes:
    """The bytes of a message's key, headers and body.

    Raises `BodyError` with the path of what MessagePack cannot say, or if something is too large.
    """
    start = _PLAIN if key is None and not headers else _pack_head(key, headers)
    packed = _pack(body, "body")
    if len(packed) > body_max_bytes:
        raise BodyError(
            "body",
            f"takes {len(packed)} bytes, more than body_max_bytes={body_max_bytes}: "
            "send a reference to it instead, or raise the limit at both ends",
        )
    payload = start + packed
    if len(payload) > COUNTED_FROM and has_too_many_elements(payload):
        raise BodyError("body", f"has more than {ELEMENTS_MAX} elements: pack them into bytes or several messages")
    return payload


def _pack_head(key: str | None, headers: Mapping[str, str] | None) -> bytes:
    _check_key(key)
    if headers is not None and not isinstance(headers, Mapping):
        raise BodyError("headers", f"is {type(headers).__name__}, not a mapping of str to str")
    pairs: dict[Any, Any] = dict(headers or {})
    if not _is_text(pairs):
        name = next(n for n, value in pairs.items() if not (isinstance(n, str) and isinstance(value, str)))
        raise BodyError(f"headers[{name!r}]", "is not text: headers map str to str")
    start = _PLAIN[:1] + _pack(key, "key") + _pack(pairs, "headers")  # a list of the two
    if len(start) > HEADERS_BYTES_MAX + KEY_BYTES_MAX:
        raise BodyError("headers", f"take {len(start)} bytes, more than {HEADERS_BYTES_MAX}")
    return start


def decode_payload(payload: bytes) -> Payload:
    """The inverse of `encode_payload`; tuples come back as lists, datetimes in UTC. Raises `ProtocolError`."""
    if len(payload) > COUNTED_FROM and has_too_many_elements(payload):
        raise ProtocolError(f"payload has more than {ELEMENTS_MAX} elements")
    try:
        if payload[:_PLAIN_BYTES] == _PLAIN:
            return _new(Payload, (None, {}, _unpack(payload[_PLAIN_BYTES:], timestamp=3, strict_map_key=False)))
        unpacker = msgpack.Unpacker(None, timestamp=3, strict_map_key=False, max_buffer_size=len(payload) or 1)
        unpacker.feed(payload)
        (key, headers), body = unpacker.unpack(), unpacker.unpack()
        rest = unpacker.tell() - len(payload)
    except Exception as error:  # msgpack raises many kinds for bytes that are not its own
        raise ProtocolError(f"payload is not MessagePack of key, headers and body ({error!r})") from error
    if rest or not (key is None or isinstance(key, str)) or not _is_text(headers):
        raise ProtocolError("payload is not MessagePack of key, headers and body")
    return Payload(key, headers, body)


def has_too_many_elements(data: bytes) -> bool:
    """Whether MessagePack data has more than `ELEMENTS_MAX` elements, told without making any of them.

    Each element but the first of a document is announced by the header of the list or map around it, so only
    headers need a look. Costs about what decoding does. Data that is no MessagePack is left to the decoder.
    """
    at, announced = 0, 0
    while True:
        run = _RUN.match(data, at)
        assert run is not None, "matches nothing at least"
        at = run.end()
        if at >= len(data):
            return False
        first = data[at]
        at += 1
        if first < 0x90:
            announced += 2 * (first & 0x0F)
        elif first < 0xA0:
            announced += first & 0x0F
        elif first in _LARGE:
            width, each = _LARGE[first]
            announced += each * int.from_bytes(data[at : at + width], "big")
            at += width
        elif first in _LONG:
            width, uncounted = _LONG[first]
            at += width + uncounted + int.from_bytes(data[at : at + width], "big")
        else:
            return False
        if announced > ELEMENTS_MAX:
            return True


def _is_text(headers: object) -> bool:
    return isinstance(headers, dict) and all(isinstance(n, str) and isinstance(v, str) for n, v in headers.items())


def _check_key(key: object) -> None:
    if key is None:
        return
    if not isinstance(key, str):
        raise BodyError("key", f"is {type(key).__name__}, not str")
    if len(key) > KEY_BYTES_MAX or len(key.encode(errors="replace")) > KEY_BYTES_MAX:
        raise BodyError("key", f"is longer than {KEY_BYTES_MAX} bytes")


def _pack(value: object, name: str) -> bytes:
    try:
        packed: bytes = _local.packer.pack(value)
        if isinstance(value, dict | list | tuple | dt.datetime | msgpack.Timestamp):
            # Some values can be packed and not unpacked (a tuple as a map's key): say so here, not at the peer.
            msgpack.unpackb(packed, timestamp=3, strict_map_key=False)
    except Exception as error:  # msgpack raises many kinds, and has one for each direction
        path, problem = _culprit(value, name, 0) or (name, f"cannot be said in MessagePack ({error})")
        raise BodyError(path, problem) from error
    return packed


def _culprit(value: object, path: str, depth: int) -> tuple[str, str] | None:
    """Where in a value the part is that MessagePack cannot say, and why. Only after a failure: it is slow."""
    if depth > _DEPTH_MAX:
        return f"{path[:80]}…", f"is nested more than {_DEPTH_MAX} deep"
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, tuple):
                return f"key {key!r} of {path}", "is a tuple: it would come back as a list, which cannot be a key"
            found = _culprit(key, f"key {key!r} of {path}", depth + 1)
            step = f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r}]"
            found = found or _culprit(item, path + step, depth + 1)
            if found:
                return found
        return None
    if isinstance(value, list | tuple):
        items = (_culprit(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value))
        return next(filter(None, items), None)
    return _scalar_problem(value, path)


def _scalar_problem(value: object, path: str) -> tuple[str, str] | None:
    if isinstance(value, dt.datetime) and value.tzinfo is None:
        return path, "is a naive datetime: give it a time zone, such as datetime.now(UTC)"
    if isinstance(value, dt.datetime | msgpack.Timestamp):
        try:
            value.to_datetime() if isinstance(value, msgpack.Timestamp) else value.astimezone(dt.UTC)
        except OverflowError:
            return path, "is a time beyond the years 1 to 9999 in UTC"
        return None
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**64 else (path, "is an integer beyond 64 bits: send it as str")
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return path, "is text with a lone surrogate, which has no UTF-8"
        return None
    if value is None or isinstance(value, float | bytes | bytearray | memoryview | msgpack.ExtType):
        return None
    return path, f"is {type(value).__name__}, which MessagePack cannot say: convert it, for instance to str"
