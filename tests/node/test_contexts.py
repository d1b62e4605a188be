"""Context scope at the node: handlers, opened contexts, tasks and threads, keys, tokens, `after=`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import causal
from causal import ClosedError, Dot, Message, Node, TokenError, UnknownDotError
from causal.errors import ClockDriftError, ConfigurationError
from causal.ordering.dot import NodeId
from causal.ordering.tokens import Token
from causal.testing import Cluster
from causal.wire.codec import decode_token, encode_token
from tests.node.support import AT_ONCE, Collector, Gate, lines, quick, until


def scoped(name: str, **settings: Any) -> Node:
    return quick(name, scope="context", **settings)


def held(node: Node) -> dict[str, str]:
    """Message → what it waits for."""
    return {each["id"]: each["waits_for"] for each in node.status()["held"]}


class Trio:
    """A gateway S1, a worker S2 and a receiver S3; the link from S1 to S3 is cut until `release`."""

    def __init__(self, handler: Callable[[Message], Awaitable[None]] | None = None, **settings: Any) -> None:
        self.s1, self.s2, self.s3 = scoped("S1", **settings), scoped("S2", **settings), scoped("S3")
        if handler is not None:
            self.s2.on(">", policy=AT_ONCE)(handler)
        self.received = Collector(self.s3)
        self.cluster = Cluster(self.s1, self.s2, self.s3)

    async def __aenter__(self) -> Trio:
        await self.cluster.__aenter__()
        self.cluster.cut("S1", "S3")
        return self

    async def __aexit__(self, *error: Any) -> None:
        self.cluster.heal("S1", "S3")
        await self.cluster.__aexit__(*error)
        if error[0] is None:
            self.cluster.check()

    async def holds(self, *pairs: tuple[Dot, Dot]) -> None:
        """Return once S3 holds exactly these, each for the other one."""
        expected = {str(later): str(earlier) for later, earlier in pairs}
        await until(lambda: held(self.s3) == expected, f"{expected}, not {held(self.s3)}")


# -- handlers and what they start -------------------------------------------------------------------------------------


async def test_handlers_of_unrelated_requests_do_not_order_each_other() -> None:
    sent: dict[str, Dot] = {}

    async def forward(message: Message) -> None:
        sent[message.body] = await trio.s2.send("S3", "forwarded", message.body)

    async with Trio(forward) as trio:
        async with causal.context():
            slow = await trio.s1.send("S3", "slow")
            await trio.s1.send("S2", "work", "after slow")
        async with causal.context():
            await trio.s1.send("S2", "work", "unrelated")
        await until(lambda: trio.received.bodies == ["unrelated"])
        await trio.holds((sent["after slow"], slow))


async def test_gather_inside_a_handler_keeps_the_context() -> None:
    sent: list[Dot] = []

    async def forward(message: Message) -> None:
        sent.extend(await asyncio.gather(*(trio.s2.send("S3", "forwarded", n) for n in range(3))))

    async with Trio(forward) as trio, causal.context():
        await trio.s1.send("S3", "slow")
        await trio.s1.send("S2", "work")
        await until(lambda: len(held(trio.s3)) == 3)
        assert set(held(trio.s3)) == set(map(str, sent))


async def test_tasks_and_threads_started_in_a_handler_keep_the_context_after_it_has_ended() -> None:
    ended, tasks, sent = asyncio.Event(), set[asyncio.Task[None]](), dict[str, Dot]()

    async def later() -> None:
        await ended.wait()
        sent["task"] = await trio.s2.send("S3", "by.task")

    def in_thread(loop: asyncio.AbstractEventLoop) -> Dot:
        return asyncio.run_coroutine_threadsafe(trio.s2.send("S3", "by.thread"), loop).result(5)

    async def work(message: Message) -> None:
        tasks.add(asyncio.create_task(later()))
        sent["thread"] = await asyncio.to_thread(in_thread, asyncio.get_running_loop())

    async with Trio(work) as trio:
        async with causal.context():
            slow = await trio.s1.send("S3", "slow")
            await trio.s1.send("S2", "work")
        await until(lambda: trio.s2.status()["counters"]["settled"] == 1)
        ended.set()
        await asyncio.gather(*tasks)
        assert set(sent) == {"task", "thread"}
        await until(lambda: len(held(trio.s3)) == 2)
        assert str(slow) in held(trio.s3).values()


async def test_retry_of_a_handler_goes_on_in_the_same_context() -> None:
    sent: list[Dot] = []

    async def twice(message: Message) -> None:
        sent.append(await trio.s2.send("S3", "attempt", message.attempt))
        if message.attempt == 1:
            raise RuntimeError("once more")

    async with Trio(twice) as trio:
        async with causal.context():
            await trio.s1.send("S3", "slow")
            await trio.s1.send("S2", "work")
        await until(lambda: len(held(trio.s3)) == 2)
    assert trio.received.bodies == [None, 1, 2]
    contexts = {event.context for event in lines(trio.cluster, "S2") if event.event in ("deliver", "send")}
    assert len(contexts) == 1


async def test_opened_context_in_a_handler_leaves_the_message_behind_and_returns_to_it() -> None:
    sent: dict[str, Dot] = {}

    async def work(message: Message) -> None:
        async with causal.context():
            sent["apart"] = await trio.s2.send("S3", "apart", "apart")
        sent["inside"] = await trio.s2.send("S3", "inside", "inside")

    async with Trio(work) as trio:
        async with causal.context():
            slow = await trio.s1.send("S3", "slow")
            await trio.s1.send("S2", "work")
        await until(lambda: trio.received.bodies == ["apart"])
        await trio.holds((sent["inside"], slow))


async def test_message_to_itself_waits_for_the_handler_that_sent_it_and_nobody_for_itself() -> None:
    node = scoped("S1")
    gate = Gate(node, "first")
    follow = Collector(node, "second")

    async def spread(message: Message) -> None:
        await node.send("S1", "second", "sent by a handler")

    node.on("spread")(spread)
    async with Cluster(node) as cluster:
        async with causal.context():
            await node.send("S1", "first", 1)
            await node.send("S1", "second", "after the first")
        await node.send("S1", "spread")
        await until(lambda: follow.bodies == ["sent by a handler"])
        gate.open.set()
        await cluster.settled()
        assert follow.bodies == ["sent by a handler", "after the first"]
        cluster.check()


# -- outside handlers -------------------------------------------------------------------------------------------------


async def test_task_outside_handlers_has_a_context_of_its_own() -> None:
    async with Trio() as trio:

        async def request(number: int) -> Dot:
            await trio.s1.send("S2", "to.nobody")
            return await trio.s1.send("S3", "request", number)

        first = await trio.s1.send("S3", "mine")
        by_others = [await asyncio.create_task(request(number)) for number in range(2)]
        second = await trio.s1.send("S3", "mine")
        stamps = {dot: stamp_after(trio.s1, dot, "S3") for dot in (first, *by_others, second)}
        assert stamps == {first: set(), by_others[0]: set(), by_others[1]: set(), second: {first.seq}}


def stamp_after(node: Node, dot: Dot, peer: str) -> set[int]:
    """The own messages after which a copy must be delivered."""
    core = node._running()
    seqs = core.engine.outbound[peer].outbox[dot.seq].stamp.after.get(core.me, frozenset())
    return {seqs} if isinstance(seqs, int) else set(seqs)


async def test_opened_context_is_shared_by_the_tasks_started_inside() -> None:
    async with Trio() as trio:

        async def request(number: int) -> Dot:
            return await trio.s1.send("S3", "request", number)

        async with causal.context():
            first = await asyncio.create_task(request(1))
            second = await asyncio.create_task(request(2))
        assert stamp_after(trio.s1, second, "S3") == {first.seq}


async def test_opened_context_that_is_entered_again_is_refused_and_the_first_goes_on() -> None:
    async with Trio() as trio:
        request = causal.context()
        async with request:
            first = await trio.s1.send("S3", "first")
            with pytest.raises(ClosedError, match=r"entered already: write causal.context\(\) in each"):
                await request.__aenter__()
            second = await trio.s1.send("S3", "second")
            assert stamp_after(trio.s1, second, "S3") == {first.seq}
        with pytest.raises(ClosedError, match="entered already"):
            await request.__aenter__()


async def test_context_in_process_scope_changes_nothing() -> None:
    s1, s2 = quick("S1"), quick("S2")
    received = Collector(s2)
    async with Cluster(s1, s2) as cluster:
        cluster.cut("S1", "S2")
        first = await s1.send("S2", "a", 1)
        async with causal.context():
            second = await s1.send("S2", "a", 2)
        assert stamp_after(s1, second, "S2") == {first.seq}
        cluster.heal("S1", "S2")
    assert received.bodies == [1, 2]


# -- keys -------------------------------------------------------------------------------------------------------------


async def test_messages_about_one_key_stay_ordered_across_requests_and_others_do_not_wait() -> None:
    sent: dict[str, Dot] = {}

    async def forward(message: Message) -> None:
        sent[message.body] = await trio.s2.send("S3", "profile", message.body, key=message.key)

    async with Trio(forward) as trio:
        update = await trio.s1.send("S3", "profile", "update", key="1")
        async with causal.context():
            await trio.s1.send("S2", "work", "delete", key="1")
        async with causal.context():
            await trio.s1.send("S2", "work", "other", key="2")
        await until(lambda: trio.received.bodies == ["other"])
        await trio.holds((sent["delete"], update))
    assert trio.received.bodies == ["other", "update", "delete"]


async def test_key_of_a_message_is_followed_by_what_its_handler_sends_without_it() -> None:
    sent: dict[str, Dot] = {}

    async def forward(message: Message) -> None:
        if message.body == "first":
            sent["slow"] = await trio.s2.send("S1", "nowhere")
        sent[message.body] = await trio.s2.send("S3", "s", message.body)

    async with Trio(forward) as trio:
        async with causal.context():
            slow = await trio.s1.send("S3", "slow")
            await trio.s1.send("S2", "work", "first", key="k")
        await until(lambda: "first" in sent)
        async with causal.context():
            await trio.s1.send("S2", "work", "second", key="k")
        await until(lambda: "second" in sent)
        await trio.holds((sent["first"], slow), (sent["second"], slow))


async def test_state_of_keys_is_gone_once_all_is_settled() -> None:
    s1, s2 = scoped("S1"), scoped("S2")
    Collector(s2)
    async with Cluster(s1, s2) as cluster:
        for number in range(300):
            await s1.send("S2", "profile", key=f"profile {number}")
        await cluster.settled()
        for node in (s1, s2):
            contexts = node._running().engine.contexts
            await until(lambda contexts=contexts: len(contexts) == 0)  # type: ignore[misc]
            assert node.status()["context"] == {}


# -- after ------------------------------------------------------------------------------------------------------------


async def test_send_after_messages_follows_them_across_requests() -> None:
    async with Trio() as trio:
        async with causal.context():
            slow = await trio.s1.send("S3", "slow")
        async with causal.context():
            later = await trio.s1.send("S3", "later", after=[slow])
            assert stamp_after(trio.s1, later, "S3") == {slow.seq}
    sends = {event.id: event.follows for event in lines(trio.cluster, "S1") if event.event == "send"}
    assert sends == {str(slow): (), str(later): (str(slow),)}


async def test_send_after_something_unknown_is_refused_and_nothing_is_sent() -> None:
    async with Cluster(scoped("S1")) as cluster:
        node = cluster.nodes["S1"]
        with pytest.raises(UnknownDotError, match="S9/5/1 was not sent, received or heard of here"):
            await node.send("S1", "s", after=[Dot("S9", 5, 1)])
        assert node.status()["counters"]["sent"] == 0


@pytest.mark.parametrize("scope", ["process", "context"])
@pytest.mark.parametrize(
    ("after", "fix"),
    [
        (None, "the NoneType None: leave it out to name none"),
        (3, r"the int 3: after=\[dot\]"),
        ("S9/5/1", r"the str 'S9/5/1': after=\[dot\]"),
        (Dot("S9", 5, 1), r"the Dot .*: after=\[dot\]"),
        (["S9/5/1"], r"the str 'S9/5/1': Dot.parse\(…\) reads one"),
        ([("S1", 5, 1)], r"the tuple .*: after=\[dot, …\]"),
        ([Dot("S1", 5, "x")], r"seq='x'\): a dot is a name and two whole numbers"),  # type: ignore[arg-type]
        ([Dot("S1", [], 1)], "two whole numbers"),  # type: ignore[arg-type]
    ],
)
async def test_send_after_what_is_no_dot_says_what_to_do_and_sends_nothing(scope: str, after: Any, fix: str) -> None:
    async with Cluster(quick("S1", scope=scope)) as cluster:
        node = cluster.nodes["S1"]
        with pytest.raises(TypeError, match=f"after= takes dots .*, not .*{fix}"):
            await node.send("S1", "s", after=after)
        assert node.status()["counters"]["sent"] == 0


async def test_send_that_waits_for_room_follows_what_it_was_sent_after_though_that_was_forgotten_meanwhile() -> None:
    async with Trio(outbox_messages=2) as trio:
        async with causal.context():
            slow = await trio.s1.send("S3", "slow", "slow")
            through = await trio.s1.send("S3", "slow", "through")
        async with causal.context():
            waiting = asyncio.create_task(trio.s1.send("S3", "late", "late", after=[through]))
            await until(lambda: trio.s1.status()["sends_waiting"] == 1)
        trio.cluster.heal("S1", "S3")
        late = await waiting
    assert trio.received.bodies == ["slow", "through", "late"]
    sends = {event.id: event.follows for event in lines(trio.cluster, "S1") if event.event == "send"}
    assert sends[str(late)] == (str(through),)
    assert slow.seq == 1


# -- tokens -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["process", "context"])
async def test_token_through_a_row_orders_what_the_library_cannot_see(scope: str) -> None:
    s1, s2, s3 = (quick(name, scope=scope) for name in ("S1", "S2", "S3"))
    received, row = Collector(s3), {}
    async with Cluster(s1, s2, s3) as cluster:
        cluster.cut("S1", "S3")
        async with causal.context():
            slow = await s1.send("S3", "slow", "slow")
            row["token"] = s1.token()
        async with causal.context():
            s2.observe(row["token"])
            later = await s2.send("S3", "later", "later")
        await until(lambda: held(s3) == {str(later): str(slow)})
        cluster.heal("S1", "S3")
        await cluster.settled()
        assert received.bodies == ["slow", "later"]
        assert cluster.check().proved
    sends = {event.id: event.follows for event in lines(cluster, "S2") if event.event == "send"}
    assert sends[str(later)] == (str(slow),)


async def test_token_is_of_the_context_in_which_it_is_made() -> None:
    async with Trio() as trio:
        async with causal.context():
            await trio.s1.send("S3", "slow")
            assert decode_token(trio.s1.token()).pending
        async with causal.context():
            assert decode_token(trio.s1.token()).pending == {}


async def test_token_of_the_module_is_that_of_the_node_whose_handler_runs() -> None:
    pending: dict[str, Any] = {}

    async def work(message: Message) -> None:
        pending["S2"] = decode_token(causal.token()).pending
        causal.observe(causal.token())

    async with Trio(work) as trio:
        async with causal.context():
            await trio.s1.send("S3", "slow")
            await trio.s1.send("S2", "work")
        await until(lambda: "S2" in pending)
        assert set(pending["S2"]) == {"S2", "S3"}
        with pytest.raises(ClosedError, match=r"several nodes run in this process \(S1, S2, S3\)"):
            causal.token()


async def test_token_of_the_module_outside_handlers_is_that_of_the_only_node() -> None:
    with pytest.raises(ClosedError, match="no node is running"):
        causal.observe(b"")
    async with Cluster(scoped("S1")):
        causal.observe(causal.token())
    with pytest.raises(ClosedError, match="no node is running"):
        causal.token()


async def test_broken_token_is_refused_and_nothing_is_merged() -> None:
    async with Cluster(scoped("S1")) as cluster:
        node = cluster.nodes["S1"]
        for data in (b"", b"\x11", b"nonsense", node.token() + b"\x00"):
            with pytest.raises(TokenError):
                node.observe(data)
        ahead = Token((time.time_ns() // 1_000_000 + 10_000) << 16, {"S2": {NodeId("S9", 1): 1}}, {})
        with pytest.raises(ClockDriftError):
            node.observe(encode_token(ahead))
        assert node.status()["context"] == {}


# -- several nodes, restarts, settings --------------------------------------------------------------------------------


async def test_strand_has_a_context_at_each_node_that_it_uses() -> None:
    async with Trio() as trio:
        trio.cluster.cut("S2", "S3")
        async with causal.context():
            one = await trio.s1.send("S3", "a")
            other = await trio.s2.send("S3", "a")
            assert stamp_after(trio.s1, await trio.s1.send("S3", "a"), "S3") == {one.seq}
            assert stamp_after(trio.s2, await trio.s2.send("S3", "a"), "S3") == {other.seq}
        trio.cluster.heal("S2", "S3")


async def test_restarted_node_begins_with_an_empty_context_in_the_same_task() -> None:
    s1, s2 = scoped("S1"), scoped("S2")
    Collector(s2)
    async with Cluster(s1, s2) as cluster:
        cluster.cut("S1", "S2")
        await s1.send("S2", "a")
        await cluster.restart("S1")
        dot = await s1.send("S2", "a")
        assert s1._running().engine.outbound["S2"].outbox[dot.seq].stamp.after == {}
        cluster.heal("S1", "S2")


def test_scope_that_is_none_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="scope='request' is not known; this version has 'process', 'context'"):
        Node("S1", scope="request")


async def test_clock_of_a_send_that_waited_for_room_counts_what_it_was_sent_after() -> None:
    s1, s2, s3 = quick("S1"), quick("S2", outbox_messages=1, concurrency=1), quick("S3")
    gate, received = Gate(s2), Collector(s3)
    async with Cluster(s1, s2, s3) as cluster:
        await s1.send("S2", "s", "first")
        await until(lambda: gate.entered == ["first"])
        waits = await s1.send("S2", "s", "second")  # it has come, and nobody has begun to handle it
        await until(lambda: s2.status()["counters"]["received"] == 2)
        cluster.cut("S2", "S3")
        await s2.send("S3", "s", "fills the outbox")
        sending = asyncio.create_task(s2.send("S3", "s", "late", after=[waits]))
        await until(lambda: s2.status()["sends_waiting"] == 1)
        cluster.heal("S2", "S3")
        await sending
        await until(lambda: len(received) == 2)
        clock = received.messages[1].clock
        assert clock is not None
        assert clock["S1"] == waits.seq
        gate.open.set()
