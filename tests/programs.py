"""Whole random programs over the op rows, for hypothesis.

    @given(programs())
    def test_something(function): ...

Shapes are small and odd, with extents 0 and 1 among them, and symbolic ones where asked for.
"""

import hypothesis.strategies as st

from dlc.ir.build import IRBuilder
from dlc.ir.dims import DimUnknown, symbol
from dlc.ir.errors import DlcError
from dlc.ir.op import OPS
from dlc.ir.types import TensorType, bool_, dtype_of, float32, int64

EXTENTS = (1, 2, 3, 5, 7, 0)
DTYPES = ("f32", "f64", "i32", "f16", "bool", "u8", "bf16", "i64")
UNARY = {
    "f": (
        "neg", "abs", "exp", "tanh", "sigmoid", "floor", "rint", "sin", "sqrt", "log1p", "rsqrt",
        "relu", "gelu", "erf", "trunc",
    ),
    "i": ("neg", "abs", "bit_not"),
    "u": ("neg", "bit_not"),
    "b": ("bit_not",),
}  # fmt: skip
BINARY = {
    "f": ("add", "sub", "mul", "div", "max", "min", "mod", "hypot"),
    "i": ("add", "sub", "mul", "max", "min", "floordiv", "mod", "bit_and", "bit_xor", "shr"),
    "u": ("add", "sub", "mul", "max", "min", "floordiv", "mod", "bit_or", "shl"),
    "b": ("bit_and", "bit_or", "bit_xor"),
}
COMPARE = ("eq", "ne", "lt", "le", "gt", "ge")
NUMBERS = {"f": (0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 3.0), "i": (0, 1, -1, 2, 4, 7), "u": (0, 1, 2, 8)}
REDUCTIONS = ("reduce_sum", "reduce_max", "reduce_min", "reduce_prod")


