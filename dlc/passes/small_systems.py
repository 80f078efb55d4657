"""Linear algebra of very small matrices becomes arithmetic of their elements.

LAPACK is called through Python, which takes fifty times as long as what it computes of one matrix
of 3x3, and goes through a stack matrix by matrix. Written out, elimination is vectorised along the
stack and needs no Python. Arithmetic is of float64, as NumPy's is for both float types.

Of a matrix that is singular, or nearly, or holds NaN or infinity, it is LAPACK that says what its
result is, or the error: where a stack has one, the op itself is run and has its results in theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import ClassVar, TypeAlias

from dlc.ir.build import IRBuilder
from dlc.ir.core import Function, Node
from dlc.ir.record import dataclass
from dlc.ir.types import float64, int64
from dlc.passes.manager import Pass, PassContext
from dlc.passes.replacing import replaced

# Pivots below this part of what they are differences of, times the number of rows, are not trusted.
_DOUBT = 2.0**-50

Row: TypeAlias = "list[Node]"


@dataclass(frozen=True)
class SmallSystems(Pass):
    """Writes out what LAPACK would compute of very small matrices.

    Args:
        most: Multiplications that are written out for one op.
    """

    name: ClassVar[str] = "small_systems"
    inexact: ClassVar[str | None] = "elimination rounds in another order than LAPACK"
    most: int = 128

    def run(self, function: Function, context: PassContext) -> Function:
        """`function` with such ops written out."""
        found = {n: _written_out for n in function.nodes if self._is_small(n)}
        return replaced(function, found, self.name, context)

    def _is_small(self, node: Node) -> bool:
        kind = _KINDS.get(node.op.name)
        if kind is None or any(0 in x.shape for x in node.inputs):
            return False
        n, m = node.inputs[0].shape[-1], node.inputs[-1].shape[-1]
        return isinstance(n, int) and isinstance(m, int) and kind.work(n, m) <= self.most


def _written_out(b: IRBuilder, node: Node) -> Node:
    """What the op computes, by elements; by itself where those are not to be trusted."""
    work = _Elements(b, node.inputs)
    elements = _KINDS[node.op.name].compute(work, node)
    row = b.concat(*elements, axis=len(work.shape) - 1) if len(elements) > 1 else elements[0]
    made = b.convert(b.reshape(row, shape=node.shape), dtype=node.tensor.dtype)
    sound = work.sound(elements)
    all_are = b.reduce_all(sound, axes=tuple(range(len(work.shape))))
    operands = (*node.inputs, sound, made)
    branches = [_branch(node, operands, run) for run in (_by_itself, lambda b, node, xs: xs[-1])]
    chosen = b.switch(b.convert(all_are, dtype=int64), *operands, branches=branches)
    return b.get(chosen, index=0)


def _by_itself(b: IRBuilder, node: Node, operands: Sequence[Node]) -> Node:
    """The results of the op, but those of matrices that need it not."""
    *inputs, sound, made = operands
    result = b.emit(node.op, inputs, dict(node.attrs))
    lead = sound.shape[:-1]
    each = b.reshape(sound, shape=(*lead, *(1,) * (len(node.shape) - len(lead))))
    return b.select(b.broadcast_to(each, shape=node.shape), made, result)


def _branch(
    node: Node,
    operands: Sequence[Node],
    run: Callable[[IRBuilder, Node, Sequence[Node]], Node],
) -> Function:
    b = IRBuilder(node.loc)
    params = [b.param(x.tensor) for x in operands]
    return b.function(node.op.name, params, [run(b, node, params)])


class _Elements:
    """Arithmetic of the elements of matrices, each one a float64 `[..., 1]` along the stack.

    Args:
        b: Gets all nodes.
        stacks: The operands of the op.
    """

    def __init__(self, b: IRBuilder, stacks: Sequence[Node]) -> None:
        self.b = b
        self.shape = (*stacks[0].shape[:-2], 1)
        self.operands = [self._elements(x) for x in stacks]
        self._doubts: list[Node] = []

    def _elements(self, x: Node) -> list[Row]:
        rows, columns = x.shape[-2:]
        assert isinstance(rows, int)
        assert isinstance(columns, int)
        wide = self.b.convert(x, dtype=float64)
        return [[self._element(wide, i, j) for j in range(columns)] for i in range(rows)]

    def _element(self, x: Node, i: int, j: int) -> Node:
        lead = x.shape[:-2]
        start, limit = (*(0 for _ in lead), i, j), (*lead, i + 1, j + 1)
        one = self.b.slice(x, start=start, limit=limit, step=(1,) * len(limit))
        return self.b.reshape(one, shape=self.shape)

    def number(self, value: float) -> Node:
        """The same number for each matrix."""
        return self.b.full(value=value, shape=self.shape, dtype=float64)

    def less(self, x: Node, *terms: tuple[Node, Node]) -> Node:
        """x minus products."""
        return reduce(lambda x, term: self.b.sub(x, self.b.mul(*term)), terms, x)

    def trust(self, pivot: Node, parts: Sequence[Node]) -> None:
        """Remembers that results need a pivot that is more than what rounding has left of parts.

        Of NaN and of infinite parts no pivot is.
        """
        b = self.b
        largest = reduce(b.max, map(b.abs, parts))
        least = b.mul(largest, self.number(_DOUBT * len(self.operands[0])))
        self._doubts.append(b.gt(b.abs(pivot), least))

    def sound(self, results: Sequence[Node]) -> Node:
        """Which matrices have pivots to be trusted and finite results."""
        b, zero = self.b, self.number(0.0)
        # A finite number times 0 is 0, and no other is.
        none = reduce(b.add, (b.mul(x, zero) for x in results))
        return reduce(b.bit_and, self._doubts, b.eq(none, zero))


def _eliminated(work: _Elements, rows: list[Row]) -> Node:
    """Gaussian elimination with partial pivoting of [A B], in place.

    Below the diagonal of A, elements are left as they were when they had had their use.

    Returns:
        The sign of the permutation of rows.
    """
    b, n = work.b, len(rows)
    sign = work.number(1.0)
    columns = [[row[k] for row in work.operands[0]] for k in range(n)]
    for k in range(n):
        for i in range(k + 1, n):
            larger = b.gt(b.abs(rows[i][k]), b.abs(rows[k][k]))
            sign = b.select(larger, b.neg(sign), sign)
            for j in range(k, len(rows[i])):
                x, y = rows[k][j], rows[i][j]
                rows[k][j], rows[i][j] = b.select(larger, y, x), b.select(larger, x, y)
        work.trust(rows[k][k], columns[k])
        for i in range(k + 1, n):
            factor = b.div(rows[i][k], rows[k][k])
            for j in range(k + 1, len(rows[i])):
                rows[i][j] = work.less(rows[i][j], (factor, rows[k][j]))
    return sign


def _substituted(
    work: _Elements, a: list[Row], y: list[Row], *, lower: bool, unit: bool = False
) -> list[Node]:
    """The elements of X with A X = Y, for A of which one triangle is read."""
    b, n = work.b, len(a)
    found: dict[int, Row] = {}
    for i in range(n) if lower else reversed(range(n)):
        row = [
            work.less(x, *((a[i][k], found[k][j]) for k in sorted(found)))
            for j, x in enumerate(y[i])
        ]
        found[i] = row if unit else [b.div(x, a[i][i]) for x in row]
    return [x for i in range(n) for x in found[i]]


def _solved(work: _Elements, y: list[Row]) -> list[Node]:
    """The elements of X with A X = Y for the first operand."""
    rows = [[*a, *right] for a, right in zip(work.operands[0], y, strict=True)]
    _eliminated(work, rows)
    return _substituted(work, rows, [row[len(rows) :] for row in rows], lower=False)


def _solve(work: _Elements, node: Node) -> list[Node]:
    return _solved(work, work.operands[1])


def _inverse(work: _Elements, node: Node) -> list[Node]:
    places, (zero, one) = range(len(work.operands[0])), map(work.number, (0.0, 1.0))
    return _solved(work, [[one if i == j else zero for j in places] for i in places])


def _triangular_solve(work: _Elements, node: Node) -> list[Node]:
    a, y = work.operands
    lower, transpose, unit = (node.attrs[name] for name in ("lower", "transpose", "unit"))
    if transpose:
        a = [list(column) for column in zip(*a, strict=True)]
    return _substituted(work, a, y, lower=lower != transpose, unit=unit)


def _cholesky(work: _Elements, node: Node) -> list[Node]:
    b, (a,) = work.b, work.operands
    zero, rows = work.number(0.0), list[Row]()
    for i, parts in enumerate(a):
        row: Row = []
        for j, above in enumerate(rows):
            rest = work.less(parts[j], *zip(row, above[:j], strict=True))
            row.append(b.div(rest, above[j]))
        square = work.less(parts[i], *((x, x) for x in row))
        work.trust(b.max(square, zero), [parts[i]])
        rows.append([*row, b.sqrt(square)])
    return [x for row in rows for x in (*row, *[zero] * (len(a) - len(row)))]


def _pivots(work: _Elements) -> tuple[Row, Node]:
    """Those of a matrix, and the sign of the permutation of its rows."""
    rows = [list(row) for row in work.operands[0]]
    sign = _eliminated(work, rows)
    return [row[k] for k, row in enumerate(rows)], sign


def _det(work: _Elements, node: Node) -> list[Node]:
    (a,) = work.operands
    if len(a) <= 3:
        return [_expanded(work, a)]
    pivots, sign = _pivots(work)
    return [reduce(work.b.mul, pivots, sign)]


def _expanded(work: _Elements, a: list[Row]) -> Node:
    """The determinant by its first row: of so few, no less exact than by elimination."""
    if len(a) == 1:
        return a[0][0]
    total: Node | None = None
    for j, x in enumerate(a[0]):
        minor = _expanded(work, [[*row[:j], *row[j + 1 :]] for row in a[1:]])
        term = work.b.mul(x, minor)
        total = term if total is None else (work.b.sub, work.b.add)[j % 2 == 0](total, term)
    assert total is not None
    return total


def _slogdet(work: _Elements, node: Node) -> list[Node]:
    b = work.b
    pivots, sign = _pivots(work)
    zero = work.number(0.0)
    for x in pivots:
        sign = b.select(b.lt(x, zero), b.neg(sign), sign)
    return [sign, reduce(b.add, (b.log(b.abs(x)) for x in pivots))]


@dataclass(frozen=True)
class _Kind:
    """How an op is written out.

    compute: Makes the elements of the result, by rows.
    work: About how many multiplications it has for n rows and m columns of the last operand.
    """

    compute: Callable[[_Elements, Node], list[Node]]
    work: Callable[[int, int], float]


_KINDS = {
    "cholesky": _Kind(_cholesky, lambda n, m: n**3),
    "det": _Kind(_det, lambda n, m: n**3),
    "inverse": _Kind(_inverse, lambda n, m: 2 * n**3),
    "slogdet": _Kind(_slogdet, lambda n, m: n**3),
    "solve": _Kind(_solve, lambda n, m: n**2 * (n + m)),
    "triangular_solve": _Kind(_triangular_solve, lambda n, m: n**2 * m / 2),
}
