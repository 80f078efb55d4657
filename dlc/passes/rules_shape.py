"""Rules of what moves elements; a move changes no value, so all keep every bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlc.ir.core import Node
from dlc.ir.dims import Dim
from dlc.ir.op import OPS
from dlc.ir.patterns import Match, same_number
from dlc.ir.rewrite import RewriteBuilder, Rule, rule
from dlc.ir.types import int64


def _same_type(m: Match) -> bool:
    return m["x"].type == m.type


def _permuted(m: Match) -> tuple[int, ...]:
    return tuple(m["a"][k] for k in m["b"])


def typed(result: Node, node: Node) -> Node | None:
    """`result` where it has exactly the type of `node`; dims may be equal and written otherwise."""
    return result if result.type == node.type else None


def _moves_units_only(m: Match) -> bool:
    """Whether a transpose leaves the axes that count in their order, and is no identity."""
    axes = [a for a in m["a"] if m["x"].shape[a] != 1]
    return axes == sorted(axes)


RESHAPES = (
    Rule(
        "reshape_same", "reshape(x){shape=s}", "x", when=_same_type,
        given={"x": ["f32[3,4]", "f32[n,2]", "f32[]"], "s": [(3, 4), ()]},
    ),
    Rule(
        "reshape_reshape", "reshape(reshape(x){shape=s}){shape=t}", "reshape(x){shape=t}",
        given={"x": ["f32[3,4]", "i8[12]"], "s": [(6, 2), (12,)], "t": [(2, 6), (3, 4)]},
    ),
    Rule(
        "transpose_same", "transpose(x){axes=a}", "x",
        when=lambda m: m["a"] == tuple(range(m.type.rank)),
        given={"x": ["f32[3,4]", "f32[n,2]", "f32[]"], "a": [(0, 1), ()]},
    ),
    Rule(
        "transpose_transpose", "transpose(transpose(x){axes=a}){axes=b}", "transpose(x){axes=c}",
        let={"c": _permuted},
        given={"x": ["f32[3,4,5]"], "a": [(1, 2, 0), (2, 1, 0)], "b": [(1, 2, 0), (0, 2, 1)]},
    ),
    Rule(
        "transpose_units", "transpose(x){axes=a}", "reshape(x){shape=s}", when=_moves_units_only,
        let={"s": lambda m: m.type.shape},
        given={"x": ["f32[3,1,4]", "f32[1,5,1]"], "a": [(1, 0, 2), (0, 2, 1), (2, 1, 0)]},
    ),
    Rule(
        "broadcast_same", "broadcast_to(x){shape=s}", "x", when=_same_type,
        given={"x": ["f32[3,4]", "f32[]"], "s": [(3, 4), ()]},
    ),
    Rule(
        "broadcast_broadcast", "broadcast_to(broadcast_to(x){shape=s}){shape=t}",
        "broadcast_to(x){shape=t}",
        given={"x": ["f32[4]", "f32[3,1]"], "s": [(3, 4), (1, 4)], "t": [(2, 3, 4), (5, 4)]},
    ),
    Rule(
        "broadcast_reshape", "broadcast_to(reshape(x){shape=s}){shape=t}",
        "broadcast_to(x){shape=t}",
        when=lambda m: _leading_units(m["x"].shape, m["s"]),
        given={"x": ["f32[4]", "f32[]"], "s": [(1, 4), (1, 1)], "t": [(3, 4), (5, 2)]},
    ),
    Rule(
        "flip_flip", "flip(flip(x){axes=a}){axes=b}", "flip(x){axes=c}",
        let={"c": lambda m: tuple(sorted(set(m["a"]) ^ set(m["b"])))},
        given={"x": ["f32[3,4]"], "a": [(0,), (0, 1)], "b": [(1,), (0,), (0, 1)]},
    ),
    Rule(
        "flip_units", "flip(x){axes=a}", "x",
        when=lambda m: all(m.type.shape[k] == 1 for k in m["a"]),
        given={"x": ["f32[1,4]"], "a": [(), (0,)]},
    ),
)  # fmt: skip


def _leading_units(old: Sequence[Dim], new: Sequence[Dim]) -> bool:
    lead = len(new) - len(old)
    return lead >= 0 and all(d == 1 for d in new[:lead]) and tuple(new[lead:]) == tuple(old)


# Slices.


def is_whole(m: Match) -> bool:
    """Whether the slice a:b:c is all of x."""
    shape = m["x"].shape
    return all(a == 0 for a in m["a"]) and tuple(m["b"]) == shape and all(c == 1 for c in m["c"])


def _nothing(m: Match) -> bool:
    return any(d == 0 for d in m["u"].shape)


_SLICE = "start=a, limit=b, step=c"
_WHOLE: dict[str, Sequence[Any]] = {
    "x": ["f32[5,4]"], "u": ["f32[5,4]", "f32[2,4]", "f32[0,4]"], "v": ["f32[5,4]", "f32[2,4]"],
    "a": [(0, 0), (1, 0)], "b": [(5, 4), (3, 4), (1, 4), (4, 4)], "c": [(1, 1), (2, 1)],
}  # fmt: skip
SLICES = (
    Rule("slice_whole", f"slice(x){{{_SLICE}}}", "x", when=is_whole, given=_WHOLE),
    Rule("update_whole", f"slice_update(x, u){{{_SLICE}}}", "u", when=is_whole, given=_WHOLE),
    Rule("update_nothing", f"slice_update(x, u){{{_SLICE}}}", "x", when=_nothing, given=_WHOLE),
    Rule(
        "slice_of_update", f"slice(slice_update(x, u){{{_SLICE}}}){{{_SLICE}}}", "u", given=_WHOLE,
    ),
    Rule(
        "update_with_own_slice", f"slice_update(x, slice(x){{{_SLICE}}}){{{_SLICE}}}", "x",
        given=_WHOLE,
    ),
    Rule(
        "update_update", f"slice_update(slice_update(x, u){{{_SLICE}}}, v){{{_SLICE}}}",
        f"slice_update(x, v){{{_SLICE}}}", given=_WHOLE,
    ),
    Rule(
        "pad_nothing", "pad(x){low=a, high=b}", "x",
        when=lambda m: all(d == 0 for d in (*m["a"], *m["b"])),
        given={"x": ["f32[3,4]"], "a": [(0, 0)], "b": [(0, 0)]},
    ),
    Rule("concat_one", "concat(x){axis=k}", "x", given={"x": ["f32[3,4]"], "k": [1]}),
)  # fmt: skip


@rule(
    "slice",
    name="slice_slice",
    patterns=["slice(slice(x){start=a, limit=b, step=c}){start=d, limit=e, step=f}"],
    given={
        "x": ["f32[20]"], "a": [(3,), (0,), (18,)], "b": [(18,), (20,)], "c": [(1,), (2,), (3,)],
        "d": [(0,), (2,), (1,)], "e": [(7,), (2,), (1,)], "f": [(1,), (3,)],
    },
)  # fmt: skip
def slice_slice(b: RewriteBuilder, node: Node, inner: Node) -> Node | None:
    """The slice of a slice is a slice."""
    if inner.op.name != "slice":
        return None
    parts = [
        _composed(*p)
        for p in zip(
            *(inner.attrs[k] for k in ("start", "limit", "step")),
            *(node.attrs[k] for k in ("start", "limit", "step")),
            strict=True,
        )
    ]
    if any(p is None for p in parts):
        return None
    start, limit, step = ([p[k] for p in parts if p is not None] for k in range(3))
    return typed(b.slice(inner.inputs[0], start=start, limit=limit, step=step), node)


def _composed(
    a: Dim, _: Dim, c: int, start: Dim, limit: Dim, step: int
) -> tuple[Dim, Dim, int] | None:
    """The positions start:limit:step of a::c."""
    if c == 1:
        return a + start, a + limit, step
    if not (isinstance(start, int) and isinstance(limit, int)):
        return None
    if limit <= start:
        return a, a, step * c
    return a + start * c, a + (limit - 1) * c + 1, step * c


@rule(
    "pad",
    name="pad_pad",
    patterns=["pad(pad(x){low=a, high=b, value=v}){low=c, high=d, value=w}"],
    given={
        "x": ["f32[3]", "i8[2]"], "a": [(1,)], "b": [(0,)], "c": [(2,)], "d": [(3,)],
        "v": [1, 0.0], "w": [1, 0.0, -0.0],
    },
)  # fmt: skip
def pad_pad(b: RewriteBuilder, node: Node, inner: Node) -> Node | None:
    """Padding twice with one value is padding once."""
    if inner.op.name != "pad" or not _same_value(inner.attrs["value"], node.attrs["value"]):
        return None
    low, high = (
        [x + y for x, y in zip(inner.attrs[k], node.attrs[k], strict=True)] for k in ("low", "high")
    )
    return typed(b.pad(inner.inputs[0], low=low, high=high, value=node.attrs["value"]), node)


def _same_value(a: Any, b: Any) -> bool:
    return type(a) is type(b) and same_number(a, b)


@rule(
    "slice",
    name="slice_of_concat",
    patterns=["slice(concat(x, y){axis=k}){start=a, limit=b, step=c}"],
    given={
        "x": ["f32[3,4]"], "y": ["f32[5,4]"], "k": [0],
        "a": [(0, 1), (3, 0), (2, 0)], "b": [(3, 3), (8, 4)], "c": [(1, 1), (2, 1)],
    },
)  # fmt: skip
def slice_of_concat(b: RewriteBuilder, node: Node, whole: Node) -> Node | None:
    """What is read of one part alone is read from that part."""
    if whole.op.name != "concat":
        return None
    axis = whole.attrs["axis"]
    start, limit = node.attrs["start"], node.attrs["limit"]
    before: Dim = 0
    for part in whole.inputs:
        after = before + part.shape[axis]
        low, high = start[axis], limit[axis]
        # Comparisons of symbolic dims may be undecided: then by equality.
        if (low == before or _is_below(before, low)) and (high == after or _is_below(high, after)):
            moved = (_shifted(dims, axis, before) for dims in (start, limit))
            parts = dict(zip(("start", "limit"), moved, strict=True))
            return typed(b.slice(part, **parts, step=node.attrs["step"]), node)
        before = after
    return None


def _is_below(a: Dim, b: Dim) -> bool:
    return isinstance(a, int) and isinstance(b, int) and a <= b


def _shifted(dims: Sequence[Dim], axis: int, by: Dim) -> tuple[Dim, ...]:
    return tuple(d - by if k == axis else d for k, d in enumerate(dims))


@rule(
    "reshape", "transpose", "broadcast_to", "slice", "flip",
    name="move_number",
    patterns=[
        "reshape(C){shape=s}", "transpose(C){axes=a}", "broadcast_to(C){shape=s}",
        "flip(C){axes=p}",
    ],
    given={"s": [(33, 7)], "a": [(1, 0)], "p": [(0,)]},
)  # fmt: skip
def move_number(b: RewriteBuilder, node: Node, x: Node) -> Node | None:
    """One number moved about is that number."""
    return b.const(x.attrs["value"], node.tensor) if x.op.name == "full" else None


@rule(
    "pad", "concat", "slice_update",
    name="join_number",
    patterns=["pad(C){low=a, high=a, value=v}", "concat(C, D){axis=k}"],
    given={"C": [1, 0.0], "D": [1, 0.0], "a": [(1, 2)], "v": [1, 0.0], "k": [0]},
)  # fmt: skip
def join_number(b: RewriteBuilder, node: Node, *parts: Node) -> Node | None:
    """What is put together from one number is that number."""
    if any(p.op.name != "full" for p in parts):
        return None
    values = [p.attrs["value"] for p in parts]
    if node.op.name == "pad":
        values.append(node.attrs["value"])
    if not all(_same_value(v, values[0]) for v in values):
        return None
    return b.const(values[0], node.tensor)


_POINTWISE = sorted(
    name
    for name, op in OPS.items()
    if op.family in ("unary", "binary", "compare", "ternary") and name != "bitcast"
)


@rule(
    *_POINTWISE,
    name="reshape_after",
    patterns=[
        "exp(reshape(x){shape=s})", "mul(reshape(x){shape=s}, C)",
        "add(reshape(x){shape=s}, reshape(y){shape=s})",
        "fma(reshape(x){shape=s}, C, reshape(y){shape=s})",
    ],
    given={"x": ["f32[3,4]"], "y": ["f32[3,4]"], "s": [(12,), (1, 3, 4), (2, 6)], "C": [2.0]},
)  # fmt: skip
def reshape_after(b: RewriteBuilder, node: Node, *parts: Node) -> Node | None:
    """What is computed of each element is computed before a reshape, by what made the elements."""
    shapes = {p.inputs[0].shape for p in parts if p.op.name == "reshape"}
    if len(shapes) != 1 or any(p.op.name not in ("reshape", "full") for p in parts):
        return None
    (shape,) = shapes
    inputs = [
        p.inputs[0]
        if p.op.name == "reshape"
        else b.full(value=p.attrs["value"], shape=shape, dtype=p.tensor.dtype)
        for p in parts
    ]
    return typed(b.reshape(b.emit(node.op, inputs, dict(node.attrs)), shape=node.shape), node)


@rule("dim", name="dim_known", patterns=["dim(){dim=d}"], given={"d": [12]})
def dim_known(b: RewriteBuilder, node: Node) -> Node | None:
    """A dim that is an integer is a number."""
    d = node.attrs["dim"]
    return b.full(value=d, shape=(), dtype=int64) if isinstance(d, int) else None


@rule(
    "iota", name="iota_of_one", patterns=["iota(){shape=s, axis=a, dtype=t}"],
    given={"s": [(3, 1), (1,)], "a": [0, 1], "t": ["i64", "f32"]},
)  # fmt: skip
def iota_of_one(b: RewriteBuilder, node: Node) -> Node | None:
    """Counting along an axis of extent 1 gives 0."""
    if node.shape[node.attrs["axis"]] != 1:
        return None
    return b.const(0.0 if node.tensor.dtype.is_float else 0, node.tensor)


FUNCTIONS = (
    slice_slice,
    pad_pad,
    slice_of_concat,
    move_number,
    join_number,
    reshape_after,
    dim_known,
    iota_of_one,
)
SHAPES = (*RESHAPES, *SLICES, *FUNCTIONS)
