"""`causal check`: reads traces, has them judged, and says what came of it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

from causal.observe.checker import check
from causal.observe.event import TraceError, TraceEvent
from causal.observe.report import Report, Spread, Step, Violation
from causal.observe.trace import read_trace

PROVED, REFUTED, UNUSABLE = range(3)
"""Exit codes."""

_BAR_AFTER_S = 0.7
_NO_LEFT_OUT = "as if every subject were causal"


def run(
    files: Sequence[Path],
    *,
    json_output: bool,
    declared: bool,
    needless_ms: float,
    concurrency: int,
    show: int,
) -> int:
    """Print the report to stdout, or what makes the files unusable to stderr; returns the exit code."""
    warnings: list[str] = []
    errors = Console(stderr=True)
    with _Bar(errors, files) as bar:
        try:
            report = check(
                bar.reading(warnings),
                declared=declared,
                needless_ms=needless_ms,
                concurrency=concurrency,
                show=show,
                warnings=warnings,
                progress=bar.checked,
            )
        except TraceError as error:
            bar.stop()
            errors.print(Text(f"unusable: {error}", style="red"), soft_wrap=True)
            return UNUSABLE
    if json_output:
        sys.stdout.write(json.dumps(report.to_dict(), indent=2) + "\n")
    else:
        print_report(report, Console(highlight=False))
    return PROVED if report.proved else REFUTED


def print_report(report: Report, console: Console) -> None:
    """The figures as a table, then PROVED or each shown break of the guarantee with its reason."""
    console.print(_figures(report))
    for warning in report.warnings:
        console.print(Text(f"note: {warning}", style="yellow"), soft_wrap=True)
    _print_places(console, report)
    if report.excused_count:
        _print_excused(console, report)
    for number, violation in enumerate(report.violations, start=1):
        console.print(_violation(violation, number), soft_wrap=True)
    if report.violation_count > len(report.violations):
        console.print(f"… and {report.violation_count - len(report.violations):,} more (--show N)")
    console.print(_verdict(report), soft_wrap=True)


def _print_excused(console: Console, report: Report) -> None:
    deliveries = _number(report.excused_deliveries, "delivery", "deliveries")
    text = (
        f"{_number(report.excused_count, 'pair')} excused, in {deliveries}: a delivery and a predecessor that was not "
        "settled there, which a verdict at that node had named as one that can never come, or as followed by it"
    )
    console.print(Text(text, style="yellow"), soft_wrap=True)
    for excused in report.excused:
        console.print(Text(f"  at {excused.node}: {excused.later} without {excused.earlier}"), soft_wrap=True)
    if report.excused_count > len(report.excused):
        console.print(f"  … and {report.excused_count - len(report.excused):,} more (--show N)")


def _verdict(report: Report) -> Text:
    scope = "pairs that the receivers' settings order" if report.declared else _NO_LEFT_OUT
    if report.proved:
        excused = f", but for {_number(report.excused_count, 'excused pair')}" if report.excused_count else ""
        return Text.assemble(
            ("PROVED", "bold green"),
            f": {_number(report.deliveries, 'delivery', 'deliveries')}, none before a message that causally "
            f"precedes it{excused} ({scope})",
        )
    found = [
        _number(count, *words)
        for count, words in (
            (report.violation_count, ("pair out of causal order", "pairs out of causal order")),
            (report.doubled_count, ("message delivered twice", "messages delivered twice")),
            (
                report.misdelivered_count,
                ("message at a node it is not for", "messages at a node they are not for"),
            ),
        )
        if count
    ]
    return Text.assemble(("REFUTED", "bold red"), f": {', '.join(found)} ({scope})")


def _figures(report: Report) -> Table:
    table = Table(title="causal check", title_justify="left", show_header=False)
    table.add_column("what")
    table.add_column("how many", justify="right")
    table.add_column("of it")
    incarnations = report.incarnations - len(report.nodes)
    restarts = f", {_number(incarnations, 'restart')}" if incarnations else ""
    table.add_row("nodes", f"{len(report.nodes):,}", Text(", ".join(report.nodes) + restarts))
    table.add_row("messages", f"{report.messages:,}", _number(report.copies, "copy", "copies"))
    table.add_row("deliveries", f"{report.deliveries:,}", _number(report.retries, "retry", "retries"))
    table.add_row("duplicates", f"{report.duplicates:,}", "arrived again")
    table.add_row("dropped", f"{report.dropped:,}", "settled without delivery")
    table.add_row("unsettled", f"{report.unsettled_count:,}", "sent, not settled when the traces end")
    table.add_row("held", f"{report.held.count:,}", _spread(report.held))
    beyond = report.beyond_ready
    table.add_row(
        "held needlessly",
        f"{report.held_needlessly:,}",
        f"over {report.needless_ms:g} ms beyond ready (p99 {beyond.p99:.1f}, longest {beyond.maximum:.1f})",
    )
    style = "bold red" if report.violation_count else "bold green"
    table.add_row(
        Text("violations", style=style),
        Text(f"{report.violation_count:,}", style=style),
        f"pairs out of order, in {_number(report.early_deliveries, 'delivery', 'deliveries')}",
    )
    if report.excused_count:
        deliveries = _number(report.excused_deliveries, "delivery", "deliveries")
        table.add_row("excused", f"{report.excused_count:,}", f"pairs out of order, in {deliveries}")
    return table


def _print_places(console: Console, report: Report) -> None:
    for places, count, style, words in (
        (
            report.unsettled,
            report.unsettled_count,
            "yellow",
            "never settled (the run was cut, or it is lost)",
        ),
        (report.doubled, report.doubled_count, "red", "delivered twice"),
        (report.misdelivered, report.misdelivered_count, "red", "delivered where it is not addressed to"),
    ):
        if count:
            console.print(Text(f"{count:,} {words}", style=style))
        for place in places:
            console.print(Text(f"  {place.id} at {place.node}"), soft_wrap=True)
        if count > len(places):
            console.print(f"  … and {count - len(places):,} more")


def _violation(violation: Violation, number: int) -> Text:
    lines = Text.assemble(
        (f"{number}. ", "bold"),
        (violation.node, "bold"),
        " started ",
        (_message(violation.later, violation.later_subject), "red"),
        " before ",
        (_message(violation.earlier, violation.earlier_subject), "cyan"),
        f" was settled there ({violation.earlier_was}). From one to the other:",
    )
    for step in violation.path:
        lines.append(f"\n     {_step(step)}")
    return lines


def _step(step: Step) -> str:
    message = _message(step.id, step.subject)
    return f"{step.node} sent {message}" if step.event == "send" else f"{step.node} started {message}, then"


def _message(identity: str, subject: str) -> str:
    return f"{identity} ({subject})"


def _spread(spread: Spread) -> str:
    if not spread.count:
        return "nothing had to wait"
    return f"median {spread.median:.1f} ms, p99 {spread.p99:.1f} ms, longest {spread.maximum:.1f} ms"


def _number(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


class _Bar:
    """A progress bar on stderr, if that is a terminal and once the work has taken a while."""

    def __init__(self, console: Console, files: Sequence[Path]) -> None:
        self._files = files
        self._sizes = [path.stat().st_size if path.is_file() else 0 for path in files]
        self._start = time.monotonic()
        self._shown = False
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("reading", total=None)
        self._terminal = console.is_terminal

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the bar away; any number of times."""
        if self._shown:
            self._progress.stop()
            self._shown = False

    def reading(self, warnings: list[str]) -> Iterator[TraceEvent]:
        """The events of all files, one after the other."""
        done = 0
        for path, size in zip(self._files, self._sizes, strict=True):
            for number, event in enumerate(read_trace(path, warnings)):
                if self._terminal and number % 2_000 == 0:
                    self._show("reading", done, sum(self._sizes))
                yield event
            done += size

    def checked(self, done: int, total: int) -> None:
        """Told by the checker how many events it has replayed."""
        if self._terminal:
            self._show("checking", done, total)

    def _show(self, description: str, done: int, total: int) -> None:
        if not self._shown and time.monotonic() - self._start > _BAR_AFTER_S:
            self._progress.start()
            self._shown = True
        self._progress.update(self._task, description=description, completed=done, total=total)
