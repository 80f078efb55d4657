"""Pytrees: nested lists, tuples, dicts, named tuples, dataclasses and registered classes.

Anything else is a leaf; None is a tree without leaves. Dicts are taken in the order of their sorted
keys, so that equal dicts have equal structures.
"""

from __future__ import annotations

import functools
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from dlc.frontend.conversion import user_function
from dlc.frontend.suggesting import suggesting
from dlc.ir.deferred import deferred
from dlc.ir.errors import ArgumentError, ShapeError
from dlc.ir.record import NamedTuple, dataclass
from dlc.ir.types import DType

if TYPE_CHECKING:
    import dataclasses
else:
    dataclasses = deferred("dataclasses")

__all__ = ["Structure", "flatten", "leaves", "map", "register_node", "structure", "unflatten"]

if not TYPE_CHECKING:
    __getattr__ = suggesting(__name__)

IsLeaf = Callable[[Any], bool]

_DEEP = 100  # calls; no tree that people make is this deep


class _Registration(NamedTuple):
    flatten: Callable[[Any], tuple[Iterable[Any], Hashable]]
    unflatten: Callable[[Hashable, Sequence[Any]], Any]


_registered: dict[type, _Registration] = {}
# Dataclasses that are leaves.
leaf_types: set[type] = {DType}


@dataclass(frozen=True)
class Structure:
    """The shape of a tree without its leaves; equal for trees that differ in their leaves only.

    kind: the class of the node; `Leaf` or None for those.
    data: what besides the children makes the node (keys, fields).
    """

    kind: Any
    data: Any
    children: tuple[Structure, ...]

    @functools.cached_property
    def _hash(self) -> int:
        return hash((self.kind, self.data, self.children))

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> Any:
        return Structure, (self.kind, self.data, self.children)  # hashes hold in one process only

    @functools.cached_property
    def num_leaves(self) -> int:
        """The number of leaves below."""
        if self.kind is Leaf:
            return 1
        return sum(c.num_leaves for c in self.children)

    def paths(self, prefix: str = "") -> list[str]:
        """Where each leaf lies: `['x']`, `[0].weight`."""
        if self.kind is Leaf:
            return [prefix]
        found: list[str] = []
        for name, child in zip(self._names(), self.children, strict=True):
            found += child.paths(prefix + name)
        return found

    def _names(self) -> list[str]:
        if self.kind in (dict, OrderedDict):
            return [f"[{k!r}]" for k in self.data]
        if self.kind is defaultdict:
            return [f"[{k!r}]" for k in self.data[1]]
        if _is_namedtuple(self.kind):
            return [f".{name}" for name in self.kind._fields]
        if _is_dataclass(self.kind) and self.kind not in _registered:
            return [f".{name}" for name in self.data]
        return [f"[{k}]" for k in range(len(self.children))]

    def __repr__(self) -> str:
        if self.kind is Leaf:
            return "*"
        if self.kind is None:
            return "None"
        inside = ", ".join(f"{n}: {c!r}" for n, c in zip(self._names(), self.children, strict=True))
        return f"{self.kind.__name__}({inside})"


class Leaf:
    """The `kind` of a leaf."""


_LEAF = Structure(Leaf, None, ())
_NONE = Structure(None, None, ())


def register_node(
    kind: type,
    flatten: Callable[[Any], tuple[Iterable[Any], Hashable]],
    unflatten: Callable[[Hashable, Sequence[Any]], Any],
) -> None:
    """Makes a class a node of trees.

    Args:
        kind: The class; its subclasses are not included.
        flatten: Gives the children and whatever else `unflatten` needs, hashable.
        unflatten: Makes the object again from that and new children.

    Raises:
        ArgumentError: for a class that is registered already.
    """
    if kind in _registered:
        raise ArgumentError(f"{kind.__name__} is registered as a tree node already")
    _registered[kind] = _Registration(flatten, unflatten)


