"""Results as a picture: each case a line, each framework a dot at its time beside dlc's."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TypeAlias
from xml.sax.saxutils import escape

from dlc.bench.frameworks import KINDS, OURS

Record: TypeAlias = dict[str, Any]

_COLOURS = {
    "dlc": "#c0392b",
    "numpy": "#7f8c8d",
    "torch": "#e67e22",
    "torch.compile": "#8e6c3a",
    "torch.compile unfrozen": "#c9a66b",
    "torch traced": "#b5651d",
    "jax": "#2980b9",
    "onnxruntime": "#27ae60",
    "openvino": "#8e44ad",
    "keras on jax": "#16a2b8",
    "keras on torch": "#d9a404",
}
_LEFT, _RIGHT, _TOP, _STEP, _PLOT = 270, 30, 60, 24, 640
_LEAST, _MOST = 1 / 4, 64  # of dlc's time


def svg(record: Record) -> str:
    """The picture, as the text of an SVG file."""
    cases = {n: c for n, c in record["cases"].items() if "seconds" in c["frameworks"].get(OURS, {})}
    height = _TOP + _STEP * len(cases) + 40
    width = _LEFT + _PLOT + _RIGHT
    size = f'width="{width}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        f'<rect {size} fill="white"/>',
        *_legend(record),
        *_axis(height),
    ]
    for k, (name, case) in enumerate(cases.items()):
        lines += _row(name, case, _TOP + _STEP * k + _STEP // 2)
    return "\n".join([*lines, "</svg>", ""])


def _place(ratio: float) -> float:
    """Where a time beside dlc's is, from left to right."""
    clipped = min(max(ratio, _LEAST), _MOST)
    return _LEFT + _PLOT * math.log(clipped / _LEAST) / math.log(_MOST / _LEAST)


def _legend(record: Record) -> Iterator[str]:
    present = {n for c in record["cases"].values() for n in c["frameworks"]}
    x = _LEFT
    for name in KINDS:
        if name in present:
            yield f'<circle cx="{x}" cy="20" r="5" fill="{_COLOURS[name]}"/>'
            yield f'<text x="{x + 9}" y="24">{name}</text>'
            x += 28 + 7 * len(name)


def _axis(height: int) -> Iterator[str]:
    ratio = _LEAST
    while ratio <= _MOST:
        x = _place(ratio)
        colour, wide = ("#c0392b", 1.5) if ratio == 1 else ("#dddddd", 1)
        yield (
            f'<line x1="{x:.1f}" y1="{_TOP - 10}" x2="{x:.1f}" y2="{height - 30}" '
            f'stroke="{colour}" stroke-width="{wide}"/>'
        )
        yield f'<text x="{x:.1f}" y="{height - 14}" text-anchor="middle">{ratio:g}</text>'
        ratio *= 2
    yield (
        f'<text x="{_LEFT + _PLOT / 2}" y="46" text-anchor="middle">'
        "time of a call, in times of dlc's: right of the red line dlc is faster</text>"
    )


def _row(name: str, case: Record, y: int) -> Iterator[str]:
    weak = ' fill-opacity="0.4"' if case["void"] else ""
    yield f'<text x="{_LEFT - 10}" y="{y + 4}" text-anchor="end"{weak}>{escape(name)}</text>'
    found = case["frameworks"]
    ours = found[OURS]["seconds"]
    for framework, figures in reversed(found.items()):
        if "seconds" in figures:
            ratio = figures["seconds"] / ours
            yield (
                f'<circle cx="{_place(ratio):.1f}" cy="{y}" r="5" '
                f'fill="{_COLOURS[framework]}"{weak}>'
                f"<title>{escape(f'{name}, {framework}: {ratio:.2f}')}</title></circle>"
            )
