"""A roofline as an SVG file: what kernels reach, under what the machine can do."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_LEFT, _TOP, _WIDTH, _HEIGHT, _RIGHT, _BOTTOM = 70, 30, 640, 400, 30, 50
_COLOUR = "#c0392b"


@dataclass(frozen=True)
class Point:
    """A kernel.

    Args:
        name: What to call it.
        operations: Of a call.
        bytes: That a call reads and writes.
        seconds: Of a call.
        part: Of the program's time, 0 to 1.
    """

    name: str
    operations: int
    bytes: int
    seconds: float
    part: float

    @property
    def intensity(self) -> float:
        """Operations a byte."""
        return max(self.operations, 1) / max(self.bytes, 1)


def roofline(points: Sequence[Point], operations: float, moved: Mapping[str, float]) -> str:
    """The text of an SVG file.

    Args:
        points: The kernels.
        operations: That the machine can do a second.
        moved: Bytes that it can move a second, by the size in bytes of what is worked on.
    """
    return _Picture(points, operations, moved).text()


class _Picture:
    def __init__(
        self, points: Sequence[Point], operations: float, moved: Mapping[str, float]
    ) -> None:
        self.points, self.operations, self.moved = points, operations, moved
        slowest, fastest = min(moved.values()), max(moved.values())
        corners = [operations / slowest, operations / fastest]
        across = [*corners, *(p.intensity for p in points)]
        reached = [operations, *(max(p.operations, 1) / p.seconds for p in points)]
        reached.append(slowest * min(across))
        self.x = _decades(across)
        self.y = _decades(reached)

    def text(self) -> str:
        width, height = _LEFT + _WIDTH + _RIGHT, _TOP + _HEIGHT + _BOTTOM
        size = f'width="{width}" height="{height}"'
        space = 'xmlns="http://www.w3.org/2000/svg"'
        lines = [
            f'<svg {space} {size} font-family="sans-serif" font-size="12">',
            f'<rect {size} fill="white"/>',
            *self._grid(),
            *self._roofs(),
            *(line for p in sorted(self.points, key=lambda p: -p.part) for line in self._dot(p)),
            "</svg>",
            "",
        ]
        return "\n".join(lines)

    def _at(self, intensity: float, speed: float) -> tuple[float, float]:
        (x0, x1), (y0, y1) = self.x, self.y
        x = _LEFT + _WIDTH * (math.log10(intensity) - x0) / (x1 - x0)
        y = _TOP + _HEIGHT * (y1 - math.log10(speed)) / (y1 - y0)
        return x, y

    def _grid(self) -> Iterator[str]:
        (x0, x1), (y0, y1) = self.x, self.y
        for k in range(x0, x1 + 1):
            x, _ = self._at(10.0**k, 10.0**y0)
            yield _line(x, _TOP, x, _TOP + _HEIGHT, "#dddddd")
            yield _word(x, _TOP + _HEIGHT + 16, f"{10.0**k:g}")
        for k in range(y0, y1 + 1):
            _, y = self._at(10.0**x0, 10.0**k)
            yield _line(_LEFT, y, _LEFT + _WIDTH, y, "#dddddd")
            yield _word(_LEFT - 8, y + 4, f"{10.0 ** (k - 9):g}", "end")
        yield _word(_LEFT + _WIDTH / 2, _TOP + _HEIGHT + 36, "operations a byte")
        yield _word(_LEFT, _TOP - 12, "GFLOP/s")

    def _roofs(self) -> Iterator[str]:
        left, right = 10.0 ** self.x[0], 10.0 ** self.x[1]
        for size, speed in self.moved.items():
            corner = self.operations / speed
            lowest = max(left, 10.0 ** self.y[0] / speed)
            yield _line(*self._at(lowest, speed * lowest), *self._at(corner, self.operations))
            x, y = self._at(lowest, speed * lowest)
            yield _word(x + 4, y - 6, f"{int(size) >> 20} MiB: {speed / 1e9:.0f} GB/s", "start")
        first = self.operations / max(self.moved.values())
        yield _line(*self._at(first, self.operations), *self._at(right, self.operations))
        x, y = self._at(right, self.operations)
        yield _word(x - 4, y - 6, f"{self.operations / 1e9:.0f} GFLOP/s", "end")

    def _dot(self, p: Point) -> Iterator[str]:
        speed = max(p.operations, 1) / p.seconds
        x, y = self._at(p.intensity, speed)
        radius = 4 + 12 * math.sqrt(p.part)
        shown = f"{p.name}: {speed / 1e9:.1f} GFLOP/s, {100 * p.part:.0f} % of the time"
        yield (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{_COLOUR}" '
            f'fill-opacity="0.6"><title>{escape(shown)}</title></circle>'
        )


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten around values."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _line(x0: float, y0: float, x1: float, y1: float, colour: str = "#555555") -> str:
    where = f'x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"'
    return f'<line {where} stroke="{colour}"/>'


def _word(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
