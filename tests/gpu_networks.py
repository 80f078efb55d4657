"""Compiles the networks of the bench for a GPU, at their size, on a machine that has none.

    python tests/gpu_networks.py [PATTERN] [--arch sm_90] [--layers N]

For each: how many kernels and launches there are, what memory they take, the registers and the
spilled bytes of the largest kernels. With fewer layers the kernels are the same, and there are
fewer launches. The exit status is 1 when a kernel spills more than tests allow.
"""

import argparse
import fnmatch
import sys
import time

from gpu_kernels import SPILLED

import dlc
from dlc.bench.frameworks.dlc_compiled import PROGRAMS
from dlc.bench.networks import ON_GPU
from dlc.bench.problem import Case
from dlc.codegen.triton.compile import resources


def lowered(case, arch):
    """The program of a case, for an architecture."""
    (inputs, *_), constants = case.draw()
    step = dlc.compile(PROGRAMS[case.problem.name](constants), device=f"cuda:{arch}")
    kinds = {"f": dlc.bfloat16 if case.problem.half else dlc.float32, "i": dlc.int64}
    return step.lower(*(dlc.spec(a.shape, kinds[a.dtype.kind]) for a in inputs))


def used(executable):
    """For each kernel of a program: the spilled bytes, the registers, and its name."""
    found = []
    for kernel in executable.program.kernels:
        if kernel.host is None:
            for binary in (b for made in executable.backend.binaries(kernel) for b in made):
                of = resources(binary.cubin)
                found.append((of["STACK"] + of["LOCAL"], of["REG"], binary.entry))
    return sorted(found, reverse=True)


def main(words=None):
    """Compiles; 1 when a kernel spills too much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pattern", nargs="?", default="*")
    parser.add_argument("--arch", default="sm_90")
    parser.add_argument("--layers", type=int, help="of transformers")
    parser.add_argument("--plan", action="store_true", help="only count and plan, do not compile")
    options = parser.parse_args(words)
    worst = 0
    for case in (c for c in ON_GPU if fnmatch.fnmatchcase(c.name, options.pattern)):
        fewer = {"l": options.layers} if options.layers and "l" in case.extents else {}
        start = time.monotonic()
        executable = lowered(
            Case(case.name, case.problem, {**case.extents, **fewer}), options.arch
        ).executable
        program, memory = executable.program, executable.memory_analysis()
        print(
            f"{case.name}: {len(program.calls)} calls of {len(program.kernels)} kernels, ", end=""
        )
        print(", ".join(f"{k} {n / 2**20:.1f} MiB" for k, n in memory.items()))
        kernels = [] if options.plan else used(executable)
        for spilled, registers, entry in kernels[:5]:
            print(f"  {entry}: {registers} registers, {spilled} bytes spilled")
        print(f"  {time.monotonic() - start:.0f} s", flush=True)
        worst = max([worst, *(k[0] for k in kernels)])
    return int(worst > SPILLED)


if __name__ == "__main__":
    sys.exit(main())
