"""Many interleavings of few messages: whatever races whatever, the order holds and everything gets through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from random import Random
from typing import Any

import pytest

from causal import Message
from causal.testing.cluster import Cluster
from tests.node.support import AT_ONCE, RawSender, quick, turns, until

NAMES = ("S1", "S2", "S3")


def seeds(core: int, total: int) -> list[Any]:
    """The first few in the core suite, the rest with the simulations."""
    return [*range(core), *(pytest.param(seed, marks=pytest.mark.simulation) for seed in range(core, total))]


def all_handled(handled: list[str]) -> bool:
    return len(handled) == 4


@pytest.mark.parametrize("first", ["the message", "its predecessor"])
async def test_a24_release_that_races_an_arrival_is_in_order_at_every_await(first: str) -> None:
    """P's message follows Q's. The second of the two arrives any number of turns of the loop after the first."""
    for gap in range(40):
        s1 = quick("S1")
        handled: list[str] = []

        @s1.on(">")
        async def handle(message: Message, handled: list[str] = handled, gap: int = gap) -> None:
            handled.append(f"{message.sender} begins")
            await turns(gap % 7)
            handled.append(f"{message.sender} ends")

        async with Cluster(s1) as cluster:
            follower, leader = RawSender(cluster, "P"), RawSender(cluster, "Q")
            await follower.greet("S1")
            await leader.greet("S1")
            say = [
                follower.say(follower.copy(1, after={leader.id: 1}), base=True),
                leader.say(leader.copy(1), base=True),
            ]
            if first == "its predecessor":
                say.reverse()
            await say[0]
            await turns(gap)
            await say[1]
            await until(partial(all_handled, handled))
        assert handled == ["Q begins", "Q ends", "P begins", "P ends"], f"gap of {gap}"


class Chatter:
    """Nodes that answer each other at random, a bounded number of times."""

    def __init__(self, seed: int, *others: str) -> None:
        self.random = Random(seed)
        self.nodes = [quick(name, concurrency=self.random.choice([1, 2, 64])) for name in NAMES]
        self.others = others
        self.left = 60
        self.handled: list[str] = []
        for node in self.nodes:
            for pattern, ordering in (("causal.*", "causal"), ("free.*", "none")):
                node.on(pattern, ordering=ordering, policy=AT_ONCE)(self.answering(node.name))

    def answering(self, name: str) -> Callable[[Message], Awaitable[None]]:
        async def handle(message: Message) -> None:
            await turns(self.random.randrange(8))
            if self.random.random() < 0.1:
                raise RuntimeError("now and then")
            for _ in range(self.random.randrange(3)):
                await self.send(name)
                await turns(self.random.randrange(4))
            self.handled.append(f"{message.id} at {name}")

        return handle

    async def send(self, name: str) -> None:
        node = next(node for node in self.nodes if node.name == name)
        if self.left > 0 and node.is_running:
            self.left -= 1
            to = self.random.sample(NAMES, self.random.choice([1, 1, 2, 3]))
            await node.send(to, self.random.choice(["causal.a", "causal.b", "causal.c", *self.others]))


@pytest.mark.parametrize("seed", seeds(5, 60))
async def test_a24_random_interleaving_with_cuts_and_duplicates_keeps_order_and_loses_nothing(
    seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")
    chatter = Chatter(seed, "free.a", "nobody")
    random = Random(-seed - 1)
    async with Cluster(*chatter.nodes, seed=seed) as cluster:
        for source in NAMES:
            for target in NAMES:
                if source != target:
                    cluster.delay(source, target, random.choice([0, 0, 0.001, 0.003]), jitter=0.001)
                    cluster.duplicate(source, target, random.choice([0, 0.3]))
        while chatter.left > 0:
            await chatter.send(random.choice(NAMES))
            await turns(random.randrange(6))
            if random.random() < 0.1:
                with cluster.cut(*random.sample(NAMES, 2)):
                    await turns(random.randrange(30))
        await cluster.settled()
        report = cluster.check(declared=True)
        assert (report.doubled_count, report.unsettled_count, report.excused_count) == (0, 0, 0)
        assert report.messages == 60
        await until(lambda: not any(n.status()["context"] for n in chatter.nodes), "every context to be empty")


@pytest.mark.parametrize("seed", seeds(4, 60))
async def test_random_interleaving_with_restarts_heals_and_only_names_what_is_lost(
    seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")
    chatter = Chatter(1000 + seed, "nobody")
    random = Random(seed)
    async with Cluster(*chatter.nodes, seed=seed) as cluster:
        while chatter.left > 0:
            await chatter.send(random.choice(NAMES))
            await turns(random.randrange(6))
            if random.random() < 0.1:
                await cluster.restart(random.choice(NAMES))
        await cluster.restart(random.choice(NAMES))  # once in any case, in the middle of what is going on
        await cluster.settled()
        report = cluster.check(declared=True)
        assert report.doubled_count == 0
        assert report.incarnations > 3
        # Whoever was not restarted since can still talk to everybody.
        for node in chatter.nodes:
            await node.settled(await node.send(NAMES, "causal.end"), timeout=5)
