"""A kernel as Triton source: products and attention by tensor cores, everything else by nests."""

from __future__ import annotations

from collections.abc import Mapping

from dlc.codegen.kernel_ir import Kernel
from dlc.codegen.triton.code import Launch
from dlc.codegen.triton.nests import write_nest
from dlc.codegen.triton.plan import plan_nests
from dlc.codegen.triton.products import tried_products, write_product
from dlc.codegen.triton.walk_writer import tried_walks, write_walks


def emit_kernel(kernel: Kernel, arch: int = 90, *, fast: bool = False) -> tuple[Launch, ...]:
    """The launches of a kernel, to be run in order, with the schedules of an architecture.

    With `fast`, operands of products may be rounded to what tensor cores take.

    Raises:
        BackendError: for a statement that has no form in Triton, naming it.

    Example:
        >>> (launch,) = emit_kernel(parse_kernel("kernel k(out y: f32[N]): par n<N: y[n] = 1.0"))
        >>> [v.entry for v in launch.variants]
        ['k_0_aligned', 'k_0']
    """
    if all(0 in p.dims for p in kernel.params if p.mode != "in"):
        return ()  # nothing is written
    product = write_product(kernel, arch, fast=fast)
    if product is not None:
        return (product.reachable(kernel.dims),)
    walks = write_walks(kernel, arch, fast=fast)
    if walks is not None:
        return tuple(launch.reachable(kernel.dims) for launch in walks)
    nests = enumerate(plan_nests(kernel))
    return tuple(write_nest(nest, k).reachable(kernel.dims) for k, nest in nests)


def tried_launches(
    kernel: Kernel, arch: int, dims: Mapping[str, int], *, fast: bool = False
) -> tuple[Launch, ...]:
    """Other variants of the launches of a product or of attention; none of other kernels.

    They are for these extents, and give the bits of the variants that `emit_kernel` writes.
    """
    product = tried_products(kernel, arch, dims, fast=fast)
    if product is not None:
        return (product,)
    return tried_walks(kernel, arch, dims, fast=fast) or ()
