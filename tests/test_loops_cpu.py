"""CPU loops against the reference interpreter: every kernel form, odd extents, three ISA levels."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from dlc.codegen.cpu import grouping
from dlc.codegen.cpu.emit import Emitter, llvm_type, module_text
from dlc.codegen.cpu.isa import Isa, host_flags, host_machine, isa_named
from dlc.codegen.cpu.llvm import assembly, compile_module
from dlc.codegen.cpu.loops import emit_loops, index_math
from dlc.codegen.cpu.memory import store
from dlc.codegen.cpu.turned_loads import turned_nest
from dlc.codegen.kernel_ir import Assign, For, Kernel, Par, Param
from dlc.codegen.kernel_parser import parse_kernel
from dlc.codegen.kernel_transform import normalise
from dlc.codegen.reference.interpreter import run_kernel
from dlc.codegen.schedule import Schedule, choose_schedule
from dlc.ir.dims import Dim, evaluate, symbol
from dlc.ir.errors import BackendError
from dlc.ir.scalar import (
    Axis,
    Expr,
    const,
    convert,
    dim,
    index,
    load,
    op,
    pad,
    reduce,
    select,
    walk,
)
from dlc.ir.types import (
    DTYPES,
    DType,
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    int8,
    int32,
    int64,
)
from dlc.runtime.loader import load_blob

LEVELS = ("x86-64-v4", "x86-64-v3", "x86-64-v2")
Arrays = dict[str, np.ndarray]
N, M, R, C = symbol("N"), symbol("M"), symbol("R"), symbol("C")
i, j, k, n, r, c = (index(name) for name in "ijknrc")
SIZES = (1, 2, 15, 16, 17, 63, 64, 65, 131)


def levels() -> list[Isa]:
    """The levels that this machine runs."""
    return [x for x in map(isa_named, LEVELS) if x.runs_on(host_machine(), host_flags())]


V4 = levels()[0] if levels() else isa_named("x86-64-v2")


class Compiled:
    """A kernel as machine code."""

    def __init__(self, kernel: Kernel, isa: Isa = V4, schedule: Schedule | None = None) -> None:
        self.kernel, self.isa = kernel, isa
        self.code = emit_loops(kernel, isa, schedule)
        self.text = module_text(self.code.emitters)
        self.loaded = load_blob(compile_module(self.text, isa).blob())
        kind = ctypes.CFUNCTYPE(
            None,
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_int64,
            ctypes.c_int64,
            ctypes.c_void_p,
        )
        self.entry = kind(self.loaded.address(self.code.entry))

    def __call__(
        self, arrays: Mapping[str, np.ndarray], dims: Mapping[str, int], cuts: Sequence[int] = ()
    ) -> None:
        """Runs all work units, cut into ranges; every range has scratch memory full of rubbish."""
        pointers = (ctypes.c_void_p * len(self.kernel.params))(
            *(arrays[p.name].ctypes.data for p in self.kernel.params)
        )
        values = (ctypes.c_int64 * max(1, len(self.kernel.dims)))(
            *(dims[name] for name in self.kernel.dims)
        )
        units = evaluate(self.code.units, dims)
        bounds = [0, *sorted(min(x, units) for x in cuts), units]
        size = evaluate(self.code.scratch, dims)
        for low, high in itertools.pairwise(bounds):
            raw = np.full(size + 128, 0xAB, np.uint8)
            start = -raw.ctypes.data % 64
            self.entry(pointers, values, low, high, raw.ctypes.data + start)
            assert (raw[start + size :] == 0xAB).all(), "wrote past its scratch memory"


def random_array(rng: np.random.Generator, dtype: DType, shape: Sequence[int]) -> np.ndarray:
    """Small whole numbers, whose sums are exact in any order."""
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    low = 0 if dtype.kind == "u" else -4
    return np.asarray(rng.integers(low, 5, shape)).astype(dtype.numpy)


def arrays_for(kernel: Kernel, dims: Mapping[str, int], seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    found: Arrays = {}
    for p in kernel.params:
        shape = [evaluate(d, dims) for d in p.dims]
        found[p.name] = random_array(rng, p.dtype, shape)
    return found


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal values, NaN equal to NaN."""
    if a.dtype.kind in "iub":
        return bool(np.array_equal(a, b))
    return bool(np.array_equal(a.astype(np.float64), b.astype(np.float64), equal_nan=True))


def check(
    kernel: Kernel,
    dims: Mapping[str, int],
    isa: Isa = V4,
    arrays: Arrays | None = None,
    compiled: Compiled | None = None,
) -> Arrays:
    """Runs a kernel both ways, whole and in pieces, and compares every output."""
    given = arrays or arrays_for(kernel, dims)
    ours, theirs, cut = ({k: v.copy() for k, v in given.items()} for _ in range(3))
    run_kernel(kernel, theirs, dims)
    compiled = compiled or Compiled(kernel, isa)
    compiled(ours, dims)
    compiled(cut, dims, (1, 5, 16, 40, 41, 100))
    for p in kernel.params:
        assert same(ours[p.name], theirs[p.name]), (p.name, ours[p.name], theirs[p.name])
        assert ours[p.name].tobytes() == cut[p.name].tobytes(), p.name
    return ours


def ins(*names: str, dtype: DType = float32, dims: tuple[Dim, ...] = (N,)) -> list[Param]:
    return [Param(name, "in", dtype, dims) for name in names]


def out(name: str, dtype: DType = float32, dims: tuple[Dim, ...] = (N,)) -> Param:
    return Param(name, "out", dtype, dims)


def kernel_of(params: Sequence[Param], dims: Sequence[str], *body: Assign | Par | For) -> Kernel:
    return Kernel("k", tuple(params), tuple(dims), body)


def pointwise(dtype: DType, make: object, result: DType | None = None) -> Kernel:
    x, y = load("x", (i,), dtype), load("y", (i,), dtype)
    e = make(x, y)  # type: ignore[operator]
    return kernel_of(
        [*ins("x", "y", dtype=dtype), out("o", result or e.dtype)],
        ["N"],
        Par((Axis("i", N),), (Assign("o", (i,), (), e),)),
    )


# Pointwise


TURNED = {
    "two": "k(x: {t}[C,R], y: {t}[R,C], out o: {t}[R,C]):"
    " par i<R, j<C: o[i,j] = max(x[j,i], y[i,j])",
    "both": "k(x: {t}[R,R], out o: {t}[R,R]): par i<R, j<R: o[i,j] = min(x[i,j], x[j,i])",
    "batches": "k(x: {t}[3,C,R], y: {t}[C,3,R], out o: {t}[3,R,C], out p: {t}[R,3,C]):\n"
    " par k<3, i<R, j<C:\n  m[k,i,j] = max(x[k,j,i], y[j,k,i])\n  o[k,i,j] = m[k,i,j]\n"
    "  p[i,k,j] = min(m[k,i,j], y[j,k,i])",
    "backwards": "k(x: {t}[C,R], out o: {t}[R,C]):"
    " par i<R, j<C: o[i,j] = max(x[C-1-j,i], x[j,R-1-i])",
    "padded": "k(x: {t}[C,R], y: {t}[C,R], out o: {t}[R,C]):"
    " par i<R, j<C: o[i,j] = max(pad(x[j-1,i+1], y[0,0]), y[j,i])",
}  # fmt: skip


