"""What the machine can do: multiplications with additions, and bytes of memory, a second."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import dlc
from dlc.bench.share import Peaks
from dlc.codegen.cpu.isa import Isa, host_isa
from dlc.codegen.cpu.llvm import compile_module
from dlc.runtime.loader import LoadedCode, load_blob

_TRIES = 7
_ITERATIONS = 2_000_000
FOOTPRINTS = (4 << 20, 64 << 20, 512 << 20)  # bytes: caches of a core, of all cores, memory


def measure_peaks(threads: int, largest: float) -> Peaks:
    """Measures with so many threads; takes a second or two.

    Args:
        threads: How many.
        largest: The most bytes that a case moves: larger footprints than it needs are left out.
    """
    needed = FOOTPRINTS[: 1 + sum(size < largest for size in FOOTPRINTS)]
    moved = {str(size): _bytes_a_second(size, threads) for size in needed}
    return {"operations": _operations_a_second(threads), "bytes": moved}


def _multiply_add_text(isa: Isa) -> tuple[str, int]:
    """A loop of independent multiply-adds in registers, and how many operations a step has."""
    lanes, chains = isa.lanes(32), isa.registers - isa.registers // 4
    vector = f"<{lanes} x float>"
    phis, steps, total = [], [], []
    for k in range(chains):
        phis.append(f"  %a{k} = phi {vector} [ %x, %entry ], [ %b{k}, %loop ]")
        if isa.fma:
            steps.append(
                f"  %b{k} = call {vector} @llvm.fma({vector} %a{k}, {vector} %x, {vector} %x)"
            )
        else:
            steps.append(f"  %m{k} = fmul {vector} %a{k}, %x")
            steps.append(f"  %b{k} = fadd {vector} %m{k}, %x")
        before = f"%s{k - 1}" if k else "%x"
        total.append(f"  %s{k} = fadd {vector} {before}, %b{k}")
    lines = "\n".join
    text = f"""
declare {vector} @llvm.fma.v{lanes}f32({vector}, {vector}, {vector})
define void @run(ptr %out, i64 %n) {{
entry:
  %x = load {vector}, ptr %out, align 64
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %i1, %loop ]
{lines(phis)}
{lines(steps)}
  %i1 = add i64 %i, 1
  %more = icmp slt i64 %i1, %n
  br i1 %more, label %loop, label %done
done:
{lines(total)}
  store {vector} %s{chains - 1}, ptr %out, align 64
  ret void
}}
""".replace("@llvm.fma(", f"@llvm.fma.v{lanes}f32(")
    return text, 2 * lanes * chains


def _operations_a_second(threads: int) -> float:
    text, operations = _multiply_add_text(host_isa())
    code: LoadedCode = load_blob(compile_module(text, host_isa()).blob())
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(code.address("run"))
    outs = [np.zeros(64, np.float32) for _ in range(threads)]
    addresses = [(out.ctypes.data + 63) & -64 for out in outs]

    def once() -> None:
        workers = [threading.Thread(target=run, args=(a, _ITERATIONS)) for a in addresses[1:]]
        for worker in workers:
            worker.start()
        run(addresses[0], _ITERATIONS)
        for worker in workers:
            worker.join()

    return operations * _ITERATIONS * threads / _best(once)


def _bytes_a_second(footprint: int, threads: int) -> float:
    """The most of a read, a copy and a triad over that many bytes."""
    found: list[float] = []
    for function, arrays in ((_read, 1), (_copy, 1), (_triad, 2)):
        moved = arrays if function is _read else arrays + 1
        size = footprint // (4 * moved)
        inputs = [dlc.asarray(np.ones(size, np.float32)) for _ in range(arrays)]
        compiled = dlc.compile(function, num_threads=threads)
        compiled(*inputs)
        compiled(*inputs)

        count = max(1, (64 << 20) // footprint)

        def run(compiled: Any = compiled, inputs: Any = inputs, count: int = count) -> None:
            for _ in range(count):
                compiled(*inputs)

        found.append(4 * size * moved * count / _best(run))
    return max(found)


def _read(x: Any) -> Any:
    return dlc.sum(x)


def _copy(x: Any) -> Any:
    return -x


def _triad(x: Any, y: Any) -> Any:
    return x + 3 * y


def _best(run: Callable[[], object]) -> float:
    """The least of the seconds of a few tries."""
    found: list[float] = []
    for _ in range(_TRIES):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return min(found)
