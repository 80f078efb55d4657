"""LLVM's version, for cache keys."""

from __future__ import annotations

import functools
import importlib
import os
import re
from importlib.machinery import PathFinder

from dlc.ir.errors import BackendError


@functools.cache
def compiler_version() -> str:
    """Name the version of LLVM, where possible without loading it."""
    # Asking importlib.metadata would cost more than loading a program from the cache.
    spec = PathFinder.find_spec("llvmlite")  # the usual way, whose module is loaded
    if spec is None or spec.origin is None:
        spec = importlib.import_module("importlib.util").find_spec("llvmlite")
    if spec is None or spec.origin is None:
        raise BackendError("llvmlite is not installed", hint="pip install llvmlite")
    try:
        with open(os.path.join(os.path.dirname(spec.origin), "_version.py")) as file:
            text = file.read()
    except OSError:
        text = ""
    found = re.search(r"^version_version = '([^']+)'", text, re.MULTILINE)
    if found is not None:
        return f"llvmlite {found[1]}"
    import llvmlite

    return f"llvmlite {llvmlite.__version__}"
