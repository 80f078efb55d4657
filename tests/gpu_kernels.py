"""Every kernel of the op table and of the corpus for GPUs, and the record of what their code uses.

    python tests/gpu_kernels.py [--seconds N]

compiles the variants that the record lacks, for each architecture, and writes it anew without those
that are no more. It does so as it goes, so that another run begins where one was stopped; variants
that do not compile or are over the bounds are named, and the exit status is then 1. A line is the
hash of a variant's text, then registers, bytes of stack (of spilled registers) and of shared memory
for each architecture; the first one says which Triton that was. Of variants that are equal but for
what is known of the extents, sm_90 has the one that knows most, and sm_80 the one that knows least.
"""

import argparse
import functools
import hashlib
import itertools
import sys
import time
from pathlib import Path

import numpy as np
from op_cases import cases, function_of, operands, special_operands
from triton_harness import built

from dlc.codegen.kernel_names import canonical, normalised_text
from dlc.codegen.triton.code import signature_of
from dlc.codegen.triton.compile import compile_variant, resources, triton_version
from dlc.codegen.triton.emit import emit_kernel
from dlc.ir.build import IRBuilder
from dlc.ir.errors import BackendError
from dlc.ir.parser import parse_function
from dlc.ir.types import TensorType, dtype_of

ROOT = Path(__file__).parent
RECORD = ROOT / "gpu_kernels.txt"
ARCHS = ("sm_80", "sm_90")
SPILLED = 32  # bytes of a thread's stack that are allowed
SHARED = {"sm_80": 163 * 1024, "sm_90": 227 * 1024}  # bytes that a program can have
SAVED = 20  # variants are compiled between two writings of the record


def functions():
    """Every function whose kernels count."""
    for case in cases():
        if case.op.family != "host":
            for args in (operands(case), special_operands(case)):
                if args is not None:
                    yield function_of(case, args)
    for path in sorted((ROOT / "corpus").glob("*.ir")):
        yield parse_function(path.read_text())
    for width, dtype, causal in itertools.product((64, 128), ("f32", "f16", "bf16"), (0, 1)):
        yield attention(width, dtype, causal, ("attention", "attention_lse"))
        if dtype != "bf16":  # whose products of gradients take less than those of f16
            rows = [f"attention_grad_{x}" for x in ("query", "key", "value")]
            yield attention(width, dtype, causal, rows)


def attention(width, dtype, causal, rows):
    """Attention of usual widths, with a mask where it is not causal."""
    b = IRBuilder()

    def param(name, *shape, dtype="f32"):
        return b.param(TensorType(dtype_of(dtype), shape), name)

    q, k, v = (param(n, 2, 4, 512, width, dtype=dtype) for n in "qkv")
    rest = [] if rows[0] == "attention" else [
        param("lse", 2, 4, 512), param("ct", 2, 4, 512, width, dtype=dtype),
        param("delta", 2, 4, 512),
    ]  # fmt: skip
    rest += [] if causal else [param("mask", 2, 4, 512, 512)]
    results = [getattr(b, r)(q, k, v, *rest, scale=0.1, causal=bool(causal)) for r in rows]
    return b.function("f", [q, k, v, *rest], results)


@functools.cache
def kernels():
    """Every kernel under its canonical names, in the order of their texts."""
    found = {normalised_text(k): k for f in functions() for k in built(f).kernels}
    return [canonical(found[text]) for text in sorted(found)]


def variants(arch):
    """Every variant for an architecture with its kernel's signature, by its hash."""
    found = {}
    for kernel in kernels():
        for launch in emit_kernel(kernel, int(arch.removeprefix("sm_"))):
            by_text = {}
            for v in launch.variants if arch == "sm_90" else launch.variants[::-1]:
                source = v.source.replace(v.entry, "kernel")
                by_text.setdefault((source, v.num_warps, v.num_stages), v)
            for facts, v in by_text.items():
                key = hashlib.sha256(repr((facts, v.aligned)).encode()).hexdigest()[:12]
                found[key] = (v, signature_of(kernel))
    return found


def measured(variant, signature, arch):
    """Registers, bytes of stack, and bytes of shared memory."""
    binary = compile_variant(variant, signature, arch)
    used = resources(binary.cubin)
    return used["REG"], used["STACK"] + used["LOCAL"], binary.shared


def read_record():
    """What is known, by architecture and hash, and whether it was all that there was.

    Nothing is known where the record is of another Triton.
    """
    known = {"complete": False, **{arch: {} for arch in ARCHS}}
    if not RECORD.exists():
        return known
    first, *lines = RECORD.read_text().splitlines()
    if first not in (heading(False), heading(True)):
        return known
    known["complete"] = first == heading(True)
    for line in lines:
        key, *figures = line.split()
        for arch, text in zip(ARCHS, figures, strict=True):
            if text != "-":
                known[arch][key] = tuple(map(int, text.split("/")))
    return known


def heading(complete):
    """The first line of a record."""
    extent = "all" if complete else "some"
    return f"Triton {triton_version()}, {extent}: {' '.join(ARCHS)}, registers/stack/shared"


def write_record(known):
    """The record of what is known."""
    lines = [heading(known["complete"])]
    for key in sorted(set().union(*(known[a] for a in ARCHS))):
        shown = [known[a].get(key) for a in ARCHS]
        lines.append(" ".join([key, *("/".join(map(str, s)) if s else "-" for s in shown)]))
    fresh = RECORD.with_suffix(".new")
    fresh.write_text("\n".join(lines) + "\n")
    fresh.replace(RECORD)  # whole, whenever this process ends


def within_bounds(arch, figures):
    """Whether a variant uses no more than it may."""
    registers, spilled, shared = figures
    return registers <= 255 and spilled <= SPILLED and shared <= SHARED[arch]


def main(words=None):
    """Brings the record up to date; 1 when a variant does not compile or uses too much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=np.inf, help="how long to work at most")
    end = time.monotonic() + parser.parse_args(words).seconds
    known = read_record()
    wanted = {arch: variants(arch) for arch in ARCHS}
    known = {a: {k: x for k, x in known[a].items() if k in wanted[a]} for a in ARCHS}
    known["complete"] = False
    missing = [(a, k) for a in reversed(ARCHS) for k in wanted[a] if k not in known[a]]
    for count, (arch, key) in enumerate(missing):
        if time.monotonic() > end:
            break
        try:
            known[arch][key] = measured(*wanted[arch][key], arch)
        except BackendError as error:
            print(f"{arch} {key}: {error}", flush=True)
        if count % SAVED == 0:
            write_record(known)
            print(f"{count} of {len(missing)}", flush=True)
    known["complete"] = all(known[a].keys() == wanted[a].keys() for a in ARCHS)
    write_record(known)
    wrong = [(a, k) for a in ARCHS for k, f in known[a].items() if not within_bounds(a, f)]
    for arch, key in wrong:
        print(f"{arch} {key}: {known[arch][key]}")
    refused = not known["complete"] and time.monotonic() < end
    return int(refused or bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
