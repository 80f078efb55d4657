"""Where results lie in memory, and those that share it.

PyTorch makes some results of a graph that are views, of its inputs or of other results, itself: of
what it has in that place, with the strides and the offset of what the graph returns. Others, such
as those without gradients, it takes as they are: what is written to one has to show in the next.

Views of an input that the graph writes to are views of its new value there, a result with strides
of its own; PyTorch makes them of the input, once the new value is copied to it.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from dlc.interop.torch.extents import expression_of, symbols_among
from dlc.interop.torch.places_checked import begins_anywhere
from dlc.interop.torch.running import is_tensor, memory_of

if TYPE_CHECKING:
    from torch.fx import Node

Layout: TypeAlias = tuple[tuple[int, ...], int]  # strides, offset
_NONE: Mapping[int, int] = MappingProxyType({})
_LARGEST = 8  # bytes of an element


class _Shared(NamedTuple):
    """Results in one memory."""

    places: tuple[int, ...]
    values: tuple[Any, ...]  # what PyTorch knows of them
    fixed: tuple[bool, ...]  # whether they begin there wherever the owner does
    owner: int | None  # the input whose memory it is


class Layouts:
    """The layouts of a graph's results in memory, where they share it.

    Args:
        nodes: The nodes of the graph.
        count: How many of the results, the first ones, PyTorch returns or makes views by.
        written: The places of new values of inputs among the results, by those of the inputs.
        views: The places of such inputs by those of results that PyTorch makes of them.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        count: int,
        written: Mapping[int, int] = _NONE,
        views: Mapping[int, int] = _NONE,
    ) -> None:
        self.count = count
        self._inputs: list[Any] = [n.meta.get("val") for n in nodes if n.op == "placeholder"]
        output: Any = nodes[-1].args[0]
        results: dict[int, list[tuple[int, Any, bool]]] = {}
        for k, node in enumerate(output[:count]):
            if not is_tensor(node):
                continue
            value = node.meta["val"]
            if k in views:
                value = _view(node, output[written[views[k]]], self._inputs[views[k]])
            results.setdefault(memory_of(value), []).append((k, value, _is_fixed(node)))
        given = {memory_of(v): k for k, v in enumerate(self._inputs) if _has_memory(v)}
        self._shared = [
            _Shared(
                tuple(k for k, _, _ in found),
                tuple(v for _, v, _ in found),
                tuple(fixed for _, _, fixed in found),
                given.get(memory),
            )
            for memory, found in results.items()
            if len(found) > 1 or memory in given
        ]
        self._known = functools.lru_cache(self._by_numbers)

    def of(self, function: Callable[..., Sequence[Any]]) -> Callable[..., Sequence[Any]]:
        """The graph's function, whose own results each have their memory, without gaps."""
        if not self._shared:
            return function

        def laid_out(*args: Any) -> Sequence[Any]:
            given = zip(self._inputs, args, strict=True)
            symbols = symbols_among([pair for x, a in given for pair in _numbers(x, a)])
            made = list(function(*args))
            begins = (
                args[s.owner].storage_offset() if s.owner is not None and any(s.fixed) else 0
                for s in self._shared
            )
            layouts = self._known(tuple(symbols.items()), tuple(begins))
            for shared, where in zip(self._shared, layouts, strict=True):
                results = [made[k] for k in shared.places]
                owner = None if shared.owner is None else args[shared.owner]
                for k, result in zip(shared.places, _placed(results, where, owner), strict=True):
                    made[k] = result
            return made

        return laid_out

    def _by_numbers(
        self, numbers: tuple[tuple[Any, int], ...], begins: tuple[int, ...]
    ) -> list[list[Layout]]:
        """The strides and the offset of each, by the numbers that PyTorch's symbols stand for.

        Offsets in the memory of an input are from its first element.

        Args:
            numbers: The symbols, and the numbers.
            begins: Where inputs begin in their memory, for results that do so anywhere in it.
        """
        known = dict(numbers)
        found: list[list[Layout]] = []
        for shared, begin in zip(self._shared, begins, strict=True):
            first = 0 if shared.owner is None else self._inputs[shared.owner].storage_offset()
            found.append(
                [
                    (
                        tuple(_value(s, known) for s in v.stride()),
                        _value(v.storage_offset() - (begin if fixed else first), known),
                    )
                    for v, fixed in zip(shared.values, shared.fixed, strict=True)
                ]
            )
        return found


