"""What a receiver refuses before it merges or stores anything of a frame."""

from __future__ import annotations

from collections.abc import Mapping

from causal.errors import ProtocolError
from causal.ordering.dot import NodeId
from causal.ordering.frames import Base, SenderFrame, StableNumber, Welcome
from causal.ordering.link import InboundLink, OutboundLink, Received
from causal.ordering.scope import Scope
from causal.ordering.stamp import NO_DOTS, Copy, Dots, count_of, each, joined_seqs, size_of


def validate(link: InboundLink, frame: SenderFrame, me: NodeId, last_seq: int, dots_max: int) -> None:
    """Raise `ProtocolError` if the frame is one that no correct sender sends.

    `last_seq` is what this node itself has sent: nobody can depend on more.
    """
    received = link.received
    if frame.base is not None:
        _validate_base(frame.base)
        if not link.based:
            received = Received(frame.base.last, set(frame.base.unsettled))
    elif not link.based and frame.copies:
        raise ProtocolError(f"{link.origin} sends messages before its base")
    for copy in frame.copies:
        _validate_copy(link.origin, copy, me, last_seq, dots_max)
    received.check(frame.copies)
    for report in frame.stable:
        _validate_report(link.origin, report, me)
    for dot in frame.questions:
        if dot.origin == link.origin or (dot.origin == me and dot.seq > last_seq):
            raise ProtocolError(f"{link.origin} asks about {dot}")


def validate_welcome(link: OutboundLink, welcome: Welcome, *, gone: bool) -> None:
    """Raise `ProtocolError` if another node answered than was dialled, or one that claims what was never sent.

    `gone`: a later incarnation of whoever answered has been here.
    """
    receiver = welcome.receiver
    if link.connected:
        raise ProtocolError(f"{link.peer} says Welcome twice on one stream")
    if receiver.name != link.peer:
        raise ProtocolError(f"dialled {link.peer}, but {receiver.name} answered: check the address in peers=")
    claimed = max((welcome.received_to, *welcome.beyond, *welcome.unsettled))
    if welcome.known and claimed > link.last_sent:
        raise ProtocolError(f"{link.peer} claims to have received message {claimed}, which was never sent to it")
    if gone:
        raise ProtocolError(f"{receiver} answered, but a later incarnation of it has been here")


def validate_credit(link: InboundLink, copies: tuple[Copy, ...], window_messages: int) -> None:
    """Raise `ProtocolError` if the sender has put more on the link than the receiver gave credit for."""
    if len(link.unsettled) + len(copies) > window_messages:
        fresh = {copy.seq for copy in copies if copy.seq not in link.received}
        if len(link.unsettled) + len(fresh) > window_messages:
            raise ProtocolError(f"{link.origin} exceeds its credit of {window_messages} unsettled messages")


def validate_scopes(copies: tuple[Copy, ...], inbound: Mapping[NodeId, InboundLink]) -> None:
    """Raise `ProtocolError` if a stamp names messages of an origin known here otherwise than its scope says."""
    for copy in copies:
        stamp = copy.stamp
        for dots in (stamp.after, *stamp.elsewhere.values()) if stamp.elsewhere else (stamp.after,):
            for origin, seqs in dots.items():
                link = inbound.get(origin)
                if link is not None and isinstance(seqs, int) is not (link.scope is Scope.PROCESS):
                    raise ProtocolError(f"a stamp names messages of {origin} otherwise than its scope {link.scope}")


def _validate_base(base: Base) -> None:
    if base.last < 0 or any(not 0 < seq <= base.last for seq in base.unsettled):
        raise ProtocolError(f"base up to {base.last} cannot have messages outside it unsettled")


def _validate_report(sender: NodeId, report: StableNumber, me: NodeId) -> None:
    if report.origin == me:
        raise ProtocolError(f"{sender} reports on what only {me} can know")
    if report.upto < 0 or any(not 0 < seq <= report.upto for seq in report.lagging.values()):
        raise ProtocolError(f"{sender} reports the impossible exceptions {dict(report.lagging)} to {report.upto}")


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
    if stamp.horizon >= stamp.timestamp:
        raise ProtocolError(f"message {origin}/{seq} has a horizon that is not before it")
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
