"""From what a command line names to a function of the IR, ready to be looked at or compiled."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dlc.cli.arguments import arguments_of
from dlc.cli.state_names import state_names
from dlc.cli.targets import Target, apart, load_target
from dlc.frontend import compile as compiling
from dlc.frontend.compile import CompiledFunction
from dlc.frontend.saving.loaded import LoadedFunction
from dlc.frontend.spec import Spec
from dlc.ir.config import config
from dlc.ir.core import Function
from dlc.ir.errors import ArgumentError, DerivativeError
from dlc.passes.autodiff import vjp_function
from dlc.passes.pipelines import pipeline_of
from dlc.runtime.device import find_device
from dlc.runtime.executable import Options

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True)
class Traced:
    """A function of the IR with what is known of its parameters and results.

    names: of its parameters, as the user would write them.
    values: of its parameters, where they are not free: numbers, and what the function closes over.
    results: names of its results.
    """

    function: Function
    options: Options
    names: tuple[str, ...]
    values: tuple[Array | None, ...]
    results: tuple[str, ...]


def add_target_arguments(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """Declares FILE[:NAME], which may be optional, and what says how it is traced and compiled."""
    parser.add_argument(
        "target",
        nargs="?" if optional else None,
        metavar="FILE[:NAME]",
        help="a Python file, an .ir file (- for IR on standard input), a saved program (.dlc) or "
        "an ONNX model (.onnx), and what in it",
    )
    parser.add_argument(
        "--arg",
        action="append",
        default=[],
        metavar="TYPE",
        help="an argument, in order: a type such as f32[8,4] or f32[b,784] or a number such as "
        "0.5; without any, the function's annotations count",
    )
    parser.add_argument(
        "--grad",
        action="store_true",
        help="the function with its gradient: takes a cotangent of each floating-point result too, "
        "and also returns the gradient of each floating-point parameter",
    )
    parser.add_argument(
        "--level", metavar="LEVEL", help="optimisation level, O0 to O3 (default: O2)"
    )
    parser.add_argument(
        "--device", metavar="DEVICE", help="cpu, cuda or reference (default: the setting `device`)"
    )


def trace_options(options: argparse.Namespace, arrays: Mapping[str, Array] | None = None) -> Traced:
    """What the options of `add_target_arguments` ask for.

    Args:
        options: The parsed options.
        arrays: Given inputs by name, which also say the types where nothing else does.

    Raises:
        DlcError: for options that do not fit, and for what goes wrong while tracing.
        Exception: what the user's Python raises.
    """
    target = load_target(options.target)
    if isinstance(target.value, Function):
        traced = _of_ir(target.value, options)
    else:
        traced = _of_python(target, options, arrays or {})
    return _with_gradient(traced) if options.grad else traced


def _options(options: argparse.Namespace, base: Options) -> Options:
    """How to compile: as the function itself says, unless the command line does."""
    level = options.level or base.level
    device = options.device or base.device
    pipeline_of(level)
    find_device(device)
    return replace(base, level=level, device=device)


def _of_ir(function: Function, options: argparse.Namespace) -> Traced:
    if options.arg:
        raise ArgumentError(
            f"@{function.name} has its types in its file", hint="leave --arg out for IR text"
        )
    names = tuple(p.name or f"arg{k}" for k, p in enumerate(function.params))
    results = tuple(f"result{k}" for k in range(len(function.results)))
    compile_options = _options(options, Options(device=config.device))
    return Traced(function, compile_options, names, (None,) * len(names), results)


def _of_python(target: Target, options: argparse.Namespace, arrays: Mapping[str, Array]) -> Traced:
    assert not isinstance(target.value, Function)
    value = target.value
    compiled = value if isinstance(value, CompiledFunction) else compiling.compile(value)
    wanted = _options(options, compiled.settings.options)
    anywhere = compiled.settings.anywhere and options.device is None
    settings = replace(compiled.settings, options=wanted, anywhere=anywhere)
    compiled = CompiledFunction(compiled.__wrapped__, settings, compiled.signature)
    if isinstance(value, LoadedFunction) and not options.arg:
        args, kwargs = value.programs[0].spec()
    else:
        args, kwargs = _arguments(compiled, target.name, options.arg, arrays)
    with apart():
        lowered = compiled.lower(*args, **kwargs)
    call, _ = compiled._declared(args, kwargs)
    closure = lowered.closure
    state = [t.numpy() for t in closure.state()]
    read, written = state_names(closure, target.scope)
    given = [
        None if isinstance(x, Spec) else np.asarray(x, p.tensor.dtype.numpy)
        for x, p in zip(call.given, closure.function.params, strict=False)
    ]
    names = (*call.names(compiled.signature), *read)
    results = (*(f"result{path}" for path in closure.output.paths()), *written)
    function = closure.function
    assert len(names) == len(given) + len(state) == len(function.params)
    assert len(results) == len(function.results)
    return Traced(function, lowered.options, names, (*given, *state), results)


def _arguments(
    compiled: CompiledFunction, name: str, given: Sequence[str], arrays: Mapping[str, Array]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    try:
        return arguments_of(compiled.__wrapped__, name, given)
    except ArgumentError:
        if given or not arrays:
            raise
    return _arguments_from(arrays, compiled.signature.positional)


def _arguments_from(
    arrays: Mapping[str, Array], positional: Sequence[str]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arrays as arguments: by name where their names are the parameters', else in order."""
    if set(arrays) <= set(positional):
        return (), dict(arrays)
    return tuple(arrays.values()), {}


def _with_gradient(traced: Traced) -> Traced:
    function = traced.function
    wrt = [k for k, p in enumerate(function.params) if p.tensor.dtype.is_float]
    outputs = [k for k, r in enumerate(function.results) if r.tensor.dtype.is_float]
    if not wrt or not outputs:
        what = "parameter" if not wrt else "result"
        raise DerivativeError(
            f"{function.name} has no gradient", hint=f"it has no {what} of a floating-point type"
        )
    made = vjp_function(function, wrt)
    # What the forward program may overwrite, the backward one still reads.
    options = replace(traced.options, donated=())
    names = (*traced.names, *(f"cotangent of {traced.results[k]}" for k in outputs))
    values = (*traced.values, *(None for _ in outputs))
    results = (*traced.results, *(f"gradient of {traced.names[k]}" for k in wrt))
    return Traced(made, options, names, values, results)
