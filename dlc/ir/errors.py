"""The errors that users see: each has a stable code, the user's source line and a way out.

`docs/error_codes.md` explains every code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

from dlc.ir.deferred import deferred
from dlc.ir.location import SourceLocation, source_line, user_location

if TYPE_CHECKING:
    import difflib

    from dlc.ir import matrix_error
else:
    difflib = deferred("difflib")
    matrix_error = deferred("dlc.ir.matrix_error")


class DlcError(Exception):
    """The base of every error that dlc raises on purpose.

    Args:
        message: What was wrong, with shapes and dtypes where they matter.
        hint: What to do about it.
        location: The user's line. Without one, the innermost frame outside dlc is taken.

    Example:
        >>> raise ShapeError("matmul of f32[2,3] and f32[4,5]", hint="the inner extents must agree")
        Traceback (most recent call last):
        ...
        dlc.ir.errors.ShapeError: DLC101: matmul of f32[2,3] and f32[4,5]
          at train.py:7 in loss
            return x @ w
          hint: the inner extents must agree
    """

    code: ClassVar[str] = "DLC100"
    message: str
    hint: str | None
    location: SourceLocation | None
    context: str | None = None  # where in a model, said by who calls

    def __init__(
        self, message: str, *, hint: str | None = None, location: SourceLocation | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.location = user_location() if location is None else location

    def details(self) -> list[str]:
        """Lines that `str` shows between the message and the user's line."""
        return []

    def __str__(self) -> str:
        lines = [f"{self.code}: {self.message}", *("  " + line for line in self.details())]
        if self.context is not None:
            lines.append(f"  {self.context}")
        if self.location is not None:
            lines.append(f"  at {self.location}")
            quoted = source_line(self.location)
            if quoted is not None:
                lines.append(f"    {quoted}")
        if self.hint is not None:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)

    def __reduce__(
        self,
    ) -> tuple[Callable[..., DlcError], tuple[type[DlcError], str, dict[str, object]]]:
        # The built-in bases rebuild from positional arguments only; keywords must survive too,
        # for errors that cross a process boundary.
        return _rebuild, (type(self), self.message, self.__dict__)


def _rebuild(kind: type[DlcError], message: str, attributes: dict[str, object]) -> DlcError:
    error = kind(message)
    error.__dict__.update(attributes)
    return error


class ShapeError(DlcError, ValueError):
    """Shapes, ranks or axes that do not fit together."""

    code = "DLC101"


class DTypeError(DlcError, TypeError):
    """A dtype that an operation does not accept, or a pair that has no common dtype."""

    code = "DLC102"


class IndexRangeError(DlcError, IndexError):
    """An index, slice or axis outside of the extent that it addresses."""

    code = "DLC103"


class ArgumentError(DlcError, TypeError):
    """An argument of a kind that the function does not take, such as a non-array."""

    code = "DLC104"


class ValueRangeError(DlcError, ValueError):
    """An attribute or keyword of the right type with a value that is not allowed."""

    code = "DLC105"


class TracedValueError(DlcError, TypeError):
    """A traced value was used where Python needs a concrete number."""

    code = "DLC201"


class LeakedTracerError(DlcError, RuntimeError):
    """A traced value was used after the trace that made it had ended."""

    code = "DLC202"


class DerivativeError(DlcError, TypeError):
    """A derivative was asked for that does not exist."""

    code = "DLC203"


class RecompileError(DlcError, RuntimeError):
    """A compilation was needed that the function's policy forbids."""

    code = "DLC204"


class DonatedBufferError(DlcError, RuntimeError):
    """A tensor was used after its buffer had been donated to a compiled call."""

    code = "DLC205"


class ControlFlowError(DlcError, TypeError):
    """Python's control flow over traced values that cannot be compiled."""

    code = "DLC208"


class UnsetVariableError(DlcError, UnboundLocalError):
    """A variable was read that only one branch, or only a loop, gives a value."""

    code = "DLC209"


class NanError(DlcError, FloatingPointError):
    """A result is NaN, and `config.debug_nans` is set.

    Args:
        message: The operation that made the first NaN, and where.
        inputs: The type and range of each of its inputs, a line for each.
        hint, location: As of `DlcError`.
    """

    code = "DLC206"
    inputs: list[str]

    def __init__(
        self,
        message: str,
        *,
        inputs: Iterable[str] = (),
        hint: str | None = None,
        location: SourceLocation | None = None,
    ) -> None:
        super().__init__(message, hint=hint, location=location)
        self.inputs = list(inputs)

    def details(self) -> list[str]:
        """The inputs."""
        return self.inputs


class ParseError(DlcError, ValueError):
    """Text (tensor IR, kernel IR, pass lists) that does not follow its grammar.

    Args:
        message: What was found.
        line: One-based line of the text.
        column: One-based column of the text.
        expected: What would have been accepted there.
        text: The whole text, from which the line is quoted.
        file: Name of the file that the text came from.
        hint: See `DlcError`.
        location: See `DlcError`.
    """

    code = "DLC301"

    def __init__(
        self,
        message: str,
        *,
        line: int = 1,
        column: int = 1,
        expected: str | None = None,
        text: str | None = None,
        file: str | None = None,
        hint: str | None = None,
        location: SourceLocation | None = None,
    ) -> None:
        super().__init__(message, hint=hint, location=location)
        self.line = line
        self.column = column
        self.expected = expected
        self.file = file
        self.quoted = None if text is None else _line_of(text, line)

    def details(self) -> list[str]:
        """The place in the text, its line with a caret, and what was expected."""
        where = f"line {self.line}, column {self.column}"
        shown = [where if self.file is None else f"{self.file}, {where}"]
        if self.quoted is not None:
            # Tabs are kept in the caret's line, so that it stands under its character.
            before = self.quoted[: self.column - 1]
            margin = "".join("\t" if character == "\t" else " " for character in before)
            shown += ["  " + self.quoted, "  " + margin + "^"]
        if self.expected is not None:
            shown.append(f"expected {self.expected}")
        return shown


