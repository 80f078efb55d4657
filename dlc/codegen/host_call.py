"""Kernels that run in Python: the reference of an op, between what machine code computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.codegen.backend import Backend
from dlc.codegen.kernel_ir import Host, Kernel, Param
from dlc.ir.core import Node
from dlc.ir.deferred import deferred
from dlc.ir.dims import Dim, DimExpr, evaluate, symbol
from dlc.ir.op import map_attr_dims, static_attrs
from dlc.ir.types import TensorType, TupleType

if TYPE_CHECKING:
    from dlc.codegen import kernel_printer
else:
    kernel_printer = deferred("dlc.codegen.kernel_printer")

Array = np.ndarray[Any, Any]


def host_kernel(node: Node) -> tuple[Kernel, tuple[Dim, ...]]:
    """The kernel of a node of family "host" over its inputs and results, and the dims it binds.

    Every symbolic extent has a symbol of the kernel's own.
    """
    symbols: dict[DimExpr, str] = {}

    def own(d: Dim) -> Dim:
        if isinstance(d, int):
            return d
        return symbol(symbols.setdefault(d, f"d{len(symbols)}"))

    def param(t: TensorType, name: str, mode: Any) -> Param:
        return Param(name, mode, t.dtype, tuple(own(d) for d in t.shape))

    results = node.type.items if isinstance(node.type, TupleType) else (node.type,)
    params = [param(x.tensor, f"x{k}", "in") for k, x in enumerate(node.inputs)]
    params += [param(t, f"o{k}", "out") for k, t in enumerate(results)]
    call = Host(node.op, tuple(map_attr_dims(v, own) for v in node.attrs.values()))
    return Kernel(node.op.name, tuple(params), tuple(symbols.values()), (), call), tuple(symbols)


def run_host(
    host: Host, inputs: Sequence[Array], outputs: Sequence[Array], dims: Mapping[str, int]
) -> None:
    """Runs the reference of the op and puts what it gives into the outputs."""
    attrs = dict(zip(host.op.attrs, host.attrs, strict=True))
    assert host.op.reference is not None
    with np.errstate(all="ignore"):
        found = host.op.reference(*inputs, **static_attrs(attrs, lambda d: evaluate(d, dims)))
    for out, value in zip(outputs, found if isinstance(found, tuple) else (found,), strict=True):
        np.copyto(out, value, casting="no")


def code_of(backend: Backend, kernels: Sequence[Kernel]) -> list[bytes]:
    """The code of each kernel; that of one that runs in Python is its text."""
    coded = [k for k in kernels if k.host is None]
    made = iter(backend.compile(coded) if coded else ())
    return [next(made) if k.host is None else host_code(k) for k in kernels]


def host_code(kernel: Kernel) -> bytes:
    """What stands for the code of a kernel that runs in Python: its text."""
    return kernel_printer.print_kernel(kernel).encode()
