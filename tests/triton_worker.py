"""Runs Triton source in Triton's interpreter, a process of its own: that changes Triton for good.

Reads pickled requests from standard input and answers each with a pickle: the arrays after the
launches, or the text of what went wrong. What Triton's interpreter gets wrong is put right here:
conversions from and to bfloat16, products of it, comparisons that are broadcast, the zeros and NaN
of `min` and `max`, and reductions by a function of ours, which it would do an element at a time.
Types of blocks, which it makes anew for every operation, are made once.
"""

import functools
import mmap
import os
import pickle
import sys
import traceback

os.environ["TRITON_INTERPRET"] = "1"

import ml_dtypes
import numpy as np
import triton.language as tl
from triton.runtime import interpreter

from dlc.codegen.reference.reductions import fold
from dlc.codegen.triton.compile import jit_function
from dlc.ir.scalar_reference import NUMPY_SCALAR
from dlc.ir.types import dtype_of

BUILDER = interpreter.InterpreterBuilder
HANDLE = interpreter.TensorHandle
POINTEES = {
    "float64": tl.float64, "float32": tl.float32, "float16": tl.float16, "bfloat16": tl.bfloat16,
    "bool": tl.uint8, "int8": tl.int8, "int16": tl.int16, "int32": tl.int32, "int64": tl.int64,
    "uint8": tl.uint8, "uint16": tl.uint16, "uint32": tl.uint32, "uint64": tl.uint64,
}  # fmt: skip

plain_cast, plain_splat = BUILDER.cast_impl, BUILDER.create_splat
plain_reduce = interpreter.ReduceOps.apply_impl


def cast(self, src, dst_type):
    source, target = src.dtype.scalar, dst_type.scalar
    if source is not tl.bfloat16 and target is not tl.bfloat16:
        return plain_cast(self, src, dst_type)
    value = src.data.view(ml_dtypes.bfloat16) if source is tl.bfloat16 else src.data
    if target is tl.bfloat16:
        if src.data.dtype.kind in "iu" and not src.data.any():  # what masked elements are
            return HANDLE(np.zeros(src.data.shape, np.uint16), target)
        assert source is tl.float32, "conversions to bfloat16 start at float32"
        return HANDLE(value.astype(ml_dtypes.bfloat16).view(np.uint16), target)
    assert target is tl.float32, "conversions from bfloat16 end at float32"
    return HANDLE(value.astype(np.float32), target)


def dot(self, a, b, d, input_precision, max_num_imprecise_acc):
    x, y = (
        v.data.view(ml_dtypes.bfloat16) if v.dtype.scalar is tl.bfloat16 else v.data for v in (a, b)
    )
    product = np.matmul(x.astype(d.data.dtype), y.astype(d.data.dtype))
    return HANDLE(product + d.data, d.dtype.scalar)


def splat(self, ret_ty, arg):
    if arg.data.dtype != np.bool_:
        return plain_splat(self, ret_ty, arg)
    # The result of a comparison says that it has the type of what was compared.
    return HANDLE(np.full(ret_ty.shape, arg.data), tl.int1)


def reduce(self, inputs):
    name = self.combine_fn.fn.__name__
    if not name.startswith("_fold_"):
        return plain_reduce(self, inputs)
    kind = name.split("_")[2]
    (x,) = inputs
    data = np.moveaxis(x.handle.data, self.axis, -1)
    return (self.to_tensor(fold(kind, data, dtype_of(data.dtype)), x.dtype),)


def extreme(name):
    def write(self, lhs, rhs):
        return self.binary_op(lhs, rhs, NUMPY_SCALAR[name])

    return write


def patch_tensor(tensor, *rest):
    plain_patch(tensor, *rest)
    # Bounds of loops: NumPy 2.4 makes no integer of an array of one.
    tensor.__index__ = lambda self: int(self.handle.data.item())


def fma(self, x, y, z):
    data = NUMPY_SCALAR["fma"](*np.broadcast_arrays(x.data, y.data, z.data))
    return HANDLE(data.astype(z.data.dtype), z.dtype.scalar)


if not hasattr(interpreter._interpreter, "fma_fp32"):  # Triton 3.6 rounds twice
    BUILDER.create_fma = fma
