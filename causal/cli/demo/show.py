"""What the demo looks like: a panel that moves while a run goes on, and one that stays when it is over.

Without a terminal there is no moving panel, and what stays is plain lines.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.box import ROUNDED
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from causal.cli.demo.ledger import PAID, PLACED, SHIPPED, Ledger
from causal.cli.demo.phases import LABELS, Stage

FRAME_S = 0.12
"""Drawing costs processor time that the services need: about eight frames a second are enough for an eye."""
ROLES = {"S1": "orders", "S2": "payments", "S3": "shipping"}
MARKS = {PLACED: ("○", "cyan"), PAID: ("●", "green"), "early": ("✗", "bold red")}
STRIP = 60
"""How many of the last deliveries at S3 are drawn."""

PICTURE_COLUMNS = 104

View = Callable[[Stage], RenderableType]
Row = tuple[float | None, str, Text]
"""ms since the first send (None: goes on from the row before), node, what happened."""


class Screen:
    """Draws runs one after another on a console; silent if there is none.

    A second console may record what stays, for a picture: without the frames that pass.
    """

    def __init__(self, console: Console | None, recorder: Console | None = None) -> None:
        self.console = console
        self.recorder = recorder
        self._live: Live | None = None
        self._heading = ""
        self._view: View = lambda stage: ""
        self._drawn_at = 0.0

    def begin(self, heading: str, view: View) -> None:
        """A run begins: its heading, and how to draw it while it goes on."""
        self._heading, self._view = heading, view
        if self.console is None:
            return
        if self.console.is_terminal:
            self._live = Live(console=self.console, auto_refresh=False, transient=True)
            self._live.start()
            self._live.update(self._panel("starting three processes …", "cyan"), refresh=True)
        else:
            self.console.print(self._heading)

    def draw(self, stage: Stage) -> None:
        """The run goes on. Cheap, unless it is time for another frame."""
        now = time.monotonic()
        if self._live is not None and now - self._drawn_at >= FRAME_S:
            self._live.update(self._panel(self._view(stage), "cyan"), refresh=True)
            self._drawn_at = time.monotonic()

    def end(self, style: str, *lines: RenderableType) -> None:
        """The run is over: what stays of it."""
        self.close()
        for console in (self.console, self.recorder):
            if console is None:
                continue
            if console.is_terminal:
                console.print(self._panel(Group(*lines), style))
            else:
                for line in lines:
                    console.print(line, soft_wrap=True)
                console.print()

    def say(self, text: Text) -> None:
        """A line outside any panel."""
        for console in (self.console, self.recorder):
            if console is not None:
                console.print(text, soft_wrap=not console.is_terminal)

    def close(self) -> None:
        """Give the terminal back; any number of times."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _panel(self, body: RenderableType, style: str) -> Panel:
        title = Text(f" {self._heading} ", style="bold")
        return Panel(body, title=title, title_align="left", border_style=style, box=ROUNDED, padding=(0, 1))


def recorder() -> Console:
    """A console that shows nothing and remembers everything."""
    return Console(
        file=io.StringIO(), record=True, force_terminal=True, width=PICTURE_COLUMNS, highlight=False,
        color_system="truecolor", legacy_windows=False,
    )  # fmt: skip


def save_picture(recorded: Console, path: Path) -> None:
    """Write what was recorded as SVG, with the reader's own fonts: a picture fetches nothing."""
    svg = re.sub(r"@font-face \{.*?\}", "", recorded.export_svg(title="causal demo"), flags=re.DOTALL)
    svg = svg.replace("Fira Code, monospace", "Fira Code, DejaVu Sans Mono, Menlo, Consolas, monospace")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg, encoding="utf-8")


def lanes(stage: Stage) -> RenderableType:
    """The three services side by side, with what each has done so far."""
    ledger = stage.ledger
    table = Table.grid(expand=True, padding=(0, 2, 0, 0))
    for _ in ROLES:
        table.add_column(ratio=1)
    placed, shipped = len(ledger.sends(PLACED)), ledger.seen("S1", SHIPPED)
    held = len(ledger.held("S3"))
    table.add_row(*(Text(f"{name} {role}", style="bold") for name, role in ROLES.items()))
    table.add_row(
        f"placed {placed} of {stage.orders}",
        f"took {len(ledger.sends(PAID))} payments",
        f"saw {ledger.seen('S3', PLACED)} orders, {ledger.seen('S3', PAID)} payments",
    )
    table.add_row(
        ProgressBar(total=max(1, stage.orders), completed=shipped, width=24),
        "",
        Text(f"holds back {held}", style="yellow" if held else "dim"),
    )
    cut = stage.shop.proxy.is_cut
    cable = Text("S1 ━━━━✂  ✂━━━▶ S3  " if cut else "S1 ━━━━━━━━━━▶ S3  ", "bold red" if cut else "cyan")
    cable.append(stage.cable, style="bold red" if cut else "dim")
    early = len(ledger.early())
    count = Text(f"payments before their order: {early}", style="bold red" if early else "bold green")
    return Group(table, Text(), cable, strip(ledger), count)


