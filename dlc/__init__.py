"""dlc: a JIT-compiling deep learning compiler.

    import dlc

    @dlc.compile
    def f(x, w, b):
        return dlc.relu(x @ w + b)

The names of this namespace are those of `dlc.frontend.api`. Each is loaded when it is first used,
so that `import dlc` costs next to nothing, and a process with a filled cache loads little.
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
from dlc.ir.deferred import LateName as _LateName
from dlc.ir.deferred import late_names as _late_names
from dlc.ir.version import __version__ as __version__

if TYPE_CHECKING:
    from dlc import callbacks as callbacks
    from dlc import data as data
    from dlc import losses as losses
    from dlc import metrics as metrics
    from dlc import models as models
    from dlc import nn as nn
    from dlc import optim as optim
    from dlc import train as train
    from dlc.frontend.api import *  # noqa: F403
    from dlc.interop import onnx as onnx

_PACKAGES = {
    **{
        p: f"dlc.{p}"
        for p in ("callbacks", "data", "losses", "metrics", "models", "nn", "optim", "train")
    },
    "onnx": "dlc.interop.onnx",
}
_loading = threading.RLock()
_PROTOCOLS = ("__all__", "__array_api_version__", "__array_namespace_info__")
_names: dict[str, Any] = {}  # of `dlc.frontend.api`


def __getattr__(name: str) -> Any:
    if name.startswith("__") and name not in _PROTOCOLS:
        raise AttributeError(f"module 'dlc' has no attribute {name!r}")
    if name in _PACKAGES:
        return importlib.import_module(_PACKAGES[name])
    names = globals()
    with _loading, _no_collection():
        if "__all__" not in names:
            _names.update(_late_names("dlc.frontend.api", "dlc"))
            names["__all__"] = ["__version__", *_names["__all__"]]
        if name not in names and name in names["__all__"]:
            found = _names[name]
            value = found.value() if isinstance(found, _LateName) else found
            public = importlib.import_module("dlc.frontend.misuse").public
            names[name] = public(value, __name__, name)
    if name in names:
        return names[name]
    hint = _suggestion(name, names["__all__"])
    raise AttributeError(f"module 'dlc' has no attribute {name!r}{hint}")


def _suggestion(name: str, names: list[str]) -> str:
    known = importlib.import_module("dlc.frontend.elsewhere").function(name)
    if known is not None:
        return known
    close = importlib.import_module("dlc.ir.errors").closest(name, names)
    return f"; did you mean {close!r}?" if close and len(name) > 2 else ""


def __dir__() -> list[str]:
    return sorted({*globals(), *_PACKAGES, *__getattr__("__all__")})
