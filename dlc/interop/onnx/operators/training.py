"""Steps of optimizers, and gradients, as operators of a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dlc
from dlc.interop.onnx.evaluation import Scope, run_nodes
from dlc.interop.onnx.operator_table import operator
from dlc.interop.onnx.values import as_tensor
from dlc.ir.errors import ModelError

_DOMAIN = "ai.onnx.preview.training"


def _each(inputs: tuple[Any, ...], parts: int, step: Callable[..., tuple[Any, ...]]) -> Any:
    """A step for each parameter: inputs are all first parts, then all second ones, and so on."""
    count = len(inputs) // parts
    groups = [inputs[k * count : (k + 1) * count] for k in range(parts)]
    results = [step(*one) for one in zip(*groups, strict=True)]
    return tuple(r[k] for k in range(len(results[0])) for r in results)


@operator("Adagrad", domain=_DOMAIN)
def adagrad(node: Any, rate: Any, count: Any, *inputs: Any) -> Any:
    """A step of Adagrad."""
    rate = rate / (1 + count * node.attr("decay_factor", 0.0))
    norm, eps = node.attr("norm_coefficient", 0.0), node.attr("epsilon", 0.0)

    def step(x: Any, g: Any, h: Any) -> tuple[Any, ...]:
        g = g + norm * x
        h = h + g * g
        return dlc.astype(x - rate * g / (dlc.sqrt(h) + eps), x.dtype), h

    return _each(inputs, 3, step)


@operator("Adam", domain=_DOMAIN)
def adam(node: Any, rate: Any, count: Any, *inputs: Any) -> Any:
    """A step of Adam."""
    a, b = node.attr("alpha", 0.9), node.attr("beta", 0.999)
    norm, after = node.attr("norm_coefficient", 0.0), node.attr("norm_coefficient_post", 0.0)
    eps = node.attr("epsilon", 0.0)
    n = dlc.astype(count, dlc.float32)
    corrected = rate * dlc.sqrt(1 - dlc.pow(b, n)) / (1 - dlc.pow(a, n))
    rate = dlc.where(n > 0, corrected, rate)

    def step(x: Any, g: Any, v: Any, h: Any) -> tuple[Any, ...]:
        g = g + norm * x
        v = a * v + (1 - a) * g
        h = b * h + (1 - b) * g * g
        new = (1 - after) * (x - rate * v / (dlc.sqrt(h) + eps))
        return dlc.astype(new, x.dtype), v, h

    return _each(inputs, 4, step)


@operator("Momentum", domain=_DOMAIN)
def momentum(node: Any, rate: Any, count: Any, *inputs: Any) -> Any:
    """A step of gradient descent with momentum."""
    a, b, norm = node.attr("alpha"), node.attr("beta"), node.attr("norm_coefficient")
    nesterov = node.attr("mode") == "nesterov"
    b = dlc.where(count > 0, b, 1.0)

    def step(x: Any, g: Any, v: Any) -> tuple[Any, ...]:
        g = g + norm * x
        v = a * v + b * g
        return dlc.astype(x - rate * (g + a * v if nesterov else v), x.dtype), v

    return _each(inputs, 3, step)


@operator("Gradient", domain=_DOMAIN)
def gradient(node: Any, *_inputs: Any) -> Any:
    """The gradient of a value of the graph with respect to others.

    Raises:
        ModelError: The value does not depend on them.
    """
    return gradients(node, node.attr("y"), node.attr("xs"))


def gradients(node: Any, of: str, names: list[str]) -> Any:
    """The gradients, by running again the nodes that lead from some values to one."""
    scope = node.scope
    if of not in scope:
        raise ModelError(f"Gradient of {of!r}, which is not computed before")
    reached, path = set(names), []
    for n in scope.done:
        if reached.intersection(n.uses) and not reached.intersection(n.outputs):
            path.append(n)
            reached.update(n.outputs)

    def value(*xs: Any) -> Any:
        inner = Scope(dict(zip(names, xs, strict=True)), scope)
        run_nodes(path, inner)
        return inner[of]

    y, pull = dlc.vjp(value, *(as_tensor(scope[n]) for n in names))
    return tuple(pull(dlc.ones(y.shape, dtype=y.dtype)))
