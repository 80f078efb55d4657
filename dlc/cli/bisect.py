"""`dlc bisect`: the pass and the rewrite that make a program wrong."""

from __future__ import annotations

import argparse

from dlc.cli import verify
from dlc.cli.targets import apart
from dlc.runtime.bisection import find_culprit

DESCRIPTION = """\
Does what `dlc verify` does, and where a stage is wrong, finds out why: of a pass, the one rewrite
that breaks the program, with its rule, its number among all changes and your line; of the device's
code, the kernel.
"""
EXAMPLES = """\
examples:
  $ dlc bisect net.py:softmax --arg f32[8,4]
  @softmax: nothing is wrong

  $ dlc bisect twice.ir -p "simplify,dce"
  @twice: nothing is wrong

  Where something is wrong, it prints a line such as
  @loss: simplify, rule mul_one, change 17, at net.py:12 in loss: result 0 at [3] is 2.0, not 1.0
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments, which are those of `dlc verify`."""
    verify.configure(parser)


def run(options: argparse.Namespace) -> int:
    """Prints the culprit; the exit status is 1 where there is one."""
    with apart():
        work = verify.compilation_of(options)
        culprit = find_culprit(work)
    said = "nothing is wrong" if culprit is None else str(culprit)
    print(f"@{work.function.name}: {said}")
    return 0 if culprit is None else 1
