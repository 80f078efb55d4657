"""Micro-kernels: those that are assembled have the bits of those that LLVM compiles."""

import ctypes
import itertools

import numpy as np
import pytest

from dlc.codegen.cpu.assembled_function import can_assemble, has_masks
from dlc.codegen.cpu.assembled_kernel import AssembledKernel
from dlc.codegen.cpu.emit import module_text
from dlc.codegen.cpu.isa import ISA_LEVELS, Isa, host_flags, host_machine, isa_named
from dlc.codegen.cpu.llvm import compile_module
from dlc.codegen.cpu.micro_kernel import SIZES, _Tile, micro_kernel
from dlc.codegen.cpu.tiling import tile_sizes
from dlc.ir.record import replace
from dlc.ir.types import float16, float32, float64, int32
from dlc.runtime.loader import load_blob

LEVELS = [
    isa
    for isa in ISA_LEVELS
    if isa.runs_on(host_machine(), host_flags()) and can_assemble(float32, isa) and not isa.matrix
]
# Beside those of most products: all shapes that single rows and narrow matrices ask for.
SHAPES = [(1, 16), (1, 8), (2, 8), (3, 6), (4, 5), (8, 3), (8, 2), (8, 1), (12, 2), (1, 1)]
CALLS = [(0, 1, 0), (0, 1, 1), (1, 1, 0), (5, 3, 1), (8, 1, 1), (19, 2, 0), (21, 1, 1)]
SIGNATURE = ctypes.CFUNCTYPE(
    None, *[ctypes.c_void_p] * 4, ctypes.c_int64, ctypes.POINTER(ctypes.c_int64)
)


def fits(rows: int, vectors: int, isa: Isa) -> bool:
    return rows * vectors + (vectors if rows > 1 else 0) + 1 <= isa.registers


def shapes(dtype, isa):
    heights, widths = tile_sizes(dtype, isa)
    found = {*itertools.product(heights, widths), *SHAPES}
    return [shape for shape in sorted(found) if fits(*shape, isa)]


def run(function, dtype, isa, shape, *, kc, a_k, add, lanes=None, rest=None):
    """What a micro-kernel makes of a place for its tile and more.

    With `lanes`, it is told that the last vectors of b and c have no more; others are `rest` in b.
    """
    full = isa.lanes(dtype.bits)
    rows, width = shape[0], shape[1] * full
    rng = np.random.default_rng(kc)
    a_row, b_k, c_row = max(kc, 1) * a_k + 3, width + 5, width + 7
    a = rng.standard_normal(rows * a_row).astype(dtype.numpy)
    b = rng.standard_normal((kc + 1) * b_k).astype(dtype.numpy)
    c = rng.standard_normal((rows + 1) * c_row).astype(dtype.numpy)
    lanes = full if lanes is None else lanes
    width += lanes - full
    if rest is not None:
        b.reshape(kc + 1, b_k)[:, width:] = rest
    before = c.copy()
    values = dict(a_row=a_row, a_k=a_k, b_k=b_k, c_row=c_row, add=add, step=64, lanes=lanes)
    sizes = (ctypes.c_int64 * len(SIZES))(*(values[name] for name in SIZES))
    function(a.ctypes.data, b.ctypes.data, c.ctypes.data, b.ctypes.data, kc, sizes)
    if rest is not None:
        b[np.isnan(b)] = 0
    matrix = np.stack([a[r * a_row :][: kc * a_k : a_k] for r in range(rows)]).astype("f8")
    product = matrix @ b[: kc * b_k].reshape(kc, b_k)[:, :width].astype("f8")
    exact = before.astype("f8").reshape(-1, c_row)
    exact[:rows, :width] = product + (exact[:rows, :width] if add else 0)
    tolerance = 1e-5 if dtype is float32 else 1e-13
    np.testing.assert_allclose(c.reshape(-1, c_row), exact, rtol=0, atol=tolerance)
    return c.tobytes()