def strip(ledger: Ledger, *, from_first_early: bool = False) -> Text:
    """What S3 saw, in its order, one mark a message about orders: the last ones, or those from where it broke."""
    early = {each.payment for each in ledger.early()}
    seen = [event for event in ledger.deliveries("S3") if event.subject in (PLACED, PAID)]
    start = max(0, len(seen) - STRIP)
    if from_first_early:
        start = min(start, next((n - 8 for n, event in enumerate(seen) if event.id in early), start))
    text = Text("S3 saw ", style="bold")
    for event in seen[max(0, start) :][:STRIP]:
        text.append(*MARKS["early" if event.id in early else event.subject])
    return text


def legend() -> Text:
    return Text.assemble(
        ("       ○", "cyan"), (" order  ", "dim"), ("●", "green"), (" payment  ", "dim"),
        ("✗", "bold red"), (" payment before its order", "dim"),
    )  # fmt: skip


def short(id: str) -> str:
    """A dot without its incarnation, which is a long number: S1/…/4."""
    name, _, seq = id.rsplit("/", 2)
    return f"{name}/…/{seq}"


def clock(counts: dict[str, int]) -> str:
    return "{" + ", ".join(f"{name}:{count}" for name, count in sorted(counts.items())) + "}"


@dataclass(frozen=True, slots=True)
class Spacetime:
    """The one message: time goes down; each node has a column on a terminal, and its name on plain lines."""

    stage: Stage

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = list(_rows(self.stage))
        if console.is_terminal:
            yield _columns(rows)
        else:
            for ms, node, text in rows:
                yield Text.assemble(f"{f'{ms:.0f} ms' if ms is not None else '':>9}  {node}  ", text)


def _columns(rows: Iterable[Row]) -> Table:
    table = Table.grid(expand=True, padding=(0, 2, 0, 0))
    table.add_column(justify="right", width=8, style="dim")
    for _ in ROLES:
        table.add_column(ratio=1)
    table.add_row("", *(Text(f"{name} {role}", style="bold") for name, role in ROLES.items()))
    for ms, node, text in rows:
        cells: Iterable[RenderableType] = (text if name == node else "" for name in ROLES)
        table.add_row(f"{ms:.0f} ms" if ms is not None else "", *cells)
    return table


def _rows(stage: Stage) -> Iterable[Row]:
    """What happened to A, B and C: (ms since A was sent, node, what)."""
    ledger = stage.ledger
    start = next((event.at for event in ledger.events if event.event == "send"), None)
    if start is None:
        return
    clocks = stage.clocks
    for event in sorted(ledger.events, key=lambda event: event.at):
        label = LABELS.get(event.subject)
        if label is None:
            continue
        ms = (event.at - start) / 1e6
        arrival = ledger.arrivals.get((event.node, event.id))
        if event.event == "send":
            known = clock(clocks[label]) if label in clocks else ""
            to = ", ".join(event.to or ())
            yield ms, event.node, Text(f"● {label} {event.subject}", style="bold cyan")
            yield None, event.node, Text(f"  {known} to {to}".replace("   ", "  "), style="cyan")
        elif event.event == "receive" and _was_held(stage, event.node, event.id):
            yield ms, event.node, Text(f"◌ {label} arrives: HELD", style="bold yellow")
            yield from _waits_for(stage)
        elif event.event == "deliver" and arrival is not None:
            held = f" after {arrival.held_s * 1000:.0f} ms" if label == "B" and arrival.held_s else ""
            yield ms, event.node, Text(f"▶ {label} delivered{held}", style="bold green")


def _was_held(stage: Stage, node: str, id: str) -> bool:
    arrival = stage.ledger.arrivals[node, id]
    later = [event for event in stage.ledger.deliveries(node) if event.id != id]
    if arrival.delivered_at is None:
        return True
    return any((arrival.received_at or 0) < event.at < arrival.delivered_at for event in later)


def _waits_for(stage: Stage) -> Iterable[Row]:
    awaited = stage.ledger.sent.get(stage.waits_for)
    if awaited is None:
        return
    arrived = stage.ledger.arrivals["S3", awaited.id].received_at
    age = ((arrived or time.time_ns()) - awaited.at) / 1e6
    verb, when = ("waits", "ago") if arrived is None else ("waited", "before")
    for text in (f"  {verb} for {short(awaited.id)},", f"  sent by {awaited.sender} {age:.0f} ms {when}"):
        yield None, "S3", Text(text, style="yellow")
