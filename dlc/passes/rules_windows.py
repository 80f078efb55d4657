"""Rules of windows: what nothing reads of a padded tensor or of a convolution is not computed.

The derivative of padding is a slice. That of a padded convolution so comes without the windows that
lie around it: with windows of 3 by 3 on images of 4 by 4, they are more than half.
"""

from __future__ import annotations

from collections.abc import Sequence

from dlc.ir.core import Node
from dlc.ir.dims import Dim, at_least
from dlc.ir.ops.shape import slice_extent
from dlc.ir.ops.windows import reach
from dlc.ir.rewrite import RewriteBuilder, rule
from dlc.passes.rules_shape import typed

Range = tuple[Dim, Dim, int]  # start, limit and step
_CONVOLUTION = "convolution(x, w){stride=s, dilation=t, grouped=g, channels_last=l}"


@rule(
    "slice",
    name="slice_of_pad",
    patterns=["slice(pad(x){low=a, high=b, value=v}){start=c, limit=d, step=e}"],
    given={
        "x": ["f32[4,n]", "i8[4,6]"], "a": [(2, 1)], "b": [(1, 3)], "v": [0.0, 1],
        "c": [(1, 1), (2, 0), (4, 2), (0, 0)], "d": [(6, 5), (7, 4), (7, 3), (2, 2)],
        "e": [(1, 1), (2, 1)],
    },
)  # fmt: skip
def slice_of_pad(b: RewriteBuilder, node: Node, wide: Node) -> Node | None:
    """What is read of a padded tensor is the part of the tensor, with less around it."""
    if wide.op.name != "pad":
        return None
    (x,) = wide.inputs
    low: list[Dim] = []
    high: list[Dim] = []
    parts: list[Range] = []
    for before, extent, start, limit, step in zip(
        wide.attrs["low"], x.shape, *_ranges(node), strict=True
    ):
        missing, first = _signed(before - start)
        above, last = _signed(limit - before - extent)
        if not at_least(extent - last, first) or (step != 1 and (missing, above) != (0, 0)):
            return None
        low.append(missing)
        high.append(above)
        parts.append((first, extent - last, step))
    # What is padded is kept for each reader of its own: better one of them.
    if b.uses(wide) != 1 and any(d != 0 for d in (*low, *high)):
        return None
    part = _cut(b, x, parts)
    return typed(b.pad(part, low=low, high=high, value=wide.attrs["value"]), node)


@rule(
    "slice",
    name="slice_of_convolution",
    patterns=[f"slice({_CONVOLUTION}){{start=a, limit=b, step=c}}"],
    given={
        "x": ["i32[2,3,12,11]", "i32[2,n,12,11]", "i32[2,2,3,12,11]"],
        "w": ["i32[4,3,3,2]", "i32[4,n,3,2]", "i32[2,4,3,3,2]"],
        "s": [(1, 1), (2, 1)], "t": [(1, 1), (1, 2)], "g": [False, True], "l": [False, True],
        "a": [(0, 0, 2, 1), (1, 1, 0, 0), (0, 1, 1, 2, 0)],
        "b": [(2, 4, 5, 4), (2, 3, 5, 3), (2, 2, 3, 4, 3)],
        "c": [(1, 1, 1, 1), (1, 2, 2, 3), (1, 1, 1, 2, 1)],
    },
)  # fmt: skip
def slice_of_convolution(b: RewriteBuilder, node: Node, whole: Node) -> Node | None:
    """What is read of a convolution is that of parts of the tensor and of the filters."""
    if whole.op.name != "convolution" or b.uses(whole) != 1:
        return None
    x, w = whole.inputs
    attrs = whole.attrs
    g = int(attrs["grouped"])
    ranges = list(zip(*_ranges(node), strict=True))
    lead, own, places = ranges[: g + 1], ranges[g + 1], ranges[g + 2 :]
    if attrs["channels_last"]:
        own, places = ranges[-1], ranges[g + 1 : -1]
    read: list[Range] = []
    stride: list[int] = []
    steps = zip(places, w.shape[g + 2 :], attrs["stride"], attrs["dilation"], strict=True)
    for (start, limit, step), size, s, d in steps:
        count = slice_extent(start, limit, step)
        if not at_least(count, 1):
            return None
        first = start * s
        read.append((first, first + reach(count, step * s) - 1 + reach(size, d), 1))
        stride.append(step * s)
    channels = _whole(x.shape[g + 1])
    x = _cut(b, x, [*lead, channels, *read])
    w = _cut(b, w, [*lead[1:], own, *map(_whole, w.shape[g + 1 :])])
    return typed(b.convolution(x, w, **{**attrs, "stride": tuple(stride)}), node)


def _ranges(node: Node) -> tuple[Sequence[Dim], Sequence[Dim], Sequence[int]]:
    return node.attrs["start"], node.attrs["limit"], node.attrs["step"]


def _signed(d: Dim) -> tuple[Dim, Dim]:
    """What `d` is above 0, and what it is below."""
    return (d, 0) if at_least(d, 0) else (0, -1 * d)


def _whole(extent: Dim) -> Range:
    return 0, extent, 1


def _cut(b: RewriteBuilder, x: Node, ranges: Sequence[Range]) -> Node:
    start, limit, step = zip(*ranges, strict=True) if ranges else ((), (), ())
    return b.slice(x, start=start, limit=limit, step=step)


WINDOWS = (slice_of_pad, slice_of_convolution)
