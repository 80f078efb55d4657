"""Passes, their command-line form, and running them in order."""

from __future__ import annotations

import json
import time
import types
import typing
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from dlc.ir.core import Function, has_bodies, map_bodies
from dlc.ir.deferred import deferred
from dlc.ir.errors import ParseError, PassError, nearest
from dlc.ir.lexer import Reader
from dlc.ir.location import SourceLocation
from dlc.ir.record import dataclass, field
from dlc.ir.rewrite import Fuel, RewriteStats
from dlc.ir.verifier import Stage
from dlc.ir.verifier import verify as verify_function

if TYPE_CHECKING:
    import dataclasses

    from dlc.passes import pipelines
else:
    dataclasses = deferred("dataclasses")
    pipelines = deferred("dlc.passes.pipelines")


@dataclass
class PassContext:
    """What a running pass has at hand.

    fuel: Numbers and limits changes; None where nobody counts.
    stats: The rule statistics of this run of the pass.
    """

    fuel: Fuel | None = None
    stats: RewriteStats = field(default_factory=RewriteStats)

    def allows(self, pass_name: str, rule: str, location: SourceLocation | None) -> bool:
        """Whether the pass may make one more change; it is then counted."""
        return self.fuel is None or self.fuel.allows(pass_name, rule, location)


@dataclass(frozen=True)
class Pass:
    """A step from function to function; its fields are its options.

    A subclass is a frozen dataclass with a `name` and options of type bool, int, float, str, a
    Literal of strings, or one of these or None; it is then known to `parse_pipeline`.

    name: The name on the command line.
    stage: The stage that the function is in after this pass, for the verifier; None: as before.
    nested: Whether `apply` runs it on the bodies of loops and branches too; otherwise it goes there
        itself, or has nothing to do there.
    inexact: Why it may change bits, where that is not said by its rules.

    Example:
        >>> @dataclass(frozen=True)
        ... class Fuse(Pass):
        ...     name: ClassVar[str] = "fuse"
        ...     max_inputs: int = 48
        ...     def run(self, function, context): ...
    """

    name: ClassVar[str]
    stage: ClassVar[Stage | None] = None
    nested: ClassVar[bool] = True
    inexact: ClassVar[str | None] = None

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "name" not in vars(cls):
            return  # shared code of several passes
        known = PASSES.get(cls.name)
        # `dataclass(slots=True)` makes a second class of the same name.
        if known is not None and _identity(known) != _identity(cls):
            raise PassError(f"two passes are called {cls.name!r}: {known} and {cls}")
        PASSES[cls.name] = cls

    def run(self, function: Function, context: PassContext) -> Function:
        """The function that this pass makes of `function`; itself where nothing changes."""
        raise TypeError(f"pass {type(self).__name__} does not define run")

    def apply(self, function: Function, context: PassContext) -> Function:
        """What this pass makes of `function` and, before it, of the bodies inside."""
        if self.nested and has_bodies(function):
            function = map_bodies(function, lambda body: self.apply(body, context))
        return self.run(function, context)

    def __str__(self) -> str:
        shown = [
            f"{f.name}={_option_text(getattr(self, f.name))}"
            for f in dataclasses.fields(self)
            if getattr(self, f.name) != f.default
        ]
        return f"{self.name}{{{','.join(shown)}}}" if shown else self.name


PASSES: dict[str, type[Pass]] = {}  # by name, as far as their files are imported

Callback: TypeAlias = Callable[[Pass, Function, Function, float, RewriteStats], None]


def _identity(cls: type[Pass]) -> tuple[str, str]:
    return cls.__module__, cls.__name__


def unregister_pass(name: str) -> None:
    """Removes a pass that an extension or a test has added."""
    del PASSES[name]


# The command-line form.


def pipeline_text(passes: Iterable[Pass]) -> str:
    """The text that `parse_pipeline` reads back: `simplify,fuse{max_inputs=16}`."""
    return ",".join(map(str, passes))


def known_passes() -> dict[str, type[Pass]]:
    """All passes by name: those of the levels are there from when their files are imported."""
    return PASSES if pipelines.LEVELS else {}


