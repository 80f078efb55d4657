"""Applying operations to tensors: the one way from the public functions to the IR.

    def add(x, y):
        x, y = broadcast(*promote(x, y))
        return apply("add", x, y)

In a trace `apply` records a node with the user's line; otherwise it computes at once. `x.tensor` is
the type that the IR sees (its `.shape` has plain dims, to be computed with by `dlc.ir.dims`);
`x.shape` is for users.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.frontend.constants import constant_copy
from dlc.frontend.context import current_trace
from dlc.frontend.extent import Extent, as_dim, as_dims, plain, tensors_by
from dlc.frontend.promotion import DEFAULTS, check_scalar, common_dtype, scalar_kind
from dlc.frontend.recording import is_recording, record
from dlc.frontend.symbolic import SYMBOLIC
from dlc.frontend.tensor import Array, Tensor, contiguous, functions, make, make_like
from dlc.frontend.trace import Trace
from dlc.ir.build import find_op, normalise_attrs
from dlc.ir.deferred import deferred
from dlc.ir.dims import Dim, DimExpr, broadcast_dim
from dlc.ir.errors import (
    ArgumentError,
    DeviceError,
    DlcError,
    DTypeError,
    MemoryLimitError,
    ShapeError,
    ValueRangeError,
)
from dlc.ir.op import OPS, Op
from dlc.ir.types import DType, dtype_of, float32, float64, int64
from dlc.runtime.buffers import aligned_copy, is_usable
from dlc.runtime.places import PLACES, is_place, may_be_elsewhere

if TYPE_CHECKING:  # not needed by a process that only calls compiled functions
    from dlc.frontend import call_place, eager
    from dlc.runtime import dlpack
else:
    call_place = deferred("dlc.frontend.call_place")
    eager = deferred("dlc.frontend.eager")
    dlpack = deferred("dlc.runtime.dlpack")

__all__ = [
    "apply", "as_dim", "as_dims", "as_tensor", "broadcast", "broadcast_shapes", "convert",
    "dtype_argument", "float_promote", "promote",
]  # fmt: skip

SMALL = 64  # elements of an array that a trace keeps as a constant
_REFUSALS = (BufferError, RuntimeError, TypeError, ValueError)  # of objects to be read as arrays
_REAL_PARTS = "keep real and imaginary parts in two tensors"
_PLAIN_DIMS = frozenset({"dim", "dims"})


def apply(op_name: str, *operands: Any, **attrs: Any) -> Tensor:
    """The result of an operation of the op table.

    Args:
        op_name: Name of the row.
        *operands: Tensors (or what `as_tensor` takes), of the types that the row asks for.
        **attrs: Its attributes; dims may be `Extent`s.

    Raises:
        DlcError: what the row's type rule raises.
        LeakedTracerError: for a value of a trace that has ended.
    """
    op = OPS.get(op_name) or find_op(op_name)
    tensors = [x if isinstance(x, Tensor) else as_tensor(x) for x in operands]
    weak_ones = [t for t in tensors if t._weak]
    weak = bool(weak_ones) and len(weak_ones) == len(tensors)
    if weak_ones and not weak:
        strong = {t.tensor.dtype for t in tensors if not t._weak}
        tensors = [
            materialise(t) if t._weak and t.tensor.dtype not in strong else t for t in tensors
        ]
    for name, kind in op.attrs.items():
        if kind in _PLAIN_DIMS and name in attrs:
            value = attrs[name]
            attrs[name] = plain(value) if kind == "dim" else tuple(plain(d) for d in value)
    weak = weak and op_name != "convert"
    trace = current_trace()
    if trace is None and SYMBOLIC.used and SYMBOLIC.is_wanted(tensors, attrs):
        trace = SYMBOLIC
    if trace is not None:
        if op_name == "broadcast_to" and _is_literal(tensors[0], trace):
            literal = tensors[0]._node
            assert literal is not None
            op, attrs, tensors = literal.op, {**literal.attrs, "shape": attrs["shape"]}, []
        node = trace.emit(op, tensors, attrs)
        return make(None, node, trace, weak and node.tensor.dtype.kind != "b")
    return _run(op, tensors, attrs, weak)


def _is_literal(x: Tensor, trace: Trace) -> bool:
    """Whether `x` is one number, filled into a shape by this trace."""
    return x._trace is trace and x._node is not None and x._node.op.name == "full"


def _run(op: Op, tensors: Sequence[Tensor], attrs: dict[str, Any], weak: bool) -> Tensor:
    """Computes an operation at once."""
    held = normalise_attrs(op, attrs)
    arrays = [d if (d := t._data) is not None else _settled(t) for t in tensors]
    try:
        result = eager.run(op, arrays, held)
    except MemoryError as error:
        if isinstance(error, MemoryLimitError):
            raise
        raise MemoryLimitError(f"{op.name} needs more memory than there is") from None
    result._history = record(op, tensors, held, result)
    if weak and result.tensor.dtype.kind != "b":
        result._weak = True
    return result


def _settled(tensor: Tensor) -> Array:
    """The array of a tensor that has none at this moment."""
    return tensor._held("an eager operation", "call it inside the same function")


# From anything to tensors.


def as_tensor(x: Any, like: Tensor | None = None) -> Tensor:
    """`x` as a tensor: itself, a copy of an array, or a weak scalar.

    Args:
        x: A tensor, a NumPy array or scalar, a Python number, nested lists of numbers and tensors,
            or anything with DLPack.
        like: For a Python number, the tensor whose element type it takes.

    Raises:
        ArgumentError: for anything else.
        DTypeError: for an array of an element type that dlc does not have.
    """
    if isinstance(x, Tensor):
        return x
    if isinstance(x, np.generic):
        return _constant(as_array(np.asarray(x)))
    if isinstance(x, (bool, int, float)):
        if like is not None:
            return promote(x, like)[0]
        return weak_scalar(x)
    if isinstance(x, DimExpr):
        return dim_tensor(plain(x))
    if isinstance(x, (list, tuple)) and contains_tensor(x):
        return asarray(x)
    return _constant(as_array(x))


def weak_scalar(value: float) -> Tensor:
    """A Python number as a tensor that takes the element type of what it meets."""
    dtype = scalar_kind(value)
    check_scalar(value, dtype)
    return make(np.asarray(value, dtype.numpy), weak=dtype.kind != "b")


def dim_tensor(dim: Dim) -> Tensor:
    """A dim as a weak integer scalar."""
    trace = current_trace() or (SYMBOLIC if SYMBOLIC.used else None)
    if isinstance(dim, int) or trace is None:
        return weak_scalar(index(dim))  # type: ignore[arg-type]
    return make(None, trace.emit(OPS["dim"], (), {"dim": dim}), trace, True)


tensors_by(dim_tensor)


def _constant(array: Array) -> Tensor:
    trace = current_trace()
    if trace is None:
        made = aligned_copy(array, dtype_of(array.dtype))
        return make(call_place.moved_there(made) if may_be_elsewhere() else made)
    if array.size <= SMALL:
        return make(None, trace.emit(OPS["constant"], (), {"value": array.copy()}), trace)
    return trace.root.fixed_tensor(constant_copy(array))


def lent_constant(array: Array) -> Tensor:
    """A constant on an array whose owner does not write to it while programs use it; no copy."""
    trace = current_trace()
    if trace is None or array.size <= SMALL or not is_usable(array):
        return _constant(array)
    return trace.root.fixed_tensor(array)


def supported(dtype: np.dtype[Any]) -> DType:
    """The element type of a NumPy array; DTypeError for one that dlc does not have."""
    try:
        return dtype_of(dtype.newbyteorder("="))
    except KeyError:
        known = "use bool, (u)int8 to (u)int64, float16, bfloat16, float32 or float64"
        hint = _REAL_PARTS if dtype.kind == "c" else known
        raise DTypeError(f"dlc has no dtype {dtype}", hint=hint) from None


def dtype_argument(dtype: Any) -> DType:
    """A `dtype=` argument as an element type; DTypeError for an unknown one."""
    try:
        return dtype_of(dtype)
    except (KeyError, TypeError):
        hint = "write dlc.float32 or a NumPy dtype"
        if isinstance(dtype, int):  # as PyTorch takes them
            hint = "extents are one argument, as in dlc.zeros((2, 3))"
        raise DTypeError(f"{dtype!r} is no dtype", hint=hint) from None


def as_array(x: Any, wanted: DType | None = None) -> Array:
    """A NumPy array of what a user gave, of a supported element type; may share memory.

    Args:
        x: What the user gave.
        wanted: The element type that it is to be converted to, where that is known.
    """
    if isinstance(x, np.ndarray):
        array: Array = x
        if type(x) is not np.ndarray and isinstance(x, np.ma.MaskedArray):
            raise ArgumentError(
                "a masked array is not a tensor, which has no mask",
                hint="fill it with .filled(value), and pass its mask as an array if it matters",
            )
    elif is_array_like(x):
        array = _exchanged(x)
    elif isinstance(x, (list, tuple)):
        return _from_sequence(x, wanted)
    elif isinstance(x, complex):
        raise ArgumentError("there are no complex numbers", hint=_REAL_PARTS)
    else:
        raise ArgumentError(
            f"{type(x).__name__} is not a tensor, an array or a number",
            hint="arguments that are no data may be named in static_argnames",
        )
    dtype = supported(array.dtype)
    return array if array.dtype.isnative else array.astype(dtype.numpy)


def is_array_like(x: Any) -> bool:
    """Whether an object has one of the protocols for exchange."""
    return any(hasattr(x, name) for name in ("__array__", "__array_interface__", "__dlpack__"))


def _exchanged(x: Any) -> Array:
    """The array of an object with one of the protocols for exchange."""
    if not (hasattr(x, "__array__") or hasattr(x, "__array_interface__")):
        return borrowed_array(x)
    try:
        return np.asarray(x)
    except DlcError:
        raise
    except _REFUSALS as error:
        if isinstance(error, TypeError) and hasattr(x, "__dlpack__"):
            with contextlib.suppress(*_REFUSALS):
                return dlpack.borrowed(x)  # PyTorch gives NumPy no bfloat16
        raise _unreadable(x, error) from error


def borrowed_array(x: Any) -> Array:
    """The array of an object with `__dlpack__`; ArgumentError for one that cannot be had."""
    try:
        return dlpack.borrowed(x)
    except DlcError:
        raise
    except _REFUSALS as error:
        raise _unreadable(x, error) from error


def _unreadable(x: Any, error: Exception) -> ArgumentError:
    return ArgumentError(f"a {type(x).__name__} could not be read as an array: {error}")


def _from_sequence(x: Sequence[Any], wanted: DType | None) -> Array:
    """Nested lists: arrays inside keep their element type, Python numbers have the default one."""
    try:
        array = np.asarray(x)
    except ValueError:
        raise ShapeError("nested lists must have equal lengths at each depth") from None
    if array.dtype.kind == "O" and all(isinstance(v, int) for v in array.flat):
        raise ValueRangeError("a list with integers that do not fit 64 bits")
    if array.dtype.kind in "OUSMmVc":
        raise ArgumentError(f"a list of {_first_leaf(x)} is not a tensor")
    if array.dtype.kind == "f" and isinstance(_first(x), (int, float)) and not _has_arrays(x):
        # Rounded once: what is wanted is made of the float64 values.
        return array if wanted is not None and wanted.is_float else array.astype(np.float32)
    return array.astype(np.float32) if array.size == 0 else array


def _first(x: Any) -> Any:
    while isinstance(x, (list, tuple)):
        if not x:
            return 0.0
        x = x[0]
    return x


def _first_leaf(x: Any) -> str:
    return type(_first(x)).__name__


def _has_arrays(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(_has_arrays(v) for v in x)
    return isinstance(x, (np.ndarray, np.generic, Tensor))


def new_handle(x: Tensor, weak: bool | None = None) -> Tensor:
    """Another tensor of the present value of `x`, which `no_grad` makes constant like a result."""
    if is_recording() or not x.tensor.dtype.is_float:
        return make_like(x, weak)
    value: Tensor = functions.stop_gradient(x)
    return value if weak is None else make_like(value, weak)


# Element types.


def convert(x: Tensor, dtype: DType, weak: bool = False) -> Tensor:
    """`x` at an element type; a literal is made at it."""
    if x.tensor.dtype is dtype and x._weak == weak:
        return x
    if x._weak and x._data is not None and not x._data.ndim:
        value = x._data.item()
        check_scalar(value, dtype)
        return _scalar(value, dtype, weak)
    if x.tensor.dtype is dtype:
        return new_handle(x, weak)
    return make_like(apply("convert", x, dtype=dtype), weak)


def _scalar(value: float, dtype: DType, weak: bool) -> Tensor:
    trace = current_trace()
    if trace is None or weak:
        with np.errstate(over="ignore"):
            return make(np.asarray(value).astype(dtype.numpy), weak=weak)
    return make(
        None, trace.emit(OPS["full"], (), {"value": value, "shape": (), "dtype": dtype}), trace
    )


def materialise(x: Tensor) -> Tensor:
    """A weak tensor at the default element type of its kind, as functions return it."""
    return convert(x, DEFAULTS[x.tensor.dtype.kind]) if x._weak else x


def wide(x: Any) -> Tensor:
    """A tensor of a half type at float32, in which they are computed with; others as they are."""
    x = as_tensor(x)
    dtype = x.tensor.dtype
    return convert(x, float32) if dtype.is_float and dtype.bits == 16 else x


def promote(*xs: Any) -> tuple[Tensor, ...]:
    """The operands as tensors of their common element type; `docs/semantics.md` has the rules.

    Raises:
        DTypeError: for element types without a common one.
        ValueRangeError: for a Python integer that the common type cannot hold.
    """
    if _have_one_type(xs):
        return xs
    tensors = [as_tensor(x) for x in xs]
    dtypes = [t.tensor.dtype for t in tensors]
    first = dtypes[0]
    if all(d is first for d in dtypes) and not any(t._weak for t in tensors):
        return tuple(tensors)
    dtype, weak = common_dtype(
        [d for d, t in zip(dtypes, tensors, strict=True) if not t._weak],
        [d for d, t in zip(dtypes, tensors, strict=True) if t._weak],
    )
    return tuple(convert(t, dtype, weak) for t in tensors)


def _have_one_type(xs: Sequence[Any]) -> bool:
    """Whether all are tensors with arrays of one dtype, which is usual and quick to see.

    The answer may be False for others of one dtype.
    """
    first = xs[0]._data.dtype if isinstance(xs[0], Tensor) and xs[0]._data is not None else None
    if first is None:
        return False
    for x in xs:
        if not isinstance(x, Tensor) or x._weak or x._data is None or x._data.dtype is not first:
            return False
    return True


def float_promote(*xs: Any) -> tuple[Tensor, ...]:
    """`promote`, and integers and bools to float32, for functions that compute floats."""
    tensors = promote(*xs)
    if tensors[0].tensor.dtype.is_float:
        return tensors
    weak = all(t._weak for t in tensors)
    return tuple(convert(t, float64 if weak else float32, weak) for t in tensors)


# Shapes.


def broadcast_shapes(*shapes: Sequence[Dim]) -> tuple[Dim, ...]:
    """The common shape of operands; ShapeError when there is none."""
    rank = max((len(s) for s in shapes), default=0)
    result: list[Dim] = []
    for k in range(-rank, 0):
        extent: Dim | None = 1
        for d in (s[k] for s in shapes if len(s) >= -k):
            extent = broadcast_dim(extent, d)
            if extent is None:
                shown = ", ".join("(" + ", ".join(map(str, s)) + ")" for s in shapes)
                raise ShapeError(
                    f"shapes {shown} do not broadcast",
                    hint="extents must be equal or 1, from the last axis on",
                )
        result.append(extent)
    return tuple(result)


def broadcast_to(x: Tensor, shape: Sequence[Dim]) -> Tensor:
    """`x` repeated to `shape`; itself where it has that shape."""
    if x.tensor.shape == tuple(shape):
        return x
    return apply("broadcast_to", x, shape=tuple(shape))


def broadcast(*xs: Tensor) -> tuple[Tensor, ...]:
    """The operands at their common shape.

    Raises:
        ShapeError: when there is none.
    """
    shapes = [x.tensor.shape for x in xs]
    if all(s == shapes[0] for s in shapes):
        return xs
    common = broadcast_shapes(*shapes)
    return tuple(broadcast_to(x, common) for x in xs)


def asarray(
    x: Any, /, dtype: Any = None, *, device: Any = None, copy: bool | None = None
) -> Tensor:
    """A tensor of the values of `x`, which is copied unless `copy=False`.

    Args:
        x: A tensor, a NumPy array, a number, nested lists, or anything with DLPack.
        dtype: The element type; that of an array without one, and float32, int64 or bool for Python
            numbers.
        device: Where the tensor is to lie.
        copy: False shares memory with `x`, which must then not be written to; an error where that
            is impossible.

    Raises:
        ArgumentError: for what is no data, and where `copy=False` cannot be had.
        DTypeError: for an element type that dlc does not have.
        DeviceError: for a device that is not there.

    Example:
        >>> asarray([1, 2, 3], dtype="f32")
        Tensor([1., 2., 3.], dtype=float32)
    """
    wanted = None if dtype is None else dtype_argument(dtype)
    if device is not None:
        if not is_place(str(device)):
            raise DeviceError(f"there is no device {device!r}", hint=PLACES)
        made = asarray(x, dtype=dtype, copy=copy)
        return made if made.is_traced else made.to(str(device))
    if isinstance(x, Tensor):
        result = materialise(x) if wanted is None else convert(x, wanted)
        result = new_handle(x, weak=False) if result is x else make_like(result, weak=False)
    elif isinstance(x, (bool, int, float)) and not isinstance(x, np.generic):
        kind = scalar_kind(x)
        held = wanted or DEFAULTS[kind.kind]
        check_scalar(x, held if kind.kind != "f" or held.kind == "f" else kind)
        result = (
            _scalar(x, held, weak=False)
            if kind.kind != "f" or held.is_float
            else convert(_scalar(x, kind, weak=False), held)
        )
    elif isinstance(x, (list, tuple)) and contains_tensor(x):
        result = functions.stack([asarray(v, dtype=dtype) for v in promote_all(x)])
    elif isinstance(x, DimExpr):
        result = materialise(as_tensor(x)) if wanted is None else convert(as_tensor(x), wanted)
    else:
        result = _of_array(as_array(x, wanted), wanted, copy, x)
    return result


def _of_array(array: Array, wanted: DType | None, copy: bool | None, given: Any) -> Tensor:
    dtype = dtype_of(array.dtype)
    if copy is False:
        if (wanted is not None and wanted is not dtype) or isinstance(given, (list, tuple)):
            raise ArgumentError("asarray(copy=False) of data that has to be converted")
        return make(contiguous(array))
    made = _constant(array)
    return made if wanted is None or wanted is dtype else convert(made, wanted)


def contains_tensor(x: Any) -> bool:
    """Whether what a user gave is a tensor, or nested lists with one."""
    if isinstance(x, (list, tuple)):
        return any(contains_tensor(v) for v in x)
    return isinstance(x, Tensor)


def promote_all(x: Sequence[Any]) -> list[Tensor]:
    """The items of a sequence as tensors of one element type."""
    return list(promote(*(asarray(v) if isinstance(v, (list, tuple)) else v for v in x)))


__all__ += ["Extent", "asarray", "broadcast_to", "int64"]


def rounded_once(x: Any, y: Any, z: Any) -> Tensor:
    """x y + z with one rounding, so that no optimisation level can round otherwise."""
    x, y, z = broadcast(*promote(x, y, z))
    dtype = x.dtype
    return apply("fma", x, convert(y, dtype), convert(z, dtype))
