"""Contractions on the CPU: every form, layout, extent and type, at each level that runs here."""

import ctypes
import functools
import itertools
import mmap
import re
from dataclasses import replace

import numpy as np
import pytest

from dlc.codegen.cpu import contraction as contraction_module
from dlc.codegen.cpu import panel, tiling
from dlc.codegen.cpu.contraction import emit_contraction, is_contraction
from dlc.codegen.cpu.contraction_form import contraction_of
from dlc.codegen.cpu.crossed_contraction import crossing
from dlc.codegen.cpu.emit import module_text
from dlc.codegen.cpu.few_rows import few_in_runs, few_turned
from dlc.codegen.cpu.isa import ISA_LEVELS, host_flags, host_machine, isa_named
from dlc.codegen.cpu.llvm import assembly, compile_module
from dlc.codegen.cpu.micro_kernel import _Tile
from dlc.codegen.cpu.stored_code import THREADS
from dlc.codegen.kernel_ir import Assign, Kernel, Par, Param
from dlc.ir import scalar
from dlc.ir.dims import add, evaluate, floordiv, symbol
from dlc.ir.errors import BackendError
from dlc.ir.scalar import Axis, const, convert, dot, index, load
from dlc.ir.types import (
    bfloat16,
    bool_,
    float16,
    float32,
    float64,
    int8,
    int32,
    int64,
    uint8,
)
from dlc.runtime.loader import load_blob

ALL_LEVELS = [isa for isa in ISA_LEVELS if isa.runs_on(host_machine(), host_flags())]
# A matrix unit multiplies one type alone; the rest is as at the level below.
LEVELS = [isa for isa in ALL_LEVELS if not isa.matrix]
level = pytest.mark.parametrize("isa", LEVELS, ids=lambda isa: isa.name)
every_level = pytest.mark.parametrize("isa", ALL_LEVELS, ids=lambda isa: isa.name)


def plain(acc, axes):
    return {"y": acc}, {}


def bias_relu(acc, axes):
    n = axes[-1]
    total = scalar.op("add", acc, load("bias", (index(n),), acc.dtype))
    return {"y": scalar.op("max", total, const(0, acc.dtype))}, {"bias": n}


def two_outputs(acc, axes):
    n, at = axes[-1], tuple(index(a) for a in axes)
    scaled = scalar.op("mul", acc, load("bias", (index(n),), acc.dtype))
    residual = scalar.op("add", scaled, load("residual", at, acc.dtype))
    return {"y": residual, "z": scalar.op("neg", acc)}, {"bias": n, "residual": "".join(axes)}


@functools.cache
def contraction(spec, extents, dtype=float32, accumulator=None, epilogue=plain):
    """The kernel of an einsum of two operands; the extent of a letter is None at run time."""
    accumulator = accumulator or dtype
    left, right, out = re.split(",|->", spec)
    dims = {c: symbol(c.upper()) if e is None else e for c, e in extents}
    summed = [c for c in dict.fromkeys(left + right) if c not in out]

    def at(letters):
        return tuple(index(c) for c in letters)

    def shape(letters):
        return tuple(dims[c] for c in letters)

    a, b = (convert(load(n, at(x), dtype), accumulator) for n, x in (("a", left), ("b", right)))
    product = dot(tuple(Axis(c, dims[c]) for c in summed), a, b, accumulator)
    acc = load("acc", at(out), accumulator)
    results, extra = epilogue(acc, list(out))
    body = [Assign("acc", at(out), (), product)]
    body += [Assign(name, at(out), (), convert(e, dtype)) for name, e in results.items()]
    params = [Param("a", "in", dtype, shape(left)), Param("b", "in", dtype, shape(right))]
    params += [Param(name, "in", accumulator, shape(x)) for name, x in extra.items()]
    params += [Param(name, "out", dtype, shape(out)) for name in results]
    symbols = tuple(c.upper() for c, e in extents if e is None)
    nest = Par(tuple(Axis(c, dims[c]) for c in out), tuple(body))
    return Kernel("kernel", tuple(params), symbols, (nest,))


class Compiled:
    """A compiled kernel that can be called on arrays."""

    def __init__(self, kernel, isa):
        self.kernel = kernel
        self.code = emit_contraction(kernel, isa)
        self.text = module_text(self.code.emitters)
        self.loaded = load_blob(compile_module(self.text, isa).blob())
        kinds = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
        self.entry = ctypes.CFUNCTYPE(None, *kinds)(self.loaded.address(self.code.entry))

    def __call__(self, inputs, dims, cuts=None):
        """The outputs, computed over `[lo, hi)` of each cut; their guard bands are checked."""
        arrays, outputs = [], []
        for param in self.kernel.params:
            shape = [evaluate(d, dims) for d in param.dims]
            if param.mode == "in":
                arrays.append(inputs[param.name])
                assert list(arrays[-1].shape) == shape
                assert arrays[-1].dtype == param.dtype.numpy
            else:
                outputs.append(Guarded(shape, param.dtype.numpy))
                if param.mode == "inout":
                    outputs[-1].array[...] = inputs[param.name]
                arrays.append(outputs[-1].array)
        units = evaluate(self.code.units, dims)
        assert evaluate(self.code.chunk, dims | {THREADS: 2}) >= 1
        scratch = Guarded([evaluate(self.code.scratch, dims)], np.uint8)
        args = (ctypes.c_void_p * len(arrays))(*[x.ctypes.data for x in arrays])
        values = (ctypes.c_int64 * max(1, len(dims)))(*[dims[d] for d in self.kernel.dims])
        for lo, hi in cuts(units) if cuts else [(0, units)]:
            self.entry(
                ctypes.addressof(args), ctypes.addressof(values), lo, hi, scratch.array.ctypes.data
            )
        scratch.check()
        for output in outputs:
            output.check()
        return [output.array for output in outputs]


