"""Draws a plot as SVG: lines over two axes, either of them logarithmic, readable on white and dark.

Not here: what is drawn (scale.py).
"""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 76, 24, 44, 52
_COLOURS = ("#1f6feb", "#d4620a", "#2a8a4a", "#8250df")
_STYLE = (
    "text { font: 12px system-ui, sans-serif; fill: #24292f } .title { font-size: 15px; "
    "font-weight: 600 } .grid { stroke: #d0d7de; stroke-width: 1 } .axis { stroke: #57606a } "
    ".line { fill: none; stroke-width: 2.5 }"
)


class Line(NamedTuple):
    """One line and its name."""

    name: str
    points: Sequence[tuple[float, float]]


class Axis(NamedTuple):
    """What an axis shows. A logarithmic one needs values above zero."""

    name: str
    log: bool = False


class _Scale(NamedTuple):
    """Where a value lies between two pixels."""

    low: float
    high: float
    first_px: float
    last_px: float
    log: bool

    def at(self, value: float) -> float:
        low, high, here = self.low, self.high, value
        if self.log:
            low, high, here = math.log10(low), math.log10(high), math.log10(value)
        part = (here - low) / ((high - low) or 1)
        return self.first_px + part * (self.last_px - self.first_px)

    def ticks(self) -> list[float]:
        if self.log:
            exponents = range(round(math.log10(self.low)), round(math.log10(self.high)) + 1)
            return [10.0**n for n in exponents]
        step = _step(self.high / 5)
        return [step * n for n in range(int(self.high / step) + 1)]


def _step(about: float) -> float:
    """Return 1, 2 or 5 times a power of ten, the least that is not smaller."""
    power = 10.0 ** math.floor(math.log10(about))
    return next(many * power for many in (1, 2, 5, 10) if many * power >= about * 0.999)


def _scale(values: Sequence[float], axis: Axis, first_px: float, last_px: float) -> _Scale:
    high = max(values)
    if axis.log:
        low = 10.0 ** math.floor(math.log10(min(values)))
        high = 10.0 ** math.ceil(math.log10(high))
        return _Scale(low, max(high, low * 10), first_px, last_px, log=True)
    step = _step((high or 1) / 5)
    return _Scale(0, step * math.ceil((high or 1) / step), first_px, last_px, log=False)


def number(value: float) -> str:
    """Return a short form: 10k, 2.5M, 0.2."""
    for least, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= least:
            return f"{value / least:g}{unit}"
    return f"{value:g}"


def plot(title: str, x: Axis, y: Axis, lines: Sequence[Line]) -> str:
    """Return the plot as the text of an SVG file."""
    xs = _scale([point[0] for line in lines for point in line.points], x, LEFT, WIDTH - RIGHT)
    ys = _scale([point[1] for line in lines for point in line.points], y, HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 22, title, "start", "title"),
        *_grid(xs, ys),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x.name),
        f'<g transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)">',
        _text(0, 0, y.name),
        "</g>",
    ]
    for n, line in enumerate(lines):
        parts += _drawn(line, _COLOURS[n % len(_COLOURS)], xs, ys)
        if len(lines) > 1:
            parts += _named(line.name, _COLOURS[n % len(_COLOURS)], n)
    return "\n".join([*parts, "</svg>", ""])


def _grid(xs: _Scale, ys: _Scale) -> list[str]:
    parts = []
    for value in ys.ticks():
        at = ys.at(value)
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(_text(LEFT - 8, at + 4, number(value), "end"))
    for value in xs.ticks():
        at = xs.at(value)
        parts.append(f'<path class="axis" d="M{at:.1f} {HEIGHT - BOTTOM}v5"/>')
        parts.append(_text(at, HEIGHT - BOTTOM + 20, number(value)))
    parts.append(f'<path class="axis" d="M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>')
    return parts


def _drawn(line: Line, colour: str, xs: _Scale, ys: _Scale) -> list[str]:
    places = [(xs.at(x), ys.at(y)) for x, y in line.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = [
        f'<circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="3.5" fill="{colour}">'
        f"<title>{number(x)}: {y:,.4g}</title></circle>"
        for (at_x, at_y), (x, y) in zip(places, line.points, strict=True)
    ]
    return [f'<polyline class="line" stroke="{colour}" points="{path}"/>', *dots]


def _named(name: str, colour: str, n: int) -> list[str]:
    at = LEFT + 12 + n * 190
    swatch = f'<path d="M{at} {TOP - 8}h18" stroke="{colour}" stroke-width="2.5"/>'
    return [swatch, _text(at + 24, TOP - 4, name, "start")]


def _text(x: float, y: float, text: str, anchor: str = "middle", kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{named}>{escape(text)}</text>'
