"""What the writers of Triton source hand on: launches, each in variants for different extents."""

from __future__ import annotations

from collections.abc import Sequence

from dlc.codegen.kernel_ir import Kernel
from dlc.codegen.triton.prelude import helpers_of
from dlc.codegen.triton.scalars import pointer_type
from dlc.codegen.triton.stored_code import dims_fit
from dlc.ir.dims import Dim
from dlc.ir.record import dataclass


@dataclass(frozen=True)
class Variant:
    """One way to run a launch.

    Args:
        source: A Triton module with the function `entry`, whose arguments are a pointer `p_x` for
            each parameter x of the kernel, then an i64 `dim_N` for each of its dims.
        grid: The number of programs, over the kernel's dims.
        num_warps: Warps a program.
        num_stages: Stages of pipelined loops.
        at_most: Extents and the largest values of theirs that this variant is right for.
        aligned: Whether all dims of the kernel must be multiples of `ALIGNMENT`.
    """

    source: str
    entry: str
    grid: Dim
    num_warps: int = 4
    num_stages: int = 3
    at_most: tuple[tuple[Dim, int], ...] = ()
    aligned: bool = False

    def fits(self, dims: dict[str, int]) -> bool:
        """Whether it is right for these values of the kernel's dims.

        Example:
            >>> Variant("", "k", 1, aligned=True).fits({"n": 20})
            False
        """
        return dims_fit(dims, self.at_most, self.aligned)


@dataclass(frozen=True)
class Launch:
    """One launch of a kernel: the first variant that fits; the last one always does."""

    variants: tuple[Variant, ...]

    def reachable(self, dims: Sequence[str]) -> Launch:
        """Those variants that some extents lead to, of a kernel with these dims."""
        kept: list[Variant] = []
        for v in self.variants:
            known = {size <= limit for size, limit in v.at_most if isinstance(size, int)}
            if False in known:
                continue
            kept.append(v)
            open_limits = any(not isinstance(size, int) for size, _ in v.at_most)
            if not open_limits and not (v.aligned and dims):
                break  # it always fits
        return Launch(tuple(kept))

    def choose(self, dims: dict[str, int]) -> Variant:
        """The variant for these values of the kernel's dims."""
        return next(v for v in self.variants if v.fits(dims))


def signature_of(kernel: Kernel) -> dict[str, str]:
    """The arguments of a kernel's functions and their types, in order.

    Example:
        >>> signature_of(kernel)
        {'p_x': '*fp32', 'p_y': '*fp32', 'dim_n': 'i64'}
    """
    pointers = {f"p_{p.name}": pointer_type(p.dtype) for p in kernel.params}
    return pointers | {f"dim_{n}": "i64" for n in kernel.dims}


def module_source(kernel: Kernel, entry: str, lines: Sequence[str], title: Sequence[str]) -> str:
    """A module with the function `entry` of these lines, and the helpers that it calls."""
    body = "\n".join(lines) or "    pass"
    helpers = helpers_of(body)
    head = "\n".join(f"# {t}".rstrip() for t in title)
    function = f"@triton.jit\ndef {entry}({', '.join(signature_of(kernel))}):\n{body}\n"
    imports = "import triton\nimport triton.language as tl\n"
    return "\n\n".join(x for x in (head + "\n" + imports, helpers, function) if x)
