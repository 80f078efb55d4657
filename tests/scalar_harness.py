"""Runs scalar expressions through the CPU backend's scalar ops, a loop of vectors over arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlc.codegen.cpu.emit import Emitter, llvm_type, memory_type, module_text
from dlc.codegen.cpu.isa import ISA_LEVELS, Isa, host_flags, host_machine
from dlc.codegen.cpu.literals import literal
from dlc.codegen.cpu.llvm import compile_module
from dlc.codegen.cpu.scalars import emit_op
from dlc.ir import scalar
from dlc.ir.scalar import Expr
from dlc.ir.types import DType, uint8
from dlc.runtime.loader import load_blob

HOST_LEVELS = [isa for isa in ISA_LEVELS if isa.runs_on(host_machine(), host_flags())]


def argument(k: int, dtype: DType) -> Expr:
    """The k-th array of a function of scalars."""
    return scalar.load(f"x{k}", (), dtype)


def emit_loop(expr: Expr, dtypes: Sequence[DType], lanes: int, isa: Isa) -> Emitter:
    """A function (array pointers, output pointer, i64 n) with n a multiple of `lanes`."""
    names = [(f"x{k}", d) for k, d in enumerate(dtypes)]
    em = Emitter("run", [*(("ptr", n) for n, _ in names), ("ptr", "out"), ("i64", "n")])

    def address(base: str, dtype: DType, i: str) -> str:
        return em.value(f"getelementptr {memory_type(dtype)}, ptr {base}, i64 {i}")

    def body(i: str, _: list[str]) -> list[str]:
        values: dict[int, str] = {}
        for node in scalar.walk(expr):
            values[id(node)] = emit_node(em, node, [values[id(a)] for a in node.args], i)
        result, memory = values[id(expr)], memory_type(expr.dtype, lanes)
        if expr.dtype.kind == "b":
            result = em.value(f"zext {llvm_type(expr.dtype, lanes)} {result} to {memory}")
        place = address("%out", expr.dtype, i)
        em.line(f"store {memory} {result}, ptr {place}, align {expr.dtype.itemsize}")
        return []

    def emit_node(em: Emitter, node: Expr, args: list[str], i: str) -> str:
        if node.op == "const":
            return literal(node.attr, node.dtype, lanes)
        if node.op != "load":
            return emit_op(em, node.op, node.dtype, [a.dtype for a in node.args], args, lanes, isa)
        memory, place = memory_type(node.dtype, lanes), address(f"%{node.attr}", node.dtype, i)
        value = em.value(f"load {memory}, ptr {place}, align {node.dtype.itemsize}")
        if node.dtype.kind != "b":
            return value
        return em.value(f"icmp ne {memory} {value}, {literal(0, uint8, lanes)}")

    em.loop("0", "%n", lanes, body)
    em.line("ret void")
    return em


def compile_scalar(
    expr: Expr, dtypes: Sequence[DType], lanes: int, isa: Isa
) -> Callable[..., np.ndarray[Any, Any]]:
    """`expr` over arguments x0, x1, ... as a function of equally long flat arrays."""
    code = load_blob(compile_module(module_text([emit_loop(expr, dtypes, lanes, isa)]), isa).blob())
    pointers = [ctypes.c_void_p] * (len(dtypes) + 1)
    entry = ctypes.CFUNCTYPE(None, *pointers, ctypes.c_int64)(code.address("run"))

    def run(*arrays: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        n = len(arrays[0])
        padded = -n % lanes
        inputs = [np.ascontiguousarray(np.concatenate([a, a[:1].repeat(padded)])) for a in arrays]
        for a, dtype in zip(inputs, dtypes, strict=True):
            assert a.dtype == dtype.numpy
        out = np.zeros(n + padded, expr.dtype.numpy)
        entry(*(a.ctypes.data for a in inputs), out.ctypes.data, n + padded)
        return out[:n]

    run.code = code  # type: ignore[attr-defined]  # keeps the mapping alive
    return run
