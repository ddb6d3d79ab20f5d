"""Figures as SVG files: bars with a mark for the target, and lines over sizes.

No script, no font, nothing from elsewhere; readable on light and on dark pages.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

STYLE = """\
text { font: 12px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1f2328 }
.small { font-size: 11px; fill: #59636e } .title { font-weight: 600 }
.end { text-anchor: end } .middle { text-anchor: middle }
.background { fill: #fff } .bar { fill: #818b98 } .met { fill: #1a7f37 } .missed { fill: #cf222e }
line { stroke: #d1d9e0 } .target { stroke: #9a6700; stroke-width: 2 } .range { stroke: #1f2328 }
polyline { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .small { fill: #9198a1 } .background { fill: #0d1117 }
  line { stroke: #3d444d } .range { stroke: #f0f6fc }
}
"""
COLOURS = ("#0969da", "#1a7f37", "#cf222e", "#8250df", "#bc4c00", "#0a7a83", "#9a6700")
LETTER, ROW, MARGIN = 7.3, 22, 16
PLOT = 420  # width of what is drawn, beside the names
HEIGHT = 300


@dataclass(frozen=True)
class Bar:
    """One value with its quartiles, and where it should end."""

    name: str
    value: float
    lower: float
    upper: float
    target: float | None = None


@dataclass(frozen=True)
class Line:
    """One series of (size, value)."""

    name: str
    points: Sequence[tuple[float, float]]


def bars(title: str, given: Sequence[Bar]) -> str:
    """Draw bars of ratios on a logarithmic scale, for these span three powers of ten."""
    left = max(len(bar.name) for bar in given) * LETTER + 2 * MARGIN
    ends = [value for bar in given for value in (bar.lower, bar.upper, bar.target or bar.value)]
    scale = Scale.over([*ends, 1.0], left, left + PLOT)
    bottom = 2 * ROW + MARGIN + len(given) * ROW
    parts = [*_grid(scale, 2 * ROW, bottom, "{:g}")]
    for number, bar in enumerate(given):
        parts += _bar(bar, scale, 2 * ROW + 4 + number * ROW, left - MARGIN)
    return _svg(title, left + PLOT + 5 * MARGIN, bottom + 2 * MARGIN, parts)


def lines(title: str, given: Sequence[Line], unit: str) -> str:
    """Draw series over sizes, both axes logarithmic: what is linear rises by one for one."""
    left, right, top, bottom = 5 * MARGIN, 5 * MARGIN + PLOT, 2 * ROW, 2 * ROW + HEIGHT
    across = Scale.over([size for line in given for size, _ in line.points], left, right)
    up = Scale.over([value for line in given for _, value in line.points], bottom, top)
    parts = [*_grid(across, top, bottom, "{:,g}")]
    for value in up.marks():
        y = up.at(value)
        parts.append(f'<line x1="{left:g}" x2="{right:g}" y1="{y:.1f}" y2="{y:.1f}"/>')
        label = f"{value:,g} {unit}"
        parts.append(f'<text class="small end" x="{left - 6:g}" y="{y + 4:.1f}">{label}</text>')
    for number, (line, colour) in enumerate(zip(given, COLOURS, strict=False)):
        points = " ".join(
            f"{across.at(size):.1f},{up.at(value):.1f}" for size, value in line.points
        )
        parts.append(f'<polyline stroke="{colour}" points="{points}"/>')
        y = top + 12 + number * ROW
        parts.append(
            f'<rect fill="{colour}" x="{right + 20:g}" y="{y - 9:g}" width="10" height="10"/>'
        )
        parts.append(f'<text x="{right + 36:g}" y="{y:g}">{escape(line.name)}</text>')
    names = max(len(line.name) for line in given) * LETTER
    return _svg(title, right + 36 + names + MARGIN, bottom + 3 * MARGIN, parts)


@dataclass(frozen=True)
class Scale:
    """A logarithmic scale, from one power of ten to another."""

    low: int
    high: int
    start: float
    end: float

    @classmethod
    def over(cls, values: Iterable[float], start: float, end: float) -> Scale:
        """Make the scale that holds all of these values."""
        logs = [math.log10(value) for value in values if value > 0]
        low = math.floor(min(logs))
        return cls(low, max(low + 1, math.ceil(max(logs))), start, end)

    def at(self, value: float) -> float:
        """Say where a value is."""
        share = (math.log10(max(value, 10.0**self.low)) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def marks(self) -> list[float]:
        """Give the powers of ten on it."""
        return [10.0**power for power in range(self.low, self.high + 1)]


def _grid(scale: Scale, top: float, bottom: float, form: str) -> Iterable[str]:
    for value in scale.marks():
        x = scale.at(value)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top:g}" y2="{bottom:g}"/>'
        label = form.format(value)
        yield f'<text class="small middle" x="{x:.1f}" y="{bottom + 14:g}">{label}</text>'


def _bar(bar: Bar, scale: Scale, y: float, names_end: float) -> Iterable[str]:
    kind = "bar" if bar.target is None else "met" if bar.value <= bar.target else "missed"
    begin, end = sorted((scale.at(1.0), scale.at(bar.value)))
    yield f'<text class="end" x="{names_end:g}" y="{y + 11:g}">{escape(bar.name)}</text>'
    width = max(1.5, end - begin)
    yield f'<rect class="{kind}" x="{begin:.1f}" y="{y:g}" width="{width:.1f}" height="14"/>'
    low, high = scale.at(bar.lower), scale.at(bar.upper)
    middle = y + 7
    yield f'<line class="range" x1="{low:.1f}" x2="{high:.1f}" y1="{middle:g}" y2="{middle:g}"/>'
    after = max(end, high) + 6
    if bar.target is not None:
        x = scale.at(bar.target)
        yield f'<line class="target" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 2:g}" y2="{y + 16:g}"/>'
        after = max(after, x + 6)
    yield f'<text class="small" x="{after:.1f}" y="{y + 11:g}">{bar.value:.2g}</text>'


def _svg(title: str, width: float, height: float, parts: Iterable[str]) -> str:
    head = (
        '<svg xmlns="http://www.w3.org/2000/svg" role="img" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" aria-label={quoteattr(title)}>'
    )
    shown = f'<text class="title" x="{MARGIN}" y="{ROW}">{escape(title)}</text>'
    back = '<rect class="background" width="100%" height="100%"/>'
    return "\n".join([head, f"<style>\n{STYLE}</style>", back, shown, *parts, "</svg>"]) + "\n"
