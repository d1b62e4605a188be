"""Every error that `causal` raises, in one tree, with the blame in the type.

`LocalError`: the caller can mend it. `RemoteError`: a peer broke the protocol. `TransportError`: the
network or the process at its other end. `ClosedError`: the object was used after it was closed.
`OrderingError`: a defect of this library (it is raised instead of delivering out of order).
The facts are attributes; the text says what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


class CausalError(Exception):
    """The root of every error of this library."""


class LocalError(CausalError):
    """The caller's own input or configuration is at fault, and can be mended by the caller."""


class ConfigurationError(LocalError, ValueError):
    """A setting is missing, contradictory or out of range."""


class HandlerError(LocalError):
    """A handler is registered wrongly, or returned what it must not."""


class SubjectError(LocalError, ValueError):
    """A subject or a pattern is not of the dotted form."""


class InvalidNameError(LocalError, ValueError):
    """A node name is empty, too long, or has characters that cannot be carried exactly."""


class UnknownDestinationError(LocalError, LookupError):
    """A send names a node that is not among the peers; nothing was sent."""

    def __init__(self, names: Iterable[str], known: Iterable[str]) -> None:
        self.names = tuple(names)
        self.known = tuple(sorted(known))
        listed = ", ".join(self.known) or "none"
        if self.names:
            text = f"unknown destination {', '.join(map(repr, self.names))}; known peers: {listed} (add it to peers=)"
        else:
            text = f"no destination was named; known peers: {listed}"
        super().__init__(text)


class UnknownDotError(LocalError, LookupError):
    """A send is to follow a message of which this node does not know where it went; nothing was sent."""

    def __init__(self, dot: object) -> None:
        self.dot = dot
        super().__init__(
            f"{dot} was not sent, received or heard of here (in this run of the node): "
            "let whoever knows it pass a token along, and observe that"
        )


class BackpressureError(LocalError):
    """There is no room for another message, and the caller would not or must not wait; nothing was sent."""


class GivenUpError(LocalError):
    """A message that somebody waits for has been given up (`Node.give_up`): it will not be handled where it was to go,
    unless it was on its way. `messages` has the dots, with the destinations that have not settled them."""

    def __init__(self, messages: Mapping[Any, Sequence[str]]) -> None:
        self.messages = dict(messages)
        shown = [f"{dot} at {', '.join(names)}" for dot, names in list(self.messages.items())[:10]]
        more = f" and {len(self.messages) - 10} more" if len(self.messages) > 10 else ""
        super().__init__(f"given up, not settled: {'; '.join(shown)}{more} (see dead_letters)")


class BodyError(LocalError, ValueError):
    """A body or header cannot be said in MessagePack, or is too large; `path` names the place."""

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        super().__init__(f"{path} {problem}")


class ClosedError(CausalError):
    """The node (or connection) is not running: not entered yet, or already left."""


class RemoteError(CausalError):
    """A peer sent what the protocol does not allow; nothing of it was merged or stored."""


class ProtocolError(RemoteError):
    """A frame or a stamp is malformed, inconsistent or over a limit."""


class TokenError(RemoteError, ValueError):
    """What was to be observed is no token, or contradicts what this node knows; nothing was merged."""


class ClockDriftError(RemoteError):
    """A remote timestamp is further ahead of the local physical clock than is allowed; nothing was merged."""

    def __init__(self, ahead_ms: int, drift_max_ms: int) -> None:
        self.ahead_ms = ahead_ms
        self.drift_max_ms = drift_max_ms
        super().__init__(
            f"remote clock is {ahead_ms} ms ahead, more than drift_max_ms={drift_max_ms}: "
            "synchronise the clocks of the two machines (NTP), or raise drift_max_ms"
        )


class RefusedError(RemoteError):
    """A peer refused the link; `code` is the reason as it stands in the protocol."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}")


class TransportError(CausalError):
    """The network, or the process at its other end, is not there; a link retries by itself."""


class OrderingError(CausalError):
    """An invariant of the ordering engine does not hold: a defect of this library, please report it."""
