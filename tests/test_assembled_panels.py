"""Rows that are copied and added by machine code, beside NumPy and an assembler."""

import ctypes

import numpy as np
import pytest

from dlc.codegen.cpu.assembled_function import can_assemble, has_masks
from dlc.codegen.cpu.assembled_panels import RowsAdded, RowsCopied
from dlc.codegen.cpu.emit import Emitter, module_text
from dlc.codegen.cpu.isa import ISA_LEVELS, host_flags, host_machine
from dlc.codegen.cpu.llvm import compile_module
from dlc.codegen.cpu.packing import Packer, stored_rows
from dlc.codegen.cpu.panel import add_panel
from dlc.ir.types import float16, float32, float64
from dlc.runtime.loader import load_blob

LEVELS = [
    isa
    for isa in ISA_LEVELS
    if isa.runs_on(host_machine(), host_flags()) and can_assemble(float32, isa) and not isa.matrix
]
pytestmark = pytest.mark.skipif(not LEVELS, reason="machine code is written for x86-64 alone")
levels = pytest.mark.parametrize("isa", LEVELS, ids=lambda isa: isa.name)
dtypes = pytest.mark.parametrize("dtype", [float32, float64], ids=str)
SHAPES = [(0, 5), (1, 1), (1, 16), (2, 8), (3, 7), (3, 64), (5, 37), (4, 0)]


def packing(isa, dtypes):
    em = Emitter("caller", [])
    Packer(em, isa, dtypes).contiguous(["null", "null", *["0"] * 4])
    (function,) = em.helpers.values()
    return function


def call(function, *args):
    code = load_blob(function.assembled().blob)
    kinds = [ctypes.c_void_p] * 2 + [ctypes.c_int64] * (len(args) - 2)
    ctypes.CFUNCTYPE(None, *kinds)(code.address(function.name))(*args)


@levels
@dtypes
@pytest.mark.parametrize("padded", [True, False], ids=["padded", "exact"])
@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_rows_are_copied(isa, dtype, rows, columns, padded):
    function = packing(isa, (dtype,)) if padded else stored_rows(dtype, isa)
    assert isinstance(function, RowsCopied)
    lanes = isa.lanes(dtype.bits)
    covered = -(-columns // lanes) * lanes if padded else columns
    rng = np.random.default_rng(0)
    # Nothing lies behind the last element that may be read.
    src_row, dst_row = columns + 3, covered + 5
    src = rng.standard_normal(max(rows * src_row, 1)).astype(dtype.numpy)
    dst = np.full((rows + 1) * dst_row, np.nan, dtype.numpy)
    call(function, dst.ctypes.data, src.ctypes.data, rows, columns, dst_row, src_row, 1)
    made = dst.reshape(rows + 1, dst_row)
    wanted = src[: rows * src_row].reshape(rows, src_row)[:, :columns]
    np.testing.assert_array_equal(made[:rows, :columns], wanted)
    assert not np.any(made[:rows, columns:covered])
    assert np.all(np.isnan(made[:rows, covered:]))
    assert np.all(np.isnan(made[rows]))


@levels
@dtypes
@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_rows_are_added(isa, dtype, rows, columns):
    function = add_panel(dtype, isa)
    assert isinstance(function, RowsAdded)
    lanes = 1 if has_masks(dtype, isa) else isa.lanes(dtype.bits)
    covered = -(-columns // lanes) * lanes
    rng = np.random.default_rng(1)
    c, s = (
        rng.standard_normal((rows + 1, covered + extra)).astype(dtype.numpy) for extra in (2, 4)
    )
    wanted = c.copy()
    wanted[:rows, :covered] += s[:rows, :covered]
    call(function, c.ctypes.data, s.ctypes.data, rows, columns, c.shape[1], s.shape[1])
    np.testing.assert_array_equal(c, wanted)


@levels
@dtypes
def test_their_bytes_are_those_of_an_assembler(isa, dtype):
    functions = [packing(isa, (dtype,)), stored_rows(dtype, isa), add_panel(dtype, isa)]
    elf = compile_module(module_text(functions), isa).elf
    sections = {s.name: bytes(s.data) for s in elf.sections}
    for function in functions:
        assert sections[f".text.{function.name}"] == function.assembled().blob.code


@levels
def test_rows_that_are_converted_are_compiled(isa):
    assert packing(isa, (float16, float32)).assembled() is None
