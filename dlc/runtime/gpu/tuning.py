"""Schedules by measuring: of some variants of a product or of attention the quickest is kept.

Only where `config.autotune` asks for it, once for a kernel, its extents and a GPU: what was found
lies in the cache of compiled code, and what reads it there needs no Triton.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from dlc.codegen.kernel_ir import Kernel
from dlc.codegen.triton.backend import TritonBackend
from dlc.codegen.triton.stored_code import GpuCode, GpuVariant
from dlc.ir.dims import evaluate
from dlc.ir.errors import DeviceError, MemoryLimitError, StoredCodeError
from dlc.ir.logs import TopicLog
from dlc.ir.record import replace
from dlc.runtime.cache import Key, default_cache
from dlc.runtime.gpu.device import Gpu
from dlc.runtime.gpu.launches import LoadedCode
from dlc.runtime.own_version import own_version

_KIND = "tuned"
_TIMED = 5  # launches
_log = TopicLog("compile")


def tuned(gpu: Gpu, kernel: Kernel, code: GpuCode, dims: Mapping[str, int]) -> GpuCode:
    """The code with the quickest of the variants that there are for these extents.

    Args:
        gpu: Where to measure.
        kernel: What was compiled.
        code: Its code with the usual schedules.
        dims: The values of its dims.
    """
    key = Key([
        ("dlc", own_version()),
        ("code", hashlib.sha256(code.to_bytes()).hexdigest()),  # of a text, by one Triton
        ("dims", ",".join(map(str, dims.values()))),
        ("gpu", gpu.facts.name),
    ])  # fmt: skip
    cache = default_cache()
    found = cache.get(_KIND, key)
    try:
        if found is not None:
            return GpuCode.from_bytes(found) if found else code
    except StoredCodeError as error:
        cache.discard(_KIND, key, error.message)
    try:
        made = _measured(gpu, kernel, code, dims)
    except MemoryLimitError:  # with more memory it may be measured another time
        return code
    cache.put(_KIND, key, b"" if made is code else made.to_bytes())
    return made


def _measured(gpu: Gpu, kernel: Kernel, code: GpuCode, dims: Mapping[str, int]) -> GpuCode:
    if any(p.dtype.kind in "iu" and p.dtype.bits > 8 for p in kernel.params):
        return code  # there may be indices, for which any bytes will not do
    tried = list(TritonBackend(code.arch, code.precision).tried(kernel, dims))
    if not tried:
        return code
    usual = [next(v for v in launch if v.fits(dims)) for launch in code.launches]
    with _operands(gpu, kernel, dims) as pointers:

        def timed(variant: GpuVariant) -> tuple[float, GpuVariant]:
            return _milliseconds(gpu, code, variant, pointers, dims), variant

        best = [timed(v) for v in usual]
        for k, variant in tried:
            best[k] = min(best[k], timed(variant), key=lambda x: x[0])
    for (took, chosen), before in zip(best, usual, strict=True):
        _log.debug("%s: %s takes %.4f ms", before.entry, chosen.entry, took)
    return replace(code, launches=tuple((v,) for _, v in best))


@contextmanager
def _operands(gpu: Gpu, kernel: Kernel, dims: Mapping[str, int]) -> Generator[list[int]]:
    """Memory for the parameters of a kernel, by address."""
    pointers: list[int] = []
    try:
        for p in kernel.params:
            count = math.prod(evaluate(d, dims) for d in p.dims)
            pointers.append(gpu.allocate(p.dtype.itemsize * count))
        yield pointers
    finally:
        for address in pointers:
            gpu.free(address)


def _milliseconds(
    gpu: Gpu, code: GpuCode, variant: GpuVariant, pointers: Sequence[int], dims: Mapping[str, int]
) -> float:
    """How long one launch takes; infinitely for a variant that the GPU does not take."""
    try:
        loaded = LoadedCode(gpu, replace(code, launches=((variant,),)))
        launches = loaded.launches(range(len(pointers)), dims)
        took = 0.0
        for launch in launches:
            launch.enqueue(gpu, pointers)
            took += gpu.milliseconds(partial(launch.enqueue, gpu, pointers), _TIMED)
    except DeviceError:
        return math.inf
    return took
