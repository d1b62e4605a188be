"""Strands of causality: to which one the code that runs now belongs, and what it has sent and seen.

A strand is the run of a handler, an opened context (`async with causal.context():`), or an asyncio task that is in
neither. In context scope each has a causal context of its own at each node that it uses, which begins empty (a
handler's: with its message). Handlers and opened contexts are inherited, by `contextvars`: one object for all tasks,
`gather`s, threads (`asyncio.to_thread`) and callbacks that are started inside. A task outside both inherits nothing:
what several tasks are to share they open a context for. That goes for helpers that make a task of what they are given
(`asyncio.gather`, `asyncio.wait_for` before Python 3.12), too.

In process scope the node has one context, whatever the strand.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from contextvars import ContextVar, Token
from importlib import import_module
from types import ModuleType, TracebackType
from typing import Protocol, Self
from weakref import ReferenceType, WeakKeyDictionary, ref

from msgspec import Struct

from causal.errors import ClosedError
from causal.node.arguments import check_bytes
from causal.node.payload import Payload
from causal.ordering.context import CausalContext
from causal.ordering.dot import NodeId
from causal.ordering.engine import Engine
from causal.ordering.holdback import Arrival
from causal.wire.limits import TOKEN_BYTES_MAX


class Owner(Protocol):
    """A running node, as strands know one."""

    engine: Engine
    scoped: bool
    """Whether it is in context scope."""

    @property
    def me(self) -> NodeId:
        """Its name and incarnation."""

    def token(self, max_bytes: int) -> bytes:
        """See `Node.token`."""

    def observe(self, data: bytes) -> None:
        """See `Node.observe`."""


Contexts = MutableMapping[Owner, CausalContext]


class _Strand(Struct, eq=False):
    """What every strand has."""

    contexts: Contexts | None
    """Node → the strand's context there, from its first use."""


class Handling(_Strand, eq=False):
    """One message on its way through its handler, over all attempts; these are one strand."""

    owner: Owner
    """The node whose handler this is: a handler may use other nodes in the same process."""
    arrival: Arrival
    held_for: float
    payload: Payload | None = None
    attempt: int = 0
    active: bool = False
    """Whether the handler is running at this moment."""
    error: str | None = None
    retry_at: float | None = None
    since: float = 0.0

    @property
    def handling(self) -> Handling:
        """Itself: the handling inside which this strand is."""
        return self


class Opened(_Strand, eq=False):
    """An opened context, or what a task outside any has in its place."""

    _handling: Handling | None
    task: ReferenceType[asyncio.Task[object]] | None
    """The only task that this strand is for; None if whatever inherits it belongs to it."""

    @property
    def handling(self) -> Handling | None:
        """The handling inside which this strand is, if any."""
        return self._handling


Strand = Handling | Opened
"""See the module."""

current_strand: ContextVar[Strand | None] = ContextVar("causal_strand", default=None)
"""The strand of what runs; one of another task counts as none."""


def context_at(owner: Owner) -> CausalContext:
    """The causal context from which what runs now sends at a node."""
    if not owner.scoped:
        return owner.engine.context
    strand = _strand()
    if strand.contexts is None:
        strand.contexts = WeakKeyDictionary() if isinstance(strand, Opened) else {}
    context = strand.contexts.get(owner)
    if context is None:
        contexts, handling = owner.engine.contexts, strand.handling
        if handling is not None and handling is strand and handling.owner is owner:
            context = contexts.of(handling.arrival)
        else:
            context = contexts.open()
        strand.contexts[owner] = context
    return context


def join_strand(owner: Owner) -> None:
    """Let what runs now be of a strand, before another thread does something for it: the next time it is the same."""
    if owner.scoped:
        _strand()


def _strand() -> Strand:
    strand = current_strand.get()
    if strand is not None and not isinstance(strand, Opened):
        return strand
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None  # in a thread that was started from the strand
    if strand is None or (task is not None and strand.task is not None and strand.task() is not task):
        strand = Opened(None, None, None if task is None else ref(task))
        current_strand.set(strand)
    return strand


class context:  # noqa: N801  # used like a function, as contextlib's own
    """`async with causal.context():` opens a causal context for what is done inside: an entry point, such as a request.

    It begins empty: what is sent inside follows what was sent inside before it (and what is observed there, by token),
    and nothing else; also in a handler, which it leaves for as long. All tasks that are started inside share it.
    In process scope it changes nothing. The object is used once: entering it again raises `ClosedError`.
    """

    __slots__ = ("_reset",)

    def __init__(self) -> None:
        self._reset: Token[Strand | None] | None = None

    async def __aenter__(self) -> Self:
        if self._reset is not None:
            raise ClosedError("this context has been entered already: write causal.context() in each `async with`")
        strand = current_strand.get()
        self._reset = current_strand.set(Opened(None, None if strand is None else strand.handling, None))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._reset is not None, "__aexit__ comes after __aenter__"
        current_strand.reset(self._reset)


running: dict[Owner, None] = {}
"""The nodes that are entered in this process, in their order."""


def token(*, max_bytes: int = TOKEN_BYTES_MAX) -> bytes:
    """`Node.token` of the current node: the one whose handler runs, else the only one that runs in this process.

    Raises `ClosedError` if there is no current node, and what `Node.token` raises.
    """
    check_bytes(max_bytes)
    return _current().token(max_bytes)


def observe(token: bytes) -> None:
    """`Node.observe` of the current node: the one whose handler runs, else the only one that runs in this process.

    Raises `ClosedError` if there is no current node, and what `Node.observe` raises.
    """
    _current().observe(token)


class _Observe(ModuleType):
    """The package `causal.observe` has the name of the function: it is called as that one."""

    def __call__(self, token: bytes) -> None:
        observe(token)


import_module("causal.observe").__class__ = _Observe


def _current() -> Owner:
    strand = current_strand.get()
    handling = None if strand is None else strand.handling
    if handling is not None and handling.owner in running:
        return handling.owner
    if len(running) == 1:
        return next(iter(running))
    if not running:
        raise ClosedError("no node is running: use this inside `async with node:`")
    names = ", ".join(sorted(owner.me.name for owner in running))
    raise ClosedError(f"several nodes run in this process ({names}): ask one of them, node.token() or node.observe(…)")
