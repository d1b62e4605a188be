"""Runs handlers: as many at a time as there is room for, again after a pause when they raise."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import Context, copy_context
from types import CoroutineType, coroutine
from typing import Any, Protocol

from causal.errors import HandlerError, ProtocolError
from causal.node.handlers import Handlers, Subscription
from causal.node.message import Message
from causal.node.payload import decode_payload
from causal.node.strands import Handling, current_strand

log = logging.getLogger("causal")

_set_strand = current_strand.set

BURST = 256
"""Messages begun (or dead-lettered) before the event loop gets its turn: a few milliseconds."""

BURST_SECONDS = 0.005
"""The same in time: handlers that compute, or block, must not add up to a silence that peers take for a broken link."""

CANCEL_SECONDS = 5.0
"""After so long a handler that does not heed its cancellation is named in the log."""


class Effects(Protocol):
    """What the runner causes in its node, all of it synchronous."""

    def started(self, handling: Handling) -> None:
        """The handler is about to start, for the first time or again."""

    def finished(self, handling: Handling) -> None:
        """The handler has returned. What that brings about for others may wait for `flush`."""

    def dropped(self, handling: Handling, reason: str) -> None:
        """The message cannot be handled and goes to the dead letters; else as `finished`."""

    def left(self) -> None:
        """Some messages are not handled, or not again: nobody need wait for them."""

    def flush(self) -> None:
        """Nothing more is finished in this turn of the event loop: tell everybody what has been."""


class Step:
    """A handler that has to wait: where it stands, and for what."""

    __slots__ = ("context", "handler", "waits_for")

    def __init__(self, handler: Coroutine[Any, Any, object], context: Context, waits_for: object) -> None:
        self.handler = handler
        self.context = context
        self.waits_for = waits_for


@coroutine
def _rest_of(step: Step) -> Generator[Any, Any, object]:
    """Await the rest of a handler, each step of it in its context, in the task of whoever awaits this.

    What a task of its own would give the handler, without the task: its own context variables. As in a task, what
    it waits for is waited for by `asyncio.current_task()`.
    """
    waits_for, run, handler = step.waits_for, step.context.run, step.handler
    while True:
        try:
            argument = yield waits_for
        except BaseException as error:  # noqa: BLE001  # cancellation too belongs to the handler
            go_on: Callable[[Any], object] = handler.throw
            argument = error
        else:
            go_on = handler.send
        try:
            waits_for = run(go_on, argument)
        except StopIteration as stop:
            return stop.value


class HandlerRunner:
    """Starts handlers in the order in which the engine released them, up to `concurrency` at a time.

    Handlers run in worker tasks, made when they are needed. A worker takes one message after the other and begins
    its handler; if that has to wait, it calls the next worker, which goes on. So handlers that never wait cost no
    task and no turn of the event loop, and those that do never stop the others.

    A handler that raises, times out or is cancelled is retried after a pause, which takes no place among the
    running ones; what follows the message waits, nothing else does. One that is cancelled because the node
    closes leaves its message unsettled. All of it runs in tasks of the node, so that what fails here (a trace
    that cannot be written) ends the node and is not lost.
    """

    def __init__(
        self,
        handlers: Handlers,
        effects: Effects,
        concurrency: int,
        spawn: Callable[..., asyncio.Task[None]],
    ) -> None:
        self._handlers = handlers
        self._effects = effects
        self._concurrency = concurrency
        self._spawn = spawn
        self._base = copy_context()
        """What handlers find in their context: what was there when the node was entered."""
        self.ready: deque[Handling] = deque()
        """What may be handled now; `pump` sees to what was added."""
        self.entered: Handling | None = None
        """What is handled at this moment, up to where it has to wait."""
        self.running: dict[asyncio.Task[None], Handling] = {}
        """What each busy worker waits for."""
        self.retrying: dict[asyncio.Task[None], Handling] = {}
        """What waits to be run again, by the task that waits."""
        self.left: list[Handling] = []
        """What is not begun, or not run again, since it is not wanted any more."""
        self._wanted: Callable[[Handling], bool] | None = None
        """Which messages are handled; None: all."""
        self.closing = False
        """Nothing is begun any more, and a handler that is cancelled is not run again."""
        self._workers: set[asyncio.Task[None]] = set()
        self._idle: list[asyncio.Future[None]] = []
        """Wakes a worker that has nothing to do; the last one that went to rest first, it is warm."""
        self._coming = 0
        """Workers that will look for something ready by themselves: called, in a pause, or about to finish. One is
        enough, it calls the next before it enters a handler."""
        self._begun = 0
        """Messages begun in this burst, by all workers together."""
        self._breath: asyncio.Future[None] | None = None
        """Ends the pause between two bursts."""

    def pump(self) -> None:
        """See to it that what is ready is begun, as far as there is room."""
        if self._coming or self.closing or not self.ready:
            return
        if self._idle:
            self._coming += 1
            self._idle.pop().set_result(None)
        elif len(self._workers) < self._concurrency:
            self._coming += 1
            worker = self._spawn(self._work(), context=self._base.copy())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    def begin_only(self, wanted: Callable[[Handling], bool]) -> None:
        """From now on begin, or run again, only handlers of `wanted` messages. What runs goes on to its end."""
        self._wanted = wanted
        self.sort_out()

    def sort_out(self) -> None:
        """Put what is ready, or waits to be run again, and is not wanted any more, among what is `left`."""
        if self._wanted is None:
            return
        unwanted = [handling for handling in self.ready if not self._wanted(handling)]
        if unwanted:
            wanted = [handling for handling in self.ready if self._wanted(handling)]
            self.ready.clear()
            self.ready.extend(wanted)
        for task, handling in list(self.retrying.items()):
            if not self._wanted(handling):
                unwanted.append(self.retrying.pop(task))
                task.cancel()
        if unwanted:
            self.left += unwanted
            self._effects.left()

    @property
    def idle(self) -> bool:
        """Whether nothing runs, is ready, or waits to be run again."""
        return not (self.ready or self.entered or self.running or self.retrying)

    @property
    def begun(self) -> list[Handling]:
        """What runs."""
        return [*self.running.values(), *(() if self.entered is None else (self.entered,))]

    @property
    def unfinished(self) -> list[Handling]:
        """What runs, is ready, waits to be run again, or was `left`."""
        return [*self.begun, *self.ready, *self.retrying.values(), *self.left]

    def stop(self) -> None:
        """Cancel what runs and what would be retried; their messages stay unsettled."""
        self.closing = True
        for task in (*self._workers, *self.retrying):
            task.cancel()

    async def stopped(self) -> None:
        """Return once every handler has ended; one that holds on to its life is named in the log."""
        tasks = {*self._workers, *self.retrying}
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=CANCEL_SECONDS)
        if late:
            names = ", ".join(str(handling.arrival.dot) for handling in self.running.values())
            log.warning("handlers of %s go on although they were cancelled: waiting for them", names)
            await asyncio.wait(late)

    async def _work(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._coming -= 1
        while not self.closing:
            if not self.ready:
                rest = task.get_loop().create_future()
                self._idle.append(rest)
                await rest
                self._coming -= 1
            elif self._begun >= BURST:
                await self._pause()
            else:
                self._coming += 1
                waiting = self._begin_ready(task)
                self._coming -= 1
                if waiting is not None:
                    await self._see_through(task, *waiting)
                elif task.cancelling() and not self.closing:
                    await _withdraw_cancellation(task)

    def _begin_ready(self, task: asyncio.Task[None]) -> tuple[Handling, Subscription, Step] | None:
        """Begin what is ready, one after the other, until the burst is over or a handler has to wait: that one."""
        ready, effects = self.ready, self._effects
        until = time.monotonic() + BURST_SECONDS
        try:
            while ready and self._begun < BURST and not (self.closing or task.cancelling()):
                self._begun += 1
                handling = ready.popleft()
                subscription = self._prepare(handling)
                if subscription is None:
                    continue
                effects.started(handling)
                self.entered = handling
                handling.active = True
                error: BaseException | None = None
                try:
                    step = self._first_step(handling, subscription)
                    if step is not None:
                        self.running[task] = handling
                        return handling, subscription, step
                except (Exception, asyncio.CancelledError) as raised:  # noqa: BLE001  # its message is retried
                    error = raised
                finally:
                    self.entered = None
                handling.active = False
                handling.payload = None
                if error is None:
                    effects.finished(handling)
                elif not self.closing:
                    self._retry(handling, subscription, error)
                elif isinstance(error, asyncio.CancelledError):
                    raise error
                if time.monotonic() > until:
                    self._begun = BURST  # the burst is over
        finally:
            effects.flush()
        return None

    async def _pause(self) -> None:
        """A burst is over, a few milliseconds have passed: the event loop's other tasks come first."""
        if self._breath is None:
            loop = asyncio.get_running_loop()
            self._breath = loop.create_future()
            loop.call_soon(self._end_pause, self._breath)
        self._coming += 1
        await asyncio.shield(self._breath)
        self._coming -= 1

    def _end_pause(self, breath: asyncio.Future[None]) -> None:
        self._begun, self._breath = 0, None
        breath.set_result(None)

    def _prepare(self, handling: Handling) -> Subscription | None:
        """Who handles the message; None if nobody can, then it has gone to the dead letters."""
        copy = handling.arrival.copy
        subscription = self._handlers.find(copy.subject)
        if subscription is None:
            self._effects.dropped(handling, f"no handler for subject {copy.subject!r}")
            return None
        try:
            handling.payload = decode_payload(copy.payload)  # anew for each attempt: a handler may change its body
        except ProtocolError as error:
            self._effects.dropped(handling, str(error))
            return None
        handling.attempt += 1
        return subscription

    def _first_step(self, handling: Handling, subscription: Subscription) -> Step | None:
        """Enter the handler; None if it has returned, else where it stands. Raises what it raises."""
        assert handling.payload is not None
        key, headers, body = handling.payload
        message = Message(handling.arrival, key, headers, body, handling.held_for, handling.attempt)
        context = self._base.copy()
        context.run(_set_strand, handling)
        handler = subscription.handler(message)
        if type(handler) is not CoroutineType:
            handler = _awaiting(handler)
        try:
            return Step(handler, context, context.run(handler.send, None))
        except StopIteration as stop:
            _check_result(stop.value, subscription)
            return None

    async def _see_through(
        self, task: asyncio.Task[None], handling: Handling, subscription: Subscription, step: Step
    ) -> None:
        """Wait for a handler that has to wait; meanwhile another worker begins what is ready."""
        handling.since = time.monotonic()
        error: BaseException | None = None
        self.pump()
        try:
            _check_result(await _rest_of(step), subscription)
        except asyncio.CancelledError as cancelled:
            if self.closing:
                raise
            error = cancelled
        except Exception as raised:  # noqa: BLE001  # whatever a handler raises, its message is retried
            error = raised
        finally:
            handling.active = False
            handling.payload = None
            del self.running[task]
        if task.cancelling() and not self.closing:
            await _withdraw_cancellation(task)
        if error is None:
            self._coming += 1
            self._effects.finished(handling)
            self._effects.flush()
            self._coming -= 1
        elif not self.closing:
            self._retry(handling, subscription, error)

    def _retry(self, handling: Handling, subscription: Subscription, error: BaseException) -> None:
        policy = subscription.policy
        longest = min(policy.retry_max, policy.retry_first * 2 ** min(handling.attempt - 1, 32))
        pause = longest * random.uniform(0.5, 1.0)
        handling.error = repr(error)
        handling.retry_at = time.monotonic() + pause
        log.warning(
            "handler of %s (%s) failed at attempt %d, again in %.2f s",
            handling.arrival.dot, handling.arrival.copy.subject, handling.attempt, pause, exc_info=error,
        )  # fmt: skip
        self.retrying[self._spawn(self._again(handling, pause), context=self._base.copy())] = handling
        self.sort_out()

    async def _again(self, handling: Handling, pause: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            await asyncio.sleep(pause)
        finally:
            self.retrying.pop(task, None)
        handling.retry_at = None
        self.ready.append(handling)
        self.pump()


def _check_result(result: object, subscription: Subscription) -> None:
    if result is not None:
        raise HandlerError(
            f"handler for {subscription.pattern!r} returned {type(result).__name__}; it must return None"
        )


async def _awaiting(awaitable: Awaitable[object]) -> object:
    """What a decorated handler returned in place of a coroutine."""
    return await awaitable


async def _withdraw_cancellation(task: asyncio.Task[None]) -> None:
    """A handler has cancelled the task that it ran in: that was meant for the handler, not for the next one."""
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)  # where a cancellation that nobody has noticed yet comes out
    while task.cancelling():
        task.uncancel()
