"""From a traced function to what runs it: a compiled program, or the interpreter."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from dlc.frontend.tensor import Array
from dlc.ir.config import config
from dlc.ir.core import Function
from dlc.ir.equal import structural_hash
from dlc.ir.interpret import interpret
from dlc.ir.locks import make_lock
from dlc.ir.ops import BUILT_IN
from dlc.ir.types import dtype_of
from dlc.runtime.buffers import aligned_copy
from dlc.runtime.executable import Executable, Options, compile_function

MAX_PROGRAMS = 1024


class Program(Protocol):
    """What runs a function."""

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        """The results, in arrays of their own or in those of donated inputs."""
        ...


class Interpreted:
    """A function run by the references of its ops, for `DLC_DISABLE_JIT`."""

    def __init__(self, function: Function) -> None:
        self.function = function

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        """The results, in arrays of their own."""
        results = interpret(self.function, arrays)
        return [aligned_copy(np.asarray(r), dtype_of(r.dtype)) for r in results]


_programs: OrderedDict[object, Executable] = OrderedDict()
_lock = make_lock()


def program_for(
    function: Function, options: Options | None = None, fixed: Sequence[Array] = ()
) -> Program:
    """What runs `function`: one program for all functions of equal structure and options.

    Args:
        function: A traced function.
        options: How to compile it.
        fixed: The values of fixed parameters; what has some is a program of its own.
    """
    if config.disable_jit:
        return Interpreted(function)
    options = options or Options(device=config.device, verify=config.verify)
    if options.fixed:
        return compile_function(function, options=options, fixed=fixed)
    # Rows of someone else's may be replaced by others of the same name.
    added = frozenset(n.op for n in function.nodes) - BUILT_IN
    key = (structural_hash(function), added, options, config.isa)
    with _lock:
        found = _programs.get(key)
        if found is not None:
            _programs.move_to_end(key)
            return found
    made = compile_function(function, options=options)
    with _lock:
        found = _programs.setdefault(key, made)
        while len(_programs) > MAX_PROGRAMS:
            _programs.popitem(last=False)
    return found