@pytest.mark.parametrize("isa", levels(), ids=lambda x: x.name)
@pytest.mark.parametrize("dtype", [float32, float64, int8, int32, int64], ids=str)
@pytest.mark.parametrize("name", TURNED)
def test_loads_along_another_axis_than_vectors(name: str, dtype: DType, isa: Isa) -> None:
    kernel = parse_kernel("kernel " + TURNED[name].format(t=dtype.short))
    assert turned_nest(normalise(kernel), index_math(normalise(kernel))) is not None
    compiled = Compiled(kernel, isa)
    assert "dlc.transpose" in compiled.text or isa.lanes(dtype.bits) == 2
    for rows, columns in [(1, 1), (16, 16), (65, 17), (5, 300), (130, 259), (3, 1)]:
        dims = {"R": rows, "C": columns}
        check(kernel, {d: dims[d] for d in kernel.dims}, isa, compiled=compiled)


SHORT_ROWS = {
    "column": "k(x: {t}[R,{n}], y: {t}[R], out o: {t}[R,{n}]):"
    " par i<R, j<{n}: o[i,j] = max(x[i,j], y[i])",
    "panels": "k(x: {t}[R,C], out o: {t}[5,R,{n}]):"
    " par i<5, j<R, k<{n}: o[i,j,k] = pad(x[j,i*{n}+k], 0)",
    "sum": "k(x: {t}[R,C,{n}], out o: {t}[R,{n}], out p: {t}[R,{n}]):\n"
    " par i<R, k<{n}:\n  m[i,k] = sum(j<C, x[i,j,k])\n  o[i,k] = m[i,k]\n"
    "  p[i,k] = max(m[i,k], x[i,0,k])",
}  # fmt: skip


@pytest.mark.parametrize("isa", levels(), ids=lambda x: x.name)
@pytest.mark.parametrize("dtype", [float32, float64, int8, int64], ids=str)
@pytest.mark.parametrize("name", SHORT_ROWS)
def test_rows_of_a_known_short_length(name: str, dtype: DType, isa: Isa) -> None:
    for length in (2, 3, 7, 16, 31, 32, 33, 48, 64, 100):
        text = SHORT_ROWS[name].format(t=dtype.short, n=length)
        kernel = parse_kernel("kernel " + text)
        compiled = Compiled(kernel, isa)
        for rows, columns in [(1, 1), (3, 70), (130, 5)]:
            dims = {"R": rows, "C": columns}
            check(kernel, {d: dims[d] for d in kernel.dims}, isa, compiled=compiled)


def test_a_short_row_is_one_vector_and_a_unit() -> None:
    def units(length: int) -> tuple[Dim, int]:
        text = SHORT_ROWS["column"].format(t="f32", n=length)
        code = emit_loops(parse_kernel("kernel " + text), isa_named("x86-64-v4"))
        (em,) = code.emitters
        return code.units, sum("= phi i64" in line for line in em.lines)  # one for each loop

    assert [units(n) for n in (3, 16, 32, 64)] == [(R, 1)] * 4
    assert units(48) == (48 * R, 3)


def test_short_axes_are_read_element_by_element() -> None:
    def turned(rows: str) -> bool:
        kernel = parse_kernel(
            f"kernel k(x: f32[C,{rows}], out o: f32[{rows},C]): par i<{rows}, j<C: o[i,j] = -x[j,i]"
        )
        return turned_nest(normalise(kernel), index_math(normalise(kernel))) is not None

    assert [turned(rows) for rows in ("3", "16", "R")] == [False, True, True]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("isa", levels(), ids=lambda x: x.name)
def test_pointwise_dtypes(dtype: DType, isa: Isa) -> None:
    def make(x: Expr, y: Expr) -> Expr:
        if dtype.kind == "b":
            return op("xor", x, y)
        if dtype.bits == 16 and dtype.is_float:
            return convert(op("add", convert(x, float32), convert(y, float32)), dtype)
        return op("sub", op("mul", x, y), x)

    compiled = Compiled(pointwise(dtype, make), isa)
    for size in SIZES:
        check(compiled.kernel, {"N": size}, isa, compiled=compiled)


@pytest.mark.parametrize("isa", levels(), ids=lambda x: x.name)
def test_mixed_widths_and_bool(isa: Isa) -> None:
    def make(x: Expr, y: Expr) -> Expr:
        wide = op("add", convert(x, float64), convert(y, float64))
        return select(op("lt", x, y), convert(wide, int8), convert(y, int8))

    compiled = Compiled(pointwise(float32, make), isa)
    for size in SIZES:
        check(compiled.kernel, {"N": size}, isa, compiled=compiled)
    compare = Compiled(pointwise(float32, lambda x, y: op("le", x, y)), isa)
    for size in SIZES:
        check(compare.kernel, {"N": size}, isa, compiled=compare)


def test_special_values_pass_through() -> None:
    kernel = pointwise(float32, lambda x, y: op("max", x, y))
    values = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1e-45, 3e38, -1.5], np.float32)
    x, y = (a.ravel().copy() for a in np.meshgrid(values, values))
    got = check(kernel, {"N": 64}, arrays={"x": x, "y": y, "o": np.zeros(64, np.float32)})
    assert np.isnan(got["o"]).sum() == 15


def test_several_outputs_and_broadcast() -> None:
    x, b = load("x", (r, n)), load("b", (n,))
    s = op("add", x, b)
    kernel = kernel_of(
        [*ins("x", dims=(R, N)), *ins("b"), out("o", dims=(R, N)), out("p", dims=(R, N))],
        ["R", "N"],
        Par(
            (Axis("r", R), Axis("n", N)),
            (
                Assign("o", (r, n), (), s),
                Assign("p", (r, n), (), op("mul", s, load("x", (r, const(0, int64))))),
            ),
        ),
    )
    compiled = Compiled(kernel)
    for rows, columns in ((1, 1), (3, 5), (7, 16), (2, 67), (5, 130)):
        check(kernel, {"R": rows, "N": columns}, compiled=compiled)


def test_output_in_place_of_an_input() -> None:
    x, y = load("x", (i,)), load("y", (i,))
    kernel = kernel_of(
        [
            *ins("x", "y"),
            Param("o", "out", float32, (N,), ("x",)),
            Param("p", "out", float32, (N,), ("y",)),
        ],
        ["N"],
        Par(
            (Axis("i", N),),
            (Assign("o", (i,), (), op("add", x, y)), Assign("p", (i,), (), op("sub", x, y))),
        ),
    )
    compiled = Compiled(kernel)
    for size in SIZES:
        arrays = arrays_for(kernel, {"N": size})
        x_, y_ = arrays["x"].copy(), arrays["y"].copy()
        arrays["o"], arrays["p"] = arrays["x"], arrays["y"]
        compiled(arrays, {"N": size}, (3,))
        assert same(arrays["o"], x_ + y_)
        assert same(arrays["p"], x_ - y_)


