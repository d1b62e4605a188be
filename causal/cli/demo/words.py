"""What stays on the screen of each run: its numbers, in words."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from causal.cli.demo.ledger import PAID, PLACED
from causal.cli.demo.numbers import Comparison, Cut, Numbers, OneMessage
from causal.cli.demo.show import clock, short
from causal.observe.report import Report, Step, Violation


def of_comparison(run: Comparison) -> list[Text]:
    """The payments that came early, and what that did."""
    bad = run.early > 0
    lines = [
        Text.assemble(
            ("S3 saw ", "bold"),
            (f"{run.early} of {run.payments}", "bold red" if bad else "bold green"),
            (" payments before their order", "bold"),
            (f"   ({run.messages} messages in {run.seconds:.1f} s)", "dim"),
        )
    ]
    if run.example is not None and run.example.by_ms is not None:
        lines.append(
            Text(
                f"for example {short(run.example.payment)} came {run.example.by_ms:.0f} ms before "
                f"{short(run.example.order)}, the order that it pays"
            )
        )
    lines.append(
        Text(
            f"left behind: {run.locked_away} goods reserved for ever, for orders that have already left"
            if run.locked_away
            else "left behind: nothing, all goods that were reserved have been shipped"
        )
    )
    if run.ordering == "causal":
        report = run.report
        lines.append(
            Text(
                f"held back at S3: {run.payments_held} payments, median {run.payments_hold_median_ms:.0f} ms; "
                f"anywhere: {report.held.count} of {report.deliveries} deliveries, "
                f"median {report.held.median:.1f} ms"
            )
        )
        needless = Text.assemble(
            "held needlessly: ", (f"{report.held_needlessly}", "bold green" if not report.held_needlessly else "red")
        )
        needless.append(f" (longest wait once ready: {report.beyond_ready.maximum:.1f} ms)", style="dim")
        lines.append(needless)
        lines.append(Text(f"stamps: {run.stamp_bytes_mean:.0f} bytes a message"))
    return lines


def of_one_message(one: OneMessage) -> list[Text]:
    """The clocks as the handlers saw them, and what B waited for."""
    clocks = "   ".join(f"{label} {clock(one.clocks[label])}" for label in sorted(one.clocks))
    waited = "B did not wait"
    if one.waited_for:
        waited = f"B waited {one.held_ms:.0f} ms for {short(one.waited_for)}"
    order = ", ".join(one.order_at_s3)
    return [Text(), Text(clocks, style="cyan"), Text(f"{waited}; S3 handled {order}", style="bold")]


def of_cut(cut: Cut) -> list[Text]:
    """Who went on, who waited, and for how long."""
    style = "bold red" if cut.lost or cut.doubled else "bold green"
    return [
        Text.assemble(
            ("S1→S3 was out for ", "bold"),
            f"{cut.seconds:.2f} s; meanwhile ",
            (f"{cut.delivered_meanwhile}", "bold green"),
            " messages that do not depend on it were delivered,",
        ),
        Text.assemble((f"{cut.waiting}", "bold yellow"), " that do depend on it waited at S3"),
        Text(
            f"S1 was through again after {cut.reconnected_ms:.0f} ms; "
            f"{cut.released_ms:.0f} ms later all of those were released"
        ),
        Text(f"lost {cut.lost}, doubled {cut.doubled}", style=style),
    ]


def of_proof(numbers: Numbers) -> list[Text]:
    """`causal check` on all four runs: happened-before recomputed from the traces, without our clocks."""
    lines = [
        _judgement("2 with causal", numbers.with_causal.report),
        _judgement("3 one message", numbers.one.report),
        _judgement("4 cable pulled", numbers.cut.report),
        _judgement("1 without", numbers.without.report),
    ]
    lines += _of_violation(_example(numbers.without.report.violations))
    return lines


def _judgement(run: str, report: Report) -> Text:
    text = Text(f"run {run:<15}")
    if report.proved:
        text.append("PROVED ", style="bold green")
        text.append(f"  {report.deliveries} deliveries of {report.messages} messages, none before its cause")
    else:
        text.append("REFUTED", style="bold red")
        text.append(
            f"  {report.early_deliveries} of {report.deliveries} deliveries came before a cause of theirs "
            f"({report.violation_count} violations)"
        )
    return text


def _example(violations: Sequence[Violation]) -> Violation | None:
    """The first payment that came before its order was there; else the first violation of any kind."""
    ours = (v for v in violations if (v.earlier_subject, v.later_subject) == (PLACED, PAID))
    return next((v for v in ours if v.earlier_was == "not received"), next(iter(violations), None))


def _of_violation(violation: Violation | None) -> list[Text]:
    if violation is None:
        return []
    is_payment = (violation.earlier_subject, violation.later_subject) == (PLACED, PAID)
    first = Text("the first payment before its order: " if is_payment else "the first: ", style="red")
    first.append(f"{violation.node} handled {short(violation.later)}", style="bold")
    first.append(f" while {short(violation.earlier)} was {violation.earlier_was}, though")
    return [first, Text("  " + " → ".join(map(_step, violation.path)), style="red")]


def _step(step: Step) -> str:
    verb = "sends" if step.event == "send" else "handles"
    return f"{step.node} {verb} {step.subject} {short(step.id)}"


def of_verdict(numbers: Numbers, seconds: float) -> Text:
    """The last line: the promise was kept, was broken, or the runs say nothing."""
    if broken := numbers.broken():
        return Text("The promise was BROKEN: " + "; ".join(broken), style="bold red")
    if invalid := numbers.invalid():
        return Text("The run is invalid: " + "; ".join(invalid), style="bold yellow")
    if needless := numbers.with_causal.report.held_needlessly:
        return Text(f"Every message after its causes; {needless} waited longer than that took.", style="bold green")
    return Text.assemble(
        ("Every message after its causes, and none waited for anything else.", "bold green"),
        (f"   {seconds:.1f} s", "dim"),
    )
