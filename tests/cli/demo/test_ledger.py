"""The demo's reading of traces: what counts as early, held, unsettled, doubled; and files still being written."""

from __future__ import annotations

from pathlib import Path

import pytest

from causal.cli.demo.ledger import PAID, PLACED, Ledger, TraceTail
from causal.observe.event import TraceError, TraceEvent, to_json

ORDER, PAYMENT = "S1/1/1", "S2/1/1"


def event(kind: str, node: str, id: str, at: int = 0, **fields: object) -> TraceEvent:
    subject = PLACED if id.startswith("S1") else PAID
    given = {"to": None, "cause": None, "held_for": None} | fields
    return TraceEvent(at=at, node=node, incarnation=1, event=kind, id=id, sender=id[:2], subject=subject, **given)  # type: ignore[arg-type]


def sent() -> Ledger:
    """An order to S2 and S3, and its payment to S3."""
    ledger = Ledger()
    ledger.add(event("send", "S1", ORDER, 1_000_000, to=("S2", "S3")))
    ledger.add(event("send", "S2", PAYMENT, 2_000_000, to=("S3",), cause=ORDER))
    return ledger


def test_early_payment_after_its_order_is_none() -> None:
    ledger = sent()
    ledger.add(event("deliver", "S3", ORDER))
    ledger.add(event("deliver", "S3", PAYMENT))
    assert ledger.early() == []


def test_early_payment_before_its_order_says_by_how_much() -> None:
    ledger = sent()
    ledger.add(event("deliver", "S3", PAYMENT, 5_000_000))
    (waiting,) = ledger.early()
    assert (waiting.payment, waiting.order, waiting.by_ms) == (PAYMENT, ORDER, None)
    ledger.add(event("deliver", "S3", ORDER, 7_500_000))
    (early,) = ledger.early()
    assert early.by_ms == 2.5


def test_early_payment_whose_send_is_not_read_yet_counts_once_it_is() -> None:
    ledger = Ledger()
    ledger.add(event("deliver", "S3", PAYMENT))
    assert ledger.early() == []
    ledger.add(event("send", "S2", PAYMENT, to=("S3",), cause=ORDER))
    assert [early.payment for early in ledger.early()] == [PAYMENT]


def test_held_message_is_one_received_and_neither_delivered_nor_dropped() -> None:
    ledger = sent()
    ledger.add(event("receive", "S3", PAYMENT))
    ledger.add(event("receive", "S3", ORDER))
    assert ledger.held("S3") == [ORDER, PAYMENT]
    ledger.add(event("drop", "S3", ORDER))
    ledger.add(event("deliver", "S3", PAYMENT))
    assert ledger.held("S3") == []


def test_unsettled_copies_are_counted_by_destination_until_each_settles() -> None:
    ledger = sent()
    assert ledger.unsettled() == 3
    ledger.add(event("settle", "S2", ORDER))
    ledger.add(event("settle", "S3", ORDER))
    assert ledger.unsettled() == ledger.unsettled("order.") == 1
    assert ledger.unsettled("stock.") == 0
    ledger.add(event("settle", "S3", PAYMENT))
    assert ledger.unsettled() == 0


def test_doubled_message_is_one_settled_twice_at_one_node_not_at_two() -> None:
    ledger = sent()
    ledger.add(event("settle", "S2", ORDER))
    ledger.add(event("settle", "S3", ORDER))
    assert ledger.doubled() == 0
    ledger.add(event("settle", "S3", ORDER))
    assert ledger.doubled() == 1


def test_delivered_between_counts_starts_of_handlers_once() -> None:
    ledger = sent()
    ledger.add(event("deliver", "S2", ORDER, 100))
    ledger.add(event("deliver", "S3", ORDER, 200))
    ledger.add(event("deliver", "S3", ORDER, 250))  # a retry
    assert ledger.delivered_between(150, 300) == 1
    assert ledger.delivered_between(0, 300) == 2


def test_tail_of_a_growing_file_gives_each_whole_line_once(tmp_path: Path) -> None:
    path = tmp_path / "S3.jsonl"
    tail = TraceTail(path)
    assert list(tail.read()) == []
    first, second = event("receive", "S3", ORDER), event("receive", "S3", PAYMENT)
    line = to_json(second)
    path.write_text(to_json(first) + "\n" + line[:40])
    assert list(tail.read()) == [first]
    assert list(tail.read()) == []
    with path.open("a") as file:
        file.write(line[40:] + "\n")
    assert list(tail.read()) == [second]


def test_tail_with_a_line_that_is_no_event_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "S3.jsonl"
    path.write_text(to_json(event("receive", "S3", ORDER)) + "\nnonsense\n")
    with pytest.raises(TraceError, match=r"S3\.jsonl:2"):
        list(TraceTail(path).read())
