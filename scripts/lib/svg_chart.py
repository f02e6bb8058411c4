"""Charts as SVG text: bars with whiskers, and lines. No library, so that the same numbers give the same bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape

COLOURS = ("#1f6f8b", "#c8553d", "#8a8d3b", "#7b5ea7", "#777777")
INK, FAINT = "#222222", "#dddddd"


@dataclass
class Bar:
    label: str
    colour: int
    value: float
    low: float
    high: float


@dataclass
class Group:
    title: str
    bars: list[Bar] = field(default_factory=list)


@dataclass
class Line:
    label: str
    colour: int
    points: list[tuple[float, float, float, float]]  # x, y, low, high


def _text(x: float, y: float, content: str, anchor: str = "start", size: int = 13, weight: str = "normal") -> str:
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
            f'fill="{INK}">{escape(content)}</text>')


def _rule(x1: float, y1: float, x2: float, y2: float, colour: str = FAINT, width: float = 1) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def _ticks(top: float) -> list[float]:
    """About five round steps up to `top`."""
    step = 10.0 ** (len(str(int(max(top, 1)))) - 1)
    while top / step < 4:
        step /= 2
    while top / step > 8:
        step *= 2
    return [step * i for i in range(int(top / step) + 1)]


def _number(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:g} M"
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"


def _document(width: float, height: float, body: list[str]) -> str:
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif">',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>', *body, "</svg>", ""])


def bars(title: str, groups: list[Group], unit: str) -> str:
    """Horizontal bars; the whisker goes from low to high."""
    left, right, width, bar_height = 250.0, 90.0, 900.0, 18.0
    top = max(bar.high for group in groups for bar in group.bars)
    scale = (width - left - right) / top
    body = [_text(20, 30, title, size=16, weight="bold")]
    y, start = 52.0, 52.0
    marks = []
    for group in groups:
        marks.append(_text(20, y + 14, group.title, weight="bold"))
        y += 22
        for bar in group.bars:
            marks.append(_text(left - 10, y + 13, bar.label, "end"))
            marks.append(f'<rect x="{left:.1f}" y="{y:.1f}" width="{bar.value * scale:.1f}" '
                         f'height="{bar_height - 4:.1f}" fill="{COLOURS[bar.colour]}"/>')
            middle = y + bar_height / 2 - 2
            marks.append(_rule(left + bar.low * scale, middle, left + bar.high * scale, middle, INK, 1.5))
            marks.append(_text(left + max(bar.high, bar.value) * scale + 6, y + 12, f"{_number(bar.value)} {unit}"))
            y += bar_height
        y += 10
    for tick in _ticks(top):
        body.append(_rule(left + tick * scale, start, left + tick * scale, y))
        body.append(_text(left + tick * scale, y + 16, _number(tick), "middle", 12))
    return _document(width, y + 30, body + marks)


def lines(title: str, panels: list[tuple[str, list[Line], bool]], x_label: str) -> str:
    """One panel below the other over the same x, the y of those with True logarithmic; the shade goes from low to high."""
    left, width, height, gap = 90.0, 900.0, 250.0, 70.0
    plot = width - left - 140
    x_top = max(point[0] for _, panel, _ in panels for line in panel for point in line.points)
    body = [_text(20, 30, title, size=16, weight="bold")]
    y0 = 75.0
    for name, panel, logarithmic in panels:
        most = max(point[3] for line in panel for point in line.points) or 1.0
        least = min(point[2] for line in panel for point in line.points)
        decades = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1) if logarithmic else range(0)
        y_ticks = [10.0**decade for decade in decades] if logarithmic else _ticks(most)
        low, high = (decades[0], decades[-1]) if logarithmic else (0.0, most)

        def at(x: float, y: float, base: float = y0 + height, low: float = low, high: float = high,
               logarithmic: bool = logarithmic) -> tuple[float, float]:
            part = ((math.log10(max(y, 10**low)) if logarithmic else y) - low) / (high - low)
            return left + x / x_top * plot, base - part * height

        body.append(_text(20, y0 - 12, name, weight="bold"))
        for tick in y_ticks:
            x, y = at(0, tick)
            body += [_rule(x, y, left + plot, y), _text(x - 8, y + 4, _number(tick), "end", 12)]
        for tick in _ticks(x_top):
            x, y = at(tick, 0 if not logarithmic else 10**low)
            body += [_rule(x, y, x, y + 5, INK), _text(x, y + 20, _number(tick), "middle", 12)]
        for number, line in enumerate(panel):
            upper = [at(point[0], point[3]) for point in line.points]
            lower = [at(point[0], point[2]) for point in reversed(line.points)]
            shade = " ".join(f"{x:.1f},{y:.1f}" for x, y in upper + lower)
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(point[0], point[1]) for point in line.points))
            colour = COLOURS[line.colour]
            body.append(f'<polygon points="{shade}" fill="{colour}" opacity="0.15"/>')
            body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
            body += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'
                     for x, y in (at(point[0], point[1]) for point in line.points)]
            key = y0 + 12 + 20 * number
            body += [_rule(width - 130, key, width - 105, key, colour, 3), _text(width - 98, key + 4, line.label)]
        y0 += height + gap
    body.append(_text(left + plot / 2, y0 - gap + 45, x_label, "middle"))
    return _document(width, y0, body)