def _is_namedtuple(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")


def _is_dataclass(kind: Any) -> bool:
    """As `dataclasses` has it, which takes as long to load as a program from the cache."""
    return hasattr(kind, "__dataclass_fields__")


def _sorted_keys(tree: dict[Any, Any]) -> list[Any]:
    try:
        return sorted(tree)
    except TypeError:
        return sorted(tree, key=lambda k: (type(k).__name__, repr(k)))


def _open(tree: Any) -> tuple[Any, Any, Sequence[Any]] | None:
    """The kind, data and children of a node; None for a leaf."""
    kind = type(tree)
    if kind is tuple or kind is list:
        return kind, None, tree
    if kind is dict or kind is OrderedDict:
        keys = tuple(_sorted_keys(tree) if kind is dict else tree)
        return kind, keys, [tree[k] for k in keys]
    if tree is None:
        return None, None, ()
    if kind in _registered:
        children, data = _registered[kind].flatten(tree)
        return kind, data, list(children)
    if kind is defaultdict:
        keys = tuple(_sorted_keys(tree))
        return kind, (tree.default_factory, keys), [tree[k] for k in keys]
    if _is_namedtuple(kind):
        return kind, None, tree
    if _is_dataclass(kind) and kind not in leaf_types:
        names = tuple(f.name for f in dataclasses.fields(kind))
        return kind, names, [getattr(tree, n) for n in names]
    return None


def flatten(tree: Any, is_leaf: IsLeaf | None = None) -> tuple[list[Any], Structure]:
    """The leaves of a tree, in order, and its structure.

    Args:
        tree: The tree.
        is_leaf: Whether a node is to count as a leaf, asked from the root down.

    Raises:
        ArgumentError: for a tree that contains itself.

    Example:
        >>> flatten({"b": 2, "a": (1, None)})[0]
        [1, 2]
        >>> flatten({"b": 2, "a": (1, None)}, is_leaf=lambda x: isinstance(x, tuple))[0]
        [(1, None), 2]
    """
    found: list[Any] = []
    try:
        return found, _flatten_into(tree, found, is_leaf)
    except RecursionError as error:
        if _depth(error) < _DEEP:
            raise  # little room was left when it began
        raise ArgumentError("a tree that is nested too deeply, or contains itself") from None


def _depth(error: BaseException) -> int:
    """The calls between where an error is caught and where it was raised."""
    depth, place = 0, error.__traceback__
    while place is not None:
        depth, place = depth + 1, place.tb_next
    return depth


def _flatten_into(tree: Any, found: list[Any], is_leaf: IsLeaf | None) -> Structure:
    node = None if is_leaf is not None and is_leaf(tree) else _open(tree)
    if node is None:
        found.append(tree)
        return _LEAF
    kind, data, children = node
    if kind is None:
        return _NONE
    return Structure(kind, data, tuple([_flatten_into(c, found, is_leaf) for c in children]))


@functools.cache
def flat_call(count: int) -> Structure:
    """The structure of `((leaf, leaf, ...), {})`: so many arguments that are leaves."""
    return structure(((Leaf,) * count, {}))


def leaves(tree: Any, is_leaf: IsLeaf | None = None) -> list[Any]:
    """The leaves of a tree, in order; `is_leaf` as of `flatten`."""
    return flatten(tree, is_leaf)[0]


def structure(tree: Any, is_leaf: IsLeaf | None = None) -> Structure:
    """The structure of a tree; `is_leaf` as of `flatten`."""
    return flatten(tree, is_leaf)[1]


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Any:
    """The tree with this structure and these leaves.

    Raises:
        ShapeError: when the number of leaves is not that of the structure.
    """
    held = list(leaves)
    if len(held) != structure.num_leaves:
        raise ShapeError(f"{len(held)} leaves for a tree that has {structure.num_leaves}")
    return _build(structure, iter(held))


def _build(s: Structure, leaves: Any) -> Any:
    if s.kind is Leaf:
        return next(leaves)
    if s.kind is None:
        return None
    children = [_build(c, leaves) for c in s.children]
    kind = s.kind
    if kind is list:
        return children
    if kind is tuple:
        return tuple(children)
    if kind in (dict, OrderedDict):
        return kind(zip(s.data, children, strict=True))
    if kind in _registered:
        return _registered[kind].unflatten(s.data, children)
    if kind is defaultdict:
        return defaultdict(s.data[0], zip(s.data[1], children, strict=True))
    if _is_namedtuple(kind):
        return kind(*children)
    return _build_dataclass(kind, s.data, children)


def _build_dataclass(kind: Any, names: Sequence[str], children: Sequence[Any]) -> Any:
    # Not through __init__, which may compute, check, or have other arguments.
    result = object.__new__(kind)
    for name, value in zip(names, children, strict=True):
        object.__setattr__(result, name, value)
    return result


def expand_prefix(prefix: Any, structure: Structure, is_value: Callable[[Any], bool]) -> list[Any]:
    """For each leaf of a structure, the value that a tree of values has for it.

    A value stands for all leaves below its place.

    Raises:
        ShapeError: when the tree branches where the structure does not, or otherwise.
    """
    if is_value(prefix):
        return [prefix] * structure.num_leaves
    node = _open(prefix)
    if node is None:
        raise ShapeError(f"{prefix!r} in a tree where values are expected")
    kind, data, children = node
    if (kind, data, len(children)) != (structure.kind, structure.data, len(structure.children)):
        raise ShapeError(f"{prefix!r} does not fit the structure {structure!r}")
    found: list[Any] = []
    for child, below in zip(children, structure.children, strict=True):
        found += expand_prefix(child, below, is_value)
    return found


def map(
    function: Callable[..., Any], tree: Any, *others: Any, is_leaf: IsLeaf | None = None
) -> Any:
    """The tree of `function` of the leaves of one tree, and of what others have in their places.

    Args:
        function: Takes a leaf, and of each other tree what is there: a leaf, or all below.
        tree: The tree whose structure the result has.
        others: Trees with that structure, down to its leaves.
        is_leaf: Whether a node of the first tree is to count as a leaf.

    Raises:
        ShapeError: when a structure differs above the leaves.

    Example:
        >>> map(lambda x, y: x + y, {"w": 1, "b": 2}, {"w": 10, "b": 20})
        {'b': 22, 'w': 11}
    """
    first, s = flatten(tree, is_leaf)
    function = user_function(function)
    columns = [first]
    for other in others:
        found: list[Any] = []
        if not _places_into(s, other, found):
            raise ShapeError(f"trees differ: {s!r} and {structure(other)!r}")
        columns.append(found)
    return unflatten(s, [function(*row) for row in zip(*columns, strict=True)])


def _places_into(s: Structure, tree: Any, found: list[Any]) -> bool:
    """Adds what a tree has in the places of a structure's leaves; False where it differs above."""
    if s.kind is Leaf:
        found.append(tree)
        return True
    node = _open(tree)
    if node is None or node[:2] != (s.kind, s.data) or len(node[2]) != len(s.children):
        return False
    return all(_places_into(c, x, found) for c, x in zip(s.children, node[2], strict=True))
