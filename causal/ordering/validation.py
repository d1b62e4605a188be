"""What a receiver refuses before it merges or stores anything of a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from causal.errors import ProtocolError
from causal.ordering.counts import SharedClock
from causal.ordering.dot import NodeId
from causal.ordering.frames import Base, SenderFrame, StableNumber
from causal.ordering.link import InboundLink, Received
from causal.ordering.scope import Scope
from causal.ordering.stamp import NO_DOTS, Clock, Copy, Dots, joined_seqs
from causal.ordering.weight import total_weight


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
    if frame.given_up:
        empty = {copy.seq for copy in frame.copies if not copy.payload}
        if not empty.issuperset(frame.given_up):
            raise ProtocolError(f"{link.origin} gives up messages that are not in the frame, or with their payload")
    if frame.farewell and (frame.copies or link.unsettled or received.missing or received.beyond):
        raise ProtocolError(f"{link.origin} says goodbye, and not all that it has sent is settled")
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
    bytes_most = link.bytes_most + total_weight(copies)
    if bytes_most > bytes_max:
        unsettled = {seq: arrival.copy for seq, arrival in link.unsettled.items()}
        unsettled |= {copy.seq: copy for copy in copies if copy.seq not in link.received}
        bytes_most = total_weight(unsettled.values())
        if bytes_most > bytes_max and len(unsettled) > 1:
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
        # The usual case, nothing before it or what went before on the link, with a clock that says so, needs no more.
        if (
            0 <= previous < seq
            and not (elsewhere or horizon or closed)
            and (
                not after
                or (
                    len(after) == 1
                    and previous
                    and after.get(origin) == (previous if chained else frozenset((previous,)))
                )
            )
            and type(clock) is SharedClock
            and clock.others is counted
            and clock.sender == origin
            and clock.count == seq
        ):
            continue
        _validate_copy(origin, copy, me, last_seq, dots_max, inbound)


def _validate_copy(
    origin: NodeId, copy: Copy, me: NodeId, last_seq: int, dots_max: int, inbound: Mapping[NodeId, InboundLink]
) -> None:
    seq, stamp = copy.seq, copy.stamp
    if not 0 <= stamp.previous < seq:
        raise ProtocolError(f"message {origin}/{seq} cannot follow {stamp.previous} on its link")
    highest = {origin: seq - 1, me: last_seq}
    dots = _validate_dots(origin, seq, stamp.after, highest, inbound)
    highest[origin] = seq  # of a multicast, the others' copies are listed as well
    for destination, elsewhere in stamp.elsewhere.items():
        dots += _validate_dots(origin, seq, elsewhere, highest, inbound)
        if not destination:
            raise ProtocolError(f"stamp of {origin}/{seq} names a destination without a name")
    if dots > dots_max:
        raise ProtocolError(f"stamp of {origin}/{seq} lists {dots} dots, more than {dots_max}")
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


def _validate_dots(
    origin: NodeId, seq: int, dots: Dots, highest: Mapping[NodeId, int], inbound: Mapping[NodeId, InboundLink]
) -> int:
    """How many dots it is. Those of an origin that is known here are named as its scope says: as a chain, or each for
    itself; and of what this node and the stamp's sender have sent, only what went before."""
    size = len(dots)
    for other, seqs in dots.items():
        if isinstance(seqs, int):
            chained, least, most = True, seqs, seqs
        else:
            chained, least, most = False, min(seqs), max(seqs)
            size += len(seqs) - 1
        if least <= 0 or most > highest.get(other, most):
            dot = f"{other}/{least if least <= 0 else most}"
            why = "depends on itself or on a later one" if other == origin else "depends on what was never sent"
            raise ProtocolError(f"stamp of {origin}/{seq} lists the impossible dot {dot}: it {why}")
        link = inbound.get(other)
        if link is not None and chained is not (link.scope is Scope.PROCESS):
            raise ProtocolError(f"a stamp names messages of {other} otherwise than its scope {link.scope}")
    return size
