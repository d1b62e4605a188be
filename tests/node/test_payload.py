"""Key, headers and body: what comes back, and what is refused with the place where it is."""

from __future__ import annotations

import contextlib
import datetime as dt
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causal import BodyError, ProtocolError
from causal.node.payload import HEADERS_BYTES_MAX, KEY_BYTES_MAX, decode_payload, encode_payload
from causal.testing.cluster import Cluster
from tests.node.support import Collector, quick

NOON = dt.datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=dt.timezone(dt.timedelta(hours=2)))


def encode(body: object, *, key: Any = None, headers: Any = None, most: int = 1024 * 1024) -> bytes:
    return encode_payload(body, key, headers, most)


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("body", "comes_back"),
    [
        (None, None),
        (True, True),
        (0.1, 0.1),
        (-(2**63), -(2**63)),
        (2**64 - 1, 2**64 - 1),
        ("Grüße 🚚", "Grüße 🚚"),
        (b"\x00\xff", b"\x00\xff"),
        ((1, (2, 3)), [1, [2, 3]]),
        ({"a": {"b": [{"c": 1}]}, 3: "x", b"k": 1, None: 0}, {"a": {"b": [{"c": 1}]}, 3: "x", b"k": 1, None: 0}),
        (NOON, NOON.astimezone(dt.UTC)),
        ({"at": [NOON]}, {"at": [NOON.astimezone(dt.UTC)]}),
        (dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.datetime(1, 1, 1, tzinfo=dt.UTC)),
        ([Colour.RED, Level.HIGH], ["red", 3]),
        (nested(200), nested(200)),
    ],
)  # fmt: skip
def test_body_comes_back_with_tuples_as_lists_and_datetimes_in_utc(body: object, comes_back: object) -> None:
    payload = decode_payload(encode(body, key="k", headers={"h": "v"}))
    assert (payload.key, payload.headers, payload.body) == ("k", {"h": "v"}, comes_back)
    assert type(payload.body) is type(comes_back)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"items": [0, 1, 2, {"price": Decimal(1)}]}, "body.items[3].price is Decimal, which MessagePack cannot say"),
        ({1, 2}, "body is set,"),
        ([dt.datetime(2026, 1, 1)], "body[0] is a naive datetime: give it a time zone"),  # noqa: DTZ001
        ({"n": 2**64}, "body.n is an integer beyond 64 bits"),
        (-(2**63) - 1, "body is an integer beyond 64 bits"),
        (["ok", "\ud800"], "body[1] is text with a lone surrogate"),
        ({"odd key": object()}, "body['odd key'] is object,"),
        ({Decimal(2): 1}, "key Decimal('2') of body is Decimal,"),
        ({"a": {(1, 2): 3}}, "key (1, 2) of body.a is a tuple: it would come back as a list"),
        (1j, "body is complex,"),
        (dt.date(2026, 1, 1), "body is date,"),
        ([dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-2)))], "body[0] is a time beyond"),
        (msgpack.Timestamp(2**40), "body is a time beyond the years 1 to 9999"),
        ({"at": msgpack.Timestamp(-(2**40))}, "body.at is a time beyond"),
        (nested(1100), "is nested more than 256 deep"),
        (nested(100_000), "is nested more than 256 deep"),
    ],
)
def test_body_that_cannot_be_said_is_refused_with_its_path(body: object, text: str) -> None:
    with pytest.raises(BodyError) as caught:
        encode(body)
    assert text in str(caught.value)
    assert str(caught.value).startswith(caught.value.path)
    assert len(str(caught.value)) < 200


def test_body_that_contains_itself_is_refused() -> None:
    body: list[object] = []
    body.append(body)
    with pytest.raises(BodyError, match="nested more than"):
        encode(body)


def test_d11_body_too_large_is_refused_with_its_size_and_the_limit() -> None:
    assert decode_payload(encode(b"x" * 100, most=102)).body == b"x" * 100
    with pytest.raises(BodyError, match=r"body takes 103 bytes, more than body_max_bytes=102"):
        encode(b"x" * 101, most=102)


def test_key_and_headers_have_limits_and_kinds() -> None:
    assert decode_payload(encode(None, key="é" * (KEY_BYTES_MAX // 2))).key == "é" * (KEY_BYTES_MAX // 2)
    for key in ("x" * (KEY_BYTES_MAX + 1), "é" * (KEY_BYTES_MAX // 2 + 1), 5, b"k", "\ud800"):
        with pytest.raises(BodyError, match=r"^key is "):
            encode(None, key=key)
    for headers in ({"h": 1}, {1: "v"}, {"h": None}):
        with pytest.raises(BodyError, match=r"headers\[.*is not text"):
            encode(None, headers=headers)
    with pytest.raises(BodyError, match="headers take"):
        encode(None, headers={"h": "v" * (HEADERS_BYTES_MAX + 300)})
    with pytest.raises(BodyError, match=r"headers\.h is text with a lone surrogate"):
        encode(None, headers={"h": "\ud800"})
    for unmapped in ("ab", [("h", "v")]):
        with pytest.raises(BodyError, match=r"headers is (str|list), not a mapping"):
            encode(None, headers=unmapped)


async def test_d11_refused_body_uses_no_seq_and_sends_nothing() -> None:
    s1 = quick("S1", body_max_bytes=10)
    got = Collector(s1)
    async with Cluster(s1) as cluster:
        for body in (b"x" * 11, {1}):
            with pytest.raises(BodyError):
                await s1.send("S1", "a", body)
        assert not cluster.trace.events
        assert (await s1.send("S1", "a", b"x")).seq == 1
        await cluster.settled()
    assert got.bodies == [b"x"]


bodies = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])) | st.binary()
    | st.datetimes(timezones=st.just(dt.UTC)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=15)
@given(bodies)
def test_body_of_any_shape_comes_back_equal(body: object) -> None:
    assert decode_payload(encode(body)).body == body


@given(st.binary(max_size=40))
def test_payload_of_any_bytes_is_read_or_refused_but_never_crashes(payload: bytes) -> None:
    with contextlib.suppress(ProtocolError):  # any other exception fails
        assert isinstance(decode_payload(payload).headers, dict)
