"""Where native code finds the array of a tensor, and what else it looks at there and writes."""

from __future__ import annotations

from dlc.frontend.tensor import Tensor
from dlc.ir.record import replace
from dlc.runtime.entry_plan import TensorLayout

_PLAIN = {"_weak": False, "_trace": None}
_MADE = {"_history": None, **_PLAIN, "_node": None}
_RESET = {"_history": None}
LAYOUT = TensorLayout(Tensor, "_data", _MADE, {"_history": None, **_PLAIN}, _RESET)
# Where histories do not matter: in functions that replace variables, and inside `no_grad`.
LAYOUT_WITHOUT_HISTORIES = replace(LAYOUT, required=_PLAIN)
