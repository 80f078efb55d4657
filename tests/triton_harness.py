"""Programs of Triton kernels run in Triton's interpreter, through a worker process."""

import pickle
import subprocess
import sys
from pathlib import Path

import ml_dtypes  # noqa: F401  (arrays of its types are sent)
import numpy as np

from dlc.codegen.program import build_program
from dlc.codegen.triton.emit import emit_kernel
from dlc.ir.dims import evaluate
from dlc.passes.manager import run_pipeline
from dlc.passes.pipelines import pipeline_of

ROOT = Path(__file__).parent.parent


class Worker:
    """The process; started once."""

    def __init__(self):
        command = [sys.executable, str(ROOT / "tests" / "triton_worker.py")]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
            env=None, bufsize=-1,
        )  # fmt: skip

    def run(self, arrays, launches):
        """The arrays after the launches."""
        pickle.dump((arrays, launches), self.process.stdin)
        self.process.stdin.flush()
        fine, answer = pickle.load(self.process.stdout)
        if not fine:
            raise AssertionError(f"{answer}\n{launches[0][0] if launches else ''}")
        return answer

    def close(self):
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()


def fitting(launch, dims):
    """The variants of a launch that are right for some dims."""
    return [v for v in launch.variants if v.fits(dims)]


def launches_of(kernel, slots, dims, which=0):
    """The launches of one call; `which` of the variants that fit, or the last of fewer."""
    result = []
    for launch in emit_kernel(kernel):
        some = fitting(launch, dims)
        v = some[min(which, len(some) - 1)]
        values = [dims[n] for n in kernel.dims]
        result.append((v.source, v.entry, evaluate(v.grid, dims), slots, values))
    return result


def run_kernel(worker, kernel, arrays, dims, which=0):
    """Runs a kernel; returns all its arrays by name."""
    given = [np.ascontiguousarray(arrays[p.name]) for p in kernel.params]
    launches = launches_of(kernel, list(range(len(given))), dims, which)
    made = worker.run(given, launches)
    return {p.name: a for p, a in zip(kernel.params, made, strict=True)}


def run_function(worker, function, inputs, which=0, level="O2"):
    """Compiles a function through fusion and the Triton backend, and runs it."""
    program = build_program(run_pipeline(function, pipeline_of(level)))
    assert not any(isinstance(d, str) for d in function.symbols)
    arrays = []
    for slot in program.slots:
        if slot.kind == "input":
            arrays.append(inputs[slot.position])
        elif slot.kind == "constant":
            arrays.append(program.constants[slot.position])
        else:
            shape = [evaluate(d, {}) for d in slot.type.shape]
            arrays.append(np.zeros(shape, slot.type.dtype.numpy))
    launches = []
    for call in program.calls:
        kernel = program.kernels[call.kernel]
        dims = {n: evaluate(d, {}) for n, d in zip(kernel.dims, call.dims, strict=True)}
        outs = [p for p in kernel.params if p.mode != "in"]
        if all(0 in [evaluate(d, dims) for d in p.dims] for p in outs):
            continue
        slots = [program.memory_of(a) for a in call.args]
        launches += launches_of(kernel, slots, dims, which)
    made = worker.run(arrays, launches)
    results = {}
    for k, slot in enumerate(program.slots):
        if slot.kind == "output":
            held = made[program.memory_of(k)]
            results[slot.position] = held.view(slot.type.dtype.numpy).reshape(arrays[k].shape)
    return [results[k] for k in range(len(program.results))]