def loaded(functions, isa):
    code = load_blob(compile_module(module_text(functions), isa).blob())
    return [SIGNATURE(code.address(f.name)) for f in functions], code


def loaded_as_written(functions):
    codes = [load_blob(f.assembled().blob) for f in functions]
    return [SIGNATURE(c.address(f.name)) for f, c in zip(functions, codes, strict=True)], codes


@pytest.mark.skipif(not LEVELS, reason="there is an assembler for x86-64 alone")
@pytest.mark.parametrize("isa", LEVELS, ids=lambda isa: isa.name)
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
@pytest.mark.parametrize("kind", ["", "streams", "next_rows"])
def test_assembled_kernels_have_the_bits_of_compiled_ones(isa, dtype, kind):
    kinds, streams = shapes(dtype, isa), kind == "streams"
    kind = {kind: True} if kind else {}
    assembled = [micro_kernel(dtype, *shape, isa, **kind) for shape in kinds]
    assert all(isinstance(k, AssembledKernel) for k in assembled)
    compiled = [
        _Tile(f"tile{k}", dtype, shape, isa, streams=streams).function(2)
        for k, shape in enumerate(kinds)
    ]
    (ours, code), (theirs, other) = loaded_as_written(assembled), loaded(compiled, isa)
    for shape, one, two in zip(kinds, ours, theirs, strict=True):
        for kc, a_k, add in CALLS:
            given = dict(kc=kc, a_k=a_k, add=add)
            found = [run(f, dtype, isa, shape, **given) for f in (one, two)]
            assert found[0] == found[1], (shape, given)
    del code, other  # until here they were needed


@pytest.mark.parametrize("isa", [i for i in LEVELS if has_masks(float32, i)], ids=lambda i: i.name)
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_with_masks_they_read_and_write_the_first_lanes_of_a_vector_alone(isa, dtype):
    kinds = shapes(dtype, isa)
    kernels = [
        micro_kernel(dtype, *shape, isa, **kind)
        for kind in ({}, {"streams": True}, {"next_rows": True})
        for shape in kinds
    ]
    functions, code = loaded_as_written(kernels)
    for shape, function in zip(3 * kinds, functions, strict=True):
        for (kc, a_k, add), lanes in itertools.product(CALLS, (1, isa.lanes(dtype.bits) - 1)):
            given = dict(kc=kc, a_k=a_k, add=add)
            zeros = run(function, dtype, isa, shape, **given, rest=0.0, lanes=lanes)
            hidden = run(function, dtype, isa, shape, **given, rest=np.nan, lanes=lanes)
            assert zeros == hidden, (shape, given, lanes)
    del code


@pytest.mark.skipif(not LEVELS, reason="there is an assembler for x86-64 alone")
@pytest.mark.parametrize("isa", LEVELS, ids=lambda isa: isa.name)
@pytest.mark.parametrize("dtype", [float32, float64], ids=str)
def test_their_bytes_are_those_of_an_assembler(isa, dtype):
    kernels = [
        micro_kernel(dtype, *shape, isa, streams=streams)
        for shape in shapes(dtype, isa)
        for streams in (False, True)
    ]
    elf = compile_module(module_text(kernels), isa).elf
    sections = {s.name: bytes(s.data) for s in elf.sections}
    for kernel in kernels:
        assert sections[f".text.{kernel.name}"] == kernel.assembled().blob.code, kernel.name


def test_what_is_compiled_instead():
    v3 = isa_named("x86-64-v3")
    assert can_assemble(float32, v3) is (host_machine() == "x86_64" and "linux" in v3.triple)
    assert not any(can_assemble(dtype, v3) for dtype in (float16, int32))
    assert not can_assemble(float32, isa_named("x86-64-v2"))  # has no fused multiply-add
    assert not can_assemble(float32, isa_named("aarch64"))
    assert not can_assemble(float32, replace(v3, triple="x86_64-pc-windows-elf"))
