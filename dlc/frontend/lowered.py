"""`f.lower(*args)`: a function traced for given arguments, before it is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dlc.frontend.closure import Closure
from dlc.ir.core import Function
from dlc.ir.printer import print_function
from dlc.runtime.executable import Executable, Options, compile_function


class Lowered:
    """A function traced for given arguments; its stages can be read as text.

    Example:
        >>> print(dlc.compile(lambda x: x + 1).lower(dlc.spec((3,))).as_text("traced"))
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
            self._executable = compile_function(self.function, options=self.options)
        return self._executable

    @property
    def stages(self) -> tuple[str, ...]:
        """The names that `as_text` takes."""
        return self.executable.stages

    def as_text(self, stage: str = "traced") -> str:
        """The program at a stage: traced, optimized, kernels, and those of its backend (llvm, asm).

        Raises:
            ValueRangeError: for an unknown stage.
        """
        if stage == "traced":
            return print_function(self.function, locations=True)
        return self.executable.text(stage)

    def compile(self) -> Compiled:
        """Compiles now, and gives something to call with arguments of these types."""
        return Compiled(self)

    def cost_analysis(self) -> dict[str, Any]:
        """Floating-point operations and bytes moved, by kernel and in all."""
        return self.executable.cost_analysis()

    def memory_analysis(self) -> dict[str, Any]:
        """Bytes of arguments, results and temporaries."""
        return self.executable.memory_analysis()


class Compiled:
    """A compiled function for arguments of given types."""

    def __init__(self, lowered: Lowered) -> None:
        self.lowered = lowered
        self.executable = lowered.executable

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.lowered._call(*args, **kwargs)

    def as_text(self, stage: str = "optimized") -> str:
        """The program at a stage."""
        return self.lowered.as_text(stage)

    def cost_analysis(self) -> dict[str, Any]:
        """Floating-point operations and bytes moved, by kernel and in all."""
        return self.lowered.cost_analysis()

    def memory_analysis(self) -> dict[str, Any]:
        """Bytes of arguments, results and temporaries."""
        return self.lowered.memory_analysis()
