"""A graph as SVG: boxes in layers, each below what it reads.

The layers are those of longest paths, of at most so many boxes; their order is that of barycentres.
What is read many layers further down is named there by an arrow, so that time and size grow as the
number of boxes does.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

_ACROSS = 10  # boxes of a layer
_FAR = 12  # layers that a line may cross
_SWEEPS = 4
_LIGHT, _OF_WAYS = 0.001, 0.1
_LETTER, _LINE, _PADDING = 7.3, 15, 8  # of the text: 12 pixels, monospaced
_GAP, _BETWEEN, _MARGIN = 18, 34, 10
_BEND = 10  # the width of a line's way through a layer
_NAMED = 3  # far values that a box names


@dataclass(frozen=True)
class Box:
    """A node of the graph.

    Args:
        id: Of the element.
        name: What boxes far below call it.
        lines: Its text.
        title: What is shown when it is pointed at.
        kind: The class of the element.
        reads: The boxes that it reads, by number, each with the text of the value.
        keys: What it is linked with, for `data-k`.
        href: The id of what it opens.
    """

    id: str
    name: str
    lines: tuple[str, ...]
    title: str
    kind: str = "op"
    reads: tuple[tuple[int, str], ...] = ()
    keys: str = ""
    href: str | None = None


def draw(boxes: Sequence[Box]) -> str:
    """An SVG element; boxes come after those that they read.

    Example:
        >>> draw([Box("a", "x", ("x",), "x"), Box("b", "y", ("exp",), "y", reads=((0, "f32[8]"),))])
    """
    return "\n".join(_Drawing(boxes).text())


class _Drawing:
    def __init__(self, boxes: Sequence[Box]) -> None:
        self.boxes = boxes
        self.layer = _layers(boxes)
        self.far: list[list[int]] = [[] for _ in boxes]  # that each names
        self.ways: list[tuple[int, int, str, list[int]]] = []  # from, to, text, places between
        self.above: list[list[int]] = [[] for _ in boxes]
        self.below: list[list[int]] = [[] for _ in boxes]
        self.rows: list[list[int]] = [[] for _ in range(max(self.layer, default=-1) + 1)]
        for k, layer in enumerate(self.layer):
            self.rows[layer].append(k)
        for k, box in enumerate(boxes):
            for read, text in dict.fromkeys(box.reads):
                self._connect(read, k, text)
        self.lines = [(*b.lines, *self._far_lines(k)) for k, b in enumerate(boxes)]
        self.width = [
            max(len(line) for line in lines) * _LETTER + 2 * _PADDING for lines in self.lines
        ]
        self.width += [_BEND] * (len(self.layer) - len(boxes))
        for sweep in range(_SWEEPS):
            self._order(down=sweep % 2 == 0)
        self.x = [0.0] * len(self.layer)  # of the middle
        for row in self.rows:
            self._place(row, [0.0] * len(row))
        for down in (True, False, True):
            self._straighten(down)
        left = min((self.x[k] - self.width[k] / 2 for k in range(len(self.x))), default=0.0)
        self.x = [x - left + _MARGIN for x in self.x]

    def _connect(self, read: int, reader: int, text: str) -> None:
        start, stop = self.layer[read], self.layer[reader]
        if stop - start > _FAR:
            self.far[reader].append(read)
            return
        places: list[int] = []
        for layer in range(start + 1, stop):
            places.append(len(self.layer))
            self.layer.append(layer)
            self.rows[layer].append(places[-1])
            self.above.append([])
            self.below.append([])
        chain = [read, *places, reader]
        for a, b in itertools.pairwise(chain):
            self.below[a].append(b)
            self.above[b].append(a)
        self.ways.append((read, reader, text, places))

    def _far_lines(self, box: int) -> Iterator[str]:
        names = [self.boxes[k].name for k in dict.fromkeys(self.far[box])]
        if len(names) > _NAMED:
            names[_NAMED:] = [f"{len(names) - _NAMED} more"]
        yield from (f"↑ {name}" for name in names)

    def _order(self, *, down: bool) -> None:
        """Sorts each layer by the middle of what is above, or below."""
        place = [0.0] * len(self.layer)
        near = self.above if down else self.below
        for row in self.rows if down else reversed(self.rows):
            for n, k in enumerate(row):
                place[k] = (n + 0.5) / len(row)
            for k in row:
                if near[k]:
                    place[k] = sum(place[j] for j in near[k]) / len(near[k])
            row.sort(key=place.__getitem__)
            for n, k in enumerate(row):
                place[k] = (n + 0.5) / len(row)

    def _straighten(self, down: bool) -> None:
        near = self.above if down else self.below
        for row in self.rows if down else reversed(self.rows):
            wanted = [self._middle(near[k]) if near[k] else self.x[k] for k in row]
            self._place(row, wanted)

    def _middle(self, near: Sequence[int]) -> float:
        weights = [self._weight(k) for k in near]
        return sum(self.x[k] * w for k, w in zip(near, weights, strict=True)) / sum(weights)

    def _weight(self, k: int) -> float:
        """What reads nothing goes where its reader is; ways give way."""
        if k >= len(self.boxes):
            return _OF_WAYS
        return 1.0 if self.boxes[k].reads else _LIGHT

    def _place(self, row: Sequence[int], wanted: Sequence[float]) -> None:
        """Puts boxes as near to where they are wanted as they fit in their order."""
        starts: list[float] = []  # of each box, where all stand side by side
        at = 0.0
        for k in row:
            starts.append(at + self.width[k] / 2)
            at += self.width[k] + _GAP
        blocks: list[tuple[float, float, int]] = []  # boxes that touch: shifts, weights, how many
        for k, start, want in zip(row, starts, wanted, strict=True):
            weight, count = self._weight(k), 1
            total = (want - start) * weight
            while blocks and blocks[-1][0] / blocks[-1][1] >= total / weight:
                more, heavy, n = blocks.pop()
                total, weight, count = total + more, weight + heavy, count + n
            blocks.append((total, weight, count))
        shifts = [total / weight for total, weight, count in blocks for _ in range(count)]
        for k, start, shift in zip(row, starts, shifts, strict=True):
            self.x[k] = start + shift

    def text(self) -> Iterator[str]:
        tops: list[float] = []
        heights: list[float] = []
        y = float(_MARGIN)
        for row in self.rows:
            lines = max((len(self.lines[k]) for k in row if k < len(self.boxes)), default=1)
            tops.append(y)
            heights.append(lines * _LINE + _PADDING)
            y += heights[-1] + _BETWEEN
        width = max((self.x[k] + self.width[k] / 2 for k in range(len(self.x))), default=0.0)
        across, high = round(width + _MARGIN), round(max(y - _BETWEEN, 0) + _MARGIN)
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{across}" height="{high}" '
            f'viewBox="0 0 {across} {high}">'
        )
        yield from self._edges(tops, heights)
        for k, box in enumerate(self.boxes):
            yield self._box(k, box, tops[self.layer[k]])
        yield "</svg>"

    def _edges(self, tops: Sequence[float], heights: Sequence[float]) -> Iterator[str]:
        entering: dict[int, list[int]] = {}
        for n, (_, reader, _, _) in enumerate(self.ways):
            entering.setdefault(reader, []).append(n)
        port: dict[int, float] = {}
        for reader, ways in entering.items():
            ways.sort(key=lambda n: self.x[[self.ways[n][0], *self.ways[n][3]][-1]])
            for k, n in enumerate(ways, 1):
                port[n] = self.x[reader] + self.width[reader] * (k / (len(ways) + 1) - 0.5)
        for n, (read, reader, text, places) in enumerate(self.ways):
            top, x = tops[self.layer[read]], self.x[read]
            path = [f"M{x:.0f} {top + self._height(read):.0f}"]
            y = top + heights[self.layer[read]]
            if heights[self.layer[read]] > self._height(read):
                path.append(f"V{y:.0f}")
            for k in places:
                top, bottom = tops[self.layer[k]], tops[self.layer[k]] + heights[self.layer[k]]
                path.append(_curve(x, y, self.x[k], top) + f"V{bottom:.0f}")
                x, y = self.x[k], bottom
            path.append(_curve(x, y, port[n], tops[self.layer[reader]]))
            ends = f"{self.boxes[read].id} {self.boxes[reader].id}"
            yield (
                f'<path class="edge" data-edge="{escape(ends)}" d="{"".join(path)}">'
                f"<title>{escape(text)}</title></path>"
            )

    def _height(self, box: int) -> float:
        return len(self.lines[box]) * _LINE + _PADDING

    def _box(self, k: int, box: Box, top: float) -> str:
        left, width = self.x[k] - self.width[k] / 2, self.width[k]
        title = box.title
        if self.far[k]:
            far = ", ".join(self.boxes[j].name for j in dict.fromkeys(self.far[k]))
            title += f"\nreads from far above: {far}"
        text = "".join(
            f'<text x="{left + _PADDING:.0f}" y="{top + _LINE * n:.0f}">{escape(line)}</text>'
            for n, line in enumerate(self.lines[k], 1)
        )
        keys = f' data-k="{escape(box.keys)}"' if box.keys else ""
        drawn = (
            f'<g class="box {escape(box.kind)}" id="{escape(box.id)}"{keys}>'
            f"<title>{escape(title)}</title>"
            f'<rect x="{left:.0f}" y="{top:.0f}" width="{width:.0f}" '
            f'height="{self._height(k):.0f}" rx="4"/>{text}</g>'
        )
        return drawn if box.href is None else f'<a href="#{escape(box.href)}">{drawn}</a>'


def _layers(boxes: Sequence[Box]) -> list[int]:
    """The layer of each box: below all that it reads, and not over full."""
    layer = [-1] * len(boxes)
    free = _Free()
    for k, box in enumerate(boxes):
        if box.reads:
            layer[k] = free.take(max(layer[read] for read, _ in box.reads) + 1, 1)
    first: dict[int, int] = {}
    for k, box in enumerate(boxes):
        for read, _ in box.reads:
            first[read] = min(first.get(read, layer[k]), layer[k])
    for k, box in enumerate(boxes):
        if not box.reads:  # just above the first that reads it
            layer[k] = free.take(first.get(k, 0) - 1, -1)
    used = {n: k for k, n in enumerate(sorted(set(layer)))}
    return [used[n] for n in layer]


class _Free:
    """Layers that are not full."""

    def __init__(self) -> None:
        self._count: dict[int, int] = {}
        self._next: dict[tuple[int, int], int] = {}

    def take(self, layer: int, step: int) -> int:
        """A place in a layer, or in the next one that has one."""
        passed: list[int] = []
        while self._count.get(layer, 0) >= _ACROSS:
            passed.append(layer)
            layer = self._next.get((layer, step), layer + step)
        self._next |= {(p, step): layer for p in passed}
        self._count[layer] = self._count.get(layer, 0) + 1
        return layer


def _curve(x0: float, y0: float, x1: float, y1: float) -> str:
    middle = (y0 + y1) / 2
    return f"C{x0:.0f} {middle:.0f} {x1:.0f} {middle:.0f} {x1:.0f} {y1:.0f}"
