"""Rows that call Python for the user: prints, callbacks, pure functions.

`batch` is the number of batch axes in front of every operand: the function is called for each
element of the batch, in order.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlc.ir.dims import dims_equal
from dlc.ir.errors import ArgumentError, ShapeError, ValueRangeError
from dlc.ir.host_function import HostFunction, host_function
from dlc.ir.op import Attrs, NoDerivative, Op, Sample, register
from dlc.ir.ops.batching import all_batched
from dlc.ir.types import DType, Shape, TensorType, bool_, float32


def _done_type(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    return TensorType(bool_, _lead(types, attrs["batch"]))


def _lead(types: Sequence[TensorType], batch: int) -> Shape:
    """The batch axes, which all operands have."""
    lead = types[0].shape[:batch] if batch else ()
    if any(t.rank < batch or not all(map(dims_equal, t.shape, lead)) for t in types):
        raise ShapeError(f"a callback of {', '.join(map(str, types))}: the batches differ")
    return lead


def _each(arrays: Sequence[Any], batch: int, call: Callable[..., Any]) -> list[Any]:
    """What `call` returns for each element of a batch; its arguments are its own."""
    shape = arrays[0].shape[:batch] if arrays else ()
    return [call(*(np.array(a[at]) for a in arrays)) for at in np.ndindex(*shape)]


def shown(format_: str, names: str, values: Sequence[Any]) -> str:
    """A format filled in with arrays; those of names that are not empty are keywords."""
    try:
        return _filled(format_, names, [v[()] for v in values])
    except _OF_FORMATS as error:
        types = ", ".join(f"{v.dtype}{list(v.shape)}" for v in values)
        message = f"debug.print of {types or 'no values'} by the format {format_!r}: {error}"
        raise ValueRangeError(message) from error


_OF_FORMATS = (ValueError, TypeError, LookupError, AttributeError)


def _filled(format_: str, names: str, values: Sequence[Any]) -> str:
    labels = names.split(",") if names else [""] * len(values)
    pairs = list(zip(labels, values, strict=True))
    return format_.format(*(v for k, v in pairs if not k), **{k: v for k, v in pairs if k})


class _AnyValue:
    """Stands for a value that is not known yet: it has every attribute, and every format."""

    def __getattr__(self, name: str) -> _AnyValue:
        return self

    def __getitem__(self, key: str | int) -> _AnyValue:
        return self

    def __format__(self, form: str) -> str:
        return ""


def _print_type(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    try:
        _filled(attrs["text"], attrs["names"], [_AnyValue()] * len(types))
    except _OF_FORMATS as error:
        raise ArgumentError(
            f"debug.print of {len(types)} values by the format {attrs['text']!r}: "
            f"{type(error).__name__}: {error}",
            hint="each place of a format stands for an argument, and {{ and }} for braces",
        ) from None
    return _done_type(types, attrs)


def _print_reference(*arrays: Any, text: str, names: str, batch: int) -> Any:
    _each(arrays, batch, lambda *xs: sys.stdout.write(shown(text, names, xs) + "\n"))
    return _done(arrays, batch)


def _done(arrays: Sequence[Any], batch: int) -> Any:
    return np.zeros(arrays[0].shape[:batch] if arrays else (), np.bool_)


def _callback_reference(*arrays: Any, function: HostFunction, batch: int) -> Any:
    _each(arrays, batch, function.call)
    return _done(arrays, batch)


def _batched(name: str) -> Any:
    def batch(b: Any, inputs: Any, batched: Any, **attrs: Any) -> Any:
        held = all_batched(b, inputs, batched)
        return getattr(b, name)(*held, **{**attrs, "batch": attrs["batch"] + 1})

    return batch


def _pure_type(types: Sequence[TensorType], attrs: Attrs) -> TensorType:
    return TensorType(attrs["dtype"], (*_lead(types, attrs["batch"]), *attrs["shape"]))


def _pure_reference(
    *arrays: Any, function: HostFunction, shape: Any, dtype: DType, batch: int
) -> Any:
    type_ = TensorType(dtype, shape)
    found = [_checked(x, type_, function) for x in _each(arrays, batch, function.call)]
    lead = arrays[0].shape[:batch] if arrays else ()
    return np.array(found, dtype.numpy).reshape((*lead, *shape))


def _total(x: Any) -> Any:
    return np.sum(x)


def _checked(value: Any, type_: TensorType, function: HostFunction) -> Any:
    array = np.asarray(value)
    if array.dtype != type_.dtype.numpy or array.shape != type_.shape:
        raise ShapeError(
            f"{function.name} gave {array.dtype}{list(array.shape)} to pure_callback, not {type_}",
            hint="convert what it returns to the type that was announced",
        )
    return array


register(
    Op(
        "debug_print",
        "Prints operands in a format, and is false.",
        infer=_print_type,
        reference=_print_reference,
        attrs={"text": "str", "names": "str", "batch": "int"},
        defaults={"names": "", "batch": 0},
        family="host",
        effect=True,
        jvp=NoDerivative("integer"),
        batch=_batched("debug_print"),
        samples=lambda: [
            Sample((((2,), "f32"), ((), "i64")), {"text": "{} {k}", "names": ",k"}),
            Sample((((3, 2), "f64"),), {"text": "{}", "batch": 1}),
        ],
    )
)
register(
    Op(
        "debug_callback",
        "Calls a Python function on operands, and is false.",
        infer=_done_type,
        reference=_callback_reference,
        attrs={"function": "callable", "batch": "int"},
        defaults={"batch": 0},
        family="host",
        effect=True,
        jvp=NoDerivative("integer"),
        batch=_batched("debug_callback"),
        samples=lambda: [Sample((((2, 3), "f32"),), {"function": host_function(np.sin)})],
    )
)
register(
    Op(
        "pure_callback",
        "What a Python function without effects returns for operands, of a type that is known.",
        infer=_pure_type,
        reference=_pure_reference,
        attrs={"function": "callable", "shape": "dims", "dtype": "dtype", "batch": "int"},
        defaults={"batch": 0},
        family="host",
        jvp=NoDerivative("unknown"),
        batch=_batched("pure_callback"),
        samples=lambda: [
            Sample(
                (((2, 3), "f32"),),
                {"function": host_function(_total), "shape": (), "dtype": float32},
            ),
        ],
    )
)
