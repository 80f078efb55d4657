"""Programs of Triton kernels run in Triton's interpreter, through a worker process."""

import pickle
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import ml_dtypes  # noqa: F401  (arrays of its types are sent)
import numpy as np

from dlc.codegen.program_builder import build_program
from dlc.codegen.reference.backend import ReferenceBackend
from dlc.codegen.triton.emit import emit_kernel
from dlc.ir.dims import evaluate
from dlc.passes.manager import run_pipeline
from dlc.runtime.device import Device, find_device, register_device, unregister_device
from dlc.runtime.executable import Options, passes_of

ROOT = Path(__file__).parent.parent
GPU = find_device("cuda:sm_90")


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
        return self.request("run", (arrays, launches))

    def request(self, kind, work):
        """What the worker answers; AssertionError where it fails."""
        pickle.dump((kind, work), self.process.stdin)
        self.process.stdin.flush()
        fine, answer = pickle.load(self.process.stdout)
        if not fine:
            raise AssertionError(f"{answer}\n{work}")
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


class InterpretedProgram:
    """A program whose kernels run in the worker; what a device loads."""

    def __init__(self, worker, program, which=0, fixed=()):
        self.worker, self.program, self.which, self.fixed = worker, program, which, fixed

    def bind(self, values):
        """The program for these values of the symbols."""
        return BoundInterpretedProgram(self, dict(values))


class BoundInterpretedProgram:
    """A program with its extents."""

    def __init__(self, code, values):
        self.code, self.values = code, values

    def run(self, inputs, num_threads=1):
        """The results; slots that share memory do so here."""
        program, values = self.code.program, self.values
        arrays = []
        for slot in program.slots:
            if slot.kind == "input":
                arrays.append(inputs[slot.position])
            elif slot.kind == "constant":
                arrays.append(program.constants[slot.position])
            elif slot.kind == "fixed":
                arrays.append(self.code.fixed[slot.position])
            else:
                shape = [evaluate(d, values) for d in slot.type.shape]
                arrays.append(np.zeros(shape, slot.type.dtype.numpy))
        made = self.code.worker.run(arrays, self.all_launches())
        results = {}
        for k, slot in enumerate(program.slots):
            if slot.kind == "output":
                held = made[program.memory_of(k)]
                results[slot.position] = held.view(slot.type.dtype.numpy).reshape(arrays[k].shape)
        return [results[k] for k in range(len(program.results))]

    def all_launches(self):
        """The launches of all calls."""
        program = self.code.program
        return [x for call in (*program.once, *program.calls) for x in self.launches(call)]

    def launches(self, call):
        """The launches of one call; none when it writes nothing."""
        program = self.code.program
        kernel = program.kernels[call.kernel]
        dims = {n: evaluate(d, self.values) for n, d in zip(kernel.dims, call.dims, strict=True)}
        outs = [p for p in kernel.params if p.mode != "in"]
        if all(0 in [evaluate(d, dims) for d in p.dims] for p in outs):
            return []
        slots = [program.memory_of(a) for a in call.args]
        return launches_of(kernel, slots, dims, self.code.which)


def built(function, level="O2"):
    """A function of known extents as a program of the Triton backend."""
    return build_program(run_pipeline(function, passes_of(Options(level, device="cuda:sm_90"))))


def bound(worker, program, which=0):
    """Such a program with a worker that runs it."""
    return InterpretedProgram(worker, program, which).bind({})


@contextmanager
def device(worker, which):
    """A kind of device, by name, that runs programs in the worker."""
    kind = f"interpreted{which}"

    def load(program, payloads, fixed):
        return InterpretedProgram(worker, program, which, fixed)

    register_device(
        kind, Device(ReferenceBackend, load, own_kernels=GPU.own_kernels, split=GPU.split)
    )
    try:
        yield kind
    finally:
        unregister_device(kind)
