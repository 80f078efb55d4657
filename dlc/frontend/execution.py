"""From a traced function to what runs it: a compiled program, or the interpreter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from dlc.frontend.tensor import Array
from dlc.ir.config import config
from dlc.ir.core import Function, all_nodes
from dlc.ir.deferred import deferred
from dlc.ir.equal import structural_hash
from dlc.ir.op import OPS
from dlc.ir.recent import Recent
from dlc.ir.types import dtype_of
from dlc.runtime.buffers import aligned_copy
from dlc.runtime.executable import Executable, Options, compile_function
from dlc.runtime.places import CPU, common_place

if TYPE_CHECKING:
    from dlc.ir import interpret
    from dlc.runtime import nan_search
else:
    interpret = deferred("dlc.ir.interpret")
    nan_search = deferred("dlc.runtime.nan_search")

Runner: TypeAlias = Callable[[Sequence[Array]], list[Array]]


class Program(Protocol):
    """What runs a function."""

    function: Function

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        """The results, in arrays of their own or in those of donated inputs."""
        ...


class Interpreted:
    """A function run by the references of its ops, for `DLC_DISABLE_JIT`."""

    def __init__(self, function: Function) -> None:
        self.function = function

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        """The results, in arrays of their own."""
        results = interpret.interpret(self.function, arrays)
        return [aligned_copy(np.asarray(r), dtype_of(r.dtype)) for r in results]


_programs: Recent[Executable] = Recent(most=1024)


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
    ops = {n.op for n in all_nodes(function)}
    added = frozenset(op for op in ops if not OPS.is_built_in(op))
    key = (structural_hash(function), added, options, config.isa)
    found = _programs.get(key)
    if found is not None:
        return found
    return _programs.keep(key, compile_function(function, options=options))


def searching(program: Program, function: Function) -> Runner:
    """`program`; where `config.debug_nans` is set, one that raises when a result is NaN.

    `function` is what it computes, with the lines of the one who calls it: programs are shared.
    """
    if not config.debug_nans:
        return program

    def checked(arrays: Sequence[Array]) -> list[Array]:
        # The search needs what a donated array held, and what raises must not have changed it.
        results = program([aligned_copy(a, dtype_of(a.dtype)) for a in arrays])
        nan_search.check_results(function, arrays, results)
        return results

    return checked


def ask_of_extents(function: Function) -> None:
    """Asks of open extents what compiling a function asks of them, while it can be answered."""
    for node in all_nodes(function):
        if node.op.decompose is not None:
            ask_of_extents(interpret.decomposition(node))


def run_function(function: Function, arrays: Sequence[Array]) -> list[Array]:
    """The results of a function on contiguous arrays."""
    place = common_place(arrays)
    options = None if place == CPU else Options(device=place, verify=config.verify)
    return searching(program_for(function, options), function)(arrays)
