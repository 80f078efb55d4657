"""`suggesting`: what modules say of names that they have not, and other frameworks have."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from dlc.ir import errors
from dlc.ir.deferred import deferred

# Only where a name is wrong.
if TYPE_CHECKING:
    from dlc.frontend import elsewhere
else:
    elsewhere = deferred("dlc.frontend.elsewhere")

# What attributes of models are called here: a table by itself, as attributes that may not be
# there are asked for in each call.
MODELS: Final = {
    "cpu": 'model.to("cpu")', "cuda": 'model.to("cuda")', "losses": "dlc.train.collect_losses",
    "type": "model.to(dtype)",
}  # fmt: skip


def suggesting(module: str) -> Callable[[str], Any]:
    """The `__getattr__` of a module: an error says what a name is here, or suggests the nearest.

    Example:
        >>> dlc.nn.NLLLoss2d
        Traceback (most recent call last):
        AttributeError: module 'dlc.nn' has no attribute 'NLLLoss2d'; it is dlc.nn.NLLLoss here
    """
    return errors.suggesting(module, partial(_known, module))


def _known(module: str, name: str) -> str | None:
    return elsewhere.known(module, name)
