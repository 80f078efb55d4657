"""`suggesting`: what modules say of names that they have not, and other frameworks have."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from dlc.ir import errors
from dlc.ir.deferred import deferred

# Only where a name is wrong.
if TYPE_CHECKING:
    from dlc.frontend import elsewhere
else:
    elsewhere = deferred("dlc.frontend.elsewhere")


def suggesting(module: str) -> Callable[[str], Any]:
    """The `__getattr__` of a module: an error says what a name is here, or suggests the nearest.

    Example:
        >>> dlc.nn.NLLLoss2d
        Traceback (most recent call last):
        AttributeError: module 'dlc.nn' has no attribute 'NLLLoss2d'; it is dlc.nn.NLLLoss here
    """
    return errors.suggesting(module, partial(known, module))


def known(owner: str, name: str) -> str | None:
    """What an error says of a name that a module, or a "model", has not; None if nothing."""
    return elsewhere.known(owner, name)
