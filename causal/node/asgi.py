"""An ASGI middleware: each HTTP request is a causal context, and the token travels in a header.

    app = CausalMiddleware(app, node)

What a request's handler sends at `node` follows the token of the request's `causal-token` header (base64url without
padding), if it has one; the response has the token of all that was sent until its headers went out. So a client that
passes on the token of its last response, to whatever service, has its requests ordered, and nothing else is.

The header takes at most 4,096 characters, whatever is unsettled: half of what usual servers and proxies allow for one
(8 KiB), a quarter of what they allow for all. A longer token is folded (`Node.token`, `max_bytes`), and where even that
is too long the response is a 503: one without the token would break the order in silence.

A token is trusted (see `Node.observe`): take the header off requests that come from strangers, at the edge.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from causal.errors import BackpressureError, ClockDriftError, TokenError
from causal.node.node import Node
from causal.node.strands import context

log = logging.getLogger("causal")

HEADER = "causal-token"

HEADER_CHARS_MAX = 4096
"""Characters of the header's value, at most."""

TOKEN_BYTES_MAX = HEADER_CHARS_MAX // 4 * 3
"""What that leaves for a token, before base64."""

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class CausalMiddleware:
    """Wraps an ASGI application; `node` must run while requests are served.

    A header that is no token, or one from a clock too far ahead, is answered with 400 (a WebSocket is closed before it
    is accepted): to go on without it would break the order in silence. Of several headers all are observed. A response
    whose token cannot be made short enough becomes a 503 (close code 1013), though the application has done its part:
    that many messages are on their way to peers which have not been reached yet.
    """

    def __init__(self, app: App, node: Node) -> None:
        self.app = app
        self.node = node

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        async with context():
            try:
                for token in _tokens(scope["headers"]):
                    self.node.observe(token)
            except (TokenError, ClockDriftError) as error:
                await _refuse(scope, send, 400, 1008, str(error))
                return
            response = _Response(scope, send, self.node)
            await self.app(scope, receive, response.send)


class _Response:
    """What an application says to a request, with the token among its headers; without one, a refusal in its place."""

    def __init__(self, scope: Scope, send: Send, node: Node) -> None:
        self._scope = scope
        self._send = send
        self._node = node
        self._refused = False

    async def send(self, event: Event) -> None:
        if self._refused:
            return  # the answer has been given
        if event["type"] in ("http.response.start", "websocket.accept"):
            try:
                token = self._node.token(max_bytes=TOKEN_BYTES_MAX)
            except BackpressureError as error:
                self._refused = True
                log.error("%s: a response is refused: %s", self._node.name, error)
                await _refuse(self._scope, self._send, 503, 1013, str(error))
                return
            event = {**event, "headers": [*event.get("headers", ()), (HEADER.encode(), _to_text(token))]}
        await self._send(event)


def _tokens(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[bytes]:
    return [_from_text(value) for name, value in headers if name.lower() == HEADER.encode()]


def _to_text(token: bytes) -> bytes:
    return base64.urlsafe_b64encode(token).rstrip(b"=")


def _from_text(text: bytes) -> bytes:
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise TokenError(f"the header {HEADER} is not base64url: {error}") from error


async def _refuse(scope: Scope, send: Send, status: int, close_code: int, reason: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": close_code, "reason": reason[:100]})
        return
    body = f"{HEADER}: {reason}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
