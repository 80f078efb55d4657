"""Functions that are called with modules: before and after calls, of gradients, of states."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import dlc
from dlc.frontend import tree
from dlc.ir.errors import ArgumentError

if TYPE_CHECKING:
    from dlc.nn.module import Module

Hook = Callable[..., Any]


def set_slot(module: Module, name: str, value: Any) -> None:
    """Sets what a module has besides its attributes."""
    object.__setattr__(module, name, value)


class HookHandle:
    """What registering a hook returns; `remove()` takes the hook away."""

    def __init__(self, module: Module, hooks: str, hook: Hook) -> None:
        self._module, self._hooks, self._hook = module, hooks, hook

    def remove(self) -> None:
        """Takes the hook away; again does nothing."""
        kept = tuple(h for h in getattr(self._module, self._hooks) if h is not self._hook)
        set_slot(self._module, self._hooks, kept)
        set_slot(self._module, "_token", object())


class Hooking:
    """The methods of modules that register hooks; a base of `dlc.nn.Module`."""

    __slots__ = ()

    if TYPE_CHECKING:
        _backward_hooks: tuple[Hook, ...]
        _backward_pre_hooks: tuple[Hook, ...]
        _load_hooks: tuple[Hook, ...]
        _state_hooks: tuple[Hook, ...]

    def register_forward_pre_hook(self, hook: Hook) -> HookHandle:
        """Calls `hook(module, args)` before each call; what it returns takes the place of args."""
        return self._register("_pre_hooks", hook)

    def register_forward_hook(self, hook: Hook) -> HookHandle:
        """Calls `hook(module, args, result)` after each call; it may return another result."""
        return self._register("_forward_hooks", hook)

    def register_full_backward_hook(self, hook: Hook) -> HookHandle:
        """Calls `hook(module, grad_input, grad_output)` when gradients have been computed.

        It gets tuples of NumPy arrays: the gradients of the inputs and of the results of a call,
        also from compiled programs, while they run. It is not called where nothing asks for the
        gradients of the inputs, as of a first layer; see `register_full_backward_pre_hook`.

        Raises:
            ArgumentError: (from the program) where it returns something: gradients cannot be
                replaced by it.

        Example:
            >>> layer, seen = dlc.nn.Linear(2, 1), []
            >>> handle = layer.register_full_backward_hook(lambda m, gi, go: seen.append(go))
            >>> _ = dlc.grad(lambda x: layer(x).sum())(dlc.ones((1, 2)))
            >>> seen
            [(array([[1.]], dtype=float32),)]
        """
        return self._register("_backward_hooks", hook)

    def register_full_backward_pre_hook(self, hook: Hook) -> HookHandle:
        """Calls `hook(module, grad_output)` with the gradients of the results of a call.

        As `register_full_backward_hook`, but before those of the inputs and parameters.
        """
        return self._register("_backward_pre_hooks", hook)

    def register_state_dict_post_hook(self, hook: Hook) -> HookHandle:
        """Calls `hook(module, state_dict, prefix, {})` at the end of `state_dict`.

        It may change the dict, or return another one. `prefix` is what the names of the module's
        parameters begin with, as the hook is called too when the state of a module above is asked
        for.
        """
        return self._register("_state_hooks", hook)

    def register_load_state_dict_pre_hook(self, hook: Hook) -> HookHandle:
        """Calls `hook(module, state_dict, prefix, {}, strict, [], [], [])` before loading.

        It may change the dict, which is a copy: rename old names, for instance.
        """
        return self._register("_load_hooks", hook)

    def _register(self, hooks: str, hook: Hook) -> HookHandle:
        module = cast("Module", self)
        set_slot(module, hooks, (*getattr(module, hooks), hook))
        set_slot(module, "_token", object())
        return HookHandle(module, hooks, hook)

    def _gated(self, args: tuple[Any, ...]) -> tuple[tuple[Any, ...], Callable[[Any], Any]]:
        """Arguments, and what results go through, so that backward hooks are told of gradients."""
        if not self._backward_hooks and not self._backward_pre_hooks:
            return args, _as_it_is
        module = cast("Module", self)._source or cast("Module", self)
        of_results: list[Any] = []

        def after(found: Sequence[Any]) -> None:
            of_results[:] = found
            for hook in self._backward_pre_hooks:
                _check(hook(module, tuple(found)))

        def before(found: Sequence[Any]) -> None:
            for hook in self._backward_hooks:
                _check(hook(module, tuple(found), tuple(of_results)))

        gated = _observed(args, before) if self._backward_hooks else args
        return gated, lambda result: _observed(result, after)

    def _after_state_dict(
        self, found: OrderedDict[str, dlc.Tensor], prefix: str
    ) -> OrderedDict[str, dlc.Tensor]:
        for path, module in cast("Module", self).named_modules():
            for hook in module._state_hooks:
                changed = hook(module, found, prefix + (f"{path}." if path else ""), {})
                found = found if changed is None else changed
        return found

    def _before_load_state_dict(self, state: Mapping[str, Any], strict: bool) -> Mapping[str, Any]:
        copied = OrderedDict(state)
        for path, module in cast("Module", self).named_modules():
            for hook in module._load_hooks:
                hook(module, copied, f"{path}." if path else "", {}, strict, [], [], [])
        return copied


def _as_it_is(x: Any) -> Any:
    return x


def _check(returned: Any) -> None:
    if returned is not None:
        raise ArgumentError(
            "a backward hook returned something: it cannot replace gradients",
            hint="use dlc.custom_vjp in the module",
        )


def _observed(values: Any, see: Callable[[Sequence[Any]], None]) -> Any:
    """A tree of the same tensors, of whose gradients a function is told when they are computed."""
    leaves, form = tree.flatten(values)
    places = [k for k, x in enumerate(leaves) if isinstance(x, dlc.Tensor) and x.dtype.is_float]
    if not places:
        return values

    @dlc.custom_vjp
    def same(*tensors: Any) -> Any:
        return tensors

    def backward(_kept: Any, gradients: Any) -> Any:
        dlc.debug.callback(lambda *found: see(found), *gradients)
        return gradients

    same.defvjp(lambda *tensors: (tensors, None), backward)
    for k, x in zip(places, same(*(leaves[k] for k in places)), strict=True):
        leaves[k] = x
    return tree.unflatten(form, leaves)
