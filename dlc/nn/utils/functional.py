"""Calling a module with other parameters than its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import dlc
from dlc.ir.errors import ArgumentError, ShapeError, ValueRangeError, nearest
from dlc.nn.module import Module
from dlc.nn.module_form import with_values
from dlc.nn.walking import variables

_ASSIGNS: Final = ("assign", "assign_add", "assign_sub", "data")


def functional_call(
    module: Module,
    values: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    strict: bool = False,
) -> Any:
    """The result of a module with other values in the place of its parameters and buffers.

    The module stays as it is, so that parameters are an argument of the function of a loss: of
    `dlc.grad`, or with a further axis of `dlc.vmap`. It is `torch.func.functional_call`.

    Args:
        module: The module.
        values: Tensors by the names of parameters and buffers, as `state_dict` has them; or several
            such dicts. What is not named keeps its own value. A buffer that the module assigns to,
            as batch norm's in training, must be a `dlc.Variable`, which then changes.
        args: The arguments of the module: a tuple, or one that is none.
        kwargs: Arguments by name.
        strict: Whether each parameter and buffer must be named.

    Returns:
        What the module returns.

    Raises:
        ArgumentError: `values` is no dict, or a layer assigns to a buffer that it names.
        ValueRangeError: A name is not known, or with `strict` missing, or there twice.
        ShapeError: A value has another shape than what it stands for.

    Example:
        >>> layer = dlc.nn.Linear(2, 1)
        >>> values = {"weight": dlc.ones((1, 2)), "bias": dlc.zeros(1)}
        >>> loss = lambda v, x: nn.utils.functional_call(layer, v, x).sum()
        >>> dlc.grad(loss)(values, dlc.asarray([[3.0, 4.0]]))["weight"]
        Tensor([[3., 4.]], dtype=float32)
    """
    held = _joined(values)
    own = dict(variables(module, ""))
    unknown = [n for n in held if n not in own]
    if unknown:
        raise ValueRangeError(
            f"functional_call: {type(module).__name__} has no parameter or buffer {unknown[0]!r}",
            hint=nearest(unknown[0], own),
        )
    missing = [n for n in own if n not in held] if strict else []
    if missing:
        raise ValueRangeError(f"functional_call: there is no value for {', '.join(missing)}")
    for name, value in held.items():
        if tuple(value.shape) != tuple(own[name].shape):
            raise ShapeError(
                f"functional_call: {name} is of shape {tuple(own[name].shape)}, and the value of "
                f"shape {tuple(value.shape)}"
            )
    given = args if isinstance(args, tuple) else (args,)
    made = with_values(module, {id(own[n]): v for n, v in held.items()})
    try:
        return made(*given, **(kwargs or {}))
    except AttributeError as error:
        written = [n for n, v in held.items() if v is error.obj and error.name in _ASSIGNS]
        if not written:
            raise
        raise ArgumentError(
            f"functional_call: the module assigns to {written[0]}, and a tensor never changes",
            hint="give a dlc.Variable for it, leave it out, or call module.eval() first",
        ) from None


def _joined(values: Any) -> dict[str, Any]:
    """The values by name, as tensors, of one dict or of several."""
    found: dict[str, Any] = {}
    for part in values if isinstance(values, (list, tuple)) else [values]:
        if not isinstance(part, Mapping):
            raise ArgumentError(
                f"functional_call: the values are a {type(part).__name__}, and must be a dict",
                hint="dict(module.named_parameters()) has the module's own",
            )
        for name, value in part.items():
            if name in found:
                raise ValueRangeError(f"functional_call: {name!r} is in two of the dicts")
            is_held = isinstance(value, (dlc.Tensor, dlc.Variable))
            found[name] = value if is_held else dlc.asarray(value)
    return found