def test_reading_an_input_after_its_buffer_is_written_is_refused() -> None:
    x = load("x", (r, n))
    kernel = kernel_of(
        [
            *ins("x", dims=(R, N)),
            Param("o", "out", float32, (R, N), ("x",)),
            out("s", dims=(R,)),
        ],
        ["R", "N"],
        Par(
            (Axis("r", R),),
            (
                Assign("m", (), (), reduce("max", (Axis("n", N),), x)),
                Assign("o", (r, n), (Axis("n", N),), op("sub", x, load("m", ()))),
                Assign("t", (), (), reduce("sum", (Axis("n", N),), op("sub", x, load("m", ())))),
                Assign(
                    "s",
                    (r,),
                    (),
                    reduce("sum", (Axis("n", N),), op("sub", x, load("t", ()))),
                ),
            ),
        ),
    )
    with pytest.raises(BackendError, match="may_alias"):
        emit_loops(kernel, V4)


def test_a_store_in_place_is_after_reads_of_other_places():
    kernel = parse_kernel(
        """kernel k(x: f32[R,N,N], out z: f32[R,N,N], out o: f32[R,N,N] may_alias(x)):
            par r<R:
             s[] = sum(n<N, x[r,0,n])
             z[r,n,m] n<N, m<N = x[r,m,n]
             o[r,n,m] n<N, m<N = s[]*2.0
        """
    )
    given, turned = np.arange(48, dtype=np.float32).reshape(3, 4, 4), np.zeros((3, 4, 4), "float32")
    x = given.copy()
    Compiled(kernel)({"x": x, "z": turned, "o": x}, {"R": 3, "N": 4})
    np.testing.assert_array_equal(turned, given.swapaxes(1, 2))
    sums = 2 * given[:, 0].sum(1)
    np.testing.assert_array_equal(x, np.broadcast_to(sums[:, None, None], x.shape))


def test_items_that_share_no_memory_are_not_compared_by_their_nodes(monkeypatch):
    """Else the compile time of a kernel with many values is quadratic."""
    walked = []
    monkeypatch.setattr(grouping, "walk", lambda e: walked.append(e) or walk(e))
    body = "\n".join(f"  t{k}[] = t{k - 1}[]*2.0+y[r]" for k in range(1, 30))
    head = "kernel k(x: f32[R], y: f32[R], out o: f32[R] may_alias(x)):\n par r<R:\n"
    emit_loops(parse_kernel(f"{head}  t0[] = x[r]\n{body}\n  o[r] = t29[]"), V4)
    assert 0 < len(walked) < 4 * 31  # expressions are walked, pairs of them are not


# Strides and indices


def shuffled(ix: tuple[Expr, ...], source: tuple[Dim, ...], target: tuple[Dim, ...]) -> Kernel:
    """A copy of a matrix through an index expression."""
    return kernel_of(
        [*ins("x", dims=source), out("o", dims=target)],
        ["R", "C"],
        Par(
            (Axis("r", target[0]), Axis("c", target[1])),
            (Assign("o", (r, c), (), load("x", ix)),),
        ),
    )


def minus(a: Expr, b: Expr) -> Expr:
    return op("sub", a, b)


