"""What is in scope while expressions are emitted: axes, tensors, locals, and values at hand."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any

from dlc.codegen.cpu.emit import Emitter
from dlc.codegen.cpu.isa import Isa
from dlc.codegen.index_math import IndexMath, axis_name, block_name
from dlc.ir.dims import Dim, symbols_of
from dlc.ir.record import dataclass, field
from dlc.ir.scalar import Expr, reduced_axes
from dlc.ir.types import DType


@dataclass(frozen=True)
class Value:
    """An emitted value: `varies` when it is a vector, one element a lane."""

    name: str
    varies: bool


@dataclass(frozen=True)
class Vector:
    """The axis along which values are vectors, with an optional `<lanes x i1>` mask for memory."""

    axis: str
    lanes: int
    mask: str | None = None


@dataclass(frozen=True)
class Tensor:
    """Memory that expressions load from: dense, row-major.

    dims: its extents. origin: polynomials that are taken off its indices (tiles of an open block).
    lanes: elements kept for each position, one a lane (a tile inside of a vectorised axis), else 0.
    streams: an i1, whether whole lines are stored past the caches; empty where they never are.
    """

    dtype: DType
    pointer: str
    dims: tuple[Dim, ...]
    origin: tuple[Dim, ...] = ()
    lanes: int = 0
    streams: str = ""


_EMPTY: frozenset[str] = frozenset()


def _own_names(e: Expr) -> frozenset[str]:
    """What a node itself refers to: axes `@n`, block numbers `#n`, tensors and locals by name."""
    if e.op == "index":
        return frozenset({axis_name(e.attr)})
    if e.op == "block":
        return frozenset({block_name(e.attr)})
    return frozenset({e.attr}) if e.op == "load" else _EMPTY


def free_names(e: Expr) -> frozenset[str]:
    """The names that an expression refers to without binding them; the expression remembers them.

    Axes as `@n`, block numbers as `#n`, tensors and locals by name.
    """
    found = e._free
    if found is not None:
        return found
    stack = [e]
    while stack:
        node = stack[-1]
        unknown = [a for a in node.args if a._free is None]
        if unknown:
            stack += unknown
            continue
        stack.pop()
        if node._free is None:
            node._free = _names(node)
    assert e._free is not None
    return e._free


def _names(node: Expr) -> frozenset[str]:
    if not node.args:
        return _own_names(node)
    names = _own_names(node).union(*[a._free or _EMPTY for a in node.args])
    for axis in reduced_axes(node):
        names -= {axis_name(axis.name)}
        if axis.block is not None:
            names |= {block_name(axis.name)}
    return names


@dataclass
class _State:
    """What `scope` saves and restores."""

    bindings: dict[str, str]
    levels: dict[str, int]
    values: dict[str, Value]
    tensors: dict[str, Tensor]
    vector: Vector | None
    memo: list[dict[Any, Any]] = field(default_factory=lambda: [{}])


class Scopes:
    """The bindings and remembered values of nested scopes; see `ExprEmitter`."""

    def __init__(
        self,
        em: Emitter,
        isa: Isa,
        math: IndexMath,
        symbols: Mapping[str, str],
        volatile: frozenset[str] = _EMPTY,
        reduce: Callable[[Expr], Value] | None = None,
    ) -> None:
        self.em = em
        self.isa = isa
        self.math = math
        self.volatile = volatile
        self.reduce = reduce
        self._state = _State(dict(symbols), {}, {}, {}, None)

    # Scopes

    @property
    def vector_axis(self) -> Vector | None:
        """The vector axis of this scope."""
        return self._state.vector

    @property
    def lanes(self) -> int:
        """The lanes of vectors in this scope, 1 without a vector axis."""
        return 1 if self._state.vector is None else self._state.vector.lanes

    def tensor(self, name: str) -> Tensor:
        """The memory bound to a name."""
        return self._state.tensors[name]

    def axis_value(self, name: str) -> str:
        """The i64 value of an axis (of the first lane, for the vector axis)."""
        return self._state.bindings[axis_name(name)]

    @contextmanager
    def scope(
        self,
        axes: Mapping[str, str] | None = None,
        vector: Vector | None = None,
        blocks: Mapping[str, str] | None = None,
    ) -> Generator[None]:
        """A scope with these axes (and block numbers) bound to i64 values.

        `vector` sets the vector axis; without it the outer one stays. Bindings made inside end
        with it.
        """
        outer = self._state
        memo = [*outer.memo, {}]
        self._state = _State(
            dict(outer.bindings),
            dict(outer.levels),
            dict(outer.values),
            dict(outer.tensors),
            outer.vector,
            memo,
        )
        bound = {axis_name(n): v for n, v in (axes or {}).items()}
        bound |= {block_name(n): v for n, v in (blocks or {}).items()}
        if vector is not None:
            self._state.vector = vector
            self._state.levels[axis_name(vector.axis)] = len(memo) - 1
        for name, value in bound.items():
            self._state.bindings[name] = value
            self._state.levels[name] = len(memo) - 1
        try:
            yield
        finally:
            self._state = outer

    def bind_tensor(self, name: str, tensor: Tensor) -> None:
        """Makes memory known under a name in this scope."""
        self._forget(name)
        self._state.tensors[name] = tensor
        self._state.values.pop(name, None)
        self._state.levels[name] = len(self._state.memo) - 1

    def bind_value(self, name: str, value: Value) -> None:
        """Makes a local scalar known under a name in this scope; its loads give `value`."""
        self._forget(name)
        self._state.values[name] = value
        self._state.levels[name] = len(self._state.memo) - 1

    def _forget(self, name: str) -> None:
        """Drops what was computed from an earlier meaning of a name."""
        if name not in self._state.levels:
            return
        for memo in self._state.memo:
            for key in [k for k in memo if name in self._names_in(k)]:
                del memo[key]

    def _names_in(self, key: Any) -> frozenset[str]:
        if isinstance(key, Expr):
            return free_names(key)
        return self._names_of(key[1]) if key[0] == "index" else _EMPTY

    def _level(self, names: Iterable[str]) -> int:
        level, levels = 0, self._state.levels
        for n in names:
            known = levels.get(n)
            if known is not None and known > level:
                level = known
        return level

    def _recall(self, key: Any, level: int) -> Any:
        for memo in reversed(self._state.memo[level:]):
            if key in memo:
                return memo[key]
        return None

    def _recall_expression(self, e: Expr) -> Any:
        # No level is above the innermost scope, where most of what is asked for is found.
        found = self._state.memo[-1].get(e)
        return found if found is not None else self._recall(e, self._level(free_names(e)))

    def _remember(self, key: Any, value: Any) -> None:
        self._state.memo[-1][key] = value

    def _is_volatile(self, p: Dim) -> bool:
        return bool(self.volatile & self._names_of(p))

    def _names_of(self, p: Dim) -> frozenset[str]:
        names: set[str] = set()
        for name in symbols_of(p):
            names |= free_names(self.math.opaque[name]) if name[0] == "$" else {name}
        return frozenset(names)

    def _polynomial_level(self, p: Dim) -> int:
        return self._level(self._names_of(p))
