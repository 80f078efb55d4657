"""Random programs over the public functions, as Python text: what users write, at their sizes.

    program = make_program(seed)
    print(program.source)
    program.function()(*program.arrays())

Beside `programs.py`, which makes small IR of op rows, these have the extents of tiles, every public
way to join tensors, operands that are not contiguous, constants, loops and random numbers.
"""

import random
import re
import zlib
from dataclasses import dataclass, field, replace

import ml_dtypes
import numpy as np

import dlc
from dlc.ir.config import config
from dlc.ir.errors import DlcError

FLOATS = ("float32", "float32", "float32", "float64", "float16", "bfloat16")
INTEGERS = ("int64", "int32", "int8", "uint8", "int16", "uint32", "uint16", "uint64")
EXTENTS = (
    (1, 2, 3, 4, 5, 7),
    (8, 15, 16, 17, 31, 32, 33),
    (63, 64, 65, 48, 96, 100),
    (127, 128, 129, 257, 1000, 1025),
    (300, 513, 768, 2000, 4097, 10000),
)
MOST = 40_000  # elements of a value; a few programs have larger ones
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
        if positive and self.high == 0 and values.dtype.kind not in "b":
            values = np.abs(values) + np.asarray(0.5).astype(values.dtype)
        return laid_out(values, self.layout)

    def _values(self, rng, special):
        dtype = np.dtype(self.dtype)
        if dtype == bool:
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
    """A program: parameters, statements (each sets one name first of all), names of results."""

    params: tuple[Param, ...]
    lines: tuple[str, ...]
    results: tuple[str, ...]
    seed: int = 0

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
        return "\n".join([*head, f"def f({names}):", *body, back])

    def function(self, seed=0):
        """The Python function; constants are of the seed."""
        space = {"dlc": dlc, "np": np, "F": dlc.nn.functional}
        for p in self.params:
            if p.is_constant:
                space[p.name] = p.array(seed)
        import linecache

        name = f"<program {self.seed} {zlib.crc32(self.source.encode())}>"
        linecache.cache[name] = (len(self.source), None, self.source.splitlines(True), name)
        exec(compile(self.source, name, "exec"), space)
        return space["f"]

    def arrays(self, seed=0, *, special=False, positive=False):
        return [p.array(seed, special=special, positive=positive) for p in self.inputs]

    def stretched(self, old, new):
        """The same program with arguments of another extent where it was `old`."""
        params = [
            replace(p, shape=tuple(new if d == old else d for d in p.shape)) if not p.is_constant
            else p for p in self.params
        ]  # fmt: skip
        return replace(self, params=tuple(params))


@dataclass
class Value:
    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def kind(self):
        return {"f": "f", "b": "f" if self.dtype == "bfloat16" else "b"}.get(
            self.dtype[0], "u" if self.dtype[0] == "u" else "i"
        )

    @property
    def rank(self):
        return len(self.shape)


