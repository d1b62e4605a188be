"""Whom a receiver lets in: what it answers to a Hello before anything changes."""

from __future__ import annotations

from causal.ordering.frames import Hello, Refusal, RefusalCode
from causal.ordering.settlement import Settlement


def refusal_of(hello: Hello, settlement: Settlement) -> Refusal | None:
    """Why the sender of a Hello is refused; None if it is let in."""
    me, sender = settlement.me, hello.sender
    if sender.name == me.name:
        return Refusal(code=RefusalCode.OWN_NAME, detail=f"this node is {me}")
    if hello.receiver != me.name:
        detail = f"this node is {me.name}, not {hello.receiver}"
        return Refusal(code=RefusalCode.WRONG_RECEIVER, detail=detail)
    latest = settlement.latest.get(sender.name, 0)
    if sender.incarnation < latest:
        detail = f"{sender.name} has been here as incarnation {latest}, later than {sender.incarnation}"
        return Refusal(code=RefusalCode.STALE_INCARNATION, detail=detail, incarnation=latest)
    link = settlement.inbound.get(sender)
    if link is not None and link.scope is not hello.scope:
        detail = f"{sender} has been here with scope {link.scope}, and an incarnation keeps its scope"
        return Refusal(code=RefusalCode.PROTOCOL, detail=detail)
    return None
