"""Stores matrices that no call changes in the order in which products read them.

A right operand that depends on fixed parameters and constants alone is written as what is read
back from its panels (`dlc.ir.panels`). The panels then depend on nothing else either, so that a
program makes them once (`Program.once`), and the product streams them.

The filters of a convolution are stored so too, as the columns of a matrix. They are then the lanes
of vectors, which they fill where few windows would not, and windows are read where they lie.
"""

from __future__ import annotations

from typing import Any, ClassVar

from dlc.ir.build import IRBuilder, make_node
from dlc.ir.core import Function, Node, has_bodies, with_bodies, with_inputs
from dlc.ir.dims import Dim, product
from dlc.ir.op import OPS
from dlc.ir.record import dataclass
from dlc.ir.types import float32
from dlc.passes.manager import Pass, PassContext

_WORTHWHILE = 1024  # elements from which a matrix is worth a kernel that packs it
# Windows of an image from which they are worth to be packed, for more than so many filters.
_MANY_WINDOWS = 4096
_FEW_FILTERS = 64
_OFTEN = 8  # iterations from which a loop is worth it

_Packed = dict[tuple[Node, bool], Node]  # of matrices, as they are or turned, their panels


@dataclass(frozen=True)
class Prepack(Pass):
    """Reads fixed right operands of products from panels.

    panel_bits: the width of a panel, in bits of the type that products are summed at; 0 where the
        backend has no use for panels.
    fixed: the positions of the parameters that have the same value in every call, as "0 2 3".
    """

    name: ClassVar[str] = "prepack"
    nested: ClassVar[bool] = False
    panel_bits: int = 0
    fixed: str = ""

    def run(self, function: Function, context: PassContext) -> Function:
        """`function` with such operands in panels."""
        if not self.panel_bits:
            return function
        function = self._in_loops(function, context)
        positions = set(map(int, self.fixed.split()))
        fixed = {p for k, p in enumerate(function.params) if k in positions}
        new: dict[Node, Node] = {p: p for p in function.params}
        nodes: list[Node] = []
        packed: _Packed = {}
        for node in function.nodes:
            if node.op.name == "constant" or (node.inputs and fixed.issuperset(node.inputs)):
                fixed.add(node)
            inputs = tuple(new[x] for x in node.inputs)
            kept = with_inputs(node, inputs)
            if self._packs(node, fixed) and context.allows(self.name, node.op.name, node.loc):
                kept = self._product(kept, packed, nodes)
            new[node] = kept
            nodes.append(kept)
        if not packed:
            return function
        return Function(function.name, function.params, [new[r] for r in function.results], nodes)

    def _in_loops(self, function: Function, context: PassContext) -> Function:
        """Packs before a loop what its products read in each iteration."""
        if not has_bodies(function):
            return function
        b = IRBuilder()
        new: dict[Node, Node] = {p: p for p in function.params}
        for node in function.nodes:
            kept = with_inputs(node, tuple(new[x] for x in node.inputs))
            if node.op.family == "control":
                b.loc = node.loc
                kept = with_bodies(kept, lambda body: self._in_loops(body, context))
                kept = self._loop(b, kept, context)
            new[node] = kept
            b.nodes.append(kept)
        return Function(function.name, function.params, [new[r] for r in function.results], b.nodes)

    def _loop(self, b: IRBuilder, node: Node, context: PassContext) -> Node:
        """A loop that reads panels, which `b` gets."""
        length = node.attrs.get("length")
        if node.op.name == "switch" or (isinstance(length, int) and length < _OFTEN):
            return node
        body: Function = node.attrs["body"]
        count: int = node.attrs["consts"]
        first = len(node.inputs) - len(body.params)  # after what says how often it runs
        consts = set(body.params[:count])
        packed: _Packed = {}
        params: list[Node] = []
        new: dict[Node, Node] = {p: p for p in body.params}
        nodes: list[Node] = []
        for n in body.nodes:
            kept = with_inputs(n, tuple(new[x] for x in n.inputs))
            if self._packs(n, consts) and context.allows(self.name, n.op.name, n.loc):
                w, turn = n.inputs[1], _is_turned(n)
                if (w, turn) not in packed:
                    outside = node.inputs[first + body.params.index(w)]
                    matrix = self._panels(kept, outside, b.nodes)
                    packed[w, turn] = matrix
                    params.append(b.param(matrix.tensor))
                inside = dict(zip(packed, params, strict=True))
                kept = self._product(kept, inside, nodes)
            new[n] = kept
            nodes.append(kept)
        if not packed:
            return node
        results = [new[r] for r in body.results]
        given = [*body.params[:count], *params, *body.params[count:]]
        attrs: dict[str, Any] = {
            **node.attrs,
            "body": Function(body.name, given, results, nodes),
            "consts": count + len(params),
        }
        if "cond" in attrs:
            cond: Function = attrs["cond"]
            more = [b.param(p.tensor) for p in params]
            asked = [*cond.params[:count], *more, *cond.params[count:]]
            attrs["cond"] = Function(cond.name, asked, cond.results, cond.nodes)
        at = first + count
        inputs = [*node.inputs[:at], *packed.values(), *node.inputs[at:]]
        return make_node(node.op, inputs, attrs, node.loc, node.name)

    def _packs(self, node: Node, fixed: set[Node]) -> bool:
        """Whether a node is the product of something with a fixed matrix of several columns."""
        if node.op.family != "contraction" or node.inputs[1] not in fixed or node in fixed:
            return False
        if not (_is_window_sum(node) or _is_product(node)):
            return False
        rows, columns = _matrix_shape(node)
        if not isinstance(rows, int) or not isinstance(columns, int):
            return False
        if _is_window_sum(node) and not (self._fills(node, columns) and _leaves_windows(node)):
            return False
        return columns > 1 and rows * columns >= _WORTHWHILE

    def _product(self, node: Node, packed: _Packed, nodes: list[Node]) -> Node:
        """The product with its right operand read from panels."""
        x, w = node.inputs
        turn = _is_turned(node)
        matrix = packed.get((w, turn))
        if matrix is None:
            matrix = packed[w, turn] = self._panels(node, w, nodes)
        _, columns = _matrix_shape(node)
        back = _emit(nodes, node, "from_panels", matrix, columns=columns)
        back = _emit(nodes, node, "transpose", back, axes=(1, 0)) if turn else back
        if w.tensor.rank > 2:
            back = _emit(nodes, node, "reshape", back, shape=w.shape)
        return make_node(node.op, (x, back), dict(node.attrs), node.loc)

    def _panels(self, node: Node, w: Node, nodes: list[Node]) -> Node:
        """A matrix in panels, as the product `node` reads them."""
        rows, columns = _matrix_shape(node)
        assert isinstance(columns, int)
        turn = _is_turned(node)
        if w.tensor.rank > 2:
            w = _emit(nodes, node, "reshape", w, shape=(columns, rows))
        matrix = _emit(nodes, node, "transpose", w, axes=(1, 0)) if turn else w
        width = self._width(node, columns)
        return _emit(nodes, node, "panels", matrix, width=width, whole=columns % width == 0)

    def _fills(self, node: Node, columns: int) -> bool:
        """Whether columns fill their panels: they are lanes, in the place of windows."""
        return columns % self._width(node, columns) == 0

    def _width(self, node: Node, columns: int) -> int:
        dtype = node.tensor.dtype
        bits = max(dtype.bits, float32.bits) if dtype.is_float else dtype.bits
        width = self.panel_bits // bits
        return width // 2 if columns <= width // 2 else width


