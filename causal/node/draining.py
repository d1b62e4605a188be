"""Leaving in good order: a node waits, for a bounded time, until nobody needs it any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from causal.node.core import Core
from causal.node.outbound import OutboundStreams

FAREWELL_SECONDS = 1.0
"""How long a node that leaves waits, at most, for its peers to take in that its messages are settled."""


async def drain(core: Core, drained: Callable[[], bool], timeout: float) -> None:
    """Return once all is `drained` (own messages settled, handlers ended, and what was settled here reported), or
    after `timeout` seconds, with a warning that names what is left.

    For the first half of that time the node handles whatever still comes: of several nodes that leave together, each
    may have what another waits for. A node that has not come to an end by then may never do, with more coming than it
    can handle, or a handler that always fails: so in the other half it only lets what runs end.

    Then a moment for the peers to take in that all is settled: whoever does not know goes on naming this
    run's dots, and once the next run is there they count as lost for a peer that starts anew as well.
    Raises what `drained` raises.
    """
    deadline = time.monotonic() + timeout
    if not await _until(core.progress, drained, deadline - timeout / 2):
        core.handle_no_more()
    if await _until(core.progress, drained, deadline):
        farewell = min(deadline, time.monotonic() + FAREWELL_SECONDS)
        await _until(core.progress, lambda: drained() and core.engine.stability.all_told, farewell)
    if not await _until(core.progress, drained, deadline) or core.runner.left:
        core.name_what_is_left()


async def say_goodbye(streams: Iterable[OutboundStreams], drain_timeout: float) -> None:
    """Tell every peer that has settled all that nothing more comes from this run, and wait a moment until it has heard.

    For when no handler runs any more. One that does not know goes on waiting for this node in bounded mode.
    """
    seconds = min(FAREWELL_SECONDS, drain_timeout)
    await asyncio.gather(*(each.leave(seconds) for each in streams))


async def _until(progress: asyncio.Event, condition: Callable[[], bool], deadline: float) -> bool:
    """Wait for something that progress brings about; False if it has not by `deadline` (monotonic)."""
    while not condition():
        progress.clear()
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                await progress.wait()
        except TimeoutError:
            return False
    return True
