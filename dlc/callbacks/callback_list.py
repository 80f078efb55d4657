"""`CallbackList`: the callbacks of a fit, and who of them wants which hook."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from typing import Any

from dlc.callbacks.base import HOOKS, Callback, Hook, Logs
from dlc.callbacks.history import History
from dlc.ir.errors import ArgumentError

_NAMES = {
    "on_train_batch_begin": ("on_train_batch_begin", "on_batch_begin"),
    "on_train_batch_end": ("on_train_batch_end", "on_batch_end"),
}


class CallbackList:
    """Callbacks that are called one after the other; its own hooks call theirs.

    Args:
        callbacks: Callbacks, or a list that was made before.
        add_history: Whether a `History` is called last, which is then the attribute `history` of
            the list; where one is among the callbacks, that is it.
        model: The model that is trained, if it is known.
        params: What callbacks are told of how training was called.

    Raises:
        ArgumentError: for what is no callback.

    Example:
        >>> hooks = dlc.callbacks.CallbackList(add_history=True, epochs=1)
        >>> hooks.on_epoch_end(0, {"loss": 0.5})
        >>> hooks.history.history
        {'loss': [0.5]}
    """

    def __init__(
        self,
        callbacks: Iterable[Callback] | CallbackList | None = None,
        add_history: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        given = callbacks.callbacks if isinstance(callbacks, CallbackList) else callbacks
        self.callbacks: list[Callback] = []
        self._order: list[Callback] = []  # in which they are called
        self.model, self.params = model, params
        for callback in [given] if isinstance(given, Callback) else given or ():
            self.append(callback)
        found = [c for c in self.callbacks if isinstance(c, History)]
        self.history = found[0] if found else History() if add_history else None
        if self.history is not None and not found:
            self.append(self.history)

    def append(self, callback: Callback) -> None:
        """Adds a callback, which is called after the others."""
        if not isinstance(callback, Callback):
            raise ArgumentError(
                f"the class {callback.__name__} is no callback"
                if isinstance(callback, type)
                else f"a {type(callback).__name__} is no callback",
                hint="give objects of subclasses of dlc.callbacks.Callback",
            )
        self.callbacks.append(callback)
        callback.set_params(self.params)
        if self.model is not None:
            callback.set_model(self.model)
        self._order = sorted(self.callbacks, key=_runs_last)

    def set_model(self, model: Any) -> None:
        """Tells the callbacks their model."""
        self.model = model
        for callback in self.callbacks:
            callback.set_model(model)

    def set_params(self, params: dict[str, Any]) -> None:
        """Tells the callbacks how training was called."""
        self.params = params
        for callback in self.callbacks:
            callback.set_params(params)

    @property
    def handles_nan(self) -> bool:
        """Whether any callback looks at losses that are NaN."""
        return any(c.handles_nan for c in self.callbacks)

    def wants(self, hook: str) -> bool:
        """Whether any callback defines a hook: those of batches cost time."""
        # Itself or by its classes; without functions of its own: beside short steps, these cost.
        for name in _NAMES.get(hook, (hook,)):
            inherited = getattr(Callback, name)
            for callback in self.callbacks:
                if getattr(type(callback), name) is not inherited or name in vars(callback):
                    return True
        return False

    def call(self, hook: str, *args: Any) -> None:
        """Calls a hook of all callbacks."""
        for callback in self._order:
            getattr(callback, hook)(*args)

    def __getattr__(self, name: str) -> Hook:
        if name not in HOOKS:
            raise AttributeError(f"a CallbackList has no {name!r}")
        numbered = "batch" in name or "epoch" in name

        def hook(*args: Any, logs: Logs | None = None) -> None:
            with_logs = len(args) > numbered
            self.call(name, *args) if with_logs else self.call(name, *args, logs or {})

        return hook

    def __iter__(self) -> Iterator[Callback]:
        return iter(self.callbacks)

    def __len__(self) -> int:
        return len(self.callbacks)


_runs_last = operator.attrgetter("runs_last")
