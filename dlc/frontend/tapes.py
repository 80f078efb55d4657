"""Gradients of what was computed already: `GradientTape` and `Tensor.backward`.

Eagerly the graph is that of `dlc.frontend.history`; in a trace it is the trace itself. Either way
the part between the sources and the target becomes a function, is differentiated, and is run
compiled or inlined.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import numpy as np

from dlc.frontend import tree
from dlc.frontend.apply import apply, as_tensor, materialise
from dlc.frontend.context import current_trace
from dlc.frontend.history import History, Leaf, reached
from dlc.frontend.recorded_gradients import gradients_along, recorded_gradients
from dlc.frontend.recording import close_tape, open_tape, recording
from dlc.frontend.tensor import Array, Tensor, contiguous, functions, make
from dlc.frontend.trace import Trace
from dlc.frontend.transforms import like_value
from dlc.frontend.variable import Variable
from dlc.ir.build import IRBuilder
from dlc.ir.core import Function, Node
from dlc.ir.deferred import deferred
from dlc.ir.errors import ArgumentError, DerivativeError
from dlc.ir.types import DType
from dlc.runtime.places import may_be_elsewhere

if TYPE_CHECKING:
    from dlc.passes import autodiff
else:
    autodiff = deferred("dlc.passes.autodiff")

GraphNode = TypeVar("GraphNode", bound=Node | History)


def _reached(target: Node, stop: Callable[[Node], bool]) -> list[Node]:
    """The nodes that `target` is computed from, inputs first, no further than `stop` says."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack = [(target, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            if not stop(node):
                stack.extend((x, False) for x in reversed(node.inputs) if x not in seen)
    return order


def _all_reached(target: GraphNode) -> list[GraphNode]:
    """What a node of a trace or of the recorded graph is computed from, inputs first."""
    found: list[Any] = (
        _reached(target, lambda n: False) if isinstance(target, Node) else reached(target)
    )
    return found


def _function_between(
    sources: Sequence[Node], target: Node, is_input: Callable[[Node], bool]
) -> tuple[Function, list[Node]]:
    """The function from `sources` and the other inputs that it needs to `target`; those inputs."""
    cut = set(sources)
    b = IRBuilder()
    new: dict[Node, Node] = {s: b.param(s.tensor) for s in sources}
    others: list[Node] = []
    depends = set(sources)
    for n in _reached(target, lambda n: n in cut or is_input(n)):
        if n in new:
            continue
        if any(x in depends for x in n.inputs):
            depends.add(n)
        if is_input(n) and n not in depends:
            new[n] = b.param(n.tensor)
            others.append(n)
            continue
        new[n] = Node(n.op, tuple(new[x] for x in n.inputs), n.attrs, n.type, n.loc, n.name)
        b.nodes.append(new[n])
    params = [new[s] for s in sources] + [new[o] for o in others]
    return b.function("backward", params, [new[target]]), others


def _with_those_below(
    gradients: Callable[[GraphNode, Sequence[GraphNode], Tensor], list[Tensor]],
    target: GraphNode,
    sources: Sequence[GraphNode],
    cotangent: Tensor,
) -> list[Tensor]:
    """The gradients with respect to nodes, of which some may be computed from others.

    Args:
        gradients: Gives those that do not go through another of the nodes.
        target: What is differentiated.
        sources: The nodes.
        cotangent: Of the target.
    """
    total = dict(zip(sources, gradients(target, sources, cotangent), strict=True))
    inner = {s for s in sources if s.inputs}
    for s in reversed(_all_reached(target)) if inner else ():
        if s not in inner:
            continue
        under = set(_all_reached(s)) - {s}
        below = [x for x in sources if x in under]
        if below:
            for x, g in zip(below, gradients(s, below, total[s]), strict=True):
                total[x] = functions.add(total[x], g)
    return list(total.values())


def _traced_gradients(
    trace: Trace, target: Node, sources: Sequence[Node], cotangent: Tensor
) -> list[Tensor]:
    """The gradients with respect to nodes of the present trace."""
    dependent = _dependent(sources, target)
    function, others = _function_between(sources, target, lambda n: n not in dependent)
    derived = autodiff.vjp_function(function, range(len(sources)), [0])
    results = trace.inline(derived, [*sources, *others, cotangent._node_in(trace)])
    return [make(None, n, trace) for n in results[1:]]


def _dependent(sources: Sequence[Node], target: Node) -> set[Node]:
    found = set(sources)
    cut = frozenset(sources)
    for n in _reached(target, lambda n: n in cut):
        if any(x in found for x in n.inputs):
            found.add(n)
    return found


def _seed(target: Tensor, cotangent: Any, what: str) -> Tensor:
    """The cotangent of `target`: 1 for a scalar when none is given."""
    held = target.tensor
    if not held.dtype.is_float:
        raise DerivativeError(f"{what} of {held}: only floats have gradients")
    if cotangent is not None:
        return like_value(cotangent, target, "the gradient given")
    if held.shape:
        raise DerivativeError(
            f"{what} of {held}, which is no scalar",
            hint="reduce it first, for example with .sum() or .mean(), or give the gradient of it",
        )
    if current_trace() is None and not may_be_elsewhere():
        return make(_one(held.dtype))
    return apply("full", value=1.0, shape=(), dtype=held.dtype)


