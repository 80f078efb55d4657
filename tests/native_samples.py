"""Small kernels in LLVM text, and ways to run them, for the tests of the runtime."""

import ctypes
import functools

import numpy as np

from dlc.codegen.cpu.isa import host_isa
from dlc.codegen.cpu.llvm import compile_module
from dlc.runtime.loader import load_blob
from dlc.runtime.native.support import pool_code
from dlc.runtime.program_table import work_area_bytes

# axpy: y[i] += d * x[i] over i64, a chunk run twice or not at all shows.
# private: puts `lo` into scratch memory, waits d rounds, and adds what it then finds there, and the
# scratch memory's misalignment, to y[0 .. units).
# addf: z[i] = x[i] + y[i] over f32.
_TEXT = r"""
define void @axpy(ptr %args, ptr %dims, i64 %lo, i64 %hi, ptr %scratch) {
entry:
  %pp = getelementptr ptr, ptr %args, i64 1
  %x = load ptr, ptr %args
  %y = load ptr, ptr %pp
  %d = load i64, ptr %dims
  br label %head
head:
  %i = phi i64 [ %lo, %entry ], [ %i1, %body ]
  %more = icmp slt i64 %i, %hi
  br i1 %more, label %body, label %done
body:
  %from = getelementptr i64, ptr %x, i64 %i
  %v = load i64, ptr %from
  %w = mul i64 %v, %d
  %to = getelementptr i64, ptr %y, i64 %i
  %old = load i64, ptr %to
  %new = add i64 %w, %old
  store i64 %new, ptr %to
  %i1 = add i64 %i, 1
  br label %head
done:
  ret void
}

define void @private(ptr %args, ptr %dims, i64 %lo, i64 %hi, ptr %scratch) {
entry:
  %y = load ptr, ptr %args
  %d = load i64, ptr %dims
  store i64 %lo, ptr %scratch
  %address = ptrtoint ptr %scratch to i64
  %off = and i64 %address, 63
  br label %wait
wait:
  %k = phi i64 [ 0, %entry ], [ %k1, %wait ]
  %seen = load volatile i64, ptr %scratch
  %k1 = add i64 %k, 1
  %again = icmp slt i64 %k1, %d
  br i1 %again, label %wait, label %mark
mark:
  %value = add i64 %seen, %off
  br label %head
head:
  %i = phi i64 [ %lo, %mark ], [ %i1, %body ]
  %more = icmp slt i64 %i, %hi
  br i1 %more, label %body, label %done
body:
  %to = getelementptr i64, ptr %y, i64 %i
  %old = load i64, ptr %to
  %new = add i64 %value, %old
  store i64 %new, ptr %to
  %i1 = add i64 %i, 1
  br label %head
done:
  ret void
}

define void @addf(ptr %args, ptr %dims, i64 %lo, i64 %hi, ptr %scratch) {
entry:
  %p1 = getelementptr ptr, ptr %args, i64 1
  %p2 = getelementptr ptr, ptr %args, i64 2
  %x = load ptr, ptr %args
  %y = load ptr, ptr %p1
  %z = load ptr, ptr %p2
  br label %head
head:
  %i = phi i64 [ %lo, %entry ], [ %i1, %body ]
  %more = icmp slt i64 %i, %hi
  br i1 %more, label %body, label %done
body:
  %px = getelementptr float, ptr %x, i64 %i
  %py = getelementptr float, ptr %y, i64 %i
  %pz = getelementptr float, ptr %z, i64 %i
  %a = load float, ptr %px
  %b = load float, ptr %py
  %c = fadd float %a, %b
  store float %c, ptr %pz
  %i1 = add i64 %i, 1
  br label %head
done:
  ret void
}
"""

KERNEL_TYPE = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p
)


@functools.cache
def _code():
    return load_blob(compile_module(_TEXT, host_isa()).blob())


def kernel(name):
    """The address of a sample kernel."""
    return _code().address(name)


def run_on(pool, table, slots, num_threads, *, futex=True):
    """Runs a program on a pool of one's own; returns the status."""
    area = np.empty(work_area_bytes(table) + 63, np.uint8)
    aligned = (area.ctypes.data + 63) & -64
    pointers = np.array([*slots, aligned], np.uint64)
    arguments = [ctypes.c_void_p] * 3 + [ctypes.c_int64]
    run = ctypes.CFUNCTYPE(ctypes.c_int32, *arguments)(pool_code(futex=futex))
    return run(table.ctypes.data, pointers.ctypes.data, pool.address, num_threads)
