"""What a node writes into its trace, and when: each line before what it names can be seen by others."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from weakref import WeakKeyDictionary

from causal.node.strands import Handling
from causal.observe.trace import Trace, TraceEvent
from causal.ordering import Arrival, Dot, Engine, NodeId
from causal.ordering.context import CausalContext
from causal.ordering.contexts import Follows
from causal.ordering.scope import Scope


class Record:
    """Writes the events of one run of a node. In context scope it says to which context a send and a handler belong;
    in either scope what a send follows by name or by a token, which the checker could not know otherwise."""

    def __init__(self, trace: Trace, engine: Engine) -> None:
        self._trace = trace
        self._engine = engine
        self._scoped = engine.config.scope is Scope.CONTEXT
        self._observed: WeakKeyDictionary[CausalContext, dict[str, None]] = WeakKeyDictionary()
        """Context → what it has observed since its last send."""
        self._renamable: list[TraceEvent] = []
        """Sends so far, as long as this run may have to take another incarnation."""

    def observed(self, context: CausalContext, dots: Iterable[Dot]) -> None:
        """From now on what is sent from this context follows these messages."""
        self._observed.setdefault(context, {}).update(dict.fromkeys(map(str, dots)))

    def send(self, dot: Dot, subject: str, to: tuple[str, ...], cause: Dot | None, follows: Follows) -> None:
        """A message is about to be sent."""
        context = follows.context or self._engine.context
        named = dict.fromkeys(map(str, follows.after))
        if self._observed and (seen := self._observed.pop(context, None)):
            named.update(seen)
        event = self._event(
            "send",
            dot,
            subject,
            to=to,
            cause=None if cause is None else str(cause),
            context=context.number if self._scoped else None,
            key=follows.key if self._scoped else None,
            follows=tuple(named),
        )
        if not self._engine.settlement.accepted:
            self._renamable.append(event)
        elif self._renamable:
            self._renamable.clear()
        self._trace.write(event)

    def renamed(self, former: NodeId) -> None:
        """This run takes another incarnation: what it has sent is sent under other dots."""
        me = self._engine.me
        sent, self._renamable = self._renamable, []
        for event in sent:
            if event.incarnation != former.incarnation:
                continue
            follows = tuple(_renamed(text, former, me) for text in event.follows)
            event = replace(
                event,
                at=time.time_ns(),
                incarnation=me.incarnation,
                id=_renamed(event.id, former, me),
                follows=follows,
            )
            self._renamable.append(event)
            self._trace.write(event)

    def arrival(self, event: str, arrival: Arrival, handling: Handling | None = None) -> None:
        """Something happens to a message that has come."""
        released = event != "receive"
        scoped = self._scoped and event == "deliver" and arrival.context is not None
        self._trace.write(
            self._event(
                event,
                arrival.dot,
                arrival.copy.subject,
                ordering=str(arrival.ordering),
                verdict=str(arrival.verdict.kind) if released else None,
                missing=tuple(map(str, arrival.verdict.missing)) if released else (),
                held_for=None if handling is None else handling.held_for,
                attempt=None if handling is None else handling.attempt,
                context=arrival.context.number if scoped and arrival.context is not None else None,
                key=handling.payload.key if scoped and handling is not None and handling.payload is not None else None,
            )
        )

    def duplicate(self, dot: Dot, subject: str, ordering: str) -> None:
        """A message has come again."""
        self._trace.write(self._event("duplicate", dot, subject, ordering=ordering))

    def _event(
        self,
        event: str,
        dot: Dot,
        subject: str,
        *,
        to: tuple[str, ...] | None = None,
        ordering: str | None = None,
        cause: str | None = None,
        verdict: str | None = None,
        missing: tuple[str, ...] = (),
        held_for: float | None = None,
        attempt: int | None = None,
        context: int | None = None,
        key: str | None = None,
        follows: tuple[str, ...] = (),
    ) -> TraceEvent:
        me = self._engine.me
        return TraceEvent(
            at=time.time_ns(),
            node=me.name,
            incarnation=me.incarnation,
            event=event,
            id=str(dot),
            to=to,
            sender=dot.name,
            subject=subject,
            ordering=ordering,
            cause=cause,
            verdict=verdict,
            held_for=held_for,
            attempt=attempt,
            missing=missing,
            context=context,
            key=key,
            follows=follows,
        )


def _renamed(text: str, former: NodeId, later: NodeId) -> str:
    dot = Dot.parse(text)
    return str(dot._replace(incarnation=later.incarnation)) if dot.origin == former else text
