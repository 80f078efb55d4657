"""`Tensor`: a handle on an immutable value, which is an array (eager) or a node of a trace.

Methods and operators delegate to the public functions, which are written in terms of tensors and
therefore stand above this file; they are looked up when they are first used.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from sys import getrefcount
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.frontend.context import ask_for_conversion, current_trace, note_reading
from dlc.frontend.conversion import unconverted
from dlc.frontend.extent import extents
from dlc.frontend.promotion import DEFAULTS
from dlc.frontend.tensor_methods import TensorMethods, functions, operators
from dlc.frontend.unheld import UNHELD, stores_item
from dlc.ir.core import Node
from dlc.ir.deferred import deferred
from dlc.ir.errors import (
    ArgumentError,
    DonatedBufferError,
    IndexRangeError,
    LeakedTracerError,
    ShapeError,
    TracedValueError,
)
from dlc.ir.location import by_user, in_loop
from dlc.ir.op import OPS
from dlc.ir.types import DType, TensorType, dtype_of
from dlc.runtime.buffers import aligned_copy, is_usable
from dlc.runtime.places import is_place, on_host, place_of, wait_for

# The first two stand above this file.
if TYPE_CHECKING:
    from dlc.frontend.at import At
    from dlc.frontend.history import History
    from dlc.frontend.trace import Trace
    from dlc.runtime import dlpack
else:
    dlpack = deferred("dlc.runtime.dlpack")

Array = np.ndarray[Any, Any]


def contiguous(array: Array) -> Array:
    """`array` as kernels can read it: itself, or a contiguous copy in aligned memory."""
    return array if is_usable(array) else aligned_copy(array, dtype_of(array.dtype))


_MAX_TYPES = 4096
_types: dict[tuple[Any, tuple[int, ...]], TensorType] = {}  # those that were asked for


def _type_of(data: Array) -> TensorType:
    type_ = TensorType(dtype_of(data.dtype), data.shape)
    if len(_types) >= _MAX_TYPES:
        _types.clear()
    _types[data.dtype, data.shape] = type_
    return type_


class Tensor(TensorMethods):
    """A value with a shape, an element type and a device; made by `dlc.asarray`.

    A tensor never changes under anyone else: `x[i] = v` and `x += v` give this one object a new
    value. Operators follow NumPy, with the promotion rules of `docs/semantics.md`.

    Example:
        >>> x = dlc.asarray([[1.0, 2.0], [3.0, 4.0]])
        >>> y = x
        >>> x += 1
        >>> y
        Tensor([[1., 2.],
                [3., 4.]], dtype=float32)
    """

    __slots__ = ("__weakref__", "_data", "_history", "_node", "_trace", "_weak")
    _data: Array | None
    _node: Node | None
    _trace: Trace | None
    _weak: bool
    _history: History | None

    def __init__(self, *_: Any, **__: Any) -> None:
        raise ArgumentError("tensors are made with dlc.asarray", hint="write dlc.asarray(values)")

    # What it is.

    @property
    def tensor(self) -> TensorType:
        """The type as the compiler holds it: dims may be symbolic, a weak scalar is f64 or i64."""
        data = self._data
        if data is not None:
            return _types.get((data.dtype, data.shape)) or _type_of(data)
        assert self._node is not None
        return self._node.tensor

    @property
    def shape(self) -> tuple[Any, ...]:
        """The extents; in a trace some may be `Extent`s, which compute like integers."""
        data = self._data
        return data.shape if data is not None else extents(self.tensor.shape)

    @property
    def dtype(self) -> DType:
        """The element type."""
        held = self.tensor.dtype
        return DEFAULTS[held.kind] if self._weak else held

    @property
    def ndim(self) -> int:
        """The number of dims."""
        return len(self.tensor.shape)

    @property
    def size(self) -> Any:
        """The number of elements."""
        return extents((self.tensor.size,))[0]

    @property
    def nbytes(self) -> Any:
        """The number of bytes of the elements."""
        return self.size * self.dtype.itemsize

    @property
    def itemsize(self) -> int:
        """Bytes an element."""
        return self.dtype.itemsize

    @property
    def device(self) -> str:
        """Where the value lies, such as `"cpu"` or `"cuda:0"`."""
        return place_of(self._data)

    @property
    def T(self) -> Tensor:  # noqa: N802 - the Array API's name
        """The transpose of a matrix; ShapeError for other ranks."""
        if self.ndim != 2:
            raise ShapeError(
                f"T of {self.tensor}: it takes a matrix", hint="use .mT or dlc.permute_dims"
            )
        return functions.permute_dims(self, (1, 0))

    @property
    def mT(self) -> Tensor:  # noqa: N802 - the Array API's name
        """The transpose of the last two axes."""
        return functions.matrix_transpose(self)

    @property
    def at(self) -> At:
        """`x.at[index].set(v)`: new tensors that differ at an index; see `dlc.frontend.at`."""
        return functions.at(self)

    @property
    def is_traced(self) -> bool:
        """Whether this is a value of a program being traced, without an array."""
        return self._data is None

    def _node_in(self, trace: Trace) -> Node:
        """The node that this tensor is in `trace`."""
        own = self._trace
        if own is trace and self._node is not None:
            return self._node
        if own is not None and own.symbolic:
            raise symbolic_value(self, "a traced function")
        if own is not None and (own.closed or not trace.inside(own)):
            raise leaked()
        return trace.capture(self)

    def _snapshot(self) -> Tensor:
        """A new handle on the present value; in a trace a value of the trace."""
        trace = current_trace()
        if trace is not None and self._trace is not trace:
            # A copy of the handle would not be told of later writes to this one, and belong there.
            return make(None, self._node_in(trace), trace, self._weak)
        return make(self._data, self._node, self._trace, self._weak, self._history)

    def _watch(self) -> None:
        """Begins a history under a tape; only variables do so by themselves."""

    def _rebind(self, value: Tensor) -> None:
        """Gives this handle the value of another one."""
        if value._trace is not self._trace:
            raise LeakedTracerError(
                "assignment into a tensor that was made outside of the function being traced",
                hint="use a dlc.Variable, or return the new value",
            )
        self._data, self._node = value._data, value._node
        self._weak, self._history = value._weak, value._history

    # Reaching the value.

    def _array(self, purpose: str, instead: str) -> Array:
        """The value in the host's memory; a copy of one on a GPU. Raises what `_held` does."""
        note_reading()
        return on_host(self._held(purpose, instead))

    def _held(self, purpose: str, instead: str) -> Array:
        """The array, where it lies.

        Raises:
            TracedValueError: in a trace, saying what wanted it and what to write.
        """
        if self._trace is not None and self._trace.closed:
            raise leaked()
        if self._data is None and self._trace is None:
            raise donated(self)
        if self._trace is not None and self._trace.symbolic:
            raise symbolic_value(self, purpose)
        if self._data is None:
            kind = "scalar" if not self.tensor.shape else f"tensor {self.tensor}"
            raise TracedValueError(
                f"{purpose} needs the value of a traced {kind}, which is known only when the "
                "compiled program runs",
                hint=instead,
            )
        if not self._data.flags.c_contiguous:
            self._data = contiguous(self._data)
        return self._data

    def numpy(self) -> Array:
        """The value as a read-only NumPy array, without a copy on the CPU.

        Raises:
            TracedValueError: while tracing.
        """
        array = self._array(".numpy()", "call it on the result of the compiled function")
        if self._weak:
            array = array.astype(self.dtype.numpy)
        view = array.view()
        view.flags.writeable = False
        return view

    def item(self, *index: int) -> bool | int | float:
        """The value as a Python number: of the only element, or of the one at `index`.

        Raises:
            ShapeError: without an index, unless there is exactly one element.
            IndexRangeError: for an index out of range.
            ArgumentError: for what is no index, or another number of them than there are axes.
            TracedValueError: while tracing.
        """
        data = self._data
        if type(self) is Tensor and type(data) is np.ndarray and data.size == 1 and not index:
            note_reading()
            return data.item()
        array = self._array(
            ".item()", "keep it a tensor, or return it and call .item() on the result"
        )
        if not index and array.size != 1:
            raise ShapeError(f".item() of {self.tensor}, which has {array.size} elements, not one")
        try:
            return array.item(*index)
        except (IndexError, OverflowError) as error:
            raise IndexRangeError(f".item() of {self.tensor}: {error}") from None
        except (TypeError, ValueError) as error:
            raise ArgumentError(f".item() of {self.tensor}: {error}") from None

    def tolist(self) -> Any:
        """The value as nested lists of Python numbers."""
        return self.numpy().tolist()

    def block_until_ready(self) -> Tensor:
        """Waits until the value is computed; returns the tensor itself."""
        wait_for(self._data)
        return self

    def to(self, device: Any, *, dtype: Any = None, copy: bool = False) -> Tensor:
        """The value on a device, or (as PyTorch has it) at an element type.

        Raises:
            DeviceError: for a device that is not there.
        """
        if not is_place(device):
            return functions.astype(self, device)
        changed = self if dtype is None else functions.astype(self, dtype)
        moved = functions.moved(changed, device)
        return functions.copy(moved) if copy and moved is changed else moved

    def to_device(self, device: str, /, *, stream: Any = None) -> Tensor:
        """The value on a device, as the Array API spells it."""
        return self.to(device)

    def cpu(self) -> Tensor:
        """The value on the CPU."""
        return self.to("cpu")

    def astype(self, dtype: Any, *, copy: bool = True) -> Tensor:
        """The value at another element type; never dropped by the compiler."""
        return functions.astype(self, dtype)

    def detach(self) -> Tensor:
        """The value, held constant by differentiation."""
        return functions.stop_gradient(self)

    def backward(self, gradient: Any = None, *, retain_graph: bool = True) -> None:
        """Adds d self / d v to `v.grad` for each variable v with `requires_grad` it depends on.

        Args:
            gradient: The cotangent of this tensor; 1 for a scalar.
            retain_graph: Accepted for PyTorch's sake; graphs always stay.

        Raises:
            DerivativeError: for a tensor that is not a scalar, without `gradient`, and for one that
                depends on no such variable.
        """
        functions.backward(self, gradient)

    # Interchange.

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = self._array("NumPy", "use the dlc function of the same name")
        if self._weak:
            array = array.astype(self.dtype.numpy)
        if dtype is not None and np.dtype(dtype) != array.dtype:
            if copy is False:
                raise ArgumentError(f"converting {self.tensor} to {np.dtype(dtype)} needs a copy")
            return array.astype(dtype)
        if copy:
            return array.copy()
        view = array.view()
        view.flags.writeable = False
        return view

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """The module `dlc`; ValueRangeError for a version of the standard that it does not have."""
        return functions.namespace(api_version)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return functions.numpy_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return functions.numpy_function(func, args, kwargs)

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: Any = None,
        dl_device: Any = None,
        copy: Any = None,
    ) -> Any:
        array = self._held("DLPack", "exchange the result of the compiled function")
        if place_of(array) != "cpu":
            return functions.gpu_capsule(array, stream, max_version, dl_device, copy)
        # Consumers of the old protocol may write; the tensor's value must not change under it.
        if max_version is not None and max_version[0] < 1:
            max_version = None
        writable = copy is not False and max_version is None
        shared = aligned_copy(array, self.tensor.dtype) if writable else self.numpy()
        return dlpack.lent(shared, max_version=max_version, dl_device=dl_device, copy=copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        kind, _, index = self.device.partition(":")
        return (1, 0) if kind == "cpu" else (2, int(index))

    def __reduce__(self) -> Any:
        return functions.rebuild, (self.numpy().copy(),)

    def __copy__(self) -> Tensor:
        return make_like(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        return make_like(self)

    # Where Python needs a number.

    def _scalar(self, purpose: str, instead: str) -> Any:
        array = self._array(purpose, instead)
        if array.size != 1:
            raise ShapeError(
                f"{purpose} of {self.tensor}, which has {array.size} elements, not one"
            )
        return array.reshape(())[()]

    def __bool__(self) -> bool:
        reason = ""
        if self.is_traced:
            ask_for_conversion()
            reason = unconverted()
        return bool(
            self._scalar(
                "a condition (if, while, and, or, not)",
                f"{reason}write dlc.where(condition, a, b) for values and dlc.cond for branches; "
                "arguments that are fixed may be named in static_argnames",
            )
        )

    def __int__(self) -> int:
        return int(
            self._scalar("int()", "use .astype(dlc.int64), or name the argument in static_argnames")
        )

    def __float__(self) -> float:
        return float(self._scalar("float()", "use .astype(dlc.float32), or keep it a tensor"))

    def __complex__(self) -> complex:
        return complex(self.__float__())

    def __round__(self, decimals: int | None = None) -> Tensor:
        return functions.round(self, decimals or 0)

    def __trunc__(self) -> Tensor:
        return functions.trunc(self)

    def __floor__(self) -> Tensor:
        return functions.floor(self)

    def __ceil__(self) -> Tensor:
        return functions.ceil(self)

    def __index__(self) -> int:
        if not self.dtype.is_integer or self.ndim:
            raise ArgumentError(f"only an integer scalar can be an index, got {self.tensor}")
        if self.is_traced and by_user(sys._getframe(1)):
            ask_for_conversion()
        return int(
            self._scalar(
                "an index or a range",
                "use dlc.take for indexing, or name the argument in static_argnames",
            )
        )

    def __len__(self) -> int:
        if not self.ndim:
            raise ArgumentError("len() of a scalar tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise ArgumentError("iteration over a scalar tensor")
        if self.is_traced and in_loop(sys._getframe(1)):
            ask_for_conversion()
        return (self[i] for i in range(self.shape[0]))

    def __contains__(self, value: Any) -> bool:
        return bool(functions.any(functions.equal(self, value)))

    def __hash__(self) -> int:
        return id(self)

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        return format(self.item(), spec)

    def __repr__(self) -> str:
        if self._trace is not None and self._trace.closed:
            return f"<{self.tensor} of a trace that has ended>"
        if self._data is None:
            kind = "donated" if self._trace is None else "traced"
            kind = "symbolic" if self._trace is not None and self._trace.symbolic else kind
            return f"<{kind} {self.tensor}>"
        text = np.array2string(self.numpy(), separator=", ", prefix=f"{type(self).__name__}(")
        return f"{type(self).__name__}({text}, dtype={self.dtype.name})"

    # Indexing.

    def __getitem__(self, index: Any) -> Tensor:
        return functions.getitem(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        references = getrefcount(self)
        new = functions.setitem(self, index, value)
        if references <= UNHELD and stores_item(sys._getframe(1)):
            raise ArgumentError(
                "this write would be lost: it is into a tensor that nothing holds",
                hint="parts of a tensor and .data are values of their own: write x[0, 1] = v for "
                "x[0][1] = v, and variable[i] = v for variable.data[i] = v",
            )
        self._rebind(new)

    # Operators.

    def __add__(self, other: Any) -> Tensor:
        return operators.add(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return operators.add(other, self)

    def __sub__(self, other: Any) -> Tensor:
        return operators.subtract(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return operators.subtract(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return operators.multiply(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return operators.multiply(other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return operators.divide(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return operators.divide(other, self)

    def __floordiv__(self, other: Any) -> Tensor:
        return operators.floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return operators.floor_divide(other, self)

    def __mod__(self, other: Any) -> Tensor:
        return operators.remainder(self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return operators.remainder(other, self)

    def __divmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return other // self, other % self

    def __pow__(self, other: Any) -> Tensor:
        return operators.pow(self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return operators.pow(other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return operators.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return operators.matmul(other, self)

    def __and__(self, other: Any) -> Tensor:
        return operators.bitwise_and(self, other)

    def __rand__(self, other: Any) -> Tensor:
        return operators.bitwise_and(other, self)

    def __or__(self, other: Any) -> Tensor:
        return operators.bitwise_or(self, other)

    def __ror__(self, other: Any) -> Tensor:
        return operators.bitwise_or(other, self)

    def __xor__(self, other: Any) -> Tensor:
        return operators.bitwise_xor(self, other)

    def __rxor__(self, other: Any) -> Tensor:
        return operators.bitwise_xor(other, self)

    def __lshift__(self, other: Any) -> Tensor:
        return operators.bitwise_left_shift(self, other)

    def __rlshift__(self, other: Any) -> Tensor:
        return operators.bitwise_left_shift(other, self)

    def __rshift__(self, other: Any) -> Tensor:
        return operators.bitwise_right_shift(self, other)

    def __rrshift__(self, other: Any) -> Tensor:
        return operators.bitwise_right_shift(other, self)

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return operators.equal(self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return operators.not_equal(self, other)

    def __lt__(self, other: Any) -> Tensor:
        return operators.less(self, other)

    def __le__(self, other: Any) -> Tensor:
        return operators.less_equal(self, other)

    def __gt__(self, other: Any) -> Tensor:
        return operators.greater(self, other)

    def __ge__(self, other: Any) -> Tensor:
        return operators.greater_equal(self, other)

    def __neg__(self) -> Tensor:
        return functions.negative(self)

    def __pos__(self) -> Tensor:
        return functions.positive(self)

    def __abs__(self) -> Tensor:
        return functions.abs(self)

    def __invert__(self) -> Tensor:
        return functions.bitwise_invert(self)


def leaked() -> LeakedTracerError:
    """The error for a traced value that outlived its trace."""
    return LeakedTracerError(
        "a traced value was used after the function that made it had been traced",
        hint="return the value from the function, or keep state in a dlc.Variable",
    )


def symbolic_value(x: Tensor, purpose: str) -> TracedValueError:
    """The error where the value of a symbolic tensor is wanted."""
    return TracedValueError(
        f"{purpose} needs the value of a symbolic tensor, {x.tensor}, which comes from nn.Input",
        hint="make it a part of the model: a layer, or nn.Lambda(function)(x)",
    )


def donated(x: Tensor) -> DonatedBufferError:
    """The error for a tensor whose memory was given to a compiled call."""
    return DonatedBufferError(
        f"{x.tensor} was donated to a compiled call, which may have reused its memory",
        hint="use the call's result, or leave the argument out of donate_argnums",
    )


def donated_node(type_: TensorType) -> Node:
    """What a donated tensor of this type has for a node, for messages."""
    return Node(OPS["param"], (), {"type": (type_,)}, type_)


_new = object.__new__


def make(
    data: Array | None = None,
    node: Node | None = None,
    trace: Trace | None = None,
    weak: bool = False,
    history: History | None = None,
) -> Tensor:
    """A tensor of an array that nobody else will write to, or of a node of a trace."""
    t = _new(Tensor)
    t._data, t._node, t._trace, t._weak, t._history = data, node, trace, weak, history
    return t


def make_like(x: Tensor, weak: bool | None = None) -> Tensor:
    """A new handle on the value of `x`."""
    value = x._snapshot()
    if weak is not None:
        value._weak = weak
    return value
