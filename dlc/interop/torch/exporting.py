"""Modules of PyTorch as graphs of core ATen operators, by `torch.export`."""

from __future__ import annotations

import contextlib
import sys
import traceback
import warnings
from collections import OrderedDict
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import dlc
from dlc.interop.torch.arrays import torch_dtype_of
from dlc.interop.torch.checks import check_known
from dlc.interop.torch.decompositions import decompositions_of_export
from dlc.interop.torch.extents import expression_of
from dlc.interop.torch.running import constants_of, draws, is_node
from dlc.interop.torch.versions import children_of, keep_checks
from dlc.ir.dims import Dim, DimExpr, DimUnknown, evaluate, symbols_of
from dlc.ir.errors import ArgumentError, DlcError, ModelError, ShapeError
from dlc.ir.location import SourceLocation

_MAX_KNOWN = 4096
_LEAST = 2  # PyTorch takes an open extent for one of at least 2


class Guards:
    """For which extents a graph is right, where these are open.

    Args:
        places: For each of PyTorch's symbols, the tensor among the arguments and the axis that
            have it.
        conditions: What must hold, over these symbols.
    """

    def __init__(self, places: Mapping[Any, tuple[int, int]], conditions: Sequence[Any]) -> None:
        self._places = dict(places)
        self._conditions = [c for c in conditions if c.free_symbols <= places.keys()]
        self._known: dict[Any, bool] = {}

    def hold(self, shapes: Sequence[tuple[int, ...]]) -> bool:
        """Whether the graph is right for tensors of these shapes."""
        if not self._conditions:
            return True
        values = {s: shapes[k][axis] for s, (k, axis) in self._places.items()}
        key = tuple(values.values())
        found = self._known.get(key)
        if found is None:
            # Of an extent of 1 PyTorch says nothing in a graph for several.
            found = all(c.subs(values) != False for c in self._conditions)  # noqa: E712  sympy's
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[key] = found
        return found


