"""Whom a receiver lets in: one process for each name, whatever incarnations and clocks say.

The incarnations of a name are ordered, and the latest has the name. Two processes that live at the same time can
both be the latest, or have the same incarnation (they started in one millisecond): then each counts its own
messages from 1, and what one of them sent would be taken for the other's. So a process also has a random number.

- Another process than the one that was let in under this incarnation is refused, at both ends of a link.
- A process that nobody has accepted can take a later incarnation (`reincarnation.py`), and is told of the one that
  is known here. But not while whoever has the name is connected: it would drive out a process that works. Of two
  with the same incarnation the first may be cut off for a moment only, so it keeps the name for as long as a
  stream may be silent.
"""

from __future__ import annotations

from causal.errors import ProtocolError
from causal.ordering.dot import NodeId
from causal.ordering.frames import Hello, Refusal, RefusalCode, Welcome
from causal.ordering.settlement import Settlement


def refusal_of(settlement: Settlement, hello: Hello, now_ms: int, silence_max_ms: int) -> Refusal | None:
    """Why whoever says this is not let in; None if it is."""
    me, sender = settlement.me, hello.sender
    if sender.name == me.name:
        return Refusal(code=RefusalCode.OWN_NAME, detail=f"this node is {me}: one process per name, stop one of them")
    if hello.receiver != me.name:
        return Refusal(code=RefusalCode.WRONG_RECEIVER, detail=f"this node is {me.name}, not {hello.receiver}")
    latest = settlement.latest.get(sender.name, 0)
    if settlement.is_gone(sender):
        return _stale(settlement, sender, NodeId(sender.name, max(latest, sender.incarnation)))
    if settlement.is_twin(sender, hello.process):
        return _taken(settlement, sender, now_ms, silence_max_ms)
    link = settlement.inbound.get(sender)
    if link is not None and link.scope is not hello.scope:
        detail = f"{sender} has been here with scope {link.scope}, and an incarnation keeps its scope"
        return Refusal(code=RefusalCode.PROTOCOL, detail=detail)
    return None


def _stale(settlement: Settlement, sender: NodeId, latest: NodeId) -> Refusal:
    """A later incarnation has been here, or this one is gone. If the later one is connected now it is not a later run,
    but a living twin: then the incarnation is not told, since a process that nobody has accepted yet would take a
    later one still, and drive out one that works."""
    told = latest.incarnation
    if told == sender.incarnation:
        detail = f"{sender} has left, or been evicted here by an operator: start {sender.name} anew"
        return Refusal(code=RefusalCode.STALE_INCARNATION, detail=detail, incarnation=told)
    detail = f"{sender.name} has been here as incarnation {told}, later than {sender.incarnation}"
    if settlement.is_connected(latest):
        detail = (
            f"another process has the name {sender.name} and is connected to {settlement.me.name} as incarnation "
            f"{told}, later than {sender.incarnation}: one process per name, stop one of them"
        )
        told = 0
    return Refusal(code=RefusalCode.STALE_INCARNATION, detail=detail, incarnation=told)


def _taken(settlement: Settlement, sender: NodeId, now_ms: int, silence_max_ms: int) -> Refusal:
    """Another process has this name and incarnation, here."""
    if not settlement.has_left(sender, now_ms, silence_max_ms):
        detail = (
            f"another process has the name {sender.name}, started in the same millisecond, and is known to "
            f"{settlement.me.name} as {sender}: one process per name, stop one of them"
        )
        return Refusal(code=RefusalCode.NAME_TAKEN, detail=detail)
    detail = (
        f"another process has been here as {sender} and is away: this one goes on as a later incarnation, or, if "
        "others have accepted it, must be started again"
    )
    return Refusal(code=RefusalCode.STALE_INCARNATION, detail=detail, incarnation=sender.incarnation)


def validate_welcome(settlement: Settlement, peer: str, welcome: Welcome) -> None:
    """Raise `ProtocolError` if another node or process answered than the one that has been dialled, or one that
    claims what was never sent."""
    link, receiver = settlement.outbound[peer], welcome.receiver
    if link.connected:
        raise ProtocolError(f"{peer} says Welcome twice on one stream")
    if receiver.name != peer:
        raise ProtocolError(f"dialled {peer}, but {receiver.name} answered: check the address in peers=")
    if settlement.is_twin(receiver, welcome.process):
        raise ProtocolError(
            f"two processes have the name {peer}, started in the same millisecond, and are known here as {receiver}: "
            "one process per name, stop one of them and start the other again"
        )
    claimed = max((welcome.received_to, *welcome.beyond, *welcome.unsettled))
    if welcome.known and claimed > link.last_sent:
        raise ProtocolError(f"{peer} claims to have received message {claimed}, which was never sent to it")
    if settlement.is_gone(receiver):
        raise ProtocolError(
            f"{receiver} answered, which is gone as far as is known here: a later incarnation of it has been here, or "
            f"it has left or been evicted; start {peer} anew if it is the one that should run"
        )
