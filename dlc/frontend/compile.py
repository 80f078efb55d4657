"""`dlc.compile`: functions traced and compiled for the arguments that they are called with.

A program is specialised for the structure, element types and ranks of the arguments. Its first call
binds extents to integers; an extent that is seen with a second value becomes symbolic, for good.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import operator
import os
import sys
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

import numpy as np

from dlc.frontend import tree
from dlc.frontend.apply import as_tensor
from dlc.frontend.closure import Closure, Param, trace_closure
from dlc.frontend.context import cast_type, current_trace
from dlc.frontend.conversion import user_function
from dlc.frontend.doors import door_of
from dlc.frontend.execution import Interpreted, Program, ask_of_extents, program_for
from dlc.frontend.history import History
from dlc.frontend.native_call import NativeCalls
from dlc.frontend.recording import is_recording, record_function
from dlc.frontend.signature import Call, CallKey, Given, Signature, ir_name
from dlc.frontend.spec import open_extent, spec
from dlc.frontend.stats import CompileStats
from dlc.frontend.symbols import Extents, Pattern, common_range, trace_with_symbols
from dlc.frontend.tensor import Tensor, donated_node, make, make_like
from dlc.frontend.variable import Variable
from dlc.ir.collection import no_collection
from dlc.ir.config import config
from dlc.ir.core import Function
from dlc.ir.deferred import deferred
from dlc.ir.dims import ANY, DimExpr, Range, dim_text, symbols_of
from dlc.ir.errors import ArgumentError, RecompileError, ValueRangeError, nearest
from dlc.ir.location import warn_user
from dlc.ir.locks import make_lock
from dlc.ir.logs import TopicLog
from dlc.ir.record import dataclass, replace
from dlc.ir.types import DType, TensorType
from dlc.runtime.dispatch import Dispatching, dispatch
from dlc.runtime.executable import Executable, Options
from dlc.runtime.gpu.array import GpuArray
from dlc.runtime.places import CPU, common_place

if TYPE_CHECKING:
    from dlc.frontend import instantiate, lowered, tracebacks
    from dlc.frontend.saving import save as saving
else:
    instantiate = deferred("dlc.frontend.instantiate")
    lowered = deferred("dlc.frontend.lowered")
    saving = deferred("dlc.frontend.saving.save")
    tracebacks = deferred("dlc.frontend.tracebacks")

log = TopicLog("recompiles")
Policy = Literal["allow", "warn", "error"]
MAX_SPECIALISATIONS = 64
_MAX_MEMO = 4096
_uses = itertools.count(1)
_MAX_OBSERVED = 8
_GRADIENTS = "a variable has gained or lost its gradient"


@dataclass
class Settings:
    """The keywords of `compile`; `anywhere` lets programs run where their arguments lie."""

    options: Options
    on_recompile: Policy = "allow"
    name: str | None = None
    disable: bool = False
    anywhere: bool = False


@dataclass
class Specialisation:
    """One program."""

    key: CallKey
    extents: Extents
    closure: Closure
    program: Program
    donated: tuple[int, ...]
    reason: str
    cast: DType | None = None  # of the region of `autocast` that it was traced in
    used: int = 0  # larger for one that was used later

    def fits(self, shapes: Sequence[tuple[int, ...]]) -> bool:
        """Whether a call with these extents can be run by it."""
        return self.extents.matches(shapes) and self.closure.guards_hold()


class Family:
    """The programs for one structure of arguments, under the same settings."""

    def __init__(self, settings: Mapping[str, object]) -> None:
        self.settings = settings
        self.lock = make_lock()
        self.programs: list[Specialisation] = []
        self.observed: list[tuple[tuple[int, ...], ...]] = []
        self.memo: dict[Any, Specialisation] = {}

    def find(self, shapes: tuple[tuple[int, ...], ...]) -> Specialisation | None:
        """The program for a call with these extents."""
        found = self.memo.get(shapes)
        if found is not None and found.closure.guards_hold():
            return found
        for s in self.programs:
            if s.fits(shapes):
                if len(self.memo) >= _MAX_MEMO:
                    self.memo.clear()
                self.memo[shapes] = s
                return s
        return None

    def extents_for(self, shapes: tuple[tuple[int, ...], ...]) -> Extents:
        """Symbols for extents that differ from those before; equal histories share one."""
        seen = [*self.observed, shapes]
        names: dict[tuple[int, ...], str] = {}
        values: dict[str, int] = {}
        patterns: list[list[int | str]] = []
        for k, shape in enumerate(shapes):
            pattern: list[int | str] = []
            for axis, d in enumerate(shape):
                history = tuple(s[k][axis] for s in seen)
                if d == 0 or len({h for h in history if h}) < 2:
                    pattern.append(d)
                    continue
                name = names.setdefault(history, f"n{len(names)}")
                values[name] = d
                pattern.append(name)
            patterns.append(pattern)
        return Extents(patterns, values)


class CompiledFunction(Dispatching):
    """A function that is compiled when it is called; made by `dlc.compile`."""

    # The first two are read by native code.
    __slots__ = ("__dict__", "__weakref__", "_entry", "_python")

    def __init__(
        self, function: Callable[..., Any], settings: Settings, signature: Signature
    ) -> None:
        functools.update_wrapper(self, function, updated=())
        self.__wrapped__ = function
        self.settings = settings
        self.signature = signature
        self.name: str = settings.name or getattr(function, "__name__", type(function).__name__)
        self._stats = CompileStats()
        self._families: dict[Any, Family] = {}
        self._order: OrderedDict[int, tuple[Family, Specialisation]] = OrderedDict()
        self._lock = make_lock()
        self._bound: dict[int, tuple[weakref.ref[Any], CompiledFunction]] = {}
        self._owner: weakref.ref[Any] | None = None  # whose method it is
        self._reasons: list[str] = []
        self._python = self._python_call
        use = functools.partial(dispatch, self)
        self._native = NativeCalls(self._stats, signature, self._python, use)

    def __repr__(self) -> str:
        return f"<compiled function {self.name}>"

    def __get__(self, instance: Any, owner: type | None = None) -> CompiledFunction:
        """The method of an instance: a compiled function of its own."""
        if instance is None:
            return self
        found = self._bound.get(id(instance))
        if found is not None and found[0]() is instance:
            return found[1]
        with self._lock:
            key = id(instance)
            try:
                reference = weakref.ref(instance, lambda _: self._bound.pop(key, None))
            except TypeError:
                raise ArgumentError(
                    f"a method of {type(instance).__name__} cannot be compiled: no weak references",
                    hint="add '__weakref__' to __slots__",
                ) from None
            method = _method(self.__wrapped__, reference)
            made = CompiledFunction(method, self.settings, self.signature.of_method(method))
            made._owner = reference
            self._bound[key] = (reference, made)
            return made

    def __reduce__(self) -> Any:
        """What copies and pickles have: the function's name, or what it was made from."""
        owner = None if self._owner is None else self._owner()
        if owner is not None:
            return getattr, (owner, self.__wrapped__.__name__)
        if type(self) is not CompiledFunction:
            raise ArgumentError(
                f"{self!r} cannot be copied or pickled", hint="load or compile it there once more"
            )
        name = getattr(self, "__qualname__", "")
        with contextlib.suppress(AttributeError, KeyError):
            if operator.attrgetter(name)(sys.modules[self.__module__]) is self:
                return name  # as functions are
        own = self.signature
        return _remade, (self.__wrapped__, self.settings, own.static, own.donated)

    # Calls.

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the function on tensors, arrays and numbers, and trees of them."""
        return self._python_call(*args, **kwargs)

    def _python_call(self, *args: Any, **kwargs: Any) -> Any:
        if self.settings.disable or current_trace() is not None:
            return self._direct(args, kwargs)
        try:
            call = self.signature.take(args, kwargs)
            specialisation = self._find(call)
            self._stats.python_calls += 1
            result = self._run(specialisation, call)
        except Exception as error:
            tracebacks.hide_own_frames(error)
            raise
        if isinstance(specialisation.program, Executable):
            given = Given(args, kwargs)
            self._native.note(specialisation.program, specialisation.closure, call, given)
        return result

    def _forget(self) -> None:
        """Lets go of all programs; what they were made from has changed."""
        with self._lock:
            self._families, self._order = {}, OrderedDict()

    def _direct(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Calls the user's function as a program would see the arguments: arrays are tensors.

        They are handles of its own, so that writes stay inside.
        """
        static = self.signature.static
        if static:
            args, kwargs = self.signature.bind(args, kwargs)
        args = tuple(a if k in static else tree.map(_fresh, a) for k, a in enumerate(args))
        kwargs = {k: a if k in static else tree.map(_fresh, a) for k, a in kwargs.items()}
        return user_function(self.__wrapped__)(*args, **kwargs)

    def _family(self, call: Call) -> Family:
        """The programs for calls of this form, under the present settings."""
        place = self._place(call.values)
        key = (call.key, config.disable_jit, config.isa, cast_type.get(), place)
        family = self._families.get(key)
        if family is None:
            settings = {
                "config.disable_jit": config.disable_jit,
                "config.isa": config.isa,
                "the device": place,
            }
            with self._lock:
                family = self._families.setdefault(key, Family(settings))
        return family

    def _place(self, arrays: Iterable[Any]) -> str:
        """Where a program runs: on the device that is named, else where these arrays lie."""
        if not self.settings.anywhere:
            return self.settings.options.device
        place = common_place(arrays) if GpuArray.made else CPU
        return config.device if place == CPU else place

    def _options(self, call: Call, closure: Closure, arrays: Iterable[Any]) -> Options:
        """How a traced call is compiled for these arguments."""
        donated = (*call.donated, *closure.written_params)
        device = self._place([*arrays, *closure.arrays()])
        base = self.settings.options
        return replace(base, donated=donated, fixed=closure.fixed_params, device=device)

    def _find(self, call: Call) -> Specialisation:
        family = self._family(call)
        found = family.find(call.shapes)
        if found is not None:
            self._stats.python_found += 1
            return found
        with family.lock:
            found = family.find(call.shapes)
            if found is not None:
                self._stats.python_found += 1
                return found
            return self._specialise(family, call, self._extents(family, call), call.shapes)

    def _extents(self, family: Family, call: Call) -> Extents:
        """Those of the program that is to be made for a call."""
        return family.extents_for(call.shapes)

    def _run(self, s: Specialisation, call: Call) -> Any:
        if isinstance(s.program, Interpreted):
            self._stats.interpreted_ops += len(s.closure.function.nodes)
        else:
            self._stats.python_runs += 1
        s.used = next(_uses)
        histories = self._record(s, call)
        arrays = call.take_values()
        for k in call.donated:
            _donate(call.given[k])
        outputs = s.closure.run(s.program, arrays, s.donated)
        if histories is None:
            return s.closure.value([make(a) for a in outputs])
        return s.closure.value(
            [make(a, history=h) for a, h in zip(outputs, histories, strict=False)]
        )

    def _record(self, s: Specialisation, call: Call) -> list[History] | None:
        """The histories of the results; a function that replaces variables has none."""
        closure = s.closure
        if closure.has_state or not is_recording():
            return None
        given = [
            x if isinstance(x, Tensor) else make(a)
            for x, a in zip(call.given, call.values, strict=True)
        ]
        gradients = [g for v in closure.gradients if (g := v._grad) is not None]
        read = [*given, *closure.captures, *closure.variables, *gradients]
        return record_function(closure.function, lambda: s.extents.bind(call.shapes), read)

    # Compilation.

    def _specialise(
        self,
        family: Family,
        call: Call,
        extents: Extents,
        shapes: tuple[Any, ...],
        asked: bool = False,
    ) -> Specialisation:
        """Makes a program; one that was `asked` for is allowed."""
        reason = self._reason(family, call.key, shapes)
        self._announce(reason, "allow" if asked else self.settings.on_recompile)
        with no_collection():
            closure = self._stats.time_trace(self.name, lambda: self._trace(call, extents))
            made = self._compile(call, closure, extents, "; ".join([reason, *extents.why()]))
        made.used = next(_uses)
        family.programs.insert(0, made)
        if not extents.fixed_names:
            family.observed = [*family.observed, shapes][-_MAX_OBSERVED:]
        with self._lock:
            self._reasons.append(made.reason)
            self._order[id(made)] = (family, made)
            while len(self._order) > MAX_SPECIALISATIONS:
                oldest = min(self._order, key=self._last_use)
                old_family, old = self._order.pop(oldest)
                old_family.programs = [s for s in old_family.programs if s is not old]
                old_family.memo = {}
                if not old_family.programs and old_family is not family:
                    kept = {k: f for k, f in self._families.items() if f is not old_family}
                    self._families = kept
        return made

    def _last_use(self, key: int) -> tuple[bool, int]:
        """When a program was used; calls of entries are not seen one by one."""
        s = self._order[key][1]
        return self._native.serves(s.program), s.used

    def _trace(self, call: Call, extents: Extents) -> Closure:
        names = call.names(self.signature)

        def attempt(shapes: list[tuple[Any, ...]]) -> Closure:
            self._stats.traces += 1
            params = [
                Param(TensorType(leaf.dtype, shape), leaf.weak, ir_name(name))
                for leaf, shape, name in zip(call.key.leaves, shapes, names, strict=True)
            ]
            made = trace_closure(self.name, body, params, f"{self.name}()", self.__wrapped__)
            if extents.ranges:
                ask_of_extents(made.function)
            return made

        def body(tensors: list[Tensor]) -> Any:
            args, kwargs = self.signature.restore(call, tensors)
            return user_function(self.__wrapped__)(*args, **kwargs)

        return trace_with_symbols(attempt, extents)

    def _compile(
        self, call: Call, closure: Closure, extents: Extents, reason: str
    ) -> Specialisation:
        options = self._options(call, closure, call.values)
        program = self._stats.time_compilation(
            lambda: program_for(closure.function, options, closure.fixed_values())
        )
        return Specialisation(
            call.key, extents, closure, program, options.donated, reason, cast_type.get()
        )

    def _reason(self, family: Family, key: CallKey, shapes: tuple[Any, ...]) -> str:
        if not self._order:
            return "first call"
        if family.programs:
            s = family.programs[0]
            if s.extents.matches(shapes):
                changed = ", ".join(s.closure.changed())
                return f"changed: {changed}" if changed else _GRADIENTS
            last = family.observed[-1] if family.observed else s.extents.patterns
            return _shape_change(self.signature.leaf_names(key.structure), last, shapes)
        _, (former, before) = next(reversed(self._order.items()))
        if before.cast is not cast_type.get():
            now, then = (_region(d) for d in (cast_type.get(), before.cast))
            return f"called {now}, before {then}"
        changed = _key_change(self.signature, before.key, key)
        return changed or _settings_change(former.settings, family.settings)

    def _announce(self, reason: str, policy: Policy) -> None:
        if not self._reasons:
            return
        message = f"{self.name} has to be compiled again: {reason}"
        if policy == "error":
            raise RecompileError(message, hint='allow it with on_recompile="allow"')
        self._stats.recompilations.append(reason)
        log.info("%s", message)
        if policy == "warn":
            warn_user(message)

    # Looking inside.

    @property
    def stats(self) -> CompileStats:
        """Counters of calls, traces and compilations."""
        return self._stats

    def explain(self) -> str:
        """Why each compilation happened, a line for each."""
        if not self._reasons:
            return f"{self.name} has not been compiled yet"
        lines = [f"{self.name} was compiled {len(self._reasons)} time(s):"]
        return "\n".join([*lines, *(f"  {k}. {r}" for k, r in enumerate(self._reasons, 1))])

    def lower(self, *args: Any, **kwargs: Any) -> lowered.Lowered:
        """Traces for arguments, which may be specs (`dlc.spec`, `"f32[8,4]"`) in place of data."""
        call, extents = self._declared(args, kwargs)
        closure = self._trace(call, extents)
        return lowered.Lowered(closure, self._options(call, closure, ()), self)

    def warmup(self, *args: Any, **kwargs: Any) -> CompiledFunction:
        """Compiles for arguments, which may be specs, without running; returns itself."""
        call, extents = self._declared(args, kwargs)
        family = self._family(call)
        with family.lock:
            if not any(s.extents.declared == extents.declared for s in family.programs):
                self._specialise(family, call, extents, call.shapes, asked=True)
        return self

    def save(self, path: str | os.PathLike[str], specs: Any = None) -> None:
        """Writes the program to a file that `dlc.load` reads; see `dlc.save`."""
        saving.save(self, path, specs)

    def saved_programs(self) -> list[tuple[CallKey, Closure]]:
        """What `save` writes without specs: each program, with what it is specialised for.

        Only those of the region of `autocast` that this is in, and of the mode that modules are in
        and the like, as a call would use them now: the others have the same keys.
        """
        with self._lock:
            made = [s for _, s in self._order.values() if s.cast is cast_type.get()]
            return [(s.key, s.closure) for s in made if not s.closure.changed()]

    def _declared(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Call, Extents]:
        """A call whose leaves may be specs."""
        args, kwargs = tree.map(
            lambda x: spec(x) if isinstance(x, str) and "[" in x else x, (args, kwargs)
        )
        call = self.signature.take(args, kwargs, specs=True)
        ranges: dict[str, Range] = {}
        patterns: list[tuple[Pattern, ...]] = []
        for shape in call.shapes:
            found = [open_extent(d) if isinstance(d, str) else (d, ANY) for d in shape]
            patterns.append(tuple([d for d, _ in found]))
            for d, range_ in found:
                if isinstance(d, str):
                    ranges[d] = common_range(ranges.get(d, ANY), range_)
        for d in (d for p in patterns for d in p if isinstance(d, DimExpr)):
            unknown = sorted(symbols_of(d) - ranges.keys())
            if unknown:
                raise ArgumentError(
                    f"{self.name}: {unknown[0]}, in the extent {dim_text(d)}, is no extent itself",
                    hint="declare it as an extent of an argument",
                )
        call = replace(call, shapes=tuple(patterns))
        values = dict.fromkeys(ranges, 2)
        return call, Extents(patterns, values, fixed_names=values, ranges=ranges)


