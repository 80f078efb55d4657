"""Gradients of what rows compute, for the backward operators of ATen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dlc


def gradients(
    function: Callable[..., Any], inputs: Sequence[Any], gradient: Any, wanted: Sequence[bool]
) -> tuple[Any, ...]:
    """The gradients of those inputs that are wanted; None for the others."""
    chosen = [k for k, w in enumerate(wanted) if w]

    def of_chosen(*values: Any) -> Any:
        whole = list(inputs)
        for k, v in zip(chosen, values, strict=True):
            whole[k] = v
        return function(*whole)

    _, pull = dlc.vjp(of_chosen, *(inputs[k] for k in chosen))
    found = iter(pull(gradient))
    return tuple(next(found) if w else None for w in wanted)


def gradient_of(function: Callable[[Any], Any], x: Any, gradient: Any) -> Any:
    """The gradient of a function of one tensor."""
    return gradients(function, [x], gradient, [True])[0]
