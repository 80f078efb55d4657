"""Judges results: exactly where nothing may change bits, else against the same program at float64.

How much rounding may move a result is measured, not guessed: the program runs at float64 with each
rounding replaced by a small random change (Parker, "Monte Carlo Arithmetic", UCLA, 1997). Where
those changes move a result by much, as behind a cancellation or at a jump, much is allowed there
and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
import numpy.typing as npt

from dlc.ir.build import IRBuilder
from dlc.ir.core import Function, Node, bodies, with_bodies
from dlc.ir.dims import evaluate
from dlc.ir.interpret import bind_symbols, decomposition, interpret
from dlc.ir.record import dataclass
from dlc.ir.types import DType, TensorType, TupleType, dtype_of, float64

Array: TypeAlias = npt.NDArray[Any]

SAMPLES = 4  # noisy runs
ULPS = 4  # of each operation: what the math functions may err
MARGIN = 16  # times what the noisy runs have shown
_ROUNDING = ("unary", "binary", "ternary", "reduction", "contraction", "scatter", "recurrence")
_EXACT = ("select", "neg", "abs", "max", "min", "floor", "ceil", "trunc", "rint", "bitcast")


@dataclass(frozen=True)
class Difference:
    """Where two runs of a program differ.

    ulp: The distance in units in the last place, of floats; None where that means nothing.
    """

    message: str
    result: int | None = None
    index: tuple[int, ...] | None = None
    expected: Any = None
    found: Any = None
    ulp: float | None = None

    def __str__(self) -> str:
        if self.result is None:
            return self.message
        at = f"result {self.result}" + (f" at {list(self.index)}" if self.index else "")
        ulp = "" if self.ulp is None else f", {self.ulp:.3g} ulp away"
        return f"{at} is {self.found}, not {self.expected}{ulp}: {self.message}"


def first_exact_difference(expected: Sequence[Array], found: Sequence[Array]) -> Difference | None:
    """The first element whose bits differ, but for the bits of a NaN; None where all are equal."""
    for k, (a, b) in enumerate(zip(expected, found, strict=True)):
        wrong = _shape_difference(k, a, b) or _difference_at(k, a, b, ~_same_bits(a, b))
        if wrong is not None:
            return wrong
    return None


def _same_bits(a: Array, b: Array) -> Array:
    if a.dtype.kind in "biu":
        return a == b
    with np.errstate(invalid="ignore"):
        return (np.isnan(a) & np.isnan(b)) | ((a == b) & (np.signbit(a) == np.signbit(b)))


def _shape_difference(k: int, a: Array, b: Array) -> Difference | None:
    if a.dtype == b.dtype and a.shape == b.shape:
        return None
    return Difference(f"result {k} is {b.dtype}{list(b.shape)}, not {a.dtype}{list(a.shape)}")


def _difference_at(
    k: int, a: Array, b: Array, wrong: Array, reason: str = "bits differ"
) -> Difference | None:
    if not wrong.any():
        return None
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    x, y = a[index], b[index]
    count = int(wrong.sum())
    message = f"{reason}, at {count} of {wrong.size} places"
    return Difference(message, k, index, x.item(), y.item(), _ulps(x, y))


def _ulps(x: Any, y: Any) -> float | None:
    dtype = dtype_of(np.asarray(x).dtype)
    if not dtype.is_float or not (np.isfinite(x) and np.isfinite(y)):
        return None
    info = ml_dtypes.finfo(dtype.numpy)
    size = max(abs(float(x)), float(info.tiny))
    unit = 2.0 ** math.floor(math.log2(size)) * float(info.eps)
    return abs(float(x) - float(y)) / unit


class Judge:
    """Knows what a program gives on some arguments, and how far a right implementation may be off.

    Args:
        function: A traced function.
        args: Its arguments.
        dims: Extents of symbols that the arguments do not give.

    Attributes:
        results: What the interpreter gives.
    """

    def __init__(
        self, function: Function, args: Sequence[Array], dims: Mapping[str, int] | None = None
    ) -> None:
        self.results = interpret(function, args, dims=dims)
        self._function, self._args, self._dims = function, args, dims
        self._bounds: list[tuple[Array, Array]] | None = None

    def difference(self, found: Sequence[Array]) -> Difference | None:
        """The first element that rounding does not explain; None where there is none."""
        if first_exact_difference(self.results, found) is None:
            return None
        if self._bounds is None:
            self._bounds = _bounds(self._function, self._args, self.results, self._dims)
        for k, (a, b) in enumerate(zip(self.results, found, strict=True)):
            wrong = _shape_difference(k, a, b)
            if wrong is None:
                reference, bound = self._bounds[k]
                bad = ~(_near(a, b, bound) | _near(reference, b, bound))
                wrong = _difference_at(k, a, b, bad, "more than rounding explains")
            if wrong is not None:
                return wrong
        return None


def _near(a: Array, b: Array, bound: Array) -> Array:
    with np.errstate(all="ignore"):
        x, y = a.astype(np.float64), b.astype(np.float64)
        close = np.abs(x - y) <= bound
        return close | (x == y) | (np.isnan(x) & np.isnan(y)) | np.isinf(bound)


def _bounds(
    function: Function,
    args: Sequence[Array],
    results: Sequence[Array],
    dims: Mapping[str, int] | None,
) -> list[tuple[Array, Array]]:
    """For each result, its value at float64 and how far off a right one may be."""
    values = bind_symbols(function, args, dims)
    wide = [a.astype(np.float64) if dtype_of(a.dtype).is_float else a for a in args]
    exact, _ = _widened(function, noisy=False)
    references = interpret(exact, wide, dims=values)
    noisy, sizes = _widened(function, noisy=True)
    rng = np.random.default_rng(0)
    spread = [np.zeros(r.shape) for r in references]
    for _ in range(SAMPLES):
        noise = [_noise(rng, n, values) for n in sizes]
        for k, moved in enumerate(interpret(noisy, [*wide, *noise], dims=values)):
            np.maximum(spread[k], _distance(moved, references[k]), out=spread[k])
    return [
        (r, _bound(r, s, dtype_of(given.dtype)))
        for r, s, given in zip(references, spread, results, strict=True)
    ]


def _distance(a: Array, b: Array) -> Array:
    """|a - b|; infinite where one is finite and the other is not, 0 where both are the same."""
    with np.errstate(all="ignore"):
        x, y = a.astype(np.float64), b.astype(np.float64)
        same = (x == y) | (np.isnan(x) & np.isnan(y))
        return np.where(same, 0.0, np.nan_to_num(np.abs(x - y), nan=np.inf))


def _bound(reference: Array, spread: Array, dtype: DType) -> Array:
    if not dtype.is_float:
        return np.where(spread > 0, np.inf, 0.0)
    info = ml_dtypes.finfo(dtype.numpy)
    with np.errstate(all="ignore"):
        usual = spread[np.isfinite(spread)]
        # Few samples can miss: an element is at least as uncertain as others, within reason.
        least = 0.1 * usual.mean() if usual.size else 0.0
        size = np.nan_to_num(np.abs(reference.astype(np.float64)), nan=0.0, posinf=0.0)
        tiny = MARGIN * float(info.smallest_normal) * float(info.eps)
        return MARGIN * (np.maximum(spread, least) + size * float(info.eps)) + tiny


@dataclass(frozen=True)
class _Noise:
    """Numbers of at most `size` around `centre`."""

    param: Node
    centre: float
    size: float


def _noise(rng: np.random.Generator, noise: _Noise, values: Mapping[str, int]) -> Array:
    shape = [evaluate(d, values) for d in noise.param.shape]
    return noise.centre + noise.size * rng.uniform(-1, 1, shape)


class _Widener:
    """Rewrites a function to float64, with a factor of noise after what rounds."""

    def __init__(self, *, noisy: bool) -> None:
        self.b, self.noisy = IRBuilder(), noisy
        self.noise: list[_Noise] = []

    def run(self, nodes: Sequence[Node], new: dict[Node, Node]) -> None:
        """Appends what `nodes` become; `new` maps old nodes to new ones."""
        several: dict[Node, list[Node]] = {}
        for node in nodes:
            if node.inputs and node.inputs[0] in several:
                new[node] = several[node.inputs[0]][node.attrs["index"]]
            elif node.op.decompose is not None and node.op.reference is None:
                inner = decomposition(node)
                mapped = dict(zip(inner.params, (new[x] for x in node.inputs), strict=True))
                self.run(inner.nodes, mapped)
                if isinstance(node.type, TupleType):
                    several[node] = [mapped[r] for r in inner.results]
                else:
                    new[node] = mapped[inner.results[0]]
            elif node.op.family == "control":
                new[node] = self.control(node, [new[x] for x in node.inputs])
            else:
                new[node] = self.widen(node, [new[x] for x in node.inputs])

    def widen(self, node: Node, inputs: list[Node]) -> Node:
        """One node at float64."""
        if node.op.name == "bitcast":
            return self.bitcast(node, inputs[0])
        family = node.op.family
        if family in ("reduction", "contraction") and node.op.name not in ("argmax", "argmin"):
            # A sum errs with its terms, however small it is itself.
            terms = node.inputs[0].tensor
            more = math.log2(terms.size) if isinstance(terms.size, int) and terms.size > 1 else 8
            inputs = [self.perturb(x, terms.dtype, ULPS + more) for x in inputs]
        result = self.b.emit(node.op, inputs, _wide_attrs(node))
        if family not in _ROUNDING or node.op.name in _EXACT:
            return result
        if family == "contraction":
            result = self.blur_zero(result)
        return self.perturb(result, node.tensor.dtype, ULPS)

    def control(self, node: Node, inputs: list[Node]) -> Node:
        """A loop or branches; the noise of what it runs is an operand, the same each time."""
        inner: dict[Function, _Widener] = {}
        made: dict[Function, tuple[list[Node], list[Node]]] = {}
        for _, body in bodies(node):
            work = inner[body] = _Widener(noisy=self.noisy)
            new = {p: work.b.param(_wide(p.tensor), p.name) for p in body.params}
            params = list(new.values())
            work.run(body.nodes, new)
            made[body] = params, [new[r] for r in body.results]
        noise = [n for work in inner.values() for n in work.noise]
        given = [self.param(n.param.tensor, n.centre, n.size) for n in noise]
        bodied = next(iter(inner))
        # Behind the constants of a loop; branches have nothing else.
        at: int = node.attrs.get("consts", len(bodied.params))
        first = len(inputs) - len(bodied.params)

        def widened(body: Function) -> Function:
            params, results = made[body]
            own = {n.param for n in inner[body].noise}
            more = [n.param if n.param in own else self.b.param(n.param.tensor) for n in noise]
            return Function(
                body.name, [*params[:at], *more, *params[at:]], results, inner[body].b.nodes
            )

        attrs = dict(with_bodies(node, widened).attrs)
        if "consts" in attrs:
            attrs["consts"] = at + len(noise)
        operands = [*inputs[: first + at], *given, *inputs[first + at :]]
        return self.b.emit(node.op, operands, attrs)

    def bitcast(self, node: Node, x: Node) -> Node:
        """Bits are those of the types as they were."""
        x = self.b.convert(x, dtype=node.inputs[0].tensor.dtype)
        result = self.b.bitcast(x, dtype=node.attrs["dtype"])
        is_float = node.tensor.dtype.is_float
        return self.b.convert(result, dtype=float64) if is_float else result

    def perturb(self, x: Node, dtype: DType, ulps: float) -> Node:
        """`x` times 1 plus noise of the size of so many units in the last place of `dtype`."""
        if not self.noisy or not dtype.is_float:
            return x
        size = ulps * float(ml_dtypes.finfo(dtype.numpy).eps) / 2
        return self.b.mul(x, self.param(x.tensor, 1.0, size))

    def blur_zero(self, x: Node) -> Node:
        """`x` where the sign of a zero, which contractions do not define, is random."""
        if not self.noisy or not x.tensor.dtype.is_float:
            return x
        return self.b.add(x, self.param(x.tensor, 0.0, 1e-300))

    def param(self, type_: TensorType, centre: float, size: float) -> Node:
        """A parameter for noise."""
        made = self.b.param(type_)
        self.noise.append(_Noise(made, centre, size))
        return made


def _wide_attrs(node: Node) -> dict[str, Any]:
    attrs = dict(node.attrs)
    dtype = attrs.get("dtype")
    if isinstance(dtype, DType) and dtype.is_float:
        attrs["dtype"] = float64
    value = attrs.get("value")
    if isinstance(value, np.ndarray) and node.tensor.dtype.is_float:
        attrs["value"] = value.astype(np.float64)
    return attrs


def _widened(function: Function, *, noisy: bool) -> tuple[Function, list[_Noise]]:
    """`function` at float64, and the noise that it takes as well."""
    widener = _Widener(noisy=noisy)
    new = {p: widener.b.param(_wide(p.tensor), p.name) for p in function.params}
    params = list(new.values())
    widener.run(function.nodes, new)
    noise = [n.param for n in widener.noise]
    results = [new[r] for r in function.results]
    widened = Function(function.name, [*params, *noise], results, widener.b.nodes)
    return widened, widener.noise


def _wide(type_: TensorType) -> TensorType:
    return type_.with_dtype(float64) if type_.dtype.is_float else type_


def widened(function: Function) -> Function:
    """`function` with every float at float64."""
    return _widened(function, noisy=False)[0]
