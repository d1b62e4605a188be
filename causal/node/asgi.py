"""An ASGI middleware: each HTTP request is a causal context, and the token travels in a header.

    app = CausalMiddleware(app, node)

What a request's handler sends at `node` follows the token of the request's `causal-token` header (base64url without
padding), if it has one; the response has the token of all that was sent until its headers went out. So a client that
passes on the token of its last response, to whatever service, has its requests ordered, and nothing else is.

A token is trusted (see `Node.observe`): take the header off requests that come from strangers, at the edge.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from causal.errors import ClockDriftError, TokenError
from causal.node.node import Node
from causal.node.strands import context

HEADER = "causal-token"

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class CausalMiddleware:
    """Wraps an ASGI application; `node` must run while requests are served.

    A header that is no token, or one from a clock too far ahead, is answered with 400 (a WebSocket is closed before it
    is accepted): to go on without it would break the order in silence. Of several headers all are observed.
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
                await _refuse(scope, send, str(error))
                return

            async def send_with_token(event: Event) -> None:
                if event["type"] in ("http.response.start", "websocket.accept"):
                    headers = [*event.get("headers", ()), (HEADER.encode(), _to_text(self.node.token()))]
                    event = {**event, "headers": headers}
                await send(event)

            await self.app(scope, receive, send_with_token)


def _tokens(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[bytes]:
    return [_from_text(value) for name, value in headers if name.lower() == HEADER.encode()]


def _to_text(token: bytes) -> bytes:
    return base64.urlsafe_b64encode(token).rstrip(b"=")


def _from_text(text: bytes) -> bytes:
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise TokenError(f"the header {HEADER} is not base64url: {error}") from error


async def _refuse(scope: Scope, send: Send, reason: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": reason[:100]})
        return
    body = f"{HEADER}: {reason}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": body})
