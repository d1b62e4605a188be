"""SIGTERM and SIGINT, for all nodes that run in one process."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_waiting: set[asyncio.Event] = set()
_former: dict[signal.Signals, Any] = {}
"""The handlers from before the first node ran, to be put back after the last one."""


@contextmanager
def set_by_signals(event: asyncio.Event) -> Iterator[None]:
    """Inside the block SIGTERM and SIGINT set the event, and those of other nodes.

    After the last block the former handlers are back: under `asyncio.run` a second Ctrl-C then cancels the
    draining. To be used in the main thread.
    """
    loop = asyncio.get_running_loop()
    if not _waiting:
        for number in (signal.SIGTERM, signal.SIGINT):
            _former[number] = signal.getsignal(number)
            loop.add_signal_handler(number, _set_all)
    _waiting.add(event)
    try:
        yield
    finally:
        _waiting.discard(event)
        if not _waiting:
            for number, handler in _former.items():
                loop.remove_signal_handler(number)
                if handler is not None:  # None: one that was not installed from Python and cannot be put back
                    signal.signal(number, handler)


def _set_all() -> None:
    for event in _waiting:
        event.set()
