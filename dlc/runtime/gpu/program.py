"""Programs on a GPU: their memory laid out as on the CPU, their calls a list of launches."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from dlc.codegen.host_call import run_host
from dlc.codegen.memory_plan import ALIGNMENT as PLAN_ALIGNMENT
from dlc.codegen.memory_plan import byte_size, plan_memory
from dlc.codegen.program import Call, Program
from dlc.codegen.triton.stored_code import ALIGNMENT, GpuCode
from dlc.ir.config import config
from dlc.ir.deferred import deferred
from dlc.ir.dims import evaluate
from dlc.ir.errors import DeviceError, DlcError, MemoryLimitError
from dlc.ir.types import dtype_of
from dlc.runtime.gpu.array import GpuArray
from dlc.runtime.gpu.device import Gpu, index_of, open_gpu
from dlc.runtime.gpu.graphs import Graphs
from dlc.runtime.gpu.launches import Launch, LoadedCode
from dlc.runtime.gpu.steps import GpuSteps, is_decided_beforehand

if TYPE_CHECKING:
    from dlc.runtime.gpu import tuning
else:
    tuning = deferred("dlc.runtime.gpu.tuning")

Array: TypeAlias = np.ndarray[Any, Any]
Held: TypeAlias = "Array | GpuArray"

# Weights that several programs have, by the array of the host that they were given as.
_uploaded: dict[tuple[int, str], tuple[weakref.ref[Any], weakref.ref[GpuArray]]] = {}


def on_gpu(gpu: Gpu, array: Held) -> GpuArray:
    """An array on a GPU: itself, or a copy of one of the host.

    Raises:
        DeviceError: It is on another GPU.
    """
    if not isinstance(array, GpuArray):
        return GpuArray.of(gpu, array)
    if array.gpu is not gpu:
        raise DeviceError(
            f"a tensor on {array.device} for a program on {gpu.name}",
            hint=f"move it with .to({gpu.name!r})",
        )
    return array.copy() if array.pointer % ALIGNMENT else array


def _shared_upload(gpu: Gpu, array: Held) -> GpuArray:
    """Like `on_gpu`; the copy is shared by all programs that are given the same array."""
    if isinstance(array, GpuArray):
        return on_gpu(gpu, array)
    key = (id(array), gpu.name)
    found = _uploaded.get(key)
    if found is not None and found[0]() is array and (held := found[1]()) is not None:
        return held
    made = GpuArray.of(gpu, array)
    _uploaded[key] = weakref.ref(array), weakref.ref(made)
    for gone in [k for k, (a, b) in _uploaded.items() if a() is None or b() is None]:
        del _uploaded[gone]
    return made


class GpuProgram:
    """A program with its machine code; the GPU is opened when it is first bound.

    Args:
        which: The GPU's number, or an architecture; the first GPU where it is empty.
        program: What to run.
        payloads: The code of its kernels.
        fixed: The values of its fixed slots.
    """

    def __init__(
        self,
        which: str,
        program: Program,
        payloads: Sequence[bytes],
        fixed: Sequence[Held] = (),
    ) -> None:
        self.program, self._fixed = program, fixed
        number = "" if which.startswith("sm_") else which
        self._index = index_of(f"cuda:{number}" if number else "cuda")
        coded = (k for k, kernel in enumerate(program.kernels) if kernel.host is None)
        self.codes = {k: GpuCode.from_bytes(payloads[k]) for k in coded}
        self._tuned: dict[tuple[int, ...], LoadedCode] = {}  # by kernel and its dims

    @functools.cached_property
    def gpu(self) -> Gpu:
        """Where it runs.

        Raises:
            DeviceError: There is no driver, no such GPU, or the driver is too old.
        """
        return open_gpu(self._index)

    @functools.cached_property
    def loaded(self) -> dict[int, LoadedCode]:
        """The code of each kernel on the GPU."""
        return {k: LoadedCode(self.gpu, code) for k, code in self.codes.items()}

    @functools.cached_property
    def standing(self) -> dict[int, GpuArray]:
        """The arrays of the slots that hold the same in each call."""
        program, gpu = self.program, self.gpu
        found: dict[int, GpuArray] = {}
        for k, slot in enumerate(program.slots):
            match slot.kind:
                case "constant":
                    found[k] = _shared_upload(gpu, program.constants[slot.position])
                case "fixed":
                    found[k] = _shared_upload(gpu, self._fixed[slot.position])
                case "kept":
                    shape = [evaluate(d, {}) for d in slot.type.shape]
                    found[k] = GpuArray(gpu, shape, slot.type.dtype)
                case _:
                    pass
        pointers = [found[k].pointer if k in found else 0 for k in range(len(program.slots))]
        for call in program.once:
            for launch in self.launches(call, {}):
                launch.enqueue(gpu, pointers)
        return {k: a for k, a in found.items() if k in program.standing}

    def launches(self, call: Call, values: Mapping[str, int]) -> list[Launch]:
        """The launches of a call; none when it writes nothing."""
        kernel = self.program.kernels[call.kernel]
        dims = {n: evaluate(d, values) for n, d in zip(kernel.dims, call.dims, strict=True)}
        outs = (p for p in kernel.params if p.mode != "in")
        if all(0 in [evaluate(d, dims) for d in p.dims] for p in outs):
            return []
        slots = [self.program.memory_of(a) for a in call.args]
        return self._code(call.kernel, dims).launches(slots, dims)

    def _code(self, number: int, dims: Mapping[str, int]) -> LoadedCode:
        """The code of a kernel for these extents."""
        if not config.autotune:
            return self.loaded[number]
        found = self._tuned.get((number, *dims.values()))
        if found is None:
            kernel = self.program.kernels[number]
            code = tuning.tuned(self.gpu, kernel, self.codes[number], dims)
            found = self._tuned[number, *dims.values()] = LoadedCode(self.gpu, code)
        return found

    def bind(self, values: Mapping[str, int]) -> BoundGpuProgram:
        """The program for these values of the symbols.

        Raises:
            DeviceError: There is no GPU that runs it.
        """
        return BoundGpuProgram(self, dict(values))


class BoundGpuProgram:
    """A program with its extents: launches, and where everything lies."""

    def __init__(self, code: GpuProgram, values: dict[str, int]) -> None:
        program = code.program
        self.code, self.program, self.values, self.gpu = code, program, values, code.gpu
        self.plan = plan_memory(program, values)
        with self.gpu.lock, self.gpu.active():
            self._pointers = [0] * len(program.slots)
            for k, array in code.standing.items():
                self._pointers[k] = array.pointer
            self.calls = [self._launches(k) for k in range(len(program.calls))]
        self.graphs = Graphs(self.gpu) if is_decided_beforehand(program) else None
        roots = {s.position: program.memory_of(k) for k, s in self._slots("output")}
        self._donors = {
            p: program.slots[root].position
            for p, root in roots.items()
            if program.slots[root].kind == "input"
        }
        self._shapes = [tuple(evaluate(d, values) for d in r.shape) for r in program.results]

    def _slots(self, kind: str) -> list[tuple[int, Any]]:
        return [(k, s) for k, s in enumerate(self.program.slots) if s.kind == kind]

    def _launches(self, call: int) -> list[Launch]:
        if self.program.runs_in_python(call):
            return []
        return self.code.launches(self.program.calls[call], self.values)

    def run(self, inputs: Sequence[Any], num_threads: int) -> list[Any]:
        """Puts the program into the stream.

        Args:
            inputs: Arrays of the GPU, or of the host, which are copied.
            num_threads: Means nothing here.

        Returns:
            Arrays of the GPU, which are computed when the stream has come so far.

        Raises:
            DeviceError: An input is on another GPU.
            MemoryLimitError: The GPU has not enough memory.
        """
        gpu = self.gpu
        # Python that a program calls may run another one meanwhile.
        own = any(k.host is not None for k in self.program.kernels)
        with gpu.lock, gpu.active():
            try:
                held = [self._settled(k, a) for k, a in enumerate(inputs)]
                results = [self._result(k, held) for k in range(len(self._shapes))]
                offsets, size = self._staging(held)
                with gpu.own_space(size) if own else gpu.workspace(size) as space:
                    given = [
                        a if isinstance(a, GpuArray) else self._staged(a, space + offsets[k])
                        for k, a in enumerate(held)
                    ]
                    self._enqueue(given, results, space)
            except MemoryLimitError as error:
                raise self._too_large(error) from None
        return results

    def _settled(self, position: int, array: Held) -> Held:
        """An input on this GPU; one of the host that no result is in the memory of stays there."""
        if isinstance(array, GpuArray) or position in self._donors.values():
            return on_gpu(self.gpu, array)
        return array

    def _staging(self, inputs: Sequence[Held]) -> tuple[dict[int, int], int]:
        """Where behind the temporaries each input of the host is copied to, and where that ends."""
        offsets: dict[int, int] = {}
        size = _aligned(self.plan.arena_bytes)
        for k, array in enumerate(inputs):
            if not isinstance(array, GpuArray):
                offsets[k] = size
                size += _aligned(array.nbytes)
        return offsets, size

    def _staged(self, array: Array, address: int) -> GpuArray:
        array = np.ascontiguousarray(array).reshape(array.shape)
        self.gpu.copy_in(address, array.ctypes.data, array.nbytes)
        return GpuArray(self.gpu, array.shape, dtype_of(array.dtype), address, self)

    def _result(self, position: int, given: Sequence[Held]) -> GpuArray:
        donor = self._donors.get(position)
        shape, dtype = self._shapes[position], self.program.results[position].dtype
        if donor is None:
            return GpuArray(self.gpu, shape, dtype)
        held = given[donor]
        assert isinstance(held, GpuArray)
        if held.shape == shape and held.dtype == dtype.numpy:
            return held
        return GpuArray(self.gpu, shape, dtype, held.pointer, held)

    def _enqueue(self, given: Sequence[GpuArray], results: Sequence[GpuArray], arena: int) -> None:
        pointers = list(self._pointers)
        for k, slot in self._slots("input"):
            pointers[k] = given[slot.position].pointer
        for k, slot in self._slots("output"):
            pointers[k] = results[slot.position].pointer
        for k, offset in self.plan.offsets.items():
            pointers[k] = arena + offset

        def run(call: int) -> None:
            if self.program.runs_in_python(call):
                self._in_python(call, pointers)
            for launch in self.calls[call]:
                launch.enqueue(self.gpu, pointers)

        steps = GpuSteps(self.gpu, self.program, self.values, pointers, run)
        if self.graphs is None:
            steps.walk()
        else:
            moving = [a.pointer for a in (*given, *results)]
            self.graphs.run((*moving, arena), steps.walk)

    def _in_python(self, number: int, pointers: Sequence[int]) -> None:
        """A call that runs in Python, on copies in the host's memory."""
        call = self.program.calls[number]
        kernel = self.program.kernels[call.kernel]
        assert kernel.host is not None
        dims = {n: evaluate(d, self.values) for n, d in zip(kernel.dims, call.dims, strict=True)}
        places = [pointers[self.program.memory_of(a)] for a in call.args]
        arrays = [
            np.empty([evaluate(d, dims) for d in p.dims], p.dtype.numpy) for p in kernel.params
        ]
        sides: dict[bool, list[Array]] = {True: [], False: []}
        for p, place, array in zip(kernel.params, places, arrays, strict=True):
            if p.mode == "in":
                self.gpu.copy_out(array.ctypes.data, place, array.nbytes)
                array.flags.writeable = False
            sides[p.mode == "in"].append(array)
        try:
            run_host(kernel.host, sides[True], sides[False], dims)
        except DlcError as error:
            error.location = error.location or call.loc
            raise
        for p, place, array in zip(kernel.params, places, arrays, strict=True):
            if p.mode != "in":
                self.gpu.copy_in(place, array.ctypes.data, array.nbytes)

    def _too_large(self, error: MemoryLimitError) -> MemoryLimitError:
        """The error with what the program needs memory for."""
        program = self.program
        types = {"arguments": program.params, "results": program.results}
        sizes = {n: sum(byte_size(t, self.values) for t in ts) for n, ts in types.items()}
        sizes["constants"] = sum(a.nbytes for a in self.code.standing.values())
        sizes["temporaries"] = self.plan.arena_bytes
        parts = ", ".join(f"{size:,} of {name}" for name, size in sizes.items())
        return MemoryLimitError(
            f"{program.name} does not fit: {error.message}; its bytes are {parts}", hint=error.hint
        )


def _aligned(size: int) -> int:
    return -(-size // PLAN_ALIGNMENT) * PLAN_ALIGNMENT
