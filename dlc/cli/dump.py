"""`dlc dump`: a program at the stages of its compilation."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Iterator
from pathlib import Path

from dlc.cli.tracing import Traced, add_target_arguments, trace_options
from dlc.codegen.backend import Backend
from dlc.codegen.program import Program
from dlc.codegen.program_builder import build_program
from dlc.ir.core import Function
from dlc.ir.errors import ArgumentError, ValueRangeError, nearest
from dlc.ir.printer import print_function
from dlc.ir.rewrite import RewriteStats
from dlc.passes.manager import Pass, run_pipeline
from dlc.runtime.device import find_device
from dlc.runtime.executable import passes_of
from dlc.runtime.stage_files import file_stem, write_stages

DESCRIPTION = """\
Prints a program at a stage of its compilation:

  traced     the function as it was traced, one typed op a line
  optimized  after the passes of its level: each `fusion` becomes one kernel
  kernels    loop nests over scalar expressions, and the table of calls
  llvm, asm  the code of each kernel, on the CPU; other devices have stages of their own

`traced` and `optimized` are IR text, which `dlc opt`, `dlc run` and the others read back.
"""
EXAMPLES = """\
examples:
  $ dlc dump net.py:softmax --arg f32[8,4]
  func @softmax(%x: f32[8,4]) -> (f32[8,4]) {
  ...
  }

  $ dlc dump net.py:softmax --arg f32[8,4] --all -o stages
  stages/softmax.traced.ir
  stages/softmax.optimized.ir
  stages/softmax.kernels.txt
  stages/softmax.llvm.ll
  stages/softmax.asm.s
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    add_target_arguments(parser)
    parser.add_argument(
        "--stage",
        action="append",
        metavar="NAME",
        help="what to print (default: traced); may be given several times",
    )
    parser.add_argument("--all", action="store_true", help="print every stage")
    parser.add_argument(
        "--passes", action="store_true", help="print the IR after every pass that changes it too"
    )
    parser.add_argument(
        "--locations", action="store_true", help="add the line of your source to each op"
    )
    parser.add_argument(
        "-o", dest="folder", metavar="DIR", type=Path, help="write a file a stage into this folder"
    )


def run(options: argparse.Namespace) -> int:
    """Prints or writes the stages."""
    if options.all and options.stage:
        raise ArgumentError("--all and --stage exclude each other")
    stages = Stages(trace_options(options), options.locations)
    wanted = stages.names if options.all else tuple(options.stage or ("traced",))
    for name in wanted:
        stages.check(name)
    texts = _texts(stages, wanted, options.passes)
    if options.folder is None:
        several = len(wanted) > 1 or options.passes
        for name, text in texts:
            if several:
                print(f"# ======== {name} ========")
            print(text.rstrip("\n"))
        return 0
    for path in write_stages(options.folder, stages.file_stem, dict(texts)):
        print(path)
    return 0


def _texts(stages: Stages, wanted: tuple[str, ...], passes: bool) -> Iterator[tuple[str, str]]:
    after = list(stages.after_passes()) if passes else []
    for name in wanted:
        if name == "optimized":
            yield from after
        yield name, stages.text(name)
    if "optimized" not in wanted:
        yield from after


class Stages:
    """The stages of a traced function, each made when it is asked for."""

    def __init__(self, traced: Traced, locations: bool) -> None:
        self.traced, self.locations = traced, locations
        self.device = find_device(traced.options.device)
        self.backend: Backend = self.device.backend()
        self.names = ("traced", "optimized", "kernels", *self.backend.stages)
        self.file_stem = file_stem(traced.function.name)

    def check(self, name: str) -> None:
        """Raises ValueRangeError for an unknown stage."""
        if name not in self.names:
            device = self.traced.options.device
            raise ValueRangeError(
                f"there is no stage {name!r} on {device}", hint=nearest(name, self.names)
            )

    @property
    def passes(self) -> tuple[Pass, ...]:
        """Those of its level."""
        return passes_of(self.traced.options)

    @functools.cached_property
    def optimized(self) -> Function:
        """The function after the passes of its level."""
        return run_pipeline(self.traced.function, self.passes)

    @functools.cached_property
    def program(self) -> Program:
        """Its kernels and table."""
        options = self.traced.options
        return build_program(self.optimized, options.donated, options.fixed)

    def text(self, name: str) -> str:
        """The text of a stage."""
        match name:
            case "traced":
                return print_function(self.traced.function, locations=self.locations)
            case "optimized":
                return print_function(self.optimized, locations=self.locations)
            case "kernels":
                return self.program.text()
            case _:
                coded = [k for k in self.program.kernels if k.host is None]
                return self.backend.text(coded, name) if coded else ""

    def after_passes(self) -> list[tuple[str, str]]:
        """The IR after each pass that changes it, under names such as `pass1_decompose`."""
        found: list[tuple[str, str]] = []

        def note(step: Pass, before: Function, after: Function, _: float, __: RewriteStats) -> None:
            if after is not before:
                name = f"pass{len(found) + 1}_{step.name}"
                found.append((name, print_function(after, locations=self.locations)))

        run_pipeline(self.traced.function, self.passes, callback=note)
        return found