plain_patch, interpreter._patch_lang_tensor = interpreter._patch_lang_tensor, patch_tensor
BUILDER.cast_impl, BUILDER.create_splat, BUILDER.create_dot = cast, splat, dot
interpreter.ReduceOps.apply_impl = reduce
BUILDER.create_maximumf, BUILDER.create_minimumf = extreme("max"), extreme("min")


@functools.cache
def block_of_scalars(scalar, shape):
    return tl.block_type(scalar, list(shape))


def block_of(element, shape):
    # Types of pointers have no hash.
    if element.is_ptr():
        return tl.block_type(element, shape)
    return block_of_scalars(element, tuple(shape))


@functools.cache
def dtype_of_scalar(scalar):
    return plain_dtype(scalar)


def numpy_dtype(kind):
    return plain_dtype(kind) if kind.scalar.is_ptr() else dtype_of_scalar(kind.scalar)


plain_dtype, interpreter._get_np_dtype = interpreter._get_np_dtype, numpy_dtype
tl.block_type.with_element_ty = lambda self, element: block_of(element, self.shape)
BUILDER.get_block_ty = lambda self, element, shape: block_of(element, shape)


class Interpreted:
    """Triton's language as its interpreter has it, once: it would be changed for each call."""

    __globals__ = {"tl": tl, "core": tl.core}  # noqa: RUF012  what is changed

    @staticmethod
    def restore():
        """Nothing: the language stays as it is."""


interpreter._patch_lang(Interpreted)
interpreter._patch_lang = lambda fn: Interpreted


def pointer(array):
    kind = tl.pointer_type(POINTEES[array.dtype.name])
    return tl.tensor(HANDLE(np.array([array.ctypes.data], np.uint64), kind), kind)


def integer(value):
    return tl.tensor(HANDLE(np.array([value], np.int64), tl.int64), tl.int64)


def guarded(array):
    """A copy with room on either side, which would show stores out of bounds."""
    room = 4096
    whole = np.full(array.nbytes + 2 * room, 0xA5, np.uint8)
    inner = whole[room : room + array.nbytes].view(array.dtype).reshape(array.shape)
    inner[...] = array
    return whole, inner


def run(request):
    """The arrays after a request: (arrays, [(source, entry, grid, slots, dims)])."""
    arrays, launches = request
    pairs = [guarded(a) for a in arrays]
    held = [inner for _, inner in pairs]
    for source, entry, grid, slots, dims in launches:
        if grid:
            function = function_of(source, entry)
            arguments = [pointer(held[s]) for s in slots] + [integer(d) for d in dims]
            function[(grid,)](*arguments)
    for whole, inner in pairs:
        edge = np.concatenate([whole[:4096], whole[4096 + inner.nbytes :]])
        assert (edge == 0xA5).all(), "something was stored out of bounds"
    return [np.ascontiguousarray(a) for a in held]


shared = []


def map_memory(work):
    """Maps the memory of a stand-in for the driver: (its file, its size, its first address)."""
    name, size, first = work
    with open(name, "r+b") as file:
        memory = mmap.mmap(file.fileno(), size)
    here = np.frombuffer(memory, np.uint8).ctypes.data
    shared[:] = [memory, here - first]


@functools.lru_cache(4096)
def function_of(source, entry):
    return jit_function(source, entry)


def argument(value, kind):
    if kind[0] != "*":
        return integer(value)
    pointee = tl.pointer_type(tl.str_to_ty(kind, None).element_ty)
    return tl.tensor(
        HANDLE(np.array([value + shared[1] if value else 0], np.uint64), pointee), pointee
    )


def launch(work):
    """Runs a kernel on shared memory: (source, entry, grid, values, their types)."""
    source, entry, grid, values, kinds = work
    arguments = [argument(v, k) for v, k in zip(values, kinds, strict=True)]
    function_of(source, entry)[(grid,)](*arguments)


KINDS = {"run": run, "memory": map_memory, "launch": launch}


def main():
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what Triton prints is no answer
    np.seterr(all="ignore")
    while True:
        try:
            request = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            kind, work = request
            answer = (True, KINDS[kind](work))
        except Exception:  # noqa: BLE001  (whatever it is, the test shows it)
            answer = (False, traceback.format_exc())
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    main()
