"""One event of a trace, and its line of JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from causal.errors import LocalError
from causal.ordering.dot import Dot
from causal.ordering.verdict import Ordering

EVENTS = frozenset({"send", "receive", "duplicate", "deliver", "settle", "drop"})
ORDERINGS = frozenset(map(str, Ordering))


class TraceError(LocalError, ValueError):
    """A trace cannot be used; the text names the file, the line, what is wrong and what would mend it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceEvent:
    """One event of one node. `from_json` checks everything said here; the constructor trusts its caller."""

    at: int
    """Wall clock of the node, ns since 1970. For durations within one node only: it orders nothing."""
    node: str
    incarnation: int
    event: str
    """`send`; `receive` (a copy arrived), `duplicate` (arrived again); `deliver` (a handler starts: again
    with each attempt), `settle` (it returned); `drop` (settled without delivery: dead-lettered, given up)."""
    id: str
    """The message's dot as text, `S1/<incarnation>/4`."""
    to: tuple[str, ...] | None = None
    """Destinations of a `send`, else None."""
    sender: str
    """`from` in the file: the name of the message's origin."""
    subject: str
    ordering: str | None = None
    """The receiver's setting for the subject, "causal" or "none"; None on a `send`."""
    cause: str | None = None
    """The message whose handler did this, if one did."""
    verdict: str | None = None
    """How the message was released, a `VerdictKind` as text: "ordered", "unordered", "lost" (released
    although the dots in `missing` can never come); None for events that release nothing."""
    held_for: float | None = None
    """Seconds between receive and the first deliver, as the node itself measured them."""
    attempt: int | None = None
    """Which run of the handler this is, from 1."""
    missing: tuple[str, ...] = ()
    """The dots that a verdict names: never settled here before this message was released."""
    context: int | None = None
    """Which of the node's causal contexts a `send` is from, or a `deliver` begins; None in process scope."""
    key: str | None = None
    """The message's key, on a `send` and a `deliver` in context scope, where it orders."""
    follows: tuple[str, ...] = ()
    """On a `send`: messages that it follows because its sender said so by name, or observed a token of them."""


def to_json(event: TraceEvent) -> str:
    """One line of a trace, without its newline, in ASCII. From `missing` on, fields are written only if they say
    anything."""
    fields: dict[str, Any] = {
        "at": event.at,
        "node": event.node,
        "incarnation": event.incarnation,
        "event": event.event,
        "id": event.id,
        "to": event.to,
        "from": event.sender,
        "subject": event.subject,
        "ordering": event.ordering,
        "cause": event.cause,
        "verdict": event.verdict,
        "held_for": event.held_for,
        "attempt": event.attempt,
    }
    if event.missing:
        fields["missing"] = event.missing
    if event.context is not None:
        fields["context"] = event.context
    if event.key is not None:
        fields["key"] = event.key
    if event.follows:
        fields["follows"] = event.follows
    return _ENCODER.encode(fields)


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def from_json(line: str | bytes, file: str = "trace", number: int = 1) -> TraceEvent:
    """The event of one line. A field that may be null may be left out; one that is unknown is ignored.

    Raises `TraceError` that begins with `file:number` and says which field is wrong.
    """
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{file}:{number}: not JSON ({error}); each line is one event") from None
    try:
        return _event(fields)
    except _FieldError as error:
        raise TraceError(f"{file}:{number}: {error}") from None


class _FieldError(Exception):
    """A field of a line is wrong; the text says which and why."""


def _event(fields: object) -> TraceEvent:
    if not isinstance(fields, dict):
        raise _FieldError("not an object")
    event = _text(fields, "event")
    if event not in EVENTS:
        raise _FieldError(f"event is {event!r}, must be one of {', '.join(sorted(EVENTS))}")
    node, incarnation = _text(fields, "node"), _count(fields, "incarnation", 0)
    identity = _text(fields, "id")
    dot = _dot(identity, "id")
    if event == "send" and (dot.name, dot.incarnation) != (node, incarnation):
        raise _FieldError(f"id is {identity!r}, but {node}/{incarnation} can send only messages of its own")
    sender = fields.get("from")
    if sender is not None and sender != dot.name:
        raise _FieldError(f"from is {sender!r}, but the message {identity!r} is from {dot.name!r}")
    return TraceEvent(
        at=_count(fields, "at", 0),
        node=node,
        incarnation=incarnation,
        event=event,
        id=identity,
        to=_destinations(fields, event),
        sender=dot.name,
        subject=_text(fields, "subject"),
        ordering=_ordering(fields),
        cause=_cause(fields),
        verdict=None if fields.get("verdict") is None else _text(fields, "verdict"),
        held_for=_seconds(fields, "held_for"),
        attempt=None if fields.get("attempt") is None else _count(fields, "attempt", 1),
        missing=_dots(fields, "missing"),
        context=None if fields.get("context") is None else _count(fields, "context", 1),
        key=None if fields.get("key") is None else _key(fields),
        follows=_dots(fields, "follows"),
    )


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    if isinstance(value, str) and value:
        return value
    raise _FieldError(_expected(fields, name, "a text that is not empty"))


def _count(fields: Mapping[str, object], name: str, least: int) -> int:
    value = fields.get(name)
    if type(value) is int and value >= least:
        return value
    raise _FieldError(_expected(fields, name, f"a whole number from {least}"))


def _seconds(fields: Mapping[str, object], name: str) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    if type(value) in (int, float) and 0 <= value < math.inf:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    raise _FieldError(_expected(fields, name, "seconds from 0, or null"))


def _ordering(fields: Mapping[str, object]) -> str | None:
    value = fields.get("ordering")
    if value is None or (isinstance(value, str) and value in ORDERINGS):
        return value
    raise _FieldError(_expected(fields, "ordering", '"causal", "none" or null'))


def _cause(fields: Mapping[str, object]) -> str | None:
    if fields.get("cause") is None:
        return None
    cause = _text(fields, "cause")
    _dot(cause, "cause")
    return cause


def _destinations(fields: Mapping[str, object], event: str) -> tuple[str, ...] | None:
    value = fields.get("to")
    if event != "send":
        if value is not None:
            raise _FieldError(f"to is given on {event}; only a send has destinations")
        return None
    return _names(fields, "to", value)


def _key(fields: Mapping[str, object]) -> str:
    value = fields["key"]
    if isinstance(value, str):
        return value
    raise _FieldError(_expected(fields, "key", "a text, or null"))


def _dots(fields: Mapping[str, object], name: str) -> tuple[str, ...]:
    value = fields.get(name)
    if value is None:
        return ()
    identities = _names(fields, name, value)
    for identity in identities:
        _dot(identity, name)
    return identities


def _names(fields: Mapping[str, object], name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, list) and value and all(isinstance(item, str) and item for item in value):
        return tuple(value)
    raise _FieldError(_expected(fields, name, "a list of texts that is not empty"))


def _dot(text: str, field: str) -> Dot:
    try:
        dot = Dot.parse(text)
    except ValueError:
        dot = None
    # Compared with its own text: "+4", "04" and " 4" would be other names for the same message.
    if dot is None or not dot.name or dot.incarnation < 0 or dot.seq < 1 or str(dot) != text:
        raise _FieldError(f"{field} is {text!r}, must be name/incarnation/seq, as in 'S1/1700000000000/4'")
    return dot


def _expected(fields: Mapping[str, object], name: str, form: str) -> str:
    if name not in fields:
        return f"{name} is missing, must be {form}"
    return f"{name} is {fields[name]!r}, must be {form}"