def _has_memory(value: Any) -> bool:
    return hasattr(value, "untyped_storage")


def _is_fixed(node: Any) -> bool:
    """Whether a node is a view that begins at a given offset in memory, or a view of such a one."""
    if node.target is not operator.getitem and not getattr(node.target, "is_view", False):
        return False
    given = node.target is not operator.getitem and begins_anywhere(node)
    return given or _is_fixed(node.args[0])


def _view(node: Any, whole: Any, value: Any) -> Any:
    """What a node is where another one, which it is a view of, has a value; else its own value."""
    from torch.fx.node import map_arg

    if node is whole:
        return value
    own = node.meta["val"]
    if node.target is not operator.getitem and not getattr(node.target, "is_view", False):
        return own
    source = _view(node.args[0], whole, value)
    if source is node.args[0].meta["val"]:
        return own
    args, keywords = map_arg((node.args[1:], node.kwargs), lambda n: n.meta["val"])
    return node.target(source, *args, **keywords)


def _numbers(like: Any, given: Any) -> list[tuple[Any, Any]]:
    """The numbers of an input as PyTorch knows them, some by symbols, and as they are."""
    if given is None:  # a token
        return []
    if not _has_memory(like):
        return [((like,), (given,))]
    offsets = ((like.storage_offset(),), (given.storage_offset(),))
    return [(like.shape, given.shape), (like.stride(), given.stride()), offsets]


def _value(number: Any, known: Mapping[Any, int]) -> int:
    expression = expression_of(number)
    return number if expression is None else int(expression.subs(known))


def _placed(results: Sequence[Any], layouts: Sequence[Layout], owner: Any) -> list[Any]:
    """Results in one memory, each with its strides and offset: the owner's, that of one, or new.

    What several have of it is the same in all.
    """
    import torch

    pairs = list(zip(results, layouts, strict=True))
    size = max(_end(r.shape, *layout) * r.element_size() for r, layout in pairs)
    wholes = [
        r for r, layout in pairs
        if r.nbytes == size and layout == (r.stride(), 0)
    ]  # fmt: skip
    whole = next(iter(wholes), None) if owner is None else owner.detach()
    if whole is not None and all(r.dtype == whole.dtype for r in results):
        first = whole.storage_offset()
        return [
            r if r is whole else whole.as_strided(r.shape, strides, first + offset)
            for r, (strides, offset) in pairs
        ]
    memory = torch.empty(-(-size // _LARGEST) * _LARGEST, dtype=torch.uint8)
    placed: list[Any] = []
    for r, (strides, offset) in pairs:
        made = memory.view(r.dtype).as_strided(r.shape, strides, offset)
        # Elements along an axis of stride 0 are one.
        once = tuple(slice(None, 1) if s == 0 else slice(None) for s in strides)
        made[once].copy_(r[once])
        placed.append(made)
    return placed


def order_of(value: Any) -> tuple[int, ...] | None:
    """The axes in the order of their strides, of a value without gaps that is not in C's order."""
    axes = [k for k, d in enumerate(value.shape) if _plain(d) != 1]
    hints = [_hint(s) for s in value.stride()]
    if any(hints[k] is None for k in axes):
        return None
    order = sorted(axes, key=lambda k: hints[k], reverse=True)
    step: Any = 1
    for k in reversed(order):
        if _plain(value.stride(k)) != _plain(step):
            return None
        step = step * value.shape[k]
    if order == axes:
        return None
    return *order, *(k for k in range(value.dim()) if k not in axes)


def _plain(number: Any) -> Any:
    """A number as its formula, where PyTorch has left it open."""
    expression = expression_of(number)
    return number if expression is None else expression


def _hint(number: Any) -> Any:
    """A number as PyTorch has seen it; None where it has not."""
    return number if expression_of(number) is None else number.node.hint


def _end(shape: Sequence[int], strides: Sequence[int], offset: int) -> int:
    """Where the memory of a tensor ends, in elements."""
    if not all(shape):
        return 0
    return offset + 1 + sum((d - 1) * s for d, s in zip(shape, strides, strict=True))
