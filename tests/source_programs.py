"""Random programs over the public functions, as Python text: what users write, at their sizes.

    program = make_program(seed)  # of `source_maker`
    print(program.source)
    program.function()(*program.arrays())

Beside `programs.py`, which makes small IR of op rows, these have the extents of tiles, every public
way to join tensors, operands that are not contiguous, constants, loops and random numbers.
"""

import linecache
import re
import zlib
from dataclasses import dataclass, replace

import ml_dtypes
import numpy as np

import dlc

LAYOUTS = ("plain",) * 6 + ("transposed", "strided", "reversed", "shifted", "unaligned", "repeated")
NAME = re.compile(r"\b[avk]\d+\b")


@dataclass(frozen=True)
class Param:
    """An argument, or an array that the function closes over.

    layout: how its elements lie in memory.
    high: of an index, the extent that it is for; 0 of data.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    layout: str = "plain"
    high: int = 0

    @property
    def is_constant(self):
        return self.name[0] == "k"

    def array(self, seed, *, special=False, positive=False):
        rng = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        values = self._values(rng, special)
        if positive and self.high == 0 and values.dtype.kind != "b":
            values = np.abs(values) + np.asarray(0.5).astype(values.dtype)
        return laid_out(values, self.layout)

    def _values(self, rng, special):
        dtype = np.dtype(self.dtype)
        if self.dtype == "bool":
            return np.asarray(rng.random(self.shape) < 0.5)
        if self.high:
            low = 0 if dtype.kind == "u" else -self.high
            span = (low - 3 * special, self.high + 3 * special) if dtype.kind != "u" else (
                0, self.high + 3 * special)  # fmt: skip
            return rng.integers(*span, self.shape).astype(dtype)
        if dtype.kind in "iu":
            ordinary = rng.integers(0 if dtype.kind == "u" else -3, 10, self.shape).astype(dtype)
            info = np.iinfo(dtype)
            picked = np.array([0, 1, 2, info.min, info.max, info.max - 1], dtype)
        else:
            ordinary = rng.normal(0, 1.5, self.shape).astype(dtype)
            tiny = float(ml_dtypes.finfo(dtype).smallest_normal)
            picked = np.array(
                [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, np.inf, -np.inf, np.nan, tiny, -tiny / 4]
            ).astype(dtype)
        if not special:
            return ordinary
        share = rng.choice([0.01, 0.3])
        return np.where(rng.random(self.shape) < share, rng.choice(picked, self.shape), ordinary)


def laid_out(values, layout):
    """The same values in memory of another layout."""
    if layout == "transposed":
        return np.asfortranarray(values)
    if layout == "strided" and values.ndim:
        wide = np.zeros((*values.shape[:-1], 2 * values.shape[-1]), values.dtype)
        wide[..., ::2] = values
        return wide[..., ::2]
    if layout == "reversed" and values.ndim:
        return np.ascontiguousarray(values[::-1])[::-1]
    if layout in ("shifted", "unaligned"):
        shift = values.itemsize if layout == "shifted" else 1
        raw = np.zeros(values.nbytes + shift, np.uint8)
        made = raw[shift:].view(values.dtype).reshape(values.shape)
        made[...] = values
        return made
    if layout == "repeated" and values.ndim:
        return np.broadcast_to(values[:1], values.shape)
    return values


@dataclass(frozen=True)
class Program:
    """A program: parameters, statements (each sets one name first of all), names of results.

    gradient: whether it gives the derivatives of a weighted sum of these results, not them.
    """

    params: tuple[Param, ...]
    lines: tuple[str, ...]
    results: tuple[str, ...]
    seed: int = 0
    gradient: bool = False

    @property
    def inputs(self):
        return [p for p in self.params if not p.is_constant]

    @property
    def source(self):
        head = [f"# {p.name}: {p.dtype}{list(p.shape)} {p.layout} {p.high or ''}".rstrip()
                for p in self.params]  # fmt: skip
        names = ", ".join(p.name for p in self.inputs)
        body = [f"    {part}" for line in self.lines for part in line.split("\n")]
        back = f"    return ({''.join(r + ', ' for r in self.results)})"
        made = [*head, f"def f({names}):", *body, back]
        return "\n".join([*made, *(["f = gradient(f)"] if self.gradient else [])])

    def function(self, seed=0):
        """The Python function; constants are of the seed."""
        space = {"dlc": dlc, "np": np, "F": dlc.nn.functional, "gradient": self._gradient}
        for p in self.params:
            if p.is_constant:
                space[p.name] = p.array(seed)
        name = f"<program {self.seed} {zlib.crc32(self.source.encode())}>"
        linecache.cache[name] = (len(self.source), None, self.source.splitlines(True), name)
        exec(compile(self.source, name, "exec"), space)
        return space["f"]

    @property
    def floats(self):
        return tuple(k for k, p in enumerate(self.inputs) if "float" in p.dtype)

    def _gradient(self, f):
        def total(*args):
            found = [r for r in map(dlc.asarray, f(*args)) if r.dtype.is_float]
            held = [r.astype(dlc.float64 if r.dtype is dlc.float64 else dlc.float32) for r in found]
            parts = [
                dlc.sum(r * dlc.cos(dlc.arange(r.size, dtype=r.dtype)).reshape(r.shape))
                for r in held
            ]
            return sum(parts, dlc.asarray(0.0))

        return dlc.grad(total, argnums=self.floats)

    def arrays(self, seed=0, *, special=False, positive=False):
        return [p.array(seed, special=special, positive=positive) for p in self.inputs]

    def stretched(self, old, new):
        """The same program with arguments of another extent where it was `old`."""
        params = [
            replace(p, shape=tuple(new if d == old else d for d in p.shape)) if not p.is_constant
            else p for p in self.params
        ]  # fmt: skip
        return replace(self, params=tuple(params))


def pruned(program):
    """Without statements and parameters that no result needs; one parameter stays."""
    needed, lines = set(program.results), []
    for line in reversed(program.lines):
        name = line.split(" ", 1)[0]
        if name in needed:
            lines.append(line)
            needed.update(NAME.findall(line))
    params = [p for p in program.params if p.name in needed]
    if not any(not p.is_constant for p in params):
        params += [p for p in program.params if not p.is_constant][:1]
    return replace(program, lines=tuple(reversed(lines)), params=tuple(params))
