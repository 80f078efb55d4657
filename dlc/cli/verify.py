"""`dlc verify`: every stage of a compilation compared with the interpreter."""

from __future__ import annotations

import argparse

from dlc.cli.inputs import Array, add_input_arguments, given_arrays, given_extents, input_arrays
from dlc.cli.targets import apart
from dlc.cli.tracing import Traced, add_target_arguments, trace_options
from dlc.ir.verifier import verify
from dlc.passes.manager import parse_pipeline
from dlc.runtime.executable import passes_of
from dlc.runtime.random_args import random_args
from dlc.runtime.verification import Compilation, check

DESCRIPTION = """\
Runs a program in the interpreter and after each stage of its compilation (every pass, lowering,
memory planning, the device's code on several threads), and compares: to the bit where a stage may
not change bits, else within what rounding explains. It stops at the first stage that is wrong.

Without --inputs there are two sets of random inputs, one of ordinary numbers and one with zeros of
both signs, infinities, NaN and the limits of integers among them.
"""
EXAMPLES = """\
examples:
  $ dlc verify net.py:softmax --arg f32[8,4]
  @softmax: every stage agrees
  ...

  $ dlc verify twice.ir --level O3 --dim n=1000
  @twice: every stage agrees
  ...
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    add_target_arguments(parser)
    add_input_arguments(parser)
    parser.add_argument(
        "-p", "--passes", metavar="PASSES", help="these passes instead of a level's"
    )


def run(options: argparse.Namespace) -> int:
    """Prints a line a stage; the exit status is 1 where one is wrong."""
    with apart():
        report = check(compilation_of(options))
    print(report)
    return 0 if report.ok else 1


def compilation_of(options: argparse.Namespace) -> Compilation:
    """The compilation to check, with its sets of arguments.

    Raises:
        DlcError: for options that do not fit the program, and a program that is not legal.
    """
    arrays = given_arrays(options)
    traced = trace_options(options, arrays)
    verify(traced.function)
    given = options.passes
    passes = passes_of(traced.options) if given is None else parse_pipeline(given)
    given_set = [input_arrays(traced, options, arrays)] if arrays else None
    sets = given_set or _argument_sets(traced, options)
    return Compilation(traced.function, sets, passes, traced.options.device)


def _argument_sets(traced: Traced, options: argparse.Namespace) -> list[list[Array]]:
    """Random arguments with and without special values; known values, as of variables, stay."""
    extents = given_extents(traced, options.dim)
    sets: list[list[Array]] = []
    for special in (False, True):
        seed = options.seed + special
        made = random_args(traced.function, seed, special=special, dims=extents)
        pairs = zip(traced.values, made, strict=True)
        sets.append([made if known is None else known for known, made in pairs])
    return sets