UNARY = {
    "f": [
        "dlc.negative",
        "dlc.abs",
        "dlc.exp",
        "dlc.tanh",
        "dlc.sigmoid",
        "dlc.floor",
        "dlc.rint",
        "dlc.sin",
        "dlc.cos",
        "dlc.sqrt",
        "dlc.log1p",
        "dlc.rsqrt",
        "dlc.relu",
        "dlc.gelu",
        "dlc.erf",
        "dlc.trunc",
        "dlc.silu",
        "dlc.softplus",
        "dlc.square",
        "dlc.reciprocal",
        "dlc.sign",
        "dlc.expm1",
        "dlc.log",
        "dlc.log2",
        "dlc.cbrt",
        "dlc.atan",
        "dlc.exp2",
        "dlc.log_sigmoid",
        "dlc.nan_to_num",
        "F.mish",
        "F.hardswish",
        "F.elu",
        "F.selu",
        "F.leaky_relu",
        "F.softsign",
        "dlc.isnan",
        "dlc.isfinite",
        "dlc.signbit",
        "dlc.ceil",
        "dlc.sinh",
        "dlc.acos",
        "dlc.erfc",
        "dlc.sinc",
    ],
    "i": [
        "dlc.negative",
        "dlc.abs",
        "dlc.square",
        "dlc.bitwise_not",
        "dlc.sign",
        "dlc.exp",
        "dlc.sqrt",
    ],
    "u": [
        "dlc.negative",
        "dlc.square",
        "dlc.bitwise_not",
        "dlc.sign",
        "dlc.bitwise_count",
        "dlc.tanh",
    ],
    "b": ["dlc.logical_not", "dlc.bitwise_not"],
}
BINARY = {
    "f": [
        "dlc.add",
        "dlc.subtract",
        "dlc.multiply",
        "dlc.divide",
        "dlc.maximum",
        "dlc.minimum",
        "dlc.remainder",
        "dlc.hypot",
        "dlc.atan2",
        "dlc.pow",
        "dlc.floor_divide",
        "dlc.logaddexp",
        "dlc.fmod",
        "dlc.copysign",
        "dlc.fmax",
        "dlc.heaviside",
        "dlc.less",
        "dlc.greater_equal",
        "dlc.not_equal",
        "dlc.nextafter",
    ],
    "i": [
        "dlc.add",
        "dlc.subtract",
        "dlc.multiply",
        "dlc.maximum",
        "dlc.minimum",
        "dlc.remainder",
        "dlc.floor_divide",
        "dlc.bitwise_and",
        "dlc.bitwise_xor",
        "dlc.bitwise_right_shift",
        "dlc.bitwise_left_shift",
        "dlc.gcd",
        "dlc.less",
        "dlc.equal",
        "dlc.divide",
        "dlc.pow",
        "dlc.fmod",
    ],
    "b": [
        "dlc.logical_and",
        "dlc.bitwise_xor",
        "dlc.logical_or",
        "dlc.add",
        "dlc.multiply",
        "dlc.less",
    ],
}
BINARY["u"] = BINARY["i"]
REDUCTIONS = {
    "f": [
        "sum",
        "mean",
        "max",
        "min",
        "prod",
        "var",
        "std",
        "logsumexp",
        "argmax",
        "argmin",
        "median",
        "any",
        "all",
        "count_nonzero",
        "nansum",
        "nanmax",
        "ptp",
    ],
    "i": ["sum", "mean", "max", "min", "prod", "argmax", "argmin", "any", "all", "count_nonzero"],
    "b": ["any", "all", "sum", "argmax", "count_nonzero", "max"],
}
REDUCTIONS["u"] = REDUCTIONS["i"]


