"""`dlc opt`: passes over IR text."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import pkgutil
import sys
from pathlib import Path

import dlc.passes
from dlc.cli.targets import read_ir
from dlc.ir.config import config
from dlc.ir.core import Function
from dlc.ir.errors import ArgumentError, PassError, nearest
from dlc.ir.printer import print_function, print_module
from dlc.ir.rewrite import RewriteStats
from dlc.ir.verifier import verify
from dlc.passes.manager import (
    Callback,
    Pass,
    known_passes,
    parse_pipeline,
    pipeline_text,
    run_pipeline,
)
from dlc.runtime.executable import Options, passes_of

DESCRIPTION = """\
Runs passes over every function of an .ir file, and prints what they make of it. What --print-after
and --time say goes to standard error, so that the output can be read back.
"""
EXAMPLES = """\
examples:
  $ dlc opt twice.ir -p "simplify,dce"
  func @twice(%x: f32[n]) -> (f32[n]) {
    %0: f32[n] = add(%x, %x)
    return %0
  }

  $ dlc opt --list
  ...
  dce
  ...
  fuse{groups=true,max_inputs=...}
  ...
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments."""
    parser.add_argument("file", nargs="?", help="an .ir file, or - for standard input")
    parser.add_argument(
        "-p", "--passes", metavar="PASSES", help='such as "simplify,fuse{max_inputs=16}"'
    )
    parser.add_argument("--level", metavar="LEVEL", help="the passes of a level, O0 to O3, instead")
    parser.add_argument("--list", action="store_true", help="print the passes and their options")
    parser.add_argument("--verify", action="store_true", help="check the IR after every pass")
    parser.add_argument(
        "--print-after", metavar="PASS", help="print the IR after this pass, or after `all`"
    )
    parser.add_argument("--time", action="store_true", help="print how long each pass took")
    parser.add_argument("--stop-after", metavar="PASS", help="the last pass to run")
    parser.add_argument("--locations", action="store_true", help="print the source lines of nodes")
    parser.add_argument("-o", dest="output", metavar="FILE", type=Path, help="write there instead")


def run(options: argparse.Namespace) -> int:
    """Runs the passes and prints the module."""
    for module in pkgutil.iter_modules(dlc.passes.__path__):
        importlib.import_module(f"dlc.passes.{module.name}")  # passes are known once imported
    if options.list:
        for _, kind in sorted(known_passes().items()):
            print(_with_options(kind))
        return 0
    if options.file is None:
        raise ArgumentError(
            "dlc opt needs an .ir file", hint='as in `dlc opt net.ir -p "simplify"`'
        )
    passes = _passes(options)
    functions = read_ir(options.file)
    if options.verify and not passes:
        for f in functions:
            verify(f)
    callback = _reporter(options)
    made = [
        run_pipeline(
            f, passes, callback=callback, verify=options.verify, stop_after=options.stop_after
        )
        for f in functions
    ]
    text = print_module(made, locations=options.locations)
    if options.output is None:
        print(text, end="")
    else:
        options.output.write_text(text, encoding="utf-8")
    return 0


def _passes(options: argparse.Namespace) -> tuple[Pass, ...]:
    if (options.passes is None) == (options.level is None):
        names = ", ".join(sorted(known_passes()))
        raise ArgumentError(
            "dlc opt needs either -p or --level",
            hint=f'as in -p "simplify,cse" or --level O2; there are {names}',
        )
    if options.level is None:
        passes = parse_pipeline(options.passes)
    else:
        passes = passes_of(Options(level=options.level, device=config.device))
    names = {p.name for p in passes}
    if options.print_after not in (None, "all", *names):
        raise PassError(
            f"--print-after: no pass {options.print_after!r} in {pipeline_text(passes)}",
            hint=nearest(options.print_after, names),
        )
    return passes


def _reporter(options: argparse.Namespace) -> Callback:
    """What is said after each pass, to standard error."""

    def report(
        step: Pass, _: Function, after: Function, seconds: float, stats: RewriteStats
    ) -> None:
        if options.time:
            rewrites = stats.matches
            said = f", {rewrites} rewrites" if rewrites else ""
            count = f"{len(after.nodes)} nodes{said}"
            print(f"@{after.name} {step.name:15} {1e3 * seconds:8.2f} ms  {count}", file=sys.stderr)
        if options.print_after in ("all", step.name):
            print(f"# after {step}", file=sys.stderr)
            print(print_function(after, locations=options.locations), file=sys.stderr)

    return report


def _with_options(kind: type[Pass]) -> str:
    """A pass with its options at their defaults: `fuse{groups=true,max_inputs=48}`."""
    fields = dataclasses.fields(kind)
    shown = [f"{f.name}={str(f.default).lower()}" for f in fields]
    return f"{kind.name}{{{','.join(shown)}}}" if shown else kind.name
