"""What was measured, as tables to read."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.clock_growth import tables as clock_growth

Found = dict[str, Any]


def console() -> Console:
    """Standard output; in a file or a pipe the tables are as wide as they need."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def show(everything: Found, console: Console) -> None:
    """Print each part that is there, then the targets of all."""
    _machine(everything["machine"], console)
    for name, part in _PARTS.items():
        if name in everything and len(everything[name]) > 1:  # else there is only why it is void
            part(everything[name], console)
    targets = [target for name in _PARTS for target in everything.get(name, {}).get("targets", ())]
    if targets:
        _targets(targets, console)
    for name in _PARTS:
        if reason := everything.get(name, {}).get("void"):
            console.print(Text(f"{name} is void: {reason}", style="bold red"))


def number(value: float) -> str:
    """Three digits that mean something, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(figure: Found) -> str:
    """The median, and the least and most in brackets."""
    if len(figure["rounds"]) == 1:
        return number(figure["median"])
    return f"{number(figure['median'])} ({number(figure['min'])} … {number(figure['max'])})"


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _machine(machine: Found, console: Console) -> None:
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items() if version)
    console.print(Text(f"{machine['cores']} cores of {machine['cpu']}, {machine['python']}, {machine['kernel']}"))
    console.print(Text(f"{packages}; load {machine['load_1min']} before the run"))
    console.print(Text("median (least … most) of the rounds; ratios are taken round by round"))


def _throughput(found: Found, console: Console) -> None:
    table = _table("Throughput, 256 B bodies", "", "messages/s", "sender CPU µs", "receiver CPU µs", "product / it")
    for name, figures in found["contenders"].items():
        ratio = found["ratios"].get(f"product/{name}")
        table.add_row(
            figures["title"],
            spread(figures["messages_per_s"]),
            number(figures["sender_cpu_us"]["median"]),
            number(figures["receiver_cpu_us"]["median"]),
            spread(ratio) if ratio else "",
        )
    console.print(table)


def _profile(found: Found, console: Console) -> None:
    rate = spread(found["figures"]["messages_per_s"])
    console.print(Text(f"{found['role']} of {found['profiled']} at {rate} messages/s under the profiler:"))
    for path in found["files"]:
        console.print(Text(path), soft_wrap=True)


def _latency(found: Found, console: Console) -> None:
    for rate, contenders in found["rates"].items():
        title = f"Latency in µs at {int(rate):,} messages/s, from due to handled"
        table = _table(title, "", "p50", "p99", "p99.9", "load late, p50", "p99")
        for figures in contenders.values():
            latency, late = figures["latency_us"], figures["load_late_us"]
            note = f" (only {number(figures['posted_per_s']['median'])}/s)" if figures["saturated"] else ""
            table.add_row(
                figures["title"] + note,
                *(spread(latency[share]) for share in ("p50", "p99", "p99.9")),
                *(number(late[share]["median"]) for share in ("p50", "p99")),
            )
        console.print(table)


def _holdback(found: Found, console: Console) -> None:
    title = f"Hold-back: CPU of the engine, {found['senders']} senders, {found['frame_messages']} messages a frame"
    table = _table(title, "", "messages", "ns a message", "held at most", "RSS MB")
    for size, orders in found["sizes"].items():
        for order, figures in orders.items():
            table.add_row(
                order.replace("_", " "),
                f"{int(size):,}",
                spread(figures["ns"]),
                f"{figures['held_most']:,}",
                number(figures["rss_mb"]),
            )
    console.print(table)


def _parallelism(found: Found, console: Console) -> None:
    title = f"Parallelism: {found['senders']} unrelated senders, handlers of {found['handler_ms']:.0f} ms"
    table = _table(title, "", "messages/s", "violations")
    for concurrency, figures in found["concurrency"].items():
        table.add_row(f"concurrency={concurrency}", spread(figures["messages_per_s"]), str(found["violations"]))
    for scope, figures in found["gateway"].items():
        table.add_row(f"one gateway, {scope} scope", spread(figures["messages_per_s"]), str(found["violations"]))
    console.print(table)


def _imports(found: Found, console: Console) -> None:
    table = _table("Starting, in ms", "", "wall clock", "CPU")
    for name, figures in found["starts"].items():
        table.add_row(name, spread(figures["wall_ms"]), spread(figures["cpu_ms"]))
    console.print(table)


def _targets(targets: list[Found], console: Console) -> None:
    table = _table("Targets", "", "asked", "measured", "")
    for target in targets:
        least, most = target["at_least"], target["at_most"]
        asked = " ".join(f"{sign} {limit:g}" for sign, limit in (("≥", least), ("≤", most)) if limit is not None)
        verdict = Text("met", style="green") if target["met"] else Text("missed", style="red")
        table.add_row(target["name"], asked, spread(target["measured"]), verdict)
    console.print(table)


_PARTS: dict[str, Callable[[Found, Console], None]] = {
    "profile": _profile,
    "throughput": _throughput,
    "latency": _latency,
    "holdback": _holdback,
    "parallelism": _parallelism,
    "imports": _imports,
    "clock_growth": clock_growth.show,
}
