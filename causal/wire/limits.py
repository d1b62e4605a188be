"""The bounds of the protocol, checked by whoever reads a frame, and the errors that have their own names."""

from __future__ import annotations

from causal.errors import ProtocolError, TransportError
from causal.ordering.output import HEARD_MOST

PROTOCOL_VERSION = 1
"""What `Hello.version` says; another one is answered with `RefusalCode.VERSION`."""

COPY_FORMAT = 1
"""The first byte of a message by itself, outside a stream."""

TOKEN_FORMAT = 0x11
"""The first byte of a token. No message by itself begins like that."""

TOKEN_BYTES_MAX = 16 * 1024
"""The longest token: a column of a row should hold it. Headers of requests have room for less (`causal.node.asgi`)."""

TOKEN_BYTES_MIN = 64
"""The shortest that may be asked for: one that lists nothing takes less than half of it."""

NUMBER_END = 2**53
"""Sequence numbers, counts and incarnations are below it: any language holds them exactly."""

TIMESTAMP_END = 2**64
"""Timestamps are below it: 48 bits of milliseconds and 16 of a counter."""

PROCESS_END = 2**63
"""Numbers of processes are below it: any language has room for them."""

ROWS_MAX = 4_096
"""Messages in a frame. The sender's batches end near 512: more costs latency and gains nothing."""

DOTS_MAX = 4_096
"""Dots in a stamp, `after` and `elsewhere` together (about 45 KB)."""

FRAME_DOTS_MAX = 65_536
"""Dots in all stamps of a frame: a frame of nothing else would be a million of them, and 200 MB of objects before
anybody has looked at its credit. The sender's frames end near 8,192, or with one message."""

CLOCK_ENTRIES_MAX = 4_096
"""Entries in a vector clock."""

TABLE_MAX = 65_536
"""Definitions in each of a stream's tables: some 20 MB at the longest names."""

SUBJECTS_INTERNED_MAX = 1_024
"""Subjects that a sender defines. Later ones go in full: a sender that makes up subjects fills no table."""

PAIRS_MAX = 65_536
"""Dots in `questions`, `answers` or `lost`, entries of `watch`, rows of `stable`."""

HEARD_MAX = HEARD_MOST
"""Dots in `heard`."""

LAGGING_MAX = 4_096
"""Exceptions of one stable number."""

SEQS_MAX = 262_144
"""Numbers in any other list: what may wait between two nodes."""

DETAIL_CHARS_MAX = 1_024
"""Characters of a refusal's text; the writer shortens it."""


class VersionError(ProtocolError):
    """The sender speaks a version of the protocol that is not known here: answer `RefusalCode.VERSION`."""

    def __init__(self, version: int) -> None:
        self.version = version
        super().__init__(
            f"protocol version {version} is not known here, only {PROTOCOL_VERSION}: "
            "run versions of this library that are closer together"
        )


class TableFullError(TransportError):
    """This side has written `TABLE_MAX` definitions on the stream: only a new stream has room for more.

    A `TransportError`, since the cure is that of a broken stream: dial again.
    """

    def __init__(self, table: str) -> None:
        self.table = table
        super().__init__(f"the stream's table of {table} is full ({TABLE_MAX}): open a new stream")
