"""The ASGI middleware, as a server calls it: what it observes, refuses and adds."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest

from causal import ClosedError, Node
from causal.node.asgi import (
    HEADER_CHARS_MAX,
    TOKEN_BYTES_MAX,
    App,
    CausalMiddleware,
    Event,
    Receive,
    Scope,
    Send,
)
from causal.ordering.dot import NodeId
from causal.ordering.stamp import Dots
from causal.ordering.tokens import Token
from causal.testing import Cluster
from causal.wire.codec import decode_token, encode_token
from tests.node.support import Collector, quick


async def call(app: App, *headers: tuple[bytes, bytes], kind: str = "http") -> list[Event]:
    """One request; what the application said."""
    said: list[Event] = []

    async def receive() -> Event:
        return {"type": f"{kind}.request"}

    async def send(event: Event) -> None:
        said.append(event)

    await app({"type": kind, "headers": list(headers)}, receive, send)
    return said


def sending(node: Any) -> App:
    """An application that sends one message for each request."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await node.send("S2", "request")
        start = "websocket.accept" if scope["type"] == "websocket" else "http.response.start"
        await send({"type": start, "headers": [(b"x", b"y")]} if scope["type"] == "http" else {"type": start})
        await send({"type": "http.response.body"})

    return app


def token_in(said: list[Event]) -> Token:
    (value,) = [value for name, value in said[0]["headers"] if name == b"causal-token"]
    return decode_token(base64.urlsafe_b64decode(value + b"=" * (-len(value) % 4)))


async def test_request_without_a_token_is_a_context_of_its_own_and_gets_one_back() -> None:
    s1, s2 = quick("S1", scope="context"), quick("S2", scope="context")
    Collector(s2)
    async with Cluster(s1, s2) as cluster:
        cluster.cut("S1", "S2")
        app = CausalMiddleware(sending(s1), s1)
        tokens = [token_in(await call(app)) for _ in range(2)]
        assert [token.pending for token in tokens] == [
            {"S2": {NodeId("S1", s1.incarnation): frozenset((seq,))}} for seq in (1, 2)
        ]
        cluster.heal("S1", "S2")


async def test_tokens_of_a_request_are_all_observed() -> None:
    s1, s2 = quick("S1", scope="context"), quick("S2", scope="context")
    Collector(s2)
    async with Cluster(s1, s2) as cluster:
        cluster.cut("S1", "S2")
        app = CausalMiddleware(sending(s1), s1)
        headers = []
        for _ in range(2):
            said = await call(app)
            assert (b"x", b"y") in said[0]["headers"]
            headers += [(b"Causal-Token", value) for name, value in said[0]["headers"] if name == b"causal-token"]
        await call(app, *headers)
        stamp = s1._running().engine.outbound["S2"].outbox[3].stamp
        assert stamp.after == {NodeId("S1", s1.incarnation): frozenset((1, 2))}
        cluster.heal("S1", "S2")


async def test_websocket_gets_the_token_as_it_is_accepted() -> None:
    s1, s2 = quick("S1", scope="context"), quick("S2")
    Collector(s2)
    async with Cluster(s1, s2):
        said = await call(CausalMiddleware(sending(s1), s1), kind="websocket")
        assert token_in(said).timestamp


def ahead() -> bytes:
    token = Token((time.time_ns() // 1_000_000 + 60_000) << 16, {}, {})
    return base64.urlsafe_b64encode(encode_token(token))


@pytest.mark.parametrize(
    "value", [b"", b"%%%", b"AAAA", "ü".encode(), None], ids=["empty", "text", "other", "ü", "ahead"]
)
async def test_header_that_is_no_token_is_a_bad_request_and_nothing_is_done(value: bytes | None) -> None:
    value = ahead() if value is None else value
    s1, s2 = quick("S1", scope="context"), quick("S2")
    async with Cluster(s1, s2):
        app = CausalMiddleware(sending(s1), s1)
        start, body = await call(app, (b"causal-token", value))
        assert (start["status"], body["body"][:14]) == (400, b"causal-token: ")
        (closed,) = await call(app, (b"causal-token", value), kind="websocket")
        assert (closed["type"], closed["code"]) == ("websocket.close", 1008)
        assert s1.status()["counters"]["sent"] == 0


def observe_many(node: Node, *, closed: bool) -> None:
    """What the node sends next follows some hundred messages of others, to whom it may not be known."""
    dots: Dots = {NodeId(f"one-of-many-services-{number:03}", 1): 1 for number in range(300)}
    now = (time.time_ns() // 1_000_000) << 16
    node.observe(encode_token(Token(now, {"S9": dots}, {}, 0, {"S9": dots} if closed else {})))


async def test_token_that_no_header_has_room_for_is_folded() -> None:
    s1, s2 = quick("S1"), quick("S2")
    Collector(s2)
    async with Cluster(s1, s2):
        observe_many(s1, closed=False)
        assert len(s1.token()) > TOKEN_BYTES_MAX
        said = await call(CausalMiddleware(sending(s1), s1))
        assert [event["type"] for event in said] == ["http.response.start", "http.response.body"]
        (value,) = [value for name, value in said[0]["headers"] if name == b"causal-token"]
        assert 2000 < len(value) <= HEADER_CHARS_MAX
        token = token_in(said)
        assert 50 < sum(map(len, token.pending.values())) < 300
        assert token.horizon


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_response_whose_token_cannot_be_short_enough_is_refused_and_the_rest_of_it_swallowed(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    s1, s2 = quick("S1"), quick("S2")
    Collector(s2)
    async with Cluster(s1, s2):
        observe_many(s1, closed=True)
        said = await call(CausalMiddleware(sending(s1), s1), kind=kind)
        if kind == "http":
            start, body = said
            assert (start["type"], start["status"]) == ("http.response.start", 503)
            assert b"301 unsettled messages to peers that have not been reached yet" in body["body"]
            assert f"max_bytes={TOKEN_BYTES_MAX}".encode() in body["body"]
        else:
            (closed,) = said
            assert (closed["type"], closed["code"]) == ("websocket.close", 1013)
        assert s1.status()["counters"]["sent"] == 1
    assert "S1: a response is refused" in caplog.text


async def test_what_is_no_request_goes_through_untouched() -> None:
    node, seen = quick("S1"), []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["type"], send.__name__))

    await call(CausalMiddleware(app, node), kind="lifespan")
    assert seen == [("lifespan", "send")]


async def test_request_while_the_node_does_not_run_fails() -> None:
    node = quick("S1")
    with pytest.raises(ClosedError):
        await call(CausalMiddleware(sending(node), node))
