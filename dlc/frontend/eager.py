"""Running one operation at once: by a compiled kernel whose extents are run-time values.

Kernels are cached by operation, attributes, element types and the pattern of the operands' dims, so
that a handful serves all shapes. An operation that is run again on the same shapes goes through a
native entry. Operations that only rename elements are views of the immutable array. Views by
transposition or repetition are not materialised before a kernel: the kernel reads the array below
with the view folded in.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.frontend import execution
from dlc.frontend.context import watcher
from dlc.frontend.execution import Program, ask_of_extents, program_for, searching
from dlc.frontend.history import hashable
from dlc.frontend.symbols import Extents, trace_with_symbols
from dlc.frontend.tensor import Array, Tensor, contiguous, make
from dlc.ir.build import IRBuilder
from dlc.ir.config import config
from dlc.ir.core import Function, Node
from dlc.ir.deferred import deferred
from dlc.ir.dims import Dim, evaluate
from dlc.ir.errors import DlcError
from dlc.ir.locks import make_lock
from dlc.ir.op import Op
from dlc.ir.record import NamedTuple
from dlc.ir.types import DType, TensorType, dtype_of
from dlc.runtime.buffers import check_size
from dlc.runtime.cpu import BoundCpuProgram
from dlc.runtime.executable import Executable
from dlc.runtime.gpu.array import GpuArray
from dlc.runtime.places import CPU, is_number, operation_place

if TYPE_CHECKING:  # of GPUs only, and of what is run again
    from dlc.frontend import call_place, entry_layouts
    from dlc.runtime import call_plan, entry_plan
    from dlc.runtime import entry as entries
    from dlc.runtime.entry_plan import EntryPlan, Guard
else:
    call_place = deferred("dlc.frontend.call_place")
    entry_layouts = deferred("dlc.frontend.entry_layouts")
    call_plan = deferred("dlc.runtime.call_plan")
    entry_plan = deferred("dlc.runtime.entry_plan")
    entries = deferred("dlc.runtime.entry")

# Their NumPy reference gives a view, or fills in nothing but one number.
VIEWS = frozenset(
    {
        "reshape",
        "transpose",
        "broadcast_to",
        "slice",
        "flip",
        "full",
        "constant",
        "dim",
        "stop_gradient",
    }
)
_ELEMENTWISE = frozenset({"unary", "binary", "compare", "ternary"})
_MAX_KEYS = 2048
_MAX_ARENA = 1 << 14  # bytes of temporaries that an entry of an operation may keep, ...
_MAX_ARENA_OF_SEVERAL = 1 << 22  # ... and one of a function
_REPEATS = 3  # runs after which an entry is worth it, which takes about ten of them to make


class Operand(NamedTuple):
    """An array that a kernel takes and how the operation's operand is a view of it."""

    array: Array
    order: tuple[int, ...]  # axis k of the operand is axis order[k] of the array
    repeated: tuple[bool, ...]  # axes (of the operand) along which the array has extent 1


def operand(array: Array) -> Operand:
    """Looks through transposition and repetition; copies what else is not contiguous."""
    rank = array.ndim
    order = tuple(range(rank))
    if array.flags.c_contiguous:
        return Operand(array, order, (False,) * rank)
    repeated = tuple(s == 0 and d > 1 for s, d in zip(array.strides, array.shape, strict=True))
    if any(repeated):
        array = array[tuple(slice(0, 1) if r else slice(None) for r in repeated)]
    if not array.flags.c_contiguous:
        order = tuple(np.argsort([-s for s in array.strides], kind="stable").tolist())
        base = array.transpose(order)
        order = tuple(np.argsort(order).tolist())
        if not base.flags.c_contiguous:
            order, base = tuple(range(rank)), contiguous(array)
        array = base
    return Operand(array, order, repeated)


class _Applied(NamedTuple):
    """An operation on arrays, of which one may be several operands."""

    op: Op
    uses: tuple[int, ...]  # the array of each operand

    def infer(self, types: Sequence[TensorType], attrs: dict[str, Any]) -> None:
        """Raises what the op's type rule does for arrays that do not fit."""
        self.op.infer([types[k] for k in self.uses], attrs)


