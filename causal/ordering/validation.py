"""What a receiver refuses before it merges or stores anything of a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from causal.errors import ProtocolError
from causal.ordering.counts import SharedClock
from causal.ordering.dot import NodeId
from causal.ordering.frames import Base, SenderFrame, StableNumber
from causal.ordering.link import InboundLink, Received
from causal.ordering.scope import Scope
from causal.ordering.stamp import NO_DOTS, Clock, Copy, Dots, Stamp, count_of, each, joined_seqs, size_of


def validate(
    link: InboundLink,
    frame: SenderFrame,
    inbound: Mapping[NodeId, InboundLink],
    me: NodeId,
    last_seq: int,
    dots_max: int,
) -> None:
    """Raise `ProtocolError` if the frame is one that no correct sender sends.

    `last_seq` is what this node itself has sent: nobody can depend on more. `inbound`: all links, whose senders' scopes
    are known.
    """
    received = link.received
    if frame.base is not None:
        _validate_base(frame.base)
        if not link.based:
            received = Received(frame.base.last, set(frame.base.unsettled))
    elif not link.based and frame.copies:
        raise ProtocolError(f"{link.origin} sends messages before its base")
    _validate_copies(link, frame.copies, inbound, me, last_seq, dots_max)
    received.check(frame.copies)
    for report in frame.stable:
        _validate_report(link.origin, report, me)
    if any(dot.seq > last_seq and dot.origin == me for dot in frame.heard):
        raise ProtocolError(f"{link.origin} has followed messages of {me} that were never sent")
    for dot in frame.questions:
        if dot.origin == link.origin or (dot.origin == me and dot.seq > last_seq):
            raise ProtocolError(f"{link.origin} asks about {dot}")


def validate_credit(link: InboundLink, copies: tuple[Copy, ...], messages_max: int, bytes_max: int) -> int:
    """Raise `ProtocolError` if the sender has put more on the link than the receiver gave credit for.

    Returns the new `link.bytes_most`. O(copies); what is unsettled is only looked through when so many bytes have
    come since the last time that it could be too much.
    """
    if len(link.unsettled) + len(copies) > messages_max:
        fresh = {copy.seq for copy in copies if copy.seq not in link.received}
        if len(link.unsettled) + len(fresh) > messages_max:
            raise ProtocolError(f"{link.origin} exceeds its credit of {messages_max} unsettled messages")
    bytes_most = link.bytes_most + sum([len(copy.payload) for copy in copies])
    if bytes_most > bytes_max:
        payloads = {seq: arrival.copy.payload for seq, arrival in link.unsettled.items()}
        payloads |= {copy.seq: copy.payload for copy in copies if copy.seq not in link.received}
        bytes_most = sum(map(len, payloads.values()))
        if bytes_most > bytes_max and len(payloads) > 1:
            raise ProtocolError(f"{link.origin} exceeds its credit of {bytes_max} bytes of unsettled messages")
    return bytes_most


def _validate_base(base: Base) -> None:
    if base.last < 0 or any(not 0 < seq <= base.last for seq in base.unsettled):
        raise ProtocolError(f"base up to {base.last} cannot have messages outside it unsettled")


def _validate_report(sender: NodeId, report: StableNumber, me: NodeId) -> None:
    if report.origin == me:
        raise ProtocolError(f"{sender} reports on what only {me} can know")
    if report.upto < 0 or any(not 0 < seq <= report.upto for seq in report.lagging.values()):
        raise ProtocolError(f"{sender} reports the impossible exceptions {dict(report.lagging)} to {report.upto}")


def _validate_copies(
    link: InboundLink,
    copies: Sequence[Copy],
    inbound: Mapping[NodeId, InboundLink],
    me: NodeId,
    last_seq: int,
    dots_max: int,
) -> None:
    origin, chained = link.origin, link.scope is Scope.PROCESS
    counted: Clock | None = None
    for copy in copies:
        seq, (previous, _, after, elsewhere, clock, horizon, closed), _, _ = copy
        if type(clock) is SharedClock and clock.others is not counted and clock.others.get(me, 0) <= last_seq:
            counted = clock.others
        # The usual case, nothing before it or a chain with a clock that says so, needs no other look.
        if (
            0 <= previous < seq
            and not (elsewhere or horizon or closed)
            and (not after or (chained and len(after) == 1 and previous and after.get(origin) == previous))
            and type(clock) is SharedClock
            and clock.others is counted
            and clock.sender == origin
            and clock.count == seq
        ):
            continue
        _validate_copy(origin, copy, me, last_seq, dots_max)
        _validate_scopes(copy.stamp, inbound)


def _validate_scopes(stamp: Stamp, inbound: Mapping[NodeId, InboundLink]) -> None:
    """Messages of an origin that is known here are named as its scope says: as a chain, or each for itself."""
    for dots in (stamp.after, *stamp.elsewhere.values()) if stamp.elsewhere else (stamp.after,):
        for origin, seqs in dots.items():
            link = inbound.get(origin)
            if link is not None and isinstance(seqs, int) is not (link.scope is Scope.PROCESS):
                raise ProtocolError(f"a stamp names messages of {origin} otherwise than its scope {link.scope}")


def _validate_copy(origin: NodeId, copy: Copy, me: NodeId, last_seq: int, dots_max: int) -> None:
    seq, stamp = copy.seq, copy.stamp
    if not 0 <= stamp.previous < seq:
        raise ProtocolError(f"message {origin}/{seq} cannot follow {stamp.previous} on its link")
    dots = count_of(stamp.after) + (size_of(stamp.elsewhere) if stamp.elsewhere else 0)
    if dots > dots_max:
        raise ProtocolError(f"stamp of {origin}/{seq} lists {dots} dots, more than {dots_max}")
    for other, number in each(stamp.after):
        if number <= 0:
            raise ProtocolError(f"stamp of {origin}/{seq} lists the impossible dot {other}/{number}")
        if number >= seq and other == origin:
            raise ProtocolError(f"message {origin}/{seq} depends on itself or on a later one")
        if number > last_seq and other == me:
            raise ProtocolError(f"message {origin}/{seq} depends on {me}/{number}, which was never sent")
    for destination, elsewhere in stamp.elsewhere.items():
        _validate_dots(origin, seq, elsewhere, {origin: seq, me: last_seq})
        if not destination:
            raise ProtocolError(f"stamp of {origin}/{seq} names a destination without a name")
    if stamp.horizon > stamp.timestamp:
        raise ProtocolError(f"message {origin}/{seq} has a horizon that lies after it")
    for destination, closed in stamp.closed.items():
        _validate_closed(origin, seq, closed, stamp.elsewhere.get(destination, NO_DOTS))
    if stamp.clock is not None and (stamp.clock.get(origin) != seq or stamp.clock.get(me, 0) > last_seq):
        raise ProtocolError(f"clock of {origin}/{seq} does not count that message, or counts what was never sent")


def _validate_closed(origin: NodeId, seq: int, closed: Dots, listed: Dots) -> None:
    for other, seqs in closed.items():
        known = listed.get(other)
        if known is None or joined_seqs(known, seqs) != known:
            raise ProtocolError(f"stamp of {origin}/{seq} calls a dot of {other} closed that it does not list")


def _validate_dots(origin: NodeId, seq: int, dots: Dots, highest: Mapping[NodeId, int]) -> None:
    for other, number in each(dots):
        if not 0 < number <= highest.get(other, number):
            raise ProtocolError(f"stamp of {origin}/{seq} lists the impossible dot {other}/{number}")
