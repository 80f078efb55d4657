"""`dlc run`: a program on random or given inputs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from dlc.cli.inputs import Array, add_input_arguments, given_arrays, input_arrays
from dlc.cli.targets import apart
from dlc.cli.tracing import add_target_arguments, trace_options
from dlc.frontend.execution import program_for
from dlc.frontend.signature import ir_name
from dlc.ir.config import config
from dlc.ir.errors import ArgumentError
from dlc.ir.types import dtype_of

DESCRIPTION = """\
Compiles a program, runs it once and prints what it gives: the type of each result, its range, how
many of its values are NaN or infinite, and the first values.

The inputs are random, the same for the same seed, unless a file gives them. What the function
closes over (parameters of a model, say) has the values that it has after the file was loaded.
"""
EXAMPLES = """\
examples:
  $ dlc run net.py:softmax --arg f32[2,3]
  result f32[2,3] in 0.1869 to 0.4855: 0.2902 0.2242 0.4855 0.3547 0.1869 0.4584

  $ dlc run net.py:softmax --arg f32[b,3] --dim b=100 --save out.npz
  result f32[100,3] in ... to ...: 0.2902 0.2242 0.4855 ...
  saved 1 array in out.npz
"""
_SHOWN = 8


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    add_target_arguments(parser)
    add_input_arguments(parser)
    parser.add_argument(
        "--threads", type=int, metavar="N", help="threads to run on (default: as `dlc doctor` says)"
    )
    parser.add_argument("--save", metavar="FILE.npz", type=Path, help="write the results there")


def run(options: argparse.Namespace) -> int:
    """Runs the program and prints its results."""
    threads = config.thread_count(options.threads)
    if options.save is not None and options.save.suffix != ".npz":
        raise ArgumentError(f"--save {options.save}: the results are written as .npz")
    arrays = given_arrays(options)
    traced = trace_options(options, arrays)
    inputs = input_arrays(traced, options, arrays)
    fixed = [inputs[k] for k in traced.options.fixed]
    with config.scope(num_threads=threads), apart():
        results = program_for(traced.function, traced.options, fixed)(inputs)
    for name, array in zip(traced.results, results, strict=True):
        print(f"{name} {summary(array)}")
    if options.save is not None:
        saved = {ir_name(n): a for n, a in zip(traced.results, results, strict=True)}
        np.savez(options.save, allow_pickle=False, **saved)
        count = len(saved)
        print(f"saved {count} array{'' if count == 1 else 's'} in {options.save}")
    return 0


def summary(array: Array) -> str:
    """A line about an array: type, range of its finite values, odd values, the first values.

    Example:
        >>> summary(np.float32([1, 2, np.nan]))
        'f32[3] in 1 to 2, 1 NaN: 1 2 nan'
    """
    dtype = dtype_of(array.dtype)
    text = f"{dtype.short}[{','.join(map(str, array.shape))}]"
    if array.size == 0:
        return f"{text}, empty"
    flat = array.reshape(-1)
    if dtype.kind != "b":
        text += _range(flat.astype(np.float64) if dtype.is_float else flat)
    first = " ".join(_number(x) for x in flat[:_SHOWN].tolist())
    return f"{text}: {first}{' ...' if flat.size > _SHOWN else ''}"


def _range(values: Array) -> str:
    finite = values[np.isfinite(values)]
    odd = [(int(np.isnan(values).sum()), "NaN"), (int(np.isinf(values).sum()), "infinite")]
    parts = [f"{count} {what}" for count, what in odd if count]
    if finite.size:
        low, high = finite.min().item(), finite.max().item()
        parts.insert(0, f"in {_number(low)} to {_number(high)}")
    return " " + ", ".join(parts)


def _number(x: Any) -> str:
    return f"{x:.4g}" if isinstance(x, float) else str(x).lower()
