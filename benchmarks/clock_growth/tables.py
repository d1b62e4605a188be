"""The cells as tables to read."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

COLUMNS = (
    "", "order", "p99", "max", "ideal", "clock", "names", "reports", "total", "p99", "held %", "ms", "p99", "ctl",
    "acks", "kB",
)  # fmt: skip

LEGEND = """\
Bytes of a copy on the wire, without its payload. order: after, elsewhere, previous, HLC, horizon (mean, p99, max);
ideal: what dependencies would take if senders knew of every settlement at once; clock: the vector clock; names:
definitions of names, once in a stream; reports: stable numbers and questions; total: all of it and the framing (mean,
p99). held: copies that waited; ms: how long all of them did (mean, p99). ctl, acks: frames without a message, for each
copy: heartbeats and questions; settlements. kB: state of a service, 8 bytes for each number and name in it. Those of
the literature know all services beforehand and need no framing, restarts or acknowledgements."""


def show(found: dict[str, Any], console: Console) -> None:
    """One table for each cell."""
    console.print(Text(LEGEND, style="dim"))
    for cell in found["cells"]:
        console.print(_table(cell))


def _table(cell: dict[str, Any]) -> Table:
    slow = f"{cell['slow_links']} of {cell['links']} links slow"
    title = f"{cell['title']} ({cell['messages']:,} messages in {cell['virtual_ms']:,.0f} ms, {slow})"
    table = Table(title=title, title_justify="left", title_style="bold", padding=(0, 0, 0, 1), box=None)
    for number, column in enumerate(COLUMNS):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for result in cell["results"].values():
        table.add_row(*_row(result))
    return table


def _row(result: dict[str, Any]) -> list[str]:
    sizes, wait = result["bytes"], result["wait_ms"]
    ordering, total = sizes["ordering"], sizes["total"]
    ours = bool(result["acknowledgements"])
    orders = ours or ordering["max"] > 0
    return [
        result["title"],
        *(_size(ordering[figure]) for figure in ("mean", "p99", "max")),
        f"{result['ideal_dependencies']['mean']:.1f}" if ours else "",
        *(_size(sizes[part]["mean"]) for part in ("clock", "origins", "reports")),
        *(_size(total[figure]) for figure in ("mean", "p99")),
        f"{100 * result['held_share']:.1f}" if orders else "",
        *(_size(wait[figure]) if orders else "" for figure in ("mean", "p99")),
        *(f"{result[count]:.2f}" if ours else "" for count in ("controls", "acknowledgements")),
        _size(result["state_bytes"]["mean"] / 1000),
    ]


def _size(value: float) -> str:
    """Two digits or more, in few places."""
    if not value:
        return "·"
    for least, unit, sign in ((1_000_000, 1_000_000, "M"), (10_000, 1_000, "k")):
        if value >= least:
            return f"{value / unit:.1f}{sign}"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"
