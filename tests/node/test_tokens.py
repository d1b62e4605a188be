"""Tokens at the node: how long they get, from which threads, and under which incarnation."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import causal
from causal import Message, Node, TokenError
from causal.errors import BackpressureError, ClosedError
from causal.node.threads import LoopThread
from causal.ordering.dot import NodeId
from causal.ordering.stamp import Dots
from causal.ordering.tokens import Token
from causal.ordering.verdict import VerdictKind
from causal.testing import Cluster
from causal.wire.codec import decode_token, encode_token
from tests.node.support import Collector, quick, until


def pending(node: Node, dot: Any, peer: str) -> set[tuple[NodeId, int]]:
    """What a copy in the outbox must come after."""
    after = node._running().engine.outbound[peer].outbox[dot.seq].stamp.after
    return {
        (origin, seq) for origin, seqs in after.items() for seq in ([seqs] if isinstance(seqs, int) else sorted(seqs))
    }


# -- length ------------------------------------------------------------------------------------------------------------


def far_away(prefix: str, count: int, *, closed: bool = False) -> bytes:
    """A token of messages between nodes that are not known here."""
    dots: Dots = {NodeId(f"{prefix}-of-many-services-{number:03}", 1): 1 for number in range(count)}
    now = (time.time_ns() // 1_000_000) << 16
    return encode_token(Token(now, {"S9": dots}, {}, 0, {"S9": dots} if closed else {}))


@pytest.mark.parametrize("max_bytes", [64, 1000, 3072, 16_384])
async def test_token_that_would_be_too_long_is_folded_until_it_fits(max_bytes: int) -> None:
    async with Cluster(quick("S1", scope="context")) as cluster:
        node = cluster.nodes["S1"]
        for prefix in ("one", "other"):
            node.observe(far_away(prefix, 300))
        data = node.token(max_bytes=max_bytes)
        token = decode_token(data)
        listed = len(token.pending.get("S9", {}))
        assert (max_bytes - 64) // 40 < listed < 600 or not listed
        assert len(data) <= max_bytes
        assert 0 < token.horizon <= token.timestamp
        assert len(decode_token(node.token()).pending["S9"]) > 300, "the context itself goes on as it was"
        async with causal.context():
            assert len(node.token(max_bytes=64)) <= 64


async def test_token_leaves_out_its_clock_where_only_that_is_too_long() -> None:
    async with Cluster(quick("S1")) as cluster:
        node = cluster.nodes["S1"]
        clock = {NodeId(f"service-{number:02}", 1): 1 for number in range(40)}
        node.observe(encode_token(Token((time.time_ns() // 1_000_000) << 16, {}, clock)))
        assert decode_token(node.token()).clock == clock
        assert decode_token(node.token(max_bytes=100)).clock is None


async def test_token_of_messages_to_peers_that_were_never_reached_is_not_cut() -> None:
    async with Cluster(quick("S1")) as cluster:
        node = cluster.nodes["S1"]
        node.observe(far_away("closed", 100, closed=True))
        with pytest.raises(BackpressureError, match=r"a token of 100 unsettled messages .* more than max_bytes=1000"):
            node.token(max_bytes=1000)
        assert len(decode_token(node.token()).pending["S9"]) == 100


@pytest.mark.parametrize(
    ("max_bytes", "error", "text"),
    [
        (63, ValueError, "max_bytes=63 must be from 64 to 16384"),
        (16_385, ValueError, "max_bytes=16385 must be from 64 to 16384"),
        ("4096", TypeError, "a whole number of bytes, not the str '4096'"),
        (True, TypeError, "not the bool True"),
    ],
)
async def test_length_that_no_token_can_have_is_refused(max_bytes: Any, error: type[Exception], text: str) -> None:
    async with Cluster(quick("S1")) as cluster:
        for token in (cluster.nodes["S1"].token, causal.token):
            with pytest.raises(error, match=text):
                token(max_bytes=max_bytes)


# -- threads -----------------------------------------------------------------------------------------------------------


async def test_handler_in_a_thread_makes_and_observes_tokens_of_its_message() -> None:
    s1, s2, s3 = (quick(name, scope="context", drain_timeout=0) for name in ("S1", "S2", "S3"))
    Collector(s3)
    threads: set[int] = set()
    made: dict[str, Token] = {}
    elsewhere = encode_token(Token((time.time_ns() // 1_000_000) << 16, {"S3": {NodeId("S9", 1): 7}}, {}))

    def compute(data: bytes) -> None:
        threads.add(threading.get_ident())
        made["handler"] = decode_token(causal.token())
        causal.observe(data)

    @s2.on("work")
    async def work(message: Message) -> None:
        await asyncio.to_thread(compute, elsewhere)
        made["dot"] = await s2.send("S3", "after")  # type: ignore[assignment]

    async with Cluster(s1, s2, s3) as cluster:
        for peer in ("S1", "S2"):
            cluster.cut(peer, "S3")
        async with causal.context():
            slow = await s1.send("S3", "slow")
            await s1.send("S2", "work")
        await until(lambda: "dot" in made)
        assert threads != {threading.get_ident()}
        assert made["handler"].pending["S3"] == {slow.origin: frozenset((slow.seq,))}
        assert pending(s2, made["dot"], "S3") == {(slow.origin, slow.seq), (NodeId("S9", 1), 7)}


async def test_thread_outside_handlers_has_a_context_that_goes_on_between_its_calls() -> None:
    async with Cluster(quick("S1", scope="context")) as cluster:
        node = cluster.nodes["S1"]

        def in_thread() -> Token:
            node.observe(far_away("some", 3))
            return decode_token(node.token())

        token = await asyncio.get_running_loop().run_in_executor(None, contextvars.Context().run, in_thread)
        assert len(token.pending["S9"]) == 3
        assert decode_token(node.token()).pending == {}, "of a context of its own"


async def test_tokens_made_in_many_threads_while_the_loop_sends_are_whole() -> None:
    s1, s2 = quick("S1"), quick("S2")
    Collector(s2)
    async with Cluster(s1, s2) as cluster:

        def many() -> None:
            for _ in range(50):
                s1.observe(s1.token())

        threads = [asyncio.create_task(asyncio.to_thread(many)) for _ in range(4)]
        while not all(thread.done() for thread in threads):
            await s1.send("S2", "s")
            await asyncio.sleep(0)
        await asyncio.gather(*threads)
        await cluster.settled()
        cluster.check()


async def test_what_fails_in_the_loop_is_raised_in_the_thread() -> None:
    async with Cluster(quick("S1")) as cluster:
        with pytest.raises(TokenError, match="not a token"):
            await asyncio.to_thread(cluster.nodes["S1"].observe, b"nonsense")


def started(end: Callable[[asyncio.AbstractEventLoop, LoopThread, list[BaseException]], None]) -> list[BaseException]:
    """What threads say whose loop ends as `end` lets it."""
    loop, errors = asyncio.new_event_loop(), list[BaseException]()

    async def here() -> LoopThread:
        return LoopThread()

    end(loop, loop.run_until_complete(here()), errors)
    return errors


def asking(there: LoopThread, errors: list[BaseException]) -> threading.Thread:
    def ask() -> None:
        try:
            there.call(lambda: None)
        except ClosedError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def test_thread_that_asks_a_loop_which_has_ended_is_told_so() -> None:
    def end(loop: asyncio.AbstractEventLoop, there: LoopThread, errors: list[BaseException]) -> None:
        loop.close()
        asking(there, errors).join(5)

    assert [str(error) for error in started(end)] == ["the event loop of the node has ended"]


def test_thread_whose_loop_ends_while_it_waits_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("causal.node.threads.LOOK_SECONDS", 0.01)

    def end(loop: asyncio.AbstractEventLoop, there: LoopThread, errors: list[BaseException]) -> None:
        thread = asking(there, errors)  # the loop does not run, so it waits
        while not loop._ready:  # type: ignore[attr-defined]  # until it has asked
            pass
        loop.close()
        thread.join(5)

    assert [str(error) for error in started(end)] == ["the event loop of the node has ended"]


# -- incarnations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["process", "context"])
async def test_token_from_before_a_node_took_a_later_incarnation_names_its_messages_as_they_are_now(scope: str) -> None:
    s1, s2 = quick("S1", scope=scope), quick("S2")
    received = Collector(s2)
    async with Cluster(s1, s2) as cluster:
        for link in (("S1", "S2"), ("S2", "S1")):
            cluster.cut(*link)
        core = s1._running()
        async with causal.context():
            first = await s1.send("S2", "s", "first")
            token = s1.token()
        core.overtake(s1.incarnation)
        assert first.incarnation < s1.incarnation
        async with causal.context():
            s1.observe(token)
            second = await s1.send("S2", "s", "second")
            assert pending(s1, second, "S2") == {(NodeId("S1", s1.incarnation), first.seq)}
        for link in (("S1", "S2"), ("S2", "S1")):
            cluster.heal(*link)
        await cluster.settled()
        cluster.check()
    assert [(message.body, message.verdict.kind) for message in received.messages] == [
        ("first", VerdictKind.ORDERED),
        ("second", VerdictKind.ORDERED),
    ]
