"""One line of a trace: what is written is read back, what is wrong is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal.observe.event import EVENTS, TraceError, TraceEvent, from_json, to_json

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
counts = st.integers(0, 2**63 - 1)
ids = st.builds("{}/{}/{}".format, names, counts, st.integers(1, 2**63 - 1))


@st.composite
def trace_events(draw: st.DrawFn) -> TraceEvent:
    event = draw(st.sampled_from(sorted(EVENTS)))
    identity = draw(ids)
    name, incarnation, _ = identity.rsplit("/", 2)
    sent = event == "send"
    return TraceEvent(
        at=draw(counts),
        node=name if sent else draw(names),
        incarnation=int(incarnation) if sent else draw(counts),
        event=event,
        id=identity,
        to=tuple(draw(st.lists(names, min_size=1, max_size=3))) if sent else None,
        sender=name,
        subject=draw(names),
        ordering=draw(st.sampled_from(["causal", "none", None])),
        cause=draw(st.none() | ids),
        verdict=draw(st.sampled_from(["ordered", "unordered", "lost", None])),
        held_for=draw(st.none() | st.floats(0, 1e9)),
        attempt=draw(st.none() | st.integers(1, 99)),
        missing=tuple(draw(st.lists(ids, max_size=2))),
    )


@given(trace_events())
def test_event_written_and_read_is_the_same(event: TraceEvent) -> None:
    line = to_json(event)
    assert "\n" not in line
    assert from_json(line) == event


def fields(**changes: Any) -> dict[str, Any]:
    return {
        "at": 1, "node": "S2", "incarnation": 7, "event": "deliver", "id": "S1/5/4", "to": None, "from": "S1",
        "subject": "order.placed", "ordering": "causal", "cause": None, "verdict": "ordered", "held_for": 0.25,
        "attempt": 1, **changes,
    }  # fmt: skip


def test_event_line_has_exactly_the_fields_of_the_format() -> None:
    event = from_json(json.dumps(fields()))
    assert json.loads(to_json(event)) == fields()
    assert "missing" in json.loads(to_json(from_json(json.dumps(fields(missing=["S1/5/1"])))))


def test_event_fields_that_may_be_null_may_be_left_out() -> None:
    left_out = ("to", "from", "ordering", "cause", "verdict", "held_for", "attempt")
    event = from_json(json.dumps({name: value for name, value in fields().items() if name not in left_out}))
    assert event.sender == "S1"
    assert all(getattr(event, name) is None for name in left_out if name != "from")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"at": -1}, "at is -1"),
        ({"at": True}, "at is True"),
        ({"at": 1.5}, "at is 1.5"),
        ({"node": ""}, "node is ''"),
        ({"node": 3}, "node is 3"),
        ({"incarnation": "7"}, "incarnation is '7'"),
        ({"event": "sent"}, "event is 'sent', must be one of"),
        ({"id": "S1"}, "id is 'S1', must be name/incarnation/seq"),
        ({"id": "S1/5/0"}, "id is"),
        ({"id": "S1/5/04"}, "id is"),
        ({"id": "S1/-5/4"}, "id is"),
        ({"id": "/5/4"}, "id is"),
        ({"from": "S9"}, "from is 'S9', but the message 'S1/5/4' is from 'S1'"),
        ({"to": ["S2"]}, "only a send has destinations"),
        ({"subject": None}, "subject is None"),
        ({"ordering": "fifo"}, "ordering is 'fifo'"),
        ({"ordering": ["causal"]}, "ordering is"),
        ({"cause": "x"}, "cause is 'x'"),
        ({"verdict": 1}, "verdict is 1"),
        ({"held_for": -0.5}, "held_for is -0.5"),
        ({"held_for": float("nan")}, "held_for is nan"),
        ({"held_for": float("inf")}, "held_for is inf"),
        ({"held_for": True}, "held_for is True"),
        ({"attempt": 0}, "attempt is 0"),
        ({"missing": "S1/5/1"}, "missing is"),
        ({"missing": ["x"]}, "missing is 'x'"),
        ({"event": "send"}, "S2/7 can send only messages of its own"),
        ({"event": "send", "node": "S1", "incarnation": 5}, "to is None"),
        ({"event": "send", "node": "S1", "incarnation": 5, "to": []}, "to is"),
        ({"event": "send", "node": "S1", "incarnation": 5, "to": [""]}, "to is"),
    ],
    ids=str,
)
def test_event_wrong_field_is_named_with_its_place(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(TraceError) as caught:
        from_json(json.dumps(fields(**changes)), "s2.jsonl", 12)
    assert str(caught.value).startswith("s2.jsonl:12: ")
    assert reason in str(caught.value)


def test_event_missing_field_is_named() -> None:
    line = json.dumps({name: value for name, value in fields().items() if name != "incarnation"})
    with pytest.raises(TraceError, match="incarnation is missing"):
        from_json(line)


@pytest.mark.parametrize("line", ["", "{", "nonsense", b"\xff\xfe\xff", "[" * 100_000, "[]", "3", "null"], ids=repr)
def test_event_line_that_is_no_object_is_refused(line: str | bytes) -> None:
    with pytest.raises(TraceError, match="trace:1: not"):
        from_json(line)
