# What dlc uses of Triton, which need not be installed where types are checked.
from typing import Any

__version__: str

def compile(
    src: Any,
    target: Any = None,
    options: dict[str, Any] | None = None,
) -> Any: ...
def jit(function: Any) -> Any: ...
def __getattr__(name: str) -> Any: ...
