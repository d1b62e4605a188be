"""`Node`: a service's member of the causal order."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextvars import Context
from types import TracebackType
from typing import Any, Self, TypeVar

from causal.errors import ClosedError, ConfigurationError
from causal.node import incarnations
from causal.node.arguments import check_bytes, check_incarnation, check_timeout, several
from causal.node.config import NodeConfig, config_of, from_environment
from causal.node.core import Core, now_ms
from causal.node.draining import drain, say_goodbye
from causal.node.handlers import Handler, Handlers, Policy
from causal.node.inbound import InboundStreams, failing
from causal.node.letters import DeadLetters
from causal.node.outbound import OutboundStreams
from causal.node.payload import encode_payload
from causal.node.signals import set_by_signals
from causal.node.status import snapshot
from causal.node.strands import running
from causal.observe.trace import FileTrace, Trace
from causal.ordering.dot import Dot, NodeId
from causal.ordering.names import validate_pattern, validate_subject
from causal.transport.base import Connection, Listener, Transport
from causal.wire.limits import TOKEN_BYTES_MAX

log = logging.getLogger("causal")

H = TypeVar("H", bound=Handler)


class Node:
    """One running member, `name`, that sends to `peers` and takes what others send to it.

    Guarantee: for messages m1 and m2 with m1 → m2 (Lamport's happened-before) that are both addressed to this
    node and whose subjects are causal, the handler of m2 starts only after that of m1 has returned. Messages not
    so related never wait for each other (but see `dependencies_max`). With the memory store, what is unsettled is
    lost if the process dies.
    Use: register handlers with `on`, then `async with node:`. All of it belongs to one event loop. Settings are those
    of `NodeConfig`; each is checked here. Raises `ConfigurationError`, `InvalidNameError`.
    """

    def __init__(
        self,
        name: str,
        *,
        listen: str | None = None,
        peers: Mapping[str, str] | None = None,
        store: str = "memory:",
        trace: str | os.PathLike[str] | None = None,
        scope: str = "process",
        insecure: bool = False,
        **limits: float,
    ) -> None:
        self.config = config_of(
            limits, name=name, listen=listen, peers=peers, store=store, trace=trace, scope=scope, insecure=insecure
        )
        self.dead_letters = DeadLetters(self.config.dead_letters_max, self.config.dead_letters_bytes)
        """The last messages that no handler could take; `total` counts all."""
        self._handlers = Handlers()
        self._transport: Transport | None = None
        self._trace: Trace | None = None
        self._core: Core | None = None
        self._closed = False
        self._failed = False
        self._crashed = False
        self._stop = asyncio.Event()

    @classmethod
    def from_env(cls, **settings: Any) -> Self:
        """A node from `CAUSAL_NAME`, `CAUSAL_LISTEN`, `CAUSAL_PEERS="S1=host:port,…"`, `CAUSAL_STORE`,
        `CAUSAL_TRACE` and any other setting's upper-case name; `settings` given here win.

        Raises `ConfigurationError` for a missing name, an unknown variable, or a value of a wrong form.
        """
        merged = {**from_environment(), **settings}
        if "name" not in merged:
            raise ConfigurationError("CAUSAL_NAME is not set: it says what this node is called")
        return cls(**merged)

    # -- before the start --------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The configured name."""
        return self.config.name

    def on(self, pattern: str, *, ordering: str = "causal", policy: Policy | None = None) -> Callable[[H], H]:
        """Register the decorated async function for subjects of a pattern: `*` is one token, `>` the rest.

        The most specific pattern takes a message: from the left, a literal before `*` before `>`. Returning
        settles the message; raising runs it again after a pause (`policy`), and what follows it waits.
        `ordering="none"`: messages of these subjects neither wait nor are waited for.

        Raises `HandlerError` for a pattern that is taken or a function that is not async, `SubjectError`,
        `ConfigurationError`.
        """
        validate_pattern(pattern)  # here, since `@node.on` without a pattern never gets any further

        def register(handler: H) -> H:
            self._handlers.add(pattern, handler, ordering, policy)
            return handler

        return register

    def join(self, transport: Transport, config: NodeConfig, trace: Trace) -> None:
        """Take another network than gRPC before the node is entered, or entered again after a `crash`: for
        `causal.testing.Cluster`."""
        if self._crashed:
            self._forget_run()
        if self._core is not None or self._closed:
            raise ClosedError(f"{self.name} has been entered already")
        self._transport, self.config, self._trace = transport, config, trace

    def _forget_run(self) -> None:
        self._core = None
        self._closed = self._failed = self._crashed = False
        self._stop.clear()
        self.dead_letters.forget()

    async def __aenter__(self) -> Self:
        """Listen, and begin to dial every peer; none need be up. Raises `ConfigurationError`, `ClosedError`."""
        if self._core is not None or self._closed:
            raise ClosedError(f"{self.name} has been entered already; make a new Node for a new run")
        self._handlers.closed = True
        self._background: list[asyncio.Task[None]] = []
        self._tasks = asyncio.TaskGroup()
        await self._tasks.__aenter__()
        try:
            await self._start()
        except BaseException:
            await self._release()
            raise
        return self

    async def _start(self) -> None:
        if self._transport is None:
            from causal.transport.grpc import GrpcTransport  # loaded only where it is used

            self._transport = GrpcTransport()
        if self._trace is None and self.config.trace is not None:
            self._trace = FileTrace(self.config.trace)
        me = NodeId(self.name, incarnations.new_incarnation(self.name))
        handlers, process = self._handlers, incarnations.new_process()
        self._core = core = Core(me, self.config, handlers, self.dead_letters, self._trace, self._spawn, process)
        self._inbound = InboundStreams(core)
        core.restarted, core.broken_off = self._inbound.break_all, self._break_off
        self._listener: Listener | None = None
        if self.config.listen is not None:
            self._listener = await self._transport.listen(self.config.listen, self._accept)
        self._outbound = {
            peer: OutboundStreams(core, self._transport, peer, address) for peer, address in self.config.peers.items()
        }
        running[core] = None
        for streams in self._outbound.values():
            self._background.append(self._spawn(streams.run()))
        self._background.append(self._spawn(self._tick(core)))

    def _spawn(self, coroutine: Coroutine[Any, Any, None], context: Context | None = None) -> asyncio.Task[None]:
        """A task of this node. One that fails ends the node: the body of `async with` is cancelled."""
        task = self._tasks.create_task(coroutine, context=context)
        task.add_done_callback(self._note_end)
        return task

    def _note_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._failed = True
            if self._core is not None:
                self._core.runner.closing = True  # the handlers are being cancelled: none is to be run again

    def _break_off(self, gone: NodeId) -> None:
        self._inbound.break_off(gone)
        if gone.name in self._outbound:
            self._outbound[gone.name].break_off()

    async def _accept(self, connection: Connection) -> None:
        """Serve a stream in a task of the transport. What fails there ends the node, like a task of its own."""
        try:
            await self._inbound.accept(connection)
        except Exception as error:  # it is raised again, where somebody sees it
            if self._closed or self._failed:
                log.error("%s: a stream failed while the node closes", self.name, exc_info=error)
            else:
                self._spawn(failing(error))

    async def _tick(self, core: Core) -> None:
        while True:
            await asyncio.sleep(core.config.heartbeat_interval)
            core.apply(core.engine.tick(now_ms()))

    # -- while it runs -----------------------------------------------------------------------------------------

    async def send(
        self,
        to: str | Iterable[str],
        subject: str,
        body: object = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        after: Iterable[Dot] = (),
    ) -> Dot:
        """Send one message to one node or several, and return its dot once it is stamped and queued.

        It follows everything this process has sent or begun to handle; in context scope only what its handler,
        opened context (`causal.context`) or task has, and what this node has sent or begun to handle with its `key`.
        In either scope it follows the messages `after` which it is sent, and all that they follow: such as this node
        has sent, received or heard of. It waits only for room, never for a peer: at most `timeout` seconds outside
        handlers, and never inside one.
        Nothing is sent if it raises: `UnknownDestinationError`, `UnknownDotError`, `SubjectError`, `BodyError`,
        `BackpressureError`, `ClosedError`, `TypeError`.
        """
        core = self._running()
        names = (to,) if isinstance(to, str) else several(to)
        if timeout is not None:
            check_timeout(timeout)
        validate_subject(subject)
        payload = encode_payload(body, key, headers, self.config.body_max_bytes)
        follows = core.follows(key, after)
        dot = core.send_nowait(names, subject, payload, follows)
        return await core.send_when_room(names, subject, payload, timeout, follows) if dot is None else dot

    def token(self, *, max_bytes: int = TOKEN_BYTES_MAX) -> bytes:
        """What a message sent here and now would follow, for a row of a database or a header: `observe` it at any node.

        Some 50 bytes, at most `max_bytes` (64 to 16,384): it lists what is not known to be settled. Of more than
        fits the oldest are folded, as in stamps beyond `dependencies_max`: order stays exact, and what follows the
        token may wait for messages that it does not follow, and has no vector clock. Any thread may ask.

        Raises `BackpressureError` if even so it is too long: messages to peers that this node (or whoever sent them)
        has not reached yet cannot be folded. `TypeError` and `ValueError` for another `max_bytes`.
        """
        check_bytes(max_bytes)
        return self._running().token(max_bytes)

    def observe(self, token: bytes) -> None:
        """What is sent from here from now on (in process scope: by this process) follows what the token was made of.

        Raises `TokenError`, or `ClockDriftError` if its clock is more than `drift_max_ms` ahead: nothing was merged
        then. It is trusted: one that names what nobody ever sent holds up whatever follows it. Any thread may call
        this: it waits for the event loop, which must not wait for that thread (but by `await`, as `asyncio.to_thread`).
        In context scope a thread shares the context of the handler or opened context in which it was started.
        """
        self._running().observe(token)

    async def settled(self, *dots: Dot, timeout: float | None = None) -> None:
        """Return once these messages, or without any all that were sent so far, are settled everywhere.

        Raises `TimeoutError` after `timeout` seconds, naming what is unsettled and where, `ValueError` for a dot
        that is not of this node's run, `TypeError` for what is no dot, and `GivenUpError` for what was given up: at
        once for dots that were, and for whatever is while somebody waits for it.
        """
        core = self._running()
        check_timeout(timeout)
        await core.own.settled(core.own_seqs(dots) if dots else None, timeout)

    def evict(self, name: str, incarnation: int | None = None) -> int | None:
        """Do without a sender that is away for good: its present incarnation counts as gone here from now on.

        What it never got across is lost: what waits for that goes on, and a verdict names it. This node talks to it no
        more until it is started again, and tells it so. Call it wherever `status()` says that something waits for it.
        Returns the incarnation; None if nothing is known of that name (then say the `incarnation` that others name), or
        it is gone already. One that is given is evicted with those before it, and no later one. Raises `ValueError`.
        """
        core = self._running()
        if name == self.name:
            raise ValueError(f"{name} cannot evict itself: leave the node instead")
        return core.evict(name, -1 if incarnation is None else check_incarnation(incarnation))

    def give_up(self, peer: str) -> list[Dot]:
        """Give up what is unsettled at a peer, such as one that is away for good: it goes to the `dead_letters`.

        That makes room for others, and nobody waits: `settled` raises `GivenUpError`. What had reached the peer may be
        handled all the same; if it comes back it is told of the others, and keeps the order of what follows them.
        Returns the dots; raises `UnknownDestinationError`, and `ValueError` for this node itself.
        """
        core = self._running()
        if peer == self.name:
            raise ValueError(f"{peer} cannot give up what it has sent to itself: that is here already")
        return core.give_up(peer)

    async def run(self) -> None:
        """Return at SIGTERM or SIGINT (then leave the node: it drains), or at once after `stop`.

        Before it is awaited, SIGTERM is a crash, and `asyncio.run` makes of Ctrl-C a cancellation of the body, so
        that the node drains too: a service says that it is ready only from a task that starts once `run` waits.
        """
        self._running()
        with set_by_signals(self._stop):
            await self._stop.wait()

    def stop(self) -> None:
        """Make `run` return, as a signal does."""
        self._stop.set()

    @property
    def address(self) -> str | None:
        """The address that peers can dial, a port asked for as 0 resolved; None for a node that only sends."""
        self._running()
        return None if self._listener is None else self._listener.address

    @property
    def incarnation(self) -> int:
        """This run's incarnation: the millisecond of its start."""
        return self._running().me.incarnation

    def status(self) -> dict[str, Any]:
        """A JSON-able snapshot: what is held, for which dot of whom and since when; what is retried, queued and
        unsettled; links, incarnations, counters. Lists are cut at 100, with totals beside them."""
        return snapshot(self._running(), self._outbound, self._inbound, self.address)

    @property
    def is_running(self) -> bool:
        """Whether this node has been entered and not left."""
        return self._core is not None and not self._closed

    @property
    def idle(self) -> bool:
        """Whether this node has nothing to do now: all it sent is settled, and nothing is held or handled."""
        core = self._running()
        return core.runner.idle and core.own.all_settled and not core.engine.delivery.held

    def _running(self) -> Core:
        if self._core is None or self._closed:
            raise ClosedError(f"{self.name} is not running: use it inside `async with node:`")
        return self._core

    # -- leaving -----------------------------------------------------------------------------------------------

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait up to `drain_timeout` until all is settled, name what is not in a warning, and close.

        What the body raised goes on as it is. If the node itself failed, that is raised, in an exception group.
        """
        if self._crashed:
            return
        drained = False
        try:
            if not self._failed:
                await drain(self._running(), self._drained, self.config.drain_timeout)
                drained = True
        finally:
            if self._failed:
                await self._release(kind, error, traceback)
            else:
                await self._release(in_good_order=drained)

    async def crash(self) -> None:
        """End at once, as a process that is killed: nothing is drained. For `causal.testing.Cluster`, where
        `join` then makes the node ready for another run, which is a new incarnation."""
        self._running()
        self._crashed = True
        await self._release()

    def _drained(self) -> bool:
        core = self._running()
        return core.runner.idle and core.own.all_settled and self._inbound.all_reported

    async def _release(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
        *,
        in_good_order: bool = False,
    ) -> None:
        """Give everything back, in bounded time, whatever has failed before."""
        self._closed = True
        core = self._core
        for task in self._background if not in_good_order else ():
            task.cancel()
        if core is not None:
            running.pop(core, None)
            core.runner.stop()
            core.close(f"{self.name} was left")
        try:
            if core is not None:
                await core.runner.stopped()
                await self._inbound.close()
                if in_good_order:  # nothing can be sent any more
                    await say_goodbye(self._outbound.values(), self.config.drain_timeout)
        finally:
            for task in self._background:
                task.cancel()
            try:
                if self._transport is not None:
                    await self._transport.close()
            finally:
                if self._trace is not None:
                    self._trace.close()
                await self._tasks.__aexit__(kind, error, traceback)
