"""`LossScaler`: gradients of float16 that do not vanish, by a larger loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import dlc
from dlc.frontend.apply import as_tensor, wide
from dlc.frontend.context import current_trace
from dlc.frontend.trace import eager
from dlc.frontend.variable_state import assign_state
from dlc.ir.errors import ArgumentError, ValueRangeError
from dlc.optim.optimizer import Optimizer


class LossScaler:
    """Scales a loss so that gradients of float16 are numbers, and gradients back; PyTorch's terms.

    The scale grows as long as all gradients are finite. The step of an optimizer with others is
    left out, and makes it smaller (Micikevicius et al., "Mixed precision training", 2018). It is a
    variable, so that a training step may be compiled.

        scaler = dlc.optim.LossScaler()
        with dlc.autocast(dlc.float16):
            loss = ...
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    With `GradientTape` and `grad`, take the gradients of `scaler.scale(loss)`, and give them to
    `scaler.apply_gradients(optimizer, zip(gradients, variables))` in the place of `step`.

    Args:
        init_scale: The first scale.
        growth_factor: What it is multiplied by after a time of finite gradients.
        backoff_factor: What it is multiplied by after others.
        growth_interval: How many steps make that time.
        enabled: False makes all methods do as if there were no scaler.

    Raises:
        ValueRangeError: for a number out of range.

    Example:
        >>> w = dlc.Variable(1.0, requires_grad=True)
        >>> optimizer, scaler = dlc.optim.SGD([w], lr=0.5), dlc.optim.LossScaler(1024.0)
        >>> scaler.scale(w * 3.0).backward()
        >>> scaler.step(optimizer)
        >>> scaler.update()
        >>> w.item(), scaler.get_scale()
        (-0.5, 1024.0)
    """

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if not (init_scale > 0 and growth_factor > 1 and 0 < backoff_factor < 1):
            raise ValueRangeError(
                f"LossScaler(init_scale={init_scale}, growth_factor={growth_factor}, "
                f"backoff_factor={backoff_factor}): above 0, above 1, and between 0 and 1"
            )
        if growth_interval < 1:
            raise ValueRangeError(f"LossScaler(growth_interval={growth_interval}): from 1 on")
        self.growth_factor, self.backoff_factor = growth_factor, backoff_factor
        self.growth_interval, self.enabled = growth_interval, enabled
        self._scale = dlc.Variable(dlc.asarray(init_scale, dtype=dlc.float32), name="scale")
        self._steps = dlc.Variable(dlc.asarray(0, dtype=dlc.int32), name="growth_tracker")
        self._finite = dlc.Variable(dlc.asarray(True), name="finite")
        self._finite_of: WeakKeyDictionary[Optimizer, dlc.Variable] = WeakKeyDictionary()
        self._unscaled: set[int] = set()

    def scale(self, loss: Any) -> Any:
        """The loss, or a tree of them, times the scale, at float32."""
        if not self.enabled:
            return loss
        return dlc.tree.map(lambda x: wide(x) * self._scale, loss)

    def unscale(self, gradients: Any) -> Any:
        """A tree of gradients of a scaled loss as those of the loss; None stays.

        Whether all are finite is kept for `step` and `update`.
        """
        return self._unscale(gradients)[0] if self.enabled else gradients

    def _unscale(self, gradients: Any) -> tuple[Any, Any]:
        """Gradients of the loss, and whether all of them are finite."""
        inverse = 1.0 / self._scale.value()
        leaves, structure = dlc.tree.flatten(gradients)
        finite = dlc.asarray(True)
        for x in leaves:
            finite = dlc.logical_and(finite, dlc.all(dlc.isfinite(as_tensor(x))))
        self._finite.assign(dlc.logical_and(self._finite.value(), finite))
        scaled = [wide(x) * inverse for x in leaves]
        return dlc.tree.unflatten(structure, scaled), finite

    def unscale_(self, optimizer: Optimizer) -> None:
        """Brings the gradients (`grad`) of an optimizer's parameters back, to be clipped.

        Raises:
            ArgumentError: It has been done since the last `update`.
        """
        if not self.enabled:
            return
        if id(optimizer) in self._unscaled:
            raise ArgumentError(
                "unscale_ of an optimizer twice", hint="call update() once after each step"
            )
        self._unscaled.add(id(optimizer))
        parameters = [v for v in optimizer.parameters if v.grad is not None]
        gradients, finite = self._unscale([v.grad for v in parameters])
        for v, g in zip(parameters, gradients, strict=True):
            v.grad = dlc.astype(g, v.dtype)
        if optimizer not in self._finite_of:
            with eager():  # it outlives the program that is being traced
                self._finite_of[optimizer] = dlc.Variable(dlc.asarray(True), name="finite")
        self._finite_of[optimizer].assign(finite)

    def step(self, optimizer: Optimizer) -> None:
        """`optimizer.step()` by the gradients brought back; nothing where one is not finite."""
        if not self.enabled:
            optimizer.step()
            return
        if id(optimizer) not in self._unscaled:
            self.unscale_(optimizer)
        self._if(self._finite_of[optimizer].value(), optimizer.step)

    def apply_gradients(
        self, optimizer: Optimizer, grads_and_vars: Iterable[tuple[Any, dlc.Variable]]
    ) -> None:
        """`optimizer.apply_gradients` of gradients of a scaled loss; nothing if one is not finite.

        Args:
            optimizer: The optimizer.
            grads_and_vars: Gradients and variables in pairs; a gradient that is None is left out.
        """
        pairs = [(g, v) for g, v in grads_and_vars if g is not None]
        if not self.enabled:
            optimizer.apply_gradients(pairs)
            return
        gradients, finite = self._unscale([g for g, _ in pairs])
        variables = [v for _, v in pairs]
        optimizer.build(variables)
        self._if(finite, lambda: optimizer.apply(gradients, variables))

    def _if(self, finite: Any, run: Callable[[], Any]) -> None:
        if current_trace() is not None:
            dlc.cond(finite, lambda: (run(), None)[1], lambda: None)
        elif finite.item():
            run()

    def update(self) -> None:
        """Makes the scale larger or smaller, for the next step."""
        if not self.enabled:
            return
        finite, steps = self._finite.value(), self._steps.value() + 1
        grown = steps >= self.growth_interval
        scale = self._scale.value()
        larger = scale * self.growth_factor
        larger = dlc.where(dlc.logical_and(grown, dlc.isfinite(larger)), larger, scale)
        self._scale.assign(dlc.where(finite, larger, scale * self.backoff_factor))
        kept = dlc.where(dlc.logical_or(grown, dlc.logical_not(finite)), 0, steps)
        self._steps.assign(dlc.astype(kept, dlc.int32))
        self._finite.assign(dlc.asarray(True))
        self._unscaled.clear()

    def get_scale(self) -> float:
        """The scale at present, a number; 1 where the scaler is not enabled."""
        return self._scale.item() if self.enabled else 1.0

    def is_enabled(self) -> bool:
        """Whether losses are scaled."""
        return self.enabled

    def state_dict(self) -> dict[str, dlc.Tensor]:
        """The scale, and the number of steps since it changed."""
        return {k: v.value() for k, v in self._state().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what `state_dict` gave.

        Raises:
            ValueRangeError: for a state that does not fit.
        """
        hint = "give what state_dict of a LossScaler returned"
        assign_state("LossScaler", "scaler", self._state(), state, hint)

    def _state(self) -> dict[str, dlc.Variable]:
        return {"scale": self._scale, "growth_tracker": self._steps}