def _remade(
    function: Callable[..., Any], settings: Settings, static: Iterable[Any], donated: Iterable[Any]
) -> CompiledFunction:
    return CompiledFunction(function, settings, Signature(function, static, donated))


def _method(function: Callable[..., Any], reference: weakref.ref[Any]) -> Callable[..., Any]:
    """`function` with its first argument bound to what `reference` refers to."""

    @functools.wraps(function)
    def method(*args: Any, **kwargs: Any) -> Any:
        owner = reference()
        if owner is None:
            raise ArgumentError(
                f"{method.__qualname__}: the object whose method this is has gone",
                hint="keep it in a variable: compiled methods do not keep their object alive",
            )
        return user_function(function)(owner, *args, **kwargs)

    del method.__wrapped__  # its signature has one parameter more
    with contextlib.suppress(TypeError, ValueError):
        whole = inspect.signature(function)
        rest = list(whole.parameters.values())[1:]
        method.__signature__ = whole.replace(parameters=rest)  # type: ignore[attr-defined]
    return method


def _fresh(x: Any) -> Any:
    if isinstance(x, (np.ndarray, np.generic)):
        return make_like(as_tensor(x))
    return make_like(x) if isinstance(x, Tensor) and not isinstance(x, Variable) else x


def _donate(x: Any) -> None:
    """Makes a tensor unusable whose memory a program may overwrite."""
    if isinstance(x, Tensor) and not isinstance(x, Variable) and x._data is not None:
        type_ = x.tensor
        x._data, x._history = None, None
        x._node = donated_node(type_)


