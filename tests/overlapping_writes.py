"""Random programs that write to parts of tensors from other parts of the same ones.

A program is the text of a function of three arrays, run as it is by dlc. NumPy's text differs from
it where the meaning does: a slice of a tensor is a value, not a view, and `x += y` makes a new one.
NumPy's also copies what it assigns first, since NumPy (2.4.6 at least) does not when overlapping
1-D slices go the same way with different steps: there y[0::2] = y[0:3] repeats elements.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
NAMES = ("x", "y", "z")


def _slice_text(rng: np.random.Generator, extent: int, count: int) -> str:
    """A slice of `count` of `extent` elements, in one of the ways to write it."""
    if count == 0:
        start = int(rng.integers(0, extent + 1))
        return f"{start}:{start}"
    largest = (extent - 1) // (count - 1) if count > 1 else 3
    step = int(rng.integers(1, min(largest, 3) + 1))
    span = (count - 1) * step + 1
    first = int(rng.integers(0, extent - span + 1))
    last = first + span - 1
    if rng.random() < 0.35:
        stop = "" if first == 0 else str(first - 1)
        start = "" if last == extent - 1 else str(last)
        return f"{start}:{stop}:-{step}"
    start = "" if first == 0 and rng.random() < 0.5 else str(first)
    stop = "" if last == extent - 1 and rng.random() < 0.5 else str(last + 1)
    if stop and last + 1 < extent and rng.random() < 0.4:
        stop = str(last + 1 - extent)
    return f"{start}:{stop}" + (f":{step}" if step > 1 else "")


@dataclass
class Writer:
    """Writes one program over arrays of one shape."""

    rng: np.random.Generator
    shape: tuple[int, ...]
    integer: bool
    dlc: list[str] = field(default_factory=list[str])
    numpy: list[str] = field(default_factory=list[str])

    def name(self) -> str:
        return str(self.rng.choice(NAMES))

    def part(self, counts: tuple[int, ...]) -> str:
        return ", ".join(
            _slice_text(self.rng, d, c) for d, c in zip(self.shape, counts, strict=True)
        )

    def counts(self) -> tuple[int, ...]:
        low = 0 if self.rng.random() < 0.05 else 1
        return tuple(int(self.rng.integers(min(low, d), d + 1)) for d in self.shape)

    def whole(self) -> str:
        """A value of the full shape."""
        x, y = self.name(), self.name()
        axis = int(self.rng.integers(len(self.shape)))
        forms = [
            x,
            f"xp.flip({x}, axis={axis})",
            f"{x} + {y}",
            f"{x} - xp.flip({x}, axis={axis})",
            f"xp.maximum({x}, {y})",
        ]
        if len(self.shape) == 2 and self.shape[0] == self.shape[1]:
            forms.append(f"{x}.T")
        return str(self.rng.choice(forms))

    def value(self, counts: tuple[int, ...]) -> str:
        """A value of `counts` elements along the axes, read from parts."""
        x, y = self.name(), self.name()
        a, b = f"{x}[{self.part(counts)}]", f"{y}[{self.part(counts)}]"
        forms = [
            a,
            a,
            f"{a} + {b}",
            f"{a} - {b}",
            f"{a} + 1",
            f"xp.flip({a}, axis=0)",
            f"({self.whole()})[{self.part(counts)}]",
        ]
        if self.integer:
            forms.append(f"{a} * {b}")
        return str(self.rng.choice(forms))

    def both(self, line: str) -> None:
        self.dlc.append(line)
        self.numpy.append(line)

    def assign(self, target: str, value: str) -> None:
        self.dlc.append(f"{target} = {value}")
        self.numpy.append(f"{target} = np.array({value})")

    def write(self) -> None:
        """Appends a statement or two."""
        counts, x, y = self.counts(), self.name(), self.name()
        match int(self.rng.integers(12)):
            case 0 | 1 | 2 | 3:
                self.assign(f"{x}[{self.part(counts)}]", self.value(counts))
            case 4:
                part, sign = self.part(counts), self.rng.choice(["+", "-"])
                value = self.value(counts)
                self.dlc.append(f"{x}[{part}] {sign}= {value}")
                self.numpy.append(f"{x}[{part}] = {x}[{part}] {sign} ({value})")
            case 5:  # a second name of the same tensor
                self.both(f"{x} = {y}")
            case 6:  # several tensors at once
                x, y = self.rng.choice(NAMES, 2, replace=False)
                first, second = self.whole(), self.whole()
                self.both(f"{x}[:], {y}[:] = ({first}) + 0, ({second}) + 0")
            case 7:
                value = self.whole()
                self.dlc.append(f"{x} += {value}")
                self.numpy.append(f"{x} = {x} + ({value})")
            case 8:
                value = self.whole()
                self.dlc.append(f"{x} = {value}[:]")
                self.numpy.append(f"{x} = ({value})[:].copy()")
            case 9:
                i, j = (int(self.rng.integers(-self.shape[0], self.shape[0])) for _ in range(2))
                self.both(f"{x}[{i}] = {y}[{j}] + {x}[{i}]")
            case 10:
                self.both(f"{x}[{x} > {y}] = {int(self.rng.integers(-3, 4))}")
            case _:
                self.assign(f"{x}[:]", self.whole())
                self.assign(f"{y}[{self.part(counts)}]", f"{x}[{self.part(counts)}]")


@dataclass(frozen=True)
class WriteProgram:
    """A program with its operands."""

    number: int
    text: str
    run_dlc: Callable[..., Any]
    run_numpy: Callable[..., Any]
    args: tuple[Array, ...]

    def expected(self, times: int = 1) -> list[Array]:
        """What NumPy gives when it feeds the results back as operands, so many times."""
        values = self.args
        for _ in range(times):
            values = [np.array(a) for a in self.run_numpy(*(np.array(a) for a in values))]
        return list(values)

    def fault(self, results: Any, times: int = 1) -> str | None:
        """The program's text where the results are not exactly NumPy's, None where they are."""
        for got, want in zip(results, self.expected(times), strict=True):
            found = got.numpy()
            same = (found.dtype, found.shape) == (want.dtype, want.shape)
            if not same or not np.array_equal(found, want):
                return f"program {self.number}:\n{self.text}\ngave {found}, not {want}"
        return None


def _function(lines: list[str], namespace: Any) -> Callable[..., Any]:
    text = (
        "def program(x, y, z):\n"
        + "".join(f"    {line}\n" for line in lines)
        + "    return x, y, z\n"
    )
    scope: dict[str, Any] = {"xp": namespace, "np": np}
    exec(compile(text, "<program>", "exec"), scope)
    return scope["program"]


def make_program(number: int, namespace: Any) -> WriteProgram:
    """Program `number`, the same in every process; `namespace` has dlc's functions."""
    rng = np.random.default_rng([7, number])
    flat = rng.random() < 0.6
    shape = (
        (int(rng.integers(4, 9)),) if flat else (int(rng.integers(3, 5)), int(rng.integers(3, 5)))
    )
    integer = bool(rng.random() < 0.5)
    writer = Writer(rng, shape, integer)
    for _ in range(int(rng.integers(2, 6))):
        writer.write()
    if integer:
        args = tuple(rng.integers(-9, 10, shape).astype(np.int32) for _ in NAMES)
    else:
        args = tuple(rng.standard_normal(shape).astype(np.float32) for _ in NAMES)
    numpy = SimpleNamespace(flip=np.flip, maximum=np.maximum)
    text = "\n".join(writer.dlc)
    return WriteProgram(
        number, text, _function(writer.dlc, namespace), _function(writer.numpy, numpy), args
    )
