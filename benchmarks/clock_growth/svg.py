"""Charts as SVG, by hand: light, no fonts or scripts of their own, legible on a white page and on a dark one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 420
_LEFT, _TOP, _RIGHT, _BOTTOM = 70, 48, 235, 52
COLOURS = ("#1f5fbf", "#d1495b", "#2e8b57", "#b8860b", "#7b4fa3", "#4d4d4d", "#0f9aa8", "#c2571a", "#8a8a8a")
_DASHES = ("", "6 3", "2 3")

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One direction of a chart."""

    title: str
    logarithmic: bool = False
    ticks: tuple[float, ...]
    """In ascending order; the first and the last are the ends."""

    def place(self, value: float) -> float:
        """Where a value lies between the ends, 0 to 1; what is beyond an end lies on it."""
        low, high = self.ticks[0], self.ticks[-1]
        value = min(high, max(low, value))
        if self.logarithmic:
            return math.log(value / low) / math.log(high / low)
        return (value - low) / (high - low)


def lines(title: str, x: Axis, y: Axis, series: Mapping[str, Points]) -> str:
    """Lines with a mark at each point, named at the right in the order of their last points."""
    body = _frame(title, x, y)
    ends = _spread({name: _y(y, points[-1][1]) for name, points in series.items() if points})
    for number, (name, points) in enumerate(series.items()):
        if not points:
            continue
        colour, dash = COLOURS[number % len(COLOURS)], _DASHES[number // len(COLOURS) % len(_DASHES)]
        placed = [(_x(x, one), _y(y, other)) for one, other in points]
        path = " ".join(f"{one:.1f},{other:.1f}" for one, other in placed)
        stroke = f'stroke="{colour}" stroke-dasharray="{dash}"'
        body.append(f'<polyline points="{path}" fill="none" stroke-width="2" {stroke}/>')
        body += [f'<circle cx="{one:.1f}" cy="{other:.1f}" r="3" fill="{colour}"/>' for one, other in placed]
        right, at = WIDTH - _RIGHT + 14, ends[name]
        body.append(_line(placed[-1], (right - 3, at), colour))
        body.append(_text(name, right, at + 4, colour=colour))
    return _document(body)


def bars(title: str, unit: str, rows: Mapping[str, Sequence[float]], parts: Sequence[str]) -> str:
    """One bar for each row, stacked of the parts."""
    left, top, step = 235, 66, 30
    longest = max(sum(row) for row in rows.values()) or 1
    scale = (WIDTH - left - 70) / longest
    body = [_text(title, 16, 26, size=15, bold=True)]
    at = 16.0
    for part, colour in zip(parts, COLOURS, strict=False):
        body.append(f'<rect x="{at:.0f}" y="38" width="11" height="11" fill="{colour}"/>')
        body.append(_text(part, at + 16, 48))
        at += 30 + 7.2 * len(part)
    for number, (name, row) in enumerate(rows.items()):
        y, x = top + number * step, float(left)
        body.append(_text(name, left - 8, y + 15, anchor="end"))
        for value, colour in zip(row, COLOURS, strict=False):
            body.append(f'<rect x="{x:.1f}" y="{y}" width="{value * scale:.1f}" height="20" fill="{colour}"/>')
            x += value * scale
        body.append(_text(f"{sum(row):,.0f} {unit}", x + 6, y + 15))
    return _document(body, top + step * len(rows) + 12)


def _frame(title: str, x: Axis, y: Axis) -> list[str]:
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    body = [
        _text(title, 16, 26, size=15, bold=True),
        _text(x.title, (_LEFT + right) / 2, HEIGHT - 14, anchor="middle"),
        _text(y.title, 16, _TOP - 6),
    ]
    for tick in x.ticks:
        at = _x(x, tick)
        body.append(_line((at, _TOP), (at, bottom)))
        body.append(_text(_label(tick), at, bottom + 18, anchor="middle"))
    for tick in y.ticks:
        at = _y(y, tick)
        body.append(_line((_LEFT, at), (right, at)))
        body.append(_text(_label(tick), _LEFT - 8, at + 4, anchor="end"))
    return body


def _line(one: tuple[float, float], other: tuple[float, float], colour: str = "#d8d8d8") -> str:
    ends = f'x1="{one[0]:.1f}" y1="{one[1]:.1f}" x2="{other[0]:.1f}" y2="{other[1]:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="0.7"/>'


def _x(axis: Axis, value: float) -> float:
    return _LEFT + axis.place(value) * (WIDTH - _RIGHT - _LEFT)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - _BOTTOM - axis.place(value) * (HEIGHT - _BOTTOM - _TOP)


def _spread(wanted: Mapping[str, float], apart: float = 16) -> dict[str, float]:
    """Heights near the wanted ones, in their order, that leave room for a line of text each."""
    placed: dict[str, float] = {}
    last = -math.inf
    for name, height in sorted(wanted.items(), key=lambda item: item[1]):
        last = placed[name] = max(height, last + apart)
    beyond = max(0.0, last - (HEIGHT - 12))
    return {name: height - beyond for name, height in placed.items()}


def _label(value: float) -> str:
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _text(
    text: str, x: float, y: float, *, size: int = 12, anchor: str = "start", colour: str = "#333", bold: bool = False
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"{weight}>'
        f"{escape(text)}</text>"
    )


def _document(body: Sequence[str], height: int = HEIGHT) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">'
    return "\n".join((head, f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>', *body, "</svg>", ""))
