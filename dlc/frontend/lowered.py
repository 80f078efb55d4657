"""`f.lower(*args)`: a function traced for given arguments, before it is compiled."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dlc.codegen.program import Loop, Program, Step, inner_steps
from dlc.frontend.closure import Closure
from dlc.ir.core import Function, Node, bodies
from dlc.ir.dims import TRIPS, Dim, add, dim_text, evaluate, maximum, mul, product
from dlc.ir.printer import print_function
from dlc.ir.types import TupleType
from dlc.passes.decompose import Decompose
from dlc.passes.manager import PassContext
from dlc.runtime.executable import Executable, Options, compile_function


class Lowered:
    """A function traced for given arguments; its stages can be read as text.

    Example:
        >>> lowered = dlc.compile(lambda x: x + x, name="twice").lower("f32[3]")
        >>> print(lowered.as_text("traced", locations=False))
        func @twice(%x: f32[3]) -> (f32[3]) {
          %0: f32[3] = add(%x, %x)
          return %0
        }
    """

    def __init__(self, closure: Closure, options: Options, call: Callable[..., Any]) -> None:
        self.closure, self.options = closure, options
        self._call = call
        self._executable: Executable | None = None

    @property
    def function(self) -> Function:
        """The traced IR."""
        return self.closure.function

    @property
    def executable(self) -> Executable:
        """The compiled program, made when first asked for."""
        if self._executable is None:
            fixed = self.closure.fixed_values()
            self._executable = compile_function(self.function, options=self.options, fixed=fixed)
        return self._executable

    @property
    def stages(self) -> tuple[str, ...]:
        """The names that `as_text` takes."""
        return self.executable.stages

    def as_text(self, stage: str = "traced", *, locations: bool = True) -> str:
        """The program at a stage: traced, optimized, kernels, and those of its backend (llvm, asm).

        Args:
            stage: The name of the stage.
            locations: Whether to show the user's source lines.

        Raises:
            ValueRangeError: for an unknown stage.
        """
        if stage == "traced":
            return print_function(self.function, locations=locations)
        return self.executable.text(stage, locations=locations)

    def compile(self) -> Compiled:
        """Compiles now, and gives something to call with arguments of these types."""
        return Compiled(self)

    def cost_analysis(self) -> dict[str, Any]:
        """Arithmetic and memory traffic; expressions of the symbols where extents are symbolic.

        Returns:
            `operations` (in units of an addition; a multiplication and an addition of a contraction
            are two), `bytes` that kernels read and write, and `kernels`, how many there are to
            call. Of branches, the one that costs most counts; a loop counts as often as it runs,
            or once if that is not known.
        """
        program = self.executable.program
        decomposed = Decompose(own_kernels=0).apply(self.function, PassContext())
        return {
            "operations": _readable(_operations(decomposed)),
            "bytes": _readable(_bytes(program, program.all_steps)),
            "kernels": len(program.calls),
        }

    def memory_analysis(self, **extents: int) -> dict[str, Any]:
        """Bytes of memory, expressions of the symbols where extents are symbolic.

        Args:
            **extents: The values of the symbols; the last three figures need them.

        Returns:
            `arguments`, `results`, `donated` (of the results, what lies in memory of arguments) and
            `temporaries` (before they share memory), in bytes; `constants`; `peak`, the most that a
            call holds (arguments, constants, results and the memory that temporaries share), and
            `least`, the same with no more than the temporaries that are needed at one time.

        Raises:
            ValueRangeError: for some of the extents only.

        Example:
            >>> lowered = dlc.compile(lambda x: dlc.softmax(x, axis=1)).lower("f32[b,10]")
            >>> lowered.memory_analysis()["arguments"], lowered.memory_analysis(b=4)["peak"]
            ('40*b', 320)
        """
        if self.function.symbols and not extents:
            return {name: _readable(size) for name, size in self._sizes().items()}
        sizes = {name: evaluate(size, extents) for name, size in self._sizes().items()}
        bound = self.executable.memory_analysis(extents)
        kept = bound["arguments"] + bound["constants"] + bound["results"] - sizes["donated"]
        more = {
            "constants": bound["constants"],
            "peak": kept + bound["temporaries"],
            "least": kept + bound["live"],
        }
        return {**sizes, **more}

    def _sizes(self) -> dict[str, Dim]:
        """Bytes by what they are for."""
        program = self.executable.program
        found: dict[str, Dim] = dict.fromkeys(("arguments", "results", "donated", "temporaries"), 0)
        for k, slot in enumerate(program.slots):
            size = mul(slot.type.size, slot.type.dtype.itemsize)
            kind = {"input": "arguments", "output": "results", "temporary": "temporaries"}.get(
                slot.kind
            )
            if kind is not None:
                found[kind] = add(found[kind], size)
            owner = program.slots[program.memory_of(k)]
            if slot.kind == "output" and owner.kind == "input":
                found["donated"] = add(found["donated"], size)
        return found


def _bytes(program: Program, steps: Sequence[Step]) -> Dim:
    """What the kernels of steps read and write."""
    total: Dim = 0
    for step in steps:
        if isinstance(step, int):
            types = [program.slots[slot].type for slot in program.calls[step].args]
            for t in types:
                total = add(total, mul(t.size, t.dtype.itemsize))
            continue
        inner = [_bytes(program, part) for part in inner_steps(step)]
        if isinstance(step, Loop):
            total = add(total, _often(_sum(inner), step.length))
        else:
            total = add(total, functools.reduce(maximum, inner, 0))
    return total


def _operations(function: Function) -> Dim:
    """What a function costs, in units of an addition."""
    return _sum(_operations_of(node) for node in function.nodes)


def _sum(dims: Iterable[Dim]) -> Dim:
    return functools.reduce(add, dims, 0)


def _often(cost: Dim, length: Dim | None) -> Dim:
    """The cost of a loop; one of unknown length counts as one iteration."""
    return cost if length is None or length == TRIPS else mul(cost, length)


def _operations_of(node: Node) -> Dim:
    if node.op.family == "control":
        inner = [_operations(body) for _, body in bodies(node)]
        if node.op.name == "switch":
            return functools.reduce(maximum, inner, 0)
        return _often(_sum(inner), node.attrs.get("length"))
    if isinstance(node.type, TupleType) or node.op.name == "get":
        return 0
    if node.op.family == "contraction":
        return mul(node.tensor.size, mul(_summed(node), 2))
    counted = node.inputs[0] if node.op.family == "reduction" else node
    return mul(counted.tensor.size, node.op.cost)


def _summed(node: Node) -> Dim:
    """The products in an element of a contraction."""
    x, w = (v.tensor for v in node.inputs)
    if "lhs_contract" in node.attrs:
        return product(x.shape[k] for k in node.attrs["lhs_contract"])
    return product(w.shape[1 + node.attrs["grouped"] :])


def _readable(dim: Dim) -> int | str:
    return dim if isinstance(dim, int) else dim_text(dim)


class Compiled:
    """A compiled function for arguments of given types."""

    def __init__(self, lowered: Lowered) -> None:
        self.lowered = lowered
        self.executable = lowered.executable

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs it on arguments of these types."""
        return self.lowered._call(*args, **kwargs)

    def as_text(self, stage: str = "optimized", *, locations: bool = True) -> str:
        """The program at a stage."""
        return self.lowered.as_text(stage, locations=locations)

    def cost_analysis(self) -> dict[str, Any]:
        """Floating-point operations and bytes moved, by kernel and in all."""
        return self.lowered.cost_analysis()

    def memory_analysis(self, **extents: int) -> dict[str, Any]:
        """Bytes of arguments, results, constants and temporaries, and the most at one time."""
        return self.lowered.memory_analysis(**extents)
