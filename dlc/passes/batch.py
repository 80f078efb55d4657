"""Batching of functions: one call for all elements of a batch.

Each node that depends on a batched parameter becomes what the batching rule of its row gives; the
others stay as they are, computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from dlc.ir.build import IRBuilder
from dlc.ir.core import Function, Node
from dlc.ir.dims import Dim
from dlc.ir.errors import VerifyError
from dlc.ir.ops.batching import batch_size, repeated
from dlc.ir.types import TensorType
from dlc.passes import control_batch

Results: TypeAlias = "Sequence[bool] | bool"
_Batched: TypeAlias = "Node | tuple[Node, ...]"  # the results of a node, all with a batch axis


class _Builder(IRBuilder):
    """What batching rules write to."""

    def batch_of(
        self, function: Function, batched: Sequence[bool], size: Dim, results: Results = False
    ) -> tuple[Function, tuple[bool, ...]]:
        """`batch_function`."""
        return batch_function(function, batched, size, results)


def batch_function(
    function: Function,
    batched: Sequence[bool],
    size: Dim,
    results: Results = False,
) -> tuple[Function, tuple[bool, ...]]:
    """`function` of a batch.

    Args:
        function: Of the elements.
        batched: For each parameter, whether it has a batch axis in front.
        size: The extent of the batch axis.
        results: Which results must have the batch axis, those too that do not depend on a batched
            parameter.

    Returns:
        The function of batched parameters, and which of its results have the batch axis.
    """
    b = _Builder()
    made: dict[Node, _Batched] = {}
    params = [
        b.param(_with_batch(p.tensor, size), p.name) if has else p
        for p, has in zip(function.params, batched, strict=True)
    ]
    made.update((p, q) for p, q in zip(function.params, params, strict=True) if p is not q)
    _batch_nodes(b, function.nodes, made)
    b.loc = None
    wanted = [results] * len(function.results) if isinstance(results, bool) else results
    found: list[Node] = []
    for r, must in zip(function.results, wanted, strict=True):
        value = made.get(r, r)
        assert isinstance(value, Node)
        found.append(repeated(b, r, size) if must and value is r else value)
    flags = tuple(v is not r for v, r in zip(found, function.results, strict=True))
    return Function(f"{function.name}_vmap", params, found, b.nodes), flags


def _with_batch(type_: TensorType, size: Dim) -> TensorType:
    return type_.with_shape((size, *type_.shape))


def _batch_nodes(b: IRBuilder, nodes: Sequence[Node], made: dict[Node, _Batched]) -> None:
    """Appends `nodes` to `b`, batched where they depend on what `made` has."""
    for node in nodes:
        if not any(x in made for x in node.inputs):
            b.nodes.append(node)
            continue
        b.loc = node.loc
        (source, *_) = node.inputs
        whole = made.get(source)
        if isinstance(whole, tuple):  # of several results, read by `get` alone
            made[node] = whole[node.attrs["index"]]
        else:
            made[node] = _batched_node(b, node, made)


def _batched_node(b: IRBuilder, node: Node, made: dict[Node, _Batched]) -> _Batched:
    flags = [x in made for x in node.inputs]
    inputs = [made.get(x, x) for x in node.inputs]
    op = node.op
    if op.family == "control":
        given = [x for x in inputs if isinstance(x, Node)]
        return control_batch.batch_control(batch_function, b, node, given, flags)
    if op.batch is not None:
        found = op.batch(b, inputs, flags, **node.attrs)
        if found is not None:
            return tuple(found) if isinstance(found, (tuple, list)) else found
    if op.decompose is None:
        raise VerifyError(f"op {op.name} has no batching rule", location=node.loc)
    inner = IRBuilder(node.loc)
    stands_for = op.decompose(inner, *node.inputs, **node.attrs)
    _batch_nodes(b, inner.nodes, made)
    size = batch_size(inputs, flags)

    def settled(x: Node) -> Node:
        value = made.get(x)
        assert not isinstance(value, tuple)
        return repeated(b, x, size) if value is None else value

    if isinstance(stands_for, (tuple, list)):
        return tuple(map(settled, stands_for))
    return settled(stands_for)
