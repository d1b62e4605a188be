"""What the three programs have in common: their options, their output, and how they stop."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

from causal import Message, Node

LINE_BYTES_MAX = 1024 * 1024
"""The longest line of input that is read from a pipe."""

SETTINGS = {
    "name": "this node's name",
    "listen": "where to listen, host:port",
    "peers": "whom this node sends to, NAME=host:port,…",
    "store": "where the node keeps its state",
    "trace": "file to append the trace to",
}


def options(description: str, *, name: str, listen: str, peers: str) -> argparse.ArgumentParser:
    """The options of every service. They go before the environment, which goes before these defaults."""
    parser = argparse.ArgumentParser(description=description)
    defaults = {"name": name, "listen": listen, "peers": peers}
    for setting, meaning in SETTINGS.items():
        variable = f"CAUSAL_{setting.upper()}"
        parser.add_argument(
            f"--{setting}",
            default=os.environ.get(variable, defaults.get(setting)),
            help=f"{meaning} (default: {variable}, or {defaults.get(setting, 'none')})",
        )
    parser.add_argument(
        "--ordering",
        choices=("causal", "none"),
        default="causal",
        help="what to hold messages back for (default: causal)",
    )
    parser.add_argument(
        "--until-eof",
        action="store_true",
        help="stop when standard input ends, so that no service outlives who started it",
    )
    return parser


def open_node(given: argparse.Namespace) -> Node:
    """The node that options and environment describe; it does nothing yet."""
    for setting in SETTINGS:
        value = getattr(given, setting)
        if value is not None:
            os.environ[f"CAUSAL_{setting.upper()}"] = value
    return Node.from_env()


def say(**facts: Any) -> None:
    """One line of JSON on standard output."""
    print(json.dumps(facts, default=str), flush=True)


def say_handled(message: Message, **facts: Any) -> None:
    """What was handled, what it followed, and for how long it was held back."""
    say(
        handled=message.subject,
        id=str(message.id),
        clock=dict(message.clock or {}),
        held_ms=round(message.held_for * 1000, 1),
        **facts,
    )


def announce(node: Node, given: argparse.Namespace) -> None:
    """Say that the node is up; from now on SIGUSR1 makes it say its status.

    Call it from a task, which begins once `node.run()` waits: whoever reads that the node is up may signal it.
    """
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, lambda: say(status=node.status()))
    say(ready=given.name, listen=given.listen, ordering=given.ordering)


async def stop_at_eof(given: argparse.Namespace) -> None:
    """With `--until-eof`, wait for the end of standard input, and then stop as on SIGTERM."""
    if given.until_eof:
        if not sys.stdin.closed:
            async for _ in read_lines("-"):
                pass
        signal.raise_signal(signal.SIGTERM)


async def read_lines(source: str) -> AsyncIterator[str]:
    """The lines of a file, or of standard input (`-`) as they come. Raises `OSError` if it cannot be read."""
    if source == "-" and _comes_by_and_by(sys.stdin.fileno()):
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=LINE_BYTES_MAX)
        pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        try:
            while line := await reader.readline():
                yield line.decode()
        finally:
            pipe.close()
    else:
        text = sys.stdin.read if source == "-" else partial(Path(source).read_text, encoding="utf-8")
        for line in (await asyncio.to_thread(text)).splitlines():
            yield line


def _comes_by_and_by(descriptor: int) -> bool:
    """Whether the event loop can wait for more; a file and /dev/null have all there is at once."""
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)
