"""The trace: what a node did, in its program order, as JSON Lines.

An event is written before the effect that it names is visible to anyone else. So of a process that was killed
every effect that reached the world is in the file, and at most the last line is torn.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, Protocol

from causal.errors import ClosedError, ConfigurationError
from causal.observe.event import TraceError, TraceEvent, from_json, to_json

__all__ = [
    "FileTrace",
    "MemoryTrace",
    "Trace",
    "TraceError",
    "TraceEvent",
    "from_json",
    "read_trace",
    "to_json",
]

_FIRST_BYTES = b'{"at":'
_TAIL_BYTES_MAX = 1024 * 1024


class Trace(Protocol):
    """Where a node writes its events. When `write` returns, the event outlives the process."""

    def write(self, event: TraceEvent) -> None:
        """Record one event. Raises `OSError` if it cannot be; the effect must then not take place."""

    def close(self) -> None:
        """End the trace; any number of times."""


class MemoryTrace:
    """A trace as a list; several nodes may share it. It outlives the nodes, not the process."""

    def __init__(self) -> None:
        self.events: list[TraceEvent] = []

    def write(self, event: TraceEvent) -> None:
        self.events.append(event)

    def close(self) -> None:
        """Nothing to end: the events stay readable."""


class FileTrace:
    """A trace as a file of JSON Lines, appended to if it exists: a restarted node goes on in the same file.

    One system call writes one whole line, so the line is with the kernel when `write` returns: it survives
    the process, though not the machine, for it is not fsynced. A line torn by a kill is cut off by the next
    process that opens the file: its effect never took place.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises `ConfigurationError` if the path cannot be opened or holds something that is not a trace."""
        self.path = Path(path)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        try:
            self._descriptor = os.open(self.path, flags, 0o644)
        except OSError as error:
            raise ConfigurationError(f"trace {self.path}: {error.strerror}") from error
        try:
            self._mend_if_alone()
        except BaseException:
            self.close()
            raise

    def write(self, event: TraceEvent) -> None:
        if self._descriptor < 0:
            raise ClosedError(f"trace {self.path} is closed")
        line = to_json(event).encode("ascii") + b"\n"
        written = os.write(self._descriptor, line)
        if written < len(line):
            self._write_rest(line, written)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _write_rest(self, line: bytes, written: int) -> None:
        """Finish a short write; if the disk is full, take the half line back and raise."""
        end = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        start = end - written
        try:
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
        except OSError:
            # Only while nobody has appended since: a file may be shared by several nodes.
            if os.fstat(self._descriptor).st_size == start + written:
                os.ftruncate(self._descriptor, start)
            raise

    def _mend_if_alone(self) -> None:
        """Mend the tail if nobody else has the file open: else a last line without end may be one being written.

        A lock says so, shared by all who write; the kernel gives it back when a process dies.
        """
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass  # somebody writes: what is unfinished is theirs to finish
        else:
            self._mend_tail()
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def _mend_tail(self) -> None:
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
            return
        head = os.pread(self._descriptor, len(_FIRST_BYTES), 0)
        if head != _FIRST_BYTES[: len(head)]:
            self._refuse()
        offset = max(0, status.st_size - _TAIL_BYTES_MAX)
        block = os.pread(self._descriptor, _TAIL_BYTES_MAX, offset)
        tail = block[block.rfind(b"\n") + 1 :]
        if not tail:
            return
        try:
            from_json(tail, str(self.path), 0)
        except TraceError:
            shortest = min(len(tail), len(_FIRST_BYTES))
            if tail[:shortest] != _FIRST_BYTES[:shortest]:
                self._refuse()
            os.ftruncate(self._descriptor, status.st_size - len(tail))
        else:
            os.write(self._descriptor, b"\n")

    def _refuse(self) -> NoReturn:
        raise ConfigurationError(f"trace {self.path}: the file exists and is not a trace; name another path") from None


def read_trace(path: str | os.PathLike[str], warnings: list[str]) -> Iterator[TraceEvent]:
    """The events of a file in its order. A torn last line is left out and a warning added.

    Raises `TraceError` for a file that cannot be read, for anything but a regular file (a pipe may never come to an
    end), and for any other line that is not an event.
    """
    file = os.fspath(path)
    try:
        if not stat.S_ISREG(mode := os.stat(file).st_mode):
            raise TraceError(f"{file} is {_kind(mode)}: name the trace files that the nodes wrote")
        with open(file, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    event = from_json(line, file, number)
                except TraceError:
                    if line.endswith(b"\n"):
                        raise
                    warnings.append(f"{file}:{number}: the last line is torn and left out (a killed process)")
                    return
                yield event
    except OSError as error:
        raise TraceError(f"{file}: {error.strerror}; name the trace files that the nodes wrote") from error


def _kind(mode: int) -> str:
    """What something is that is no regular file."""
    if stat.S_ISDIR(mode):
        return "a directory"
    if stat.S_ISFIFO(mode):
        return "a pipe, which may never come to an end (write into a file what comes out of it)"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
