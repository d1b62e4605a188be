"""Runs handlers: as many at a time as there is room for, again after a pause when they raise."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Protocol

from causal.errors import HandlerError, ProtocolError
from causal.node.handlers import Handlers, Subscription
from causal.node.message import Message
from causal.node.payload import Payload, decode_payload
from causal.ordering.holdback import Arrival

log = logging.getLogger("causal")

BURST = 128
"""Messages begun (or dead-lettered) before the event loop gets its turn: a few milliseconds."""

CANCEL_SECONDS = 5.0
"""After so long a handler that does not heed its cancellation is named in the log."""


class Handling:
    """One message on its way through its handler, over all attempts."""

    __slots__ = ("active", "arrival", "attempt", "error", "held_for", "owner", "payload", "retry_at", "since")

    def __init__(self, owner: object, arrival: Arrival, held_for: float) -> None:
        self.owner = owner
        """The node whose handler this is: a handler may use other nodes in the same process."""
        self.arrival = arrival
        self.held_for = held_for
        self.payload: Payload | None = None
        self.attempt = 0
        self.active = False
        """Whether the handler is running at this moment."""
        self.error: str | None = None
        self.retry_at: float | None = None
        self.since = 0.0


current_handling: ContextVar[Handling | None] = ContextVar("causal_handling", default=None)
"""What the running handler handles; tasks that it starts inherit it."""


class Effects(Protocol):
    """What the runner causes in its node, all of it synchronous."""

    def started(self, handling: Handling) -> None:
        """The handler is about to start, for the first time or again."""

    def finished(self, handling: Handling) -> None:
        """The handler has returned."""

    def dropped(self, handling: Handling, reason: str) -> None:
        """The message cannot be handled and goes to the dead letters."""


class HandlerRunner:
    """Starts handlers in the order in which the engine released them, up to `concurrency` at a time.

    A handler that raises, times out or is cancelled is retried after a pause, which takes no place among the
    running ones; what follows the message waits, nothing else does. One that is cancelled because the node
    closes leaves its message unsettled. All of it runs in tasks of the node, so that what fails here (a trace
    that cannot be written) ends the node and is not lost.
    """

    def __init__(
        self,
        owner: object,
        handlers: Handlers,
        effects: Effects,
        concurrency: int,
        spawn: Callable[..., asyncio.Task[None]],
    ) -> None:
        self._owner = owner
        self._handlers = handlers
        self._effects = effects
        self._concurrency = concurrency
        self._spawn = spawn
        self._base = copy_context()
        """What handlers find in their context: what was there when the node was entered."""
        self.ready: deque[Handling] = deque()
        self.running: dict[asyncio.Task[None], Handling] = {}
        self.retrying: dict[asyncio.Task[None], Handling] = {}
        """What waits to be run again, by the task that waits."""
        self.closing = False
        """Nothing is begun any more, and a handler that is cancelled is not run again."""
        self._pumping = False
        self._resuming = False

    def add(self, arrival: Arrival, held_for: float) -> None:
        """A message may be handled now."""
        self.ready.append(Handling(self._owner, arrival, held_for))

    def pump(self) -> None:
        """Start what there is room for. What that releases is started by the same loop, not by recursion, and
        after `BURST` of them by a task of its own, so that the event loop is not blocked."""
        if self._pumping or self.closing:
            return
        self._pumping = True
        try:
            for _ in range(BURST):
                if not self._can_begin:
                    return
                self._begin(self.ready.popleft())
        finally:
            self._pumping = False
        if self._can_begin and not self._resuming:
            self._resuming = True
            self._spawn(self._resume(), context=self._base.copy())

    @property
    def _can_begin(self) -> bool:
        return bool(self.ready) and len(self.running) < self._concurrency

    async def _resume(self) -> None:
        self._resuming = False
        self.pump()

    @property
    def idle(self) -> bool:
        """Whether nothing runs, is ready, or waits to be run again."""
        return not (self.ready or self.running or self.retrying)

    @property
    def unfinished(self) -> list[Handling]:
        """What runs, is ready, or waits to be run again."""
        return [*self.running.values(), *self.ready, *self.retrying.values()]

    def stop(self) -> None:
        """Cancel what runs and what would be retried; their messages stay unsettled."""
        self.closing = True
        for task in (*self.running, *self.retrying):
            task.cancel()

    async def stopped(self) -> None:
        """Return once every handler has ended; one that holds on to its life is named in the log."""
        tasks = {*self.running, *self.retrying}
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=CANCEL_SECONDS)
        if late:
            names = ", ".join(str(handling.arrival.dot) for handling in self.running.values())
            log.warning("handlers of %s go on although they were cancelled: waiting for them", names)
            await asyncio.wait(late)

    def _begin(self, handling: Handling) -> None:
        subscription = self._handlers.find(handling.arrival.copy.subject)
        if subscription is None:
            self._effects.dropped(handling, f"no handler for subject {handling.arrival.copy.subject!r}")
            return
        if handling.payload is None:
            try:
                handling.payload = decode_payload(handling.arrival.copy.payload)
            except ProtocolError as error:
                self._effects.dropped(handling, str(error))
                return
        handling.attempt += 1
        handling.retry_at = None
        handling.since = time.monotonic()
        self._effects.started(handling)
        task = self._spawn(self._run(handling, subscription, handling.payload), context=self._base.copy())
        self.running[task] = handling
        task.add_done_callback(lambda task: self.running.pop(task, None))

    async def _run(self, handling: Handling, subscription: Subscription, payload: Payload) -> None:
        current_handling.set(handling)
        handling.active = True
        message = Message(handling.arrival, payload, handling.held_for, handling.attempt)
        error: BaseException | None = None
        try:
            result = await subscription.handler(message)
            if result is not None:
                raise HandlerError(
                    f"handler for {subscription.pattern!r} returned {type(result).__name__}; it must return None"
                )
        except (Exception, asyncio.CancelledError) as raised:  # noqa: BLE001  # whatever it is, the message is retried
            error = raised
        finally:
            handling.active = False
            task = asyncio.current_task()
            assert task is not None
            self.running.pop(task, None)
        if error is None:
            self._effects.finished(handling)
        elif not self.closing:
            self._retry(handling, subscription, error)
        self.pump()

    def _retry(self, handling: Handling, subscription: Subscription, error: BaseException) -> None:
        policy = subscription.policy
        longest = min(policy.retry_max, policy.retry_first * 2 ** min(handling.attempt - 1, 32))
        pause = longest * random.uniform(0.5, 1.0)
        handling.error = repr(error)
        handling.payload = None  # decoded anew: the handler may have changed what it was given
        handling.retry_at = time.monotonic() + pause
        log.warning(
            "handler of %s (%s) failed at attempt %d, again in %.2f s",
            handling.arrival.dot, handling.arrival.copy.subject, handling.attempt, pause, exc_info=error,
        )  # fmt: skip
        self.retrying[self._spawn(self._again(handling, pause), context=self._base.copy())] = handling

    async def _again(self, handling: Handling, pause: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            await asyncio.sleep(pause)
        finally:
            del self.retrying[task]
        self.ready.append(handling)
        self.pump()
