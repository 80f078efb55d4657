"""Looking at the calls of a model's modules for a while, without a trace left behind."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any


@contextlib.contextmanager
def watched(
    model: Any,
    after: Callable[[str, Any, Any], None],
    before: Callable[[str, Any], None] | None = None,
) -> Generator[None]:
    """Calls functions before and after each call of a module below a model, and of the model.

    Programs that were compiled for the model are as good after it as they were before.

    Args:
        model: A module of `dlc.nn`.
        after: Called with the path, the module, and what it gave.
        before: Called with the path and the module.
    """
    found = list(model.named_modules())
    tokens = [(m, m._token) for _, m in found]
    handles: list[Any] = []
    for path, module in found:
        if before is not None:
            handles.append(
                module.register_forward_pre_hook(lambda m, _, p=path: _nothing(before(p, m)))
            )
        handles.append(
            module.register_forward_hook(lambda m, _, result, p=path: _nothing(after(p, m, result)))
        )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module, token in tokens:
            object.__setattr__(module, "_token", token)


def _nothing(_: None) -> None:
    """Hooks of modules that return something replace a value."""