def _shape_change(names: Sequence[str], before: Any, after: Any) -> str:
    changes = [
        f"dim {axis} of {name} was {a}, now {b}"
        for name, old, new in zip(names, before, after, strict=True)
        for axis, (a, b) in enumerate(zip(old, new, strict=True))
        if a != b
    ]
    return ", ".join(changes) or "extents that were equal differ"


def _settings_change(before: Mapping[str, object], after: Mapping[str, object]) -> str:
    return ", ".join(
        f"{name} was {before[name]!r}, now {value!r}"
        for name, value in after.items()
        if before[name] != value
    )


def _key_change(signature: Signature, before: CallKey, after: CallKey) -> str | None:
    if before.structure != after.structure:
        return "the arguments are nested differently, or are others"
    for (place, a), (_, b) in zip(before.static, after.static, strict=False):
        if a != b:
            name = signature.positional[place] if isinstance(place, int) else place
            return f"the static argument {name} was {a.value!r}, now {b.value!r}"
    for name, a, b in zip(
        signature.leaf_names(after.structure), before.leaves, after.leaves, strict=True
    ):
        if a.rank != b.rank:
            return f"{name} had {a.rank} dims, now {b.rank}"
        if a.weak != b.weak:
            return f"{name} was {_weak(a.weak)}, now {_weak(b.weak)}"
        if a.dtype != b.dtype:
            return f"the dtype of {name} was {a.dtype.name}, now {b.dtype.name}"
    return None


