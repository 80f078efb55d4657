"""`dlc.compile` of a module of PyTorch: exported, traced and compiled when it is called."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import dlc
from dlc.frontend import tree
from dlc.frontend.closure import Closure
from dlc.frontend.compile import CompiledFunction, Family, Specialisation
from dlc.frontend.context import current_trace
from dlc.frontend.signature import Call, CallKey, LeafKey, Signature
from dlc.frontend.symbols import Extents
from dlc.frontend.tree import Structure
from dlc.interop.torch.arrays import address_of, array_of, tensor_of
from dlc.interop.torch.exporting import Exported, Graph, exported, exported_program
from dlc.interop.torch.running import is_node, is_tensor, run_nodes
from dlc.interop.torch.state import Change, State
from dlc.ir.errors import ArgumentError, ModelError

_MAX_EXPORTED = 64


class _Tracing:
    """A trace of a `TorchModel`'s own: values for symbols, and the graph that was traced."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes
        self.graph: Graph | None = None


# None in traces of functions that call one.
_tracing: ContextVar[_Tracing | None] = ContextVar("dlc.torch.tracing", default=None)


def load(source: Any, **keywords: Any) -> TorchModel:
    """A module of PyTorch as a compiled function; `dlc.compile(module)` is the same.

    Args:
        source: A module, or a program of `torch.export`.
        keywords: Those of `dlc.compile`.

    Example:
        >>> linear = dlc.compile(torch.nn.Linear(3, 2))
        >>> linear(torch.ones(4, 3)).shape
        torch.Size([4, 2])
    """
    return TorchModel(source, **keywords)


class TorchModel(CompiledFunction):
    """A module of PyTorch that dlc compiles, for inference.

    It is called as the module is, with PyTorch's tensors, NumPy's arrays or dlc's tensors; the
    results are PyTorch's where an argument is, with the module's own classes of results, and dlc's
    otherwise. They have no gradient: for training there is `torch.compile(module, backend="dlc")`.

    Parameters and buffers are constants of the programs. Before each call they are compared with
    what they were (by PyTorch's count of writes, memory and identity, and the modules' modes), and
    programs are made anew where one has changed. Buffers that the module itself updates, such as
    the statistics of batch norm, are updated in the module.

    Args:
        source: A module, or a program of `torch.export`.
        keywords: Those of `dlc.compile`.

    Raises:
        ModelError: At a call or in `lower`: torch.export cannot follow the module, or there are
            operators that dlc does not know; all of them are listed.
    """

    __slots__ = ()

    def __init__(self, source: Any, **keywords: Any) -> None:
        self.source = getattr(source, "_orig_mod", source)  # of what torch.compile made
        function: Any = _function_of(self)
        compiled: Any = dlc.compile(function, **keywords)
        super().__init__(function, compiled.settings, _Arguments(function, (), ()))
        self._changed: str | None = None
        self._exported: dict[Any, Graph] = {}
        self._graphs: dict[Any, Graph] = {}  # for what each program is specialised for
        self._state = State(self.source)

    def _python_call(self, *args: Any, **kwargs: Any) -> Any:
        if self.settings.disable or current_trace() is not None:
            return self._direct(args, kwargs)
        self._refresh()
        call = self.signature.take(args, kwargs)
        specialisation = self._find(call)
        made, _ = self._graphs[specialisation.key, specialisation.extents.key]
        if made.draws:
            self._state.seed()
        given, held = call.given, set(map(address_of, call.values))
        self._stats.python_calls += 1
        result = self._run(specialisation, call)
        if made.updates:
            self._state.hand_back()
        if not any(map(_is_torch, given)):
            return result
        held |= self._state.held
        return _as_torch(made, result, held)

    def _direct(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = tree.map(lambda x: dlc.asarray(array_of(x)) if _is_torch(x) else x, (args, kwargs))
        return super()._direct(*given)

    def _find(self, call: Call) -> Specialisation:
        found = super()._find(call)
        _, guards = self._graphs[found.key, found.extents.key]
        if guards.hold(call.shapes):
            return found
        family = self._family(call)  # PyTorch decided by the extents: these have another graph
        with family.lock:
            extents = Extents.constant(call.shapes)
            for s in family.programs:
                if s.extents.patterns == extents.patterns and s.closure.guards_hold():
                    return s
            self._changed = "torch.export has another graph for these extents"
            return self._specialise(family, call, extents, call.shapes)

    def _trace(self, call: Call, extents: Extents) -> Closure:
        self._refresh()
        own = _Tracing({} if extents.fixed_names else extents.values)
        token = _tracing.set(own)
        try:
            closure = super()._trace(call, extents)
        finally:
            _tracing.reset(token)
        assert own.graph is not None
        self._graphs[call.key, extents.key] = own.graph
        return closure

    def _reason(self, family: Family, key: CallKey, shapes: tuple[Any, ...]) -> str:
        reason, self._changed = self._changed, None
        return reason or super()._reason(family, key, shapes)

    def saved_programs(self) -> list[tuple[CallKey, Closure]]:
        """What `save` writes without specs: the programs of the module as it is now."""
        self._refresh()
        return super().saved_programs()

    def _refresh(self) -> None:
        """Forgets what was made of a module that has changed since."""
        changed = self._state.changed()
        if changed is not None:
            if changed is Change.MODULE:
                self._exported = {}
            self._changed, self._graphs = changed.value, {}
            self._forget()
        self._state.fetch()

    def compute(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the module computes of dlc's tensors."""
        own = _tracing.get()
        made, guards = self._graph(args, kwargs, {} if own is None else own.sizes)
        if own is not None:
            own.graph = made, guards
        elif made.updates or made.draws:
            state = [*made.updates, *(["the random state"] if made.draws else [])]
            raise ModelError(
                f"{self.name} updates {', '.join(state)} inside of another function",
                hint="call it by itself, or after module.eval()",
            )
        values = made.values_of(args, kwargs) | made.held
        for node, name in made.state.items():
            if name in made.updates:
                values[node] = self._state.variable(name)
            elif node.users:
                values[node] = self._state.constant(name, made.constants, lend=own is not None)
        run_nodes(made.nodes, values, self._state.next_key() if made.draws else None)
        for name, node in made.updates.items():
            self._state.variable(name).assign(values[node])
        return made.plain([values[n] if is_node(n) else n for n in made.outputs])

    def _graph(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], sizes: Mapping[str, int]
    ) -> Graph:
        leaves, structure = tree.flatten((args, kwargs))
        key = (structure, tuple(map(_form, leaves)))
        found = self._exported.get(key)
        if found is None:
            found = exported(self.source, args, kwargs, sizes)
            while len(self._exported) >= _MAX_EXPORTED:
                del self._exported[next(iter(self._exported))]
            self._exported[key] = found
        return found


class _Arguments(Signature):
    """The arguments of a module: tensors are data, all others are constants of a program."""

    def split(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any], dict[Any, Any]]:
        """Arguments with None in the place of those that are no data, and those by place."""
        found: dict[Any, Any] = {k: v for k, v in enumerate(args) if _is_constant(v)}
        found |= {k: v for k, v in kwargs.items() if _is_constant(v)}
        if not self.static.issuperset(found):
            self.static |= found.keys()
        return super().split(args, kwargs)

    def _leaf(self, x: Any, structure: Structure, k: int) -> tuple[Any, LeafKey]:
        if not _is_torch(x):
            return super()._leaf(x, structure, k)
        import torch

        if x.requires_grad and torch.is_grad_enabled():
            raise ArgumentError(
                f"{self.name}: {self.leaf_names(structure)[k]} requires a gradient, and results "
                "of a module that dlc.compile was given have none",
                hint="torch.compile(module, backend='dlc') has gradients; otherwise call it under "
                "torch.no_grad()",
            )
        return super()._leaf(array_of(x), structure, k)


