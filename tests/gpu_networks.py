"""Compiles the networks of the bench for a GPU, at their size, on a machine that has none.

    python tests/gpu_networks.py [PATTERN] [--arch sm_90] [--layers N]

For each: how many kernels and launches there are, what memory they take, the registers, the spilled
bytes and the shared memory of those that spill or need most. With fewer layers the kernels are the
same, and there are fewer launches. The exit status is 1 when a kernel does not compile, or uses
more than tests allow.
"""

import argparse
import fnmatch
import sys
import time

from gpu_kernels import within_bounds

import dlc
from dlc.bench.frameworks.dlc_compiled import PROGRAMS
from dlc.bench.networks import ON_GPU
from dlc.bench.problem import Case
from dlc.codegen.triton.compile import resources
from dlc.ir.errors import BackendError


def lowered(case, arch):
    """The program of a case, for an architecture."""
    (inputs, *_), constants = case.draw()
    step = dlc.compile(PROGRAMS[case.problem.name](constants), device=f"cuda:{arch}")
    kinds = {"f": dlc.bfloat16 if case.problem.half else dlc.float32, "i": dlc.int64}
    return step.lower(*(dlc.spec(a.shape, kinds[a.dtype.kind]) for a in inputs))


def used(executable):
    """For each variant of a kernel: spilled bytes, registers, shared memory, and its name.

    With what could not be compiled.
    """
    found, refused = [], []
    for kernel in executable.program.kernels:
        if kernel.host is None:
            try:
                made = executable.backend.binaries(kernel)
            except BackendError as error:
                refused.append(error)
                continue
            for binary in (b for launch in made for b in launch):
                of = resources(binary.cubin)
                figures = of["STACK"] + of["LOCAL"], of["REG"], binary.shared
                found.append((*figures, binary.entry))
    return sorted(found, reverse=True), refused


def main(words=None):
    """Compiles; 1 when a kernel uses too much, or does not compile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pattern", nargs="?", default="*")
    parser.add_argument("--arch", default="sm_90")
    parser.add_argument("--layers", type=int, help="of transformers")
    parser.add_argument("--plan", action="store_true", help="only count and plan, do not compile")
    options = parser.parse_args(words)
    failed = 0
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
        kernels, refused = ([], []) if options.plan else used(executable)
        wrong = [k for k in kernels if not within_bounds(options.arch, (k[1], k[0], k[2]))]
        for spilled, registers, shared, entry in wrong or kernels[:5]:
            print(f"  {entry}: {registers} registers, {spilled} bytes spilled, {shared} shared")
        for error in refused:
            print(f"  {error}")
        print(f"  {len(kernels)} variants, {time.monotonic() - start:.0f} s", flush=True)
        failed += len(wrong) + len(refused)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