def _is_product(node: Node) -> bool:
    """Whether a contraction is with a matrix."""
    return node.inputs[1].tensor.rank == 2 and len(node.attrs.get("rhs_contract", ())) == 1


def _is_window_sum(node: Node) -> bool:
    """Whether a contraction is a convolution by filters of several elements a channel.

    Its windows are gathered whichever way it is computed: in place, unless they are converted too.
    """
    if node.op.name != "convolution" or node.attrs["grouped"]:
        return False
    dtype, taps = node.tensor.dtype, product(node.inputs[1].shape[2:])
    return dtype.is_float and dtype.bits >= float32.bits and taps != 1


def _leaves_windows(node: Node) -> bool:
    """Whether windows of an image are not worth to be packed for all filters."""
    last = bool(node.attrs["channels_last"])
    windows = product(node.shape[1:-1] if last else node.shape[2:])
    filters = node.inputs[1].shape[0]
    some = isinstance(windows, int) and windows < _MANY_WINDOWS
    return some or (isinstance(filters, int) and filters <= _FEW_FILTERS)


def _matrix_shape(node: Node) -> tuple[Dim, Dim]:
    """What is summed over, and the columns, of the fixed operand as a matrix."""
    w = node.inputs[1].shape
    if node.op.name == "convolution":
        return product(w[1:]), w[0]
    (summed,) = node.attrs["rhs_contract"]
    return w[summed], w[1 - summed]


def _is_turned(node: Node) -> bool:
    """Whether the fixed operand has the columns of its matrix first."""
    return node.op.name == "convolution" or node.attrs["rhs_contract"] == (1,)


def _emit(nodes: list[Node], like: Node, op: str, x: Node, **attrs: object) -> Node:
    """A node at the place of another one, appended."""
    made = make_node(OPS[op], (x,), attrs, like.loc)
    nodes.append(made)
    return made