def _function_of(model: TorchModel) -> Any:
    """The function that is traced, with the name and the parameters of the module."""

    def forward(*args: Any, **kwargs: Any) -> Any:
        return model.compute(args, kwargs)

    source: Any = model.source
    module = source.module() if isinstance(source, exported_program()) else source
    forward.__name__ = forward.__qualname__ = type(source).__name__
    with contextlib.suppress(TypeError, ValueError):
        forward.__signature__ = inspect.signature(module.forward)  # type: ignore[attr-defined]
    return forward


def _is_torch(x: Any) -> bool:
    return type(x).__module__.partition(".")[0] == "torch" and hasattr(x, "data_ptr")


def _is_constant(x: Any) -> bool:
    """Whether an argument has no data: numbers, flags, text, and tuples of such."""
    if isinstance(x, (bool, int, float, str)):
        return True
    leaves = [] if x is None or hasattr(x, "shape") else tree.leaves(x)
    return bool(leaves) and all(isinstance(v, (bool, int, float, str)) for v in leaves)


def _form(x: Any) -> Any:
    """What a graph depends on in an argument."""
    return (x.dtype, x.tensor.shape, x._weak) if isinstance(x, dlc.Tensor) else (type(x), x)


def _as_torch(made: Exported, result: Any, held: set[int]) -> Any:
    """Results as the module itself has them."""
    from torch.utils import _pytree as pytree

    leaves = list(made.outputs)
    for place, value in zip(made.order, tree.leaves(result), strict=True):
        node = leaves[place]
        if is_node(node):
            leaves[place] = tensor_of(value, held) if is_tensor(node) else value.item()
    return pytree.tree_unflatten(leaves, made.results)