class Maker:
    """Adds random nodes to a program."""

    def __init__(self, draw, *, symbolic):
        self.draw = draw
        self.b = IRBuilder()
        self.params = []
        self.values = []
        self.extents = (symbol("n"), *EXTENTS) if symbolic else EXTENTS

    def pick(self, options):
        return self.draw(st.sampled_from(list(options)))

    def shape(self, max_rank=3):
        return tuple(self.pick(self.extents) for _ in range(self.draw(st.integers(0, max_rank))))

    def param(self, type_=None):
        if type_ is None:
            type_ = TensorType(dtype_of(self.pick(DTYPES)), self.shape())
        made = self.b.param(type_, f"p{len(self.params)}")
        self.params.append(made)
        self.values.append(made)
        return made

    def value(self, kinds="fiub", min_rank=0):
        """A value of these kinds, recent ones first; a new parameter where there is none."""
        fitting = [
            v for v in self.values if v.tensor.dtype.kind in kinds and v.tensor.rank >= min_rank
        ]
        if not fitting:
            dtype = float32 if "f" in kinds else int64 if "i" in kinds else bool_
            return self.param(
                TensorType(dtype, tuple(self.pick((2, 3, 5)) for _ in range(min_rank)))
            )
        return self.pick(fitting[::-1])

    def like(self, type_):
        """A value of exactly this type: one there is, a number, a conversion, or a parameter."""
        fitting = [v for v in self.values if v.type == type_]
        how = self.pick(("value", "value", "number", "convert", "param"))
        if how == "value" and fitting:
            return self.pick(fitting)
        if how == "number":
            number = self.pick(NUMBERS.get(type_.dtype.kind, (False, True)))
            return self.b.full(value=number, shape=type_.shape, dtype=type_.dtype)
        same = [v for v in self.values if v.shape == type_.shape and v.type != type_]
        if how == "convert" and same:
            return self.b.convert(self.pick(same), dtype=type_.dtype)
        return self.param(type_)

    # One method for each kind of node.

    def unary(self):
        x = self.value()
        return getattr(self.b, self.pick(UNARY[x.tensor.dtype.kind]))(x)

    def binary(self):
        x = self.value()
        operands = [x, self.like(x.tensor)]
        if self.draw(st.booleans()):
            operands.reverse()
        return getattr(self.b, self.pick(BINARY[x.tensor.dtype.kind]))(*operands)

    def multiply_add(self):
        x = self.value("f")
        product = self.b.mul(x, self.like(x.tensor))
        return getattr(self.b, self.pick(("add", "sub")))(product, self.like(x.tensor))

    def compare(self):
        x = self.value()
        return getattr(self.b, self.pick(COMPARE))(x, self.like(x.tensor))

    def select(self):
        x = self.value()
        return self.b.select(self.like(x.tensor.with_dtype(bool_)), x, self.like(x.tensor))

    def convert(self):
        return self.b.convert(self.value(), dtype=self.pick(DTYPES))

    def reshape(self):
        x = self.value()
        shape = list(x.shape)
        if shape and self.draw(st.booleans()):
            k = self.draw(st.integers(0, len(shape) - 1))
            merged = shape[k] * shape[k - 1] if k else shape[k]
            shape[max(k - 1, 0) : k + 1] = [merged]
        shape.insert(self.draw(st.integers(0, len(shape))), 1)
        return self.b.reshape(x, shape=shape)

    def transpose(self):
        x = self.value(min_rank=2)
        axes = self.draw(st.permutations(range(x.tensor.rank)))
        return self.b.transpose(x, axes=axes)

    def broadcast(self):
        x = self.value()
        stretched = [self.pick(self.extents) if d == 1 else d for d in x.shape]
        lead = [self.pick(self.extents)] if x.tensor.rank < 3 and self.draw(st.booleans()) else []
        return self.b.broadcast_to(x, shape=(*lead, *stretched))

    def bounds(self, x):
        start, limit, step = [], [], []
        for d in x.shape:
            if isinstance(d, int):
                low = self.draw(st.integers(0, d))
                high = self.draw(st.integers(low, d))
                step.append(self.draw(st.integers(1, 3)))
            else:
                low, high = self.pick(((0, d), (1, d), (0, d - 1)))
                step.append(1)
            start.append(low)
            limit.append(high)
        return {"start": start, "limit": limit, "step": step}

    def slice(self):
        x = self.value(min_rank=1)
        return self.b.slice(x, **self.bounds(x))

    def slice_update(self):
        x = self.value(min_rank=1)
        bounds = self.bounds(x)
        place = self.b.slice(x, **bounds)
        return self.b.slice_update(x, self.like(place.tensor), **bounds)

    def flip(self):
        x = self.value(min_rank=1)
        return self.b.flip(x, axes=(self.draw(st.integers(0, x.tensor.rank - 1)),))

    def pad(self):
        x = self.value("fiu")
        widths = st.lists(st.integers(0, 2), min_size=x.tensor.rank, max_size=x.tensor.rank)
        number = self.pick(NUMBERS[x.tensor.dtype.kind])
        return self.b.pad(x, low=self.draw(widths), high=self.draw(widths), value=number)

    def concat(self):
        x = self.value(min_rank=1)
        return self.b.concat(
            x, self.like(x.tensor), axis=self.draw(st.integers(0, x.tensor.rank - 1))
        )

    def reduce(self):
        x = self.value(min_rank=1)
        axes = self.draw(st.sets(st.integers(0, x.tensor.rank - 1), min_size=1))
        names = ("reduce_any", "reduce_all") if x.tensor.dtype is bool_ else REDUCTIONS
        return getattr(self.b, self.pick(names))(x, axes=sorted(axes))

    def argmax(self):
        x = self.value("fi", min_rank=1)
        axis = self.draw(st.integers(0, x.tensor.rank - 1))
        return getattr(self.b, self.pick(("argmax", "argmin")))(x, axis=axis)

    def normalise(self):
        x = self.value("f", min_rank=1)
        return self.b.softmax(x, axis=x.tensor.rank - 1)

    def centre(self):
        x = self.value("f", min_rank=1)
        axes = (self.draw(st.integers(0, x.tensor.rank - 1)),)
        kept = tuple(1 if k in axes else d for k, d in enumerate(x.shape))
        mean = self.b.reshape(self.b.reduce_sum(x, axes=axes), shape=kept)
        return self.b.sub(x, self.b.broadcast_to(mean, shape=x.shape))

    def dot(self):
        x = self.value("fi", min_rank=2)
        axis = self.draw(st.integers(0, x.tensor.rank - 1))
        other = self.like(TensorType(x.tensor.dtype, (x.shape[axis], self.pick((1, 3, 5)))))
        return self.b.dot_general(
            x, other, lhs_batch=(), lhs_contract=(axis,), rhs_batch=(), rhs_contract=(0,)
        )

    def iota(self):
        shape = (*self.shape(1), self.pick(self.extents))
        return self.b.iota(shape=shape, axis=len(shape) - 1, dtype=self.pick(("i64", "f32")))

    def indices(self):
        return self.like(TensorType(int64, (self.pick((1, 2, 4)),)))

    def take(self):
        x = self.value(min_rank=1)
        return self.b.take(x, self.indices(), axis=self.draw(st.integers(0, x.tensor.rank - 1)))

    def scatter(self):
        x, places = self.value("fi", min_rank=1), self.indices()
        updates = self.like(TensorType(x.tensor.dtype, (*places.shape, *x.shape[1:])))
        return self.b.scatter_add(x, places, updates, axis=0)

    # Loops and branches, whose functions are made of the kinds above.

    def inside(self, types, result):
        """A function of these types: its maker, and a result of a given type."""
        inner = Maker(self.draw, symbolic=False)
        inner.extents = self.extents
        for type_ in types:
            inner.param(type_)
        for _ in range(self.draw(st.integers(0, 3))):
            grow(inner, KINDS)
        return inner, inner.like(result)

    def given(self, inner, count):
        """Values for what a function reads besides its first `count` parameters."""
        return [self.like(p.tensor) for p in inner.params[count:]]

    def branch(self):
        x = self.value()
        made = [self.inside([x.tensor], x.tensor) for _ in range(self.pick((2, 1, 3)))]
        operands = [x]
        branches = []
        for inner, result in made:
            before = [inner.b.param(o.tensor) for o in operands[1:]]
            operands += self.given(inner, 1)
            params = [inner.params[0], *before, *inner.params[1:]]
            branches.append((inner.b, params, result))
        functions = []
        for b, params, result in branches:
            later = [b.param(o.tensor) for o in operands[len(params) :]]
            functions.append(b.function("branch", [*params, *later], [result]))
        index = self.like(TensorType(int64, ()))
        return self.b.get(self.b.switch(index, *operands, branches=functions), index=0)

    def loop(self):
        x, count = self.value(), TensorType(int64, ())
        inner, result = self.inside([count, x.tensor], x.tensor)
        (i, c, *consts), b = inner.params, inner.b
        after = b.add(i, b.full(value=1, shape=(), dtype=int64))
        body = b.function("body", [*consts, i, c], [after, result])
        b = IRBuilder()
        asked = [b.param(p.tensor) for p in (*consts, i, c)]
        limit = b.full(value=self.pick((2, 3, 0, 1)), shape=(), dtype=int64)
        cond = b.function("cond", asked, [b.lt(asked[-2], limit)])
        operands = self.given(inner, 2)
        first = self.b.full(value=0, shape=(), dtype=int64)
        attrs = {"cond": cond, "body": body, "consts": len(consts)}
        whole = self.b.emit(OPS["while"], [*operands, first, x], attrs)
        return self.b.get(whole, index=1)

    def walk(self):
        x, xs = self.value(), self.value(min_rank=1)
        inner, result = self.inside([x.tensor, xs.tensor.with_shape(xs.shape[1:])], x.tensor)
        c, row, *consts = inner.params
        left = self.pick(inner.values[::-1])
        body = inner.b.function("body", [*consts, c, row], [result, left])
        operands = self.given(inner, 2)
        whole = self.b.scan(
            *operands, x, xs, body=body, length=xs.shape[0], consts=len(consts), carries=1,
            reverse=self.draw(st.booleans()),
        )  # fmt: skip
        return self.b.get(whole, index=self.pick((0, 1)))


