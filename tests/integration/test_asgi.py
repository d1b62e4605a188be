"""The causal token over real HTTP: two services behind a real server, and a client that passes the header on."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn

from causal import Message, Node
from causal.node.asgi import CausalMiddleware, Receive, Scope, Send
from causal.testing import Cluster
from tests.node.support import Collector, quick, until

pytestmark = pytest.mark.integration


def service(node: Node) -> CausalMiddleware:
    """For each request one message to S3, with the path as its body."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        dot = await node.send("S3", "request", scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": str(dot).encode()})

    return CausalMiddleware(app, node)


@asynccontextmanager
async def served(app: CausalMiddleware) -> AsyncIterator[int]:
    """A real server on a free port of the loopback; yields the port."""
    config = uvicorn.Config(app, port=0, log_level="warning", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await until(lambda: server.started or serving.done(), "the server")
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


async def get(port: int, path: str, token: str | None = None) -> tuple[int, str, str | None]:
    """Status, body and token of a response."""

    def ask() -> tuple[int, str, str | None]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path, headers={} if token is None else {"Causal-Token": token})
        response = connection.getresponse()
        body = response.read().decode()
        connection.close()
        return response.status, body, response.headers["causal-token"]

    return await asyncio.to_thread(ask)


async def test_client_that_passes_the_token_on_has_its_requests_ordered_and_others_do_not_wait() -> None:
    s1, s2, s3 = (quick(name, scope="context") for name in ("S1", "S2", "S3"))
    received = Collector(s3)
    async with Cluster(s1, s2, s3) as cluster, served(service(s1)) as first, served(service(s2)) as second:
        cluster.cut("S1", "S3")
        status, slow, token = await get(first, "/slow")
        assert (status, bool(token)) == (200, True)
        _, later, _ = await get(second, "/later", token)
        await get(second, "/stranger")
        await until(lambda: received.bodies == ["/stranger"])
        assert [(held["id"], held["waits_for"]) for held in s3.status()["held"]] == [(later, slow)]
        cluster.heal("S1", "S3")
        await cluster.settled()
        assert received.bodies == ["/stranger", "/slow", "/later"]
        assert cluster.check().proved


async def test_broken_token_is_answered_with_400_by_the_real_server() -> None:
    s1, s3 = quick("S1", scope="context"), quick("S3")
    handled: list[str] = []

    @s3.on(">")
    async def handle(message: Message) -> None:
        handled.append(json.dumps(message.body))

    async with Cluster(s1, s3) as cluster, served(service(s1)) as port:
        status, body, token = await get(port, "/", "no-token!")
        assert (status, token) == (400, None)
        assert body.startswith("causal-token: ")
        await cluster.settled()
        assert handled == []
