"""A writer of one LLVM function as text: fresh names, blocks, counted loops, vectors and masks.

Values are strings: an SSA name (`%v7`) or a literal. Types are strings of LLVM's (`<16 x float>`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from dlc.codegen.cpu.pieces import Piece
from dlc.ir.types import DType

# Half types are their bits: of values of them that cross a branch, LLVM would make library calls.
_LLVM = {"f64": "double", "f32": "float", "f16": "i16", "bf16": "i16", "bool": "i1"}


def llvm_type(dtype: DType, lanes: int = 1) -> str:
    """The register type of `lanes` elements: bool is i1, and one lane is a plain scalar."""
    element = _LLVM.get(dtype.short, f"i{dtype.bits}")
    return element if lanes == 1 else f"<{lanes} x {element}>"


def memory_type(dtype: DType, lanes: int = 1) -> str:
    """The type in memory: as `llvm_type`, but bool is a byte."""
    element = "i8" if dtype.kind == "b" else llvm_type(dtype)
    return element if lanes == 1 else f"<{lanes} x {element}>"


def zero(type_: str) -> str:
    """The zero literal of an LLVM type."""
    if type_.startswith("<"):
        return "zeroinitializer"
    return "0.0" if type_ in ("float", "double") else "null" if type_ == "ptr" else "0"


class Emitter:
    """Writes one function.

    needs_compiler: whether its lines have to be compiled, else `assembled` has its code.
    declarations: the intrinsics that it uses.
    helpers: the functions that it calls which are compiled apart from it and shared, by name.
    parts: the functions that it calls which belong to it, by name.
    quick: whether it is compiled with the least effort: all that takes time is in what it calls.
    """

    needs_compiler: ClassVar[bool] = True

    def __init__(
        self, name: str, parameters: Sequence[tuple[str, str]], result: str = "void"
    ) -> None:
        """`parameters` are (LLVM type with attributes, name without %)."""
        self.name, self.parameters, self.result = name, tuple(parameters), result
        self.lines: list[str] = []
        self.declarations: set[str] = set()
        self.helpers: dict[str, Emitter] = {}
        self.parts: dict[str, Emitter] = {}
        self.quick = False
        self.current = "entry"
        self._count = 0

    def fresh(self, hint: str = "v") -> str:
        """A name not used before, without %."""
        self._count += 1
        return f"{hint}{self._count}"

    def line(self, text: str) -> None:
        """An instruction without a result."""
        self.lines.append("  " + text)

    def value(self, text: str, hint: str = "v") -> str:
        """An instruction with a result; returns its name."""
        name = "%" + self.fresh(hint)
        self.lines.append(f"  {name} = {text}")
        return name

    def call(self, name: str, result: str, args: Sequence[tuple[str, str]]) -> str:
        """A call of the intrinsic `name` on (type, value) arguments; declares it."""
        self.declarations.add(f"declare {result} @{name}({', '.join(t for t, _ in args)})")
        text = f"call {result} @{name}({', '.join(f'{t} {v}' for t, v in args)})"
        if result == "void":
            self.line(text)
            return ""
        return self.value(text)

    def call_helper(self, helper: Emitter, args: Sequence[str]) -> None:
        """Calls a function without a result that is compiled apart from this one and shared."""
        self.helpers[helper.name] = helper
        self._call_function(helper, args)

    def call_part(self, part: Emitter, args: Sequence[str]) -> None:
        """Calls a function without a result that belongs to this one."""
        self.parts[part.name] = part
        self._call_function(part, args)

    def _call_function(self, function: Emitter, args: Sequence[str]) -> None:
        types = [t for t, _ in function.parameters]
        given = ", ".join(f"{t} {a}" for t, a in zip(types, args, strict=True))
        self.line(f"call void @{function.name}({given})")

    def block(self, label: str) -> None:
        """Starts the block `label`."""
        self.lines.append(f"{label}:")
        self.current = label

    def branch(self, label: str) -> None:
        """Jumps to `label`."""
        self.line(f"br label %{label}")

    def branch_if(self, condition: str, yes: str, no: str) -> None:
        """Jumps to `yes` when the i1 `condition` holds, else to `no`."""
        self.line(f"br i1 {condition}, label %{yes}, label %{no}")

    def when(self, condition: str, body: Callable[[], None]) -> None:
        """Runs `body` when the i1 `condition` holds; it may not define values used later."""
        yes, done = self.fresh("then"), self.fresh("done")
        self.branch_if(condition, yes, done)
        self.block(yes)
        body()
        self.branch(done)
        self.block(done)

    def choose(self, condition: str, yes: Callable[[], None], no: Callable[[], None]) -> None:
        """Runs `yes` when the i1 `condition` holds, else `no`; see `when`."""
        one, other, done = self.fresh("then"), self.fresh("else"), self.fresh("done")
        self.branch_if(condition, one, other)
        for label, body in ((one, yes), (other, no)):
            self.block(label)
            body()
            self.branch(done)
        self.block(done)

    def loop(
        self,
        start: str,
        stop: str,
        step: int | str | Callable[[], str],
        body: Callable[[str, list[str]], Sequence[str]],
        carry: Sequence[tuple[str, str]] = (),
    ) -> list[str]:
        """`for i = start; i < stop; i += step` (signed i64), with loop-carried values.

        A `step` that is a function is asked after the body was written. `carry` gives (LLVM type,
        initial value); `body(i, values)` returns their next values.
        Returns the values after the loop, which are the initial ones when it runs no iteration.
        """
        head, inside, done = self.fresh("head"), self.fresh("body"), self.fresh("done")
        before = self.current
        i, names = "%" + self.fresh("i"), ["%" + self.fresh("c") for _ in carry]
        self.branch(head)
        self.block(head)
        at = len(self.lines)
        go = self.value(f"icmp slt i64 {i}, {stop}")
        self.branch_if(go, inside, done)
        self.block(inside)
        following = list(body(i, names))
        following_i = self.value(f"add nsw i64 {i}, {step() if callable(step) else step}")
        latch = self.current
        self.branch(head)
        phis = [f"  {i} = phi i64 [ {start}, %{before} ], [ {following_i}, %{latch} ]"]
        for name, (type_, initial), later in zip(names, carry, following, strict=True):
            phis.append(f"  {name} = phi {type_} [ {initial}, %{before} ], [ {later}, %{latch} ]")
        self.lines[at:at] = phis
        self.block(done)
        return names

    def splat(self, type_: str, value: str, lanes: int) -> str:
        """A vector with `value` of the scalar LLVM type `type_` in each lane.

        `value` itself for one lane.
        """
        if lanes == 1:
            return value
        vector = f"<{lanes} x {type_}>"
        first = self.value(f"insertelement {vector} poison, {type_} {value}, i64 0")
        return self.value(
            f"shufflevector {vector} {first}, {vector} poison, <{lanes} x i32> zeroinitializer"
        )

    def lane_numbers(self, lanes: int) -> str:
        """The literal <0, 1, 2, ...> of i64."""
        return "<" + ", ".join(f"i64 {k}" for k in range(lanes)) + ">"

    def any_lane(self, mask: str, lanes: int) -> str:
        """The i1 whether a mask is set in some lane."""
        if lanes == 1:
            return mask
        return self.call(f"llvm.vector.reduce.or.v{lanes}i1", "i1", [(f"<{lanes} x i1>", mask)])

    def mask_below(self, remaining: str, lanes: int) -> str:
        """An i1 vector: lane k is set where k < remaining (an i64 above -2**31)."""
        # Vectors of i32 take half of the registers and instructions that those of i64 do.
        fewer = self.value(f"icmp slt i64 {remaining}, {lanes}")
        count = self.value(f"select i1 {fewer}, i64 {remaining}, i64 {lanes}")
        limit = self.splat("i32", self.value(f"trunc i64 {count} to i32"), lanes)
        numbers = ", ".join(f"i32 {k}" for k in range(lanes))
        return self.value(f"icmp slt <{lanes} x i32> <{numbers}>, {limit}")

    def text(self) -> str:
        """The whole function with its attributes group #0 (the module defines it).

        Each has a section of its own, so that a kernel is linked with what it calls and no more.
        """
        parameters = ", ".join(f"{t} %{n}" for t, n in self.parameters)
        body = "\n".join(self.lines)
        effort = "optnone noinline " if self.quick else ""
        head = f"define {self.result} @{self.name}({parameters}) {effort}#0"
        head += f' section ".text.{self.name}"'
        return f"{head} {{\nentry:\n{body}\n}}\n"

    def key(self) -> str:
        """What tells the function from all others."""
        return self.text()

    def assembled(self) -> Piece | None:
        """Its code, where that needs no compiler."""
        return None


def all_helpers(functions: Iterable[Emitter]) -> dict[str, Emitter]:
    """The helpers of functions and those of the helpers, by name."""
    found: dict[str, Emitter] = {}
    waiting = [h for f in functions for h in f.helpers.values()]
    while waiting:
        helper = waiting.pop()
        if helper.name not in found:
            found[helper.name] = helper
            waiting.extend(helper.helpers.values())
    return found


def module_text(functions: Sequence[Emitter], attributes: str = "nounwind") -> str:
    """A module of functions, complete with their helpers and intrinsics.

    Attribute group #0 is `attributes`.
    """
    own = {f.name for f in functions}
    others = all_helpers(functions)
    inner = [h for name, h in sorted(others.items()) if name not in own]
    texts = [f.text().replace("define ", "define internal ", 1) for f in inner]
    return _module([*functions, *inner], texts + [f.text() for f in functions], attributes)


def open_module_text(functions: Sequence[Emitter], attributes: str = "nounwind") -> str:
    """A module of functions that declares the helpers and parts which are not among them."""
    own = {f.name for f in functions}
    called = {h.name: h for f in functions for h in (f.helpers | f.parts).values()}
    inner = [
        f"declare hidden {h.result} @{h.name}({', '.join(t for t, _ in h.parameters)})\n"
        for name, h in sorted(called.items())
        if name not in own
    ]
    return _module(functions, inner + [f.text() for f in functions], attributes)


def _module(functions: Sequence[Emitter], bodies: Sequence[str], attributes: str) -> str:
    declarations = sorted(set[str]().union(*(f.declarations for f in functions)))
    text = "\n".join(bodies)
    return "\n".join(declarations) + f"\n\n{text}\nattributes #0 = {{ {attributes} }}\n"