class Guarded:
    """A 64-byte aligned array filled with a pattern that is NaN, between bands of it."""

    def __init__(self, shape, dtype):
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        self.memory = np.full(size + 512, 0xFF, np.uint8)
        start = -self.memory.ctypes.data % 64 + 128
        self.array = self.memory[start : start + size].view(dtype).reshape(shape)
        self.bands = self.memory[:start], self.memory[start + size :]

    def check(self):
        assert all((band == 0xFF).all() for band in self.bands)


def at_end_of_page(array):
    """A copy that ends where memory that cannot be read begins."""
    page = mmap.PAGESIZE
    whole = -(-array.nbytes // page) * page
    pages = mmap.mmap(-1, whole + page)
    data = np.frombuffer(pages, np.uint8)
    libc = ctypes.CDLL(None, use_errno=True)
    last = ctypes.c_void_p(data.ctypes.data + whole)
    assert libc.mprotect(last, ctypes.c_size_t(page), 0) == 0
    copy = data[whole - array.nbytes : whole].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


@functools.cache
def compiled(kernel, isa):
    return Compiled(kernel, isa)


def inputs_of(kernel, dims, seed=0):
    rng = np.random.default_rng(seed)
    result = {}
    for p in kernel.params:
        shape = [evaluate(d, dims) for d in p.dims]
        if p.mode != "in":
            continue
        if p.dtype.is_float:
            result[p.name] = rng.standard_normal(shape).astype(p.dtype.numpy)
        else:
            low, high = (
                (0, 2) if p.dtype.kind == "b" else (-100, 100) if p.dtype.kind == "i" else (0, 200)
            )
            result[p.name] = rng.integers(low, high, shape).astype(p.dtype.numpy)
    return result


def names_of(extents):
    return {c.upper(): e for c, e in extents.items()}


def run_time(extents):
    return tuple((c, None) for c in extents)


def known(extents):
    return tuple(extents.items())


def check(kernel, isa, spec, extents, accumulator=float32, **calls):
    """Runs a plain contraction and holds it against float64 within the bound of K products."""
    dims = names_of(extents)
    inputs = inputs_of(kernel, dims)
    (y,) = compiled(kernel, isa)(inputs, dims, **calls)
    a, b = (inputs[n].astype(np.float64) for n in "ab")
    exact, size = np.einsum(spec, a, b), np.einsum(spec, np.abs(a), np.abs(b))
    bound = gamma(spec, extents, accumulator) * size
    assert (np.abs(y - exact) <= bound).all()
    return y


def gamma(spec, extents, dtype):
    """k*u / (1 - k*u) for a sum of k rounded products in any order."""
    out = spec.split("->")[1]
    k = int(np.prod([e for c, e in extents.items() if c not in out])) + 1
    u = 2.0 ** -(53 if dtype is float64 else 24)
    return k * u / (1 - k * u)


MATMUL = ["mk,kn->mn", "mk,nk->mn", "km,kn->mn", "km,nk->mn"]
EXTENTS = [
    (1, 1, 1), (16, 16, 16), (7, 13, 5), (128, 10, 64), (97, 131, 61), (200, 77, 600), (6, 64, 1),
    (3, 300, 1031), (400, 300, 20), (1, 257, 523), (1, 16, 17), (25, 65, 513), (2, 1, 100),
    (196, 1, 33),
]  # fmt: skip


@level
@pytest.mark.parametrize("spec", MATMUL)
@pytest.mark.parametrize("mnk", EXTENTS, ids=str)
def test_matmul(isa, spec, mnk):
    extents = dict(zip("mnk", mnk, strict=True))
    once = check(contraction(spec, run_time(extents)), isa, spec, extents)
    again = check(contraction(spec, known(extents)), isa, spec, extents)
    assert once.tobytes() == again.tobytes()


FORMS = [
    ("bmk,bkn->bmn", dict(b=5, m=7, n=19, k=11)),
    ("bhtd,bhsd->bhts", dict(b=2, h=3, t=9, s=17, d=8)),
    ("bhts,bhsd->bthd", dict(b=2, h=3, t=9, s=17, d=24)),
    ("bti,io->bto", dict(b=3, t=15, i=20, o=33)),  # m axes that merge
    ("bti,bto->io", dict(b=3, t=15, i=20, o=33)),  # k axes that merge
    ("bhtd,hdo->bto", dict(b=2, h=3, t=9, d=8, o=21)),  # k axes that do not
    ("bti,hio->bhto", dict(b=2, t=9, h=3, i=10, o=20)),  # n axes that do not
    ("tbi,oi->bto", dict(t=9, b=4, i=10, o=20)),  # m axes that do not
    ("bi,hdi->bhd", dict(b=5, i=12, h=3, d=8)),  # n axes that merge
    ("mk,kn->nm", dict(m=21, n=35, k=17)),  # the output transposed
    ("km,nk->nm", dict(m=21, n=35, k=17)),
    ("mk,kn->mn", dict(m=1, n=35, k=17)),
    ("bmk,bkn->mnb", dict(b=5, m=7, n=19, k=11)),  # the batch innermost
    ("bmk,bkn->mbn", dict(b=5, m=7, n=19, k=11)),
    ("mk,k->m", dict(m=37, k=700)),
    ("km,k->m", dict(m=37, k=700)),
    ("k,kn->n", dict(n=37, k=70)),
    ("m,n->mn", dict(m=9, n=70)),
    ("mkl,kln->mn", dict(m=9, k=7, l=5, n=18)),
    ("mkl,lkn->mn", dict(m=9, k=70, l=15, n=18)),
    ("abk,kcd->acbd", dict(a=3, b=4, k=9, c=5, d=6)),
    ("amk,bkn->abmn", dict(a=2, b=3, m=5, n=18, k=6)),
    ("mk,kn->mn", dict(m=0, n=5, k=3)),
    ("mk,kn->mn", dict(m=4, n=0, k=3)),
    ("mk,kn->mn", dict(m=4, n=21, k=0)),
    ("mk,nk->mn", dict(m=1, n=21, k=0)),
]


@level
@pytest.mark.parametrize(("spec", "extents"), FORMS, ids=[f"{s} {e}" for s, e in FORMS])
def test_forms(isa, spec, extents):
    check(contraction(spec, known(extents)), isa, spec, extents)
    if all(extents.values()):
        check(contraction(spec, run_time(extents)), isa, spec, extents)


@functools.cache
def panels(extents, dtype, accumulator, width, epilogue=plain):
    """`contraction("mk,kn->mn")` with b in panels."""
    kernel = contraction("mk,kn->mn", extents, dtype, accumulator, epilogue)
    k, n = index("k"), index("n")
    w = const(width, int64)
    at = (scalar.op("floordiv", n, w), k, scalar.op("mod", n, w))

    def moved(e):
        if e.op == "load":
            return e.with_args(at) if e.attr == "b" else e
        return e.with_args(tuple(moved(x) for x in e.args))

    (nest,) = kernel.body
    first, *rest = nest.body
    body = (replace(first, expr=moved(first.expr)), *rest)
    blocks, depth = floordiv(add(kernel.param("b").dims[1], width - 1), width), kernel.params[0]
    stored = replace(kernel.param("b"), dims=(blocks, depth.dims[1], width))
    params = tuple(stored if p.name == "b" else p for p in kernel.params)
    return replace(kernel, params=params, body=(Par(nest.axes, body),))


def in_panels(b, width):
    """The matrix as `panels` takes it; what is behind the last column is NaN, and read by none."""
    k, n = b.shape
    blocks = -(-n // width)
    padding = np.nan if b.dtype.kind not in "iu" else 77
    wide = np.full((k, blocks * width), padding, b.dtype)
    wide[:, :n] = b
    return np.ascontiguousarray(wide.reshape(k, blocks, width).transpose(1, 0, 2))


@every_level
@pytest.mark.parametrize(
    ("dtype", "accumulator", "width"),
    [
        (float32, float32, 32), (float64, float64, 16), (bfloat16, float32, 32),
        (float16, float32, 48), (int8, int32, 16),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("rows", [1, 8, 13, 25, None])
def test_a_matrix_in_panels_gives_the_bits_of_one_in_rows(isa, dtype, accumulator, width, rows):
    m, n, k = rows or 205, 77, 800  # several steps of K
    extents = (("m", rows), ("n", None), ("k", None))
    dims = {"M": m, "N": n, "K": k}
    inputs = inputs_of(contraction("mk,kn->mn", extents, dtype, accumulator), dims)
    kernel = panels(extents, dtype, accumulator, width)
    assert is_contraction(kernel, isa)
    packed = inputs | {"b": in_panels(inputs["b"], width)}
    rows_dims = {d: dims[d] for d in kernel.dims}
    (expected,) = compiled(contraction("mk,kn->mn", extents, dtype, accumulator), isa)(
        inputs, rows_dims
    )
    for cuts in (None, one_by_one):
        (y,) = compiled(kernel, isa)(packed, rows_dims, cuts)
        assert y.tobytes() == expected.tobytes()


@every_level
@pytest.mark.parametrize("columns", [8, 16, 24, 33, 40, 48, 64, 80])
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_panels_whose_columns_are_known(isa, columns, dtype):
    extents = (("m", columns), ("n", columns), ("k", None))
    plain_kernel = contraction("mk,kn->mn", extents, dtype, dtype)
    inputs = inputs_of(plain_kernel, {"K": 19})
    expected = compiled(plain_kernel, isa)(inputs, {"K": 19})
    inputs |= {"b": in_panels(inputs["b"], 32)}
    found = compiled(panels(extents, dtype, dtype, 32), isa)(inputs, {"K": 19})
    assert [x.tobytes() for x in found] == [x.tobytes() for x in expected]


@level
@pytest.mark.parametrize("columns", [5, 32, 33, 64])
def test_panels_with_epilogues_and_pages_that_end(isa, columns):
    extents = (("m", 3), ("n", None), ("k", None))
    dims = {"N": columns, "K": 70}
    plain_kernel = contraction("mk,kn->mn", extents, epilogue=two_outputs)
    inputs = inputs_of(plain_kernel, dims)
    expected = compiled(plain_kernel, isa)(inputs, dims)
    kernel = panels(extents, float32, float32, 32, two_outputs)
    inputs |= {"b": at_end_of_page(in_panels(inputs["b"], 32))}
    found = compiled(kernel, isa)(inputs, dims)
    assert [x.tobytes() for x in found] == [x.tobytes() for x in expected]


def test_panels_of_no_whole_vectors_are_left_to_loops():
    kernel = panels((("m", 3), ("n", None), ("k", None)), float32, float32, 7)
    assert not any(is_contraction(kernel, isa) for isa in LEVELS)


@every_level
@pytest.mark.parametrize("spec", MATMUL)
@pytest.mark.parametrize("mnk", [(5, 67, 19), (50, 67, 519), (1, 37, 21)], ids=str)
@pytest.mark.parametrize("dtype", [float64, float16, bfloat16], ids=str)
def test_float_types(isa, spec, mnk, dtype):
    extents = dict(zip("mnk", mnk, strict=True))
    accumulator = float64 if dtype is float64 else float32
    kernel = contraction(spec, run_time(extents), dtype, accumulator)
    if dtype is float64:
        dims = names_of(extents)
        inputs = inputs_of(kernel, dims)
        (y,) = compiled(kernel, isa)(inputs, dims)
        a, b = (inputs[n].astype(np.longdouble) for n in "ab")
        size = np.einsum(spec, np.abs(a), np.abs(b))
        error = np.abs(y - np.einsum(spec, a, b))
        assert (error <= gamma(spec, extents, float64) * size).all()
        return
    # The inputs are exact in float32, so that only the sum and the last rounding err.
    dims = names_of(extents)
    inputs = inputs_of(kernel, dims)
    (y,) = compiled(kernel, isa)(inputs, dims)
    a, b = (inputs[n].astype(np.float64) for n in "ab")
    exact, size = np.einsum(spec, a, b), np.einsum(spec, np.abs(a), np.abs(b))
    half = 2.0 ** (-11 if dtype is float16 else -8)
    tiny = 2.0**-25 if dtype is float16 else 0.0
    summed = gamma(spec, extents, float32) * size
    bound = summed + half * (np.abs(exact) + summed) + tiny
    assert (np.abs(y.astype(np.float64) - exact) <= bound).all()


@level
@pytest.mark.parametrize("spec", MATMUL)
@pytest.mark.parametrize(
    ("dtype", "accumulator"),
    [(int8, int32), (uint8, int32), (int8, int8), (int32, int32), (int64, int64), (bool_, int32)],
    ids=str,
)
def test_integers_wrap(isa, spec, dtype, accumulator):
    extents = dict(m=9, n=70, k=41)
    kernel = contraction(spec, run_time(extents), dtype, accumulator)
    inputs = inputs_of(kernel, names_of(extents))
    if dtype in (int32, int64):
        inputs = {n: x * np.array(123456789, x.dtype) for n, x in inputs.items()}
    (y,) = compiled(kernel, isa)(inputs, names_of(extents))
    a, b = (inputs[n].astype(accumulator.numpy) for n in "ab")
    expected = np.einsum(spec, a, b).astype(dtype.numpy)
    assert (y == expected).all()


@level
@pytest.mark.parametrize("spec", MATMUL)
@pytest.mark.parametrize("mnk", [(1, 33, 7), (30, 100, 20), (13, 64, 1100)], ids=str)
@pytest.mark.parametrize("static", [False, True])
def test_epilogues(isa, spec, mnk, static):
    extents = dict(zip("mnk", mnk, strict=True))
    given = known(extents) if static else run_time(extents)
    dims = names_of(extents)
    acc = compiled(contraction(spec, given), isa)
    inputs = inputs_of(contraction(spec, given, epilogue=two_outputs), dims)
    (product,) = acc({n: inputs[n] for n in "ab"}, dims)
    (relu,) = compiled(contraction(spec, given, epilogue=bias_relu), isa)(inputs, dims)
    assert relu.tobytes() == np.maximum(product + inputs["bias"], np.float32(0)).tobytes()
    y, z = compiled(contraction(spec, given, epilogue=two_outputs), isa)(inputs, dims)
    assert y.tobytes() == (product * inputs["bias"] + inputs["residual"]).tobytes()
    assert z.tobytes() == (-product).tobytes()


@level
@pytest.mark.parametrize("layout", ["bthd", "bhtd"])
@pytest.mark.parametrize("numbered", ["td", "bh"])
@pytest.mark.parametrize("added", ["bh", "bthd"])
def test_epilogue_with_values_of_axes_that_would_merge(isa, layout, numbered, added):
    extents = dict(b=3, t=5, i=9, h=4, d=6)
    spec, dims = "bti,ihd->bthd", names_of(extents)
    axes = [Axis(c, extents[c]) for c in "bthd"]
    at = {c: index(c) for c in "bthdi"}
    x, w = load("x", (at["b"], at["t"], at["i"])), load("w", (at["i"], at["h"], at["d"]))
    bias = load("bias", tuple(at[c] for c in added))
    number = convert(scalar.op("add", *(at[c] for c in numbered)), float32)
    total = scalar.op("add", scalar.op("add", load("acc", ()), bias), number)
    body = (
        Assign("acc", (), (), dot((Axis("i", 9),), x, w, float32)),
        Assign("y", tuple(at[c] for c in layout), (), total),
    )
    params = (
        Param("x", "in", float32, (3, 5, 9)),
        Param("w", "in", float32, (9, 4, 6)),
        Param("bias", "in", float32, tuple(extents[c] for c in added)),
        Param("y", "out", float32, tuple(extents[c] for c in layout)),
    )
    kernel = Kernel("kernel", params, (), (Par(tuple(axes), body),))
    inputs = inputs_of(kernel, dims)
    (y,) = compiled(kernel, isa)(inputs, {})
    product = np.einsum(spec, inputs["x"].astype("f8"), inputs["w"].astype("f8"))
    grid = np.indices([extents[c] for c in "bthd"])
    number = sum(grid["bthd".index(c)] for c in numbered)
    bias = inputs["bias"] if added == "bthd" else inputs["bias"][:, None, :, None]
    expected = product + bias + number
    expected = expected.transpose(["bthd".index(c) for c in layout])
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


@level
@pytest.mark.parametrize("rows", [1, 40])
def test_adding_to_an_output(isa, rows):
    y, at = (
        np.random.default_rng(5).standard_normal((rows, 70)).astype("f4"),
        (index("m"), index("n")),
    )
    plain_kernel = contraction("mk,kn->mn", known(dict(m=rows, n=70, k=9)))
    (nest,) = plain_kernel.body
    total = scalar.op("add", load("y", at), load("acc", ()))
    body = Par(nest.axes, (nest.body[0], Assign("y", at, (), total)))
    params = tuple(
        Param(p.name, "inout" if p.name == "y" else p.mode, p.dtype, p.dims)
        for p in plain_kernel.params
    )
    inputs = inputs_of(plain_kernel, {})
    (product,) = compiled(plain_kernel, isa)(inputs, {})
    (result,) = compiled(Kernel("kernel", params, (), (body,)), isa)(inputs | {"y": y}, {})
    assert result.tobytes() == (y + product).tobytes()


def one_by_one(units):
    return [(u, u + 1) for u in range(units)]


def backwards_by_three(units):
    return [(u, min(u + 3, units)) for u in range(0, units, 3)][::-1]


@level
@pytest.mark.parametrize("spec", [*MATMUL, "bmk,bkn->bmn"])
@pytest.mark.parametrize("epilogue", [plain, bias_relu])
def test_cuts_do_not_change_bits(isa, spec, epilogue):
    extents = {c: e for c, e in dict(b=3, m=211, n=331, k=1100).items() if c in spec}
    kernel = contraction(spec, run_time(extents), epilogue=epilogue)
    dims = names_of(extents)
    inputs = inputs_of(kernel, dims)
    whole = compiled(kernel, isa)(inputs, dims)
    for cuts in (one_by_one, backwards_by_three):
        parts = compiled(kernel, isa)(inputs, dims, cuts)
        assert [x.tobytes() for x in parts] == [x.tobytes() for x in whole]


@level
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_bits_depend_on_k_alone(isa, dtype):
    """Sub-blocks, transposed operands and batches give the bits of the whole product."""
    m, n, k = 203, 150, 1100
    rng = np.random.default_rng(1)
    a, b = (rng.standard_normal(s).astype(dtype.numpy) for s in ((m, k), (k, n)))
    results = {}
    for spec in MATMUL:
        kernel = contraction(spec, run_time(dict(m=1, n=1, k=1)), dtype)
        for rows, columns in [(m, n), (1, n), (1, 31), (2, 64), (8, 1), (m, 5), (25, 17), (5, 130)]:
            x, y = a[m - rows :], b[:, n - columns :]
            given = {
                "a": np.ascontiguousarray(x if spec.startswith("mk") else x.T),
                "b": np.ascontiguousarray(y.T if "nk" in spec else y),
            }
            (z,) = compiled(kernel, isa)(given, dict(M=rows, N=columns, K=k))
            results[spec, rows, columns] = z
    whole = results["mk,kn->mn", m, n]
    for (_, rows, columns), z in results.items():
        assert z.tobytes() == whole[m - rows :, n - columns :].tobytes()


@level
@pytest.mark.parametrize("spec", ["mk,kn->mn", "km,nk->mn"])
@pytest.mark.parametrize(("mn", "epilogue"), [((5, 32), plain), ((3, 37), bias_relu)])
def test_very_long_sums_lose_little(isa, spec, mn, epilogue):
    extents = dict(m=mn[0], n=mn[1], k=150_300)
    dims, results = names_of(extents), []
    for form in (run_time, known):
        kernel = contraction(spec, form(extents), epilogue=epilogue)
        inputs = {name: np.abs(x) for name, x in inputs_of(kernel, dims).items()}
        code = compiled(kernel, isa)
        results += [code(inputs, dims if form is run_time else {}, c) for c in (None, one_by_one)]
    (y,) = results[0]
    assert all(z.tobytes() == y.tobytes() for (z,) in results)
    exact = np.einsum(spec, *(inputs[n].astype(np.float64) for n in "ab"), optimize=True)
    exact += inputs.get("bias", 0)
    np.testing.assert_allclose(y, exact, rtol=6 * 2.0**-24)


@pytest.mark.parametrize("dtype", [float64, int32], ids=str)
def test_very_long_sums_of_other_types(dtype):
    extents = dict(m=3, n=21, k=20_000)
    kernel = contraction("mk,kn->mn", run_time(extents), dtype)
    dims = names_of(extents)
    inputs = {name: np.floor(x).astype(x.dtype) for name, x in inputs_of(kernel, dims).items()}
    (y,) = compiled(kernel, LEVELS[0])(inputs, dims)
    np.testing.assert_array_equal(y, inputs["a"] @ inputs["b"])


@pytest.mark.skipif(len(LEVELS) < 2, reason="one level only")
def test_levels_with_fused_multiply_add_agree():
    extents = dict(m=33, n=70, k=1500)
    kernel = contraction("mk,kn->mn", run_time(extents))
    dims = names_of(extents)
    fused = [isa for isa in LEVELS if isa.fma]
    results = {compiled(kernel, isa)(inputs_of(kernel, dims), dims)[0].tobytes() for isa in fused}
    assert len(results) == 1


@level
@pytest.mark.parametrize("spec", MATMUL)
def test_special_values_stay_in_their_rows_and_columns(isa, spec):
    extents = dict(m=11, n=37, k=21)
    kernel = contraction(spec, run_time(extents))
    dims = names_of(extents)
    inputs = inputs_of(kernel, dims)
    a = inputs["a"] if spec.startswith("mk") else inputs["a"].T
    b = inputs["b"].T if "nk" in spec else inputs["b"]
    a[3, 5], a[7, 0], b[2, 36], b[20, 35] = np.nan, np.inf, np.inf, np.nan
    (y,) = compiled(kernel, isa)(inputs, dims)
    with np.errstate(invalid="ignore"):
        expected = a.astype("f8") @ b.astype("f8")
    assert (np.isnan(y) == np.isnan(expected)).all()
    infinite = np.isinf(expected)
    assert (y[infinite] == expected[infinite]).all()
    assert np.isfinite(y[np.isfinite(expected)]).all()


@pytest.mark.skipif(host_machine() == "a 32-bit Python", reason="needs mprotect of pages")
@every_level
@pytest.mark.parametrize("spec", MATMUL)
@pytest.mark.parametrize("mnk", [(1, 37, 19), (7, 13, 5), (30, 100, 35), (200, 70, 600)], ids=str)
@pytest.mark.parametrize("dtype", [float32, bfloat16], ids=str)
def test_nothing_is_read_beyond_the_operands(isa, spec, mnk, dtype):
    extents = dict(zip("mnk", mnk, strict=True))
    kernel = contraction(spec, run_time(extents), dtype, float32)
    dims = names_of(extents)
    inputs = inputs_of(kernel, dims)
    (expected,) = compiled(kernel, isa)(inputs, dims)
    ends = {n: at_end_of_page(x) for n, x in inputs.items()}
    (y,) = compiled(kernel, isa)(ends, dims)
    assert y.tobytes() == expected.tobytes()


def test_every_combination_of_the_last_panel_and_rows():
    """All remainders of tiles in both directions, static and at run time."""
    isa = LEVELS[0]
    rng = np.random.default_rng(2)
    kernel = contraction("mk,kn->mn", run_time(dict(m=1, n=1, k=1)), epilogue=plain)
    for m in (*range(1, 16), 24, 25, 191, 192, 193):
        for n in (1, 15, 16, 17, 47, 48, 63, 64, 65, 113, 255, 256, 257):
            a, b = (
                rng.standard_normal((m, 3)).astype("f4"),
                rng.standard_normal((3, n)).astype("f4"),
            )
            (y,) = compiled(kernel, isa)({"a": a, "b": b}, dict(M=m, N=n, K=3))
            np.testing.assert_allclose(y, a.astype("f8") @ b.astype("f8"), rtol=0, atol=1e-5)


def test_known_extents_cover_every_remainder():
    isa = LEVELS[0]
    rng = np.random.default_rng(3)
    for m, n in [
        (1, 9),
        (3, 33),
        (5, 100),
        (13, 65),
        (23, 111),
        (25, 112),
        (198, 130),
        (193, 100),
        (194, 17),
    ]:
        a, b = rng.standard_normal((m, 5)).astype("f4"), rng.standard_normal((5, n)).astype("f4")
        kernel = contraction("mk,kn->mn", known(dict(m=m, n=n, k=5)))
        (y,) = compiled(kernel, isa)({"a": a, "b": b}, {})
        np.testing.assert_allclose(y, a.astype("f8") @ b.astype("f8"), rtol=0, atol=1e-5)


def test_compiles_for_arm():
    kernel = contraction("mk,nk->mn", run_time(dict(m=1, n=1, k=1)), epilogue=bias_relu)
    code = emit_contraction(kernel, isa_named("aarch64"))
    blob = compile_module(module_text(code.emitters), isa_named("aarch64")).blob()
    assert code.entry in blob.symbols


def compiled_micro_kernel(dtype, rows, vectors, isa, *, streams=False):
    """As LLVM compiles it, where it could be assembled too."""
    name = f"dlc.mm.{rows}x{vectors}.{streams}"
    return _Tile(name, dtype, (rows, vectors), isa, streams=streams).function(4)


@pytest.mark.parametrize("name", ["x86-64-v4", "x86-64-v3", "x86-64-v2"])
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
@pytest.mark.parametrize("packed", [False, True], ids=["rows", "panels"])
def test_micro_kernels_keep_their_sums_in_registers(name, dtype, packed, monkeypatch):
    monkeypatch.setattr(panel, "can_assemble", lambda dtype, isa: False)
    monkeypatch.setattr(panel, "panel", panel.panel.__wrapped__)
    monkeypatch.setattr(panel, "micro_kernel", compiled_micro_kernel)
    monkeypatch.setattr("dlc.codegen.cpu.contraction.panel", panel.panel)
    isa = isa_named(name)
    extents = run_time(dict(m=1, n=1, k=1))
    kernel = contraction("mk,kn->mn", extents, dtype)
    if packed:
        kernel = panels(extents, dtype, dtype, 2 * isa.lanes(dtype.bits))
    text = assembly(module_text(emit_contraction(kernel, isa).emitters), isa)
    functions = re.findall(
        r'^"?(dlc\.[mp]m\.[^":]*)"?:\n(.*?)\.Lfunc_end', text, re.MULTILINE | re.DOTALL
    )
    assert len(functions) >= 3
    for label, body in functions:
        spills = re.findall(r"mov[au]p[sd]\s+%[xyz]mm\d+, -?\d*\(%rsp\)", body)
        assert not spills, label


def test_what_is_not_a_contraction():
    extents = dict(m=4, n=4, k=4)
    kernel = contraction("mk,kn->mn", known(extents))
    assert is_contraction(kernel, LEVELS[0])
    (nest,) = kernel.body
    product = nest.body[0].expr
    other = dot(product.attr, product.args[1], product.args[0], float32)
    two_dots = Par(
        nest.axes,
        (nest.body[0], Assign("y", nest.body[1].ix, (), scalar.op("add", other, product))),
    )
    copy = Par(nest.axes, (Assign("y", nest.body[1].ix, (), load("a", nest.body[1].ix)),))
    blocked = Par((Axis("m", 4, 2), nest.axes[1]), nest.body)
    vectors = contraction("bk,bk->b", known(dict(b=3, k=5)))
    assert not is_contraction(vectors, LEVELS[0])
    for body in [(nest, nest), (two_dots,), (copy,), (blocked,)]:
        changed = Kernel("kernel", kernel.params, (), body)
        assert not is_contraction(changed, LEVELS[0])
        with pytest.raises(BackendError):
            emit_contraction(changed, LEVELS[0])


def test_units_and_cost_of_a_known_product():
    isa = isa_named("x86-64-v4")
    code = emit_contraction(contraction("mk,kn->mn", known(dict(m=64, n=64, k=32))), isa)
    assert code.cost == 2 * 64 * 64 * 32
    dynamic = emit_contraction(contraction("mk,kn->mn", run_time(dict(m=1, n=1, k=1))), isa)
    assert evaluate(dynamic.units, dict(M=600, N=256, K=64)) == 16
    assert evaluate(dynamic.units, dict(M=1, N=1024, K=64)) == 4


@pytest.mark.parametrize("spec", ["mk,kn->mn", "km,kn->mn", "bmk,bkn->bmn"])
@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_threads_share_units_equally_in_few_chunks(spec, threads):
    code = emit_contraction(contraction(spec, run_time("bmkn")), isa_named("x86-64-v4"))
    for size in range(100, 2500, 83):
        dims = {"B": 5, "M": size, "K": size, "N": size}
        units = evaluate(code.units, dims)
        chunk = evaluate(code.chunk, dims | {THREADS: threads})
        chunks = -(-units // chunk)
        ends = [min(chunk * (t * chunks // threads), units) for t in range(threads + 1)]
        most = max(b - a for a, b in itertools.pairwise(ends))
        assert most <= max(-(-units // threads) * 1.1, chunk)
        assert chunks <= threads * max(2, 2 + units / threads / 48)


@level
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_rows_of_a_that_are_far_apart_are_packed(isa, dtype):
    """Blocks of more rows and columns than one, all ragged, of a product of gradients."""
    sizes = {"m": 200, "n": 281, "k": 600}
    kernel = contraction("km,kn->mn", run_time(sizes), dtype)
    assert "@dlc.pack.transposed." in compiled(kernel, isa).text
    check(kernel, isa, "km,kn->mn", sizes, dtype)


# Few rows by a matrix that is contiguous along k, in one and in several units, panels and steps.
CROSSED = [
    (2, 40, 9), (9, 129, 700), (16, 48, 64), (17, 385, 40), (60, 500, 100), (77, 400, 519),
    (128, 1600, 190), (129, 1100, 257), (197, 1700, 333), (257, 2000, 519), (10, 33, 4095),
]  # fmt: skip


def usual(kernel, isa, monkeypatch):
    """The kernel compiled without exchange of roles or other ways for few rows."""
    with monkeypatch.context() as patch:
        patch.setattr(contraction_module, "_other_ways", lambda *_: [])
        return compiled_usual(kernel, isa)


@functools.cache
def compiled_usual(kernel, isa):
    return Compiled(kernel, isa)


def agrees_with_usual(kernel, isa, inputs, dims, monkeypatch):
    """Asserts that results have the bits of the usual way, however work is cut."""
    expected = usual(kernel, isa, monkeypatch)(inputs, dims)
    for cuts in (None, one_by_one):
        found = compiled(kernel, isa)(inputs, dims, cuts)
        assert [x.tobytes() for x in found] == [x.tobytes() for x in expected]


@level
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
@pytest.mark.parametrize("epilogue", [plain, two_outputs])
@pytest.mark.parametrize("spec", ["mk,nk->mn", "km,nk->mn"])
def test_products_with_exchanged_roles_have_the_same_bits(isa, dtype, epilogue, spec, monkeypatch):
    kernel = contraction(spec, run_time(dict(m=1, n=1, k=1)), dtype, dtype, epilogue)
    for m, n, k in CROSSED:
        dims = {"M": m, "N": n, "K": k}
        assert evaluate(crossing(contraction_of(kernel)), dims) == 1
        inputs = inputs_of(kernel, dims)
        inputs |= {"a": at_end_of_page(inputs["a"]), "b": at_end_of_page(inputs["b"])}
        agrees_with_usual(kernel, isa, inputs, dims, monkeypatch)


@level
@pytest.mark.parametrize(
    ("dtype", "accumulator", "extents"),
    [
        (int32, int32, dict(b=3, m=9, n=90, k=70)),
        (float32, float32, dict(b=3, m=33, n=200, k=70)),
    ],
    ids=str,
)
def test_batches_with_exchanged_roles(isa, dtype, accumulator, extents, monkeypatch):
    kernel = contraction("bmk,bnk->bmn", run_time(extents), dtype, accumulator)
    dims = names_of(extents)
    agrees_with_usual(kernel, isa, inputs_of(kernel, dims), dims, monkeypatch)


@level
def test_rows_of_a_half_type_are_converted_where_roles_are_exchanged(isa, monkeypatch):
    m, n, k = (Axis(c, symbol(c.upper())) for c in "mnk")
    a = convert(load("a", (index("m"), index("k")), float16), float32)
    product = dot((k,), a, load("b", (index("n"), index("k")), float32), float32)
    at = (index("m"), index("n"))
    shapes = [("a", "in", float16, m, k), ("b", "in", float32, n, k), ("y", "out", float32, m, n)]
    params = tuple(Param(*rest, (x.extent, y.extent)) for *rest, x, y in shapes)
    kernel = Kernel(
        "kernel", params, ("M", "N", "K"), (Par((m, n), (Assign("y", at, (), product),)),)
    )
    dims = {"M": 21, "N": 150, "K": 65}
    assert evaluate(crossing(contraction_of(kernel)), dims) == 1
    inputs = inputs_of(kernel, dims)
    (expected,) = usual(kernel, isa, monkeypatch)(inputs, dims)
    (found,) = compiled(kernel, isa)(inputs, dims)
    assert found.tobytes() == expected.tobytes()


FEW = {
    # B beyond 1 MB, of columns that make units of several widths; steps and runs of K.
    "mk,kn->mn": [(1, 2050, 130), (2, 1030, 600), (3, 257, 1100), (4, 300, 1031), (1, 70, 10_000)],
    "mk,nk->mn": [
        (1, 1, 16), (1, 33, 17), (2, 31, 100), (3, 32, 519), (4, 100, 1030), (5, 65, 64),
        (7, 50, 300), (8, 200, 77), (6, 40, 9000), (2, 40, 3),
    ],
}  # fmt: skip


@level
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
@pytest.mark.parametrize("epilogue", [plain, two_outputs])
@pytest.mark.parametrize("spec", FEW)
def test_few_rows_have_the_same_bits(isa, dtype, epilogue, spec, monkeypatch):
    """Each type and each epilogue with extents that are known and with those of run time."""
    chosen = few_turned if spec == "mk,nk->mn" else few_in_runs
    are_known = (dtype is float32) == (epilogue is plain)
    for m, n, k in FEW[spec]:
        extents = {"m": m, "n": n, "k": k} if are_known else {"m": m, "n": None, "k": None}
        kernel = contraction(spec, tuple(extents.items()), dtype, dtype, epilogue)
        dims = {"M": m, "N": n, "K": k}
        assert evaluate(chosen(contraction_of(kernel), isa), dims) == 1
        inputs = inputs_of(kernel, dims)
        inputs |= {"a": at_end_of_page(inputs["a"]), "b": at_end_of_page(inputs["b"])}
        agrees_with_usual(kernel, isa, inputs, dims, monkeypatch)


@level
@pytest.mark.parametrize(
    ("spec", "extents"),
    [
        ("bmk,bnk->bmn", dict(b=5, m=3, n=70, k=70)),
        ("bmk,bkn->bmn", dict(b=3, m=2, n=1100, k=520)),
        ("km,nk->mn", dict(m=5, n=70, k=90)),
        ("km,kn->mn", dict(m=3, n=1100, k=520)),
    ],
)
@pytest.mark.parametrize(
    ("dtype", "accumulator"), [(int32, int32), (bfloat16, float32), (float16, float32)], ids=str
)
def test_few_rows_of_other_types(isa, dtype, accumulator, spec, extents, monkeypatch):
    at_run_time = tuple((c, n if c == "m" else None) for c, n in extents.items())
    kernel = contraction(spec, at_run_time, dtype, accumulator)
    form, dims = contraction_of(kernel), names_of(extents)
    assert 1 in (evaluate(few(form, isa), dims) for few in (few_turned, few_in_runs))
    agrees_with_usual(kernel, isa, inputs_of(kernel, dims), dims, monkeypatch)


def test_few_rows_are_computed_apart_where_reading_takes_the_time():
    def ways(spec, m, n, k):
        form = contraction_of(contraction(spec, (("m", m), ("n", None), ("k", None))))
        dims = {"M": m, "N": n, "K": k}
        return [evaluate(few(form, LEVELS[0]), dims) for few in (few_turned, few_in_runs)]

    assert ways("mk,nk->mn", 8, 768, 768) == [1, 0]
    assert ways("mk,nk->mn", 9, 768, 768) == [0, 0]
    assert ways("mk,nk->mn", 8, 768, 8) == [1, 0]
    assert ways("mk,kn->mn", 4, 768, 768) == [0, 1]
    assert ways("mk,kn->mn", 5, 768, 768) == [0, 0]
    assert ways("mk,kn->mn", 4, 300, 300) == [0, 0]  # in the cache
    assert ways("mk,kn->mn", 4, 60, 20_000) == [0, 0]  # too narrow for threads
    assert ways("mk,kn->mn", 0, 768, 768) == [0, 0]
    assert ways("mk,nk->mn", None, 768, 768) == [0, 0]  # one way for any number of rows


def test_roles_are_exchanged_where_less_is_moved():
    def crosses(spec, m, n, k):
        form = contraction_of(contraction(spec, run_time(dict(m=1, n=1, k=1))))
        return evaluate(crossing(form), {"M": m, "N": n, "K": k})

    assert crosses("mk,nk->mn", 128, 768, 768)
    assert not crosses("mk,kn->mn", 128, 768, 768)  # packed row by row
    assert not crosses("mk,nk->mn", 1, 768, 768)  # a kernel of its own
    assert not crosses("mk,nk->mn", 768, 768, 768)  # more rows use what is packed
    assert not crosses("mk,nk->mn", 8, 768, 20000)  # sums of several runs


@pytest.mark.parametrize("columns", [*range(64, 600, 37), 288])
@pytest.mark.parametrize("rows", [100, 282])
def test_units_are_narrower_where_two_threads_share_them_more_evenly(rows, columns):
    form = contraction_of(contraction("mk,kn->mn", run_time(dict(m=1, n=1, k=1))))
    tiles = tiling.choose_tiling(form, isa_named("x86-64-v4"))
    dims = {"M": rows, "N": columns, "K": columns}
    width = evaluate(tiles.n_block, dims) // 16
    blocks = -(-rows // evaluate(tiles.m_block, dims))
    vectors = -(-columns // 16)

    def busier(width):
        return width * -(-blocks * -(-vectors // width) // 2)

    narrow = vectors > 4 and busier(4) > 1.05 * busier(3)
    assert width == (3 if narrow else 4)


@level
@pytest.mark.parametrize("epilogue", [plain, bias_relu, two_outputs])
@pytest.mark.parametrize("columns", [81, 145, 193, 277, 288])
@pytest.mark.parametrize("static", [False, True])
def test_narrower_units_have_the_same_bits(isa, epilogue, columns, static, monkeypatch):
    extents = dict(m=200, n=columns, k=70)
    kernel = contraction(
        "mk,kn->mn", known(extents) if static else run_time(extents), epilogue=epilogue
    )
    dims = {} if static else names_of(extents)
    inputs = inputs_of(kernel, dims)
    found = compiled(kernel, isa)(inputs, dims, one_by_one)
    monkeypatch.setattr(tiling, "_narrower", lambda *_: 0)
    usual = compiled(kernel, isa)(inputs, dims)
    assert [x.tobytes() for x in found] == [x.tobytes() for x in usual]


@pytest.mark.parametrize("panels", [1, 15, 16, 17, 18, 22, 30, 63, 64, 200])
def test_units_of_few_rows_leave_little_to_the_busier_of_two_threads(panels):
    def busier(width):
        units = -(-panels // width)
        return width * ((units + 1) // 2)

    at_once, most = tiling._panels_at_once(1, 32 * panels - 5, 32)
    width = at_once // 32
    assert most == 4 * 32
    assert width == (1 if panels < 16 else 4 if panels >= 64 else min((2, 3), key=busier))
