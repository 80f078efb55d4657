"""Attention as kernels that never hold the matrix of scores (Dao et al., 2022).

Both kernels walk blocks of queries and, for each, blocks of keys. Scores of a block are kept with
their keys as rows: all that is done to a query's scores is then done to whole vectors of queries.
The forward kernel carries the largest score, the sum of exponentials and the weighted values; the
backward kernel computes probabilities again from the sums' logarithms, and adds to the cotangents
of keys and values in the order of the queries.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from dlc.codegen.kernel_ir import Assign, For, Kernel, Par, Sort, Stmt
from dlc.codegen.kernel_parser import parse_kernel
from dlc.codegen.kernel_transform import rewrite
from dlc.codegen.parameterise import map_statement
from dlc.ir import scalar
from dlc.ir.core import Node
from dlc.ir.dims import Dim, substitute
from dlc.ir.op import Attrs
from dlc.ir.ops.attention import hides_numbers
from dlc.ir.record import dataclass, replace
from dlc.ir.scalar import Axis, Expr

# Rows of a block of queries and of a block of keys. They change bits.
QUERIES = KEYS = 96

_HALVES = ("f16", "bf16")
_OPERANDS: tuple[str, ...] = ("q", "k", "v", "lse", "ct", "delta")
_MASKS = {"f": "mask", "b": "seen"}  # by the kind of their elements
_Masks: TypeAlias = tuple[tuple[str, tuple[bool, ...]], ...]
_FORWARD = {"attention": "o", "attention_lse": "total", "attention_lse_low": "low"}
_BACKWARD = {
    "attention_grad_query": "dq",
    "attention_grad_key": "dk",
    "attention_grad_value": "dv",
}


def attention_statements(
    results: Sequence[Node],
    names: Sequence[str],
    make: Callable[[str], str],
    value: Callable[[Node, tuple[Expr, ...]], Expr],
) -> tuple[Stmt, ...]:
    """The statements that compute rows of the attention family on the same inputs.

    Args:
        results: The nodes.
        names: The output parameter of each.
        make: A name that is free in the kernel, like a given one.
        value: The element of an operand at some indices.
    """
    first = results[0]
    forward = first.op.name in _FORWARD
    inputs = list(first.inputs)
    operands: dict[str, Node] = dict(zip(_OPERANDS[:3], inputs, strict=False))
    if not forward:
        operands |= dict(zip(_OPERANDS[3:6], inputs[3:6], strict=True))
    rest = inputs[3:] if forward else inputs[6:]
    operands |= {_MASKS[m.tensor.dtype.kind]: m for m in rest}
    wanted = {(_FORWARD | _BACKWARD)[r.op.name]: n for r, n in zip(results, names, strict=True)}
    q, k, v = (x.shape for x in inputs[:3])
    heads = len(k) - 2
    group = ("g",) if len(q) > len(k) else ()
    axes = (*(f"b{n}" for n in range(heads)), *group)
    kernel = _template(
        forward,
        frozenset(wanted),
        axes,
        (_constant(q[-1]), _constant(v[-1])),
        tuple((m.tensor.dtype.kind, tuple(d == 1 for d in m.shape)) for m in rest),
        tuple(first.attrs.items()),
        tuple((n, x.tensor.dtype.short) for n, x in operands.items() if n not in _MASKS.values()),
    )
    symbols = [*(a.upper() for a in axes), "T", "S", "D", "E"]
    sizes = (*q[: heads + len(group)], q[-2], k[-2], q[-1], v[-1])
    dims: dict[str, Dim] = dict(zip(symbols, sizes, strict=True))
    return _Instance(kernel, operands, wanted, dims, make, value).statements()


def _constant(dim: Dim) -> int | None:
    return dim if isinstance(dim, int) else None


class _Instance:
    """A template over the operands, dims and names of a kernel."""

    def __init__(
        self,
        kernel: Kernel,
        operands: Mapping[str, Node],
        outputs: Mapping[str, str],
        dims: Mapping[str, Dim],
        make: Callable[[str], str],
        value: Callable[[Node, tuple[Expr, ...]], Expr],
    ) -> None:
        self.kernel, self.operands, self.dims = kernel, operands, dims
        self.outputs, self.make, self.value = outputs, make, value
        self.names: dict[str, str] = dict(outputs)

    def statements(self) -> tuple[Stmt, ...]:
        """The body of the template with everything in its place."""
        return tuple(self._statement(s) for s in self.kernel.body)

    def _statement(self, s: Stmt) -> Stmt:
        mapped = map_statement(s, self._axis, self._name, self._dim)
        return self._loads(mapped)

    def _axis(self, axis: Axis) -> Axis:
        return Axis(self._name(axis.name), self._dim(axis.extent), axis.block)

    def _dim(self, dim: Dim) -> Dim:
        return substitute(dim, self.dims)

    def _name(self, name: str) -> str:
        if name not in self.names:
            if name.startswith("next_"):
                self.names[name] = "next_" + self._name(name.removeprefix("next_"))
            else:
                self.names[name] = self.make(name)
        return self.names[name]

    def _loads(self, s: Stmt) -> Stmt:
        match s:
            case Assign():
                ix = tuple(map(self._loaded, s.ix))
                return replace(s, name=self._name(s.name), ix=ix, expr=self._loaded(s.expr))
            case Sort():
                return replace(s, expr=self._loaded(s.expr))
            case Par():
                return Par(s.axes, tuple(map(self._loads, s.body)))
            case For():
                carry = tuple(c for c in map(self._loads, s.carry) if isinstance(c, Assign))
                return For(s.axis, tuple(map(self._loads, s.body)), carry, s.condition)

    def _loaded(self, e: Expr) -> Expr:
        def change(node: Expr) -> Expr | None:
            if node.op != "load":
                return None
            operand = self.operands.get(node.attr)
            if operand is not None:
                return self.value(operand, node.args)
            return scalar.load(self._name(node.attr), node.args, node.dtype)

        return rewrite(e, change)


@functools.lru_cache(64)
def _template(
    forward: bool,
    wanted: frozenset[str],
    axes: tuple[str, ...],
    widths: tuple[int | None, int | None],
    masks: _Masks,
    attrs: tuple[tuple[str, Any], ...],
    held: tuple[tuple[str, str], ...],
) -> Kernel:
    """The kernel over dims of the axes' names in capitals, T, S, and D and E if not known."""
    d, e = (str(w) if w is not None else n for w, n in zip(widths, "DE", strict=True))
    text = _Text(axes, d, e, dict(masks), dict(attrs), dict(held))
    return parse_kernel(text.forward(wanted) if forward else text.backward(wanted))


