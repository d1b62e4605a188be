"""The thread of a node's event loop: what other threads ask for is done there, in its turn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextvars import copy_context
from typing import TypeVar

from causal.errors import ClosedError

R = TypeVar("R")

LOOK_SECONDS = 0.5
"""How often a thread that waits looks whether the event loop is still there."""


class LoopThread:
    """The event loop in which this is made, and its thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def is_here(self) -> bool:
        """Whether the loop's own thread runs this."""
        return threading.get_ident() == self._thread

    def call(self, function: Callable[[], R]) -> R:
        """What the function returns or raises, run in the loop's thread, with the context variables of the caller's.

        Another thread waits for the loop meanwhile: one that the loop itself waits for, without `await`, stands still
        with it. Raises `ClosedError` if the loop has ended.
        """
        if self.is_here():
            return function()
        done: Future[R] = Future()

        def run() -> None:
            try:
                done.set_result(function())
            except Exception as error:  # noqa: BLE001  # raised where somebody waits for it
                done.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(run, context=copy_context())
        except RuntimeError as error:  # it is closed
            raise ClosedError("the event loop of the node has ended") from error
        while True:
            try:
                return done.result(LOOK_SECONDS)
            except NotYet:
                if self._loop.is_closed():
                    raise ClosedError("the event loop of the node has ended") from None