class VerifyError(DlcError, ValueError):
    """IR that breaks a rule of its stage.

    Args:
        message: Which rule, and how it was broken.
        pass_name: The pass after which it was found; None for IR that was given so.
        excerpt: The lines around the place, as `excerpt` makes them.
        hint: See `DlcError`.
        location: See `DlcError`.
    """

    code = "DLC302"

    def __init__(
        self,
        message: str,
        *,
        pass_name: str | None = None,
        excerpt: str | None = None,
        hint: str | None = None,
        location: SourceLocation | None = None,
    ) -> None:
        super().__init__(message, hint=hint, location=location)
        self.pass_name = pass_name
        self.excerpt = excerpt

    def details(self) -> list[str]:
        """The pass at fault and the lines around the place."""
        shown = [] if self.pass_name is None else [f"after pass {self.pass_name}"]
        return shown if self.excerpt is None else shown + self.excerpt.splitlines()


class PassError(DlcError, ValueError):
    """An unknown pass, or an option that a pass does not have."""

    code = "DLC303"


class SettingError(DlcError, ValueError):
    """An unknown setting, or a value that a setting does not take."""

    code = "DLC401"


class CacheError(DlcError, OSError):
    """The disk cache cannot be used as it was asked to be."""

    code = "DLC501"


class MemoryLimitError(DlcError, MemoryError):
    """More memory was asked for than there is."""

    code = "DLC502"


class DeviceError(DlcError, RuntimeError):
    """A device that is absent, failed, or is not where the data is."""

    code = "DLC503"


class BackendError(DlcError, RuntimeError):
    """A backend could not generate, load or run code."""

    code = "DLC504"


class StoredCodeError(BackendError):
    """Stored bytes are no code of this version: it has to be made again."""


class FileFormatError(DlcError, ValueError):
    """A file that is damaged, cut off, or not what it should be."""

    code = "DLC505"


class SaveError(DlcError, OSError):
    """A file could not be written; what was there before is still there."""

    code = "DLC506"


class WorkerError(DlcError, RuntimeError):
    """A worker process of a data loader could not begin, ended, or gave nothing in time."""

    code = "DLC507"


class ModelError(DlcError, ValueError):
    """A model from another program cannot be run: operators, attributes or types are unknown."""

    code = "DLC508"


def error_codes() -> dict[str, type[DlcError]]:
    """All error classes by their code, in the order of the codes."""
    found = {DlcError.code: DlcError}
    pending: list[type[DlcError]] = [matrix_error.LinAlgError, *DlcError.__subclasses__()]
    while pending:
        kind = pending.pop()
        pending += kind.__subclasses__()
        if "code" in vars(kind):  # a subclass without one is the same error to the user
            found[kind.code] = kind
    return dict(sorted(found.items()))


def nearest(name: object, candidates: Iterable[str]) -> str:
    """Suggest the known name that was probably meant.

    Args:
        name: What the user wrote.
        candidates: The names that exist.

    Returns:
        A hint such as "did you mean 'softmax'?"; the list of all names where none is near.

    Example:
        >>> nearest("sofmax", ["softmax", "relu"])
        "did you mean 'softmax'?"
    """
    names = sorted(set(candidates))
    close = closest(name, names)
    if close is not None:
        return f"did you mean {close!r}?"
    return "known names: " + ", ".join(names) if names else "there are no names to choose from"


def closest(name: object, candidates: Iterable[str]) -> str | None:
    """The known name that was probably meant, None where none is near or it is no text."""
    if not isinstance(name, str):
        return None
    by_folded = {known.casefold(): known for known in sorted(candidates)}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1)
    return by_folded[close[0]] if close else None


def suggesting(
    module: str, elsewhere: Callable[[str], str | None] | None = None
) -> Callable[[str], Any]:
    """The `__getattr__` of a module that users read names of: an error suggests the nearest.

    Args:
        module: Its name.
        elsewhere: Says what the error adds for a name that other frameworks have; None if it does
            not know the name.

    Example:
        >>> from dlc import optim
        >>> optim.Adamw
        Traceback (most recent call last):
        AttributeError: module 'dlc.optim' has no attribute 'Adamw'; did you mean 'AdamW'?
    """

    def missing(name: str) -> Any:
        is_private = name.startswith("_")
        hint = None if is_private or elsewhere is None else elsewhere(name)
        if hint is None and not is_private:
            held = vars(sys.modules[module])
            shown = (n for n, x in held.items() if n[0] != "_" and not isinstance(x, ModuleType))
            close = closest(name, shown)
            hint = None if close is None else f"; did you mean {close!r}?"
        where = module.replace("dlc.frontend.", "dlc.")
        raise AttributeError(f"module {where!r} has no attribute {name!r}{hint or ''}")

    return missing


def excerpt(text: str, line: int, context: int = 2) -> str:
    r"""Show the lines around a one-based line, numbered, with that line marked.

    Example:
        >>> print(excerpt("a\nb\nc", 2, context=1))
          1 | a
        > 2 | b
          3 | c
    """
    lines = text.splitlines()
    first = max(1, line - context)
    last = min(len(lines), line + context)
    width = len(str(last))
    return "\n".join(
        f"{'>' if number == line else ' '} {number:{width}} | {lines[number - 1]}"
        for number in range(first, last + 1)
    )


def _line_of(text: str, line: int) -> str | None:
    lines = text.splitlines()
    return lines[line - 1] if 1 <= line <= len(lines) else None
