"""Curves as SVG: points with room for thousands, ticks at round numbers, colours of the page."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 560, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 16, 12, 40
_POINTS = 600  # of a curve that is kept: more than the screen has room for is no use


class Curve(NamedTuple):
    """Points that are joined, in order; `kind` is the class of the style sheet."""

    kind: str
    label: str
    points: Sequence[tuple[float, float]]
    marked: bool = False  # whether points are shown, each with what it says


class Samples:
    """The points of a curve that grows: where there are too many, every second one is dropped."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []
        self.last: tuple[float, float] | None = None
        self._every = 1
        self._seen = 0

    def add(self, x: float, y: float) -> None:
        """A point more."""
        self.last = (x, y)
        if self._seen % self._every == 0:
            self.points.append(self.last)
            if len(self.points) > _POINTS:
                self.points = self.points[::2]
                self._every *= 2
        self._seen += 1

    def all(self) -> list[tuple[float, float]]:
        """The points that are kept, and the last one."""
        kept = self.points[-1:] == [self.last] or self.last is None
        return self.points if kept else [*self.points, self.last]  # type: ignore[list-item]


def ticks(low: float, high: float, count: int = 5, whole: bool = False) -> list[float]:
    """Round numbers from low to high, about so many: 1, 2 or 5 times a power of ten apart.

    Example:
        >>> ticks(0.0, 1.0)
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    span = max(high - low, 1e-300)
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(s * power for s in (1, 2, 5, 10) if span / (s * power) <= count * 1.001)
    step = max(step, 1.0) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step)))
    return [round(k * step, digits) for k in range(first, last + 1)]


def number(value: float) -> str:
    """A number as a person reads it: four digits."""
    if not math.isfinite(value):
        return str(value)
    if value == 0 or 0.1 <= abs(value) < 10:
        return f"{value:.4f}"
    return f"{value:.5g}" if 10 <= abs(value) < 1e5 else f"{value:.4g}"


def chart(title: str, curves: Sequence[Curve], x_label: str = "epoch") -> str:
    """A chart of curves, as an SVG element; points that are not finite are left out."""
    points = [p for c in curves for p in c.points if math.isfinite(p[1])]
    if not points:
        return '<p class="none">no numbers yet</p>'
    x_low, x_high = _range([x for x, _ in points], 0.0)
    y_low, y_high = _range([y for _, y in points], 0.06)

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / (x_high - x_low)
        up = (y - y_low) / (y_high - y_low)
        return (
            _LEFT + across * (WIDTH - _LEFT - _RIGHT),
            HEIGHT - _BOTTOM - up * (HEIGHT - _TOP - _BOTTOM),
        )

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title)}">']
    for y in ticks(y_low, y_high):
        _, down = at(x_low, y)
        parts.append(
            f'<path class="grid" d="M{_LEFT} {down:.1f}H{WIDTH - _RIGHT}"/>'
            f'<text class="tick" x="{_LEFT - 8}" y="{down + 4:.1f}" text-anchor="end">{y:g}</text>'
        )
    base = HEIGHT - _BOTTOM
    for x in ticks(x_low, x_high, 8, whole=True):
        right, _ = at(x, y_low)
        parts.append(
            f'<path class="axis" d="M{right:.1f} {base}v4"/>'
            f'<text class="tick" x="{right:.1f}" y="{base + 17}" text-anchor="middle">{x:g}</text>'
        )
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(
        f'<path class="axis" d="M{_LEFT} {base}H{WIDTH - _RIGHT}"/>'
        f'<text class="label" x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{x_label}</text>'
    )
    for curve in curves:
        parts += _drawn(curve, [(p, at(*p)) for p in curve.points if math.isfinite(p[1])])
    return "\n".join([*parts, "</svg>"])


def _drawn(
    curve: Curve, points: Sequence[tuple[tuple[float, float], tuple[float, float]]]
) -> list[str]:
    line = " ".join(f"{x:.1f},{y:.1f}" for _, (x, y) in points)
    parts = [f'<polyline class="{curve.kind}" points="{line}"/>'] if len(points) > 1 else []
    if (curve.marked and len(points) <= 60) or len(points) == 1:
        parts += [
            f'<circle class="{curve.kind}" cx="{x:.1f}" cy="{y:.1f}" r="3">'
            f"<title>{html.escape(curve.label)}, epoch {px:g}: {number(py)}</title></circle>"
            for (px, py), (x, y) in points
        ]
    return parts


def _range(values: Sequence[float], margin: float) -> tuple[float, float]:
    """From the least to the greatest with room around, never empty."""
    low, high = min(values), max(values)
    if low == high:
        room = abs(low) * 0.1 or 0.5
        return low - room, high + room
    room = (high - low) * margin
    return low - room, high + room
