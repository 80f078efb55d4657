"""dlc: a JIT-compiling deep learning compiler.

    import dlc

    @dlc.compile
    def f(x, w, b):
        return dlc.relu(x @ w + b)

The names of this namespace are those of `dlc.frontend.api`. They are loaded when one of them is
first used, so that `import dlc` costs next to nothing.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

try:
    from dlc.ir.config import config as config  # an unknown DLC_* variable stops the import
except ValueError as _error:
    if os.path.basename(sys.argv[0]) not in ("-m", "dlc", "dlc.exe"):
        raise
    sys.stderr.write(f"{_error}\n")  # the command line: a message, no traceback
    raise SystemExit(2) from None
from dlc.ir.collection import no_collection as _no_collection
from dlc.ir.version import __version__ as __version__

if TYPE_CHECKING:
    from dlc import losses as losses
    from dlc import metrics as metrics
    from dlc import nn as nn
    from dlc import optim as optim
    from dlc.frontend.api import *  # noqa: F403

_PACKAGES = ("losses", "metrics", "nn", "optim")
_loading = threading.RLock()
_PROTOCOLS = ("__all__", "__array_api_version__", "__array_namespace_info__")


def __getattr__(name: str) -> Any:
    if name.startswith("__") and name not in _PROTOCOLS:
        raise AttributeError(f"module 'dlc' has no attribute {name!r}")
    if name in _PACKAGES:
        return importlib.import_module(f"dlc.{name}")
    with _loading:
        with _no_collection():
            api = importlib.import_module("dlc.frontend.api")
        names = globals()
        if "__all__" not in names:
            names.update({public: getattr(api, public) for public in api.__all__})
            names["__all__"] = ["__version__", *api.__all__]
    if name in names:
        return names[name]
    raise AttributeError(f"module 'dlc' has no attribute {name!r}{_suggestion(name, api.__all__)}")


def _suggestion(name: str, names: list[str]) -> str:
    if name.startswith("complex"):
        return ": there are no complex numbers; keep real and imaginary parts in two tensors"
    errors = importlib.import_module("dlc.ir.errors")
    return "; " + errors.nearest(name, names) if len(name) > 2 else ""


def __dir__() -> list[str]:
    return sorted({*globals(), *_PACKAGES, *__getattr__("__all__")})