VIEWS = {
    "transpose": ((c, r), (C, R), (R, C)),
    "flip": ((r, minus(dim(C - 1), c)), (R, C), (R, C)),
    "flip rows": ((minus(dim(R - 1), r), c), (R, C), (R, C)),
    "step": ((r, op("mul", c, const(3, int64))), (R, C * 3), (R, C)),
    "shift": ((r, op("add", c, const(2, int64))), (R, C + 2), (R, C)),
    "column": ((r, const(0, int64)), (R, C), (R, C)),
    "reshape": (
        (
            op("floordiv", op("add", op("mul", r, dim(C)), c), dim(R)),
            op("mod", op("add", op("mul", r, dim(C)), c), dim(R)),
        ),
        (C, R),
        (R, C),
    ),
    "repeat": ((r, op("floordiv", c, const(3, int64))), (R, C), (R, C)),
    "tile": ((r, op("mod", c, const(4, int64))), (R, C + 4), (R, C)),
    "run-time repeat": ((r, op("floordiv", c, dim(R))), (R, C), (R, C)),
    "run-time tile": ((r, op("mod", c, dim(C + R))), (R, C), (R, C)),
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("isa", levels(), ids=lambda x: x.name)
def test_views(name: str, isa: Isa) -> None:
    compiled = Compiled(shuffled(*VIEWS[name]), isa)
    for rows, columns in ((1, 1), (3, 17), (16, 5), (2, 67), (9, 33)):
        check(compiled.kernel, {"R": rows, "C": columns}, isa, compiled=compiled)


@pytest.mark.parametrize("dtype", [float32, float64, float16, bool_, int8], ids=str)
def test_gather_rows_and_elements(dtype: DType) -> None:
    row = convert(load("ix", (r,), int32), int64)
    element = convert(load("jx", (c,), int32), int64)
    kernel = kernel_of(
        [
            *ins("x", dtype=dtype, dims=(N, C)),
            *ins("ix", dtype=int32, dims=(R,)),
            *ins("jx", dtype=int32, dims=(C,)),
            out("o", dtype, (R, C)),
            out("p", dtype, (R, C)),
        ],
        ["N", "R", "C"],
        Par(
            (Axis("r", R), Axis("c", C)),
            (
                Assign("o", (r, c), (), load("x", (row, c), dtype)),
                Assign("p", (r, c), (), load("x", (row, element), dtype)),
            ),
        ),
    )
    compiled = Compiled(kernel)
    for rows, columns in ((1, 1), (5, 16), (4, 37), (3, 70)):
        dims = {"N": 6, "R": rows, "C": columns}
        arrays = arrays_for(kernel, dims)
        rng = np.random.default_rng(1)
        arrays["ix"] = rng.integers(0, 6, rows).astype(np.int32)
        arrays["jx"] = rng.integers(0, columns, columns).astype(np.int32)
        check(kernel, dims, arrays=arrays, compiled=compiled)


@pytest.mark.parametrize("isa", levels(), ids=lambda x: x.name)
@pytest.mark.parametrize("dtype", [float32, bfloat16, bool_, int64], ids=str)
def test_pad(dtype: DType, isa: Isa) -> None:
    at = minus(c, const(2, int64))
    edge = True if dtype.kind == "b" else 7
    around = pad(load("x", (minus(r, const(1, int64)), at), dtype), const(edge, dtype))
    above = pad(load("x", (minus(r, const(1, int64)), const(0, int64)), dtype), const(0, dtype))
    kernel = kernel_of(
        [
            *ins("x", dtype=dtype, dims=(R, C)),
            out("o", dtype, (R + 2, C + 4)),
            out("p", dtype, (R + 2, C + 4)),
        ],
        ["R", "C"],
        Par(
            (Axis("r", R + 2), Axis("c", C + 4)),
            (Assign("o", (r, c), (), around), Assign("p", (r, c), (), above)),
        ),
    )
    compiled = Compiled(kernel, isa)
    for rows, columns in ((1, 1), (3, 12), (2, 29), (4, 65)):
        check(kernel, {"R": rows, "C": columns}, isa, compiled=compiled)


def test_concat_by_pads() -> None:
    second = pad(load("y", (minus(i, dim(N)),)), const(0.0, float32))
    joined = select(op("lt", i, dim(N)), pad(load("x", (i,)), const(0.0, float32)), second)
    kernel = kernel_of(
        [*ins("x"), *ins("y", dims=(M,)), out("o", dims=(N + M,))],
        ["N", "M"],
        Par((Axis("i", N + M),), (Assign("o", (i,), (), joined),)),
    )
    compiled = Compiled(kernel)
    for first, later in ((1, 1), (5, 30), (17, 16), (64, 3)):
        check(kernel, {"N": first, "M": later}, compiled=compiled)


def test_index_values() -> None:
    value = op("add", op("mul", convert(r, float32), const(100.0, float32)), convert(n, float32))
    kernel = kernel_of(
        [out("o", dims=(R, N)), out("p", int64, (R, N))],
        ["R", "N"],
        Par(
            (Axis("r", R), Axis("n", N)),
            (
                Assign("o", (r, n), (), value),
                Assign("p", (r, n), (), op("add", n, op("mul", r, dim(N)))),
            ),
        ),
    )
    compiled = Compiled(kernel)
    for size in SIZES:
        check(kernel, {"R": 3, "N": size}, compiled=compiled)


# Reductions

KINDS = ("sum", "prod", "max", "min", "argmax", "argmin")


def reduction(kind: str, dtype: DType, where: str) -> Kernel:
    """A reduction of a matrix over rows, columns, both, or the middle of three dims."""
    x = load("x", (r, n), dtype)
    axes, par, shape, source, at = {
        "row": ((Axis("n", N),), (Axis("r", R),), (R,), (R, N), (r,)),
        "column": ((Axis("r", R),), (Axis("n", N),), (N,), (R, N), (n,)),
        "all": ((Axis("r", R), Axis("n", N)), (), (), (R, N), ()),
        "middle": ((Axis("n", N), Axis("c", C)), (Axis("r", R),), (R,), (N, R, C), (r,)),
    }[where]
    if where == "middle":
        x = load("x", (n, r, c), dtype)
    e = reduce(kind, axes, x)  # type: ignore[arg-type]
    return kernel_of(
        [*ins("x", dtype=dtype, dims=source), out("o", e.dtype, shape)],
        ["R", "N", "C"],
        Par(par, (Assign("o", at, (), e),)),
    )


@pytest.mark.parametrize("where", ["row", "column", "all", "middle"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_reductions(dtype: DType, where: str) -> None:
    kinds = ("any", "all", "max", "min", "argmax") if dtype.kind == "b" else KINDS
    if dtype.is_float and dtype.bits == 16:
        kinds = ("max", "min", "argmax", "argmin")
    for kind in kinds:
        compiled = Compiled(reduction(kind, dtype, where))
        for rows, columns in ((1, 1), (3, 15), (17, 16), (2, 67), (66, 131)):
            dims = {"R": rows, "N": columns, "C": 5}
            check(compiled.kernel, dims, compiled=compiled)


@pytest.mark.parametrize("isa", levels(), ids=lambda x: x.name)
@pytest.mark.parametrize("where", ["row", "column", "all"])
def test_reductions_of_special_values(where: str, isa: Isa) -> None:
    rng = np.random.default_rng(3)
    special = np.array([np.nan, np.inf, -np.inf, 0.0, 1.0, -1.0, 2.5], np.float32)
    for kind in ("max", "min", "argmax", "argmin", "sum"):
        compiled = Compiled(reduction(kind, float32, where), isa)
        for rows, columns in ((1, 1), (4, 37), (35, 80)):
            dims = {"R": rows, "N": columns, "C": 1}
            for choices in (special, special[1:], special[2:3], special[3:]):
                arrays = arrays_for(compiled.kernel, dims)
                arrays["x"] = rng.choice(choices, (rows, columns))
                if kind == "sum" and np.inf in choices:
                    continue
                check(compiled.kernel, dims, isa, arrays, compiled)


@pytest.mark.parametrize("isa", levels(), ids=lambda x: x.name)
@pytest.mark.parametrize("where", ["row", "column"])
def test_extremes_order_zeros_by_their_signs(where: str, isa: Isa) -> None:
    rng = np.random.default_rng(3)
    for kind, worse in (("max", -1.0), ("min", 1.0)):
        compiled = Compiled(reduction(kind, float32, where), isa)
        for rows, columns in ((2, 3), (4, 37), (35, 80)):
            dims = {"R": rows, "N": columns, "C": 1}
            arrays = arrays_for(compiled.kernel, dims)
            x = rng.choice(np.array([-0.0, 0.0, worse, worse], np.float32), (rows, columns))
            got = check(compiled.kernel, dims, isa, arrays | {"x": x}, compiled)["o"]
            is_zero, negative = x == 0.0, np.signbit(x)
            best = is_zero & (negative == (kind == "min"))
            axis = 1 if where == "row" else 0
            sign = np.where(best.any(axis), kind == "min", kind == "max")
            np.testing.assert_array_equal(np.signbit(got.ravel()), sign)


@pytest.mark.parametrize("kind", ["sum", "prod", "max", "min", "argmax"])
@pytest.mark.parametrize("dtype", [float32, int32], ids=str)
def test_empty_reductions_give_the_identity(kind: str, dtype: DType) -> None:
    e = reduce(kind, (Axis("n", 0),), load("x", (r, n), dtype))  # type: ignore[arg-type]
    kernel = kernel_of(
        [*ins("x", dtype=dtype, dims=(R, 0)), out("o", e.dtype, (R,))],
        ["R"],
        Par((Axis("r", R),), (Assign("o", (r,), (), e),)),
    )
    compiled = Compiled(kernel)
    arrays = arrays_for(kernel, {"R": 5})
    compiled(arrays, {"R": 5})
    info = np.iinfo(np.int32)
    low, high = (-np.inf, np.inf) if dtype.is_float else (info.min, info.max)
    expected = {"sum": 0, "prod": 1, "max": low, "min": high, "argmax": 0}[kind]
    assert (arrays["o"] == expected).all()


def test_bits_of_a_sum_do_not_depend_on_the_other_extent_or_constants() -> None:
    rng = np.random.default_rng(5)
    for columns in (1, 7, 16, 63, 64, 65, 1000):
        x = rng.standard_normal((9, columns)).astype(np.float32)
        whole = Compiled(reduction("sum", float32, "row"))
        a = {"x": x, "o": np.zeros(9, np.float32)}
        whole(a, {"R": 9, "N": columns, "C": 1}, (2, 3))
        one = {"x": x[4:5].copy(), "o": np.zeros(1, np.float32)}
        whole(one, {"R": 1, "N": columns, "C": 1})
        assert one["o"][0].tobytes() == a["o"][4].tobytes()
        fixed = kernel_of(
            [*ins("x", dims=(9, columns)), out("o", dims=(9,))],
            [],
            Par(
                (Axis("r", 9),),
                (Assign("o", (r,), (), reduce("sum", (Axis("n", columns),), load("x", (r, n)))),),
            ),
        )
        b = {"x": x, "o": np.zeros(9, np.float32)}
        Compiled(fixed)(b, {})
        assert b["o"].tobytes() == a["o"].tobytes()


@pytest.mark.parametrize("isa", levels(), ids=lambda x: x.name)
@pytest.mark.parametrize("where", ["row", "column", "all"])
def test_sums_are_accurate(where: str, isa: Isa) -> None:
    compiled = Compiled(reduction("sum", float32, where), isa)
    x = np.random.default_rng(7).standard_normal((130, 517)).astype(np.float32)
    shape = {"row": (130,), "column": (517,), "all": ()}[where]
    arrays = {"x": x, "o": np.zeros(shape, np.float32)}
    compiled(arrays, {"R": 130, "N": 517, "C": 1})
    axis = {"row": 1, "column": 0, "all": None}[where]
    exact, size = x.sum(axis, dtype=np.float64), np.abs(x).sum(axis, dtype=np.float64)
    terms = {"row": 517, "column": 130, "all": x.size}[where]
    assert (np.abs(arrays["o"] - exact) <= terms * 2.0**-24 * size).all()


LONG = {  # extents of sums that are more than a block
    "row": {"R": 2, "N": 20_011, "C": 1},
    "column": {"R": 5_003, "N": 37, "C": 1},
    "all": {"R": 701, "N": 37, "C": 1},
    "middle": {"R": 3, "N": 2_003, "C": 5},
}


def long_input(where: str, dtype: DType = float32) -> np.ndarray:
    d = LONG[where]
    shape = (d["N"], d["R"], d["C"]) if where == "middle" else (d["R"], d["N"])
    return np.random.default_rng(8).random(shape).astype(dtype.numpy)


def summed(where: str) -> tuple[int, ...]:
    return {"row": (1,), "column": (0,), "all": (0, 1), "middle": (0, 2)}[where]


@pytest.mark.parametrize("isa", levels(), ids=lambda x: x.name)
@pytest.mark.parametrize("where", list(LONG))
def test_long_sums_lose_no_more_than_short_ones(where: str, isa: Isa) -> None:
    compiled = Compiled(reduction("sum", float32, where), isa)
    x = long_input(where)
    exact = x.sum(summed(where), dtype=np.float64)
    arrays = {"x": x, "o": np.zeros(exact.shape, np.float32)}
    compiled(arrays, LONG[where])
    np.testing.assert_allclose(arrays["o"], exact, rtol=3 * 2.0**-24, atol=0)


@pytest.mark.parametrize("where", list(LONG))
@pytest.mark.parametrize("dtype", [float32, float64, int32], ids=str)
def test_long_sums_of_special_values(dtype: DType, where: str) -> None:
    compiled = Compiled(reduction("sum", dtype, where))
    whole = np.floor(long_input(where, float64) * 9).astype(dtype.numpy)
    given = {"x": whole, "o": np.zeros(whole.sum(summed(where)).shape, dtype.numpy)}
    check(compiled.kernel, LONG[where], arrays=given, compiled=compiled)
    if not dtype.is_float:
        return
    greatest = np.finfo(dtype.numpy).max
    first = whole[{"row": 0, "all": np.s_[:, 3], "middle": np.s_[:, 0, 2]}.get(where, np.s_[:, 0])]
    with np.errstate(over="ignore", invalid="ignore"):
        for values in ([np.inf], [-np.inf], [np.nan], [np.inf, -np.inf], [greatest, greatest]):
            places = (first.size // 10, first.size * 9 // 10)
            for place, v in zip(places, values, strict=False):
                first[place] = v
            expected = whole.sum(summed(where), dtype=np.float64).astype(dtype.numpy)
            arrays = {"x": whole, "o": np.zeros(expected.shape, dtype.numpy)}
            compiled(arrays, LONG[where])
            assert same(arrays["o"], expected)
            first[list(places)] = 1


# Row-fused kernels


def row_axis() -> Axis:
    return Axis("n", N)


def softmax_like(first: Expr) -> tuple[Assign, ...]:
    """The shape of softmax, with exact arithmetic in the place of exp."""
    m = load("m", (r,))
    return (
        Assign("m", (r,), (), reduce("max", (row_axis(),), first)),
        Assign("e", (n,), (row_axis(),), op("add", op("abs", op("sub", first, m)), m)),
        Assign("s", (r,), (), reduce("sum", (row_axis(),), load("e", (n,)))),
        Assign("o", (r, n), (row_axis(),), op("sub", load("e", (n,)), load("s", (r,)))),
    )


@pytest.mark.parametrize("isa", levels(), ids=lambda x: x.name)
@pytest.mark.parametrize("order", ["rows", "columns"])
def test_row_fused(order: str, isa: Isa) -> None:
    ix = (r, n) if order == "rows" else (n, r)
    dims = (R, N) if order == "rows" else (N, R)
    body = softmax_like(load("x", ix))
    body = (*body[:-1], replace(body[-1], ix=ix))
    kernel = kernel_of(
        [*ins("x", dims=dims), out("o", dims=dims)], ["R", "N"], Par((Axis("r", R),), body)
    )
    compiled = Compiled(kernel, isa)
    for rows, columns in ((1, 1), (3, 16), (18, 17), (70, 67), (2, 300)):
        check(kernel, {"R": rows, "N": columns}, isa, compiled=compiled)


@pytest.mark.parametrize("isa", levels(), ids=lambda x: x.name)
@pytest.mark.parametrize("order", ["rows", "columns"])
@pytest.mark.parametrize("dtype", [float16, bfloat16], ids=str)
def test_locals_of_sixteen_bits(dtype: DType, order: str, isa: Isa) -> None:
    """Scalars and tiles that live from one loop to the next, and one that a loop carries."""
    ix, dims = ((r, n), (R, N)) if order == "rows" else ((n, r), (N, R))

    def single(e: Expr) -> Expr:
        return convert(e, float32)

    x, t = load("x", ix, dtype), load("t", (n,), dtype)
    m, q = load("m", (r,), dtype), load("q", (r,), dtype)
    step = op(
        "max", single(q), single(load("x", (*ix[:1], j) if order == "rows" else (j, r), dtype))
    )
    kernel = kernel_of(
        [*ins("x", dtype=dtype, dims=dims), out("o", dtype, dims), out("p", dtype, (R,))],
        ["R", "N"],
        Par(
            (Axis("r", R),),
            (
                Assign("m", (r,), (), convert(reduce("max", (row_axis(),), single(x)), dtype)),
                Assign("t", (n,), (row_axis(),), convert(op("sub", single(x), single(m)), dtype)),
                Assign("s", (r,), (), reduce("sum", (row_axis(),), single(t))),
                Assign("o", ix, (row_axis(),), select(op("lt", t, m), t, m)),
                For(
                    Axis("j", N),
                    (Assign("next_q", (r,), (), convert(step, dtype)),),
                    (Assign("q", (r,), (), m),),
                ),
                Assign("p", (r,), (), convert(op("add", single(q), load("s", (r,))), dtype)),
            ),
        ),
    )
    compiled = Compiled(kernel, isa)
    for rows, columns in ((1, 1), (3, 17), (40, 5), (2, 70)):
        check(kernel, {"R": rows, "N": columns}, isa, compiled=compiled)


@pytest.mark.parametrize("isa", levels(), ids=lambda x: x.name)
def test_softmax_and_layer_norm_against_float64(isa: Isa) -> None:
    x, e, m = load("x", (r, n)), load("e", (n,)), load("m", (r,))
    softmax = (
        Assign("m", (r,), (), reduce("max", (row_axis(),), x)),
        Assign("e", (n,), (row_axis(),), op("exp", op("sub", x, m))),
        Assign("s", (r,), (), reduce("sum", (row_axis(),), e)),
        Assign("o", (r, n), (row_axis(),), op("div", e, load("s", (r,)))),
    )
    size = convert(dim(N), float32)
    centred = op("sub", x, m)
    squares = reduce("sum", (row_axis(),), op("mul", centred, centred))
    spread = op("add", op("div", squares, size), const(1e-5, float32))
    norm = (
        Assign("m", (r,), (), op("div", reduce("sum", (row_axis(),), x), size)),
        Assign("v", (r,), (), op("rsqrt", spread)),
        Assign("o", (r, n), (row_axis(),), op("mul", centred, load("v", (r,)))),
    )
    rng = np.random.default_rng(4)
    for body in (softmax, norm):
        kernel = kernel_of(
            [*ins("x", dims=(R, N)), out("o", dims=(R, N))], ["R", "N"], Par((Axis("r", R),), body)
        )
        compiled = Compiled(kernel, isa)
        for columns in (1, 10, 64, 517):
            given = rng.standard_normal((7, columns)).astype(np.float32)
            arrays = {"x": given, "o": np.zeros_like(given)}
            compiled(arrays, {"R": 7, "N": columns}, (3,))
            wide = given.astype(np.float64)
            if body is softmax:
                powers = np.exp(wide - wide.max(1, keepdims=True))
                exact = powers / powers.sum(1, keepdims=True)
            else:
                wide = wide - wide.mean(1, keepdims=True)
                exact = wide / np.sqrt((wide * wide).mean(1, keepdims=True) + 1e-5)
            assert np.abs(arrays["o"] - exact).max() <= 2e-6 * max(1.0, np.abs(exact).max())


def test_tile_read_at_other_places() -> None:
    back = minus(dim(N - 1), n)
    kernel = kernel_of(
        [*ins("x", dims=(R, N)), out("o", dims=(R, N)), out("p", dims=(R,))],
        ["R", "N"],
        Par(
            (Axis("r", R),),
            (
                Assign("t", (r, n), (row_axis(),), op("mul", load("x", (r, n)), load("x", (r, n)))),
                Assign(
                    "o", (r, n), (row_axis(),), op("sub", load("t", (r, back)), load("t", (r, n)))
                ),
                Assign("p", (r,), (), load("t", (r, const(0, int64)))),
            ),
        ),
    )
    compiled = Compiled(kernel)
    for size in SIZES:
        check(kernel, {"R": 4, "N": size}, compiled=compiled)


def test_nested_reductions() -> None:
    mean = reduce("sum", (Axis("k", N),), load("x", (r, k)))
    spread = reduce("max", (row_axis(),), op("abs", op("sub", load("x", (r, n)), mean)))
    pairs = reduce(
        "sum",
        (row_axis(),),
        reduce("min", (Axis("k", M),), op("mul", load("x", (r, n)), load("y", (k,)))),
    )
    kernel = kernel_of(
        [*ins("x", dims=(R, N)), *ins("y", dims=(M,)), out("o", dims=(R,)), out("p", dims=(R,))],
        ["R", "N", "M"],
        Par(
            (Axis("r", R),),
            (Assign("o", (r,), (), spread), Assign("p", (r,), (), pairs)),
        ),
    )
    compiled = Compiled(kernel)
    for columns in (1, 16, 37, 70):
        check(kernel, {"R": 5, "N": columns, "M": 19}, compiled=compiled)


def test_contraction_without_a_micro_kernel() -> None:
    e = Expr("dot", (load("a", (r, k)), load("b", (k, c))), float32, (Axis("k", N),))
    kernel = kernel_of(
        [*ins("a", dims=(R, N)), *ins("b", dims=(N, C)), out("o", dims=(R, C))],
        ["R", "N", "C"],
        Par((Axis("r", R), Axis("c", C)), (Assign("o", (r, c), (), e),)),
    )
    compiled = Compiled(kernel)
    for rows, inner, columns in ((1, 1, 1), (3, 17, 33), (5, 2, 70)):
        check(kernel, {"R": rows, "N": inner, "C": columns}, compiled=compiled)


# Blocks


@pytest.mark.parametrize("isa", levels(), ids=lambda x: x.name)
def test_blocked_column_sums(isa: Isa) -> None:
    rows = Axis("r", R, 8)
    block = Expr("block", (), int64, "r")
    x = load("x", (r, c))
    kernel = kernel_of(
        [
            *ins("x", dims=(R, C)),
            out("s", dims=((R + 7) // 8, C)),
            out("m", dims=((R + 7) // 8, C)),
        ],
        ["R", "C"],
        Par(
            (rows, Axis("c", C)),
            (
                Assign("s", (block, c), (), reduce("sum", (rows,), x)),
                Assign("m", (block, c), (), reduce("max", (rows,), op("mul", x, x))),
            ),
        ),
    )
    compiled = Compiled(kernel, isa)
    for size, columns in ((1, 1), (8, 16), (17, 35), (100, 70)):
        check(kernel, {"R": size, "C": columns}, isa, compiled=compiled)


def test_blocked_row_sums_and_open_tiles() -> None:
    axis = Axis("n", N, 32)
    block = Expr("block", (), int64, "n")
    x = load("x", (r, n))
    kernel = kernel_of(
        [
            *ins("x", dims=(R, N)),
            out("s", dims=(R, (N + 31) // 32)),
            out("a", int64, (R, (N + 31) // 32)),
            out("o", dims=(R, N)),
        ],
        ["R", "N"],
        Par(
            (Axis("r", R), axis),
            (
                Assign("s", (r, block), (), reduce("sum", (axis,), x)),
                Assign("t", (n,), (), op("mul", x, x)),
                Assign("a", (r, block), (), reduce("argmax", (axis,), load("t", (n,)))),
                Assign("m", (), (), reduce("max", (axis,), load("t", (n,)))),
                Assign("o", (r, n), (), op("sub", load("t", (n,)), load("m", ()))),
            ),
        ),
    )
    compiled = Compiled(kernel)
    for size in (1, 31, 32, 33, 64, 100):
        check(kernel, {"R": 3, "N": size}, compiled=compiled)


# Ordered loops


def test_scatter_add() -> None:
    place = convert(load("ix", (j,), int32), int64)
    add = Assign("o", (place, c), (), load("u", (j, c)), accumulate=True)
    copy = Assign("o", (r, c), (Axis("r", R),), load("x", (r, c)))
    kernel = kernel_of(
        [
            *ins("x", dims=(R, C)),
            *ins("ix", dtype=int32, dims=(N,)),
            *ins("u", dims=(N, C)),
            out("o", dims=(R, C)),
        ],
        ["R", "C", "N"],
        Par((Axis("c", C),), (copy, For(Axis("j", N), (add,)))),
    )
    compiled = Compiled(kernel)
    for columns in (1, 16, 37, 131):
        dims = {"R": 7, "C": columns, "N": 23}
        arrays = arrays_for(kernel, dims)
        arrays["ix"] = np.random.default_rng(2).integers(0, 7, 23).astype(np.int32)
        check(kernel, dims, arrays=arrays, compiled=compiled)


@pytest.mark.parametrize("dtype", [float32, float16, int64], ids=str)
def test_scatter_add_without_other_axes(dtype: DType) -> None:
    place = convert(load("ix", (j,), int32), int64)
    add = Assign("o", (place,), (), load("u", (j,), dtype), accumulate=True)
    kernel = kernel_of(
        [
            *ins("ix", dtype=int32),
            *ins("u", dtype=dtype),
            Param("o", "inout", dtype, (R,)),
        ],
        ["R", "N"],
        Par((), (For(Axis("j", N), (add,)),)),
    )
    dims = {"R": 5, "N": 40}
    arrays = arrays_for(kernel, dims)
    arrays["ix"] = np.random.default_rng(2).integers(0, 5, 40).astype(np.int32)
    check(kernel, dims, arrays=arrays)


@pytest.mark.parametrize("order", ["rows", "columns"])
def test_carried_scalars(order: str) -> None:
    """A running maximum and a sum that is rescaled by it."""
    ix, dims = ((r, j), (R, N)) if order == "rows" else ((j, r), (N, R))
    x, m = load("x", ix), load("m", (r,))
    body = (
        Assign("next_m", (r,), (), op("max", m, x)),
        Assign("d", (r,), (), op("sub", load("next_m", (r,)), m)),
        Assign("next_l", (r,), (), op("add", load("l", (r,)), op("add", x, load("d", (r,))))),
        Assign("q", ix, (), load("next_l", (r,))),
    )
    kernel = kernel_of(
        [*ins("x", dims=dims), out("o", dims=(R,)), out("p", dims=(R,)), out("q", dims=dims)],
        ["R", "N"],
        Par(
            (Axis("r", R),),
            (
                For(
                    Axis("j", N),
                    body,
                    (
                        Assign("m", (r,), (), const(-8.0, float32)),
                        Assign("l", (r,), (), const(0.0, float32)),
                    ),
                ),
                Assign("o", (r,), (), load("m", (r,))),
                Assign("p", (r,), (), load("l", (r,))),
            ),
        ),
    )
    compiled = Compiled(kernel)
    for rows, columns in ((1, 1), (18, 7), (70, 20)):
        check(kernel, {"R": rows, "N": columns}, compiled=compiled)


@pytest.mark.parametrize("isa", levels(), ids=lambda x: x.name)
def test_carried_tiles_and_blocks(isa: Isa) -> None:
    """The loops of attention: blocks of queries and keys, a running maximum, a carried tile."""
    d_axis = Axis("d", C)
    d = index("d")
    s = load("s", (i, j))
    m, next_m = load("m", (i,)), load("next_m", (i,))
    queries, keys = Axis("i", N, 16), Axis("j", N, 8)
    low_j = op("mul", Expr("block", (), int64, "j"), const(8, int64))
    high_i = op("add", op("mul", Expr("block", (), int64, "i"), const(16, int64)), const(15, int64))
    score = Expr("dot", (load("q", (i, d)), load("k", (j, d))), float32, (Axis("d", C),))
    body = (
        Assign("s", (i, j), (), select(op("le", j, i), score, const(-50.0, float32))),
        Assign("next_m", (i,), (), op("max", m, reduce("max", (keys,), s))),
        Assign("p", (i, j), (), op("sub", s, next_m)),
        Assign("f", (i,), (), op("sub", m, next_m)),
        Assign(
            "next_a",
            (i, d),
            (d_axis,),
            op(
                "add",
                op("add", load("a", (i, d)), load("f", (i,))),
                Expr("dot", (load("p", (i, j)), load("v", (j, d))), float32, (keys,)),
            ),
        ),
    )
    kernel = kernel_of(
        [*ins("q", "k", "v", dims=(N, C)), out("o", dims=(N, C)), out("h", dims=(N,))],
        ["N", "C"],
        Par(
            (queries,),
            (
                For(
                    keys,
                    body,
                    (
                        Assign("m", (i,), (), const(-100.0, float32)),
                        Assign("a", (i, d), (d_axis,), const(0.0, float32)),
                    ),
                    op("le", low_j, high_i),
                ),
                Assign("o", (i, d), (d_axis,), load("a", (i, d))),
                Assign("h", (i,), (), load("m", (i,))),
            ),
        ),
    )
    compiled = Compiled(kernel, isa)
    for tokens, width in ((1, 1), (16, 4), (17, 16), (41, 20)):
        check(kernel, {"N": tokens, "C": width}, isa, compiled=compiled)


def test_loop_condition_on_carried_values() -> None:
    x = load("x", (r, j))
    body = (Assign("next_l", (r,), (), op("add", load("l", (r,)), op("abs", x))),)
    kernel = kernel_of(
        [*ins("x", dims=(R, N)), out("o", dims=(R,))],
        ["R", "N"],
        Par(
            (Axis("r", R),),
            (
                For(
                    Axis("j", N),
                    body,
                    (Assign("l", (r,), (), const(0.0, float32)),),
                    op("lt", load("l", (r,)), const(9.0, float32)),
                ),
                Assign("o", (r,), (), load("l", (r,))),
            ),
        ),
    )
    compiled = Compiled(kernel)
    for columns in (1, 5, 40):
        check(kernel, {"R": 21, "N": columns}, compiled=compiled)


# Whole kernels


def test_several_nests() -> None:
    first = Par((Axis("i", N),), (Assign("o", (i,), (), op("neg", load("x", (i,)))),))
    apart = Par((Axis("j", M),), (Assign("p", (j,), (), op("abs", load("y", (j,)))),))
    after = Par((Axis("j", M),), (Assign("p", (j,), (), load("o", (const(0, int64),))),))
    params = [*ins("x"), *ins("y", dims=(M,)), out("o"), out("p", dims=(M,))]
    for second in (apart, after):
        kernel = kernel_of(params, ["N", "M"], first, second)
        compiled = Compiled(kernel)
        for sizes in ((1, 1), (70, 3), (33, 65)):
            check(kernel, dict(zip("NM", sizes, strict=True)), compiled=compiled)


def test_statements_without_a_nest() -> None:
    kernel = kernel_of(
        [*ins("x"), out("s", dims=()), out("o")],
        ["N"],
        Assign("m", (), (), reduce("max", (Axis("n", N),), load("x", (n,)))),
        Assign("t", (n,), (Axis("n", N),), op("sub", load("x", (n,)), load("m", ()))),
        Assign("s", (), (), reduce("sum", (Axis("n", N),), load("t", (n,)))),
        Assign("o", (n,), (Axis("n", N),), op("mul", load("t", (n,)), load("t", (n,)))),
    )
    compiled = Compiled(kernel)
    for size in SIZES:
        check(kernel, {"N": size}, compiled=compiled)


def test_inner_nest() -> None:
    kernel = kernel_of(
        [*ins("x", dims=(R, N)), out("o", dims=(R, N))],
        ["R", "N"],
        Par(
            (Axis("r", R),),
            (
                Assign("m", (r,), (), reduce("min", (Axis("k", N),), load("x", (r, k)))),
                Par(
                    (Axis("n", N),),
                    (
                        Assign("t", (n,), (), op("sub", load("x", (r, n)), load("m", (r,)))),
                        Assign("o", (r, n), (), op("mul", load("t", (n,)), load("t", (n,)))),
                    ),
                ),
            ),
        ),
    )
    compiled = Compiled(kernel)
    for size in SIZES:
        check(kernel, {"R": 3, "N": size}, compiled=compiled)


@dataclass
class Recorder:
    """Nothing: `choose_schedule` needs lanes alone."""

    isa: Isa
    seen: list[int] = field(default_factory=list)

    def lanes(self, bits: int) -> int:
        self.seen.append(bits)
        return self.isa.lanes(bits)


@pytest.mark.parametrize("isa", levels(), ids=lambda x: x.name)
@pytest.mark.parametrize(
    "name", ["softmax", "batch_norm_partial", "conv", "attention", "scatter", "walked_blocks"]
)
def test_kernels_of_the_grammar(name: str, isa: Isa) -> None:
    text = (Path(__file__).parent / "kernels" / f"{name}.kernel").read_text()
    compiled = Compiled(parse_kernel(text), isa)
    rng = np.random.default_rng(9)
    for base in (3, 6) if name == "conv" else (5, 17, 33):
        dims = {d: base + 4 * k for k, d in enumerate(compiled.kernel.dims)}
        arrays = arrays_for(compiled.kernel, dims)
        for p in compiled.kernel.params:
            if p.dtype.is_float:
                arrays[p.name] = rng.standard_normal(arrays[p.name].shape).astype(p.dtype.numpy)
            elif p.dtype.is_integer:
                arrays[p.name] = rng.integers(0, 4, arrays[p.name].shape).astype(p.dtype.numpy)
        ours, theirs = ({k: v.copy() for k, v in arrays.items()} for _ in range(2))
        compiled(ours, dims, (1, 2, 7))
        run_kernel(compiled.kernel, theirs, dims)
        for key, value in theirs.items():
            size = 1 + np.abs(value.astype(np.float64)).max()
            assert np.abs(ours[key].astype(np.float64) - value).max() <= 1e-4 * size, key


def test_schedules_do_not_change_bits() -> None:
    x = np.random.default_rng(11).standard_normal((37, 71)).astype(np.float32)
    kernel = reduction("sum", float32, "column")
    plain = normalise(kernel)
    chosen = choose_schedule(plain, Recorder(V4), index_math(plain))
    assert chosen.nests[0].vector_axis == "n"
    results: set[bytes] = set()
    for unroll in (1, 2, 4):
        schedule = Schedule((replace(chosen.nests[0], unroll=unroll, chunk=3),))
        arrays = {"x": x, "o": np.zeros(71, np.float32)}
        Compiled(kernel, V4, schedule)(arrays, {"R": 37, "N": 71, "C": 1})
        results.add(arrays["o"].tobytes())
    assert len(results) == 1
    with pytest.raises(ValueError, match="change bits"):
        emit_loops(kernel, V4, Schedule((replace(chosen.nests[0], vector_axis=None),)))


def test_chains_are_full_vectors() -> None:
    kernel = pointwise(float32, lambda x, y: op("fma", x, y, op("max", x, op("mul", y, y))))
    v4 = isa_named("x86-64-v4")
    text = assembly(module_text(emit_loops(kernel, v4).emitters), v4)
    assert "zmm" in text
    assert "%rsp" not in text, "spills"
    assert not {"vaddss", "vmulss", "vfmadd213ss", "vmaxss"} & set(text.split())


@pytest.mark.parametrize("dtype", [bool_, int8, bfloat16, int32], ids=str)
def test_a_known_lane_is_stored_alone(dtype: DType) -> None:
    lanes, wide = 8, "<8 x i64>"
    em = Emitter("f", [("ptr", "x"), ("ptr", "o")])
    loaded = em.value(f"load {wide}, ptr %x, align 8")
    narrow = em.value(f"trunc {wide} {loaded} to {llvm_type(dtype, lanes)}")
    store(em, dtype, "%o", narrow, lanes, em.mask_below("1", lanes))
    em.line("ret void")
    code = load_blob(compile_module(module_text([em]), V4).blob())
    x, o = np.full(lanes, 0x0101010101010101), np.zeros(64, np.uint8)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(code.address("f"))(
        x.ctypes.data, o.ctypes.data
    )
    assert o.tolist() == [1] * dtype.itemsize + [0] * (64 - dtype.itemsize)


def test_code_compiles_for_aarch64() -> None:
    isa = isa_named("aarch64")
    for kernel in (reduction("sum", float32, "row"), reduction("argmax", float64, "column")):
        assert compile_module(module_text(emit_loops(kernel, isa).emitters), isa).object


@pytest.mark.parametrize("isa", levels(), ids=lambda x: x.name)
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_extremes_know_signs_of_zero_and_every_nan(dtype: DType, isa: Isa) -> None:
    rng = np.random.default_rng(4)
    nan = np.array(np.nan, dtype.numpy)
    pools = [[0.0, -0.0], [-0.0], [0.0, -0.0, -1.0], [0.0, -0.0, 1.0], [1.0, -1.0, nan, -0.0]]
    pools += [[-1.0, -2.0, -nan], [-np.inf, -nan], [np.inf, -np.inf, 3.0]]
    for kind in ("max", "min"):
        compiled = Compiled(reduction(kind, dtype, "row"), isa)
        for columns in (1, 5, 16, 63, 64, 150):
            x = np.stack([rng.choice(np.array(p, dtype.numpy), columns) for p in pools])
            arrays = arrays_for(compiled.kernel, {"R": len(pools), "N": columns, "C": 1})
            arrays["x"] = x
            compiled(arrays, {"R": len(pools), "N": columns, "C": 1})
            fold = np.max if kind == "max" else np.min
            want = fold(x, axis=1)
            # Of zeros, the positive one is the larger.
            some = (~np.signbit(x)).any(axis=1) if kind == "max" else ~np.signbit(x).any(axis=1)
            want = np.where(want == 0, np.where(some, 0.0, -0.0), want)
            got = arrays["o"]
            assert ((got == want) | (np.isnan(got) & np.isnan(want))).all(), (kind, columns)
            numbers = ~np.isnan(want)
            assert (np.signbit(got) == np.signbit(want))[numbers].all(), (kind, columns)