@functools.cache
def _one(dtype: DType) -> Array:
    return np.ones((), dtype.numpy)


# backward


def backward(target: Tensor, gradient: Any = None) -> None:
    """Adds the gradients of `target` to variables with `requires_grad`; see `Tensor.backward`."""
    trace = current_trace()
    target = materialise(target)
    with recording(enabled=False):
        seed = _seed(target, gradient, "backward")
        if trace is not None:
            _backward_traced(trace, target, seed)
        else:
            _backward_recorded(target, seed)


def _no_dependence(target: Tensor) -> DerivativeError:
    if target._trace is not None and target._trace is not current_trace():
        return DerivativeError(
            f"backward of {target.tensor} in a branch or a loop, which was computed outside of it",
            hint="compute it in there too, or use dlc.value_and_grad",
        )
    return DerivativeError(
        f"backward of {target.tensor}, which was computed from no variable with requires_grad",
        hint="make it with dlc.Variable(value, requires_grad=True), and compute outside of no_grad",
    )


def _backward_recorded(target: Tensor, seed: Tensor) -> None:
    if target._history is None or not target._history.persistent:
        raise _no_dependence(target)
    order = reached(target._history)
    found: dict[History, Variable] = {}
    for h in order:
        variable = h.owner if isinstance(h, Leaf) else None
        if variable is not None and variable.requires_grad:
            found[h] = variable
    if not found:
        raise _no_dependence(target)
    gradients = gradients_along(order, list(found), seed, persistent=False)
    for variable, g in zip(found.values(), gradients, strict=True):
        old = variable._grad
        variable._grad = g if old is None else functions.add(old, g)


