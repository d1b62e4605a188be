"""What the demo makes of its numbers: exit code, object, words. Its real runs are in tests/integration."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from causal.cli.demo import words
from causal.cli.demo.ledger import Early
from causal.cli.demo.numbers import Comparison, Cut, Numbers, OneMessage
from causal.cli.demo.phases import read_orders
from causal.cli.demo.show import Screen, short
from causal.observe.checker import check
from causal.observe.event import TraceEvent
from causal.observe.report import Report

CLOCKS = {"A": {"S1": 1}, "B": {"S1": 1, "S2": 1}, "C": {"S1": 1, "S2": 1, "S3": 1}}


def traced(order_first: bool) -> Report:
    """What the checker says of one order and its payment at S3, the order first or last."""

    def event(kind: str, node: str, id: str, to: tuple[str, ...] | None = None) -> TraceEvent:
        subject = "order.placed" if id == "S1/1/1" else "order.paid"
        return TraceEvent(at=1, node=node, incarnation=1, event=kind, id=id, to=to, sender=id[:2], subject=subject)

    events = [event("send", "S1", "S1/1/1", ("S2", "S3")), event("deliver", "S2", "S1/1/1")]
    events.append(event("send", "S2", "S2/1/1", ("S3",)))
    for id in ("S1/1/1", "S2/1/1") if order_first else ("S2/1/1", "S1/1/1"):
        events += [event(kind, "S3", id) for kind in ("receive", "deliver", "settle")]
    return check(events)


PROVED, REFUTED = traced(order_first=True), traced(order_first=False)


def comparison(ordering: str, early: int, report: Report) -> Comparison:
    return Comparison(
        ordering=ordering, orders=200, messages=640, payments=200, early=early,
        payments_held=0, payments_hold_median_ms=0.0, locked_away=early * 2,
        stamp_bytes_mean=31.26, lost=0, example=Early("S2/1/9", "S1/1/9", 74.0) if early else None,
        seconds=2.5, report=report,
    )  # fmt: skip


def good() -> Numbers:
    return Numbers(
        without=comparison("none", 183, REFUTED),
        with_causal=comparison("causal", 0, PROVED),
        one=OneMessage(
            clocks=CLOCKS, held_ms=1200.0, waited_for="S1/1/1", awaited="S1/1/1",
            order_at_s3=("A", "B"), report=PROVED,
        ),
        cut=Cut(
            seconds=1.0, delivered_meanwhile=300, waiting=90, reconnected_ms=200.0, released_ms=12.34,
            lost=0, doubled=0, report=PROVED,
        ),
    )  # fmt: skip


def test_numbers_of_a_good_demo_give_exit_code_0_and_the_promised_object() -> None:
    numbers = good()
    assert numbers.exit_code == 0
    assert json.loads(json.dumps(numbers.to_dict())) == {
        "without": {"messages": 640, "early": 183},
        "with": {
            "messages": 640,
            "early": 0,
            "held": 0,
            "held_needlessly": 0,
            "hold_median_ms": 0.0,
            "stamp_bytes_mean": 31.3,
        },
        "cut": {"delivered_meanwhile": 300, "waiting": 90, "released_ms": 12.3, "lost": 0, "doubled": 0},
        "check": {"with_violations": 0, "without_violations": 1},
    }


def test_numbers_of_a_broken_promise_give_exit_code_1_whichever_part_broke() -> None:
    numbers = good()
    broken = [
        replace(numbers, with_causal=comparison("causal", 1, PROVED)),
        replace(numbers, with_causal=comparison("causal", 0, REFUTED)),
        replace(numbers, with_causal=replace(numbers.with_causal, lost=1)),
        replace(numbers, one=replace(numbers.one, clocks=CLOCKS | {"C": {"S1": 1, "S3": 1}})),
        replace(numbers, one=replace(numbers.one, order_at_s3=("B", "A"))),
        replace(numbers, one=replace(numbers.one, waited_for="S1/1/2")),
        replace(numbers, cut=replace(numbers.cut, lost=1)),
        replace(numbers, cut=replace(numbers.cut, doubled=1)),
        replace(numbers, cut=replace(numbers.cut, report=REFUTED)),
    ]
    assert [each.exit_code for each in broken] == [1] * len(broken)
    assert all(each.broken() for each in broken)


def test_numbers_of_a_run_that_shows_nothing_give_exit_code_2() -> None:
    numbers = good()
    invalid = [
        replace(numbers, without=comparison("none", 0, REFUTED)),
        replace(numbers, one=replace(numbers.one, held_ms=0.0, waited_for="")),
        replace(numbers, cut=replace(numbers.cut, waiting=0)),
        replace(numbers, cut=replace(numbers.cut, delivered_meanwhile=0)),
    ]
    assert [each.exit_code for each in invalid] == [2] * len(invalid)


def test_numbers_broken_and_invalid_at_once_report_the_broken_promise() -> None:
    numbers = good()
    both = replace(numbers, without=comparison("none", 0, REFUTED), cut=replace(numbers.cut, lost=1))
    assert both.exit_code == 1


def shown(*, terminal: bool) -> str:
    output = io.StringIO()
    screen = Screen(Console(file=output, force_terminal=terminal, width=110, no_color=True, highlight=False))
    numbers = good()
    screen.begin("1  Without ordering", lambda stage: "")
    screen.end("red", *words.of_comparison(numbers.without))
    screen.end("green", *words.of_cut(numbers.cut))
    screen.end("green", *words.of_proof(numbers))
    screen.say(words.of_verdict(numbers, 12.0))
    return output.getvalue()


def test_screen_without_a_terminal_prints_plain_lines_with_every_number() -> None:
    text = shown(terminal=False)
    assert "183 of 200 payments before their order" in text
    assert "S2/…/9 came 74 ms before S1/…/9" in text
    assert "lost 0, doubled 0" in text
    assert "PROVED" in text
    assert "REFUTED" in text
    assert "S1 sends order.placed S1/…/1 → S2 handles order.placed S1/…/1 → S2 sends order.paid S2/…/1" in text
    assert not set("\x1b│╭╰") & set(text)


def test_screen_on_a_terminal_draws_panels_and_without_colour_if_asked() -> None:
    text = shown(terminal=True)
    assert "Without ordering" in text
    assert "╭─" in text
    assert "\x1b[31m" not in text


def test_short_dot_leaves_out_the_incarnation_only() -> None:
    assert short("S1/1763971200000/17") == "S1/…/17"
    assert short("a/b/1763971200000/17") == "a/b/…/17"


def test_orders_of_a_seed_are_the_same_200_in_an_order_of_its_own() -> None:
    first, again, other = read_orders(1), read_orders(1), read_orders(2)
    assert first == again != other
    assert sorted(order["id"] for order in first) == sorted(order["id"] for order in other)
    assert [order["id"] for order in sorted(other, key=lambda order: order["id"])] == list(range(1, 201))


@pytest.mark.parametrize("module", ["causal.cli.demo"])
def test_demo_module_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"asyncio", "grpc", "rich", "google.protobuf"} & set(loaded)