class Exported:
    """A module as a graph, for arguments of one form.

    Args:
        program: The program of `torch.export`, decomposed.

    Attributes:
        nodes: Those that a result depends on, in order.
        inputs: For each leaf of the arguments, its node.
        state: For each node of a parameter, buffer or constant, its name.
        updates: For each buffer that is updated, by its name, the node of its new value.
        constants: Tensors that are neither parameters nor buffers of the module, by name.
        draws: Whether it draws random numbers.
        held: For each node of a graph that an operator of control flow calls, the graph.
        outputs: For each leaf of the results, its node, or its value where that is known.

    Raises:
        ModelError: There are operators that dlc does not know, or an argument is written to.
    """

    def __init__(self, program: Any) -> None:
        self.program = program
        self.constants: Mapping[str, Any] = program.constants
        signature = program.graph_signature
        placeholders = [n for n in program.graph.nodes if n.op == "placeholder"]
        self.inputs: list[Any] = []
        self.state: dict[Any, str] = {}
        for node, spec in zip(placeholders, signature.input_specs, strict=True):
            if spec.kind.name == "USER_INPUT":
                self.inputs.append(node)
            elif spec.kind.name != "TOKEN":  # these order checks, which compute nothing
                self.state[node] = spec.target or spec.arg.name
        results = next(n for n in program.graph.nodes if n.op == "output").args[0]
        self.updates: dict[str, Any] = {}
        self.outputs: list[Any] = []
        for value, spec in zip(results, signature.output_specs, strict=True):
            kind = spec.kind.name
            if kind == "USER_OUTPUT":
                self.outputs.append(value)
            elif kind == "BUFFER_MUTATION":
                self.updates[spec.target] = value
            elif kind != "TOKEN":
                raise ModelError(
                    f"the module writes to {spec.target or 'what is no buffer'} in place",
                    hint="compute a new tensor, or use torch.compile(module, backend='dlc')",
                )
        self.nodes = _needed(program.graph, [*self.outputs, *self.updates.values()])
        check_known(self.nodes, "torch.compile with fallback='aten' runs them in PyTorch")
        self.draws = bool(draws(self.nodes))
        self.held = constants_of(program.graph_module, self.nodes)
        self.results = program.call_spec.out_spec
        # For each leaf of a result of dlc, whose dicts are sorted, the leaf of PyTorch's.
        self.order: list[int] = dlc.tree.leaves(self.plain(range(len(self.outputs))))

    def values_of(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[Any, Any]:
        """The arguments by their nodes."""
        from torch.utils import _pytree as pytree

        in_spec = self.program.call_spec.in_spec
        names = children_of(in_spec)[1].context
        leaves = pytree.tree_leaves((args, {k: kwargs[k] for k in names}))
        return dict(zip(self.inputs, leaves, strict=True))

    def plain(self, leaves: Sequence[Any]) -> Any:
        """A tree of results as dlc has it: what is neither list nor tuple is a dict or a list."""
        values = iter(None if o is None else x for o, x in zip(self.outputs, leaves, strict=True))
        return _plain(self.results, values)

    def guards(self, dims: Mapping[int, Sequence[Dim]], places: Mapping[int, int]) -> Guards:
        """For which extents the graph is right, where these are open.

        Args:
            dims: For each leaf that is a tensor, the extents that it was exported for.
            places: For each such leaf, its place among the tensors.

        Raises:
            DimUnknown: The graph is for one value of an extent that is open here.
        """
        known: dict[Any, Dim] = {}
        found: dict[Any, tuple[int, int]] = {}
        conditions: list[Any] = []
        for leaf, shape in dims.items():
            exported = self.inputs[leaf].meta["val"].shape
            for axis, (dim, value) in enumerate(zip(shape, exported, strict=True)):
                symbol = expression_of(value)
                if symbol is None or not symbol.is_Symbol:
                    if isinstance(dim, DimExpr):
                        raise DimUnknown(dim, _integer(value), "==")
                    continue
                first = known.setdefault(symbol, dim)
                if first != dim:
                    raise DimUnknown(first, dim, "==")
                found[symbol] = places[leaf], axis
                conditions = [g.expr for g in value.node.shape_env.guards]
        for symbol, limits in self.program.range_constraints.items():
            if limits.lower > _LEAST:
                conditions.append(symbol >= limits.lower)
            conditions.append(symbol <= limits.upper)
        return Guards(found, [c for c in conditions if hasattr(c, "free_symbols")])


Graph = tuple[Exported, Guards]


def exported_program() -> Any:
    """The class of programs of `torch.export`."""
    import torch

    return torch.export.ExportedProgram


def exported(
    source: Any, args: tuple[Any, ...], kwargs: dict[str, Any], sizes: Mapping[str, int]
) -> Graph:
    """The graph of a module for arguments.

    Args:
        source: A module, or a program of `torch.export`.
        args: Arguments by position, whose tensors are traced ones of dlc's.
        kwargs: Arguments by name.
        sizes: Values for the symbols among extents, to export with.

    Raises:
        ModelError: It cannot be exported; torch says why.
        DimUnknown: An extent that is open decides what is computed.
        ShapeError: A program of `torch.export` is for other shapes.
    """
    import torch
    from torch.utils import _pytree as pytree

    leaves, structure = pytree.tree_flatten((args, kwargs))
    dims = {k: x.tensor.shape for k, x in enumerate(leaves) if isinstance(x, dlc.Tensor)}
    for k in dims:
        if leaves[k]._weak:
            raise ArgumentError(
                "a number beside tensors in an argument of a module of PyTorch",
                hint="torch.export takes numbers that are arguments by themselves",
            )
    if isinstance(source, torch.nn.Module):
        try:
            made = _exported_module(source, leaves, structure, dims, sizes)
        except ModelError as error:
            free = [d for shape in dims.values() for d in shape if isinstance(d, DimExpr)]
            if not free or not sizes:
                raise
            # It may be possible for the extents of this call alone.
            raise DimUnknown(free[0], _size(free[0], sizes), "==") from error
    else:
        made = _given(source, structure, dims, leaves)
    tensors = [id(x) for x in dlc.tree.leaves((args, kwargs)) if isinstance(x, dlc.Tensor)]
    return made, made.guards(dims, {k: tensors.index(id(leaves[k])) for k in dims})


def _exported_module(
    module: Any, leaves: Sequence[Any], structure: Any, dims: Mapping[int, Any], sizes: Any
) -> Exported:
    import torch
    from torch.utils import _pytree as pytree

    shapes = torch.export.ShapesCollection()
    examples = list(leaves)
    for k, shape in dims.items():
        extents = [d if isinstance(d, int) else _size(d, sizes) for d in shape]
        examples[k] = torch.zeros(extents, dtype=torch_dtype_of(leaves[k].dtype))
        free = {a: torch.export.Dim.AUTO for a, d in enumerate(shape) if isinstance(d, DimExpr)}
        if free:
            shapes[examples[k]] = free
    args, kwargs = pytree.tree_unflatten(examples, structure)
    keep_checks()
    with _explained(type(module).__name__), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what torch itself uses, and deprecates
        dynamic = shapes.dynamic_shapes(module, args, kwargs)
        program = torch.export.export(module, args, kwargs, dynamic_shapes=dynamic, strict=False)
        program = program.run_decompositions(decompositions_of_export())
    return Exported(program)


def _given(
    program: Any, structure: Any, dims: Mapping[int, Sequence[Dim]], leaves: Sequence[Any]
) -> Exported:
    """A program of `torch.export`, if it is for such arguments."""
    import torch

    wanted = program.call_spec.in_spec
    if wanted.num_leaves != structure.num_leaves:
        raise ArgumentError(
            f"the exported program takes {wanted.num_leaves} values, got {structure.num_leaves}",
            hint="call it as it was exported",
        )
    with torch.no_grad(), _explained("the exported program"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = Exported(program.run_decompositions(decompositions_of_export()))
    for k, node in enumerate(made.inputs):
        value = node.meta["val"]
        if k not in dims:
            if value is not None and value != leaves[k]:
                raise ArgumentError(f"{node.name} is {value!r} in the program, got {leaves[k]!r}")
            continue
        fits = len(value.shape) == len(dims[k]) and all(
            not isinstance(v, int) or not isinstance(d, int) or v == d
            for v, d in zip(value.shape, dims[k], strict=True)
        )
        if not fits or value.dtype != torch_dtype_of(leaves[k].dtype):
            had = f"{value.dtype}{list(value.shape)}".removeprefix("torch.")
            raise ShapeError(
                f"{node.name} is {had} in the exported program, got {leaves[k].tensor}",
                hint="export it with dynamic_shapes, or compile the module itself",
            )
    return made


def _size(dim: DimExpr, sizes: Mapping[str, int]) -> int:
    """A value for an open extent: neither 0 nor 1, of which PyTorch makes other graphs."""
    names = sorted(symbols_of(dim))
    return evaluate(dim, {n: max(sizes.get(n, 0), 0) or 64 + 32 * k for k, n in enumerate(names)})


@contextlib.contextmanager
def _explained(name: str) -> Generator[None]:
    """What torch.export raises, in our words, at the line of the module that it is about."""
    try:
        yield
    except DlcError:
        raise
    except Exception as error:
        depends = "data-dependent" in str(error)
        reason = str(error).strip().splitlines() or [type(error).__name__]
        hint = (
            "Python cannot decide by the elements of tensors here: torch.where and torch.cond can, "
            "and torch.compile(module, backend='dlc') leaves such a line to Python"
            if depends
            else "the module has to run in PyTorch with such arguments, and torch.export has to "
            "follow it"
        )
        raise ModelError(
            f"torch.export cannot export {name}: {reason[0]}", hint=hint, location=_line_of(error)
        ) from error


def _line_of(error: BaseException) -> SourceLocation | None:
    """The innermost line of an error that is neither PyTorch's nor dlc's."""
    inside = tuple(
        str(sys.modules[name].__file__).removesuffix("__init__.py") for name in ("torch", "dlc")
    )
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith((*inside, "<")):
            return SourceLocation(frame.filename, frame.lineno or 1, frame.name)
    return None


def _needed(graph: Any, results: Sequence[Any]) -> list[Any]:
    """The nodes that results depend on; checks that raise, and compute nothing, are none."""
    needed = {n for n in results if is_node(n)}
    for node in reversed(list(graph.nodes)):
        if node in needed:
            needed.update(node.all_input_nodes)
    return [n for n in graph.nodes if n in needed]


def _plain(spec: Any, values: Iterator[Any]) -> Any:
    if spec.is_leaf():
        return next(values)
    children = [_plain(child, values) for child in children_of(spec)]
    kind, context = spec.type, spec.context
    if kind in (dict, OrderedDict):
        return dict(zip(context, children, strict=True))
    if kind in (list, tuple):
        return kind(children)
    if hasattr(kind, "n_sequence_fields"):  # such as torch.return_types.max
        return tuple(children)
    if isinstance(kind, type) and issubclass(kind, tuple):
        return (context if isinstance(context, type) else kind)(*children)
    names = context if isinstance(context, (list, tuple)) else ()
    if len(names) == len(children) and all(isinstance(n, str) for n in names):
        return dict(zip(names, children, strict=True))
    return children


def _integer(value: Any) -> int:
    return int(getattr(getattr(value, "node", None), "hint", None) or value)