def _backward_traced(trace: Trace, target: Tensor, seed: Tensor) -> None:
    node = target._node_in(trace)
    below = set(_all_reached(node))
    found = [
        (n, v)
        for v, leaves in trace.leaves.items()
        if v.requires_grad
        for n in leaves
        if n in below
    ]
    if not found:
        raise _no_dependence(target)
    gradients = _traced_gradients(trace, node, [n for n, _ in found], seed)
    for (_, variable), g in zip(found, gradients, strict=True):
        old = variable.grad
        variable.grad = g if old is None else functions.add(old, g)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of what was computed, without a change of any `.grad`.

    As `torch.autograd.grad`, for gradients within a loss, eagerly and in compiled functions.
    `dlc.grad` is the transform of a function.

    Args:
        outputs: A tensor computed from variables with `requires_grad`, or several, which are added.
        inputs: Variables, or tensors that were computed on the way; or one. In compiled functions
            any tensor.
        grad_outputs: The cotangent of each output; None for scalars.
        retain_graph: Taken for PyTorch's sake: the graph lives as long as the outputs.
        create_graph: Whether the gradients are differentiated in their turn, by `backward` or
            again; else they are constants.
        allow_unused: Whether an input may be one that the outputs do not depend on.

    Returns:
        One for each input; None for one that the outputs do not depend on.

    Raises:
        DerivativeError: for an output that is no scalar and has no cotangent, and, unless
            `allow_unused`, for an input that the outputs do not depend on.

    Example:
        >>> x = dlc.Variable(3.0, requires_grad=True)
        >>> (slope,) = dlc.autograd.grad(x**3, x, create_graph=True)
        >>> slope.backward()
        >>> slope.item(), x.grad.item()
        (27.0, 18.0)
    """
    del retain_graph
    targets, sources = _several(outputs), _several(inputs)
    cotangents = [None] * len(targets) if grad_outputs is None else _several(grad_outputs)
    if len(cotangents) != len(targets):
        raise ArgumentError(f"grad of {len(targets)} outputs, with {len(cotangents)} grad_outputs")
    tape = GradientTape()
    total: list[Tensor | None] = [None] * len(sources)
    with recording(enabled=None if create_graph else False):
        for target, cotangent in zip(map(as_tensor, targets), cotangents, strict=True):
            seed = _seed(target, cotangent, "grad")
            for k, g in enumerate(tape._gradients(target, sources, seed, persistent=True)):
                old = total[k]
                total[k] = g if old is None or g is None else functions.add(old, g)
    for k, g in enumerate(total):
        if g is None and not allow_unused:
            raise DerivativeError(
                f"grad: the outputs do not depend on input {k}, {as_tensor(sources[k]).tensor}",
                hint="make it with dlc.Variable(value, requires_grad=True) before they are "
                "computed, outside of no_grad; allow_unused=True gives None",
            )
    return tuple(g if create_graph or g is None else functions.stop_gradient(g) for g in total)


def _several(given: Any) -> list[Any]:
    return list(given) if isinstance(given, (list, tuple)) else [given]


# tapes


class GradientTape:
    """Records what is computed from variables, and gives gradients of it.

    Variables are watched as soon as they are used, other tensors when `watch` is called.

    Args:
        persistent: Whether `gradient` may be called more than once.
        watch_accessed_variables: Whether variables are watched without `watch`.

    Example:
        >>> w = dlc.Variable(3.0)
        >>> with GradientTape() as tape:
        ...     loss = w * w
        >>> tape.gradient(loss, w)
        Tensor(6., dtype=float32)
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True) -> None:
        self._persistent = persistent
        self._automatic = watch_accessed_variables
        self._watched: dict[int, tuple[Tensor, Node | History]] = {}
        self._token: Any = None
        self._used = False

    def __enter__(self) -> Self:
        self._token = open_tape()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop_recording()

    def stop_recording(self) -> None:
        """Ends recording before the end of the `with`."""
        if self._token is not None:
            close_tape(self._token)
            self._token = None

    def watch(self, tensor: Any) -> None:
        """Makes a tensor, or each of a tree, something that gradients can be asked for.

        Raises:
            ArgumentError: for what is no tensor.
        """
        for x in tree.leaves(tensor):
            if not isinstance(x, Tensor):
                raise ArgumentError(f"watch of a {type(x).__name__}: it takes tensors")
            trace = current_trace()
            if trace is not None:
                self._watched[id(x)] = (x, x._node_in(trace))
                continue
            if x._history is None:
                if isinstance(x, Variable):
                    x._watch()
                elif x._data is not None:
                    x._history = Leaf(contiguous(x._data), False)
            if x._history is not None:
                self._watched[id(x)] = (x, x._history)

    def gradient(
        self,
        target: Any,
        sources: Any,
        output_gradients: Any = None,
        unconnected_gradients: Literal["none", "zero"] = "none",
    ) -> Any:
        """The gradients of `target` with respect to `sources`.

        Args:
            target: A tensor; several in a list are added up.
            sources: Variables and watched tensors, or a tree of them.
            output_gradients: The cotangent of the target; ones when not given.
            unconnected_gradients: What a source gives that the target does not depend on: None or
                zeros.

        Returns:
            A tree like `sources`.

        Raises:
            DerivativeError: on the second call, unless the tape is persistent.
        """
        if self._used and not self._persistent:
            raise DerivativeError(
                "gradient was called a second time on a tape that is not persistent",
                hint="write GradientTape(persistent=True)",
            )
        self._used = True
        given, structure = tree.flatten(sources)
        targets = tree.leaves(target)
        cotangents = (
            [None] * len(targets) if output_gradients is None else tree.leaves(output_gradients)
        )
        total: list[Tensor | None] = [None] * len(given)
        for t, ct in zip(targets, cotangents, strict=True):
            for k, g in enumerate(self._gradients(as_tensor(t), given, ct)):
                old = total[k]
                total[k] = g if old is None else old if g is None else functions.add(old, g)
        if unconnected_gradients == "zero":
            total = [g if g is not None else _zeros(s) for g, s in zip(total, given, strict=True)]
        return tree.unflatten(structure, total)

    def _gradients(
        self, target: Tensor, sources: Sequence[Any], cotangent: Any, persistent: bool = False
    ) -> list[Tensor | None]:
        target = materialise(target)
        if cotangent is None:
            held = target.tensor
            if not held.dtype.is_float:
                raise DerivativeError(f"gradient of {held}: only floats have gradients")
            seed = apply("full", value=1.0, shape=held.shape, dtype=held.dtype)
        else:
            seed = _seed(target, cotangent, "gradient")
        trace = current_trace()
        if trace is not None:
            node = target._node_in(trace)
        elif target._history is not None:
            node = target._history
        else:
            return [None] * len(sources)
        below = set(_all_reached(node))
        nodes = [[n for n in self._nodes_of(s, trace, below) if n in below] for s in sources]
        flat = [n for group in nodes for n in group]
        if not flat:
            return [None] * len(sources)
        unique = list(dict.fromkeys(flat))
        if trace is not None:
            way = partial(_traced_gradients, trace)
        else:
            way = partial(recorded_gradients, persistent=persistent)
        found = _with_those_below(way, node, unique, seed)
        by_node = dict(zip(unique, found, strict=True))
        return [_added([by_node[n] for n in group]) for group in nodes]

    def _nodes_of(self, source: Any, trace: Trace | None, below: set[Any]) -> list[Any]:
        """The nodes that a source is in the graph, of which some are below the target."""
        if not isinstance(source, Tensor):
            raise ArgumentError(
                f"gradient with respect to a {type(source).__name__}: sources are tensors"
            )
        if id(source) in self._watched:
            return [self._watched[id(source)][1]]
        if isinstance(source, Variable):
            if not self._automatic and not source.requires_grad:
                return []
            if trace is not None:
                return trace.leaves.get(source, [])
            return [h for h in below if isinstance(h, Leaf) and h.owner is source]
        if trace is not None:
            return [source._node_in(trace)]
        return [] if source._history is None else [source._history]


def _added(gradients: Sequence[Tensor]) -> Tensor | None:
    total: Tensor | None = None
    for g in gradients:
        total = g if total is None else functions.add(total, g)
    return total


def _zeros(source: Tensor) -> Tensor:
    held = source.tensor
    return apply("full", value=0, shape=held.shape, dtype=held.dtype)