@dataclass
class Maker:
    """Adds random statements to a program.

    kinds: names of the methods to draw from.
    wide: the only element type of floats, where there is one (for derivatives).
    """

    rng: random.Random
    seed: int
    wide: str | None = None
    smooth: bool = False
    most: int = MOST
    params: list = field(default_factory=list)
    lines: list = field(default_factory=list)
    values: list = field(default_factory=list)
    made: int = 0
    rejected: list = field(default_factory=list)

    def __post_init__(self):
        sizes = self.rng.choice([(0, 0, 1), (0, 1, 1), (0, 1, 2), (1, 1, 2), (0, 2, 3), (0, 1, 3)])
        if self.most > MOST:
            sizes = self.rng.choice([(1, 3, 4), (3, 3, 4), (0, 4, 4), (1, 4, 2)])
        self.extents = [self.rng.choice(EXTENTS[k]) for k in sizes]
        if self.rng.random() < 0.03:
            self.extents[0] = 0
        self.float = self.wide or self.rng.choice(FLOATS)
        self.space = {"dlc": dlc, "np": np, "F": dlc.nn.functional}

    def pick(self, options):
        return self.rng.choice(list(options))

    def chance(self, share):
        return self.rng.random() < share

    def extent(self):
        return 1 if self.chance(0.1) else self.pick(self.extents)

    def shape(self, low=0, high=3):
        for _ in range(20):
            made = tuple(self.extent() for _ in range(self.rng.randint(low, high)))
            if np.prod(made) <= self.most // 2:
                return made
        return (2,) * low

    def dtype(self):
        if self.chance(0.75):
            return self.float
        if self.wide:
            return self.pick(("int64", "bool"))
        return self.pick((*FLOATS[3:], *INTEGERS, "bool", "bool"))

    def param(self, dtype=None, shape=None, *, high=0, constant=None):
        constant = self.chance(0.15) if constant is None else constant
        shape = self.shape() if shape is None else tuple(shape)
        if np.prod(shape) > self.most:
            raise Unfit
        name = f"{'k' if constant else 'a'}{len(self.params)}"
        layout = "plain" if constant or self.wide else self.pick(LAYOUTS)
        made = Param(name, dtype or self.dtype(), shape, layout, high)
        self.params.append(made)
        self.space[name] = made.array(0) if constant else dlc.asarray(made.array(0))
        value = Value(name, made.dtype, made.shape)
        if not high:
            self.values.append(value)
        return value

    def value(self, kinds="fiub", low=0, high=9):
        fitting = [v for v in self.values if v.kind in kinds and low <= v.rank <= high]
        if not fitting or self.chance(0.1):
            dtype = self.float if "f" in kinds else "int64" if "i" in kinds else "bool"
            if dtype == self.float and "i" in kinds and self.chance(0.3):
                dtype = self.dtype() if kinds == "fiub" else self.pick(INTEGERS[:3])
            return self.param(dtype, self.shape(low, max(low, min(high, 3))))
        if self.chance(0.6):
            return self.pick(fitting[-3:])
        return self.pick(fitting)

    def like(self, dtype, shape):
        """A value of this element type that broadcasts to a shape."""
        fitting = [v for v in self.values if v.dtype == dtype and v.shape == tuple(shape)]
        if fitting and self.chance(0.7):
            return self.pick(fitting)
        return self.param(dtype, shape)

    def partner(self, x):
        """What x can be joined with by an operator: a value of the same kind, or a number."""
        how = self.rng.random()
        if how < 0.15:
            return self.pick({"f": ("2.0", "0.5", "-1.0", "3", "0.0"), "b": ("True",)}.get(
                x.kind, ("2", "3", "1", "7", "0")))  # fmt: skip
        fitting = [v for v in self.values if v.kind == x.kind and broadcasts(v.shape, x.shape)]
        if fitting and how < 0.8:
            return self.pick(fitting).name
        shape = list(x.shape)
        for k in range(len(shape)):
            if self.chance(0.3):
                shape[k] = 1
        while shape and self.chance(0.3):
            shape.pop(0)
        return self.param(x.dtype, shape).name

    def axis(self, x):
        return self.rng.randint(-x.rank, x.rank - 1)

    # Each method below makes the text of one expression (or statements that set `{}`).

    def unary(self):
        x = self.value()
        return f"{self.pick(UNARY[x.kind])}({x.name})"

    def binary(self):
        x = self.value()
        operands = [x.name, self.partner(x)]
        if self.chance(0.4):
            operands.reverse()
        return f"{self.pick(BINARY[x.kind])}({', '.join(operands)})"

    def operator(self):
        x = self.value("f")
        y, z = self.partner(x), self.partner(x)
        return self.pick((f"{x.name} * {y} + {z}", f"{x.name} - {y}", f"({x.name} + {y}) * {z}",
                          f"{x.name} / (1 + {y} * {y})", f"{y} - {x.name} * {x.name}",
                          f"{x.name} ** 2 - {y}", f"{x.name} ** 3"))  # fmt: skip

    def choice(self):
        x = self.value()
        mask = [v for v in self.values if v.kind == "b" and broadcasts(v.shape, x.shape)]
        test = (
            self.pick(mask).name if mask and self.chance(0.6) else f"{x.name} > {self.partner(x)}"
        )
        return f"dlc.where({test}, {x.name}, {self.partner(x)})"

    def clip(self):
        x = self.value("fiu")
        return self.pick((f"dlc.clip({x.name}, 1, 5)", f"dlc.clip({x.name}, max=2)",
                          f"dlc.clip({x.name}, min={self.partner(x)})"))  # fmt: skip

    def convert(self):
        x = self.value()
        if self.wide:
            raise Unfit
        if x.kind == "f" and self.chance(0.2):
            return f"dlc.astype({x.name} * 1e30, dlc.{self.pick(INTEGERS)})"
        return f"dlc.astype({x.name}, dlc.{self.pick((*FLOATS, *INTEGERS, 'bool'))})"

    def reduce(self):
        x = self.value(low=1)
        name = self.pick(REDUCTIONS[x.kind])
        count = self.rng.randint(1, x.rank)
        axes = self.rng.sample(range(x.rank), count)
        axes = tuple(a - x.rank if self.chance(0.5) else a for a in axes)
        if name.startswith("arg") or count == 1:
            axes = axes[0]
        more = ", keepdims=True" if self.chance(0.4) else ""
        if name in ("var", "std") and self.chance(0.4):
            more += ", correction=1"
        return f"dlc.{name}({x.name}, axis={axes}{more})"

    def centre(self):
        x = self.value("f", 1)
        a = self.axis(x)
        return self.pick((
            f"{x.name} - dlc.mean({x.name}, axis={a}, keepdims=True)",
            f"{x.name} / dlc.sqrt(dlc.mean({x.name} ** 2, axis={a}, keepdims=True) + 1e-3)",
            f"dlc.exp({x.name} - dlc.max({x.name}, axis={a}, keepdims=True))",
            f"{x.name} / dlc.sum(dlc.abs({x.name}), axis={a}, keepdims=True)",
        ))  # fmt: skip

    def normalise(self):
        x = self.value("f", 1)
        last = x.shape[-1]
        name = self.pick(
            ("softmax", "log_softmax", "layer_norm", "rms_norm", "affine", "normalize")
        )
        if name in ("softmax", "log_softmax"):
            return f"dlc.{name}({x.name}, axis={self.axis(x)})"
        if name == "affine":
            w, b = self.like(x.dtype, (last,)), self.like(x.dtype, (last,))
            return f"dlc.layer_norm({x.name}, {w.name}, {b.name})"
        if name == "normalize":
            return f"F.normalize({x.name}, dim={self.axis(x)})"
        return f"dlc.{name}({x.name})"

    def channel_norm(self):
        x = self.value("f", 2)
        c = x.shape[1]
        groups = self.pick([g for g in range(1, c + 1) if c % g == 0] or [1])
        w, b = self.like(x.dtype, (c,)), self.like(x.dtype, (c,))
        return self.pick((
            f"dlc.group_norm({x.name}, {groups}, {w.name}, {b.name})",
            f"dlc.batch_norm({x.name}, weight={w.name}, bias={b.name}, training=True)",
            f"dlc.batch_norm({x.name}, {b.name}, dlc.abs({w.name}) + 0.5)",
            f"dlc.batch_norm({x.name}, {b.name}, dlc.square({w.name}), {w.name}, {b.name})",
        ))  # fmt: skip

    def matmul(self):
        x = self.value("fi", 1)
        k = x.shape[-1]
        if x.rank > 2 and self.chance(0.5):
            y = self.like(x.dtype, (*x.shape[:-2], k, self.extent()))
        elif self.chance(0.2):
            y = self.like(x.dtype, (k,))
        elif self.chance(0.5):
            y = self.like(x.dtype, (self.extent(), k))
            return f"{x.name} @ {y.name}.mT"
        else:
            y = self.like(x.dtype, (k, self.extent()))
        return f"{x.name} @ {y.name}"

    def gram(self):
        x = self.value("f", 2)
        return self.pick((f"{x.name} @ {x.name}.mT", f"{x.name}.mT @ {x.name}"))

    def dense(self):
        x = self.value("f", 1)
        out = self.extent()
        w, b = self.like(x.dtype, (x.shape[-1], out)), self.like(x.dtype, (out,))
        act = self.pick(("dlc.relu", "dlc.gelu", "dlc.tanh", "dlc.silu", "dlc.softmax", ""))
        return f"{act}({x.name} @ {w.name} + {b.name})"

    def einsum(self):
        x = self.value("fi", 1)
        letters = "abcd"[: x.rank]
        sizes = dict(zip(letters, x.shape, strict=True))
        other = self.rng.sample(letters, self.rng.randint(1, x.rank))
        if self.chance(0.5):
            sizes["e"] = self.extent()
            other.insert(self.rng.randint(0, len(other)), "e")
        y = self.like(x.dtype, [sizes[c] for c in other])
        everything = sorted({*letters, *other})
        out = self.rng.sample(everything, self.rng.randint(0, min(3, len(everything))))
        return f"dlc.einsum('{letters},{''.join(other)}->{''.join(out)}', {x.name}, {y.name})"

    def conv(self):
        axes = self.rng.randint(1, 2)
        shape = [self.pick((1, 2)), self.pick((1, 2, 3, 4, 8, 16, 17, 32))]
        shape += [self.pick((5, 7, 8, 9, 14, 16, 17)) for _ in range(axes)]
        fitting = [v for v in self.values if v.kind == "f" and v.rank == axes + 2]
        x = self.pick(fitting) if fitting and self.chance(0.7) else self.param(self.float, shape)
        c = x.shape[1]
        groups = self.pick(
            (1, 1, 1, c, self.pick([g for g in range(1, c + 1) if c % g == 0] or [1]))
        )
        out = max(groups, 1) * self.pick((1, 2, 3, 8)) if c else 1
        kernel = [self.pick((1, 2, 3, 3, 5)) for _ in range(axes)]
        w = self.like(x.dtype, (out, c // max(groups, 1), *kernel))
        b = f", {self.like(x.dtype, (out,)).name}" if self.chance(0.5) else ""
        more = f"stride={self.pick((1, 1, 2, 3))}, padding={self.pick((0, 1, 2))}"
        if self.chance(0.3):
            more += f", dilation={self.pick((2, 3))}"
        if groups != 1:
            more += f", groups={groups}"
        return f"dlc.conv{axes}d({x.name}, {w.name}{b}, {more})"

    def conv_transpose(self):
        x = self.param(self.float, (self.pick((1, 2)), self.pick((1, 2, 4, 8)), self.pick((5, 8, 9)),
                                    self.pick((3, 8))))  # fmt: skip
        w = self.like(x.dtype, (x.shape[1], self.pick((1, 3, 8)), self.pick((2, 3)), 3))
        more = self.pick(("", ", stride=2", ", stride=2, padding=1, output_padding=1",
                          ", dilation=2"))  # fmt: skip
        return f"dlc.conv_transpose2d({x.name}, {w.name}{more})"

    def pool(self):
        x = self.value("f", 3, 4)
        axes = x.rank - 2
        name, more = self.pick((
            ("max_pool", "2"), ("avg_pool", "2"), ("max_pool", "3, stride=1, padding=1"),
            ("avg_pool", "3, stride=2, padding=1"), ("adaptive_avg_pool", "3"),
            ("avg_pool", "3, stride=2, padding=1, count_include_pad=False, ceil_mode=True"),
            ("max_pool", "2, stride=3, ceil_mode=True"), ("adaptive_max_pool", "2"),
            ("max_pool", "2, dilation=2"),
        ))  # fmt: skip
        return f"dlc.{name}{axes}d({x.name}, {more})"

    def attention(self):
        heads, q, k, d, e = (self.pick((1, 2)), self.extent(), self.extent(),
                             self.pick((1, 4, 8, 16, 17, 32, 64)), self.pick((4, 8, 16, 33)))  # fmt: skip
        if max(q, k) * 64 * heads > self.most:
            raise Unfit
        query = self.like(self.float, (heads, q, d))
        key, value = self.like(self.float, (heads, k, d)), self.like(self.float, (heads, k, e))
        names = f"{query.name}, {key.name}, {value.name}"
        if self.chance(0.5):
            more = self.pick(("", "", ", is_causal=True", ", scale=0.3", "mask", "bias"))
            if more == "mask":
                more = f", attn_mask={self.param('bool', self.pick(((q, k), (heads, q, k), (1, k)))).name}"
            elif more == "bias":
                more = f", attn_mask={self.param(self.float, (q, k)).name}"
            return f"dlc.scaled_dot_product_attention({names}{more})"
        scores = f"{query.name} @ {key.name}.mT"
        scores = self.pick((scores, f"{scores} / {d**0.5!r}", f"{scores} * 0.3"))
        how = self.rng.random()
        if how < 0.3:
            mask = self.param("bool", (q, k)).name
            scores = f"dlc.where({mask}, {scores}, {self.pick(('-1e4', '-np.inf'))})"
        elif how < 0.5:
            scores = f"{scores} + {self.param(self.float, (q, k)).name}"
        return f"dlc.softmax({scores}, axis=-1) @ {value.name}"

    def subscript(self, x):
        parts = []
        for d in x.shape[: self.rng.randint(1, x.rank)]:
            how = self.rng.random()
            if how < 0.2 and d:
                parts.append(str(self.rng.randint(-d, d - 1)))
            elif how < 0.35:
                parts.append(":")
            elif how < 0.8:
                low, high = sorted((self.rng.randint(0, d), self.rng.randint(0, d)))
                step = self.pick((1, 1, 2, 3, 7))
                if self.chance(0.3):
                    parts.append(f"{self.pick(('', high - 1 if high else ''))}::-{step}")
                else:
                    parts.append(f"{low}:{high}:{step}")
            else:
                parts.append(self.index(d).name)
        if self.chance(0.15):
            parts.insert(self.rng.randint(0, len(parts)), "None")
        if self.chance(0.15):
            parts.insert(0, "...")
        return ", ".join(parts)

    def index(self, d, shape=None):
        if not d:
            raise Unfit
        dtype = self.pick(("int64", "int64", "int32", "uint8", "int8", "int16", "uint32"))
        shape = self.pick(((3,), (5,), (1,), (2, 3), (17,), (0,))) if shape is None else shape
        return self.param(dtype, shape, high=min(d, 100), constant=self.chance(0.1))

    def read(self):
        x = self.value(low=1)
        return f"{x.name}[{self.subscript(x)}]"

    def write(self):
        x = self.value(low=1)
        where = self.subscript(x)
        number = {"f": "1.5", "b": "True"}.get(x.kind, "3")
        if self.chance(0.5):
            self.check(f"{x.name}[{where}]")
            y = self.evaluated
            if self.chance(0.5):
                number = self.like(x.dtype, y.shape).name
            elif not self.smooth:
                number = f"{x.name}[{where}] + {number}" if x.kind != "b" else number
        return self.pick((f"{{0}} = +{x.name}\n{{0}}[{where}] = {number}",
                          self.at(x, where, number)))  # fmt: skip

    def at(self, x, where, number):
        how = "set" if x.kind == "b" else self.pick(("set", "add", "max", "min", "multiply"))
        mode = self.pick(("", "", ", mode='drop'", ", mode='clip'", ", mode='wrap'"))
        return f"dlc.asarray({x.name}).at[{where}].{how}({number}{mode})"

    def masked(self):
        x = self.value("fiu", 1)
        number = self.pick(("0", "2", "-1" if x.kind != "u" else "1"))
        return f"{{0}} = +{x.name}\n{{0}}[{x.name} > {self.partner(x)}] = {number}"

    def gather(self):
        x = self.value(low=1)
        a = self.axis(x)
        d = x.shape[a]
        how = self.pick(
            ("take", "along", "scatter", "add", "reduce", "segment", "index_add", "hot")
        )
        if how == "take":
            return f"dlc.take({x.name}, {self.index(d).name}, axis={a})"
        if how == "hot":
            i = self.index(max(d, 1))
            return f"dlc.one_hot({i.name}, {min(d, 40)})"
        if how in ("segment", "index_add"):
            n = x.shape[0]
            i = self.index(7, (n,))
            if how == "segment":
                return (
                    f"dlc.segment_{self.pick(('sum', 'max', 'min', 'prod'))}({x.name}, {i.name}, 8)"
                )
            i = self.index(d, (5,))
            source = self.like(x.dtype, (*x.shape[: a % x.rank], 5, *x.shape[a % x.rank + 1 :]))
            return f"dlc.index_add({x.name}, {a}, {i.name}, {source.name})"
        shape = list(x.shape)
        shape[a] = self.pick((1, 3, d))
        i = self.index(d, shape)
        if how == "along":
            return f"dlc.take_along_axis({x.name}, {i.name}, axis={a})"
        src = self.like(x.dtype, shape)
        if how == "scatter":
            return f"dlc.put_along_axis({x.name}, {i.name}, {src.name}, axis={a})"
        if how == "add":
            return f"dlc.scatter_add({x.name}, {a}, {i.name}, {src.name})"
        name = self.pick(("sum", "prod", "mean", "amax", "amin"))
        inside = self.pick(("", ", include_self=False"))
        return f"dlc.scatter_reduce({x.name}, {a}, {i.name}, {src.name}, '{name}'{inside})"

    def rearrange(self):
        x = self.value(low=1)
        a = self.axis(x)
        n = x.name
        axes = self.rng.sample(range(x.rank), x.rank)
        return self.pick((
            f"dlc.permute({n}, {tuple(axes)})", f"{n}.reshape(-1)", f"{n}.mT" if x.rank > 1 else n,
            f"dlc.flip({n}, axis={a})", f"dlc.roll({n}, {self.pick((1, -2, 5))}, axis={a})",
            f"dlc.tile({n}, {self.pick((2, '(2, 1)', '(1, 3)'))})",
            f"dlc.repeat({n}, {self.pick((2, 3))}, axis={a})", f"dlc.expand_dims({n}, axis={a})",
            f"dlc.broadcast_to({n}, (2, *{n}.shape))", f"dlc.permute({n}, {tuple(axes)}).reshape(-1)",
            f"{n}.reshape({(*x.shape[:-1], 1, x.shape[-1])})", f"dlc.swapaxes({n}, 0, {a})",
            f"dlc.tril({n}, {self.pick((0, 1, -2))})", f"dlc.triu({n})",
            f"dlc.diagonal({n}, {self.pick((0, 1, -1))})", f"dlc.diff({n}, axis={a})",
            f"dlc.stack([{n}, {n}], axis={a})",
        ))  # fmt: skip

    def pad(self):
        x = self.value("fiu", 1)
        widths = tuple((self.rng.randint(0, 3), self.rng.randint(0, 3)) for _ in range(x.rank))
        mode = self.pick(("constant", "constant", "edge", "reflect", "symmetric", "wrap"))
        return f"dlc.pad({x.name}, {widths}, '{mode}')"

    def join(self):
        x = self.value(low=1)
        a = self.axis(x)
        shape = list(x.shape)
        shape[a] = self.pick((shape[a], 1, 3))
        y = self.like(x.dtype, shape)
        parts = [x.name, y.name, *([x.name] if self.chance(0.3) else [])]
        self.rng.shuffle(parts)
        return f"dlc.concat([{', '.join(parts)}], axis={a})"

    def part(self):
        x = self.value(low=1)
        a = self.axis(x)
        n = self.rng.randint(1, max(1, min(x.shape[a], 4)))
        return f"dlc.array_split({x.name}, {n}, axis={a})[{self.rng.randint(0, n - 1)}]"

    def order(self):
        x = self.value("fiub", 1)
        a = self.axis(x)
        d = x.shape[a]
        down = self.pick(("", ", descending=True"))
        k = self.rng.randint(1, max(1, min(d, 9)))
        return self.pick((
            f"dlc.sort({x.name}, axis={a}{down})", f"dlc.argsort({x.name}, axis={a}{down})",
            f"dlc.topk({x.name}, {k}, axis={a})[{self.pick((0, 1))}]",
            f"dlc.take_along_axis({x.name}, dlc.argsort({x.name}, axis={a}{down}), axis={a})",
            f"dlc.topk({x.name}, {k}, axis={a}, largest=False)[0]",
            f"dlc.searchsorted(dlc.sort({x.name}.reshape(-1)), {x.name})",
            f"dlc.median({x.name}, axis={a})", f"dlc.quantile({x.name}, 0.3, axis={a})",
        ))  # fmt: skip

    def running(self):
        x = self.value("fiu", 1)
        a = self.axis(x)
        name = self.pick(("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"))
        if name == "logcumsumexp" and x.kind != "f":
            name = "cumsum"
        flip = self.chance(0.3)
        text = f"dlc.{name}({f'dlc.flip({x.name}, axis={a})' if flip else x.name}, {a})"
        return f"{text}[0]" if name in ("cummax", "cummin") else text

    def loop(self):
        x = self.value("f")
        y = self.partner(x)
        n = self.pick((0, 1, 3, 10))
        body = self.pick((f"c * 0.5 + {y}", f"dlc.tanh(c) + {y}", "c - dlc.mean(c)", "c + i",
                          f"dlc.maximum(c * 0.9, {y})", "dlc.flip(c, axis=None) * 0.5 + 1",
                          "c + dlc.sum(c * c, axis=None) * 1e-3"))  # fmt: skip
        start = f"dlc.broadcast_to(({x.name} + ({body.replace('c', x.name) if False else y})) * 1, "
        start = f"({x.name} + {y})"
        return f"dlc.fori_loop(0, {n}, lambda i, c: ({body}).astype(c.dtype), {start})"

    def matrix_loop(self):
        x = self.value("f", 2, 2)
        m = x.shape[-1]
        w, h = self.like(x.dtype, (m, m)), self.like(x.dtype, (m,))
        reverse = self.pick(("", ", reverse=True", ", unroll=2"))
        k = self.pick((0, 1))
        body = self.pick((
            f"(dlc.tanh(c @ {w.name} + r), c)", "(c * 0.5 + r, dlc.sum(c))",
            f"(dlc.maximum(c, r), r @ {w.name})", f"(c + dlc.tanh(r @ {w.name}), c * r)",
            "(dlc.where(r > 0, c, r), dlc.softmax(c))",
        ))  # fmt: skip
        return f"dlc.scan(lambda c, r: {body}, {h.name}, {x.name}{reverse})[{k}]"

    def until(self):
        x = self.value("f")
        return (f"dlc.while_loop(lambda c: (c[1] < 6) & (dlc.max(dlc.abs(c[0]), axis=None) > 0.3), "
                f"lambda c: (c[0] * 0.5 - 0.01, c[1] + 1), ({x.name}, 0))[{self.pick((0, 1))}]")  # fmt: skip

    def branch(self):
        x = self.value("f")
        y = self.partner(x)
        return (f"dlc.cond(dlc.sum({x.name}, axis=None) > 0, lambda x: dlc.tanh(x + {y}), "
                f"lambda x: (x + {y}) * 2, {x.name})")  # fmt: skip

    def row_map(self):
        x = self.value("f", 2)
        return self.pick((
            f"dlc.vmap(lambda r: dlc.softmax(r, axis=-1) * dlc.sum(r))({x.name})",
            f"dlc.map(lambda r: r / (1 + dlc.sum(r * r)), {x.name})",
            f"dlc.vmap(lambda r: dlc.sort(r, axis=0), in_axes=1, out_axes=1)({x.name})",
            f"dlc.associative_scan(lambda p, q: p * 0.5 + q * 0.5, {x.name})",
        ))  # fmt: skip

    def derivative(self):
        x = self.value("f")
        y = self.partner(x)
        inner = self.pick((f"dlc.sum(dlc.tanh(x * {y}))", f"dlc.sum(dlc.sin(x) * {y})",
                           f"dlc.sum(dlc.exp(-x * x) + {y})", "dlc.logsumexp(x)",
                           "dlc.sum(dlc.cumsum(x.reshape(-1)) ** 2)"))  # fmt: skip
        return f"dlc.grad(lambda x: {inner})({x.name})"

    def random(self):
        key = f"dlc.random.key({self.rng.randint(0, 9)})"
        shape = self.shape(0, 2)
        if self.smooth or self.wide:
            raise Unfit
        return self.pick((
            f"dlc.random.normal({key}, {shape}, dlc.{self.float})",
            f"dlc.random.uniform({key}, {shape}, dlc.{self.float})",
            f"dlc.random.bernoulli({key}, 0.3, {shape})",
            f"dlc.random.randint({key}, {shape}, -5, 9)",
            f"dlc.random.bits({key}, {shape})", f"dlc.random.permutation({key}, {shape[0] if shape else 5})",
        ))  # fmt: skip

    def image(self):
        x = self.value("f", 4, 4)
        return self.pick((
            f"dlc.interpolate({x.name}, scale_factor=2)",
            f"dlc.interpolate({x.name}, size=(7, 5), mode='bilinear')",
            f"dlc.interpolate({x.name}, size=(3, 9), mode='bicubic', align_corners=True)",
            f"dlc.unfold({x.name}, 2)", f"dlc.unfold({x.name}, 3, padding=1, stride=2)",
        ))  # fmt: skip

    def loss(self):
        x = self.value("f", 2, 2)
        if not x.shape[1] or not x.shape[0]:
            raise Unfit
        labels = self.param("int64", (x.shape[0],), high=0, constant=False)
        self.values.remove(labels)
        return (f"dlc.cross_entropy({x.name}, {labels.name} % {x.shape[1]}, "
                f"reduction='{self.pick(('mean', 'none', 'sum'))}')")  # fmt: skip

    def check(self, text):
        """Evaluates a statement; remembers what it is in `evaluated`."""
        name = "probe"
        body = text.format(name) if "{0}" in text else f"{name} = {text}"
        space = dict(self.space)
        with config.scope(disable_jit=True), np.errstate(all="ignore"):
            exec(body, space)
        made = space[name]
        if not isinstance(made, dlc.Tensor):
            raise Unfit
        self.evaluated = made
        return made

    def grow(self):
        """Adds a statement; one that does not fit is left out."""
        before = len(self.params), len(self.values)
        kind = self.pick(SMOOTH if self.smooth else KINDS)
        text = None
        try:
            text = getattr(self, kind)()
            made = self.check(text)
            if made.size > self.most:
                raise Unfit
        except (Unfit, DlcError) as error:
            if isinstance(error, DlcError):
                self.rejected.append((text, str(error).splitlines()[0]))
            del self.params[before[0] :], self.values[before[1] :]
            return
        name = f"v{self.made}"
        self.made += 1
        self.lines.append(text.format(name) if "{0}" in text else f"{name} = {text}")
        self.space[name] = made
        self.values.append(Value(name, made.dtype.__name__ if isinstance(made.dtype, type) else
                                 dtype_name(made.dtype), tuple(made.shape)))  # fmt: skip


def dtype_name(dtype):
    return np.dtype(dtype.numpy).name


class Unfit(Exception):
    """A statement does not fit what there is."""


def broadcasts(shape, to):
    return len(shape) <= len(to) and all(
        a in (1, b) for a, b in zip(shape[::-1], to[::-1], strict=False)
    )


POINTWISE = [
    "unary",
    "unary",
    "binary",
    "binary",
    "operator",
    "operator",
    "choice",
    "clip",
    "convert",
]
KINDS = [
    *POINTWISE, "reduce", "reduce", "centre", "normalise", "channel_norm", "matmul", "matmul",
    "gram", "dense", "einsum", "conv", "conv", "conv_transpose", "pool", "attention", "read",
    "read", "write", "write", "masked", "gather", "gather", "rearrange", "rearrange", "pad", "join",
    "part", "order", "running", "loop", "matrix_loop", "until", "branch", "row_map", "derivative",
    "random", "image", "loss",
]  # fmt: skip
SMOOTH = [k for k in KINDS if k not in ("convert", "random", "derivative")]


def make_program(seed, *, most=8, wide=None, smooth=False):
    """The program of a seed: up to `most` statements and three results."""
    rng = random.Random(seed)
    large = rng.random() < 0.15 and not wide
    maker = Maker(rng, seed, wide, smooth, 600_000 if large else MOST)
    count = rng.randint(1, most // 2 if large else rng.choice((most, most, 2 * most)))
    for _ in range(3 * count):
        if len(maker.lines) >= count:
            break
        maker.grow()
    if not maker.lines or all(p.is_constant for p in maker.params):
        return make_program(seed + 1_000_003, most=most, wide=wide, smooth=smooth)
    names = [line.split(" ", 1)[0] for line in maker.lines]
    results = [names[-1], *rng.sample(names, min(len(names), rng.randint(0, 2)))]
    if rng.random() < 0.1:
        results.append(rng.choice([v.name for v in maker.values]))
    made = Program(tuple(maker.params), tuple(maker.lines), tuple(results), seed)
    return pruned(made)


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