KINDS = [
    "unary", "binary", "multiply_add", "compare", "select", "convert", "reshape", "transpose",
    "broadcast", "slice", "slice_update", "flip", "pad", "concat", "reduce", "argmax", "normalise",
    "centre", "dot", "iota", "take", "scatter",
]  # fmt: skip
CONTROL = ["branch", "loop", "walk"]
OFTEN = ["unary", "binary", "multiply_add", "reduce", "centre"]


@st.composite
def programs(draw, max_nodes=10, *, symbolic=False, control=True):
    """A function of up to some twenty nodes and up to three results."""
    maker = Maker(draw, symbolic=symbolic)
    maker.param()
    if symbolic:
        maker.param(TensorType(float32, (symbol("n"), 3)))
    for _ in range(draw(st.integers(1, max_nodes))):
        grow(maker, KINDS + OFTEN + (CONTROL if control else []))
    computed = [v for v in maker.values if v.op.name != "param"] or maker.values
    results = computed[-draw(st.integers(1, 3)) :]
    return maker.b.function("random", maker.params, results)


def grow(maker, kinds):
    """Adds a node of one of these kinds, unless it does not go with the shapes there are."""
    known = len(maker.b.nodes), len(maker.params), len(maker.values)
    try:
        made = getattr(maker, maker.pick(kinds))()
    except (DlcError, DimUnknown):
        _forget(maker, *known)
        return
    if isinstance(made.tensor.size, int) and made.tensor.size > 3000:
        _forget(maker, *known)
    else:
        maker.values.append(made)


def _forget(maker, nodes, params, values):
    del maker.b.nodes[nodes:], maker.params[params:], maker.values[values:]
