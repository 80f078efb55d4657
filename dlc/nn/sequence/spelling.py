"""Layers that PyTorch and Keras have by the same name: the arguments say whose is meant.

PyTorch's take two sizes, `LSTM(input_size, hidden_size)`; Keras's one, `LSTM(units)`, or a cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from dlc.nn.module import Module

_SIZES = ("input_size", "hidden_size")


def is_keras(args: Sequence[Any], keywords: Mapping[str, Any]) -> bool:
    """Whether a layer with these arguments is Keras's: there are not two sizes.

    Example:
        >>> is_keras((8, 16), {}), is_keras((16,), {}), is_keras((8,), {"hidden_size": 16})
        (False, True, False)
        >>> is_keras((16, "relu"), {}), is_keras((), {"units": 16})
        (True, True)
    """
    if (not args and not keywords) or any(name in keywords for name in _SIZES):
        return False
    return not (len(args) > 1 and isinstance(args[1], (int, np.integer)))


class Either(Module):
    """The base of PyTorch's layers whose names Keras has, too: `keras` is Keras's class.

    What a subclass of a user makes is PyTorch's.
    """

    keras: ClassVar[type[Module]]

    def __new__(cls, *args: Any, **keywords: Any) -> Any:
        """A module of this class, or of Keras's."""
        if "keras" in vars(cls) and is_keras(args, keywords):
            return cls.keras(*args, **keywords)
        return super().__new__(cls)
