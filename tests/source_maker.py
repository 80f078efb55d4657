"""Makes the random programs of `source_programs`, statement by statement."""

import random
from dataclasses import dataclass, field

import numpy as np
from source_programs import LAYOUTS, Param, Program, pruned
from statements_of_loops import LoopStatements
from statements_of_places import PlaceStatements
from statements_of_products import ProductStatements
from statements_of_seldom import SeldomStatements
from statements_of_values import FLOATS, INTEGERS, Unfit, ValueStatements, broadcasts

import dlc
from dlc.ir.config import config
from dlc.ir.errors import DlcError

EXTENTS = (
    (1, 2, 3, 4, 5, 7),
    (8, 15, 16, 17, 31, 32, 33),
    (63, 64, 65, 48, 96, 100),
    (127, 128, 129, 257, 1000, 1025),
    (300, 513, 768, 2000, 4097, 10000),
)
MOST = 40_000  # elements of a value; a few programs have larger ones


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


@dataclass
class Maker(ValueStatements, ProductStatements, PlaceStatements, LoopStatements, SeldomStatements):
    """Adds random statements to a program.

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
        except (Unfit, DlcError, MemoryError) as error:
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
    "random", "image", "loss", *["seldom"] * 8,
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
