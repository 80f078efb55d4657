"""A loaded program: a compiled function whose body is the IR of a file."""

from __future__ import annotations

import inspect
import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dlc.frontend import lowered, tree
from dlc.frontend.apply import as_tensor, convert
from dlc.frontend.closure import Closure, apply_function
from dlc.frontend.compile import CompiledFunction, Family, Settings
from dlc.frontend.context import current_trace
from dlc.frontend.instantiate import bind_extents, instantiate
from dlc.frontend.saving.contents import Contents
from dlc.frontend.saving.forms import Form, form_of, shape_of
from dlc.frontend.signature import Call, CallKey, Signature, Static
from dlc.frontend.spec import Spec
from dlc.frontend.symbols import Extents, Pattern
from dlc.frontend.tensor import Array, Tensor, make
from dlc.frontend.tree import Structure
from dlc.frontend.variable import Variable
from dlc.frontend.variable_state import assign_state
from dlc.ir.core import Function
from dlc.ir.dims import (
    ANY,
    Dim,
    DimExpr,
    at_least,
    dim_text,
    dims_equal,
    plain_name,
    range_text,
    substitute,
)
from dlc.ir.errors import ArgumentError, DTypeError, FileFormatError, ShapeError
from dlc.ir.types import TensorType


class LoadedProgram:
    """One program of a file.

    Args:
        closure: Its function, without the constants that it reads before variables.
        call: The structure of the arguments.
        form: The same as a form.
        static: The values of arguments that are no data, by place.
        weak: For each leaf of the arguments, whether it is a Python number.
        constants: Arrays.
    """

    def __init__(
        self,
        closure: Closure,
        call: Structure,
        form: Form,
        static: dict[Any, Any],
        weak: list[bool],
        constants: list[Array],
    ) -> None:
        self.closure, self.call, self.weak, self.constants = closure, call, weak, constants
        self.static = {place: Static(type(v), v) for place, v in static.items()}
        self.shape = shape_of(form)
        count = closure.arguments
        self.types = [p.tensor for p in closure.function.params[:count]]
        self.patterns: list[list[Pattern]] = [
            [plain_name(d) or d for d in t.shape] for t in self.types
        ]
        used = {d for p in self.patterns for d in p if isinstance(d, str)}
        if set(closure.function.symbols) != used:
            raise FileFormatError("a value that a program reads has no fixed type")
        self.ranges = {n: r for n, r in closure.function.ranges.items() if r != ANY}
        values = Function(closure.function.name, closure.function.params[:count], ())
        self.arguments = values  # what extents are bound by

    def takes(self, shape: Form, static: Mapping[Any, Any]) -> bool:
        """Whether arguments of this structure, and these values of others, are for it."""
        given = {place: Static(type(v), v) for place, v in static.items()}
        return shape == self.shape and given == self.static

    def fits(self, tensors: Sequence[Tensor]) -> bool:
        """Whether leaves have its types."""
        bound: dict[str, Any] = {}
        formulas: list[tuple[DimExpr, Dim]] = []
        for t, wanted, pattern, weak in zip(
            tensors, self.types, self.patterns, self.weak, strict=True
        ):
            found = t.tensor
            if found.rank != wanted.rank or (weak and not t._weak):
                return False
            if found.dtype is not wanted.dtype and not t._weak:
                return False
            for p, d in zip(pattern, found.shape, strict=True):
                if isinstance(p, DimExpr):
                    formulas.append((p, d))
                    continue
                expected = bound.setdefault(p, d) if isinstance(p, str) else p
                if not dims_equal(expected, d) or (isinstance(p, str) and d == 0):
                    return False
        return all(dims_equal(substitute(p, bound), d) for p, d in formulas) and all(
            at_least(bound[n], least, expected=True)
            and (most is None or at_least(most, bound[n], expected=True))
            for n, (least, most) in self.ranges.items()
        )

    def extents(self, shapes: Sequence[Sequence[int]]) -> Extents:
        """Its extents, with the values that the named ones have in a call."""
        pairs = zip(self.patterns, shapes, strict=True)
        values = {p: d for x, y in pairs for p, d in zip(x, y, strict=True) if isinstance(p, str)}
        return Extents(self.patterns, values, fixed_names=values, ranges=self.ranges)

    def gradients_differ(self) -> str:
        """Which variable has a gradient, or none, other than when it was saved; else nothing."""
        trace = current_trace()
        for v, wanted in self.closure.guards:
            present = (v._grad if trace is None else trace.gradient_of(v)) is not None
            if present != wanted:
                state = "a gradient" if present else "no gradient"
                return f"the variable {v.name} has {state}, other than when it was saved"
        return ""

    def apply(self, tensors: Sequence[Tensor]) -> Any:
        """What it returns for leaves of the arguments; reads and writes the variables."""
        closure, trace = self.closure, current_trace()
        given = [
            convert(t, type_.dtype) if t._weak and not weak else t
            for t, type_, weak in zip(tensors, self.types, self.weak, strict=True)
        ]
        extents = bind_extents(self.arguments, given)
        constants = [
            make(a) if trace is None else trace.root.fixed_tensor(a) for a in self.constants
        ]
        function = instantiate(closure.function, extents) if extents else closure.function
        results = apply_function(function, [*given, *constants, *closure.state()])
        closure.settle(results)
        return closure.value(results)

    def _spec(self, type_: TensorType, pattern: Sequence[Pattern]) -> Spec:
        def extent(d: Pattern) -> int | str:
            if isinstance(d, str):
                return range_text(d, self.ranges.get(d, ANY))
            return dim_text(d) if isinstance(d, DimExpr) else d

        return Spec(tuple(map(extent, pattern)), type_.dtype)

    def spec(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments that it is for, as `lower` takes them."""
        leaves = [
            t.dtype.numpy.type(0).item() if weak else self._spec(t, p)
            for t, p, weak in zip(self.types, self.patterns, self.weak, strict=True)
        ]
        args, kwargs = tree.unflatten(self.call, leaves)
        args = tuple(s.value if (s := self.static.get(k)) else v for k, v in enumerate(args))
        return args, {k: s.value if (s := self.static.get(k)) else v for k, v in kwargs.items()}

    def text(self, signature: Signature) -> str:
        """Its signature: `(x: f32[b,784], axis=1) -> f32[b,10]`."""
        names = signature.leaf_names(self.call)
        shown = [
            f"{name}: {'number' if weak else self._spec(t, p)}"
            for name, t, p, weak in zip(names, self.types, self.patterns, self.weak, strict=True)
        ]
        positional = signature.positional
        for place, s in self.static.items():
            named = isinstance(place, int) and place < len(positional)
            shown.append(f"{positional[place] if named else place}={s.value!r}")  # type: ignore[index]
        count, output = self.closure.outputs, self.closure.output
        results = [str(r.tensor) for r in self.closure.function.results[:count]]
        if output.kind is tree.Leaf:
            return f"({', '.join(shown)}) -> {results[0]}"
        return f"({', '.join(shown)}) -> {_tree_text(output, iter(results))}"


def _tree_text(s: Structure, leaves: Iterator[str]) -> str:
    if s.kind is tree.Leaf:
        return next(leaves)
    if s.kind is None:
        return "None"
    inside = [_tree_text(c, leaves) for c in s.children]
    if s.kind is list:
        return f"[{', '.join(inside)}]"
    if s.kind is tuple:
        return f"({', '.join(inside)}{',' if len(inside) == 1 else ''})"
    names = s.data if s.data is not None else s.kind._fields
    return "{" + ", ".join(f"{k!r}: {t}" for k, t in zip(names, inside, strict=True)) + "}"


class LoadedFunction(CompiledFunction):
    """A program of a file, made by `dlc.load`; called like the function that was saved.

    Attributes:
        path: The file.
        programs: Its programs.
        variables: Its variables by name: what it reads or updates besides its arguments.
    """

    def __init__(
        self,
        path: str,
        contents: Contents,
        programs: list[LoadedProgram],
        variables: dict[str, Variable],
        settings: Settings,
    ) -> None:
        self.path, self.programs, self.variables = path, programs, variables

        def body(*args: Any, **kwargs: Any) -> Any:
            return self._apply(args, kwargs)

        body.__name__ = body.__qualname__ = contents.name
        body.__doc__ = f"The program {contents.name} of {os.path.basename(path)}."
        if contents.parameters is not None:
            body.__signature__ = _signature(contents.parameters)  # type: ignore[attr-defined]
        super().__init__(body, settings, Signature(body, contents.static, contents.donated))

    def __repr__(self) -> str:
        head = f"<loaded {os.path.basename(self.path)}: "
        lines = [f"{self.name}{p.text(self.signature)}" for p in self.programs]
        count = len(self.variables)
        state = f", {count} variable{'' if count == 1 else 's'}" if count else ""
        return head + ("\n" + " " * len(head)).join(lines) + state + ">"

    def __get__(self, instance: Any, owner: type | None = None) -> LoadedFunction:
        """Itself: it is no method of the class that has it."""
        return self

    # Calls.

    def _apply(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        args, kwargs, static = self.signature.split(*self.signature.bind(args, kwargs))
        leaves, structure = tree.flatten((args, kwargs))
        tensors = [as_tensor(x) for x in leaves]
        return self._chosen(structure, static, tensors).apply(tensors)

    def _chosen(
        self, structure: Structure, static: Mapping[Any, Any], tensors: Sequence[Tensor]
    ) -> LoadedProgram:
        """The program for a call."""
        shape = shape_of(form_of(structure, f"the arguments of {self.name}"))
        taking = [p for p in self.programs if p.takes(shape, static)]
        exact = [p for p in taking if p.types == [t.tensor for t in tensors]]
        differs = ""
        for p in exact or taking:
            if p.fits(tensors):
                differs = p.gradients_differ()
                if not differs:
                    return p
        if differs:
            raise ArgumentError(
                f"{self.name}: {differs}",
                hint="call it in the order in which the saved function was called",
            )
        given = ", ".join(map(str, (t.tensor for t in tensors)))
        saved = "".join(f"\n  {self.name}{p.text(self.signature)}" for p in self.programs)
        found = [None if x._weak else x.tensor.dtype for x in tensors]
        known = [
            [None if x._weak else t.dtype for t, x in zip(p.types, tensors, strict=True)]
            for p in taking
        ]
        kind = ShapeError if found in known else DTypeError if taking else ArgumentError
        raise kind(
            f"{self.name}: no program of {self.path!r} is for ({given}); it has{saved}",
            hint="save it with specs for these arguments too, or convert them",
        )

    def _extents(self, family: Family, call: Call) -> Extents:
        pairs = zip(call.values, call.key.leaves, strict=True)
        tensors = [make(array, weak=leaf.weak) for array, leaf in pairs]
        return self._chosen(call.key.structure, call.static, tensors).extents(call.shapes)

    # Looking inside.

    @property
    def specs(self) -> list[Any]:
        """What each program is for, as `save` takes it: arguments, or a dict of them by name."""
        found: list[Any] = []
        for args, kwargs in (p.spec() for p in self.programs):
            named = dict(zip(self.signature.positional, args, strict=False))
            found.append({**named, **kwargs} if kwargs else args)
        return found

    def lower(self, *args: Any, **kwargs: Any) -> lowered.Lowered:
        """Lowers for arguments or specs; without any, for those of the first program."""
        if not args and not kwargs:
            args, kwargs = self.programs[0].spec()
        return super().lower(*args, **kwargs)

    def saved_programs(self) -> list[tuple[CallKey, Closure]]:
        """All of the file's programs, as they are called here."""
        found: list[tuple[CallKey, Closure]] = []
        for p in self.programs:
            call, extents = self._declared(*p.spec())
            found.append((call.key, self._trace(call, extents)))
        return found

    # State.

    def parameters(self) -> Iterator[Variable]:
        """The variables that are trained."""
        return (v for v in self.variables.values() if v.requires_grad)

    def named_parameters(self) -> Iterator[tuple[str, Variable]]:
        """The variables that are trained, with their names."""
        return ((name, v) for name, v in self.variables.items() if v.requires_grad)

    def named_buffers(self) -> Iterator[tuple[str, Variable]]:
        """The variables that are not trained, with their names."""
        return ((name, v) for name, v in self.variables.items() if not v.requires_grad)

    def state_dict(self) -> OrderedDict[str, Tensor]:
        """The values of all variables by name; later updates do not change them."""
        return OrderedDict((name, v.data) for name, v in self.variables.items())

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Assigns values to variables by name.

        Args:
            state: Tensors or arrays by name, as `state_dict` gives them.
            strict: Whether a name that is missing or not known is an error.

        Raises:
            ValueRangeError: for names that are missing or not known, and shapes that differ: all of
                them at once. Nothing has been assigned then.
        """
        hint = "strict=False leaves out names that are missing or not known"
        assign_state(self.name, "program", self.variables, state, hint, strict)


class _Saved:
    """A default value that was saved in the programs that were called without the argument."""

    def __repr__(self) -> str:
        return "..."


def _signature(parameters: Sequence[tuple[str, str, bool]]) -> inspect.Signature:
    try:
        return inspect.Signature(
            [
                inspect.Parameter(
                    name,
                    getattr(inspect.Parameter, kind.upper()),
                    default=_Saved() if default else inspect.Parameter.empty,
                )
                for name, kind, default in parameters
            ]
        )
    except ValueError:
        raise FileFormatError("the parameters in its manifest are none") from None