def _applied(op: Op, arrays: Sequence[Array]) -> tuple[_Applied, Sequence[Array]]:
    """An operation and the arrays that it is applied to, each once where a kernel can tell."""
    places = tuple(range(len(arrays)))
    if len(arrays) < 2 or op.family not in _ELEMENTWISE:
        return _Applied(op, places), arrays
    distinct = {id(a): a for a in arrays}
    if len(distinct) == len(arrays):
        return _Applied(op, places), arrays
    order = list(distinct)
    return _Applied(op, tuple([order.index(id(a)) for a in arrays])), list(distinct.values())


class _Kernel(NamedTuple):
    extents: Extents
    program: Program


class _Usual:
    """A program that is run on contiguous arrays of certain shapes.

    Args:
        program: It; it has been run once.
        single: Whether its one result is given, instead of a list of all.
    """

    __slots__ = ("_program", "_runs", "_single", "entry")

    def __init__(self, program: Program, single: bool) -> None:
        self._program, self._single, self._runs = program, single, 1
        self.entry: Callable[..., Any] | None = None  # a native one, where runs repeat

    def run(self, arrays: Sequence[Array]) -> Any:
        """The result, or all; the next run may have an entry."""
        if self.entry is not None:
            return self.entry(*arrays)
        self._runs += 1
        if self._runs == _REPEATS:
            self.entry = self._native(arrays)
        return self._in_python(*arrays)

    def _in_python(self, *arrays: Array) -> Any:
        program = self._program
        made = [make(a) for a in searching(program, program.function)(arrays)]
        return made[0] if self._single else made

    def _native(self, arrays: Sequence[Array]) -> Callable[..., Any] | None:
        """A native entry, given arrays of these shapes; None where there is none."""
        guards = [
            entry_plan.ArrayParameter(k, a.shape, a.dtype, accepts_arrays=True)
            for k, a in enumerate(arrays)
        ]
        plan = entry_plan_of(self._program, arrays, guards, self._single)
        most = _MAX_ARENA if self._single else _MAX_ARENA_OF_SEVERAL
        if plan is None or plan.arena_bytes > most or config.debug_nans:
            return None
        entry = entries.make_entry(plan, entry_layouts.LAYOUT, self._in_python)
        return None if isinstance(entry, entries.PythonEntry) else entry


_kernels: OrderedDict[Any, list[_Kernel]] = OrderedDict()
_usual: dict[Any, _Usual] = {}
_lock = make_lock()


def run(op: Op, arrays: Sequence[Array], attrs: dict[str, Any]) -> Tensor:
    """The result of an operation on arrays, which become immutable; a tensor without a history.

    Args:
        op: The operation.
        arrays: Its operands.
        attrs: Its attributes, normalised.

    Raises:
        DlcError: what the op's type rule raises for operands that do not fit.
    """
    place = _place(op, arrays) if GpuArray.made else CPU
    if place != CPU:
        return make(_run_on_gpu(op, arrays, attrs, place))
    if op.name in VIEWS:
        return make(_view(op, arrays, attrs))
    applied, arrays = _applied(op, arrays)
    operands = None
    held = arrays
    if not all(a.flags.c_contiguous for a in arrays):
        operands = _operands(op, arrays)
        held = [o.array for o in operands]
    key = _usual_key(applied, arrays, operands, attrs)
    noted = watcher.get()
    if key is not None and noted is None and (usual := _usual.get(key)) is not None:
        return usual.run(held)
    program, held = _program(applied, arrays, operands, attrs)
    result = searching(program, program.function)(held)[0]
    if key is not None:
        _keep(key, _Usual(program, single=True))
    if noted is not None:
        noted.append(Run(program, held, result))
    return make(result)