def parse_pipeline(text: str) -> tuple[Pass, ...]:
    """The passes that a text such as `simplify,cse,fuse{max_inputs=16}` names.

    Args:
        text: Names of passes, separated by commas, each with its options in braces.

    Raises:
        PassError: An unknown pass or option, or a value that the option does not take.

    Example:
        >>> parse_pipeline("dce,fuse{max_inputs=16}")
        (Dce(), Fuse(groups=True, max_inputs=16))
    """
    try:
        reader = Reader(text)
        passes: list[Pass] = []
        while reader.kind != "end":
            if passes:
                reader.expect(",")
            passes.append(_read_pass(reader))
        return tuple(passes)
    except ParseError as error:
        expected = f", expected {error.expected}" if error.expected else ""
        place = f"column {error.column}: {error.message}{expected}"
        raise PassError(f"in the passes {text!r}, {place}", hint=error.hint) from None


def _read_pass(reader: Reader) -> Pass:
    name = reader.take("name")
    kind = known_passes().get(name)
    if kind is None:
        raise PassError(f"there is no pass {name!r}", hint=nearest(name, PASSES))
    options: dict[str, Any] = {}
    if reader.accept("{"):
        hints = typing.get_type_hints(kind)
        known = {f.name: hints[f.name] for f in dataclasses.fields(kind)}
        while not reader.accept("}"):
            if options:
                reader.expect(",")
            option = reader.take("name")
            if option not in known:
                hint = nearest(option, known) if known else f"{name} has no options"
                raise PassError(f"pass {name} has no option {option!r}", hint=hint)
            if option in options:
                raise PassError(f"pass {name} is given the option {option!r} twice")
            reader.expect("=")
            options[option] = _read_option(reader, f"{name}.{option}", known[option])
    return kind(**options)


def _read_option(reader: Reader, option: str, kind: Any) -> Any:
    """A value of type `kind`, checked."""
    if reader.kind == "string":
        value: Any = reader.take_string()
    elif reader.kind == "name" and reader.token not in ("true", "false", "inf", "nan"):
        word = reader.take("name")
        value = None if word == "none" else word
    else:
        value = reader.take_number()
    allowed = _allowed(kind)
    for one in allowed:
        if isinstance(one, type) and type(value) is one:
            return value
        if one is float and type(value) is int:
            return float(value)
        if not isinstance(one, type) and value == one and type(value) is type(one):
            return value
    names = (one.__name__ if isinstance(one, type) else _option_text(one) for one in allowed)
    shown = ", ".join(names)
    raise PassError(f"option {option} is {_option_text(value)}", hint=f"it takes {shown}")


def _allowed(kind: Any) -> list[Any]:
    """The types and single values that an option of type `kind` takes."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return [a for part in typing.get_args(kind) for a in _allowed(part)]
    if typing.get_origin(kind) is Literal:
        return list(typing.get_args(kind))
    return [None] if kind is type(None) else [kind]


def _option_text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        plain = value.isidentifier() and value not in ("none", "true", "false", "inf", "nan")
        return value if plain else json.dumps(value)
    return repr(value)


# Running.


def run_pipeline(
    function: Function,
    passes: Iterable[Pass],
    *,
    callback: Callback | None = None,
    fuel: Fuel | None = None,
    verify: bool = False,
    stop_after: str | None = None,
) -> Function:
    """Runs passes in order.

    Args:
        function: A traced function.
        passes: The passes, for example a level of `dlc.passes.pipelines`.
        callback: Called after each pass with it, the function before and after, the seconds it
            took and its rule statistics: what prints, times and dumps hangs here.
        fuel: Numbers and limits changes. A pass as a whole is one change, before those of its
            rules; without fuel for it, it is left out.
        verify: Check `function` and what each pass makes of it.
        stop_after: The name of the last pass to run.

    Raises:
        PassError: `stop_after` is no name of the passes.
        VerifyError: A pass made an illegal function; the error names the pass.

    Example:
        >>> run_pipeline(f, parse_pipeline("simplify,cse"), verify=True)
    """
    passes = tuple(passes)
    if stop_after is not None and all(p.name != stop_after for p in passes):
        hint = nearest(stop_after, {p.name for p in passes})
        raise PassError(f"no pass {stop_after!r} in {pipeline_text(passes)}", hint=hint)
    stage: Stage | None = None
    if verify:
        verify_function(function)
    for p in passes:
        context = PassContext(fuel)
        before = function
        start = time.perf_counter()
        if context.allows(p.name, p.name, None):
            function = p.apply(before, context)
            # A pass that was left out cannot have brought its stage about.
            stage = p.stage or stage
        elapsed = time.perf_counter() - start
        if verify:
            verify_function(function, stage=stage, pass_name=p.name)
        if callback is not None:
            callback(p, before, function, elapsed, context.stats)
        if p.name == stop_after:
            break
    return function