@dataclass(frozen=True)
class _Text:
    """The text of the kernels: of queries with the axes `axes`, the last of which may be a group.

    d, e: the extents of rows of queries and keys, and of values.
    masks: by the kind of their elements, which of a mask's axes are repeated.
    attrs: the attributes of the row.
    held: the element type of each operand but masks; attention has that of its queries.
    """

    axes: tuple[str, ...]
    d: str
    e: str
    masks: Mapping[str, tuple[bool, ...]]
    attrs: Attrs
    held: Mapping[str, str]

    @property
    def dtype(self) -> str:
        """The element type that is calculated with, and that of gradients."""
        return "f32" if self.held["q"] in _HALVES else self.held["q"]

    def _load(self, name: str, ix: str) -> str:
        """An element of an operand at the type that is calculated with."""
        x = f"{name}[{ix}]"
        return x if self.held[name] == self.dtype else f"{self.dtype}({x})"

    @property
    def _heads(self) -> tuple[str, ...]:
        return tuple(a for a in self.axes if a != "g")

    def _at(self, axes: Sequence[str], *more: str) -> str:
        return ",".join((*axes, *more))

    def _nest(self, axes: Sequence[str], *more: str) -> str:
        return ", ".join((*(f"{a}<{a.upper()}" for a in axes), *more))

    def _head(self, names: Sequence[str], outs: Sequence[str]) -> str:
        heads = [a.upper() for a in self._heads]
        rows = [*(a.upper() for a in self.axes), "T"]
        shapes = {
            "q": [*rows, self.d], "k": [*heads, "S", self.d], "v": [*heads, "S", self.e],
            "lse": rows, "ct": [*rows, self.e], "delta": rows,
            "o": [*rows, self.e], "total": rows, "low": rows,
            "dq": [*rows, self.d], "dk": [*heads, "S", self.d], "dv": [*heads, "S", self.e],
        }  # fmt: skip
        types = {**self.held, "o": self.held["q"]}
        params = [f"{n}: {types.get(n, self.dtype)}[{','.join(shapes[n])}]" for n in names]
        for kind, single in self.masks.items():
            shape = ["1" if one else n for one, n in zip(single, [*rows, "S"], strict=True)]
            type_ = "bool" if kind == "b" else self.dtype
            params.append(f"{_MASKS[kind]}: {type_}[{','.join(shape)}]")
        params += [f"out {n}: {types.get(n, self.dtype)}[{','.join(shapes[n])}]" for n in outs]
        symbols = [*rows, "S", *(x for x in (self.d, self.e) if x in "DE")]
        return f"kernel attention<{','.join(symbols)}>({', '.join(params)}):\n"

    def _keys(self) -> str:
        """The loop over the blocks of keys that the block of queries reads."""
        if not self.attrs["causal"]:
            return f"for j<S:{KEYS}"
        return f"for j<S:{KEYS} while #j*{KEYS} <= #i*{QUERIES}+{QUERIES - 1}"

    @property
    def _scaled_late(self) -> bool:
        """Whether scores are multiplied by the scale where they are used: it keeps their order."""
        hidden = "b" in self.masks and self.attrs["hidden"] != -math.inf
        return 0 < self.attrs["scale"] < math.inf and "f" not in self.masks and not hidden

    def _score(self) -> list[str]:
        """Lines that set the score of key j for query i, a product of their rows."""
        key, query = self._at(self._heads, "j", "d"), self._at(self.axes, "i", "d")
        masks = {kind: self._mask(kind) for kind in self.masks}
        lines = [line for line, _ in masks.values() if line]
        lines.append(f"s[j,i] = dot(d<{self.d}, {self._load('k', key)}*{self._load('q', query)})")
        s = "s[j,i]"
        if "f" in masks:
            s = f"fma({s}, {self._factor}, {masks['f'][1]})"
        elif not self._scaled_late:
            s = f"{s}*{self._factor}"
        if "b" in masks:
            s = f"select({self._seen}, {s}, {self._number(self.attrs['hidden'])})"
        s = f"select(j <= i, {s}, -inf)" if self.attrs["causal"] else s
        return lines if s == "s[j,i]" else [*lines, f"y[j,i] = {s}"]

    def _mask(self, kind: str) -> tuple[str, str]:
        """A line that keeps a mask's elements, empty if they are read once; the element."""
        single = self.masks[kind]
        whole = (*self.axes, "i", "j")
        ix = ",".join("0" if one else n for one, n in zip(single, whole, strict=True))
        element = f"{_MASKS[kind]}[{ix}]"
        element = f"{self.dtype}({element})" if kind == "b" else element
        own = ",".join(n for n, one in zip("ji", single[:-3:-1], strict=True) if not one)
        if not own:
            return "", element
        name = "u" if kind == "f" else "h"  # with keys as rows, as scores are
        return f"{name}[{own}] = {element}", f"{name}[{own}]"

    @property
    def _seen(self) -> str:
        """Whether the mask of bools leaves key j to query i."""
        return f"{self._mask('b')[1]} != 0.0"

    @property
    def _scored(self) -> str:
        """What the last line of `_score` sets."""
        return self._score()[-1].partition(" = ")[0]

    @property
    def _exponential(self) -> str:
        """The exponential of a score less z[i]."""
        if self._scaled_late:
            return f"exp(fma({self._scored}, {self._factor}, -z[i]))"
        return f"exp({self._scored}-z[i])"

    @property
    def _factor(self) -> str:
        return self._number(self.attrs["scale"])

    def _number(self, value: float) -> str:
        finite = math.isfinite(value)
        return f"{float(value)!r}{self.dtype}" if finite else f"{float(value)}_{self.dtype}"

    def forward(self, wanted: frozenset[str]) -> str:
        """The kernel of the value and of the sums' logarithms."""
        e, dtype = self.e, self.dtype
        values = "o" in wanted
        carry = f" carry m[i] = -inf_{dtype}; l[i] = 0.0{dtype}"
        carry += f"; a[i,e] e<{e} = 0.0{dtype}" if values else ""
        largest = f"rmax(j, {self._scored})"
        largest = f"{self._factor}*{largest}" if self._scaled_late else largest
        lines = [
            f" par {self._nest(self.axes, f'i<T:{QUERIES}')}:",
            f"  {self._keys()}{carry}:",
            *(f"   {x}" for x in self._score()),
            f"   next_m[i] = max(m[i], {largest})",
            "   z[i] = select(next_m[i] == -inf, 0.0, next_m[i])",  # of no key yet
            f"   p[j,i] = {self._exponential}",
            "   f[i] = exp(m[i]-z[i])",
            "   next_l[i] = l[i]*f[i]+sum(j, p[j,i])",
        ]
        row = self._at(self.axes, "i")
        if values:
            value = self._at(self._heads, "j", "e")
            dot = f"dot(j, p[j,i]*{self._load('v', value)})"
            lines.append(f"   next_a[i,e] e<{e} = a[i,e]*f[i]+{dot}")
            each = "1.0/l[i]"
            each = each if self.attrs["nan_rows"] else f"select(l[i] == 0.0, 0.0, {each})"
            lines.append(f"  r[i] = {each}")
            held = self.held["q"]
            result = "a[i,e]*r[i]" if held == dtype else f"{held}(a[i,e]*r[i])"
            lines.append(f"  o[{row},e] e<{e} = {result}")
        if wanted & {"total", "low"}:
            lines.append("  t[i] = m[i]+log(l[i])")
        if "total" in wanted:
            none = f"select(l[i] == 0.0, nan_{dtype}, t[i])"
            lines.append(f"  total[{row}] = {none if self.attrs['nan_rows'] else 't[i]'}")
        if "low" in wanted:
            low = "m[i]-t[i]+log(l[i])"
            lines.append(f"  low[{row}] = select(l[i] == 0.0, 0.0, {low})")
        return self._head("qkv" if values else "qk", sorted(wanted)) + "\n".join(lines) + "\n"

    def backward(self, wanted: frozenset[str]) -> str:
        """The kernel of the cotangents of queries, keys and values."""
        d, e, dtype = self.d, self.e, self.dtype
        row, key = self._at(self.axes, "i"), self._at(self._heads, "j")
        scores = wanted & {"dq", "dk"}
        # The heads of a group add to the same cotangents: they are walked in order.
        outer = f"par {self._nest(self._heads) or 'u<1'}:"
        loops = ["for g<G:"] if "g" in self.axes else []
        zeros = [f"{n}[{key},c] j<S, c<{w} = 0.0" for n, w in (("dk", d), ("dv", e)) if n in wanted]
        queries = [
            f"z[i] = select(lse[{row}] == -inf, 0.0, lse[{row}])",
            *([f"w[i] = delta[{row}]"] if scores else []),
        ]
        carry = f" carry a[i,c] c<{d} = 0.0{dtype}" if "dq" in wanted else ""
        keys = [*self._score(), f"p[j,i] = {self._exponential}"]
        if "dv" in wanted:
            ct = self._load("ct", f"{row},c")
            keys.append(f"dv[{key},c] c<{e} += dot(i, p[j,i]*{ct})")
        if scores:
            value, ct = self._load("v", f"{key},e"), self._load("ct", f"{row},e")
            product = f"dot(e<{e}, {value}*{ct})"
            scaled = "" if self.attrs["scale"] == 1 else f"*{self._factor}"
            ct = f"p[j,i]*({product}-w[i]){scaled}"
            if "b" in self.masks and hides_numbers(self.attrs):
                ct = f"select({self._seen}, {ct}, 0.0)"
            keys.append(f"x[j,i] = {ct}")
        if "dk" in wanted:
            query = self._load("q", f"{row},c")
            keys.append(f"dk[{key},c] c<{d} += dot(i, x[j,i]*{query})")
        if "dq" in wanted:
            product = f"dot(j, x[j,i]*{self._load('k', f'{key},c')})"
            keys.append(f"next_a[i,c] c<{d} = a[i,c]+{product}")
        last = [f"dq[{row},c] c<{d} = a[i,c]"] if "dq" in wanted else []
        inner = [*queries, f"{self._keys()}{carry}:", *(" " + x for x in keys), *last]
        inner = [f"for i<T:{QUERIES}:", *(" " + x for x in inner)]
        for loop in loops:
            inner = [loop, *(" " + x for x in inner)]
        inner = [outer, *(" " + x for x in (*zeros, *inner))]
        names = ["q", "k", *(["v"] if scores else []), "lse", "ct", *(["delta"] if scores else [])]
        body = "".join(f" {x}\n" for x in inner)
        return self._head(names, sorted(wanted)) + body