def _view(op: Op, arrays: Sequence[Array], attrs: dict[str, Any]) -> Array:
    result = op.infer([TensorType(dtype_of(a.dtype), a.shape) for a in arrays], attrs)
    assert isinstance(result, TensorType)
    check_size(result)
    if op.name == "full":
        return np.broadcast_to(np.array(attrs["value"], attrs["dtype"].numpy), attrs["shape"])
    return np.asarray(op.reference(*arrays, **attrs))  # type: ignore[misc]


def _keep(key: Any, usual: _Usual) -> None:
    if len(_usual) >= _MAX_KEYS:
        _usual.clear()
    _usual.setdefault(key, usual)


def run_function(function: Function, arrays: Sequence[Array]) -> list[Tensor]:
    """The results of a function of integer extents on contiguous arrays, without histories."""
    if GpuArray.made or config._overrides.get() is not None:
        return [make(a) for a in execution.run_function(function, arrays)]
    key = (function, config._generation)
    usual = _usual.get(key)
    if usual is not None:
        return usual.run(arrays)
    program = program_for(function)
    results = searching(program, function)(arrays)
    _keep(key, _Usual(program, single=False))
    return [make(a) for a in results]


def entry_plan_of(
    program: Program, operands: Sequence[Array], guards: Sequence[Guard], single: bool = True
) -> EntryPlan | None:
    """The plan of a native entry that returns a program's results; None for one without.

    Args:
        program: Of an operation or a function.
        operands: Arrays of the shapes that it is for.
        guards: Of the arguments of a call; operands that none of them is for stay the same.
        single: Whether its one result is returned, instead of a list of all.
    """
    if not isinstance(program, Executable):
        return None
    bound = program.bound_for(tuple([x.shape for x in operands]))
    if not isinstance(bound, BoundCpuProgram):
        return None
    form = entry_plan.RESULT if single else [entry_plan.RESULT] * len(bound.outputs)
    targets = [None] * len(bound.outputs)
    data = (entry_plan.ArrayParameter, entry_plan.ScalarParameter)
    given = {g.slot for g in guards if isinstance(g, data)}
    constants = {k: contiguous(a) for k, a in enumerate(operands) if k not in given}
    return call_plan.entry_plan(
        bound,
        call_plan.CallForm(guards, (), (), targets, (), form, None, constants),
        lock=None,
        num_threads=config.thread_count(None),
        counts=np.zeros(2, np.int64),
    )


def _place(op: Op, arrays: Sequence[Array]) -> str:
    """The device of the operands; for numbers that were repeated, and for none, of the call."""
    place = operation_place(arrays)
    if place != CPU or op.name == "dim" or (arrays and op.name in VIEWS):
        return place
    return call_place.find() if all(is_number(a) and a.ndim for a in arrays) else CPU


def _run_on_gpu(op: Op, arrays: Sequence[Any], attrs: dict[str, Any], place: str) -> Array:
    """Like `run`, for operands on a GPU, where the result lies too."""
    if op.name in ("reshape", "stop_gradient"):
        (array,) = arrays
        result = op.infer([TensorType(dtype_of(array.dtype), array.shape)], attrs)
        assert isinstance(result, TensorType)
        return array.reshaped([evaluate(d, {}) for d in result.shape])
    with config.scope(device=place):
        program, held = _program(*_applied(op, arrays), None, attrs)
    return searching(program, program.function)(held)[0]


class Run(NamedTuple):
    """A program that an operation ran, on what, and what came out."""

    program: Program
    operands: Sequence[Array]
    result: Array


@contextlib.contextmanager
def watched() -> Generator[list[Run | None]]:
    """Collects what operations run inside a `with`, None for a reading of values; no views."""
    runs: list[Run | None] = []
    token = watcher.set(runs)
    try:
        yield runs
    finally:
        watcher.reset(token)