def _region(cast: DType | None) -> str:
    return "outside of autocast" if cast is None else f"under autocast to {cast.name}"


def _weak(weak: bool) -> str:
    return "a Python number" if weak else "a tensor"


LEVELS = ("O0", "O1", "O2", "O3")
PRECISIONS = ("exact", "fast")
POLICIES = ("allow", "warn", "error")


def _check(what: str, value: Any, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueRangeError(f"{what}={value!r}", hint=nearest(str(value), allowed))


def _tuple(value: Any) -> tuple[Any, ...]:
    return (value,) if isinstance(value, (int, str)) else tuple(value)


class Keywords(TypedDict, total=False):
    """The keywords of `compile`, for type checkers."""

    device: str | None
    level: str
    precision: str
    static_argnums: int | Sequence[int]
    static_argnames: str | Sequence[str]
    donate_argnums: int | Sequence[int]
    donate_argnames: str | Sequence[str]
    num_threads: int | None
    on_recompile: Policy
    verify: bool
    name: str | None
    disable: bool


@overload
def compile(function: Callable[..., Any], /, **keywords: Unpack[Keywords]) -> CompiledFunction: ...
@overload
def compile(
    function: None = None, /, **keywords: Unpack[Keywords]
) -> Callable[[Callable[..., Any]], CompiledFunction]: ...
def compile(  # noqa: PLR0913
    function: Callable[..., Any] | Function | None = None,
    /,
    *,
    device: str | None = None,
    level: str = "O2",
    precision: str = "exact",
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    donate_argnums: int | Sequence[int] = (),
    donate_argnames: str | Sequence[str] = (),
    num_threads: int | None = None,
    on_recompile: Policy = "allow",
    verify: bool = False,
    name: str | None = None,
    disable: bool = False,
) -> CompiledFunction | Callable[[Callable[..., Any]], CompiledFunction]:
    """A function that runs compiled; also a decorator. `dlc.jit` is the same.

    The function is traced when it is called: it runs once with stand-ins for its tensor arguments,
    and what it does to them is compiled. Arguments are tensors, arrays and numbers, and trees of
    them; a number is an input of the program, so another value compiles nothing. Tensors and
    variables that it closes over are inputs too.

    Args:
        function: What to compile: a Python function, a model, one of the IR, an ONNX model
            (a path, bytes or a ModelProto; the result is then what `dlc.onnx.load` gives), or a
            module of PyTorch or a program of `torch.export`.
        device: Where it runs; when not given, on the GPU that an argument or a variable lies on,
            else on `config.device`.
        level: Optimisation level, "O0" to "O3".
        precision: "exact" follows `docs/semantics.md`; "fast" allows the shortcuts that
            `docs/gpu.md` names; on the CPU there are none.
        static_argnums: Positions of arguments that are no data: each value is compiled for by
            itself.
        static_argnames: The same, by name.
        donate_argnums: Positions of arguments whose memory the results may reuse; they cannot be
            used afterwards.
        donate_argnames: The same, by name.
        num_threads: Threads of a call.
        on_recompile: Whether compiling again is allowed, warned of, or an error.
        verify: Check the program after every pass.
        name: In messages and texts; the function's when not given.
        disable: Call the function eagerly instead.

    Raises:
        ArgumentError: for what cannot be called.
        ValueRangeError: for a keyword's value that is not allowed.

    Example:
        >>> f = compile(lambda x, y: x * y + 1)
        >>> f(2.0, 3.0)
        Tensor(7., dtype=float32)
    """
    _check("level", level, LEVELS)
    _check("precision", precision, PRECISIONS)
    _check("on_recompile", on_recompile, POLICIES)
    if num_threads is not None:
        config.thread_count(num_threads)
    door = door_of(function)
    if door is not None:
        given = {"static_argnums": static_argnums, "static_argnames": static_argnames}
        given |= {"donate_argnums": donate_argnums, "donate_argnames": donate_argnames}
        for keyword, places in given.items():
            if _tuple(places):
                raise ArgumentError(
                    f"compile of a model from another program takes no {keyword}",
                    hint="its arguments are data, which it reads; call it in a function of yours",
                )
        options = {"device": device, "level": level, "precision": precision, "verify": verify}
        options |= {"num_threads": num_threads, "on_recompile": on_recompile, "disable": disable}
        return door(function, **options, name=name)
    options = Options(
        level=level,
        precision=precision,
        device=config.device if device is None else str(device),
        num_threads=num_threads,
        verify=verify,
    )
    settings = Settings(options, on_recompile, name, disable, anywhere=device is None)

    def decorate(f: Any) -> CompiledFunction:
        if isinstance(f, Function):
            f = instantiate.callable_of(f)
        if not callable(f):
            raise ArgumentError(
                f"compile of a {type(f).__name__}, which cannot be called",
                hint="give a function, a model, or an ONNX file (a path, bytes or a ModelProto)",
            )
        if isinstance(f, CompiledFunction):
            f = f.__wrapped__
        static = (*_tuple(static_argnums), *_tuple(static_argnames))
        donated = (*_tuple(donate_argnums), *_tuple(donate_argnames))
        return CompiledFunction(f, settings, Signature(f, static, donated))

    return decorate if function is None else decorate(function)