def _program(
    applied: _Applied,
    arrays: Sequence[Array],
    operands: list[Operand] | None,
    attrs: dict[str, Any],
) -> tuple[Program, Sequence[Array]]:
    """The program of an operation, and the arrays that it takes."""
    operands = operands or _operands(applied.op, arrays)
    key = (
        applied,
        tuple(hashable(v) for v in attrs.values()),
        tuple((o.array.dtype, o.order, o.repeated, _pattern(o.array.shape)) for o in operands),
        config.disable_jit,
        config.device,
    )
    shapes = [a.shape for a in arrays]
    for kernel in _kernels.get(key, ()):
        if kernel.extents.matches(shapes):
            break
    else:
        kernel = _compile(applied, operands, shapes, attrs)
        with _lock:
            _kernels.setdefault(key, []).append(kernel)
            while len(_kernels) > _MAX_KEYS:
                _kernels.popitem(last=False)
    return kernel.program, [o.array for o in operands]


def _usual_key(
    applied: _Applied,
    arrays: Sequence[Array],
    operands: list[Operand] | None,
    attrs: dict[str, Any],
) -> Any:
    """What finds the program of a usual operation at once; None where settings are unusual.

    Args:
        applied: The operation.
        arrays: What it is applied to.
        operands: Views of which arrays they are, unless all are contiguous.
        attrs: Its attributes.
    """
    if config._overrides.get() is not None:
        return None
    key: list[Any] = [*applied, config._generation]
    if attrs:
        key += map(hashable, attrs.values())
    for a in arrays:
        key += (a.dtype, a.shape)
    if operands is not None:
        for o in operands:
            key += (o.order, o.repeated)
    return tuple(key)


def _operands(op: Op, arrays: Sequence[Array]) -> list[Operand]:
    """Arrays and views of them, such that each extent is one of an array."""
    if op.family not in _ELEMENTWISE:
        # A repeated axis is no axis of the array, so that a symbol could not be read from it.
        return [operand(contiguous(a) if 0 in a.strides else a) for a in arrays]
    operands = [operand(a) for a in arrays]
    if any(all(flags) for flags in zip(*(o.repeated for o in operands), strict=False)):
        operands[0] = operand(contiguous(arrays[0]))
    return operands


def _pattern(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(d if d <= 1 else 2 for d in shape)


def _compile(
    applied: _Applied,
    operands: Sequence[Operand],
    shapes: Sequence[tuple[int, ...]],
    attrs: dict[str, Any],
) -> _Kernel:
    dtypes = [dtype_of(o.array.dtype) for o in operands]
    applied.infer([TensorType(d, s) for d, s in zip(dtypes, shapes, strict=True)], attrs)

    def build(dims: Sequence[tuple[Dim, ...]]) -> Function:
        made = _single(applied, dtypes, operands, dims, attrs)
        if extents.ranges:
            ask_of_extents(made)
        return made

    constant = any(0 in shape for shape in shapes)
    extents = Extents.constant(shapes) if constant else Extents.distinct(shapes)
    try:
        function = trace_with_symbols(build, extents)
    except DlcError:  # a rule that takes integers only, such as that of a random key
        extents = Extents.constant(shapes)
        function = build(extents.dims())
    return _Kernel(extents, program_for(function))


def _single(
    applied: _Applied,
    dtypes: Sequence[DType],
    operands: Sequence[Operand],
    dims: Sequence[tuple[Dim, ...]],
    attrs: dict[str, Any],
) -> Function:
    """The function that applies an operation to views of its parameters."""
    b = IRBuilder()
    params: list[Node] = []
    inputs: list[Node] = []
    for dtype, o, shape in zip(dtypes, operands, dims, strict=True):
        held = tuple(1 if r else d for d, r in zip(shape, o.repeated, strict=True))
        stored: list[Dim] = [0] * len(held)
        for k, axis in enumerate(o.order):
            stored[axis] = held[k]
        x = b.param(TensorType(dtype, tuple(stored)))
        params.append(x)
        if o.order != tuple(range(len(held))):
            x = b.transpose(x, axes=o.order)
        inputs.append(b.broadcast_to(x, shape=shape) if any(o.repeated) else x)
    result = b.emit(applied.op, [inputs[k] for k in applied.uses], attrs)
    return b.function(applied.op.name, params, [result])
